"""Worker processes on this machine: their cores, what they find in their environment, start and end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from lab.data.corpora import data_directory
from lab.launch.task import AGAIN, Task

# v3, plc, v4, v5p, v5e, v6e, tpu7x on the PCI bus, as jax knows them (jax/_src/hardware_utils.py)
TPUS = ("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")


@dataclass
class Worker:
    """One process, or one for each host of its runs: these end together."""

    processes: list[subprocess.Popen]
    task: Task
    log: Path  # of the first
    code: int = 0  # of the host that ended the others
    over: bool = False  # it has ended and has no successor

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
    usable = cores()
    return [usable[i : i + devices] for i in range(0, max(1, len(usable) - devices + 1), devices)]


def at_once(devices: int = 1, hosts: int = 1) -> int:
    """How many workers this machine trains by, where no number is asked for."""
    return len(shares(devices)) if on_cpu() and hosts == 1 else 1


def paths() -> dict[str, str]:
    """Where a worker finds code and data, whatever an engine hands on of its caller's environment.
    The project's folder leads the path, since a worker may be started from anywhere."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "LAB_DATA": str(data_directory().resolve())}


def environment(devices: int) -> dict[str, str]:
    """What a worker must find before it starts."""
    env = os.environ | paths()
    if not on_cpu():
        return env
    spare_libtpu(env)
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
    """Whether workers will train on CPU, found out without starting jax in this process."""
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms.split(",")[0] == "cpu"
    return not (Path("/dev/nvidia0").exists() or has_tpu())


def has_tpu() -> bool:
    """Whether this machine has a TPU, old or new: the new ones are no /dev/accel0."""
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    google = [path.with_name("device") for path in vendors if path.read_text().strip() == "0x1ae0"]
    return Path("/dev/accel0").exists() or any(path.read_text().strip() in TPUS for path in google)


def spare_libtpu(env: MutableMapping[str, str]) -> None:
    """Where no accelerator is here and libtpu is (it compiles for `lab plan --on`), jax must not look for a
    TPU: it would ask the network for a second or more and warn at every start."""
    if on_cpu() and find_spec("libtpu"):
        env.setdefault("JAX_PLATFORMS", "cpu")


def start(task: Task, host: int | None = None) -> Worker:
    """A worker with all its hosts on this machine, or with the one named."""
    if task.hosts > 1 and host is None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            task = replace(task, coordinator=f"127.0.0.1:{free.getsockname()[1]}")
    hosts = range(task.hosts) if host is None else [host]
    processes, logs = zip(*(start_host(replace(task, host=host)) for host in hosts), strict=True)
    return Worker(list(processes), task, logs[0])


def start_host(task: Task) -> tuple[subprocess.Popen, Path]:
    folder = Path(task.store) / ".logs"
    folder.mkdir(exist_ok=True)
    stamp = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}"
    log = folder / f"worker-{stamp}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.launch.worker", str(task.store)],  # which only `ps` reads
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
    """Ask them to save their runs and end."""
    for process in (process for worker in workers for process in worker.processes):
        with suppress(OSError):
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


def wait(workers: Sequence[Worker]) -> None:
    """Until all have ended; Ctrl-C ends them at once."""
    try:
        for worker in workers:
            worker.wait()
    except KeyboardInterrupt:
        for process in (process for worker in workers for process in worker.processes):
            process.kill()


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
