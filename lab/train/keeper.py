"""What is kept of a run while it is trained: its curve, its checkpoints, and who may write them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from lab.config import RunConfig
from lab.models import ops
from lab.models.target import target_of
from lab.store.records import AVERAGED, CURVE
from lab.store.store import Claim, Store
from lab.train.begin import find_start
from lab.train.checkpoint import Checkpoints, Start
from lab.train.measures import peak_flops
from lab.train.step import TrainState

QUICK_SAVE_SECONDS = 0.4  # a state saved within this is saved as often as asked ...
REST = 40  # ... a larger one, slow to copy and hash, after a rest of so many times the excess


class LostClaim(RuntimeError):
    """Another worker took this run over; nothing more may be written for it."""


class Keeper:
    """Reads and writes the run's files: on its first host, which holds the claim."""

    def __init__(
        self, store: Store, config: RunConfig, claim: Claim, save_seconds: float, log: Callable[[str], None]
    ):
        self.store, self.config, self.claim, self.log = store, config, claim, log
        self.checkpoints = Checkpoints(store.folder(config.run_id) / "checkpoints", claimed=True)
        self.save_seconds = self.save_again_after = save_seconds
        self.saved = time.monotonic()
        self.io_seconds = 0.0  # spent waiting for the store
        self.curve = ""  # in memory too: what its file becomes meanwhile can't enter the record

    def start(self, like: TrainState) -> Start:
        """Where the run goes on from; its curve on disk is put back to what was seen there."""
        with self.waiting():
            self.check_claim()  # it may have been lost before there was anything to write
            start = find_start(self.store, self.config, self.checkpoints.restore(like), like)
            for warning in start.warnings:
                print(f"warning: {warning}", flush=True)
            self.log(f"{self.config.run_id} trains from update {start.step}")
            columns = AVERAGED if self.config.optim.ema else CURVE
            self.curve = self.store.start_curve(self.config.run_id, start.step, start.curve, columns)
        self.saved = time.monotonic()
        return start

    def add_to_curve(self, point: dict[str, Any]) -> None:
        with self.waiting():
            self.check_claim()
            self.curve += self.store.add_to_curve(self.config.run_id, point)

    def save_is_due(self) -> bool:
        return time.monotonic() - self.saved > self.save_again_after

    def save(self, step: int, fetch: Callable[[], TrainState], seconds: float) -> None:
        """Begins to save, and returns as soon as the state that `fetch` gives may be donated."""
        began = time.monotonic()
        with self.waiting():
            self.checkpoints.wait()  # one is written at a time: this begins when that is on disk
            self.check_claim()
            self.log(f"{self.config.run_id} saves update {step}")
            self.checkpoints.save(step, fetch(), self.curve, seconds)
        self.saved = time.monotonic()
        excess = self.saved - began - QUICK_SAVE_SECONDS
        self.save_again_after = max(self.save_seconds, REST * excess)

    def wait(self) -> None:
        """Until what was saved is on disk."""
        with self.waiting():
            self.checkpoints.wait()
            self.check_claim()

    def check_claim(self) -> None:
        if not self.claim.held():
            raise LostClaim(f"run {self.config.run_id} was taken over by another worker")

    def utilization(self, flops_per_second: float, devices: tuple[jax.Device, ...]) -> float | None:
        """A share of the devices' measured peak; None where there is no memory left to measure it."""
        try:
            dtype = ops.product_dtype(target_of(devices[0]).of_model(self.config.model))
            peak = peak_flops(self.store.root / ".peaks", devices[0], dtype)
        except (RuntimeError, MemoryError):
            return None
        return flops_per_second / (peak * len(devices))

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.io_seconds += time.monotonic() - began

    def close(self) -> None:
        self.checkpoints.close()


class Follower:
    """The keeper of a run's other hosts: they compute the same, decide nothing and write nothing."""

    curve, io_seconds = "", 0.0

    def start(self, like: TrainState) -> Start:
        return Start(0, like)

    def save_is_due(self) -> bool:
        return False

    def save(self, step: int, fetch: Callable[[], TrainState], seconds: float) -> None:
        fetch()  # which all hosts do together

    def nothing(self, *_: Any) -> None: ...

    add_to_curve = wait = check_claim = utilization = close = nothing
