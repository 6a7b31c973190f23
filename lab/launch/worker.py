"""One worker process: takes runs from the store until none of its list is left.

`python -m lab.launch.worker` reads its task, one line of JSON, from standard input and goes on
watching it: when the launcher dies, or closes it, the worker saves what it has and stops.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab import counts, export
from lab.config import RunConfig, from_json
from lab.failures import described, halved, kind_of, trained_as
from lab.store import UNFINISHED, Claim, Store

BEAT_SECONDS = 2.0
OTHERS_SECONDS = 1.0  # between looks at runs that other workers hold
FAILED_FAST, DISK_FULL = 4, 5  # exit codes
AGAIN = 6  # and that of hosts which must be started anew, all of them
OVER, WAIT = -1, -2  # in the place of a run's number in the list


class Anew(RuntimeError):
    """The hosts of a run must start again, and no run has failed for good."""


@dataclass(frozen=True)
class Task:
    """What a worker is told. `core` pins it (CPU); `devices` is how many a run is spread over.

    Where a run has several hosts, this is number `host` of them, and the first listens at
    `coordinator`; "" leaves it to jax to find out from Slurm or from the TPU pod."""

    store: str
    configs: list[dict[str, Any]]
    core: int | None = None
    devices: int = 1
    way: str = "jit"
    save_seconds: float = 15.0
    fail_fast: bool = False
    commit: str = ""
    hosts: int = 1
    host: int = 0
    coordinator: str = ""

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


def set_up(task: Task) -> None:
    """Pin the process and set jax's flags: at a worker's start and nowhere else."""
    if task.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {task.core})
    import jax

    jax.config.update("jax_compilation_cache_dir", str(Path(task.store).resolve() / ".compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if task.hosts > 1:
        told = (task.coordinator, task.hosts, task.host) if task.coordinator else ()
        jax.distributed.initialize(*told, local_device_ids=range(task.devices))


def work(task: Task, stopping: threading.Event) -> int:
    """Train all that can be claimed, longest first. Returns how many runs failed."""
    set_up(task)

    from lab import parallel, train

    devices = parallel.devices(task.hosts, task.devices)
    store = Store(Path(task.store))
    trainer = train.Trainer(store, devices, task.way, task.save_seconds, stopping.is_set)
    asked = [from_json(config, where="task") for config in task.configs]
    asked.sort(key=counts.run_flops, reverse=True)
    failed: set[str] = set()  # also those whose failure.json could not be written
    while True:
        number, micro_batch, claim = OVER, 0, None
        if parallel.leads() and not stopping.is_set():
            number, micro_batch, claim = choose(store, asked, failed)
        number, micro_batch = parallel.agreed((number, micro_batch))
        if number == OVER:
            break
        if number == WAIT:
            stopping.wait(OTHERS_SECONDS)
            continue
        one = asked[number]
        config = replace(one, micro_batch=micro_batch)
        if claim is None:  # the first host has it
            trainer.train(config, corpus_of(config), None)
        elif not attempt(trainer, task, config, claim, retry=one == config):
            failed.add(one.run_id)
            if task.fail_fast:
                stopping.set()
    return len(failed)


def choose(store: Store, asked: list[RunConfig], failed: set[str]) -> tuple[int, int, Claim | None]:
    """The number of the first run that can be claimed, the micro-batch with which it is trained
    now (that of its second try, if it has come to that), and the claim."""
    runs = [(i, trained_as(store, one)) for i, one in enumerate(asked) if one.run_id not in failed]
    left = [(i, run) for i, run in runs if unfinished(store, run.run_id)]
    claims = ((i, run.micro_batch, claim) for i, run in left if (claim := store.claim(run)))
    return next(claims, (WAIT if left else OVER, 0, None))


def attempt(trainer: Any, task: Task, config: RunConfig, claim: Claim, retry: bool) -> bool:
    """Train one run; its failure never ends the grid. True unless it failed for good; with `retry`
    a run that was out of memory is left to its second try.

    Raises:
      Exception: a full disk or a broken node, which would take the next runs down too; and, on
        several hosts, whatever happened: the others are in the middle of a step.
    """
    from lab import train

    heart = Heart(claim)
    trainer.progress, trainer.tell = heart.progress, say
    say(f"{config.run_id} begins")
    try:
        record = trainer.train(config, corpus_of(config), claim)
        if record:
            trainer.store.write_record(config.run_id, record | export.provenance(task.commit))
        say(f"{config.run_id} {record['status'] if record else 'stopped'}")
    except train.LostClaim as lost:
        say(str(lost))
        if task.hosts > 1:
            raise Anew(str(lost)) from lost
    except Exception as error:
        say(traceback.format_exc())
        kind = kind_of(error)
        if kind == "disk full":
            raise
        if task.hosts > 1 and kind == "lost host":  # which is no fault of the run
            raise Anew(f"run {config.run_id} lost a host") from error
        spread = task.hosts * task.devices
        again = halved(config, spread) if retry and kind == "out of memory" else None
        noted = note_failure(trainer.store, config, described(config, error, again))
        if task.hosts > 1 and noted and again:
            raise Anew(f"run {config.run_id} is tried again as {again.run_id}") from error
        if kind == "bad node" or task.hosts > 1:
            raise
        return bool(noted and again)
    finally:
        heart.stop()
        with contextlib.suppress(OSError):  # a claim not released dies with this process
            claim.release()
    return True


def corpus_of(config: RunConfig) -> Any:
    from lab import corpora

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


def main() -> int:
    stopping = threading.Event()
    # a job system's warning reaches every process of the job: USR1 and USR2 would end this one
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, lambda *_: stopping.set())
    task = Task(**json.loads(sys.stdin.readline()))
    say(f"process {os.getpid()} starts")

    def watch() -> None:
        sys.stdin.read()  # returns when the launcher closes the pipe or dies
        stopping.set()

    threading.Thread(target=watch, daemon=True).start()
    code = 0
    try:
        if work(task, stopping) and task.fail_fast:  # each failure is told in the store
            code = FAILED_FAST
    except Exception as error:
        if kind_of(error) == "disk full":
            say(f"the disk of {task.store} is full: {error}")
            code = DISK_FULL
        elif task.hosts == 1:
            raise
        else:
            say(traceback.format_exc())
            code = FAILED_FAST if task.fail_fast and not isinstance(error, Anew) else AGAIN
        if task.hosts > 1:
            # the others wait for this host in the middle of a step, and so would an orderly end
            os._exit(code)
    try:
        sys.stdout.flush()
    except OSError:  # what is left in the buffer would make another exit code of this one
        sys.stdout = sys.stderr = open(os.devnull, "w")
    return code


if __name__ == "__main__":
    sys.exit(main())
