"""Several runs of one shape trained together, each in a lane of one program (for accelerators).

Each keeps its own claim, curve, checkpoints and record, by the methods of `train.Run`; only the
updates are made together. A run that ends, diverges or is taken over leaves its lane, and the next
one of its shape takes it. When no other is left and half the lanes are idle, the runs move to a
program of half as many: one more compilation for each size.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import numpy as np

from lab.config import RunConfig, Shape
from lab.data.corpora import Corpus
from lab.store.store import Claim
from lab.train import parallel, step
from lab.train.checkpoint import Checkpoints
from lab.train.run import EVAL_BLOCK, Evaluator, Run, Trainer, check_corpus, fresh, program
from lab.train.step import TrainState

Outcome = dict[str, Any] | Exception | None  # a record's content, what went wrong, or stopped
GOES_ON = object()
compiled = cache(parallel.pack_step)


@dataclass(frozen=True)
class Job:
    """A claimed run that wants a lane."""

    config: RunConfig
    corpus: Callable[[], Corpus]
    claim: Claim
    progress: Callable[..., None] = lambda **now: None


class Member(Run):
    """A run whose state is a lane of a pack's. Its seconds are its share of the pack's."""

    def __init__(self, pack: "Pack", lane: int, job: Job):
        self.pack, self.lane, self.job = pack, lane, job
        corpus = job.corpus()
        check_corpus(job.config, corpus)
        trainer = replace(pack.trainer, progress=job.progress)
        folder = trainer.store.folder(job.config.run_id) / "checkpoints"
        checkpoints = Checkpoints(folder, claimed=True)
        try:
            super().__init__(trainer, job.config, corpus, job.claim, checkpoints)
        except BaseException:
            checkpoints.close()
            raise

    def compile(self) -> None:
        self.program, self.compile_seconds = self.pack.single, self.pack.compile_seconds
        self.fresh = fresh(self.program, self.config)

    def place(self, state: TrainState) -> None:
        self.pack.state = self.pack.program.put(self.pack.state, self.lane, state)
        self.pack.nats = {}

    def fetch(self) -> TrainState:
        return self.pack.program.pick(self.pack.state, self.lane)

    def score(self, evaluator: Evaluator) -> tuple[float, float]:
        """Scored with the others where a quarter of the lanes are at the same point."""
        pack, key = self.pack, (self.corpus.sha256, len(evaluator.tokens_WL))
        alike = sum(member.at_point() for member in pack.members.values())
        if key not in pack.nats and 4 * alike < pack.program.lanes:
            return super().score(evaluator)
        if key not in pack.nats:
            pack.nats[key] = evaluator.nats(pack.program.evaluate, pack.state.params)
        nats_RW, targets_W = pack.nats[key]
        return evaluator.mean(nats_RW[self.lane], targets_W)

    def clock(self) -> float:
        return self.pack.clock()

    def at_point(self) -> bool:
        return self.step in self.points

    def attention(self) -> bool:
        """Whether it has something to do that the others wait for."""
        return self.at_point() or self.save_is_due()

    def attend(self) -> Any:
        """Evaluate, save or end, as `to_the_end` does; GOES_ON or the record's content."""
        due = self.save_is_due()
        if self.at_point() and not self.evaluate():
            return self.diverged()
        if self.step >= self.config.steps:
            return self.done()
        if due:
            self.save()
        return GOES_ON

    def stop(self) -> None:
        self.save()
        self.checkpoints.wait()

    def record(self, *found: Any) -> dict[str, Any]:
        alone = {"devices": 1, "micro_batch": step.micro_batch(self.config.shape)}
        return super().record(*found) | alone | {"way": "pack", "pack": self.pack.each}


class Pack:
    """The lanes, and the loop that all their runs go through.

    Args:
      each: lanes on every device, at most.
      offer: gives the next claimed run of the shape, or None when there is none.
      ended: is told of every run that leaves, once, with its Outcome.
    """

    def __init__(
        self,
        trainer: Trainer,
        shape: Shape,
        each: int,
        offer: Callable[[], Job | None],
        ended: Callable[[Job, Outcome], None],
    ):
        self.trainer, self.shape, self.offer, self.ended = trainer, shape, offer, ended
        self.single = program(shape, "jit", (trainer.devices[0],))
        self.each, self.left, self.compile_seconds = each, False, 0.0
        self.members: dict[int, Member] = {}
        self.nats: dict[Any, tuple[np.ndarray, np.ndarray]] = {}  # of all lanes as they are now
        self.share, self.since = 0.0, time.monotonic()

    def train(self) -> None:
        """Until every run has left and none is offered, or asked to stop.

        Raises:
          Exception: the program itself failed, which is no single run's fault; or what `ended`
            raised. The runs still in the pack are untold: they go on from their checkpoints.
        """
        try:
            self.begin()
            self.loop()
        finally:
            for member in self.members.values():
                with suppress(Exception):  # of what brought it here
                    member.checkpoints.close()

    def begin(self) -> None:
        jobs = self.offers(self.each * len(self.trainer.devices))
        self.open(self.smallest(len(jobs)), fresh(self.single, jobs[0].config))
        for lane, job in enumerate(jobs):
            self.join(lane, job)
        self.left = len(self.members) < len(jobs)

    def offers(self, most: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < most and (job := self.offer()):
            jobs.append(job)
        return jobs

    def loop(self) -> None:
        behind = None  # the dispatch whose losses were not read yet
        while self.refill():
            if self.trainer.stopping():
                self.read(behind)
                for member in list(self.members.values()):
                    self.guarded(member, member.stop)
                return
            ahead = self.dispatch()
            self.read(behind)  # while the one just sent off runs
            behind = ahead
            if self.left or any(member.attention() for member in self.members.values()):
                self.read(behind)
                behind = None
                for member in list(self.members.values()):
                    self.guarded(member, member.attend)

    def dispatch(self) -> tuple[int, dict[str, jax.Array], dict[int, Member]]:
        """As many updates of all as none of them must stop within."""
        n, shape = min(m.next_dispatch() for m in self.members.values()), self.shape
        width = (shape.steps_per_dispatch, shape.batch_size, shape.model.seq_len + 1)
        tokens_RSBL = np.zeros((self.program.lanes, *width), np.int32)
        for lane, member in self.members.items():
            tokens_RSBL[lane, :n] = member.next_batches(n)
            member.step += n
        self.state, metrics = self.program.step(self.state, tokens_RSBL, np.int32(n))
        self.nats = {}
        return n, metrics, dict(self.members)

    def read(self, dispatched: tuple[int, dict[str, jax.Array], dict[int, Member]] | None) -> None:
        """Wait for a dispatch's losses; a run with one that is no number leaves."""
        if dispatched is None:
            return
        n, metrics, members = dispatched
        found = {name: np.asarray(value) for name, value in metrics.items()}
        for lane, member in members.items():
            own = {name: value[lane] for name, value in found.items()}
            if self.members.get(lane) is member and not member.read((n, own)):
                self.guarded(member, member.diverged)

    # --- who is in it ----------------------------------------------------------------------

    def refill(self) -> bool:
        """Give the lanes of runs that left to others; False when no run is in the pack."""
        if self.left and not self.trainer.stopping():
            free = [lane for lane in range(self.program.lanes) if lane not in self.members]
            for lane in free:
                while lane not in self.members and (job := self.offer()):
                    self.join(lane, job)
            self.left = False
            if self.members and (each := self.smallest(len(self.members))) < self.each:
                self.shrink(each)
        return bool(self.members)

    def join(self, lane: int, job: Job) -> None:
        with self.paused():
            try:
                member = Member(self, lane, job)
            except jax.errors.JaxRuntimeError:
                raise
            except Exception as error:
                self.ended(job, error)
                return
            self.members[lane] = member
        if member.lost:
            self.guarded(member, member.diverged)
        elif member.step >= job.config.steps:  # only its record is missing
            self.guarded(member, member.done)

    def guarded(self, member: Member, action: Callable[[], Any]) -> None:
        """What a run does for itself: when it ends, or fails, it leaves."""
        try:
            outcome = action()
            if outcome is GOES_ON:
                return
            member.checkpoints.close()
        except (jax.errors.JaxRuntimeError, MemoryError):
            raise  # as likely as not from the program they share
        except Exception as error:
            outcome = error
            with suppress(Exception):
                member.checkpoints.close()
        with self.paused():
            del self.members[member.lane]
        self.left = True
        self.ended(member.job, outcome)

    # --- its program -----------------------------------------------------------------------

    def smallest(self, runs: int) -> int:
        """The least of each, each / 2, ... lanes a device that holds so many runs."""
        each = self.each
        while each > 1 and runs <= len(self.trainer.devices) * ((each + 1) // 2):
            each = (each + 1) // 2
        return each

    def open(self, each: int, state: TrainState) -> None:
        """Compile the program for so many lanes, by a call that changes nothing."""
        began, shape, self.each = time.monotonic(), self.shape, each
        self.program = compiled(shape, tuple(self.trainer.devices), each)
        width = (shape.steps_per_dispatch, shape.batch_size, shape.model.seq_len + 1)
        tokens_RSBL = np.zeros((self.program.lanes, *width), np.int32)
        self.state, _ = self.program.step(self.program.fill(state), tokens_RSBL, np.int32(0))
        windows = np.zeros((EVAL_BLOCK, shape.model.seq_len + 1), np.int32)
        for evaluate, params in (
            (self.program.evaluate, self.state.params),
            (self.single.evaluate, state.params),
        ):
            jax.block_until_ready(evaluate(params, windows, np.float32(windows[:, 1:])))
        self.compile_seconds += time.monotonic() - began

    def shrink(self, each: int) -> None:
        with self.paused():
            kept = [(member, member.fetch()) for member in self.members.values()]
            self.members, self.state = {}, None
            self.open(each, kept[0][1])
            for lane, (member, state) in enumerate(kept):
                member.lane = lane
                member.place(state)
                self.members[lane] = member

    # --- its time --------------------------------------------------------------------------

    def clock(self) -> float:
        """Seconds of the pack, each divided by the number of runs that were in it then."""
        now = time.monotonic()
        return self.share + (now - (self.since or now)) / max(1, len(self.members))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While runs come and go, and programs are compiled, no run's time is counted."""
        self.share = self.clock()
        self.since = None
        try:
            yield
        finally:
            self.since = time.monotonic()
