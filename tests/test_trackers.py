"""`lab run --log`: what a curve holds in the store is told once, in order, to whom it was asked for."""

import csv
import sys
import types

import pytest

from lab.commands.trackers import SINKS, Tracker, trackers
from lab.store.records import CURVE
from lab.store.store import Store
from tests.conftest import change


def point(step, loss):
    return dict.fromkeys(CURVE, 1.0) | {"step": step, "loss": loss}


@pytest.fixture
def runs(config, tmp_path):
    store, configs = Store(tmp_path / "runs"), [config, change(config, seed=1)]
    for run in configs:
        store.folder(run.run_id).mkdir(parents=True)
        store.start_curve(run.run_id, 0, ",".join(CURVE) + "\n")
    return store, configs


def test_every_point_is_told_once_as_it_comes(runs):
    store, (first, second) = runs
    told = []
    tracker = Tracker(
        store, runs[1], lambda run, points: told.extend((run.run_id, p["step"], p["loss"]) for p in points)
    )
    tracker.look()
    assert told == []
    store.add_to_curve(first.run_id, point(5, 3.0))
    tracker.look()
    assert told == [], "not so often"
    tracker.look(at_once=True)
    store.add_to_curve(second.run_id, point(5, 2.5))
    store.add_to_curve(first.run_id, point(9, 2.0))
    tracker.look(at_once=True)
    tracker.look(at_once=True)
    assert told == [(first.run_id, 5, 3.0), (first.run_id, 9, 2.0), (second.run_id, 5, 2.5)]


def test_the_csv_has_the_curves_as_the_store_has_them(runs, tmp_path):
    store, (first, _) = runs
    (tracker,) = trackers(["csv", "csv"], store, runs[1], tmp_path / "out", "mine")
    for step in (5, 9):
        store.add_to_curve(first.run_id, point(step, 3.0 / step))
        tracker.look(at_once=True)
    lines = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert [(line["run_id"], float(line["step"]), float(line["loss"])) for line in lines] == [
        (first.run_id, 5, 0.6),
        (first.run_id, 9, 3.0 / 9),
    ]
    assert set(lines[0]) == {"run_id", "params", *CURVE}


def test_what_one_command_trains_in_turn_is_kept_and_told_once(runs, tmp_path):
    store, (first, second) = runs
    for i, own in enumerate(([first], [second], [first, second])):
        (tracker,) = trackers(["csv"], store, own, tmp_path / "out", "mine")
        for run in own:
            store.add_to_curve(run.run_id, point(5 + i, 2.0))
        tracker.look(at_once=True)
    lines = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    told = [(line["run_id"], float(line["step"])) for line in lines]
    assert told == [(first.run_id, 5), (second.run_id, 6), (first.run_id, 7), (second.run_id, 7)]


def test_wandb_is_given_a_run_with_its_config(runs, tmp_path, monkeypatch):
    store, (first, _) = runs
    begun, told = [], []
    run = types.SimpleNamespace(log=lambda point, step: told.append((step, point["loss"])))
    monkeypatch.setitem(
        sys.modules, "wandb", types.SimpleNamespace(init=lambda **about: begun.append(about) or run)
    )
    (tracker,) = trackers(["wandb"], store, runs[1], tmp_path / "out", "mine")
    for step in (5, 9):
        store.add_to_curve(first.run_id, point(step, 2.0))
        tracker.look(at_once=True)
    assert [(about["project"], about["id"]) for about in begun] == [("mine", first.run_id)]
    assert begun[0]["config"]["model"]["d_model"] == 16 and told == [(5, 2.0), (9, 2.0)]


def test_tensorboard_gets_event_files(runs, tmp_path):
    pytest.importorskip("tensorboardX")
    store, (first, _) = runs
    store.add_to_curve(first.run_id, point(5, 2.0))
    (tracker,) = trackers(["tensorboard"], store, runs[1], tmp_path / "out", "mine")
    tracker.look()
    files = (tmp_path / "out" / "tensorboard" / first.run_id).iterdir()
    assert b"train_loss" in b"".join(file.read_bytes() for file in files)


def test_a_package_that_is_not_here_is_named_before_anything_is_trained(runs, tmp_path, monkeypatch):
    assert trackers([], *runs, tmp_path / "out", "mine") == [] and not (tmp_path / "out").exists()
    for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ValueError, match=f"pip install {package}"):
            trackers([name], *runs, tmp_path / "out", "mine")
    assert set(SINKS) == {"csv", "tensorboard", "wandb"}
