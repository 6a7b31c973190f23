"""Three parts, of which two train at once: in the first a run is done and then one fails, in the
second both runs take longer than that, the third waits for room."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny

from lab.plan.grid import with_fields


def runs():
    narrow, wide, *_ = tiny.runs()
    first = [
        with_fields(narrow, {"tokens": 4 * narrow.tokens}),
        with_fields(narrow, {"data__sha256": "0" * 64}),
    ]
    second = [with_fields(wide, {"tokens": 20 * wide.tokens, "seed": seed}) for seed in (0, 1)]
    return [*first, *second, with_fields(wide, {"model__d_model": 24})]
