"""One run, from its claim to its record or its failure."""

import contextlib
import json
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from typing import Any

from lab.config import RunConfig
from lab.store import export
from lab.store.failures import failure_of, halve, kind_of, trained_as
from lab.store.lineage import waits
from lab.store.store import UNFINISHED, Claim, Store

BEAT_SECONDS = 2.0
OVER, WAIT = -1, -2  # in the place of a run's number in the list


class Anew(RuntimeError):
    """The hosts of a run must start again, and no run has failed for good."""


@dataclass(frozen=True)
class Task:
    """What a worker is told. `cores` pin it (CPU); `devices` is how many a run is spread over.

    Where a run has several hosts, this is number `host` of them, and the first listens at
    `coordinator`; "" leaves it to jax to find out from Slurm or from the TPU pod."""

    store: str
    configs: list[dict[str, Any]]
    cores: list[int] | None = None
    devices: int = 1
    way: str = "jit"
    save_seconds: float = 15.0
    fail_fast: bool = False
    commit: str = ""
    hosts: int = 1
    host: int = 0
    coordinator: str = ""
    pack: int | None = None  # runs at once on each device; 0 measures how many pay; None: one run

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


class Heart:
    """Beats for one claim from a thread, with whatever progress was last told."""

    def __init__(self, claim: Claim):
        self.claim, self.now, self.over = claim, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def progress(self, **now: Any) -> None:
        self.now = now

    def run(self) -> None:
        while not self.over.wait(BEAT_SECONDS):
            try:
                self.claim.beat(**self.now)
            except OSError as error:  # a full disk ends no run: only what must be written does
                say(f"warning: heartbeat of {self.claim.folder.name}: {error}")

    def stop(self) -> None:
        self.over.set()
        self.thread.join()


def choose(store: Store, asked: list[RunConfig], failed: set[str]) -> tuple[int, int, Claim | None]:
    """The number of the first run that can be claimed, the micro-batch with which it is trained
    now (that of its second try, if it has come to that), and the claim. A run whose trunk is not
    trained yet is not claimed: its turn comes."""
    runs = [(i, trained_as(store, one)) for i, one in enumerate(asked) if one.run_id not in failed]
    left = [(i, run) for i, run in runs if unfinished(store, run.run_id)]
    mine = {run.run_id for _, run in left}
    ready = ((i, run) for i, run in left if not waits(store, run, mine))
    claims = ((i, run.micro_batch, claim) for i, run in ready if (claim := store.claim(run)))
    return next(claims, (WAIT if left else OVER, 0, None))


def attempt(trainer: Any, task: Task, config: RunConfig, claim: Claim, retry: bool) -> bool:
    """Train one run; its failure never ends the grid. True unless it failed for good; with `retry`
    a run that was out of memory is left to its second try.

    Raises:
      Exception: a full disk or a broken node, which would take the next runs down too; and, on
        several hosts, whatever happened: the others are in the middle of a step.
    """
    heart = Heart(claim)
    trainer.progress = heart.progress
    say(f"{config.run_id} begins")
    try:
        finish(trainer.store, task, config, trainer.train(config, corpus_of(config), claim))
    except Exception as error:
        return blame(trainer.store, task, config, claim, error, retry)
    finally:
        let_go(heart)
    return True


def finish(store: Store, task: Task, config: RunConfig, record: dict[str, Any] | None) -> None:
    """Write the record of a run that ended; None stands for one that was stopped."""
    if record:
        store.write_record(config.run_id, record | export.provenance(task.commit))
    say(f"{config.run_id} {record['status'] if record else 'stopped'}")


def blame(store: Store, task: Task, config: RunConfig, claim: Claim, error: Exception, retry: bool) -> bool:
    """Tell why a run did not end, while its error is being handled; see `attempt`. An error that
    comes after the run was taken over is no failure of the run: its new holder trains it."""
    from lab.train import run as train
    from lab.train import step

    if isinstance(error, train.LostClaim) or not claim.held():
        say(f"{type(error).__name__} after another worker took {config.run_id} over: {error}")
        if task.hosts > 1:
            raise Anew(str(error)) from error
        return True
    say(traceback.format_exc())
    kind = kind_of(error)
    if kind == "disk full":
        raise error
    if task.hosts > 1 and kind == "lost host":  # which is no fault of the run
        raise Anew(f"run {config.run_id} lost a host") from error
    spread = task.hosts * task.devices if task.pack is None else 1
    now = step.micro_batch(config.shape, spread)
    again = halve(config, now, spread) if retry and kind == "out of memory" else None
    noted = note_failure(store, config, failure_of(config, error, again))
    if task.hosts > 1 and noted and again:
        raise Anew(f"run {config.run_id} is tried again as {again.run_id}") from error
    if kind == "bad node" or task.hosts > 1:
        raise error
    return bool(noted and again)


def let_go(heart: Heart) -> None:
    heart.stop()
    with contextlib.suppress(OSError):  # a claim not released dies with this process
        heart.claim.release()


def corpus_of(config: RunConfig) -> Any:
    from lab.data import corpora

    data = config.data
    corpus = corpora.open_corpus(data.corpus, data.tokenizer, data.sha256)
    corpus.verify()  # a size that is right is not enough: no run is trained on damaged tokens
    return corpus


def unfinished(store: Store, run_id: str) -> bool:
    """Whether a run may still be trained: no record that counts, and no failure."""
    return store.status(run_id) in UNFINISHED


def note_failure(store: Store, config: RunConfig, failure: dict[str, Any]) -> bool:
    """Write failure.json; False when that failed too."""
    try:
        store.write_failure(config.run_id, failure)
    except OSError as error:
        say(f"failure.json of {config.run_id} could not be written: {error}")
        return False
    return True


def say(text: str) -> None:
    """A line of the log, which may lie on a full disk too."""
    now = time.time()
    stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03d}"
    with contextlib.suppress(OSError):
        print(f"{stamp} {text}", flush=True)
