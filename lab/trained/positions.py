"""The loss of a trained model by how much of a text it sees: what a longer context is worth."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from lab.config import ModelConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.models import tree
from lab.train.evaluate import EVAL_BLOCK
from lab.trained.weights import check_tells_all


@dataclass(frozen=True)
class ByPosition:
    """Of each position l, (L,): its target is predicted from the l + 1 tokens before it."""

    nats: np.ndarray  # mean over held-out windows, nats a token
    nats_se: np.ndarray  # its standard error over windows: noise of the text, not of training;
    # NaN of a single window
    windows: np.ndarray  # how many were counted


def by_position(
    cfg: ModelConfig, params: tree.Params, corpus: Corpus, n_tokens: int | None = None
) -> ByPosition:
    """Over the windows in which the held-out text is scored at a run's end, so that their mean,
    each position weighed by its windows, is the run's loss; or over about `n_tokens` of them.

    Windows follow each other without overlap: neighbours share a document, so where documents
    differ much the standard error is too small.
    """
    check_tells_all(cfg)
    tokens_WL, mask_WL = batches.eval_windows(corpus.held_out, cfg.seq_len, n_tokens)
    nats_WL = _nats(cfg, params, tokens_WL, EVAL_BLOCK)
    windows = mask_WL.sum(0)
    mean = (nats_WL * mask_WL).sum(0) / windows
    spread = ((nats_WL - mean) ** 2 * mask_WL).sum(0) / np.maximum(windows - 1, 1)
    return ByPosition(mean, np.where(windows > 1, np.sqrt(spread / windows), np.nan), windows)


def octaves(seq_len: int) -> list[int]:
    """The most tokens seen in each: 1, 2, 3 to 4, 5 to 8, ..., seq_len, a power of two."""
    if seq_len & (seq_len - 1):
        raise ValueError(f"seq_len={seq_len} is no power of two: its octaves don't tile a text")
    return [2**i for i in range(seq_len.bit_length())]


def by_octave(cfg: ModelConfig, params: tree.Params, text: np.ndarray) -> np.ndarray:
    """Nats of the same tokens of a text with more and more of it seen: (tokens, octaves).

    Of octave (a, b] each token is scored once, in a window of b tokens that starts a + 1 to b
    before it. So what differs between octaves is the context and not the tokens.
    """
    check_tells_all(cfg)
    L, columns = cfg.seq_len, []
    n = (len(text) - L) // L * L
    for end in octaves(L):
        seen = end // 2  # by the octave before
        starts = L - seen - 1 + (end - seen) * np.arange(n // (end - seen))
        windows = text[starts[:, None] + np.arange(end + 1)]
        rows = min(EVAL_BLOCK * L // end, len(starts))
        columns.append(_nats(cfg, params, windows, rows)[:, seen:].reshape(-1))
    return np.stack(columns, 1)


def _nats(cfg: ModelConfig, params: tree.Params, windows: np.ndarray, rows: int) -> np.ndarray:
    """Nats of each window's targets, so many rows at a time."""
    nats, params = jax.jit(partial(tree.nats, cfg)), jax.device_put(params)
    padded = np.pad(windows, ((0, -len(windows) % rows), (0, 0))).reshape(-1, rows, windows.shape[1])
    parts = [np.asarray(nats(params, part)) for part in padded]
    return np.concatenate(parts)[: len(windows)].astype(np.float64)
