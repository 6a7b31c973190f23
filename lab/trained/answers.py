"""How often, and how surely, a trained model answers what its sentence asks."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.models import tree
from lab.train.evaluate import EVAL_BLOCK
from lab.trained.weights import check_tells_all

TOKENS = 16_384  # scored at once


@dataclass(frozen=True)
class Answers:
    """Over sentences of L tokens; `nats_L` holds, by place, the mean nats of a token given all before it in
    its sentence, the first NaN."""

    nats: float  # of a token of an answer, mean
    accuracy: float  # share of these tokens that are the likeliest
    exact: float  # share of sentences all whose are: that write their answer when the likeliest is taken
    nats_L: np.ndarray


@partial(jax.jit, static_argnums=0)
def _score(cfg: ModelConfig, params: tree.Params, sentences_SL: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits_SLV, targets_SL = tree.apply(cfg, params, sentences_SL[:, :-1]), sentences_SL[:, 1:]
    chosen = jnp.take_along_axis(logits_SLV, targets_SL[..., None], 2)[..., 0]
    return jax.nn.logsumexp(logits_SLV, -1) - chosen, logits_SLV.argmax(-1) == targets_SL


def answers(cfg: ModelConfig, params: tree.Params, sentences_SL: np.ndarray, asked_L: np.ndarray) -> Answers:
    """Of sentences (S, L) the tokens that are asked for, (L,), as `lab.data.tasks` says of its tasks.

    Raises:
      ValueError: the first token is asked for, the sentences are longer than the model's windows by more than
        one token, or it does not tell each token from those before it.
    """
    check_tells_all(cfg)
    S, L = sentences_SL.shape
    if asked_L[0] or not asked_L.any() or L > cfg.seq_len + 1:
        raise ValueError(
            f"of sentences of {L} tokens places {np.flatnonzero(asked_L).tolist()} are asked for, and "
            f"{cfg.name} tells 1 to {cfg.seq_len}: ask for one or more of these"
        )
    rows = max(EVAL_BLOCK, TOKENS // L)
    blocks = np.pad(sentences_SL, ((0, -S % rows), (0, 0)), mode="edge").reshape(-1, rows, L).astype(np.int32)
    params = jax.device_put(params)
    parts = [jax.device_get(_score(cfg, params, block)) for block in blocks]
    nats_SL, right_SL = (np.concatenate(each)[:S] for each in zip(*parts, strict=True))
    nats_SL, of = nats_SL.astype(np.float64), asked_L[1:]
    return Answers(
        float(nats_SL[:, of].mean()),
        float(right_SL[:, of].mean()),
        float(right_SL[:, of].all(1).mean()),
        np.append(np.nan, nats_SL.mean(0)),
    )
