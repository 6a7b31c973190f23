"""Workers on this machine: on CPU one process for each `devices` cores, pinned to them, with one
thread a device, always; elsewhere one process for `devices` accelerators.

The launcher trains nothing and holds no state: what is done, and by whom, is in the store, so
several launchers on one store share the work.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from lab.config import RunConfig, to_json, userfile
from lab.launch.order import NO_JAX, End, LaunchError, Order, Refresh
from lab.launch.processes import Worker, on_cpu, shares, start, stop, tail, wait
from lab.launch.task import AGAIN, DISK_FULL, FAILED_FAST, Task
from lab.store.claims import this_host
from lab.store.failures import trained_as
from lab.store.store import Store

DEATHS = 2  # of workers, at one checkpoint of a run, before the run counts as failed
STARTS = 4  # of the hosts of a run, or of a job, none of which gets any run further: the last
LOOK_SECONDS = 0.5
WARNINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # of a job system


def launch(store: Store, configs: Sequence[RunConfig], order: Order, refresh: Refresh = lambda: None) -> End:
    """Train the runs that have no record.

    `refresh` is called twice a second. A worker that dies is replaced; a run under which two died
    at one checkpoint gets a failure.json and the grid goes on.
    """
    if order.options:
        raise LaunchError(f"the launcher local takes no option {next(iter(order.options))!r}")
    if not find_spec("jax"):
        raise LaunchError(NO_JAX)
    userfile.allow(order.files)  # named where the order was given, perhaps on another machine
    crew: list[Worker] = []
    with interruptible():
        try:
            for task in deal(store, configs, order):
                crew.append(start(task, order.host))
            return follow(store, configs, order, crew, refresh)
        except KeyboardInterrupt:
            print("\nstopping: every run saves its state (Ctrl-C again: at once)", flush=True)
            return "stopped"
        finally:
            stop(crew)
            wait(crew)


def deal(store: Store, configs: Sequence[RunConfig], order: Order) -> list[Task]:
    """A task for each worker: all of them choose from all the runs."""
    places = shares(order.devices) if on_cpu() and order.hosts == 1 else [None]
    pack = order.runs_a_device(on_cpu())
    spread = order.devices * order.hosts > 1 and pack is None
    task = Task(
        store=str(store.root),
        configs=[to_json(config) for config in configs],
        devices=order.devices,
        way=order.way or ("mesh" if spread else "jit"),
        tensor=order.tensor,
        remat=order.remat,
        save_seconds=order.save_seconds,
        fail_fast=order.fail_fast,
        until=order.until,
        commit=order.commit,
        hosts=order.hosts,
        pack=pack,
    )
    workers = min(order.workers or len(places), max(1, len(configs)))
    cores = [places[i % len(places)] if order.pinned else None for i in range(workers)]
    return [replace(task, cores=own) for own in cores]


def follow(
    store: Store, configs: Sequence[RunConfig], order: Order, crew: list[Worker], refresh: Refresh
) -> End:
    """Replace workers that die, until all have ended."""
    ends: Counter = Counter()  # of workers, by how far the runs were
    while not all(worker.over for worker in crew):
        refresh()
        time.sleep(LOOK_SECONDS)
        for i, worker in enumerate(crew):
            code = worker.poll()
            if code is None or worker.over:
                continue
            worker.over = True
            if code in (FAILED_FAST, DISK_FULL):
                stop(crew)
            elif code and order.host is not None:
                return "stopped" if code == AGAIN else "finished"
            elif code and (task := next_task(store, configs, worker, ends)):
                crew[i] = start(task)
    refresh()
    check_ends(store, crew)
    return "finished"


def next_task(store: Store, configs: Sequence[RunConfig], dead: Worker, ends: Counter) -> Task | None:
    """What is to be done after a worker died; None where that was tried often enough. A run that it
    held is blamed: one for which several died at one checkpoint has failed."""
    code = dead.poll()
    if code == AGAIN:
        reached = progress(store, configs)
        ends[reached] += 1
        return dead.task if ends[reached] < STARTS else None
    mine = claimed_by(store, configs, dead.processes[0].pid)
    held = [run_id for run_id, claim in mine.items() if not (claim.get("released") or store.finished(run_id))]
    if any(store.finished(run_id) for run_id in mine):
        ends["before any run"] = 0  # those in a row count
    if len(held) > 1:  # one of a pack is to blame, and smaller ones will tell which
        return replace(dead.task, pack=(dead.task.pack or 0) // 2 or None)
    for run_id in held:
        ends[at := (run_id, store.newest_checkpoint(run_id))] += 1
        if ends[at] >= DEATHS:
            error = (
                f"the worker training it died {DEATHS} times without getting a checkpoint further, last "
                f"with exit code {code} (-9 is often the system short of memory: try micro_batch)"
            )
            failure = {"run_id": run_id, "kind": "died", "error": error, "log": tail(dead.log)}
            store.write_failure(run_id, failure)
    ends["before any run"] += not held
    return dead.task if ends["before any run"] < STARTS else None


def progress(store: Store, configs: Sequence[RunConfig]) -> tuple[int, int, int]:
    """How far runs are: finished, failed, and the updates in their newest checkpoints. What is
    tried again and again without a change of this will not succeed."""
    ids = [trained_as(store, config).run_id for config in configs]
    return (
        sum(store.finished(run_id) for run_id in ids),
        sum(store.failure(run_id) is not None for run_id in ids),
        sum(store.newest_checkpoint(run_id) for run_id in ids),
    )


def claimed_by(store: Store, configs: Sequence[RunConfig], pid: int) -> dict[str, dict[str, Any]]:
    """The claims of runs that a process of this id made last, on this host: elsewhere the same id is
    another process."""
    ids = [trained_as(store, config).run_id for config in configs]
    claims, whose = {run_id: store.holder(run_id) or {} for run_id in ids}, (this_host(), pid)
    return {i: claim for i, claim in claims.items() if (claim.get("host"), claim.get("pid")) == whose}


def check_ends(store: Store, crew: Sequence[Worker]) -> None:
    """Raise LaunchError when workers ended for a reason that no run has written in the store."""
    ends = {worker.poll(): worker for worker in crew}
    if DISK_FULL in ends:
        raise LaunchError(
            f"the disk of the store {store.root} is full. What is finished is safe; free some "
            f"space, and the same command goes on from here. Log: {ends[DISK_FULL].log}"
        )
    bad = [worker for code, worker in ends.items() if code not in (0, FAILED_FAST)]
    if bad:
        last = tail(bad[0].log).strip().rpartition("\n")[2] or "it says nothing"
        raise LaunchError(f"workers kept dying and got no run further; the last line of {bad[0].log}: {last}")


@contextmanager
def interruptible() -> Iterator[None]:
    """The signals by which a job system warns are taken as Ctrl-C is, so that the runs are saved.
    It may send several: only the first counts, and only Ctrl-C a second time stops at once."""

    def interrupt(*_):
        for name in WARNINGS:
            signal.signal(name, lambda *_: None)
        raise KeyboardInterrupt

    before = {name: signal.signal(name, interrupt) for name in WARNINGS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
