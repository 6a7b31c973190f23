"""Tables as people have them: the rows, columns and units that are read are the right ones."""

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables import table
from analysis.tables.identity import final_rows
from bench import defects, drawn

NAMED = ("mixed", "repeated")  # what can only be named: the numbers are those of the table
MENDED = sorted(set(drawn.DEFECTS) - set(NAMED))


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(MENDED)), st.integers(0, 2**32 - 1))
def test_what_is_read_are_the_results_of_the_table(chosen, seed):
    rng = np.random.default_rng(seed)
    made = drawn.draw(rng, list(chosen))
    with tempfile.TemporaryDirectory() as folder:
        runs = final_rows(table.read(drawn.write(made, Path(folder) / "table", rng))).usable()
    right = np.array(made.first)[:, made.results[: len(made.first[0])]]
    read = np.array([runs.params, runs.tokens, runs.loss])
    order, other = np.lexsort(right), np.lexsort(read)
    np.testing.assert_allclose(read[:, other], right[:, order], rtol=1e-5)


def test_a_drawn_table_is_fitted_or_named():
    """Few of them: `python -m bench.defects` counts 500."""
    answers = defects.run(tables=8, seed=2)
    counts = defects.summary(answers)
    assert "traceback" not in counts["statuses"] and counts["clean with a caution"] == 0
    assert counts["ok without a caution: truth outside"] < 0.2
    assert all(a["cautions"] or a["status"] != "ok" for a in answers if "mixed" in a["defects"])


def test_the_page_says_what_was_counted():
    root = Path(__file__).parents[1]
    told = " ".join((root / "docs" / "coverage.md").read_text().split())
    counts = json.loads((root / "bench" / "results" / "defects.json").read_text())["summary"]
    share = 100 * counts["ok: truth outside"]
    assert f"| `ok` | {counts['statuses']['ok']}; {share:.1f} % of their parameters are outside |" in told
    quiet, share = counts["ok without a caution"], 100 * counts["ok without a caution: truth outside"]
    assert f"| `ok` without a caution | {quiet}; {share:.1f} % |" in told
    assert share < 5
    for what, words in (("clean with a caution", "draw a caution"), ("clean and not ok", "are not `ok`")):
        assert f"| clean tables that {words} | {counts[what]} of {counts['clean']} |" in told
        assert counts[what] <= 0.05 * counts["clean"]
