"""Rewards learned from comparisons, and the best of n texts by them.

Gao, Schulman & Hilton 2022 (arXiv 2210.10760): a proxy of a known gold reward is learned from which of two
texts is the better, then optimised, and the gold reward is watched.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import gammaln

from lab.config import ModelConfig
from lab.models import tree

BATCH = 64  # comparisons an update
SHAPE = 16_384  # numbers of comparisons up to a multiple of it share a program


@partial(jax.jit, static_argnums=(0, 3))
def samples(
    cfg: ModelConfig, params: tree.Params, prompts_BP: jax.Array, n_tokens: int, key: jax.Array
) -> jax.Array:
    """Texts of P + n_tokens ids drawn at temperature 1, (B, P + n_tokens), no longer than the model's
    windows: a whole pass for each token, which is dear for long ones."""
    P = prompts_BP.shape[1]
    text_BL = jnp.pad(prompts_BP, ((0, 0), (0, n_tokens))).astype(jnp.int32)

    def one(at, text_BL):
        logits_BV = tree.apply(cfg, params, text_BL)[:, at - 1]
        drawn_B = jax.random.categorical(jax.random.fold_in(key, at), logits_BV)
        return text_BL.at[:, at].set(drawn_B.astype(jnp.int32))

    return jax.lax.fori_loop(P, P + n_tokens, one, text_BL)


@partial(jax.jit, static_argnums=0)
def reward(cfg: ModelConfig, params: tree.Params, texts_BL: jax.Array) -> jax.Array:
    """One number a text, (B,): a language model's first logit after the last token."""
    return tree.apply(cfg, params, texts_BL)[:, -1, 0]


def learn(
    cfg: ModelConfig, better_CL: np.ndarray, worse_CL: np.ndarray, updates: int, rate: float, seed: int = 0
) -> tree.Params:
    """A reward model of C comparisons by Bradley & Terry's likelihood, log sigmoid(r(better) - r(worse)):
    AdamW at a rate that falls as a cosine, batches drawn with replacement."""
    key = jax.random.key(seed)
    pairs_C2L = jnp.stack([jnp.asarray(better_CL), jnp.asarray(worse_CL)], 1)
    whole = jnp.pad(
        pairs_C2L, ((0, -len(pairs_C2L) % SHAPE), (0, 0), (0, 0))
    )  # few programs for many numbers
    return _learn(cfg, updates, tree.init(cfg, key), whole, len(pairs_C2L), rate, key)


@partial(jax.jit, static_argnums=(0, 1))
def _learn(cfg, updates, params, pairs_C2L, number, rate, key):
    optimiser = optax.adamw(optax.cosine_decay_schedule(1.0, updates), b2=0.99, weight_decay=0.1)

    def loss(params, pairs_B2L):
        score_B2 = tree.apply(cfg, params, pairs_B2L.reshape(2 * BATCH, -1))[:, -1, 0].reshape(BATCH, 2)
        return -jax.nn.log_sigmoid(score_B2[:, 0] - score_B2[:, 1]).mean()

    def one(at, carry):
        params, state = carry
        rows = jax.random.randint(jax.random.fold_in(key, at), (BATCH,), 0, number)
        moves, state = optimiser.update(jax.grad(loss)(params, pairs_C2L[rows]), state, params)
        return jax.tree.map(lambda weight, move: weight + rate * move, params, moves), state

    return jax.lax.fori_loop(0, updates, one, (params, optimiser.init(params)))[0]


def best_of(n: int, proxy_M: np.ndarray, value_M: np.ndarray) -> float:
    """The expected value of the best by proxy of n texts drawn from M without replacement, exactly: the i-th
    by proxy is the best of C(i - 1, n - 1) of all C(M, n) draws (Nakano et al. 2021, arXiv 2112.09332,
    appendix I).

    Raises:
      ValueError: n is not in 1..M.
    """
    M = len(proxy_M)
    if not 1 <= n <= M:
        raise ValueError(f"n={n}: the best of 1 to {M} texts")
    rank = np.arange(n, M + 1)  # of those that can be the best
    draws = gammaln(rank) - gammaln(n) - gammaln(rank - n + 1)
    whole = gammaln(M + 1) - gammaln(n + 1) - gammaln(M - n + 1)
    return float(
        np.exp(draws - whole) @ np.asarray(value_M, np.float64)[np.argsort(proxy_M, kind="stable")[n - 1 :]]
    )


def divergence(n: int) -> float:
    """Nats by which the best of n differs from one draw: KL = log n - (n - 1)/n (Stiennon et al. 2020)."""
    return float(np.log(n) - (n - 1) / n)
