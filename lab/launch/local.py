"""Workers on this machine: on CPU one process for each `devices` cores, pinned to them, with one
thread a device, always; elsewhere one process for `devices` accelerators.

The launcher trains nothing and holds no state: what is done, and by whom, is in the store, so
several launchers on one store share the work.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lab.config import RunConfig, to_json
from lab.data.corpora import data_directory
from lab.launch.order import End, LaunchError, Look, Order
from lab.launch.worker import AGAIN, DISK_FULL, FAILED_FAST, Task
from lab.store.failures import trained_as
from lab.store.store import Store

DEATHS = 2  # of workers, at one checkpoint of a run, before the run counts as failed
STARTS = 4  # of the hosts of a run, or of a job, none of which gets any run further: the last
LOOK_SECONDS = 0.5


@dataclass
class Worker:
    """One process, or one for each host of its runs: these end together."""

    processes: list[subprocess.Popen]
    task: Task
    log: Path  # of the first
    code: int = 0  # of the host that ended the others

    def poll(self) -> int | None:
        """None while it lives, else 0 or the exit code of the host that ended badly; AGAIN only
        where no other did, since a host that lost another ends with AGAIN too."""
        codes = [process.poll() for process in self.processes]
        bad = [code for code in codes if code]
        if bad and not self.code:  # kept: those killed here end badly too
            self.code = next((code for code in bad if code != AGAIN), AGAIN)
            for process in self.processes:
                process.kill()
        return self.code or (None if None in codes else 0)

    def wait(self) -> None:
        for process in self.processes:
            process.wait()


def cores() -> list[int]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares(devices: int) -> list[list[int]]:
    """The cores dealt to workers, one for each of their devices; what is left over stays idle."""
    mine = cores()
    return [mine[i : i + devices] for i in range(0, max(1, len(mine) - devices + 1), devices)]


def surroundings() -> dict[str, str]:
    """Where a worker finds code and data, whatever an engine hands on of its caller's environment.
    The project's folder leads the path, since a worker may be started from anywhere."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "LAB_DATA": str(data_directory().resolve())}


def environment(devices: int) -> dict[str, str]:
    """What a worker must find before it starts."""
    env = os.environ | surroundings()
    if not on_cpu():
        return env
    env |= {
        "NPROC": str(devices),  # one thread a device: XLA's own threading wastes the second core
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # each dispatch page-faults its temporaries
    }
    if devices > 1:
        forced = f"--xla_force_host_platform_device_count={devices}"
        env["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {forced}".strip()
    return env


def on_cpu() -> bool:
    """Whether workers will train on CPU, told without starting jax in this process."""
    if wanted := os.environ.get("JAX_PLATFORMS"):
        return wanted.split(",")[0] == "cpu"
    return not (Path("/dev/nvidia0").exists() or Path("/dev/accel0").exists())


def start(task: Task, host: int | None = None) -> Worker:
    """A worker with all its hosts on this machine, or with the one named."""
    if task.hosts > 1 and host is None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            task = replace(task, coordinator=f"127.0.0.1:{free.getsockname()[1]}")
    wanted = range(task.hosts) if host is None else [host]
    started = [start_one(replace(task, host=number)) for number in wanted]
    return Worker([process for process, _ in started], task, started[0][1])


def start_one(task: Task) -> tuple[subprocess.Popen, Path]:
    folder = Path(task.store) / ".logs"
    folder.mkdir(exist_ok=True)
    stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}"
    log = folder / f"worker-{stamp}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.launch.worker", str(task.store)],  # told for `ps` alone
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(task.devices),
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which tells the workers
        )
    with suppress(BrokenPipeError):  # a worker that died at once is seen by the loop
        process.stdin.write(task.line().encode())
        process.stdin.flush()
    return process, log


def stop(workers: Sequence[Worker]) -> None:
    for process in (process for worker in workers for process in worker.processes):
        with suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


def launch(store: Store, configs: Sequence[RunConfig], order: Order, look: Look = lambda: None) -> End:
    """Train the runs that have no record.

    `look` is called twice a second. A worker that dies is replaced; a run under which two died at
    one checkpoint gets a failure.json and the grid goes on.
    """
    if order.options:
        raise LaunchError(f"the launcher local takes no option {next(iter(order.options))!r}")
    places = shares(order.devices) if on_cpu() and order.hosts == 1 else [None]
    n = min(order.workers or len(places), max(1, len(configs)))
    pack = order.runs_a_device(on_cpu())
    spread = order.devices * order.hosts > 1 and pack is None
    tasks = [
        Task(
            str(store.root),
            [to_json(config) for config in configs],
            places[i % len(places)] if order.pinned else None,
            order.devices,
            order.way or ("mesh" if spread else "jit"),
            order.save_seconds,
            order.fail_fast,
            order.commit,
            order.hosts,
            pack=pack,
        )
        for i in range(n)
    ]
    crew: list[Worker] = []
    deaths: Counter[str] = Counter()
    ends: Counter[tuple] = Counter()  # of hosts, by how far the runs were
    with interruptible():
        try:
            for task in tasks:
                crew.append(start(task, order.host))
            settled: set[int] = set()  # places whose worker has ended and has no successor
            while len(settled) < len(crew):
                look()
                time.sleep(LOOK_SECONDS)
                for i, worker in enumerate(crew):
                    code = worker.poll()
                    if code is None or i in settled:
                        continue
                    if code in (FAILED_FAST, DISK_FULL):
                        stop(crew)
                    elif code and order.host is not None:
                        return "stopped" if code == AGAIN else "finished"
                    elif code == AGAIN:
                        ends[far := progress(store, configs)] += 1
                        if ends[far] < STARTS:
                            crew[i] = start(worker.task)
                    elif code:
                        crew[i] = replacement(store, configs, worker, deaths)
                    if crew[i] is worker:
                        settled.add(i)
            look()
            check_ends(store, crew)
            return "finished"
        except KeyboardInterrupt:
            print("\nstopping: every run saves its state (Ctrl-C again: at once)", flush=True)
            return "stopped"
        finally:
            stop(crew)
            try:
                for worker in crew:
                    worker.wait()
            except KeyboardInterrupt:
                for process in (process for worker in crew for process in worker.processes):
                    process.kill()


class interruptible:
    """The signals by which a job system warns are taken as Ctrl-C is, so that the runs are saved.
    It may send several: only the first counts, and only Ctrl-C a second time stops at once."""

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

    def __enter__(self):
        self.before = {name: signal.signal(name, self.interrupt) for name in self.SIGNALS}

    def __exit__(self, *_):
        for name, handler in self.before.items():
            signal.signal(name, handler)

    def interrupt(self, *_):
        for name in self.SIGNALS:
            signal.signal(name, lambda *_: None)
        raise KeyboardInterrupt


def progress(store: Store, configs: Sequence[RunConfig]) -> tuple[int, int, int]:
    """How far runs are: finished, failed, and the updates in their newest checkpoints. What is
    tried again and again without a change of this will not succeed."""
    ids = [trained_as(store, config).run_id for config in configs]
    return (
        sum(store.finished(run_id) for run_id in ids),
        len([1 for run_id in ids if store.failure(run_id)]),
        sum(store.newest_checkpoint(run_id) for run_id in ids),
    )


def replacement(store: Store, configs: Sequence[RunConfig], dead: Worker, deaths: Counter[str]) -> Worker:
    """A new worker for one that died by a signal or at start; blames the run it held, if any."""
    ids = [trained_as(store, config).run_id for config in configs]
    held = [
        run_id
        for run_id in ids
        if (holder := store.holder(run_id))
        and holder.get("pid") == dead.processes[0].pid
        and not holder.get("released")
        and not store.finished(run_id)
    ]
    code = dead.poll()
    if len(held) > 1:  # one of a pack is to blame, and smaller ones will tell which
        return start(replace(dead.task, pack=(dead.task.pack or 0) // 2 or None))
    for run_id in held or [""]:
        at = f"{run_id} {store.newest_checkpoint(run_id)}" if run_id else ""
        deaths[at] += 1
        if run_id and deaths[at] >= DEATHS:
            store.write_failure(
                run_id,
                {
                    "run_id": run_id,
                    "kind": "died",
                    "log": tail(dead.log),
                    "error": f"the worker training it died {DEATHS} times without getting a checkpoint "
                    f"further, last with exit code {code} "
                    "(-9 is often the system short of memory: try micro_batch)",
                },
            )
    if deaths[""] >= STARTS:  # they die before they hold anything
        return dead
    return start(dead.task)


def check_ends(store: Store, crew: Sequence[Worker]) -> None:
    """Raise LaunchError when workers ended for a reason that no run has told in the store."""
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


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
