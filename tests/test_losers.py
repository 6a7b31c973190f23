"""`analysis losers`: which runs of a rate sweep can no longer win, from part of their curves."""

import csv
import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.decisions.losers import Rule, Sweep, cells, replay, sweeps, total
from analysis.tables import table
from lab.commands import prune
from lab.store.records import CURVE
from lab.store.store import Store

STEPS = np.geomspace(10, 1000, 12)
RATES = np.array([0.001, 0.002, 0.004, 0.008, 0.016])


def sweep(behind=(0.5, 0.2, 0.0, 0.02, 0.2)) -> Sweep:
    """Runs that follow one power of the steps, each its own share of the loss behind the best."""
    leader = np.log(1.5 + 20 * STEPS**-0.5)
    return Sweep("planted", list("abcde"), RATES, STEPS, leader + np.array(behind)[:, None], 1000.0)


def test_what_is_far_behind_is_stopped_early_and_the_winner_is_kept():
    found = replay(sweep())
    assert found.winner == "c" and found.kept and found.cost == 0
    assert found.stopped[2] == 1 and found.stopped[0] <= found.stopped[1] < 0.5
    assert found.stopped[0] >= Rule().first
    assert found.saved == pytest.approx(1 - found.stopped.mean())


def test_a_rate_below_the_leader_s_is_given_longer_than_one_above_since_it_catches_up():
    found = replay(sweep((0.4, 0.12, 0.0, 0.12, 0.4)))
    assert found.stopped[3] < found.stopped[1] < 1


@pytest.mark.parametrize("at", [6, 8, 10])
def test_what_is_stopped_by_then_does_not_depend_on_what_comes_later(at):
    whole = sweep((0.2, 0.03, 0.0, 0.02, 0.2))
    later = whole.log_loss.copy()
    later[:, at + 1 :] = np.random.default_rng(0).normal(size=later[:, at + 1 :].shape)
    share = STEPS[at] / 1000
    both = [replay(each).stopped for each in (whole, replace(whole, log_loss=later))]
    assert np.array_equal(*[np.where(stopped <= share, stopped, 2) for stopped in both])


def test_a_run_beyond_a_stopped_one_is_stopped_with_it():
    found = replay(sweep((0.0, 0.0, 0.0, 0.3, 0.0)))
    assert found.stopped[4] == found.stopped[3] < 0.3 and (found.stopped[:3] == 1).all()


def test_a_run_that_diverged_is_no_winner_and_stops_where_it_ends():
    planted = sweep((0.3, 0.1, 0.0, 0.01, 0.01))
    planted.log_loss[4, 8:] = np.nan
    found = replay(planted)
    assert found.winner == "c" and found.kept
    assert found.stopped[4] == pytest.approx(STEPS[8] / 1000)


def test_a_winner_that_was_stopped_is_said_with_what_it_costs():
    planted = sweep((0.0, 0.0, 0.0, 0.0, 0.05))
    planted.log_loss[0, -1] -= 0.1
    planted.log_loss[0, 5:-1] += 0.5
    found = replay(planted)
    assert not found.kept and found.winner == "a" and found.cost == pytest.approx(0.1)
    assert total([found, replay(sweep())])[1] == 1


def run_table(tmp_path, seeds=(0, 1)):
    """Two sweeps that differ in their seed, as a run table and its curves."""
    runs, curves = [], []
    for seed in seeds:
        for k, (rate, line) in enumerate(zip(RATES, sweep().log_loss, strict=True)):
            name = f"run{seed}{k}"
            loss = np.exp(line)
            of_all = {"run_id": name, "params": 1e4, "tokens": 1e6, "loss": loss[-1]}
            runs.append(of_all | {"learning_rate": rate, "seed": seed})
            curves += [
                {"run_id": name, "step": int(s), "tokens": int(s) * 1000, "params": 1e4, "loss": each}
                for s, each in zip(STEPS.round(), loss, strict=True)
            ]
    for path, rows in ((tmp_path / "runs.csv", runs), (tmp_path / "curves.csv", curves)):
        with path.open("w") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return tmp_path / "runs.csv", tmp_path / "curves.csv"


def test_the_command_replays_every_sweep(tmp_path, capsys):
    runs, curves = run_table(tmp_path)
    assert main(["losers", str(runs), "--curves", str(curves), "--json", str(tmp_path / "said.json")]) == 0
    said = json.loads((tmp_path / "said.json").read_text())
    assert (said["sweeps"], said["kept"]) == (2, 2)
    one = replay(sweep())
    assert said["saved"] == pytest.approx(one.saved, abs=0.01)
    assert [run["stopped"] is None for run in said["each"][0]["runs"]] == (one.stopped == 1).tolist()
    assert "winner kept in 2 of 2" in capsys.readouterr().out


def test_of_runs_under_way_it_says_which_to_stop_now(tmp_path, capsys):
    runs, curves = run_table(tmp_path, seeds=(0,))
    lines = curves.read_text().splitlines()
    part = [line for line in lines if line.startswith("run_id") or int(line.split(",")[1]) < 300]
    curves.write_text("\n".join(part) + "\n")
    assert main(["losers", str(runs), "--curves", str(curves), "--length", "1000"]) == 0
    said = capsys.readouterr().out
    assert "winner" not in said and "can still win" in said and "loses, seen at" in said


def test_runs_of_one_sweep_differ_in_the_setting_alone(tmp_path):
    runs, curves = run_table(tmp_path)
    read = table.read(runs), table.read(curves, needs={"loss"})
    assert [len(rows) for _, rows in cells(read[0], "learning_rate")] == [5, 5]
    assert [each.place for each in sweeps(read[1], read[0])] == ["seed 0", "seed 1"]
    with pytest.raises(ValueError, match="--setting"):
        sweeps(read[1], read[0], "heat")
    with pytest.raises(ValueError, match="no three runs are alike"):
        sweeps(read[1], read[0].select(np.arange(2)))


def test_muon_s_sweeps_keep_their_winners_for_less_than_three_fifths_of_their_flops():
    read = [table.read(f"experiments/results/{name}.csv") for name in ("muon", "muon-curves")]
    found = [replay(each) for each in sweeps(read[1], read[0])]
    saved, kept = total(found)
    assert len(found) == kept == 10 and saved == pytest.approx(0.421, abs=0.002)


def test_a_lower_rate_is_given_less_later_and_to_the_end_where_the_rate_never_falls(tmp_path):
    whole = sweep((0.5, 0.02, 0.0, 0.5, 0.5))
    late = replay(whole).stopped[1]
    assert 0.2 < late < 1
    assert replay(replace(whole, falls=False)).stopped[1] == 1
    runs, curves = run_table(tmp_path, seeds=(0,))
    lines = runs.read_text().splitlines()
    for column, word, falls in (
        ("schedule", "constant", False),
        ("schedule", "cosine", True),
        ("optimizer", "lion", False),  # of steps of one size: experiments.sweeps
        ("optimizer", "adamw", True),
    ):
        words = [column, *[word] * 5]
        runs.write_text("\n".join(f"{line},{word}" for line, word in zip(lines, words, strict=True)) + "\n")
        found = sweeps(table.read(curves, needs={"loss"}), table.read(runs))
        assert [each.falls for each in found] == [falls]


@pytest.fixture
def at_rates(config):
    return [replace(config, optim=replace(config.optim, learning_rate=rate)) for rate in RATES]


@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_failed_run_ends_its_sweep_only_when_asked_to(at_rates, tmp_path, monkeypatch, fail_fast):
    monkeypatch.setattr(prune, "losers", lambda store, configs: [])
    options, seen = Namespace(launcher="local", fail_fast=fail_fast, retry="failed"), []

    def train(runs, share):
        seen.append((share, options.retry))
        return 1, True

    assert prune.train_sweeps(options, Store(tmp_path), at_rates, train) == (1, True)
    first, *later = seen
    assert first == (prune.SHARES[0], "failed")
    assert later == [(share, "") for share in (*prune.SHARES[1:], 1.0) if not fail_fast]


def test_a_failed_run_s_short_curve_makes_no_losers(at_rates, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for i, run in enumerate(at_rates):
        store.claim(run).release()
        store.start_curve(run.run_id, 0)
        for step in range(1, 3 if i == 1 else 20):
            store.add_to_curve(run.run_id, dict.fromkeys(CURVE, step) | {"loss": 2.0})
    store.write_failure(at_rates[1].run_id, {"run_id": at_rates[1].run_id, "kind": "error", "error": "gone"})
    assert prune.losers(store, at_rates) == []


SWEEP = """
from dataclasses import replace
from tests import tiny

def runs():
    first = tiny.runs()[0]
    return [replace(first, optim=replace(first.optim, learning_rate=rate)) for rate in (1e-6, 1e-5, 0.02)]
"""


@pytest.mark.long
def test_losers_are_stopped_on_the_way_and_trained_on_when_asked(tmp_path, lab_command):
    (tmp_path / "sweep.py").write_text(SWEEP)

    def rows(store):
        lab_command("export", "sweep.py", "--store", store, "-o", f"{store}.csv")
        with (tmp_path / f"{store}.csv").open() as file:
            return list(csv.DictReader(file))

    said = lab_command("run", "sweep.py", "--stop-losers", "--store", "some").stdout
    assert "2 of 3 runs were stopped as losers" in said
    part = rows("some")
    assert [row["status"] for row in part] == ["pruned", "pruned", "done"]
    assert [bool(row["loss"]) for row in part] == [False, False, True], "what was stopped is never a loss"
    assert "loser of a sweep" in part[0]["reason"] and int(part[0]["steps"]) < int(part[2]["steps"])
    assert "pruned" in lab_command("status", "sweep.py", "--store", "some").stdout
    for store in ("some", "alone"):
        lab_command("run", "sweep.py", "--store", store)
    both = [[(row["status"], row["loss"]) for row in rows(store)] for store in ("some", "alone")]
    assert both[0] == both[1], "to the last bit, as if never stopped"
