"""A run over two processes of two forced devices each, joined by jax.distributed and Gloo."""

import csv
import os
import signal
import time

import pytest

from tests.grids import begun, launch, processes, records

ONE_RUN = ("--set", "model.d_model=16", "--set", "tokens=51200", "--save-seconds", "0.5")


def first_point(store):
    (path,) = store.glob("*/curve.csv")
    with path.open(newline="") as file:
        row = next(csv.DictReader(file))
    return [float(row[name]) for name in ("step", "train_loss", "grad_norm", "loss")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    store = tmp_path_factory.mktemp("alone") / "runs"
    process = launch(store, *ONE_RUN)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return store


@pytest.mark.long
@pytest.mark.parametrize("way", ["fsdp"])  # mesh over two hosts: tests/test_parallel.py
def test_a_run_of_two_hosts_one_of_them_killed_ends_where_one_device_does(tmp_path, alone, way):
    spread = tmp_path / "spread"
    process = launch(spread, *ONE_RUN, "--hosts", "2", "--devices", "2", "--way", way)
    deadline = time.monotonic() + 300
    while not list(spread.glob("*/checkpoints/[0-9]*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    hosts = processes(spread)
    assert len(hosts) == 2
    os.kill(max(hosts), signal.SIGKILL)  # the second: the first holds the claim
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    (run_id,) = records(spread)
    record, expected = records(spread)[run_id], records(alone)[run_id]
    assert (record["devices"], record["way"], record["steps"]) == (4, way, expected["steps"])
    assert record["loss"] == pytest.approx(expected["loss"], rel=2e-3)
    # Adam hides a gradient that is too large; its norm does not
    assert first_point(spread) == pytest.approx(first_point(alone), rel=1e-3)
    assert begun(spread) == [run_id] * 2
