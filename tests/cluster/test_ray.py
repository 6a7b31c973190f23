"""A real Ray of two nodes on this machine: one is killed mid-grid, and the grid ends complete."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.cluster.conftest import FAILING, GRID, check_the_failure_ended_the_grid, curves, lab, said, until
from tests.conftest import ROOT, data_folder
from tests.grids import begun, processes, records

pytest.importorskip("ray", reason="ray is not installed: `make test-cluster`")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each."""
    from ray.cluster_utils import Cluster

    found = Cluster(head_node_args={"num_cpus": 1, "include_dashboard": True}, initialize_head=True)
    found.second = found.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", found.address)
        patch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
        yield found
    found.shutdown()


def start(store, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "run", str(GRID), "--store", str(store), "--launcher", "ray", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()},
        cwd=store.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def below(pid: int) -> list[int]:
    """A process and all that it started, and these started."""
    rows = [line.split() for line in said("ps", "-eo", "pid=,ppid=").splitlines()]
    found = [pid]
    for parent in found:
        found += [int(child) for child, of in rows if int(of) == parent]
    return found


@pytest.mark.slow
def test_an_interrupted_grid_is_saved_and_goes_on(store, undisturbed, cluster):
    process = start(store, "--workers", "1")
    until(lambda: list(store.glob("*/curve.csv")))
    assert len(processes(store)) == 1
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "the same command goes on from here" in out
    assert re.search(r"stopped +1\n", lab("status", store).stdout) and not processes(store)
    done = lab("run", store, "--launcher", "ray", "--launcher-option", "num-cpus=1")
    assert done.returncode == 0, done.stderr
    assert records(store) == records(undisturbed)


def test_fail_fast_ends_the_grid(tmp_path, cluster):
    store = tmp_path / "runs"
    options = ("--launcher", "ray", "--workers", "2", "--fail-fast")
    check_the_failure_ended_the_grid(store, lab("run", store, *options, grid=FAILING))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--launcher-option", "address=127.0.0.1:1"), "no Ray cluster answers at 127.0.0.1:1"),
        (("--launcher-option", "num-gpus=all"), "takes numbers"),
    ],
)
def test_what_ray_will_not_take_is_told_in_a_line(store, cluster, options, message):
    done = lab("run", store, "--launcher", "ray", *options)
    assert done.returncode == 1 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_killed_mid_grid_costs_no_run(store, undisturbed, cluster, capsys):
    process = start(store)
    until(lambda: len(list(store.glob("*/curve.csv"))) == 2)
    node = below(cluster.second.all_processes["raylet"][0].process.pid)
    assert len(set(node) & set(processes(store))) == 1
    unfinished = {path.parent.name for path in store.glob("*/curve.csv")}
    unfinished -= set(records(store))
    for pid in node:
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=240)
    until(lambda: "DEAD" in said("ray", "list", "nodes"))  # the grid may be done before Ray says so
    nodes, tasks = said("ray", "list", "nodes"), said("ray", "list", "tasks", "--detail")
    with capsys.disabled():
        print("\n", nodes, said("ray", "list", "tasks"), sep="\n")
    assert process.returncode == 0, out
    assert "4/4 runs done" in out and "attempt_number: 1" in tasks
    assert records(store) == records(undisturbed)
    assert curves(store) == curves(undisturbed)
    trained = begun(store)
    twice = {run_id for run_id in trained if trained.count(run_id) > 1}
    assert len(twice) == 1 and twice <= unfinished
