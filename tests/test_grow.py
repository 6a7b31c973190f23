"""`lab grow`: its goal, its rounds, what it seals before runs exist, and when it ends."""

import json
import math
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from lab.commands import estimates, grow
from lab.commands.cli import run_command
from lab.commands.experiment import load
from lab.models import counts
from lab.plan import grid, sequential
from lab.plan.sequential import Goal, coverage, score, stop_reason
from lab.store.files import Damaged, StoreError
from lab.store.seals import Rounds
from lab.store.store import Store


@pytest.fixture
def cells(config):
    models = grid.ladder([(1, w, 1) for w in (8, 12, 16, 24)], vocab_size=8, seq_len=16)
    runs = [replace(config, model=model, data=replace(config.data, max_epochs=1e6)) for model in models]
    return [
        replace(run, tokens=run.tokens * 2**k, seed=10 * i + k, data_seed=10 * i + k)
        for i, run in enumerate(runs)
        for k in range(5)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params_exponent±0.05", Goal(0.05)),
        ("exponent+-.05", Goal(0.05)),
        ("loss@1e15±0.5%", Goal(0.005, 1e15)),
        ("loss@1e15 +/- 0.5 %", Goal(0.005, 1e15)),
    ],
)
def test_a_goal_is_a_number_and_a_width(text, expected):
    assert sequential.read_goal(text) == expected


@pytest.mark.parametrize("text", ["exponent", "exponent±0", "loss±1%", "loss@1e15±0.5", "loss@0±1%", "a±1"])
def test_what_is_no_goal_is_refused_with_how_to_write_one(text):
    with pytest.raises(ValueError, match="write params_exponent"):
        sequential.read_goal(text)


def test_the_first_round_is_the_cheapest_runs_that_may_show_a_law(cells):
    first = sequential.first_round(cells)
    assert len(first) == sequential.FIRST < len(cells)
    dearest = max(map(counts.run_flops, first))
    assert all(counts.run_flops(cell) >= dearest for cell in cells if cell not in first)
    one_size = [cell for cell in cells if cell.model == cells[0].model]
    assert set(sequential.first_round(one_size)) == set(one_size), "a grid of one size has no law to show"


def test_candidates_are_of_the_grid_s_models_at_its_lengths_and_cost(cells):
    among = sequential.candidates(cells)
    assert {sequential.place(cell) for cell in cells} <= {sequential.place(cell) for cell in among}
    assert len(among) > len(cells)
    flops, bounds = [[counts.run_flops(c) for c in part] for part in (among, cells)]
    assert min(flops) >= min(bounds) and max(flops) <= max(bounds)
    assert all(c.tokens % c.batch_tokens == 0 for c in among)
    short = [replace(cell, data=replace(cell.data, max_epochs=0.5)) for cell in cells]
    kept = sequential.candidates(short)
    assert {c for c in kept if c not in short} == {c for c in kept if c not in short and c.epochs <= 0.505}


def test_what_is_chosen_was_not_trained_before_and_shares_no_luck(cells):
    among, before = sequential.candidates(cells), cells[:6]
    off = next(cell for cell in among if sequential.place(cell) not in {sequential.place(c) for c in cells})
    asked = [
        {"params": n, "tokens": d, "seeds": seeds}
        for (n, d), seeds in (
            (sequential.place(cells[0]), 2),
            (sequential.place(cells[7]), 2),
            (sequential.place(off), 3),
        )
    ]
    new = sequential.next_round(asked, among, cells, before)
    assert [sequential.place(run) for run in new] == [
        (each["params"], each["tokens"]) for each in asked for _ in range(each["seeds"])
    ]
    assert cells[7] in new and not {run.run_id for run in new} & {run.run_id for run in before}
    fresh = [run for run in new if run != cells[7]]
    assert len({run.seed for run in fresh}) == len(fresh) and min(run.seed for run in fresh) > 34
    assert all(run.seed == run.data_seed for run in fresh)
    assert sequential.next_round(asked, among, cells, before) == new, "a resumed command chooses alike"


def test_it_ends_when_more_runs_would_not_help_and_says_why():
    goal = Goal(0.05)
    assert stop_reason(goal, [math.inf, 0.3, 0.2], 0.5, 10, 1) == ""
    assert "budget is spent" in stop_reason(goal, [0.3], 0.5, 0.5, 1)
    assert "not noise" in stop_reason(goal, [0.3, 0.2, 0.199, 0.2], 0.5, 10, 1)
    assert stop_reason(goal, [0.3, 0.25, 0.249], 0.5, 10, 1) == "", "one such round may be luck"
    assert stop_reason(goal, [math.inf] * 5, None, 10, 1) == "", "no interval yet says nothing of help"
    assert "larger ones would" in stop_reason(goal, [0.3], 0.99, 10, 1)


def test_a_forecast_is_held_where_its_interval_holds_the_loss():
    said = {"predicted": 2.0, "low": 1.9, "high": 2.1}
    rows = [score(said, loss) for loss in (1.9, 2.05, 2.2, None)]
    assert [row["inside"] for row in rows] == [True, True, False, None]
    assert coverage([*rows, score({"predicted": None, "low": None, "high": None}, 2.0)]) == (2, 3)


def test_a_round_is_sealed_once_and_read_as_it_was(tmp_path, cells):
    rounds = Rounds(tmp_path / "grown" / "x")
    said = [{"predicted": 2.0, "low": 1.9, "high": 2.1}] * 2
    assert rounds.sealed(0) is None and rounds.all_scored() == []
    rounds.seal(0, cells[:2], said, flops=1.0)
    sealed = rounds.sealed(0)
    assert [each["config"] for each in sealed["runs"]] == cells[:2]
    assert [each["low"] for each in sealed["runs"]] == [1.9, 1.9]
    with pytest.raises(StoreError, match="there already"):
        rounds.seal(0, cells[2:4], said, flops=1.0)
    assert rounds.sealed(0) == sealed
    path = rounds.folder / "round-00.json"
    path.write_text(path.read_text().replace("1.9", "1.8"))
    with pytest.raises(Damaged, match="checksum"):
        rounds.sealed(0)


def study_of(store: Store, cells, **options) -> estimates.Study:
    asked = Namespace(until=Goal(0.05), flops=None, within=None, workers=1, devices=1)
    for name, value in options.items():
        setattr(asked, name, value)
    return estimates.Study(asked, store, cells, "x", store.root / "out")


def test_rounds_are_those_of_the_grid_whatever_is_asked_of_it(tmp_path, cells):
    folder = study_of(Store(tmp_path), cells).rounds.folder
    assert study_of(Store(tmp_path), cells, until=Goal(0.01, 1e15)).rounds.folder == folder
    assert study_of(Store(tmp_path), cells[1:]).rounds.folder != folder


def test_runs_that_a_round_added_leave_no_budget_to_the_table(cells):
    planned = [replace(cell, budget=1e9) for cell in cells[:3]]
    assert estimates.without_budgets(planned) == planned
    grown = estimates.without_budgets([*planned, cells[3]])
    assert {run.budget for run in grown} == {0.0}
    assert [run.run_id for run in grown] == [run.run_id for run in cells[:4]]


def test_the_budget_is_of_all_rounds_sealed_so_far(tmp_path, cells):
    study = study_of(Store(tmp_path), cells)
    whole = grid.price(cells).flops
    assert grow.budget(study) == whole
    assert grow.seal_next(study, 0, [], estimates.UNKNOWN) == ""
    first = study.rounds.sealed(0)
    assert first["flops"] == grid.price(sequential.first_round(cells)).flops
    assert all(each["low"] is None for each in first["runs"]), "nothing can be forecast from nothing"
    study.rounds.score(0, goal="exponent", known=estimates.UNKNOWN, seconds=30.0, runs=[])
    assert grow.flops_left(study, []) == whole - first["flops"]
    assert (
        grow.flops_left(study_of(Store(tmp_path), cells, flops=2 * whole), []) == 2 * whole - first["flops"]
    )


def test_narrow_enough_is_not_reached_where_the_audit_refuses():
    known = estimates.UNKNOWN | {"half": 0.04, "verdict": "warn"}
    assert grow.is_reached(Goal(0.05), known)
    assert not grow.is_reached(Goal(0.03), known)
    assert not grow.is_reached(Goal(0.05), known | {"verdict": "refuse"})
    assert not grow.is_reached(Goal(0.05), estimates.UNKNOWN)


@pytest.mark.slow
def test_a_grid_grows_to_its_end_and_the_same_command_trains_and_seals_nothing_again(
    lab_command, tmp_path, monkeypatch, capsys
):
    Path(tmp_path, "little.py").write_text(LITTLE)
    asked = ("grow", tmp_path / "little.py", "--until", "params_exponent+-0.001", "--flops", "4e9")
    lost = sequential.first_round(load(str(tmp_path / "little.py")).configs())[0].run_id
    store = Store(tmp_path / "runs")
    store.folder(lost).mkdir(parents=True)
    store.write_failure(lost, {"kind": "error", "error": "ValueError: planted"})
    done = lab_command(*asked, code=1)
    said = done.stdout
    assert f"failed: {lost}" in done.stderr, "said, and the study goes on without it"
    assert "round 0: 9 runs" in said and "round 1:" in said and "NOT reached" in said
    (folder,) = (tmp_path / "runs" / "grown").iterdir()
    sealed = {path.name: path.read_bytes() for path in folder.iterdir()}
    first, second = (json.loads(sealed[f"round-0{n}.json"]) for n in (0, 1))
    finished = {
        path.parent.name: json.loads(path.read_text())["finished"]
        for path in (tmp_path / "runs").glob("*/record.json")
    }
    assert {*finished, lost} == {run["run_id"] for part in (first, second) for run in part["runs"]}
    scored = json.loads(sealed["score-00.json"])["runs"]
    assert [row["run_id"] for row in scored if row["loss"] is None] == [lost]
    assert all(finished[run["run_id"]] >= second["sealed"] for run in second["runs"]), "sealed before it was"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grow, "finish", lambda study, runs, known, why: said.append((len(runs), known, why)))
    said = []
    run_command([str(word) for word in asked])
    assert said[0][0] == len(finished) + 1 and said[0][1] == json.loads(sealed["score-01.json"])["known"]
    assert said[0][2].startswith("the budget is spent") and "to train" not in capsys.readouterr().out
    assert sealed == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (tmp_path / "out" / "little-grown" / "report.html").exists()
    run_command([*(str(word) for word in asked), "--retry", "failed"])
    assert store.status(lost) == "done", "its forecast stays as it was scored"
    assert sealed == {path.name: path.read_bytes() for path in folder.iterdir()}


LITTLE = """
from dataclasses import replace
from lab.plan import grid
from tests import tiny

def runs():
    first = tiny.runs()[0]
    sizes = grid.ladder([(1, w, 1) for w in (8, 12, 16)], vocab_size=8, seq_len=16, position="learned")
    data = replace(first.data, max_epochs=1000)
    return [
        replace(first, model=m, tokens=first.batch_tokens * 50 * 2**k, data=data, budget=0.0, seed=9 * i + k)
        for i, m in enumerate(sizes) for k in range(4)
    ]
"""
