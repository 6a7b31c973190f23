"""A real Slurm on the loopback: jobs warned, preempted and queued again end as if undisturbed."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import (
    FAILING,
    HERE,
    check_the_failure_ended_the_grid,
    curves,
    lab,
    released,
    said,
    until,
)
from tests.conftest import ROOT
from tests.grids import begun, processes, records

ONE_RUN = ("--set", "model.d_model=16", "--set", "tokens=204800")  # makes one run of the grid
TINY = ROOT / "tests" / "tiny.py"

os.environ["PATH"] += ":/usr/sbin"
pytest.importorskip("submitit", reason="submitit is not installed: `make test-cluster`")
if missing := [name for name in ("slurmctld", "slurmd", "munged") if not shutil.which(name)]:
    pytest.skip(f"Slurm is not installed: no {', '.join(missing)}", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([HERE / "slurm.sh", "start", folder], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder
    subprocess.run([HERE / "slurm.sh", "stop", folder], check=True)


def submit(store: Path, *options: str, **grid: Path) -> str:
    done = lab("run", store, "--launcher", "slurm", *options, **grid)
    assert done.returncode == 0, done.stderr
    return re.search(r"submitted job (\d+)", done.stdout)[1]


def training(store: Path, job: str) -> set[str]:
    """Runs of one element of the array that train now."""
    order = json.loads(next(store.glob(".slurm/*/order.json")).read_text())
    widths = {config["model"]["d_model"] for config in order["parts"][int(job.split("_")[1])]}
    return {
        path.parent.name
        for path in store.glob("*/curve.csv")
        if json.loads((path.parent / "config.json").read_text())["model"]["d_model"] in widths
        and not (path.parent / "record.json").exists()
        and not released(path.parent)
    }


def state(job: str) -> str:
    return re.search(r"JobState=(\w+)", said("scontrol", "show", "job", "-o", job))[1]


def hurry(job: str) -> None:
    """Slurm lets two minutes pass before it starts a job again; not so here."""
    until(lambda: state(job) != "COMPLETING")
    said("scontrol", "update", f"JobId={job}", "StartTime=now")


def test_warned_preempted_and_terminated_jobs_end_as_if_undisturbed(store, undisturbed, slurm, capsys):
    job = submit(store)
    first, second = f"{job}_0", f"{job}_1"
    listings, stopped = [said("squeue", "--array")], set()
    high = ("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    for element, disturb in (
        (first, ("scancel", "--signal=USR1", first)),
        (second, high),
        (first, ("scontrol", "requeue", first)),
        (second, ("scancel", "--signal=TERM", second)),
    ):
        hurry(element)
        (run_id,) = until(lambda element=element: training(store, element))
        time.sleep(0.5)
        said(*disturb)
        until(lambda element=element: state(element) == "PENDING")
        listings.append(said("squeue", "--array") + said("scontrol", "show", "job", "-o", element))
        if not (store / run_id / "record.json").exists():
            stopped.add(run_id)
            assert released(store / run_id), "it was killed, not stopped"
            assert list((store / run_id / "checkpoints").iterdir())
    for element in (first, second):
        hurry(element)
    done = lab("run", store, "--launcher", "slurm", "--wait")
    listings.append((slurm / "jobs.txt").read_text())
    with capsys.disabled():
        print("\n", *listings, sep="\n")
    assert done.returncode == 0, done.stderr
    assert "submitted" not in done.stdout and "4/4 runs done" in done.stdout
    assert len(stopped) >= 2
    assert records(store) == records(undisturbed)
    assert curves(store) == curves(undisturbed)
    trained = begun(store)
    assert {run_id for run_id in trained if trained.count(run_id) > 1} <= stopped
    assert "PREEMPTED" in listings[-1]


@pytest.mark.slow
def test_cancelled_jobs_save_their_runs_and_stay_away(store):
    job = submit(store, "--workers", "1", "--launcher-option", "time=10")
    batch = next(store.glob(f".slurm/*/{job}_submission.sh")).read_text()
    assert "--time=10" in batch and "--array=0-1%1" in batch
    until(lambda: training(store, f"{job}_0"))
    said("scancel", job)
    until(lambda: job not in said("squeue", "--noheader", "--format=%F").split())
    assert state(f"{job}_0") == "CANCELLED"
    counted = lab("status", store).stdout
    assert re.search(r"stopped +1\n", counted) and re.search(r"left +3\n", counted), counted


@pytest.mark.slow
def test_a_job_at_its_time_limit_goes_back_to_the_queue(store, capsys):
    options = ("time=1", "signal=USR2@50")  # Slurm looks at the clock twice a minute
    job = submit(
        store,
        *(word for o in options for word in ("--launcher-option", o)),
        "--set",
        "tokens=3900000",
        "--set",
        "model.n_layer=6",
    )
    until(lambda: training(store, f"{job}_0"), 120)
    until(lambda: state(f"{job}_0") == "PENDING", 180)
    listing = said("squeue", "--array") + said("scontrol", "show", "job", "-o", f"{job}_0")
    assert said("scancel", job) == ""
    with capsys.disabled():
        print("\n", listing)
    assert training(store, f"{job}_0") == set() and list(store.glob("*/checkpoints/*"))
    assert all(released(path.parent) for path in store.glob("*/curve.csv"))


def test_fail_fast_ends_the_whole_array(tmp_path):
    store = tmp_path / "runs"
    options = ("--launcher", "slurm", "--workers", "2", "--fail-fast", "--wait")
    done = lab("run", store, *options, grid=FAILING)
    check_the_failure_ended_the_grid(store, done)
    job = re.search(r"submitted job (\d+): 5 runs in 3 elements", done.stdout)[1]
    assert job not in said("squeue", "--noheader", "--format=%F").split()
    assert state(f"{job}_2") == "CANCELLED"


def test_a_run_over_two_nodes_one_of_them_killed_ends_where_one_device_does(tmp_path):
    store, alone = tmp_path / "runs", tmp_path / "alone"
    assert lab("run", alone, *ONE_RUN, grid=TINY).returncode == 0
    spread = ("--hosts", "2", "--launcher-option", "partition=pair", "--save-seconds", "0.5")
    job = submit(store, *ONE_RUN, *spread, grid=TINY)
    until(lambda: list(store.glob("*/checkpoints/[0-9]*")))
    listing = said("squeue", "--noheader", f"--jobs={job}", "--format=%D %N")
    assert listing.split()[0] == "2", listing
    (claim,) = store.glob("*/claim-*.json")
    (second,) = set(processes(store)) - {json.loads(claim.read_text())["pid"]}
    os.kill(second, signal.SIGKILL)
    until(lambda: state(job) == "PENDING")  # of one element: no array
    hurry(job)
    done = lab("run", store, *ONE_RUN, *spread, "--launcher", "slurm", "--wait", grid=TINY)
    assert done.returncode == 0 and "1/1 runs done" in done.stdout, done.stderr
    (run_id,) = records(store)
    record, expected = records(store)[run_id], records(alone)[run_id]
    assert (record["devices"], record["way"], record["steps"]) == (2, "mesh", expected["steps"])
    assert record["loss"] == pytest.approx(expected["loss"], rel=2e-3)
    assert begun(store) == [run_id] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--launcher-option", "partition=nowhere"), "Slurm refused the jobs: .*partition"),
        (("--launcher-option", "colour=blue"), "Slurm refused the jobs: .*colour"),
        (("--launcher-option", "array=0-9"), "array is set by the launcher itself"),
        (("--launcher-option", "partition"), "write it name=value"),
    ],
)
def test_what_slurm_will_not_take_is_told_in_a_line(store, options, message):
    done = lab("run", store, "--launcher", "slurm", *options)
    assert done.returncode == 1 and re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 3
