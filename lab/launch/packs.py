"""Runs of one shape that a worker trains together, each with its claim and its end in the store."""

import threading
import traceback
from typing import Any

from lab.config import RunConfig, Shape
from lab.launch.attempt import Heart, Task, blame, choose, corpus_of, finish, let_go, say
from lab.store.failures import kind_of, trained_as
from lab.store.store import UNFINISHED, Claim


class Packs:
    """How a worker brings its runs into packs.

    Args:
      asked: all the runs of the worker's task.
      failed: ids of those it tries no more; what fails here is added.
    """

    def __init__(
        self, task: Task, trainer: Any, stopping: threading.Event, asked: list[RunConfig], failed: set[str]
    ):
        self.task, self.trainer, self.stopping = task, trainer, stopping
        self.store, self.asked, self.failed = trainer.store, asked, failed
        self.most: dict[Shape, int] = {}  # runs a device, for shapes of which a pack failed
        self.hearts: dict[str, Heart] = {}  # of the runs that are in the pack now

    def train(self, first: RunConfig, claim: Claim) -> bool:
        """Train a claimed run, and others of its shape for as long as there are any. False when it
        is better trained alone: nothing was done then, and the claim is held."""
        from lab.train import pack

        each = self.size(first)
        if each * len(self.trainer.devices) < 2:
            return False
        waiting = [(first, claim)]

        def offer() -> pack.Job | None:
            found = waiting.pop() if waiting else self.another(first.shape)
            if found is None:
                return None
            config, claim = found
            heart = self.hearts[config.run_id] = Heart(claim)
            say(f"{config.run_id} begins")
            return pack.Job(config, lambda: corpus_of(config), claim, heart.progress)

        try:
            pack.Pack(self.trainer, first.shape, each, offer, self.ended).train()
        except Exception as error:  # no run's own: smaller packs, and at last single runs, tell
            if kind_of(error) in ("disk full", "bad node"):
                raise
            say(traceback.format_exc())
            self.most[first.shape] = each // 2
            say(f"a pack of {each} runs a device failed; they go on, {each // 2 or 1} at once")
        finally:
            for run_id in list(self.hearts):
                let_go(self.hearts.pop(run_id))
        return True

    def size(self, config: RunConfig) -> int:
        """Runs a device for this shape: as asked, or as measured; 0 when packs of it fail."""
        from lab.train import pack_size

        most = self.most.get(config.shape)
        if self.task.pack:
            return self.task.pack if most is None else min(self.task.pack, most)
        devices = self.trainer.devices
        left = sum(self.store.status(one.run_id) in UNFINISHED for one in self.alike(config.shape))
        fair = -(-left // len(devices)) if most is None else min(most, -(-left // len(devices)))
        if fair < 2:
            return fair
        each = pack_size.best(self.store.root / ".packs", config, devices, fair)
        say(f"shape of {config.run_id}: {each} runs a device are fastest")
        return each

    def alike(self, shape: Shape) -> list[RunConfig]:
        return [one for one in self.asked if one.shape == shape and one.run_id not in self.failed]

    def another(self, shape: Shape) -> tuple[RunConfig, Claim] | None:
        """The next run of a shape, claimed. Second tries of other sizes are not of it."""
        if self.stopping.is_set():
            return None
        same = [one for one in self.alike(shape) if trained_as(self.store, one) == one]
        number, _, claim = choose(self.store, same, self.failed)
        return (same[number], claim) if claim else None

    def ended(self, job: Any, outcome: Any) -> None:
        """Write what became of a run, and let it go."""
        config = job.config
        try:
            if isinstance(outcome, Exception):
                raise outcome
            finish(self.store, self.task, config, outcome)
        except Exception as error:
            if not blame(self.store, self.task, config, job.claim, error, retry=True):
                self.failed.add(config.run_id)
                if self.task.fail_fast:
                    self.stopping.set()
        finally:
            let_go(self.hearts.pop(config.run_id))
