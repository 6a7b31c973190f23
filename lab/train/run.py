"""Trains one run from start to record: evaluates, saves, resumes, and stops when asked.

Everything that decides a number (which batch, where a dispatch ends, when to evaluate) is a
function of the config alone. The clock decides only when to save.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from lab.config import RunConfig, Shape
from lab.data import batches
from lab.data.corpora import Corpus
from lab.models import counts, ops
from lab.store.files import sha256
from lab.store.records import points
from lab.store.store import Claim, Store
from lab.train import begin, parallel, peak, step
from lab.train.checkpoint import Checkpoints, Restored

EVAL_TOKENS = 16_384  # held-out tokens behind each point of the curve; the end takes them all
EVAL_POINTS = 12  # per curve, log-spaced over its last two decades
EVAL_BLOCK = 16  # windows per evaluation call
QUICK_SAVE_SECONDS = 0.4  # a state saved within this is saved as often as asked ...
REST = 40  # ... a larger one, slow to copy and hash, after a rest of so many times the excess

learning_rate = jax.jit(step.learning_rate, static_argnums=0)


class LostClaim(RuntimeError):
    """Another worker took this run over; nothing more may be written for it."""


@dataclass(frozen=True)
class Program:
    """The compiled functions of one shape."""

    init: Callable
    train: parallel.Compiled
    evaluate: Callable


@cache
def program(shape: Shape, way: parallel.Way, devices: tuple[jax.Device, ...]) -> Program:
    return Program(
        init=step.starter(shape),
        train=parallel.compile_step(shape, way, devices),
        evaluate=jax.jit(partial(step.eval_step, shape.model)),
    )


def fresh(program: Program, config: RunConfig) -> step.TrainState:
    """Where a run begins."""
    return program.init(jax.random.key(config.seed), step.hyper_of(config))


def eval_steps(total: int) -> list[int]:
    """The updates after which the held-out loss is measured: log-spaced, the last included."""
    points = np.geomspace(max(1.0, total / 100), total, EVAL_POINTS)
    return sorted({round(float(point)) for point in points} | {total})


def check_corpus(config: RunConfig, corpus: Corpus) -> None:
    """Refuse data that is not what the run's id stands for, before anything is trained."""
    if corpus.sha256 != config.data.sha256:
        raise ValueError(
            f"run {config.run_id} was made for data {config.data.sha256[:12]}, and corpus "
            f"{corpus.name!r} now holds {corpus.sha256[:12]}; name the grid anew on this data"
        )
    if corpus.vocab_size > config.model.vocab_size:
        raise ValueError(
            f"corpus {corpus.name!r} has token ids up to {corpus.vocab_size - 1} and run "
            f"{config.run_id} a vocab_size of {config.model.vocab_size}; make it at least "
            f"{corpus.vocab_size}"
        )


@dataclass
class Evaluator:
    """Held-out windows of one corpus at one length, and the loss on them."""

    tokens_WL: np.ndarray
    mask_WL: np.ndarray

    @classmethod
    def of(cls, corpus: Corpus, seq_len: int, n_tokens: int | None = None) -> "Evaluator":
        return cls(*batches.eval_windows(corpus.held_out, seq_len, n_tokens))

    def first(self) -> "Evaluator":
        """The first window alone: what it takes to compile."""
        return Evaluator(self.tokens_WL[:1], self.mask_WL[:1])

    def nats(self, evaluate: Callable, params: Any) -> tuple[np.ndarray, np.ndarray]:
        """Nats and number of targets of each window, (W,) each; nats (R, W) of a pack's runs."""
        W = len(self.tokens_WL)
        short = -W % EVAL_BLOCK
        tokens = np.pad(self.tokens_WL, ((0, short), (0, 0)))
        mask = np.pad(self.mask_WL, ((0, short), (0, 0))).astype(np.float32)
        blocks = [slice(i, i + EVAL_BLOCK) for i in range(0, W + short, EVAL_BLOCK)]
        sums = [evaluate(params, tokens[block], mask[block]) for block in blocks]
        nats = np.concatenate(jax.device_get(sums), axis=-1)[..., :W]
        return nats.astype(np.float64), self.mask_WL.sum(1)

    def loss(self, evaluate: Callable, params: Any) -> tuple[float, float]:
        """Mean nats per token, and its standard error over windows (noise of the text alone)."""
        return self.mean(*self.nats(evaluate, params))

    @staticmethod
    def mean(nats: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
        mean = nats.sum() / targets.sum()
        spread = np.sqrt(((nats - mean * targets) ** 2).sum()) / targets.sum()
        return float(mean), float(spread)


@dataclass
class Trainer:
    """One worker's way of training runs."""

    store: Store
    devices: Sequence[jax.Device]
    way: parallel.Way = "jit"
    save_seconds: float = 15.0  # between checkpoints
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[..., None] = lambda **now: None
    tell: Callable[[str], None] = lambda line: None  # a line of the worker's log

    def train(self, config: RunConfig, corpus: Corpus, claim: Claim | None) -> dict[str, Any] | None:
        """Train a claimed run to its end. Returns its record's content, not yet written, or None
        when it was stopped (its state is saved then).

        Where a run has several hosts each calls this; the first alone holds a claim, writes, and
        returns a record to be written.

        Raises:
          LostClaim: another worker holds the run now.
        """
        check_corpus(config, corpus)
        if not parallel.leads():
            silent = Silent()
            follower = replace(self, store=silent, tell=silent.nothing)
            return Run(follower, config, corpus, silent, silent).to_the_end()
        checkpoints = Checkpoints(self.store.folder(config.run_id) / "checkpoints", claimed=True)
        try:
            return Run(self, config, corpus, claim, checkpoints).to_the_end()
        finally:
            checkpoints.close()


class Silent:
    """The claim, the store and the checkpoints of a host that is not the first of its run: it
    computes the same, decides nothing and writes nothing."""

    def held(self) -> bool:
        return True

    def restore(self, like: Any) -> Restored:
        return Restored(0, like, None)

    def no_text(self, *_: Any) -> str:
        return ""

    def nothing(self, *_: Any) -> None: ...

    start_curve = add_to_curve = no_text
    save = wait = nothing


class Run:
    """The loop of one run, and where it stands."""

    def __init__(
        self, trainer: Trainer, config: RunConfig, corpus: Corpus, claim: Claim, checkpoints: Checkpoints
    ):
        self.trainer, self.config, self.corpus, self.claim = trainer, config, corpus, claim
        self.store, self.checkpoints = trainer.store, checkpoints
        self.points = eval_steps(config.steps)
        self.quick = Evaluator.of(corpus, config.model.seq_len, EVAL_TOKENS)
        self.save_again_after = trainer.save_seconds
        self.train_loss = self.grad_norm = float("nan")
        self.io_seconds = 0.0
        self.compile()
        with self.storing():
            self.resume()

    def compile(self) -> None:
        """Compile (or find in the cache) all this shape needs, by calls that change nothing."""
        began, shape = time.monotonic(), self.config.shape
        self.program = program(shape, self.trainer.way, tuple(self.trainer.devices))
        self.fresh = fresh(self.program, self.config)
        idle = self.program.train.place(self.fresh)
        width = self.config.model.seq_len + 1
        self.no_tokens_SBL = np.zeros((shape.steps_per_dispatch, shape.batch_size, width), np.int32)
        jax.block_until_ready(self.program.train.step(idle, self.no_tokens_SBL, np.int32(0)))
        self.quick.first().loss(self.program.evaluate, self.fresh.params)
        self.compile_seconds = time.monotonic() - began

    def resume(self) -> None:
        """Go back to the newest checkpoint that can be read, to the end of the trunk, or to the
        beginning."""
        found = self.checkpoints.restore(self.fresh)
        start = begin.Beginning(found)
        if parallel.leads():
            start = begin.find(self.store, self.config, found, self.fresh)
            found = start.restored
        told = (found.step, found.state, int(start.diverged), start.trunk_steps)
        self.step, state, self.lost, self.trunk_steps = parallel.agreed(told)
        self.origin = start.origin
        self.place(state)
        del self.fresh
        for warning in found.warnings:
            print(f"warning: {warning}", flush=True)
        self.trainer.tell(f"{self.config.run_id} trains from update {self.step}")
        # kept in memory too, so that what the file becomes meanwhile can't enter the record
        self.curve = self.store.start_curve(self.config.run_id, self.step, found.curve)
        rows = points(self.curve)
        self.loss = float(rows[-1]["loss"]) if rows else None  # the last good held-out loss
        self.good_step = int(rows[-1]["step"]) if rows else 0
        self.seconds_before = float(rows[-1]["seconds"]) if rows else 0.0
        before = [row for row in rows if int(row["step"]) <= self.trunk_steps]
        self.trunk_seconds = float(before[-1]["seconds"]) if before else 0.0
        self.began, self.saved = self.clock(), time.monotonic()

    def place(self, state: step.TrainState) -> None:
        self.state = self.program.train.place(state)

    def fetch(self) -> step.TrainState:
        return self.program.train.fetch(self.state)

    def score(self, evaluator: Evaluator) -> tuple[float, float]:
        return evaluator.loss(self.program.evaluate, self.fetch().params)

    def to_the_end(self) -> dict[str, Any] | None:
        if self.lost:
            return self.diverged()
        behind: tuple[int, dict] | None = None  # the dispatch whose losses were not read yet
        while self.step < self.config.steps:
            if parallel.agreed(self.trainer.stopping()):
                if not self.read(behind):
                    return self.diverged()
                self.save()
                self.checkpoints.wait()
                return None
            ahead = self.dispatch()
            if not self.read(behind):  # while the one just sent off runs
                return self.diverged()
            behind = ahead
            due = parallel.agreed(self.save_is_due())
            if self.step in self.points or due:
                if not self.read(behind) or (self.step in self.points and not self.evaluate()):
                    return self.diverged()
                behind = None
            if due and self.step < self.config.steps:
                self.save()
        return self.done()

    def dispatch(self) -> tuple[int, dict[str, jax.Array]]:
        """Send off the updates up to the next point of the curve, S of them at most."""
        n, tokens_SBL = self.next_dispatch(), self.no_tokens_SBL.copy()
        tokens_SBL[:n] = self.next_batches(n)
        self.state, metrics = self.program.train.step(self.state, tokens_SBL, np.int32(n))
        self.step += n
        return n, metrics

    def next_dispatch(self) -> int:
        """How many updates the next dispatch makes when the run is alone."""
        end = next(point for point in self.points if point > self.step)
        return min(self.config.shape.steps_per_dispatch, end - self.step)

    def next_batches(self, n: int) -> np.ndarray:
        """The tokens of the next n updates, (n, B, L + 1)."""
        config = self.config
        return batches.batches(
            self.corpus.train,
            config.data_seed,
            self.step,
            n,
            config.batch_size,
            config.model.seq_len,
            config.data.unique_tokens or None,
        )

    def read(self, dispatched: tuple[int, dict[str, jax.Array]] | None) -> bool:
        """Wait for a dispatch's losses; False when one of them is no longer a number."""
        if dispatched is None:
            return True
        n, metrics = dispatched
        losses = np.asarray(metrics["loss"])[:n]
        if not np.isfinite(losses).all():
            return False
        self.train_loss = float(losses.mean())
        self.grad_norm = float(np.asarray(metrics["grad_norm"])[n - 1])
        self.trainer.progress(
            step=self.step,
            steps=self.config.steps,
            train_loss=self.train_loss,
            loss=self.loss,
            tokens_per_second=self.own_tokens / self.own_seconds,
        )
        return True

    def evaluate(self) -> bool:
        """Add a point to the curve; False when the held-out loss is no longer a number."""
        loss, _ = self.score(self.quick)
        if not parallel.agreed(math.isfinite(loss)):
            return False
        self.loss, self.good_step = loss, self.step
        tokens = self.step * self.config.batch_tokens
        hyper = self.config.hyper
        rate = learning_rate(self.config.shape.optim, self.step - 1, hyper)
        point = {
            "step": self.step,
            "tokens": tokens,
            "flops": counts.flops_exact(self.config.model) * tokens,
            "loss": loss,
            "train_loss": self.train_loss,
            "grad_norm": self.grad_norm,
            "learning_rate": float(rate),
            "seconds": round(self.seconds, 3),
        }
        with self.storing():
            self.check_claim()
            self.curve += self.store.add_to_curve(self.config.run_id, point)
        return True

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Counts as waiting for the store."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.io_seconds += time.monotonic() - began

    @property
    def seconds(self) -> float:
        """Spent on the run so far and on its trunk, compilation left out; what a kill undid is not
        counted."""
        return self.seconds_before + self.clock() - self.began

    @property
    def own_seconds(self) -> float:
        return self.seconds - self.trunk_seconds

    @property
    def own_tokens(self) -> int:
        return (self.step - self.trunk_steps) * self.config.batch_tokens

    def clock(self) -> float:
        return time.monotonic()

    def save_is_due(self) -> bool:
        return time.monotonic() - self.saved > self.save_again_after

    def check_claim(self) -> None:
        if not self.claim.held():
            raise LostClaim(f"run {self.config.run_id} was taken over by another worker")

    def save(self) -> None:
        began = time.monotonic()
        with self.storing():
            self.checkpoints.wait()  # one is written at a time: this begins when that is on disk
            self.check_claim()
            self.trainer.tell(f"{self.config.run_id} saves update {self.step}")
            self.checkpoints.save(self.step, self.fetch(), self.curve)
        self.saved = time.monotonic()
        excess = self.saved - began - QUICK_SAVE_SECONDS
        self.save_again_after = max(self.trainer.save_seconds, REST * excess)

    def done(self) -> dict[str, Any]:
        """Save the final state, then score it on the whole held-out set."""
        self.save()
        seconds = self.own_seconds
        everything = Evaluator.of(self.corpus, self.config.model.seq_len)
        loss, loss_se = self.score(everything)
        if not math.isfinite(loss):
            return self.diverged()
        targets = int(everything.mask_WL.sum())
        span = everything.tokens_WL[:, 1:][everything.mask_WL]
        size = float(self.corpus.bytes_per_token[span].sum())
        with self.storing():
            self.checkpoints.wait()
            self.check_claim()
        rate = self.own_tokens / seconds
        return self.record("done", loss, seconds) | {
            "loss_se": loss_se,
            "bits_per_byte": loss * targets / size / math.log(2),
            "held_out_tokens": targets,
            "tokens_per_second": rate,
            "flops_utilization": self.utilization(rate),
        }

    def utilization(self, tokens_per_second: float) -> float | None:
        """Exact FLOPs done, as a share of the devices' measured peak; None where there is no
        memory left to measure it in, and on the hosts that tell nothing."""
        devices = self.trainer.devices
        if not parallel.leads():
            return None
        try:
            dtype = ops.product_dtype(self.config.model.dtype)
            top = peak.of(self.store.root / ".peaks", devices[0], dtype)
        except (RuntimeError, MemoryError):
            return None
        return counts.flops_exact(self.config.model) * tokens_per_second / (top * len(devices))

    def diverged(self) -> dict[str, Any]:
        """The run ends here: no final loss, and the last point that was still a number."""
        self.check_claim()
        last_good = {"step": self.good_step, "loss": self.loss}
        return self.record("diverged", None, self.own_seconds) | {"last_good": last_good}

    def record(self, status: str, loss: float | None, seconds: float) -> dict[str, Any]:
        return {
            "status": status,
            "steps": self.step,
            "loss": loss,
            "curve_sha256": sha256(self.curve),
            "seconds": round(seconds, 3),
            "compile_seconds": round(self.compile_seconds, 3),
            "io_seconds": round(self.io_seconds, 3),
            "device": self.trainer.devices[0].device_kind,
            "devices": len(self.trainer.devices),
            "way": self.trainer.way,
            "micro_batch": step.micro_batch(self.config.shape, len(self.trainer.devices)),
            **({"init_from": self.origin} if self.origin else {}),
        }
