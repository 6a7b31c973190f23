"""Runs from their claim to their record or their failure, one at a time or several in a pack."""

import contextlib
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lab.config import RunConfig, Shape
from lab.launch.task import Task
from lab.store import export
from lab.store.failures import failure_of, halve, kind_of, trained_as
from lab.store.lineage import waits
from lab.store.store import Claim, Store

BEAT_SECONDS = 2.0
OVER, WAIT = -1, -2  # in the place of a run's number in the list


class Anew(RuntimeError):
    """The hosts of a run must start again, and no run has failed for good."""


class Heart:
    """Beats for one claim from a thread, with the progress that was last reported."""

    def __init__(self, claim: Claim):
        self.claim, self.progress, self.over = claim, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def report(self, **progress: Any) -> None:
        self.progress = progress

    def run(self) -> None:
        while not self.over.wait(BEAT_SECONDS):
            try:
                self.claim.beat(**self.progress)
            except OSError as error:  # a full disk ends no run: only what must be written does
                log(f"warning: heartbeat of {self.claim.folder.name}: {error}")

    def stop(self) -> None:
        """And let the claim go."""
        self.over.set()
        self.thread.join()
        with contextlib.suppress(OSError):  # a claim not released dies with this process
            self.claim.release()


def choose(
    store: Store, configs: list[RunConfig], failed: set[str], until: float = 1.0
) -> tuple[int, int, Claim | None]:
    """The number of the first run that can be claimed, the micro-batch with which it is trained
    now (that of its second try, if it has come to that), and the claim. A run whose trunk is not
    trained yet is not claimed: its turn comes; nor is one that was trained as far as it shall be."""
    runs = [(i, trained_as(store, config)) for i, config in enumerate(configs)]
    left = [
        (i, run)
        for i, run in runs
        if run.run_id not in failed and store.trainable(run.run_id) and not reached(store, run, until)
    ]
    in_hand = {run.run_id for _, run in left}
    ready = ((i, run) for i, run in left if not waits(store, run, in_hand))
    claims = ((i, run.micro_batch, claim) for i, run in ready if (claim := store.claim(run)))
    return next(claims, (WAIT if left else OVER, 0, None))


def reached(store: Store, config: RunConfig, until: float) -> bool:
    """Whether a run's newest checkpoint is at the share of its updates at which it shall stop."""
    from lab.train.evaluate import first_point

    last = first_point(config.steps, until)
    return last < config.steps and store.newest_checkpoint(config.run_id) >= last


@dataclass
class Attempts:
    """How the runs of a worker's task are tried."""

    task: Task
    store: Store
    devices: list[Any]
    stopping: threading.Event
    configs: list[RunConfig]
    failed: set[str] = field(default_factory=set)  # tried no more, failure.json or not
    most: dict[Shape, int] = field(default_factory=dict)  # runs a device, where a pack of a shape failed
    hearts: dict[str, Heart] = field(default_factory=dict)  # of the runs that are being trained

    def train(self, first: RunConfig, claim: Claim | None) -> None:
        """Train a claimed run, and in a pack others of its shape for as long as there are any.
        `claim` is None on the hosts that are not the run's first.

        Raises:
          Exception: a full disk or a broken node, which would take the next runs down too; and, on
            several hosts, whatever happened: the others are in the middle of a step.
        """
        from lab.train.keeper import Follower, Keeper
        from lab.train.lanes import Lanes
        from lab.train.loop import Crew
        from lab.train.run import Job

        each, waiting = 0, [(first, claim)]
        if claim:  # it beats from here on: packs are measured for longer than a silent claim is respected
            self.hearts[first.run_id] = Heart(claim)

        def offer() -> Job | None:
            run = waiting.pop() if waiting else self.claim_another(first.shape) if each else None
            if run is None:
                return None
            config, claim = run
            if claim is None:
                return Job(config, partial(corpus_of, config), Follower, until=self.task.until)
            keeper = partial(Keeper, self.store, config, claim, self.task.save_seconds, log)
            if config.run_id not in self.hearts:
                self.hearts[config.run_id] = Heart(claim)
            log(f"{config.run_id} begins")
            report = self.hearts[config.run_id].report
            return Job(config, partial(corpus_of, config), keeper, report, self.task.until)

        try:
            each = self.pack_size(first)
            alone = self.task.pack is not None and not each
            devices = tuple(self.devices[:1] if alone else self.devices)
            lanes = Lanes(first.shape, self.task.way, devices, each, self.task.tensor, self.task.remat)
            Crew(lanes, offer, self.ended if claim else raise_error, self.stopping.is_set).train()
        except Exception as error:  # in a pack no run's own: smaller packs, and at last single runs, tell
            if each == 0 and first.run_id in self.hearts:
                self.ended(first, error)
            elif each == 0 or kind_of(error) in ("disk full", "bad node"):
                raise
            else:
                log(traceback.format_exc())
                self.most[first.shape] = each // 2
                log(f"a pack of {each} runs a device failed; they go on, {each // 2 or 1} at once")
        finally:
            for run_id in list(self.hearts):
                self.hearts.pop(run_id).stop()

    def pack_size(self, config: RunConfig) -> int:
        """Runs a device for this shape, as asked or as measured; 0 where one run is better trained
        alone."""
        from lab.train.measures import best_pack

        if self.task.pack is None:
            return 0
        left = sum(self.store.trainable(run.run_id) for run in self.alike(config.shape))
        each = self.task.pack or -(-left // len(self.devices))
        each = min(each, self.most.get(config.shape, each))
        if not self.task.pack and each > 1:
            each = best_pack(self.store.root / ".packs", config, self.devices[0], each, self.task.remat)
            log(f"shape of {config.run_id}: {each} runs a device are fastest")
        return each if each * len(self.devices) > 1 else 0

    def alike(self, shape: Shape) -> list[RunConfig]:
        return [run for run in self.configs if run.shape == shape and run.run_id not in self.failed]

    def claim_another(self, shape: Shape) -> tuple[RunConfig, Claim] | None:
        """The next run of a shape. Second tries of other sizes are not of it."""
        if self.stopping.is_set():
            return None
        same = [config for config in self.alike(shape) if trained_as(self.store, config) == config]
        number, _, claim = choose(self.store, same, self.failed, self.task.until)
        return (same[number], claim) if claim else None

    def ended(self, config: RunConfig, outcome: dict[str, Any] | Exception | None) -> None:
        """Write what became of a run, and let it go. Its failure never ends the grid."""
        heart = self.hearts.pop(config.run_id)
        try:
            raise_error(config, outcome)
            if outcome:
                self.store.write_record(config.run_id, outcome | export.provenance(self.task.commit))
            log(f"{config.run_id} {outcome['status'] if outcome else 'stopped'}")
        except Exception as error:
            if not self.explain(config, heart.claim, error):
                self.failed.add(config.run_id)
                if self.task.fail_fast:
                    self.stopping.set()
        finally:
            heart.stop()

    def explain(self, config: RunConfig, claim: Claim, error: Exception) -> bool:
        """Write why a run did not end, while its error is being handled; see `train`. False when it
        failed for good; a first try that was out of memory is left to its second. An error that
        comes after the run was taken over is no failure of it: its new holder trains it."""
        from lab.train import step
        from lab.train.keeper import LostClaim

        task = self.task
        if isinstance(error, LostClaim) or not claim.held():
            log(f"{type(error).__name__} after another worker took {config.run_id} over: {error}")
            if task.hosts > 1:
                raise Anew(str(error)) from error
            return True
        log(traceback.format_exc())
        kind = kind_of(error)
        if kind == "disk full":
            raise error
        if task.hosts > 1 and kind == "lost host":  # which is no fault of the run
            raise Anew(f"run {config.run_id} lost a host") from error
        spread = task.hosts * task.devices // task.tensor if task.pack is None else 1
        now = step.micro_batch(config.shape, spread, self.devices[0].platform)
        first_try = any(run.run_id == config.run_id for run in self.configs)
        again = halve(config, now, spread) if first_try and kind == "out of memory" else None
        retried = write_failure(self.store, failure_of(config, error, again)) and again
        if task.hosts > 1 and retried:
            raise Anew(f"run {config.run_id} is tried again as {again.run_id}") from error
        if kind == "bad node" or task.hosts > 1:
            raise error
        return bool(retried)


def raise_error(_: RunConfig, outcome: dict[str, Any] | Exception | None) -> None:
    """All there is to do for a run that ended where another host writes what became of it."""
    if isinstance(outcome, Exception):
        raise outcome


def corpus_of(config: RunConfig) -> Any:
    from lab.data import corpora

    data = config.data
    corpus = corpora.open_corpus(data.corpus, data.tokenizer, data.sha256)
    corpus.verify()  # a size that is right is not enough: no run is trained on damaged tokens
    return corpus


def write_failure(store: Store, failure: dict[str, Any]) -> bool:
    """Write failure.json; False when that failed too."""
    try:
        store.write_failure(failure["run_id"], failure)
    except OSError as error:
        log(f"failure.json of {failure['run_id']} could not be written: {error}")
        return False
    return True


def log(text: str) -> None:
    """A line of the log, which may lie on a full disk too."""
    now = time.time()
    stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03d}"
    with contextlib.suppress(OSError):
        print(f"{stamp} {text}", flush=True)
