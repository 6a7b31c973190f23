"""The grid that clusters are tested on: four runs of some seconds each, 2 budgets x 2 sizes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny

from lab.plan.grid import with_fields


def runs():
    return [with_fields(run, {"tokens": 20 * run.tokens}) for run in tiny.runs()]
