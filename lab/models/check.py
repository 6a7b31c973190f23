"""What a model of the user's own is asked before a grid of it is trained: is it what the lab takes it for?"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.data.batches import shift
from lab.models import programs, tree

WIDE = 2048  # where products outweigh all else
GAP = 0.02  # of FLOPs, between this count and the compiler's
ROUNDING = 1e-4  # of the largest logit: how far two ways to compute one number may be apart
SEEN = 1e-5  # ... and one way, of a number that what was changed has no part in
TOKENS, LOGITS = 2**14, 2**25  # looked at, at most, for a look at the future


def check(cfg: ModelConfig) -> str:
    """One line on what it is.

    Raises:
      ValueError: logits of a wrong shape, sequences that are mixed, a look at the future, weights without
        gradient, or FLOPs that the compiler counts otherwise.
    """
    programs.forward(cfg)
    params, rng = jax.jit(lambda key: tree.init(cfg, key))(jax.random.key(0)), np.random.default_rng(0)
    noisy = lambda leaf: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    params = jax.tree.map(noisy, params)  # a readout that starts at zero would show nothing
    check_sequences(cfg, params)
    check_gradients(cfg, params)
    gap = programs.compiler_gap(cfg)
    if abs(gap) > GAP:  # of a narrow model what is no product weighs, and XLA's count of it is rough
        gap = programs.compiler_gap(replace(cfg, d_model=cfg.d_model * -(-WIDE // cfg.d_model)))
    if abs(gap) > GAP:
        raise ValueError(
            f"{cfg.kind}: FLOPs off its traced program are {100 * gap:+.1f} % from the compiler's, more than "
            "2 %: a product hides where this count can't look (a kernel of its own, a callback); write it in "
            "jax's own products"
        )
    roles = {role: 0 for role in ("embed", "hidden", "readout", "gain")}
    for weight in tree.describe(cfg):
        roles[weight.role] += weight.size
    sizes = ", ".join(f"{role} {size:,}" for role, size in roles.items() if size)
    return f"{cfg.kind} ({cfg.name}): weights {sizes}; FLOPs within {100 * abs(gap):.1f} % of the compiler's"


def check_sequences(cfg: ModelConfig, params: tree.Params) -> None:
    """Change a token of a sequence, or all from one on, at as many places and to as many values as a moment
    allows: where the model is causal no logit before it may change, nor if it reads a beginning, which ends
    before that token, from both sides. And whatever stands beside a sequence in its batch must not matter."""
    L, V, rng = cfg.seq_len, cfg.vocab_size, np.random.default_rng(0)
    rows = int(np.clip(LOGITS // (L * V), 4, max(4, TOKENS // L)))
    texts = np.tile(rng.integers(0, V, L), (rows, 1)).astype(np.int32)
    places = np.resize(rng.permutation(np.arange(min(1, L - 1), L)), rows)
    others, later = texts.copy(), np.arange(L) >= places[:, None]
    others[::2] = np.where(later, rng.integers(0, V, (rows, L)), texts)[::2]
    others[np.arange(rows), places] = np.resize(rng.permutation(V), rows)

    prefix_R = rng.integers(1, np.maximum(places, 1) + 1) if tree.takes_prefix(cfg) else None
    logits = lambda params, tokens, *prefix: tree.apply(cfg, params, tokens, None, *prefix)  # noqa: E731

    @jax.jit
    def moved(params, texts, others):
        one, other = (logits(params, tokens, prefix_R) for tokens in (texts, others))
        return other[0], jnp.abs(other - one).max(-1), jnp.isfinite(one).all() & jnp.isfinite(other).all()

    beside_LV, moved_RL, finite = jax.device_get(moved(params, texts, others))
    if not finite:
        raise ValueError(f"{cfg.kind} gives logits that are no numbers, of weights near its initial ones")
    largest = max(1e-6, np.abs(beside_LV).max())
    alone = others[:1], None if prefix_R is None else prefix_R[:1]
    alone_LV = np.asarray(jax.jit(logits)(params, *alone))[0]
    if np.abs(alone_LV - beside_LV).max() > ROUNDING * largest:
        raise ValueError(f"{cfg.kind} mixes the sequences of a batch: alone, one has other logits")
    leaks = np.argwhere(~later & (moved_RL > SEEN * largest))
    if len(leaks) and tree.is_causal(cfg):
        row, position = leaks[0]
        raise ValueError(
            f"{cfg.kind} reads the future: other tokens from position {places[row]} on change the logits at "
            f"position {position}, which are to tell them; mask what comes later, or say `causal = False` "
            "and take an objective such as 'masked'"
        )


def check_gradients(cfg: ModelConfig, params: tree.Params) -> None:
    tokens = np.random.default_rng(1).integers(0, cfg.vocab_size, (2, cfg.seq_len + 1)).astype(np.int32)
    prefix_B = np.full(2, (cfg.seq_len + 1) // 2) if tree.takes_prefix(cfg) else None

    def loss(params):
        nats, extra = tree.losses(cfg, params, *shift(tokens), prefix_B=prefix_B)
        return nats.mean() + (0.0 if extra is None else extra)

    grads = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
    still = [
        "/".join(weight.path)
        for weight, grad in zip(tree.describe(cfg), grads, strict=True)
        if not jnp.any(grad) and weight.size
    ]
    if still:
        raise ValueError(
            f"{cfg.kind} has weights without gradient, which no loss would train: {', '.join(still[:5])}"
            f"{', ...' * (len(still) > 5)}; use them, or leave them out"
        )
