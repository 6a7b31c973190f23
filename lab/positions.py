"""The loss of a trained model by position in its window: what a longer context is worth."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from lab import data, model
from lab.config import ModelConfig
from lab.corpora import Corpus
from lab.train import EVAL_BLOCK


@dataclass(frozen=True)
class ByPosition:
    """Of each position l, (L,): its target is predicted from the l + 1 tokens before it."""

    nats: np.ndarray  # mean over held-out windows, nats a token
    nats_se: np.ndarray  # its standard error over windows: noise of the text, not of training;
    # NaN of a single window
    windows: np.ndarray  # how many were counted


def by_position(
    cfg: ModelConfig, params: model.Params, corpus: Corpus, n_tokens: int | None = None
) -> ByPosition:
    """Over the windows in which the held-out text is scored at a run's end, so that their mean,
    each position weighed by its windows, is the run's loss; or over about `n_tokens` of them.

    Windows follow each other without overlap: neighbours share a document, so where documents
    differ much the standard error is too small.
    """
    nats_WL, mask_WL = of_windows(cfg, params, corpus.held_out, n_tokens)
    windows = mask_WL.sum(0)
    mean = (nats_WL * mask_WL).sum(0) / windows
    spread = ((nats_WL - mean) ** 2 * mask_WL).sum(0) / np.maximum(windows - 1, 1)
    return ByPosition(mean, np.where(windows > 1, np.sqrt(spread / windows), np.nan), windows)


def of_windows(
    cfg: ModelConfig, params: model.Params, text: np.ndarray, n_tokens: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each target of the windows of a text's ids, in its order, and whether it counts: both
    (windows, seq_len)."""
    tokens_WL, mask_WL = data.eval_windows(text, cfg.seq_len, n_tokens)
    nats = jax.jit(partial(model.nats, cfg))
    params = jax.device_put(params)
    short = -len(tokens_WL) % EVAL_BLOCK
    padded = np.pad(tokens_WL, ((0, short), (0, 0))).reshape(-1, EVAL_BLOCK, cfg.seq_len + 1)
    found = np.concatenate([np.asarray(nats(params, part)) for part in padded])
    return found[: len(tokens_WL)].astype(np.float64), mask_WL
