"""One run of those that are trained together: where it stands, and what it does at its points.

Everything that decides a number (which batch, where a dispatch ends, when to evaluate) is a
function of the config alone. The clock decides only when to save.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from lab.config import RunConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.data.corpus import check_ids
from lab.data.mixtures import Mixture
from lab.models import counts
from lab.store.files import sha256
from lab.store.records import points
from lab.train import objectives, step
from lab.train.evaluate import EVAL_TOKENS, Evaluator, eval_steps, first_point
from lab.train.keeper import Follower, Keeper
from lab.train.lanes import Lanes
from lab.train.parallel import agreed, agreed_state

GOES_ON = object()  # in the place of a record
Record = dict[str, Any]  # what record.json will hold of a run that ended
learning_rate = jax.jit(step.learning_rate, static_argnums=0)


def check_corpus(config: RunConfig, corpus: Corpus) -> None:
    """Refuse data that is not what the run's id stands for, before anything is trained."""
    if corpus.sha256 != config.data.sha256:
        raise ValueError(
            f"run {config.run_id} was made for data {config.data.sha256[:12]}, and corpus "
            f"{corpus.name!r} now holds {corpus.sha256[:12]}; name the grid anew on this data"
        )
    check_ids(config, corpus)
    objectives.check(config.objective, config.model, corpus.vocab_size)
    for name, part in corpus.by_part().items() if isinstance(corpus, Mixture) else ():
        if (held := part.corpus.n_held_out) <= config.model.seq_len:  # each is scored at the end
            raise ValueError(
                f"of {name!r} {held:,} tokens are held out, and one window of seq_len={config.model.seq_len} "
                f"needs {config.model.seq_len + 1:,}; use a shorter seq_len or a larger part"
            )


@dataclass(frozen=True)
class Job:
    """A claimed run that wants to be trained."""

    config: RunConfig
    corpus: Callable[[], Corpus]
    keeper: Callable[[], Keeper | Follower]
    report: Callable[..., None] = lambda **now: None  # hears how far it is
    until: float = 1.0  # of its updates: it stops at the first point from there on


class Run:
    """A run, whose state lies in one of the lanes. It begins at the newest checkpoint that can be
    read, at the end of its trunk, or at nothing."""

    def __init__(self, job: Job, corpus: Corpus, keeper: Keeper | Follower, lanes: Lanes, lane: int):
        self.job, self.config, self.corpus, self.keeper = job, job.config, corpus, keeper
        self.lanes, self.lane = lanes, lane
        self.points = eval_steps(self.config.steps)
        self.last = first_point(self.config.steps, job.until)
        self.windows = self.held_out(EVAL_TOKENS)
        self.train_loss = self.grad_norm = math.nan
        self.latest = np.zeros(0, np.float32)  # of the updates here since a dispatch would have begun
        start = keeper.start(lanes.initial(self.config))
        shared = start.step, int(start.diverged), start.trunk_steps
        self.step, self.trunk_diverged, self.trunk_steps = agreed(shared)
        self.origin = start.origin
        fresh = not self.step or self.trunk_diverged  # every host has made that state by itself
        lanes.put(lane, start.state if fresh else agreed_state(start.state))
        rows = points(keeper.curve)
        last = rows[-1] if rows else {"step": 0, "loss": math.nan, "seconds": 0.0}
        self.good_step = int(last["step"])  # when the last held-out loss that was a number was measured
        self.loss = float(last["loss"]) if rows else None
        spent = float(last["seconds"]) if start.seconds is None else start.seconds
        self.clock_ahead = spent - lanes.clock.now()
        trunk_seconds = [float(row["seconds"]) for row in rows if int(row["step"]) <= self.trunk_steps]
        self.trunk_seconds = trunk_seconds[-1] if trunk_seconds else 0.0

    # --- updates ---------------------------------------------------------------------------

    def updates_to_point(self) -> int:
        """How many updates a dispatch makes as far as this run is concerned."""
        end = next(point for point in self.points if point > self.step)
        return min(self.config.shape.steps_per_dispatch, end - self.step)

    def dispatch_begun(self, end: int) -> int:
        """Where the dispatch that holds update `end` would have begun without runs beside this one."""
        base = max([self.trunk_steps, *(point for point in self.points if point < end)])
        return end - 1 - (end - 1 - base) % self.config.shape.steps_per_dispatch

    def next_batches(self, n: int) -> np.ndarray:
        """The tokens of the next n updates, (n, B, L + 1)."""
        config, unique = self.config, self.config.data.unique_tokens or None
        shape = n, config.batch_size, config.model.seq_len
        return batches.batches(self.corpus.train, config.data_seed, self.step, *shape, unique)

    def read(self, first: int, loss: np.ndarray, grad_norm: np.ndarray) -> bool:
        """Take in what the updates from `first` on gave; False when a loss is no longer a number: the run
        ends there, however many were sent after it."""
        if not np.isfinite(loss).all():
            self.step = first + int(np.argmin(np.isfinite(loss))) + 1
            return False
        end = first + len(loss)
        self.latest = np.append(self.latest, loss)[self.dispatch_begun(end) - end :]
        self.train_loss, self.grad_norm = float(self.latest.mean()), float(grad_norm[-1])
        self.job.report(
            step=self.step,
            steps=self.config.steps,
            train_loss=self.train_loss,
            loss=self.loss,
            tokens_per_second=self.own_tokens / self.own_seconds,
        )
        return True

    # --- between dispatches ----------------------------------------------------------------

    def between_dispatches(self, save_is_due: bool) -> Any:
        """Evaluate, save or end where it is time to: GOES_ON, the record, or None where it stops before its
        end."""
        if self.at_point and not self.evaluate():
            return self.diverge()
        if self.step >= self.config.steps:
            return self.finish()
        if self.step >= self.last:
            return self.stop()
        if save_is_due:
            self.save()
        return GOES_ON

    def stop(self) -> None:
        self.save()
        self.keeper.wait()

    @property
    def at_point(self) -> bool:
        return self.step in self.points

    def evaluate(self) -> bool:
        """Add a point to the curve; False when the held-out loss is no longer a number."""
        losses, _ = self.losses(self.windows)
        if not agreed(all(map(math.isfinite, losses.values()))):
            return False
        self.loss, self.good_step = losses["loss"], self.step
        tokens = self.step * self.config.batch_tokens
        rate = learning_rate(self.config.shape.optim, self.step - 1, self.config.hyper)
        point = {
            "step": self.step,
            "tokens": tokens,
            "flops": counts.flops_exact(self.config.model) * tokens,
            **losses,
            "train_loss": self.train_loss,
            "grad_norm": self.grad_norm,
            "learning_rate": float(rate),
            "seconds": round(self.seconds, 3),
        }
        self.keeper.add_to_curve(point)
        return True

    def held_out(self, n_tokens: int | None = None, corpus: Corpus | None = None) -> Evaluator:
        """So many tokens of held-out text, or all, with what the run's objective asks of them."""
        model = self.config.model
        windows = Evaluator.from_corpus(corpus or self.corpus, model.seq_len, n_tokens)
        return windows.for_objective(self.config.objective, model)

    def losses(self, windows: Evaluator) -> tuple[dict[str, float], float]:
        """The loss of the weights, and that of their average where the run keeps one; the first's
        standard error."""
        loss, loss_se = windows.loss(self.lanes.window_nats(self.lane, windows))
        if not self.config.optim.ema:
            return {"loss": loss}, loss_se
        average, _ = windows.loss(self.lanes.window_nats(self.lane, windows, average=True))
        return {"loss": loss, "loss_ema": average}, loss_se

    def save(self) -> None:
        self.corpus.verify_again()  # no checkpoint is of overwritten tokens: a retry goes on from the last
        self.keeper.save(self.step, lambda: self.lanes.fetch(self.lane), self.seconds)

    @property
    def seconds(self) -> float:
        """Spent on the run so far and on its trunk, compilation left out; what a kill undid is not
        counted."""
        return self.lanes.clock.now() + self.clock_ahead

    @property
    def own_seconds(self) -> float:
        return self.seconds - self.trunk_seconds

    @property
    def own_tokens(self) -> int:
        return (self.step - self.trunk_steps) * self.config.batch_tokens

    # --- its end ---------------------------------------------------------------------------

    def finish(self) -> Record:
        """Save the final state, then score it on the whole held-out set."""
        self.save()
        seconds = self.own_seconds
        windows = self.held_out()
        losses, loss_se = self.losses(windows)
        if not all(map(math.isfinite, losses.values())):
            return self.diverge()
        self.corpus.verify_again()
        self.keeper.wait()
        rate = self.own_tokens / seconds
        flops_rate = counts.flops_exact(self.config.model) * rate
        return self.record("done", losses["loss"], seconds) | {
            **losses,
            "loss_se": loss_se,
            "bits_per_byte": windows.bits_per_byte(losses["loss"], self.corpus),
            "loss_unit": objectives.find(self.config.objective).unit,
            "held_out_tokens": int(windows.targets_W.sum()),
            **({"parts": self.score_parts()} if isinstance(self.corpus, Mixture) else {}),
            "tokens_per_second": rate,
            "flops_utilization": self.keeper.utilization(flops_rate, self.lanes.devices),
        }

    def score_parts(self) -> dict[str, dict[str, float]]:
        """Of each part of a mixture the loss on its own held-out text, and its epochs."""
        config, scores = self.config, {}
        for name, part in self.corpus.by_part().items():
            windows = self.held_out(corpus=part.corpus)
            loss, loss_se = windows.loss(self.lanes.window_nats(self.lane, windows))
            epochs = config.steps * config.batch_tokens * part.share / part.unique
            scores[name] = {"loss": loss, "loss_se": loss_se, "epochs": epochs}
        return scores

    def diverge(self) -> Record:
        """The run ends here: no final loss, and the last point that was still a number."""
        self.keeper.check_claim()
        last_good = {"step": self.good_step, "loss": self.loss}
        return self.record("diverged", None, self.own_seconds) | {"last_good": last_good}

    def record(self, status: str, loss: float | None, seconds: float) -> Record:
        return {
            "status": status,
            "steps": self.step,
            "loss": loss,
            "curve_sha256": sha256(self.keeper.curve),
            "seconds": round(seconds, 3),
            "compile_seconds": round(self.lanes.compile_seconds, 3),
            "io_seconds": round(self.keeper.io_seconds, 3),
            **self.lanes.facts(),
            **({"init_from": self.origin} if self.origin else {}),
        }
