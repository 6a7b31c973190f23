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
    check_causal(cfg, params)
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
    told = ", ".join(f"{role} {size:,}" for role, size in roles.items() if size)
    return f"{cfg.kind} ({cfg.name}): weights {told}; FLOPs within {100 * abs(gap):.1f} % of the compiler's"


def check_causal(cfg: ModelConfig, params: tree.Params) -> None:
    """Change one token of a sequence, at several places; before it no logit may change, and whatever stands
    beside a sequence in its batch must not matter."""
    L, rng = cfg.seq_len, np.random.default_rng(0)
    text_L = rng.integers(0, cfg.vocab_size, L)
    places = sorted({L - 1, L // 2, 1} - {0}) if L > 1 else []
    batch = np.tile(text_L, (1 + len(places), 1)).astype(np.int32)
    for row, place in enumerate(places, 1):
        batch[row, place:] += rng.integers(1, max(2, cfg.vocab_size), L - place).astype(np.int32)
    batch %= cfg.vocab_size
    apply = jax.jit(lambda p, t: tree.apply(cfg, p, t))
    first, *others = np.asarray(apply(params, batch), np.float64)
    if not np.isfinite([first, *others]).all():
        raise ValueError(f"{cfg.kind} gives logits that are no numbers, of weights near its initial ones")
    near = ROUNDING * max(1e-6, np.abs(first).max())
    for place, other in zip(places, others, strict=True):
        moved_L = np.abs(other - first).max(-1)[:place]
        if (moved_L > near).any():
            raise ValueError(
                f"{cfg.kind} reads the future: other tokens from position {place} on change the logits at "
                f"position {int(np.argmax(moved_L > near))}, which are to tell them; mask what comes later"
            )
    alone = np.asarray(apply(params, batch[:1]), np.float64)[0]
    if np.abs(alone - first).max() > near:
        raise ValueError(f"{cfg.kind} mixes the sequences of a batch: alone, one has other logits")


def check_gradients(cfg: ModelConfig, params: tree.Params) -> None:
    tokens = np.random.default_rng(1).integers(0, cfg.vocab_size, (2, cfg.seq_len + 1)).astype(np.int32)

    def loss(params):
        nats, extra = tree.losses(cfg, params, *shift(tokens))
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
