"""What a failure is called, what it costs the grid, and where the run asked for is found again."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from types import SimpleNamespace

import jax
import pytest

from lab.commands.run import forget_failures, report_failures
from lab.commands.view import View
from lab.config import to_json
from lab.data import corpora
from lab.data.corpora import CorpusError
from lab.launch import local, slurm, worker
from lab.launch.attempt import Attempts
from lab.launch.order import LaunchError, Order
from lab.store import export
from lab.store.claims import claim_path
from lab.store.failures import halve, has_failed, kind_of, trained_as
from lab.store.files import sealed, write_json
from lab.store.records import CURVE
from lab.store.store import Store
from lab.train import parallel
from lab.train.keeper import LostClaim
from lab.train.loop import Crew
from tests.conftest import ROOT, change

JaxRuntimeError = type("JaxRuntimeError", (RuntimeError,), {})


def caused(by):
    try:
        raise ValueError("writing failed") from by
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (caused(OSError(errno.EDQUOT, "Disk quota exceeded")), "disk full"),
        (ValueError("RESOURCE_EXHAUSTED: Error writing 'x': No space left on device"), "disk full"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), "out of memory"),
        (MemoryError(), "out of memory"),
        (CorpusError("corpus 'x' is not prepared"), "corpus"),
        (ModuleNotFoundError("No module named 'jax'"), "import"),
        (JaxRuntimeError("INTERNAL: CUDA error: an uncorrectable ECC error"), "bad node"),
        (JaxRuntimeError("UNKNOWN: Gloo failed: Connection closed by peer"), "lost host"),
        (JaxRuntimeError("INVALID_ARGUMENT: shapes differ"), "error"),
        (ZeroDivisionError("division by zero"), "error"),
    ],
)
def test_an_error_is_called_what_it_is(error, kind):
    assert kind_of(error) == kind


def test_half_the_micro_batch_divides_the_batch_and_the_devices(config):
    assert halve(config, 8).micro_batch == 4  # of a batch of 8
    assert halve(change(config, micro_batch=2), 2).micro_batch == 1
    assert halve(change(config, micro_batch=1), 1) is None
    assert halve(config, 8, devices=4).micro_batch == 4 and halve(config, 8, devices=8) is None
    odd = change(config, batch_tokens=9 * 16)
    assert halve(odd, 9).micro_batch == 3


def test_a_second_try_stands_in_the_table_for_the_run_asked_for(config, tmp_path):
    store, again = Store(tmp_path), halve(config, 8)
    for run in (config, again):
        store.claim(run).release()
    named = {"run_id": again.run_id, "micro_batch": 4}
    store.write_failure(config.run_id, {"run_id": config.run_id, "retried_as": named})
    assert trained_as(store, config) == again and trained_as(store, again) == again
    assert export.rows(store, [config]) == []
    store.write_record(again.run_id, {"status": "done", "steps": 40, "loss": 1.0, "seconds": 1.0})
    (row,) = export.rows(store, [config])
    assert (row["run_id"], row["asked_for"]) == (again.run_id, config.run_id)
    assert row["micro_batch"] == 4
    for wrong in (named | {"micro_batch": 3}, named | {"run_id": "x"}, "y", {"micro_batch": "4"}):
        store.write_failure(config.run_id, {"run_id": config.run_id, "retried_as": wrong})
        assert trained_as(store, config) == config


@pytest.fixture
def worked(tmp_path, config, monkeypatch):
    """A worker in this process over two runs that train at once, as far as there is memory: the
    first needs more than `most` sequences' worth unless its micro-batch is at most that."""
    small = change(config, model__d_model=8)
    store = Store(tmp_path)
    monkeypatch.setattr(worker, "set_up", lambda task: None)  # no flag of jax changes here

    def work(most, **options):
        def train_crew(crew):
            job = crew.offer()
            run = job.config
            job.corpus()
            if run.model.d_model == 16 and (run.micro_batch or run.batch_size) > most:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes")
            store.start_curve(run.run_id, 0)
            store.add_to_curve(run.run_id, dict.fromkeys(CURVE, 1))
            crew.ended(run, {"status": "done", "steps": run.steps, "loss": 1.0, "seconds": 1.0})

        monkeypatch.setattr(Crew, "train", train_crew)
        todo = [to_json(config), to_json(small)]
        return worker.work(worker.Task(str(tmp_path), todo, **options), threading.Event())

    return store, config, small, work


def test_out_of_memory_is_tried_once_more_with_half_the_micro_batch(worked, capsys):
    store, config, small, work = worked
    assert work(most=4) == 0
    assert store.status(config.run_id) == "failed" and store.status(small.run_id) == "done"
    failure = store.failure(config.run_id)
    assert failure["kind"] == "out of memory" and "Traceback" in failure["log"]
    again = trained_as(store, config)
    assert again.micro_batch == 4 and store.status(again.run_id) == "done"
    assert report_failures(store, [config, small]) == 0
    assert f"micro_batch=4, as run {again.run_id}" in capsys.readouterr().err
    view = View(store, [config, small], 1)
    view.read(quiet=True)
    assert view.summary() == "2/2 runs done"


def test_out_of_memory_twice_is_a_failure_and_retry_failed_begins_with_the_whole_batch(worked, capsys):
    store, config, small, work = worked
    assert work(most=2) == 1 and store.status(small.run_id) == "done"
    assert "retried_as" not in store.failure(trained_as(store, config).run_id)
    assert report_failures(store, [config, small]) == 1
    assert "failed: " in capsys.readouterr().err
    assert work(most=8) == 0 and store.status(config.run_id) == "failed"  # not without being asked
    forget_failures(store, [config, small])
    assert work(most=8) == 0 and store.status(config.run_id) == "done"
    assert not list(store.root.glob("*/failure.json"))


def test_several_hosts_start_anew_after_whatever_happened_to_one(worked, monkeypatch):
    store, config, _, work = worked
    monkeypatch.setattr(parallel, "devices", lambda *_: jax.devices()[:1])
    with pytest.raises(worker.Anew):
        work(most=4, hosts=2, fail_fast=True)
    assert trained_as(store, config).micro_batch == 4 and not has_failed(store, config)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED") as failure:
        work(most=2, hosts=2)
    assert not isinstance(failure.value, worker.Anew) and has_failed(store, config)
    assert work(most=2, hosts=2) == 0  # what failed is in the store, so the hosts go on


class Ended:
    """A worker that has ended with a code."""

    def __init__(self, log, code):
        self.log, self.code, self.processes, self.task, self.over = log, code, [], "again", False

    def poll(self):
        return self.code

    def wait(self): ...


def test_hosts_that_get_no_run_further_are_started_four_times(config, tmp_path, monkeypatch):
    store, started, log = Store(tmp_path), [], tmp_path / "log"
    store.claim(config).release()
    log.write_text("the network is unreachable\n")

    def start(*_):
        started.append(1)
        if len(started) == 3:  # one of them gets further: counted anew from there
            (store.folder(config.run_id) / "checkpoints" / "20").mkdir(parents=True)
        return Ended(log, worker.AGAIN)

    monkeypatch.setattr(local, "start", start)
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.0)
    with pytest.raises(LaunchError, match=r"got no run further.*the network is unreachable"):
        local.launch(store, [config], Order(hosts=2))
    assert len(started) == 2 + local.STARTS


def test_a_death_is_blamed_on_a_run_of_this_host_alone_and_those_before_any_run_count_in_a_row(
    config, tmp_path
):
    store, ends, dead = Store(tmp_path), Counter(), Ended(tmp_path / "log", -9)
    dead.log.write_text("")
    dead.processes = [SimpleNamespace(pid=os.getpid())]
    here, there, done = configs = [change(config, seed=seed) for seed in range(3)]
    claim = store.claim(there)
    write_json(claim_path(claim.folder, 0), sealed(claim.content | {"host": "of the same process ids"}))

    def tries(n):
        return [local.next_task(store, configs, dead, ends) for _ in range(n)]

    assert tries(local.STARTS - 1) == ["again"] * 3
    claim = store.claim(done)
    store.write_record(done.run_id, {"status": "done", "steps": 40, "loss": 1.0})
    claim.release()
    assert tries(1) == ["again"], "it had finished a run"
    (claim.folder / "claim-0.json").unlink()
    assert tries(local.STARTS - 1) == ["again", "again", None]
    store.claim(here)
    tries(local.DEATHS)
    assert store.failure(here.run_id)["kind"] == "died" and store.failure(there.run_id) is None


def test_a_slurm_job_that_gets_no_run_further_goes_to_the_queue_four_times(tmp_path, monkeypatch):
    asked = []

    def slurm_says(command, **_):
        asked.append(command[1])
        return subprocess.CompletedProcess(command, 0, " JobState=RUNNING ", "")

    monkeypatch.setattr(slurm.subprocess, "run", slurm_says)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for step in (0, 0, 20, 20, 20):
        with pytest.raises(SystemExit, match="back to the queue"):
            slurm.requeue(tmp_path / "again-0.json", (0, 0, step))
    with pytest.raises(SystemExit, match="in 4 starts it got no run further"):
        slurm.requeue(tmp_path / "again-0.json", (0, 0, 20))
    assert asked.count("requeue") == 5


def test_a_run_taken_over_from_one_of_several_hosts_starts_them_anew(worked, monkeypatch):
    store, config, _, work = worked

    def taken(*_):
        raise LostClaim("taken over")

    monkeypatch.setattr(parallel, "devices", lambda *_: jax.devices()[:1])
    monkeypatch.setattr(Store, "start_curve", taken)
    with pytest.raises(worker.Anew, match="taken over"):
        work(most=8, hosts=2)
    assert store.failure(config.run_id) is None


@pytest.mark.parametrize("taken_over", [True, False])
def test_an_error_after_a_run_was_taken_over_is_no_failure_of_it(config, tmp_path, monkeypatch, taken_over):
    store = Store(tmp_path)

    def train_crew(crew):
        crew.offer()
        if taken_over:
            (store.folder(config.run_id) / "claim-1.json").write_text("{}")
        raise FileNotFoundError("the checkpoint that was being written is gone")

    monkeypatch.setattr(Crew, "train", train_crew)
    task = worker.Task(str(tmp_path), [])
    attempts = Attempts(task, store, jax.devices(), threading.Event(), [config])
    attempts.train(config, store.claim(config))
    assert (not attempts.failed) == taken_over
    assert (store.failure(config.run_id) is None) == taken_over


def test_a_second_try_that_a_slurm_job_will_train_is_not_submitted_again(worked, monkeypatch, capsys):
    store, config, small, _ = worked
    monkeypatch.setattr(slurm, "queued", lambda: {("7", 0)})
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    folder = store.root / ".slurm" / "then"
    folder.mkdir(parents=True)
    write_json(folder / "order.json", {"parts": [[to_json(config), to_json(small)]]})
    write_json(folder / "submitted.json", {"job": "7"})
    named = {"run_id": halve(config, 8).run_id, "micro_batch": halve(config, 8).micro_batch}
    store.claim(config).release()
    store.write_failure(config.run_id, {"run_id": config.run_id, "retried_as": named})
    assert slurm.launch(store, [config, small], Order(wait=False)) == "submitted"
    assert "2 of these runs are with job 7" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["train.bin", "held_out.bin", "meta.json"])
def test_no_run_is_trained_on_tokens_damaged_on_disk(worked, tmp_path, monkeypatch, file):
    store, config, small, work = worked
    whole = corpora.open_corpus(config.data.corpus)
    copied = shutil.copytree(whole.path, tmp_path / "data" / whole.path.name)
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    found, stat = (copied / file).read_bytes(), (copied / file).stat()
    at = found.index(b'"kind"') + 10 if file == "meta.json" else len(found) // 3
    (copied / file).write_bytes(found[:at] + bytes([found[at] ^ 1]) + found[at + 1 :])
    os.utime(copied / file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a disk would do it
    assert work(most=8) == 2
    for run in (config, small):
        failure = store.failure(run.run_id)
        assert failure["kind"] == "corpus" and f"{file} is damaged" in failure["error"]
        assert not (store.folder(run.run_id) / "curve.csv").exists()
    (copied / file).write_bytes(found)
    forget_failures(store, [config, small])
    assert work(most=8) == 0  # the same process: what is mended is looked at again


def test_fail_fast_stops_at_the_first_failure(worked):
    store, _, small, work = worked
    assert work(most=2, fail_fast=True) == 1
    assert store.status(small.run_id) == "left"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("raise OSError(errno.ENOSPC, 'No space left on device')", worker.DISK_FULL),
        ("raise ValueError('broken')", 1),
        ("return 1", 0),
    ],
)
def test_a_worker_ends_though_the_checkpoint_library_waits_for_what_was_not_written(tmp_path, fault, code):
    script = (
        "import errno, threading\nfrom lab.launch import worker\n"
        "def work(*_):\n    threading.Thread(target=threading.Event().wait).start()\n"
        f"    {fault}\nworker.work = work\nraise SystemExit(worker.main())"
    )
    task, env = worker.Task(str(tmp_path), []).line(), os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], input=task, capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == code, done.stderr
    if code == 1:
        assert done.stdout.splitlines()[-1] == "ValueError: broken"


def test_a_full_disk_stops_the_worker_and_fails_no_run(worked, monkeypatch):
    store, config, small, work = worked

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "add_to_curve", full)
    with pytest.raises(OSError, match="No space"):
        work(most=8)
    assert store.status(config.run_id) == "stopped" and store.status(small.run_id) == "left"
    assert report_failures(store, [config, small]) == 1
