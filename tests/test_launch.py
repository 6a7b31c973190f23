"""Real `lab run` processes on a tiny grid: shared, interrupted, killed, gone on with."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, data_folder
from tests.grids import TINY, begun, launch, processes, records


def test_every_run_of_the_grid_is_done_once(undisturbed):
    found = records(undisturbed)
    assert len(found) == 4 and {record["status"] for record in found.values()} == {"done"}
    assert sorted(begun(undisturbed)) == sorted(found)


def test_a_second_run_trains_nothing(undisturbed):
    before = begun(undisturbed)
    process = launch(undisturbed)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and "0 to train" in said
    assert begun(undisturbed) == before


def test_a_deleted_run_alone_is_trained_again_to_the_same_bits(undisturbed):
    before, started = records(undisturbed), begun(undisturbed)
    gone = sorted(before)[1]
    subprocess.run(["rm", "-r", str(undisturbed / gone)], check=True)
    process = launch(undisturbed)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0 and "1 to train" in said
    assert records(undisturbed) == before
    again = begun(undisturbed)
    assert len(again) == len(started) + 1 and again.count(gone) == 2


@pytest.mark.slow
def test_two_launchers_share_one_store_and_train_nothing_twice(undisturbed, tmp_path):
    store = tmp_path / "runs"
    both = [launch(store, "--workers", "1"), launch(store, "--workers", "1")]
    for process in both:
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 0, said
    assert records(store) == records(undisturbed)
    assert sorted(begun(store)) == sorted(records(store))


@pytest.mark.slow
def test_an_interrupted_grid_says_how_to_go_on_and_leaves_no_worker(tmp_path):
    store = tmp_path / "runs"
    process = launch(store)
    deadline = time.monotonic() + 60
    while not list(store.glob("*/curve.csv")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "the same command goes on from here" in said
    for claim in store.glob("*/claim-*.json"):
        assert json.loads(claim.read_text()).get("released")


@pytest.mark.slow
def test_a_second_interrupt_stops_at_once_and_loses_no_record(tmp_path):
    store = tmp_path / "runs"
    process = launch(store)
    deadline = time.monotonic() + 60
    while not processes(store) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(3)  # workers are starting or compiling: they would not stop by themselves yet
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    time.sleep(0.5)
    # by the signal itself where it was on its way out when the second came
    assert process.returncode in (1, -signal.SIGINT) and not processes(store)


def test_one_bad_cell_does_not_stop_the_grid_and_is_told(tmp_path):
    store = tmp_path / "runs"
    experiment = tmp_path / "bad.py"
    experiment.write_text(
        f"import sys; sys.path.insert(0, {str(TINY.parent)!r})\n"
        "import tiny\nfrom lab.plan.grid import with_fields\n"
        "def runs():\n    a, *rest = tiny.runs()\n"
        "    return [with_fields(a, {'data__sha256': '0' * 64}), rest[-1]]\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()}
    command = [sys.executable, "-m", "lab", "run", str(experiment), "--store", str(store)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and len(records(store)) == 1
    assert "failed: " in done.stderr and "the data changed since" in done.stderr
    (failure,) = store.glob("*/failure.json")
    assert "Traceback" in json.loads(failure.read_text())["log"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["mesh", pytest.param("pmap", marks=pytest.mark.long)])
def test_a_grid_spread_over_two_devices_ends_where_one_device_does(undisturbed, tmp_path, way):
    store = tmp_path / "runs"
    process = launch(store, "--devices", "2", "--way", way)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    alone = records(undisturbed)
    for run_id, record in records(store).items():
        assert (record["devices"], record["way"]) == (2, way)
        assert record["loss"] == pytest.approx(alone[run_id]["loss"], rel=2e-3)
