"""The loss on held-out text: when it is measured, on which windows of it, and how sure it is."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from lab.config import NEXT_TOKEN, ModelConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.train import objectives
from lab.train.step import eval_step

EVAL_TOKENS = 16_384  # held-out tokens behind each point of the curve; the end takes them all
EVAL_POINTS = 12  # per curve, log-spaced over its last two decades
EVAL_BLOCK = 16  # windows per evaluation call

window_nats = jax.jit(eval_step, static_argnums=0, static_argnames="objective")


def eval_steps(total: int) -> list[int]:
    """The updates after which the held-out loss is measured: log-spaced, the last included."""
    points = np.geomspace(max(1.0, total / 100), total, EVAL_POINTS)
    return sorted({round(float(point)) for point in points} | {total})


def first_point(total: int, share: float) -> int:
    """The first of these updates at a share of all or later."""
    return next(point for point in eval_steps(total) if point >= share * total)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Windows of held-out text at one length, and which of their targets count."""

    tokens_WL: np.ndarray
    mask_WL: np.ndarray
    key: Any = None  # equal for equal windows
    weights_W: np.ndarray | None = None  # of all targets of a window, where these have weights

    @classmethod
    def from_corpus(cls, corpus: Corpus, seq_len: int, n_tokens: int | None = None) -> "Evaluator":
        windows = batches.eval_windows(corpus.held_out, seq_len, n_tokens)
        return cls(*windows, key=(corpus.sha256, seq_len, n_tokens))

    def for_objective(self, objective: str, model: ModelConfig) -> "Evaluator":
        """These windows with the targets of an objective."""
        if objective == NEXT_TOKEN:
            return self
        made = jax.jit(lambda t: objectives.examples(objective, model, t, objectives.HELD_OUT).weights_BL)
        whole_W = self.mask_WL.all(1)
        return replace(self, weights_W=np.asarray(made(self.tokens_WL), np.float64).sum(1) * whole_W)

    @property
    def targets_W(self) -> np.ndarray:
        return self.mask_WL.sum(1) if self.weights_W is None else self.weights_W

    def nats(self, evaluate: Callable, params: Any, block: int = EVAL_BLOCK) -> np.ndarray:
        """Nats of each window, (W,), or (R, W) where `evaluate` scores the weights of R runs; `block`
        windows a call."""
        W = len(self.tokens_WL)
        short = -W % block
        tokens = np.pad(self.tokens_WL, ((0, short), (0, 0)))
        mask = np.pad(self.mask_WL, ((0, short), (0, 0))).astype(np.float32)
        blocks = [slice(i, i + block) for i in range(0, W + short, block)]
        sums = [evaluate(params, tokens[part], mask[part]) for part in blocks]
        return np.concatenate(jax.device_get(sums), axis=-1)[..., :W].astype(np.float64)

    def loss(self, nats_W: np.ndarray) -> tuple[float, float]:
        """Mean nats per token, and its standard error over windows (noise of the text alone)."""
        total = self.targets_W.sum()
        mean = nats_W.sum() / total
        spread = np.sqrt(((nats_W - mean * self.targets_W) ** 2).sum()) / total
        return float(mean), float(spread)

    def bits_per_byte(self, loss: float, corpus: Corpus) -> float | None:
        """A loss on these windows of a corpus, whatever its tokens are; None without known bytes, and where
        it is not that of each token after those before it."""
        if self.weights_W is not None:
            return None
        targets = batches.shift(self.tokens_WL)[1][self.mask_WL]
        size = float(corpus.bytes_per_token[targets].sum())
        return loss * len(targets) / size / math.log(2) if size > 0 else None
