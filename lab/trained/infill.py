"""What models of several objectives can be compared by: how likely each finds the same tokens.

`ends` asks for the end of a text, `spans` for what was cut out of it. Every objective is asked in the form in
which it learned, each token after those told before it, so that their sum is a likelihood: next token and
prefix see what stands before; span corruption sees the text with marks, and its answer so far; a masked model
fills in one place after another, with those to come hidden. Only the text's own ids count as alternatives.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.data.batches import shift, spans_of
from lab.models import tree
from lab.train import objectives
from lab.trained.probe import in_blocks

# of inputs (B, L), the number of inputs read before any is told (B,), and places (B, N): log-probabilities of
# the text's ids there (B, N, ids)
Ask = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def asker(cfg: ModelConfig, params: tree.Params, n_ids: int) -> Ask:
    """What a trained model answers."""
    return partial(in_blocks, partial(log_probs, cfg, n_ids), params)


@partial(jax.jit, static_argnums=(0, 1))
def log_probs(
    cfg: ModelConfig,
    n_ids: int,
    params: tree.Params,
    inputs_BL: jax.Array,
    first_B: jax.Array,
    at_BN: jax.Array,
) -> jax.Array:
    logits_BLV = tree.apply(cfg, params, inputs_BL, prefix_B=first_B if tree.takes_prefix(cfg) else None)
    return jax.nn.log_softmax(jnp.take_along_axis(logits_BLV[..., :n_ids], at_BN[..., None], 1))


def told(log_probs_BNV: np.ndarray, ids_BN: np.ndarray) -> np.ndarray:
    """The nats of each id, (B, N)."""
    return -np.take_along_axis(log_probs_BNV, ids_BN[..., None], 2)[..., 0].astype(np.float64)


def after(ask: Ask, text_BL: np.ndarray, places_BN: np.ndarray, first: int) -> np.ndarray:
    """Nats of tokens of a text, each given all before it."""
    inputs = shift(text_BL)[0]
    return told(ask(inputs, np.full(len(inputs), first), places_BN - 1), at(text_BL, places_BN))


def filled(ask: Ask, text_BL: np.ndarray, places_BN: np.ndarray, mask: int) -> np.ndarray:
    """Nats of tokens of a text, all hidden and then filled in one after another."""
    hidden, nats = text_BL.copy(), []
    np.put_along_axis(hidden, places_BN, mask, 1)
    for place_B1 in places_BN.T[..., None]:
        ids = at(text_BL, place_B1)
        nats.append(told(ask(hidden, np.full(len(hidden), hidden.shape[1]), place_B1), ids))
        np.put_along_axis(hidden, place_B1, ids, 1)
    return np.concatenate(nats, 1)


def at(text_BL: np.ndarray, places_BN: np.ndarray) -> np.ndarray:
    return np.take_along_axis(text_BL, places_BN, 1)


def ends(ask: Ask, objective: str, tokens_BL: np.ndarray, vocab_size: int) -> np.ndarray:
    """Nats of the tokens that end windows (B, seq_len + 1), given those before them: (B, N), as many as fit
    where span corruption is asked for one span that reaches to the end."""
    B, L = tokens_BL.shape[0], tokens_BL.shape[1] - 1
    length, noise, spans = spans_of(L)
    given = length - noise + spans - 1
    text, places_BN = tokens_BL[:, : L - 1], np.tile(np.arange(given, L - 1), (B, 1))
    if objective == "span_corruption":
        marks = np.full((B, 2), vocab_size - 1, text.dtype)  # in the text, and before the answer
        whole = np.concatenate([text[:, :given], marks, text[:, given:]], 1)
        return after(ask, whole, places_BN + 2, given + 1)
    if objective == "masked":
        return filled(ask, text, places_BN, vocab_size - 1)
    return after(ask, text, places_BN, given)


def spans(ask: Ask, objective: str, tokens_BL: np.ndarray, vocab_size: int) -> np.ndarray:
    """Nats of the tokens of windows (B, seq_len + 1) that span corruption cuts out, (B, N): the same ones
    whatever the objective. Only next token and prefix don't see what stands after them."""
    B, L = tokens_BL.shape[0], tokens_BL.shape[1] - 1
    length, noise, number = spans_of(L)
    keys = jax.random.split(jax.random.key(0), B)
    corrupt = jax.vmap(objectives.span_corruption, (0, 0, None))
    # places in the place of tokens: where in the window stood what is told
    large = L + number + 2
    _, place_BL, weight_BL = map(np.asarray, corrupt(keys, jnp.tile(jnp.arange(L + 1), (B, 1)), large))
    is_told = (weight_BL > 0) & (place_BL <= L)
    places_BN = place_BL[is_told].reshape(B, noise)
    if objective == "span_corruption":
        inputs, targets, _ = map(np.asarray, corrupt(keys, jnp.asarray(tokens_BL), vocab_size))
        where_BN = np.nonzero(is_told)[1].reshape(B, noise)
        first = np.full(B, length - noise + number)
        return told(ask(inputs, first, where_BN), at(targets, where_BN))
    text = tokens_BL[:, :length]
    if objective == "masked":
        return filled(ask, text, places_BN, vocab_size - 1)
    return after(ask, text, places_BN, 1)
