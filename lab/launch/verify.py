"""Whether a run that is killed and resumed is the run left alone: trained for real, both ways.

In a scratch store the run is trained to its end, then again with `kill -9` of its worker after a
checkpoint past a third of its updates, and resumed. On one device each time the two must agree to
the last bit; on several, or on another number of them, within float error.
"""

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.config import RunConfig, to_json
from lab.launch import local
from lab.launch.worker import Task
from lab.store.records import CURVE
from lab.store.store import Store

TIMES = (
    "seconds",
    "compile_seconds",
    "io_seconds",
    "tokens_per_second",
    "flops_utilization",
    "finished",
    "host",
    "curve_sha256",
    "sha256",
)
PLACES = ("device", "devices", "way")
TOLERANCE = 2e-3  # of a loss, relative, when devices differ: rounding grows over a whole run
POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Place:
    """How many devices a run is spread over, and by which way."""

    devices: int = 1
    way: str = ""

    @property
    def how(self) -> str:
        return self.way or ("mesh" if self.devices > 1 else "jit")

    def __str__(self) -> str:
        return f"{self.devices} device{'s' * (self.devices > 1)} by {self.how}"


def verify(
    config: RunConfig,
    first: Place,
    thens: Sequence[Place],
    tell: Callable[[str], None],
    folder: Path | None = None,
) -> bool:
    """Train, kill, resume in each of `thens` and compare; True when all agree with the run left
    alone. The scratch stores are made in `folder`, by default the system's for temporary files, and
    kept if not.

    Raises:
      RuntimeError: a worker failed, or the run ended before it could be killed.
    """
    root = Path(tempfile.mkdtemp(prefix="lab-verify-resume-", dir=folder)).resolve()
    alone, killed = Store(root / "alone"), Store(root / "killed")
    for store in (alone, killed):
        store.prepare()
    began = time.monotonic()
    finish(local.start(task(alone, config, first)), alone, config)
    seconds = time.monotonic() - began
    tell(f"alone on {first}: {config.steps} updates in {seconds:.1f} s, start and compilation included")
    shutil.copytree(alone.root / ".compiled", killed.root / ".compiled", dirs_exist_ok=True)
    trained = alone.record(config.run_id)["seconds"]
    step, after = killed_in_time(killed, config, first, min(15.0, trained / 20))
    tell(
        f"again, its worker killed with signal 9 after {after:.1f} s, its newest checkpoint at "
        f"update {step} of {config.steps}"
    )
    right = True
    for i, then in enumerate(thens):
        resumed = Store(Path(shutil.copytree(killed.root, root / f"resumed-{i}")))
        began = time.monotonic()
        finish(local.start(task(resumed, config, then)), resumed, config)
        tell(f"resumed on {then}: to its end in {time.monotonic() - began:.1f} s")
        exact = first.devices == then.devices == 1
        right &= compare(alone, resumed, config.run_id, exact, tell)
    if right:
        shutil.rmtree(root)
    else:
        tell(f"all are kept in {root}")
    return right


def task(store: Store, config: RunConfig, place: Place, save_seconds: float = 15.0) -> Task:
    cores = local.cores()[: place.devices] if local.on_cpu() else None
    return Task(str(store.root), [to_json(config)], cores, place.devices, place.how, save_seconds)


def finish(worker: local.Worker, store: Store, config: RunConfig) -> None:
    worker.wait()
    code = worker.poll()
    if code == 0 and store.record(config.run_id):
        return
    error = (store.failure(config.run_id) or {}).get("error") or f"exit code {code}"
    raise RuntimeError(f"run {config.run_id} failed: {error}; its log is {worker.log}")


def killed_in_time(store: Store, config: RunConfig, place: Place, save_seconds: float) -> tuple[int, float]:
    """`kill_in_the_middle`; a short run that ended first is tried again, saved at every chance."""
    for every in (save_seconds, 0.0, 0.0):
        try:
            return kill_in_the_middle(store, config, place, every)
        except TooFast as error:
            last = error
            shutil.rmtree(store.folder(config.run_id))
    raise last


class TooFast(RuntimeError):
    """A run ended before it could be killed."""


def kill_in_the_middle(
    store: Store, config: RunConfig, place: Place, save_seconds: float
) -> tuple[int, float]:
    """The step of the newest checkpoint, and how long the worker had lived, when it was killed."""
    worker, began = local.start(task(store, config, place, save_seconds)), time.monotonic()
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


def compare(alone: Store, resumed: Store, run_id: str, exact: bool, tell: Callable[[str], None]) -> bool:
    """Curve and record of one run in two stores, what is measured by the clock left out."""
    names = [name for name in CURVE if name != "seconds"]
    curves = [
        [{name: row[name] for name in names} for row in store.curve(run_id)] for store in (alone, resumed)
    ]
    leave_out = TIMES if exact else TIMES + PLACES
    records = [
        {name: value for name, value in store.record(run_id).items() if name not in leave_out}
        for store in (alone, resumed)
    ]
    what = (
        f"{len(curves[0])} points x {len(names)} columns of curve.csv and {len(records[0])} "
        "fields of record.json (times left out)"
    )
    if exact:
        differ = [f"point {i + 1}" for i, (a, b) in enumerate(zip(*curves, strict=False)) if a != b]
        differ += [
            f"record's {name}"
            for name in records[0] | records[1]
            if records[0].get(name) != records[1].get(name)
        ]
        if len(curves[0]) != len(curves[1]):
            differ.append("the number of points")
        end = f"DIFFERENT in {', '.join(differ)}" if differ else "equal to the last bit"
        tell(f"compared {what}: {end}")
        return not differ
    losses = [
        [float(row["loss"]) for row in curve] + [record["loss"] or math.nan]
        for curve, record in zip(curves, records, strict=True)
    ]
    steps = [[row["step"] for row in curve] for curve in curves]
    worst = max(abs(a / b - 1) for a, b in zip(*losses, strict=False))
    right = steps[0] == steps[1] and worst <= TOLERANCE
    word = "within" if right else "NOT within"
    tell(
        f"compared {len(losses[0])} losses: they differ by at most {worst:.1e} of themselves, "
        f"{word} the float error allowed, {TOLERANCE:g}"
    )
    return right
