import math
import re
from argparse import Namespace
from dataclasses import replace

import pytest

from lab.commands import compare, looks
from lab.commands.compare import change_of, seconds
from lab.commands.experiment import CommandError, errors_with_place
from lab.commands.plan import table
from lab.commands.settings import override
from lab.commands.view import set_apart
from lab.models import counts
from lab.plan import arms, grid, tuning
from lab.plan import looks as design
from lab.store.store import Store
from tests.conftest import ROOT

LADDER = """
from dataclasses import replace
from tests import tiny

def runs():
    first = [run for run in tiny.runs() if run.model.d_model == 8][0]
    return [replace(first, tokens=first.tokens * k, budget=first.budget * k) for k in (1, 2, 4)]
"""


@pytest.fixture
def cells(config):
    shapes = [(1, 16, 1), (1, 32, 2), (2, 32, 2)]
    models = grid.ladder(shapes, vocab_size=config.model.vocab_size, seq_len=config.model.seq_len)
    budgets = dict.fromkeys((1e9, 2e9, 4e9), models)
    data = replace(config.data, max_epochs=1e6)
    batch = config.batch_tokens
    runs = grid.isoflop(budgets, data=data, optim=lambda model, tokens: config.optim, batch_tokens=batch)
    return arms.own_cells([*runs, replace(runs[0], seed=1, data_seed=1)])


def test_an_arm_costs_what_its_baseline_does_on_the_same_data_in_the_same_order(cells):
    arm = arms.pair(cells, lambda run: override(run, "model.d_ff=256"))
    for one, other in zip(cells, arm, strict=True):
        assert counts.run_flops(other) == pytest.approx(counts.run_flops(one), rel=0.06)
        assert other.tokens < one.tokens
        assert (other.seed, other.data_seed, other.data) == (one.seed, one.data_seed, one.data)
        assert other.tokens % other.batch_tokens == 0
    with pytest.raises(ValueError, match="changes no number"):
        arms.pair(cells, lambda run: override(run, "optim.cooldown_shape=1-sqrt"))
    with pytest.raises(ValueError, match="changes no number"):
        arms.pair(cells, lambda run: replace(run, budget=3.0))


def test_both_arms_try_the_same_factors_and_own_rates_are_the_ladder_s_runs(cells):
    arm = arms.pair(cells, lambda run: override(run, "optim.optimizer=lion", "optim.learning_rate=0.003"))
    tried = [arms.at_rates(each, 3) for each in (cells, arm)]
    factors = [
        sorted(round(c.optim.learning_rate / own[0].optim.learning_rate, 6) for c in each)
        for own, each in zip((cells, arm), tried, strict=True)
    ]
    assert factors[0] == factors[1] == [0.5, 0.5, 1, 1, 2, 2]
    known = {cell.run_id for cell in cells}
    assert sum(run.run_id in known for run in tried[0]) == 2, "at their own rate they are not trained again"
    least = min(counts.run_flops(cell) for cell in cells)
    assert all(counts.run_flops(run) == pytest.approx(least, rel=0.15) for run in tried[0])


def test_the_best_factor_is_carried_to_every_run_and_an_end_asks_for_one_more(cells):
    tried = arms.at_rates(cells, 3)
    own = cells[0].optim.learning_rate

    def losses(best: float):
        return [(run, 2 + abs(run.optim.learning_rate / own - best)) for run in tried]

    assert arms.best_factor(cells, losses(1.0)) == (1.0, None)
    assert arms.best_factor(cells, losses(2.0)) == (2.0, 4.0)
    assert arms.best_factor(cells, losses(0.4)) == (0.5, 0.25)
    burst = [(run, float("nan") if run.optim.learning_rate > own else 2.0) for run in tried]
    assert arms.best_factor(cells, burst)[0] <= 1, "a rate at which a run diverges is not chosen"
    with pytest.raises(
        ValueError, match=r"of 6 runs that tune an arm 6 failed or diverged; .*--retry failed"
    ):
        arms.best_factor(cells, [(run, float("nan")) for run in tried])
    assert arms.with_factor(cells, 1.0) == cells
    assert all(run.optim.learning_rate == 2 * own for run in arms.with_factor(cells, 2.0))


def test_the_factor_is_on_a_size_s_rate_at_its_cheapest_in_whatever_order_the_grid_is(cells):
    lengths = [(9, 0.004), (3, 0.008), (1, 0.016)]  # of one size, each at a rate of its own
    grid_of = [tuning.at_rate(replace(cells[0], tokens=k * cells[0].tokens), rate) for k, rate in lengths]
    tried = arms.at_rates(grid_of, 3)
    assert [run.optim.learning_rate for run in tried] == [0.008, 0.016, 0.032]
    assert arms.best_factor(grid_of, list(zip(tried, (3.0, 2.0, 3.0), strict=True))) == (1.0, None)


def test_a_tuning_run_s_second_try_stands_for_it(cells, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    first = replace(cells[0], micro_batch=2)
    second = replace(first, micro_batch=1)
    retried = {"run_id": second.run_id, "micro_batch": 1}
    for run in (first, second):
        store.claim(run).release()
    store.write_failure(first.run_id, {"run_id": first.run_id, "retried_as": retried})
    assert math.isnan(compare.loss_of(store, first))
    record = {"status": "done", "steps": second.steps, "loss": 2.9, "curve_sha256": "0"}
    store.write_record(second.run_id, record)
    assert compare.loss_of(store, first) == 2.9


def test_as_many_whole_budgets_as_fit_are_kept_from_the_least_on(cells):
    two = arms.affordable(cells, lambda kept: len(kept) <= 8)
    assert two == [i for i, cell in enumerate(cells) if cell.budget < 4e9]
    assert arms.affordable(cells, lambda kept: False) == []
    assert [len(group) for group in arms.budgets(cells)] == [4, 3, 3]


def test_times_and_changes_are_read(tmp_path):
    from argparse import ArgumentTypeError

    assert [seconds(text) for text in ("90s", "30m", "1.5h")] == [90, 1800, 5400]
    with pytest.raises(ArgumentTypeError, match="30m"):
        seconds("30")
    with pytest.raises(CommandError, match="--set FIELD=VALUE, or --arm"):
        change_of(Namespace(set=[], arm=None))
    (tmp_path / "wide.py").write_text("def arm(config):\n    return None\n")
    name, change = change_of(Namespace(set=["optim.clip=0.5"], arm=tmp_path / "wide.py"))
    assert name == "wide,clip=0.5"
    with pytest.raises(CommandError, match="returned None"):
        change(None)


def test_a_rate_at_an_end_of_those_tried_is_a_caution_of_the_answer(cells, monkeypatch, tmp_path):
    trained, own = set(), cells[0].optim.learning_rate
    monkeypatch.setattr(compare, "train", lambda _o, _s, runs, *_: (0, trained.update(runs) is None))

    def tuned(best: float):
        monkeypatch.setattr(
            compare,
            "loss_of",
            lambda _, run: 2 + abs(run.optim.learning_rate / own - best) * (run in trained),
        )
        return compare.tune(None, None, tmp_path, "gelu", cells, arms.at_rates(cells, 3))

    assert tuned(1)[:3] == (None, 1.0, "") and tuned(4)[1] == 4
    status, factor, doubt, tried = tuned(16)
    assert (status, factor, len(tried)) == (None, 4.0, 8)
    assert doubt.startswith("gelu trains at 4 × ") and "8 × may" in doubt
    monkeypatch.setattr(compare, "train", lambda *_: (1, True))  # the first failed, the rest was not begun
    tries = arms.at_rates(cells, 3)
    assert compare.tune(Namespace(fail_fast=True), None, tmp_path, "gelu", cells, tries)[0] == 1
    assert compare.tune(Namespace(fail_fast=False), None, tmp_path, "gelu", cells, tries)[0] is None
    asked = []
    monkeypatch.setattr(looks, "ask", lambda *words: asked.extend(words) or "")
    names = "base", "gelu"
    looks.answer(looks.Ladders(Store(tmp_path), tmp_path, names, names, ([], []), [doubt]), design.whole([]))
    assert asked[asked.index("--caution") + 1] == doubt


def test_runs_of_one_shape_are_told_apart_by_what_no_column_shows(cells, tmp_path):
    gelu = [override(run, "model.activation=gelu") for run in cells]
    assert not any(set_apart(cells).values()), "sizes, rates and seeds have columns"
    lines = table(Store(tmp_path), [*cells, *gelu])[2:]
    assert all(line.endswith((", activation gelu", ", activation swiglu")) for line in lines)
    assert sum("gelu" in line for line in lines) == len(gelu)


def test_the_arm_of_the_pages_works_and_one_that_changes_its_config_is_told_what_to_do(cells, tmp_path):
    codes = [
        re.search(r"```py(?:thon)?\n(# change.py.*?)```", (ROOT / "docs" / page).read_text(), re.S)[1]
        for page in ("compare.md", "extend.md")
    ]
    assert codes[0] == codes[1]
    (tmp_path / "change.py").write_text(codes[0])
    arm = arms.pair(cells, change_of(Namespace(set=[], arm=tmp_path / "change.py"))[1])
    assert [run.model.ffn_width for run in arm] == [2 * run.model.ffn_width for run in cells]
    (tmp_path / "frozen.py").write_text("def arm(config):\n    config.model.d_ff = 64\n    return config\n")
    change = change_of(Namespace(set=[], arm=tmp_path / "frozen.py"))[1]
    words = r"frozen\.py, line 2: .*dataclasses\.replace\("
    with pytest.raises(CommandError, match=words), errors_with_place():
        change(cells[0])


@pytest.mark.slow
def test_the_command_trains_both_arms_once_and_writes_the_page(lab_command, tmp_path):
    (tmp_path / "ladder.py").write_text(LADDER)
    asked = ("compare", tmp_path / "ladder.py", "--set", "model.activation=gelu", "--rates", "1")
    said = lab_command(*asked).stdout
    assert "6 runs, 6 to train" in said and "times the compute" in said
    out = tmp_path / "out" / "ladder-activation=gelu"
    assert {"ladder.csv", "activation=gelu.csv", "compare.json", "compare.png", "compare.html"} <= {
        path.name for path in out.iterdir()
    }
    assert "6 runs, 0 to train" in lab_command(*asked).stdout
