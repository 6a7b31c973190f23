"""What the launchers of clusters do about a failure, told to engines that only take notes."""

import json
import subprocess
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from lab.config import to_json
from lab.launch import ray, slurm
from lab.launch.order import Order
from lab.store.store import Store
from tests.conftest import change


@pytest.fixture
def three(config):
    """Three runs of three shapes: a part of the grid each."""
    return [change(config, model__d_model=width) for width in (8, 16, 24)]


def fail(store, config):
    store.claim(config).release()
    store.write_failure(config.run_id, {"run_id": config.run_id, "kind": "error", "error": "x"})


class Cancelled(Exception): ...


class Engine:
    """Ray as far as a grid needs it: the first task to be handed out is the first to be over, and
    then its first run has failed; one that is cancelled ends as `when_cancelled` says."""

    exceptions = SimpleNamespace(RayError=Cancelled)

    def __init__(self, store, when_cancelled):
        self.store, self.when_cancelled = store, when_cancelled
        self.handed_out, self.cancelled = [], []

    def remote(self, told):
        self.handed_out.append(told)
        return len(self.handed_out) - 1

    def wait(self, refs, num_returns=1, timeout=None):
        return refs[:num_returns], refs[num_returns:]

    def get(self, ref):
        if ref in self.cancelled and self.when_cancelled == "raises":
            raise Cancelled("the task was cancelled")
        if ref == 0:
            (config,) = ray.configs_of(self.handed_out[0])
            fail(self.store, config)
        return "stopped" if ref in self.cancelled else "finished"

    def cancel(self, ref):
        self.cancelled.append(ref)


@pytest.mark.parametrize("when_cancelled", ["returns", "raises"])
@pytest.mark.parametrize("fail_fast", [True, False])
def test_ray_hands_nothing_out_after_a_failure_that_is_to_be_fast(tmp_path, three, fail_fast, when_cancelled):
    engine = Engine(Store(tmp_path), when_cancelled)
    ask = [{"store": str(tmp_path), "configs": [to_json(config)]} for config in three]
    order = Order(workers=2, fail_fast=fail_fast)
    assert ray.follow(engine, engine, ask, order, lambda: None) == "finished"
    assert len(engine.handed_out) == (2 if fail_fast else 3)
    assert engine.cancelled == ([1] if fail_fast else [])


@pytest.mark.parametrize(("asked", "room"), [({"num-gpus": "0"}, 3), ({"num-cpus": "4", "num-gpus": "0"}, 2)])
def test_what_a_ray_task_takes_none_of_bounds_no_room(tmp_path, three, monkeypatch, asked, room):
    told = []
    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 8.0}, shutdown=lambda: None)
    monkeypatch.setattr(ray, "connected", lambda order: cluster)
    monkeypatch.setattr(ray, "task_of", lambda *_: None)
    monkeypatch.setattr(ray, "parts", lambda configs, room: told.append(room) or [])
    assert ray.launch(Store(tmp_path), three, Order(options=asked)) == "finished"
    assert told == [room]


@pytest.fixture
def element(tmp_path, three, monkeypatch):
    """An element of array 7 over two of the runs; gives back what it told Slurm. `failing` of them
    fail in it, and it is element `host` of those that share its runs."""
    told = []

    def run(failing, host="0", **order):
        def launch(store, configs, order):
            for config in configs[:failing]:
                fail(store, config)
            return "finished"

        file = tmp_path / "order.json"
        parts = [[], [to_json(config) for config in three[:2]]]
        order = asdict(Order(**order))
        file.write_text(json.dumps({"store": str(tmp_path), "order": order, "parts": parts}))
        monkeypatch.setattr(slurm.local, "launch", launch)
        monkeypatch.setenv("SLURM_PROCID", host)
        slurm.element(str(file), 1)
        return told

    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setattr(slurm.subprocess, "run", lambda command, **_: told.append(command))
    return run


def test_slurm_cancels_the_whole_array_at_the_first_failure_when_asked(element):
    assert element(failing=1, fail_fast=True) == [["scancel", "7"]]


def test_slurm_cancels_nothing_unasked_or_without_a_failure(element):
    assert element(failing=0, fail_fast=True) == []
    assert element(failing=2) == []


def test_of_several_hosts_the_first_alone_cancels(element):
    assert element(failing=1, host="1", hosts=2, fail_fast=True) == []
    assert element(failing=1, host="0", hosts=2, fail_fast=True) == [["scancel", "7"]]


def test_slurm_waited_for_calls_a_grid_that_failed_fast_over(tmp_path, three, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    monkeypatch.setattr(slurm, "queued", set)
    monkeypatch.setattr(slurm, "submit", lambda *_: fail(store, three[0]) or "7")
    assert slurm.launch(store, three, Order(fail_fast=True)) == "finished"
    with pytest.raises(slurm.LaunchError, match="2 of its runs are not"):
        slurm.launch(store, three, Order())


def test_a_slurm_that_answers_badly_is_told_in_a_line(monkeypatch):
    answer = subprocess.CompletedProcess([], 1, "", "Unable to contact slurm controller\n")
    monkeypatch.setattr(slurm.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(slurm.LaunchError, match="squeue failed: Unable to contact"):
        slurm.queued()
