"""`lab run --log`: each run's curve, as it grows in the store, written for other programs too. The store
stays the truth: what a tracker has is told again from there."""

import csv
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lab.config import RunConfig, to_json
from lab.models.counts import count_params
from lab.store.failures import trained_as
from lab.store.files import StoreError
from lab.store.records import CURVE
from lab.store.store import Store

LOOK_SECONDS = 2.0
Point = dict[str, float]
Sink = Callable[[RunConfig, list[Point]], None]  # takes a run's new points


class Tracker:
    """Tells a sink every point of the curves once, in order; called again and again while runs train. What it
    was `told` is by run the last step."""

    def __init__(
        self, store: Store, configs: Sequence[RunConfig], sink: Sink, told: dict[str, int] | None = None
    ):
        self.store, self.configs, self.sink = store, configs, sink
        self.told = {} if told is None else told
        self.looked = 0.0

    def look(self, at_once: bool = False) -> None:
        if not at_once and time.monotonic() < self.looked + LOOK_SECONDS:
            return
        for config in (trained_as(self.store, first) for first in self.configs):
            try:
                rows = self.store.curve(config.run_id)
            except (StoreError, OSError):
                continue  # not begun, or being written
            points = [{name: float(cell) for name, cell in row.items() if cell} for row in rows]
            new = [point for point in points if point["step"] > self.told.get(config.run_id, 0)]
            if new:
                self.sink(config, new)
                self.told[config.run_id] = int(new[-1]["step"])
        self.looked = time.monotonic()


def to_csv(folder: Path, project: str) -> Sink:
    """log.csv: every point of every run, with its run_id and params; what `analysis envelope` reads."""
    path = folder / "log.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerow(["run_id", "params", *CURVE])

    def write(config: RunConfig, points: list[Point]) -> None:
        size = count_params(config.model).params
        with path.open("a", newline="") as file:
            rows = ([point.get(name) for name in CURVE] for point in points)
            csv.writer(file).writerows([config.run_id, size, *row] for row in rows)

    return write


def to_tensorboard(folder: Path, project: str) -> Sink:
    """Event files, a folder a run."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "--log tensorboard writes by a package that is not here: pip install tensorboardX"
        ) from error

    def write(config: RunConfig, points: list[Point]) -> None:
        # closed each time: a writer that only flushes may lose what it has when the process ends
        with SummaryWriter(str(folder / "tensorboard" / config.run_id)) as writer:
            for point in points:
                for name, value in point.items():
                    writer.add_scalar(name, value, int(point["step"]))

    return write


def to_wandb(folder: Path, project: str) -> Sink:
    """A run of the project for each run_id, its config with it."""
    try:
        import wandb
    except ImportError as error:
        raise ValueError("--log wandb writes by a package that is not here: pip install wandb") from error
    open_runs: dict[str, Any] = {}

    def write(config: RunConfig, points: list[Point]) -> None:
        if config.run_id not in open_runs:
            about = {"project": project, "id": config.run_id, "dir": str(folder), "config": to_json(config)}
            open_runs[config.run_id] = wandb.init(**about, resume="allow", reinit="create_new")
        for point in points:
            open_runs[config.run_id].log(point, step=int(point["step"]))

    return write


SINKS = {"csv": to_csv, "tensorboard": to_tensorboard, "wandb": to_wandb}


@cache
def opened(name: str, folder: Path, project: str) -> tuple[Sink, dict[str, int]]:
    """A sink and what it was told, one for all that a process trains: a command may train several times."""
    return SINKS[name](folder, project), {}


def trackers(
    names: Iterable[str], store: Store, configs: Sequence[RunConfig], out: Path, project: str
) -> list[Tracker]:
    """A tracker for each sink that --log names; what they write goes to `out`.

    Raises:
      ValueError: the package of one is not here.
    """
    names = list(dict.fromkeys(names))
    if names:
        out.mkdir(parents=True, exist_ok=True)
    return [Tracker(store, configs, *opened(name, out.resolve(), project)) for name in names]
