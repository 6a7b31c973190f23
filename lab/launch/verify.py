"""Whether a run that is killed and resumed is the run left alone: trained for real, both ways.

In a scratch store the run is trained to its end, then again with `kill -9` of its worker after a
checkpoint past a third of its updates, and resumed. On one device by one way each time the two must
agree to the last bit; on several, on another number of them or by another way, within float error.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.config import RunConfig, to_json
from lab.launch import processes
from lab.launch.task import Task
from lab.store.store import Store

TIMES = (
    *("seconds", "compile_seconds", "io_seconds", "tokens_per_second", "flops_utilization"),
    *("finished", "host", "curve_sha256", "sha256"),
)
TOLERANCE = 2e-3  # of a loss, relative, when devices differ: rounding grows over a whole run
POLL_SECONDS = 0.002

Log = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """How many devices a run is spread over, and by which way; "" is mesh on several."""

    devices: int = 1
    way: str = ""

    def task(self, store: Store, config: RunConfig, save_seconds: float = 15.0) -> Task:
        cores = processes.cores()[: self.devices] if processes.on_cpu() else None
        return Task(
            str(store.root), [to_json(config)], cores, self.devices, self.how, save_seconds=save_seconds
        )

    @property
    def how(self) -> str:
        return self.way or ("mesh" if self.devices > 1 else "jit")

    def __str__(self) -> str:
        return f"{self.devices} device{'s' * (self.devices > 1)} by {self.how}"


def verify(
    config: RunConfig, first: Place, then: Sequence[Place], log: Log, folder: Path | None = None
) -> bool:
    """Train, kill, resume in each place of `then` and compare; True when all agree with the run left
    alone. The scratch stores are made in `folder`, by default the system's for temporary files, and
    kept if not.

    Raises:
      RuntimeError: a worker failed, or the run ended before it could be killed.
    """
    root = Path(tempfile.mkdtemp(prefix="lab-verify-resume-", dir=folder)).resolve()
    alone, killed = Store(root / "alone"), Store(root / "killed")
    for store in (alone, killed):
        store.prepare()
    seconds = train(alone, config, first)
    log(f"alone on {first}: {config.steps} updates in {seconds:.1f} s, start and compilation included")
    if (own := alone.root / ".compiled").exists():  # else JAX_COMPILATION_CACHE_DIR is shared by both
        shutil.copytree(own, killed.root / ".compiled", dirs_exist_ok=True)
    step, lived = kill_in_time(killed, config, first, min(15.0, alone.record(config.run_id)["seconds"] / 20))
    log(
        f"again, its worker killed with signal 9 after {lived:.1f} s, its newest checkpoint at "
        f"update {step} of {config.steps}"
    )
    agree = True
    for i, place in enumerate(then):
        resumed = Store(Path(shutil.copytree(killed.root, root / f"resumed-{i}")))
        log(f"resumed on {place}: to its end in {train(resumed, config, place):.1f} s")
        exact = first.devices == place.devices == 1 and first.how == place.how
        agree &= compare(alone, resumed, config.run_id, exact, log)
    if agree:
        shutil.rmtree(root)
    else:
        log(f"all are kept in {root}")
    return agree


def train(store: Store, config: RunConfig, place: Place) -> float:
    """Train a run to its end; the seconds that took."""
    began = time.monotonic()
    worker = processes.start(place.task(store, config))
    worker.wait()
    code = worker.poll()
    if code or not store.record(config.run_id):
        error = (store.failure(config.run_id) or {}).get("error") or f"exit code {code}"
        raise RuntimeError(f"run {config.run_id} failed: {error}; its log is {worker.log}")
    return time.monotonic() - began


class TooFast(RuntimeError):
    """A run ended before it could be killed."""


def kill_in_time(store: Store, config: RunConfig, place: Place, save_seconds: float) -> tuple[int, float]:
    """`kill_in_the_middle`; a short run that ended first is tried again, saved at every chance."""
    for every in (save_seconds, 0.0, 0.0):
        try:
            return kill_in_the_middle(store, config, place, every)
        except TooFast as error:
            last = error
            shutil.rmtree(store.folder(config.run_id))
    raise last


def kill_in_the_middle(
    store: Store, config: RunConfig, place: Place, save_seconds: float
) -> tuple[int, float]:
    """The step of the newest checkpoint, and how long the worker had lived, when it was killed."""
    worker, began = processes.start(place.task(store, config, save_seconds)), time.monotonic()
    while worker.poll() is None:
        if config.steps / 3 <= store.newest_checkpoint(config.run_id) < config.steps:
            break
        time.sleep(POLL_SECONDS)
    for process in worker.processes:
        process.kill()
    worker.wait()
    step = store.newest_checkpoint(config.run_id)
    if store.record(config.run_id) or not 0 < step < config.steps:
        raise TooFast(
            f"run {config.run_id} of {config.steps} updates ended before it could be killed in its "
            f"middle; choose a longer one (its log is {worker.log})"
        )
    return step, time.monotonic() - began


def compare(alone: Store, resumed: Store, run_id: str, exact: bool, log: Log) -> bool:
    """Curve and record of one run in two stores, what is measured by the clock left out."""
    stores = (alone, resumed)
    curves = [[dict(row, seconds="") for row in store.curve(run_id)] for store in stores]
    records: list[dict[str, Any]] = [store.record(run_id) for store in stores]
    if not exact:
        return close(curves, records, log)
    a, b = ({name: value for name, value in record.items() if name not in TIMES} for record in records)
    differ = [
        f"point {i + 1}" for i, points in enumerate(zip(*curves, strict=False)) if points[0] != points[1]
    ]
    differ += [f"record's {name}" for name in a | b if a.get(name) != b.get(name)]
    if len(curves[0]) != len(curves[1]):
        differ.append("the number of points")
    log(
        f"compared {len(curves[0])} points x {len(curves[0][0]) - 1} columns of curve.csv and {len(a)} "
        "fields of record.json (times left out): "
        + (f"DIFFERENT in {', '.join(differ)}" if differ else "equal to the last bit")
    )
    return not differ


def close(curves: Sequence[list[dict[str, str]]], records: Sequence[dict[str, Any]], log: Log) -> bool:
    """Whether the losses of two trainings of one run agree within float error."""
    a, b = (
        [float(row["loss"]) for row in curve] + [record["loss"]] * (record["status"] == "done")
        for curve, record in zip(curves, records, strict=True)
    )
    worst = max((abs(x / y - 1) for x, y in zip(a, b, strict=False)), default=0.0)
    steps = [[row["step"] for row in curve] for curve in curves]
    agree = steps[0] == steps[1] and len(a) == len(b) and worst <= TOLERANCE
    log(
        f"compared {len(a)} losses: they differ by at most {worst:.1e} of themselves, "
        f"{'within' if agree else 'NOT within'} the float error allowed, {TOLERANCE:g}"
    )
    return agree
