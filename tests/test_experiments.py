"""The experiments' grids are what they say, and their committed tables give their claims."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from analysis import table
from experiments import frontier, quickstart, rates
from lab import counts, grid

RESULTS = Path(__file__).parents[1] / "experiments" / "results"


@pytest.fixture(scope="module")
def runs():
    return quickstart.runs()


def test_the_quickstart_has_four_budgets_of_six_sizes_and_replicates(runs):
    cells: dict[float, set] = {}
    for run in runs:
        cells.setdefault(run.budget, set()).add(counts.count_params(run.model).params)
    budgets = sorted(cells)
    assert len(budgets) >= 4 and all(b / a == 2 for a, b in pairwise(budgets))
    for sizes in cells.values():
        assert len(sizes) == 6 and 7 <= max(sizes) / min(sizes) <= 16
    assert len({run.run_id for run in runs}) == len(runs) == 28
    replicas = [run for run in runs if run.seed]
    assert len({(run.budget, run.model) for run in replicas}) == 2 and len(replicas) == 4


def test_no_cell_repeats_its_data_too_often_or_sees_too_little(runs):
    for run in runs:
        assert run.epochs <= 4 and run.tokens >= 1_000_000
        assert counts.run_flops(run) == pytest.approx(run.budget, rel=0.01)
        grid.check_epochs(run)


def test_the_learning_rate_rule_is_within_a_factor_two_of_the_best_at_both_ends():
    cells = rates.corners(RESULTS / "rates.csv")
    assert len(cells) == 4
    for (budget, params), (rule, losses) in cells.items():
        assert len(losses) == 5
        best = min(losses, key=losses.get)
        assert 0.5 <= rule / best <= 2, f"N={params}, C={budget:g}: rule {rule:.3g}, best {best:g}"


def test_the_readme_states_what_the_committed_table_gives():
    said = "\n".join(frontier.answer(frontier.analyse(table.read(RESULTS / "quickstart.csv"))))
    readme = (RESULTS.parents[1] / "README.md").read_text()
    stated = readme.split("```text\n")[1].split("```")[0].strip()
    numbers = re.compile(r"-?\d+\.\d+|-?\d+")
    assert numbers.sub("#", stated) == numbers.sub("#", said)
    ours, theirs = ([float(x) for x in numbers.findall(text)] for text in (said, stated))
    assert theirs == pytest.approx(ours, abs=0.02)
