"""Looks of `lab compare` before its end: what each is of, when it stops, and that a stop decides once."""

import itertools
import json
import math
import re
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from analysis.__main__ import main
from bench.compare import BASE
from lab.commands import compare, looks, means
from lab.commands.experiment import CommandError
from lab.commands.settings import override
from lab.models import counts
from lab.plan import arms, grid, tuning
from lab.plan import looks as design
from lab.store.store import Store


@pytest.fixture
def cells(config):
    models = grid.ladder([(1, w, 1) for w in (8, 12, 16, 24, 32)], vocab_size=8, seq_len=16)
    data, batch = replace(config.data, max_epochs=1e6), config.batch_tokens
    budgets = {1e9 * 3**k: models for k in range(4)}
    runs = grid.isoflop(budgets, data=data, optim=lambda model, tokens: config.optim, batch_tokens=batch)
    return [replace(run, seed=i, data_seed=i) for i, run in enumerate(runs)]


class Planted:
    """`lab compare --stop-when-clear` where a run "trained" has the loss of a law in which the arm is worth
    κ times the compute, with noise; `trained` names them in order."""

    def __init__(self, cells, folder, monkeypatch, kappa=1.0, top=None, noise=0.002):
        self.cells, self.kappa, self.noise, self.trained, self.stop_at = cells, kappa, noise, [], None
        self.store, self.out = Store(folder), folder / "out"
        self.drift = math.log((top or kappa) / kappa) / math.log(27)
        arm = arms.pair(cells, lambda run: override(run, "model.activation=gelu"))
        self.ladders = looks.Ladders(self.store, self.out, ("base", "gelu"), ("base", "gelu"), (cells, arm))
        monkeypatch.setattr(looks, "train", self.train)
        monkeypatch.setattr(looks, "ask", self.ask)
        monkeypatch.setattr(looks.export, "rows", lambda store, runs, name: [self.row(run) for run in runs])
        monkeypatch.setattr(Store, "trainable", lambda store, run_id: run_id not in self.trained)

    def train(self, options, store, runs, out, name):
        left = [run.run_id for run in runs if run.run_id not in self.trained]
        if self.stop_at is not None and left:  # killed after so many
            left, self.stop_at = left[: self.stop_at], None
            self.trained += left
            return 1, False
        self.trained += left
        return 0, True

    def row(self, run):
        assert run.run_id in self.trained
        n, d, flops = tuning.params(run.model), run.tokens, counts.run_flops(run)
        gelu = run.model.activation == "gelu"
        root = math.sqrt(self.kappa * (flops / 1e9) ** self.drift) if gelu else 1.0
        luck = np.random.default_rng([run.seed, gelu]).standard_normal()
        loss = float(BASE.loss(n * root, d * root)) * math.exp(self.noise * luck)
        return {
            "run_id": run.run_id,
            "params": n,
            "tokens": d,
            "flops": flops,
            "loss": loss,
            "seed": run.seed,
        }

    def ask(self, command, *words):
        if main([command, *map(str, words), "--draws", "400"]):
            raise looks.Refused("refused")
        return ""

    def decides(self, monkeypatch):
        """How it ends, without writing the answer."""
        ends = []
        with monkeypatch.context() as patch:
            patch.setattr(looks, "answer", lambda ladders, look, cautions: ends.append((look, cautions)))
            assert self.run() == 0
        return ends[0]

    def run(self, clear=True, narrow=None, fail_fast=False, retry=""):
        options = Namespace(stop_when_clear=clear, stop_when_narrow=narrow, fail_fast=fail_fast, retry=retry)
        plan = design.plan(self.cells) if clear or narrow else [design.whole(self.cells)]
        return looks.run(options, self.ladders, plan)

    def answer(self):
        return json.loads((self.out / "compare.json").read_text())


def test_looks_are_of_whole_budgets_in_pairs_the_last_of_all_and_keep_the_error(cells):
    plan = design.plan(cells)
    assert [len(look.pairs) for look in plan] == [10, 15, 20] and plan[-1].last
    assert [look.share for look in plan] == pytest.approx([4 / 40, 13 / 40, 1], rel=0.02)
    assert all(set(a.pairs) < set(b.pairs) for a, b in itertools.pairwise(plan))
    assert math.prod(look.level for look in plan) == pytest.approx(1 - design.ERROR)
    assert len(design.plan(cells[:10])) == 1, "two budgets have no look before their end"
    few = [cell for cell in cells if cell.model in (cells[0].model, cells[1].model)]
    assert len(design.plan(few)) == 1, "two sizes show no law"


def test_a_look_stops_where_it_may_be_relied_on_alone():
    def found(low, high, status="ok", seen=(1.2, 3.0)):
        trained = {"low": seen[0], "high": seen[1], "extrapolated": False}
        return {"status": status, "budgets": [trained, {"low": low, "high": high, "extrapolated": True}]}

    assert "leaves out 1" in design.stop_reason(found(1.1, 2), None)
    assert "leaves out 1" in design.stop_reason(found(0.5, 0.9, seen=(0.6, 0.8)), None)
    for still in (
        found(0.9, 2),
        found(1.1, None),
        found(1.1, 2, "edge"),
        found(1.1, 2, "few"),
        found(0.5, 0.9),
    ):
        assert design.stop_reason(still, 1.2) == ""
    assert "factor 1.2" in design.stop_reason(found(0.95, 1.1), 1.2)
    assert design.stop_reason(found(1.1, 2), 1.2, clear=False) == ""


def test_a_clear_arm_is_not_trained_on_and_the_answer_and_page_say_where_it_stopped(
    cells, tmp_path, monkeypatch, capsys
):
    planted = Planted(cells, tmp_path, monkeypatch, kappa=2.0)
    assert planted.run() == 0
    first = list(planted.trained)
    assert len(first) == len({*first}) == 20, "ten pairs of the two least budgets"
    said, got = " ".join(capsys.readouterr().out.split()), planted.answer()
    assert "STOPPED at look 1 of 3, after 10 pairs, 10 % of the FLOPs" in said and "intervals 99 %" in said
    assert got["level"] == pytest.approx(0.99) and "STOPPED at look 1 of 3" in got["cautions"][-1]
    assert "20 runs are left to train" in got["cautions"][-1]
    top = got["budgets"][-1]
    assert top["extrapolated"] and top["low"] > 1 and top["low"] < 2 < top["high"]
    assert "STOPPED at look 1 of 3" in (tmp_path / "out" / "compare.html").read_text()
    assert planted.decides(monkeypatch)[0].number == 1, "typed again it stops where it did"
    assert planted.trained == first
    assert planted.run(clear=False) == 0, "without the option it trains the rest, and nothing twice"
    assert len(planted.trained) == len({*planted.trained}) == 40
    assert planted.answer()["level"] == 0.95 and not any("STOPPED" in c for c in planted.answer()["cautions"])
    assert planted.decides(monkeypatch)[0].last, "with nothing left to train none is dropped"


def test_a_pair_of_which_a_run_failed_is_left_out_and_said(cells, tmp_path, monkeypatch):
    planted = Planted(cells, tmp_path, monkeypatch, kappa=2.0)
    lost = planted.ladders.runs[1][3]
    planted.store.folder(lost.run_id).mkdir(parents=True)
    planted.store.write_failure(lost.run_id, {"kind": "error", "error": "ValueError: planted"})
    status = lambda store, run_id: "failed" if run_id == lost.run_id else "done"  # noqa: E731
    monkeypatch.setattr(Store, "status", status)
    train = planted.train
    monkeypatch.setattr(looks, "train", lambda *words: (1, train(*words)[1]))
    assert planted.run(fail_fast=True) == 1 and not (tmp_path / "out" / "compare.json").exists()
    assert planted.run() == 1, "the answer is there, and the exit status tells"
    got = planted.answer()
    assert any("1 of 10 pairs are left out" in c and lost.run_id in c for c in got["cautions"])
    tables = [(tmp_path / "out" / f"{stem}.csv").read_text() for stem in planted.ladders.stems]
    assert [len(table.splitlines()) for table in tables] == [10, 10] and lost.run_id not in tables[1]
    forgotten = []
    monkeypatch.setattr(looks, "forget_failures", lambda store, runs: forgotten.append(len(runs)))
    assert planted.run(clear=False, retry="failed") == 1 and forgotten == [40], "once, whatever the looks"


def test_equal_arms_and_one_that_is_better_when_small_are_trained_to_the_end(cells, tmp_path, monkeypatch):
    for name, settings in (("equal", {}), ("small", {"kappa": 1.6, "top": 1.0})):
        planted = Planted(cells, tmp_path / name, monkeypatch, **settings)
        look, cautions = planted.decides(monkeypatch)
        assert look.last and len(planted.trained) == 40 and "looked at 3 times" in cautions[0]


def test_a_loss_that_the_baseline_never_reaches_is_no_multiplier_and_the_looks_go_on(
    cells, tmp_path, monkeypatch, capsys
):
    planted, none = Planted(cells, tmp_path, monkeypatch), dict.fromkeys(("multiplier", "low", "high"))
    found = {"status": "failed", "budgets": [none | {"extrapolated": False}]}
    monkeypatch.setattr(looks, "ask", lambda command, *words: words[-1].write_text(json.dumps(found)))
    assert planted.decides(monkeypatch)[0].last
    assert "no multiplier (no end to no end, 99 %) at 2.7e+10 FLOPs: goes on" in capsys.readouterr().out


def test_killed_and_typed_again_it_decides_what_it_would_have(cells, tmp_path, monkeypatch):
    whole = Planted(cells, tmp_path / "whole", monkeypatch, kappa=1.15, noise=0.004)
    ended = whole.decides(monkeypatch)
    killed = Planted(cells, tmp_path / "killed", monkeypatch, kappa=1.15, noise=0.004)
    for stop in (7, 14):  # in the first look and in the second
        killed.stop_at = stop
        assert killed.run() == 1, "no answer is written"
    assert killed.decides(monkeypatch) == ended and ended[0].number == 2
    assert killed.trained == whole.trained and len(whole.trained) == 30


def test_what_flops_allow_is_decided_when_the_command_is_first_typed(cells, tmp_path):
    both = cells, arms.pair(cells, lambda run: override(run, "model.activation=gelu"))
    tried = [arms.at_rates(own, 3) for own in both]
    every = {run.run_id: run for own in both for run in own[:10]} | {
        run.run_id: run for own in tried for run in own
    }
    cost = sum(map(counts.run_flops, every.values()))
    asked, store = {"within": None, "rates": 3, "workers": 1}, Store(tmp_path)

    def decide(flops, planned=False):
        pace = None if planned else means.Pace()
        return means.decide(Namespace(flops=flops, **asked), store, "x", both, both, tried, pace)

    assert decide(1.001 * cost, planned=True) == list(range(10)), "a plan decides nothing"
    assert decide(1.001 * cost) == list(range(10)) and len(decide(2.5 * cost)) == 10
    store.status_and_record = lambda run_id: ("done", {"seconds": 1.0} if run_id in every else None)
    assert len(decide(2.5001 * cost)) == 15, "what the store holds is not paid again"
    assert len(decide(2.5 * cost)) == 10, "but what was decided stays so"


def test_what_time_allows_follows_the_pace_of_what_is_timed(cells, tmp_path):
    both = cells, arms.pair(cells, lambda run: override(run, "model.activation=gelu"))
    tried, store = [arms.at_rates(own, 3) for own in both], Store(tmp_path)
    options = Namespace(flops=None, within=120.0, workers=2)
    assumed = means.affordable(options, store, both, tried)
    seconds = {run.run_id: grid.estimate_seconds(run, {}) for own in tried for run in own}
    for slower, pairs in ((1, len(assumed)), (8, 10)):
        store.status_and_record = lambda run_id, by=slower: (
            "done",
            {"seconds": by * seconds[run_id]} if run_id in seconds else None,
        )
        assert len(means.affordable(options, store, both, tried)) == pairs
    by = [means.affordable(options, store, both, tried, means.Pace(20.0, 20.0 / slower)) for slower in (1, 2)]
    assert len(by[0]) > len(by[1]) == 5, "what had gone and by how much it was slower, compiling and all"
    options.within = 15.0
    with pytest.raises(CommandError, match=r"three budgets, .* FLOPs and about"):
        means.affordable(options, store, both, tried)


def test_the_least_that_a_refusal_asks_for_is_accepted(cells, tmp_path):
    both = cells, arms.pair(cells, lambda run: override(run, "model.activation=gelu"))
    tried, options = [arms.at_rates(own, 3) for own in both], Namespace(flops=1.0, within=None, workers=1)
    with pytest.raises(CommandError) as refused:
        means.affordable(options, Store(tmp_path), both, tried)
    pairs, flops = re.search(r"The least (\d+), .* take (\S+) FLOPs", str(refused.value)).groups()
    options.flops = 1.01 * float(flops)
    assert len(means.affordable(options, Store(tmp_path), both, tried)) == int(pairs)
    options.flops = 0.99 * float(flops)
    with pytest.raises(CommandError):
        means.affordable(options, Store(tmp_path), both, tried)
    options.flops, few = None, [own[:4] for own in both]
    with pytest.raises(CommandError, match="4 pairs of runs at 1 budget show no law"):
        means.decide(options, Store(tmp_path), "x", few, few, tried)


def test_once_the_rates_are_tuned_the_least_that_shows_a_law_is_trained(cells, tmp_path, capsys):
    both = cells, arms.pair(cells, lambda run: override(run, "model.activation=gelu"))
    tried, store = [arms.at_rates(own, 3) for own in both], Store(tmp_path)
    options = Namespace(flops=None, within=25.0, workers=2, rates=3)
    pace = means.Pace(24.0, 1.0)  # a loaded machine
    kept = means.decide(options, store, "x", both, both, tried, pace)
    assert len(kept) == means.LEAST
    said = capsys.readouterr().out
    assert "0 pairs of runs at 0 budgets show no law" in said
    assert re.search(r"these are trained, about \d+m\d+s over --within", said)
    assert means.decide(options, store, "x", both, both, tried) == kept, "typed again it is not refused"
    slow = {run.run_id for run in tried[1][:2]}
    killed = Store(tmp_path / "killed")
    killed.status_and_record = lambda run_id: ("done", {"seconds": 900.0} if run_id in slow else None)
    assert means.decide(options, killed, "x", both, both, tried) == kept, "nor after a kill while it tuned"


def test_the_plan_says_when_it_looks_and_what_it_asks(cells):
    options = Namespace(stop_when_clear=True, stop_when_narrow=1.2)
    said = looks.told(design.plan(cells), cells, compare.stop_words(options))
    assert "10 (10 %), 15 (32" in said and "20 (100 %)" in said
    assert "at 2.7e+10 FLOPs (99 %; of the last 96.9 %; over all 95 %) leaves out 1 or spans no more" in said
    assert compare.stop_words(Namespace(stop_when_clear=False, stop_when_narrow=None)) == ""
    assert "no look before the end" in looks.told(design.plan(cells[:10]), cells[:10], looks.CLEAR)
