"""Branches of shared trunks are the cells trained alone, to the last bit, and cost less."""

import csv
import re
import shutil
import threading
from argparse import Namespace
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables import table
from lab.commands import experiment
from lab.commands import release as command
from lab.commands.run import forget_failures
from lab.config import OptimConfig, from_json, to_json
from lab.data import corpora
from lab.launch import verify, worker
from lab.launch.attempt import WAIT, choose
from lab.launch.order import parts
from lab.models import counts
from lab.plan import grid, trunk
from lab.plan.trunk import constant_steps, make_trunk
from lab.store import export, lineage, release
from lab.store.store import Store
from lab.train.checkpoint import Checkpoints, as_dict
from lab.train.loop import Crew
from lab.train.schedule import multiplier
from lab.train.step import initial_state
from tests.conftest import ROOT, change
from tests.grids import begun
from tests.test_train import trained, trainer_in, without_times

STEPS = 4096
rates = jax.jit(multiplier, static_argnums=0)


def cells_of(config, steps=(120, 180), shape="1-sqrt", **fields):
    """Runs that differ in length alone, with a cool-down over their last fifth."""
    optim = OptimConfig(
        learning_rate=0.01, schedule="constant", warmup_steps=9, cooldown_fraction=0.2, cooldown_shape=shape
    )
    return [change(config, optim=optim, tokens=n * 128, **fields) for n in steps]


def joined(config, **fields):
    return grid.branched(cells_of(config, **fields))


@pytest.fixture
def corpus(config):
    return corpora.prepare(config.data.corpus, quiet=True)


@pytest.fixture
def working(tmp_path, monkeypatch):
    """A worker in this process over some configs; says how many failed."""
    monkeypatch.setattr(worker, "set_up", lambda task: None)  # no flag of jax changes here

    def work(configs, stopping=None, **options):
        task = worker.Task(str(tmp_path / "runs"), [to_json(c) for c in configs], **options)
        return worker.work(task, stopping or threading.Event())

    return work


class Looked(threading.Event):
    """Set from the n-th look on: a worker told to stop in the middle of its work."""

    def __init__(self, n):
        super().__init__()
        self.left = n

    def is_set(self):
        self.left -= 1
        return self.left < 0 or super().is_set()


# --- the schedule ------------------------------------------------------------------------------


@given(
    steps=st.integers(2, STEPS),
    fraction=st.floats(1e-3, 0.999),
    final=st.floats(0, 1),
    warmup=st.integers(0, 300),
    shape=st.sampled_from(["linear", "1-sqrt"]),
)
@settings(deadline=None, max_examples=60)
def test_until_it_cools_down_a_cell_has_its_trunks_rate_to_the_last_bit(
    config, steps, fraction, final, warmup, shape
):
    optim = OptimConfig(
        learning_rate=0.01,
        schedule="constant",
        warmup_steps=warmup,
        warmup_fraction=0.0,
        cooldown_fraction=fraction,
        cooldown_shape=shape,
        final_fraction=final,
    )
    cell = change(config, optim=optim, tokens=steps * 128)
    shared = constant_steps(cell)
    at = np.arange(STEPS, dtype=np.float32)

    def curve(run):
        sign = -1 if run.optim.cooldown_shape == "1-sqrt" else 1
        numbers = (
            run.warmup_steps,
            run.horizon_steps,
            sign * run.optim.cooldown_fraction,
            run.optim.final_fraction,
        )
        return np.asarray(rates("constant", at, *map(np.float32, numbers)))

    alone = curve(cell)
    if shared:
        np.testing.assert_array_equal(alone[:shared], curve(make_trunk(cell, shared))[:shared])
    if final < 0.99 and shared + 2 < steps:
        assert alone[shared + 2] < alone[max(shared, warmup)] or warmup > shared


def test_a_cool_down_is_linear_or_one_minus_the_root_of_its_part(config):
    at = np.arange(100, dtype=np.float32)
    done = np.clip((at - 80) / 20, 0, 1)
    linear, root = (np.asarray(rates("constant", at, 0.0, 100.0, sign * 0.2, 0.1)) for sign in (1, -1))
    np.testing.assert_allclose(linear, 0.1 + 0.9 * (1 - done), rtol=1e-5)
    np.testing.assert_allclose(root, 0.1 + 0.9 * (1 - np.sqrt(done)), rtol=1e-5)


# --- the plan ----------------------------------------------------------------------------------


def test_cells_of_several_lengths_become_one_chain_and_its_branches(config):
    cells = cells_of(config, steps=(100, 150, 200, 300)) + cells_of(config, steps=(100,), seed=1)
    found = grid.branched(cells)
    trunks, branches = found[:5], found[5:]
    assert [c.steps for c in trunks] == [80, 120, 160, 240, 80] and all(c.trunk for c in trunks)
    assert [c.branch_step for c in trunks] == [0, 80, 120, 160, 0]
    assert [c.trunk_id for c in trunks[1:4]] == [c.run_id for c in trunks[:3]]
    assert [c.run_id for c in branches] == [c.run_id for c in cells]
    assert [c.trunk_id for c in branches] == [c.run_id for c in trunks]
    spent = sum(map(counts.spent_flops, found)) / counts.flops_exact(config.model) / 128
    assert spent == 240 + 20 + 30 + 40 + 60 + 100, "each update is counted once"
    shared, alone = trunk.saving(found)
    assert shared / alone == pytest.approx(490 / 850)
    assert grid.price(found).flops == shared and grid.price(cells).flops == alone


def test_how_a_cell_cools_down_is_no_part_of_its_trunk(config):
    (a, b) = (joined(config, steps=(100,), shape=shape)[0] for shape in ("linear", "1-sqrt"))
    assert a.run_id == b.run_id
    both = grid.branched([*cells_of(config), *cells_of(config, shape="linear")])
    assert sum(c.trunk for c in both) == 2 and len(both) == 6
    assert joined(config, steps=(100,), seed=3)[0].run_id != a.run_id


def test_a_branch_has_the_id_of_the_cell_and_survives_json(config):
    cell, branch = cells_of(config)[0], joined(config)[-2]
    assert branch.init_from and branch.run_id == cell.run_id and branch.shape == cell.shape
    assert from_json(to_json(branch)) == branch
    assert grid.unique([branch, cell]) == grid.unique([cell, branch]) == [branch]


def test_a_run_that_is_a_cell_and_a_trunk_is_a_cell(config):
    found = joined(config)
    (one,) = grid.unique([found[1], replace(found[1], trunk=False, init_from="")])
    assert one.init_from == found[1].init_from and not one.trunk


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"schedule": "cosine"}, "schedule='cosine'; give its OptimConfig schedule='constant'"),
        ({"cooldown_fraction": 0.0}, "no constant part and cool-down to be parted at"),
        ({"cooldown_fraction": 1.0}, "cooldown_fraction=1 of 120 updates"),
        ({"warmup_steps": 0}, "warm up for 6 and 9 updates.*give OptimConfig.warmup_steps"),
    ],
)
def test_cells_that_share_nothing_are_refused(config, fields, said):
    cells = [replace(c, optim=replace(c.optim, **fields)) for c in cells_of(config)]
    with pytest.raises(ValueError, match=said):
        grid.branched(cells)


@pytest.mark.parametrize("wrong", ["x", "0a31881452a1@0", "0A31881452A1@3", "0a31881452a1@120"])
def test_an_origin_that_is_none_is_refused(config, wrong):
    with pytest.raises(ValueError, match="init_from="):
        replace(cells_of(config)[0], init_from=wrong)


def test_another_runs_trunk_and_one_that_nobody_trains_are_refused(config, tmp_path):
    branch, other = joined(config)[-1], joined(config, seed=1)[-1]
    with pytest.raises(ValueError, match=r"its own trunk there is .*grid\.branched"):
        lineage.resolve_trunks(Store(tmp_path), [replace(branch, init_from=other.init_from)])
    with pytest.raises(ValueError, match=r"neither finished nor a run of this grid"):
        lineage.resolve_trunks(Store(tmp_path), [branch])


def test_a_field_set_for_every_run_moves_the_trunks_too(config):
    changed = experiment.with_settings([*joined(config), config], ["optim.learning_rate=0.02"])
    found = grid.unique(changed)
    expected = [*joined(change(config), steps=(120, 180)), config]
    assert len(found) == len(expected) and {c.optim.learning_rate for c in found} == {0.02}
    assert [c.steps for c in found] == [c.steps for c in expected]
    for one in found:
        trunk.check(one)


@given(sizes=st.lists(st.sampled_from([8, 16]), min_size=1, max_size=4), at_least=st.integers(0, 9))
@settings(deadline=None)
def test_a_part_of_the_grid_holds_its_trunks_before_their_branches(config, sizes, at_least):
    configs = grid.unique(
        one for i, width in enumerate(sizes) for one in joined(config, seed=i, model__d_model=width)
    )
    dealt = parts([*configs, config], at_least)
    assert sorted(c.run_id for part in dealt for c in part) == sorted(c.run_id for c in [*configs, config])
    for part in dealt:
        ids = {c.run_id for c in part}
        assert all(c.trunk_id in ids for c in part if c.init_from)
    first = trunk.urgency(configs)
    assert all(first[c.trunk_id] > first[c.run_id] for c in configs if c.init_from)


# --- THE test, and what may happen to it -------------------------------------------------------


def final_state(store, config, like):
    checkpoints = Checkpoints(store.folder(config.run_id) / "checkpoints")
    found = checkpoints.restore(like)
    checkpoints.close()
    assert found.step == config.steps
    return as_dict(found.state)


@pytest.fixture
def alone(tmp_path_factory, config, corpus):
    """Both cells trained from their start, each on its own: their store and their records."""
    trainer = trainer_in(tmp_path_factory.mktemp("alone"))
    cells = cells_of(config)
    return trainer.store, {c.run_id: trained(trainer, c, corpus) for c in cells}


def check_equal(store, alone, config, configs):
    """Every cell's record, final state (moments and all) and later curve, to the last bit."""
    kept, records = alone
    like = initial_state(configs[0])
    for cell in (c for c in configs if not c.trunk):
        record = store.record(cell.run_id)
        for name in ("status", "loss", "loss_se", "bits_per_byte", "steps"):
            assert record[name] == records[cell.run_id][name], name
        ours, theirs = (final_state(s, cell, like) for s in (store, kept))
        for name, leaf in theirs.items():
            np.testing.assert_array_equal(leaf, ours[name], err_msg=name)
        points = {row["step"]: row for row in without_times(store, cell)}
        same = [row for row in without_times(kept, cell) if row["step"] in points]
        assert int(same[-1]["step"]) == cell.steps
        for row in same:
            assert row["loss"] == points[row["step"]]["loss"]


def test_a_branch_is_the_run_trained_alone_to_the_last_bit(working, tmp_path, config, alone):
    configs, store = joined(config), Store(tmp_path / "runs")
    assert working(configs[::-1]) == 0
    check_equal(store, alone, config, configs)
    record = store.record(configs[-1].run_id)
    assert record["init_from"] == configs[-1].init_from
    table_of = export.rows(store, configs)
    each = counts.flops_exact(config.model) * 128
    assert [row["status"] for row in table_of] == ["trunk", "trunk", "done", "done"]
    assert [row["flops"] / each for row in table_of] == pytest.approx([96, 144, 120, 180])
    assert [row["flops_spent"] / each for row in table_of] == pytest.approx([96, 48, 24, 36])
    curve = store.curve(configs[-1].run_id)
    assert float(curve[0]["tokens"]) < 10 * 128, "its curve begins with its trunk's"
    assert [float(row["seconds"]) for row in curve] == sorted(float(row["seconds"]) for row in curve)
    assert record["seconds"] < float(curve[-1]["seconds"])


def test_stopped_again_and_again_it_is_the_same(working, tmp_path, config, alone):
    configs, store = joined(config), Store(tmp_path / "runs")
    for _ in range(40):
        working(configs, stopping=Looked(3))
        if all(store.record(c.run_id) for c in configs):
            break
    logs = [store.record(c.run_id)["init_from"] for c in configs[1:]]
    assert logs == [c.init_from for c in configs[1:]]
    check_equal(store, alone, config, configs)


def test_begun_alone_and_gone_on_with_as_a_branch_or_the_other_way(working, tmp_path, config, alone):
    # what was spent follows what was done, whatever the plan said when it ended
    configs, store = joined(config), Store(tmp_path / "runs")
    cells = cells_of(config)
    working(cells[1:], stopping=Looked(2))  # at 64 of its 180 updates: its trunk's 144 are further
    assert 0 < store.newest_checkpoint(cells[1].run_id) < 144
    assert working(configs[:2]) == 0
    working(configs[2:], stopping=Looked(1))
    assert store.newest_checkpoint(cells[1].run_id) >= 144
    assert working(cells) == 0  # no plan of branches any more
    assert store.record(cells[1].run_id)["init_from"] == configs[3].init_from
    assert "init_from" not in store.record(cells[0].run_id)
    check_equal(store, alone, config, configs)


def test_a_longer_grid_goes_on_from_the_trunk_that_is_there(working, tmp_path, config):
    short, store = joined(config, steps=(120,)), Store(tmp_path / "runs")
    assert working(lineage.resolve_trunks(store, short)) == 0
    longer = lineage.resolve_trunks(store, joined(config, steps=(180,)))
    assert [c.init_from for c in longer[:1]] == [f"{short[0].run_id}@96"]
    assert grid.price(longer).flops == counts.flops_exact(config.model) * 128 * (48 + 36)
    assert working(longer) == 0
    both = export.rows(store, grid.unique(short + longer))
    each = counts.flops_exact(config.model) * 128
    assert sum(row["flops_spent"] for row in both) / each == pytest.approx(144 + 24 + 36)
    settled = lineage.resolve_trunks(store, joined(config))
    assert all(store.status(c.run_id) == "done" for c in settled), "nothing is done twice"


def test_a_cell_finished_alone_needs_no_trunk(tmp_path, config, alone):
    shutil.copytree(alone[0].root, tmp_path / "runs")
    store = Store(tmp_path / "runs")
    for cell in cells_of(config):
        store.write_record(cell.run_id, alone[1][cell.run_id])
    settled = lineage.resolve_trunks(store, joined(config))
    assert [c.trunk for c in settled] == [False, False]
    rows = export.rows(store, settled)
    assert [row["flops_spent"] for row in rows] == [row["flops"] for row in rows]


def test_a_trunk_whose_last_state_is_gone_is_gone_round(working, tmp_path, config):
    configs, store = joined(config), Store(tmp_path / "runs")
    assert working(configs[:2]) == 0
    shutil.rmtree(store.folder(configs[1].run_id) / "checkpoints")
    settled = {c.run_id: c for c in lineage.resolve_trunks(store, configs)}
    assert settled[configs[3].run_id].init_from == f"{configs[0].run_id}@96"
    assert working([configs[3]]) == 1
    failure = store.failure(configs[3].run_id)
    assert failure["kind"] == "trunk" and "is gone or damaged. Delete the folder" in failure["error"]


# --- who waits for whom ------------------------------------------------------------------------


def test_a_branch_waits_for_its_trunk_and_for_nothing_else(config, tmp_path):
    (short, long, first, second), store = joined(config), Store(tmp_path)
    asked, nobody = [second, first, long, short], set()
    number, _, held = choose(store, asked, nobody)
    assert asked[number] == short and held
    assert choose(store, asked, nobody)[0] == WAIT, "all others wait for it"
    assert choose(store, [first], nobody)[0] == WAIT, "it is in another's hands"
    store.write_record(short.run_id, {"status": "done", "steps": short.steps, "loss": 1.0})
    held.release()
    free = [asked[choose(store, asked, nobody)[0]] for _ in range(2)]
    assert free == [first, long]
    assert choose(store, asked, nobody)[0] == WAIT


@pytest.mark.parametrize("pack", [None, 2])
def test_a_trunk_that_fails_fails_its_branches_and_says_so(working, tmp_path, config, monkeypatch, pack):
    from lab.launch import attempt

    configs, store = joined(config, steps=(120, 180)), Store(tmp_path / "runs")
    other = change(config, seed=5)
    right = attempt.corpus_of

    def corpus_of(run):
        if run.run_id == configs[1].run_id:
            raise ValueError("broken on purpose")
        return right(run)

    monkeypatch.setattr(attempt, "corpus_of", corpus_of)
    assert working([*configs, other], pack=pack) == 2
    status = [store.status(c.run_id) for c in [*configs, other]]
    assert status == ["done", "failed", "done", "failed", "done"]
    failure = store.failure(configs[3].run_id)
    assert failure["kind"] == "trunk"
    assert "which failed (error: ValueError: broken on purpose)" in failure["error"]
    monkeypatch.setattr(attempt, "corpus_of", right)
    forget_failures(store, configs)
    monkeypatch.undo()
    assert [store.status(c.run_id) for c in configs] == ["done", "stopped", "done", "stopped"]


def test_a_branch_of_a_trunk_that_diverged_has_diverged_as_it_would_alone(working, tmp_path, config, corpus):
    def wild(steps):
        cells = cells_of(config, steps=steps)
        return [change(c, optim__learning_rate=1e38) for c in cells]

    record = trained(trainer_in(tmp_path / "alone"), wild((120,))[0], corpus)
    assert record["status"] == "diverged" and record["steps"] < 96
    configs, store = grid.branched(wild((120, 180))), Store(tmp_path / "runs")
    assert working(configs) == 0
    found = [store.record(c.run_id) for c in configs]
    # it is noticed after a dispatch, and these end at points of the curve
    assert found[0]["steps"] < 96 and abs(found[0]["steps"] - record["steps"]) < 3
    assert {(r["status"], r["steps"], r["loss"]) for r in found} == {("diverged", found[0]["steps"], None)}
    spent = [row["flops_spent"] for row in export.rows(store, configs)]
    assert spent[0] > 0 and spent[1:] == [0, 0, 0]


def test_second_tries_go_on_from_their_trunks_second_try(working, tmp_path, config, monkeypatch):
    configs, store = joined(config), Store(tmp_path / "runs")
    right = Crew.train

    def train_crew(crew):
        job = crew.offer()
        if not job.config.micro_batch and not job.config.init_from:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes")
        jobs = iter([job])
        crew.offer = lambda: next(jobs, None)
        right(crew)

    monkeypatch.setattr(Crew, "train", train_crew)
    assert working(configs) == 0
    again = [lineage.trained_as(store, c) for c in configs]
    assert [c.micro_batch for c in again] == [again[0].micro_batch] * 4 != [0] * 4
    assert [store.record(c.run_id)["init_from"] for c in again[2:]] == [
        f"{again[0].run_id}@96",
        f"{again[1].run_id}@144",
    ]
    for c in again[2:]:
        shutil.rmtree(store.folder(c.run_id))
    assert lineage.resolve_trunks(store, configs) == configs, "no trunk is trained again for a branch"
    shutil.rmtree(store.folder(again[1].run_id) / "checkpoints")
    settled = lineage.resolve_trunks(store, configs)
    assert settled == [*configs[:3], replace(configs[3], init_from="")]


@pytest.mark.parametrize("which", [1, 3])
def test_a_released_branch_is_trained_again_alone_and_compared_from_its_trunks_end(
    working, tmp_path, config, monkeypatch, capsys, which
):
    def train_here(store, run, place):
        task = worker.Task(str(store.root), [to_json(run)])
        assert worker.work(task, threading.Event()) == 0, store.failure(run.run_id)

    configs, store = joined(config), Store(tmp_path / "runs")
    assert working(configs) == 0
    release.write(store, configs, "both", tmp_path / "given", {}, "")
    monkeypatch.setattr(verify, "train", train_here)
    run_id = configs[which].run_id
    asked = Namespace(folder=tmp_path / "given", run_id=run_id, code=[])
    assert command.check(asked) == 0
    own = [row for row in store.curve(run_id) if int(row["step"]) > configs[which].branch_step]
    assert own and f"equal to the last bit: {len(own) + 1} losses" in capsys.readouterr().out


def test_trunks_and_branches_share_packs_and_agree_to_float_error(working, tmp_path, config, alone):
    configs = joined(config)
    more = joined(config, seed=1)
    assert working([*configs, *more], pack=4) == 0
    store, (_, records) = Store(tmp_path / "runs"), alone
    for cell in configs[2:]:
        record = store.record(cell.run_id)
        assert record["way"] == "pack" and record["init_from"] == cell.init_from
        assert record["loss"] == pytest.approx(records[cell.run_id]["loss"], rel=2e-3)


# --- the table and the command -----------------------------------------------------------------


def test_trunks_stay_out_of_fits_and_every_flop_is_counted_once(tmp_path, config):
    configs = joined(config, steps=(100, 150, 200, 300))
    rows = [
        export.row(c, {"status": "done", "steps": c.steps, "loss": 1.0, "init_from": c.init_from or None})
        for c in configs
    ]
    export.write(rows, tmp_path / "runs.csv")
    found = table.read(tmp_path / "runs.csv")
    assert len(found.usable()) == 4
    assert {reason for _, reason in found.dropped()} == {"status is trunk"}
    assert found.roles["flops"] == "flops"
    np.testing.assert_allclose(found.usable().flops, [counts.run_flops(c) for c in configs[4:]])
    assert found.column("flops_spent").sum() == pytest.approx(trunk.saving(configs)[0])


GRID = """
import sys
sys.path.insert(0, {tests!r})
import tiny
from dataclasses import replace
from lab import grid
from lab.config import OptimConfig

def runs():
    optim = OptimConfig(learning_rate=0.01, schedule="constant", warmup_steps=5,
                        cooldown_fraction=0.2, cooldown_shape="1-sqrt")
    base = tiny.runs()[:2]
    cells = [replace(c, optim=optim, tokens=n * 256, budget=0.0) for c in base for n in (100, 200)]
    return grid.branched(cells)
"""


def test_the_command_plans_trains_and_counts_a_branched_grid(lab_command, tmp_path):
    (tmp_path / "cool.py").write_text(GRID.format(tests=str(ROOT / "tests")))
    said = lab_command("plan", "cool.py").stdout
    assert "shared: 4 trunks and 4 branches train" in said and ": 73 % of the" in said
    assert said.count(", trunk") == 4 and said.count(", from ") == 6
    lab_command("run", "cool.py", "--workers", "2")
    assert "8/8 runs done" in lab_command("status", "cool.py").stdout
    assert "8 runs, 0 to train" in lab_command("run", "cool.py").stdout
    lab_command("export", "cool.py", "-o", "runs.csv")
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["trunk"] * 4 + ["done"] * 4
    total = sum(float(row["flops_spent"]) for row in rows)
    shared = float(re.search(r"branches train ([\d.e+]+) FLOPs", said)[1])
    assert total == pytest.approx(shared, rel=0.01)
    ids = [row["run_id"] for row in rows]
    assert sorted(begun(tmp_path / "runs")) == sorted(ids), "each was trained once"
