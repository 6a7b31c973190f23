"""A causal Transformer by where its norms stand, its layers one scan.

pre: x + f(norm(x));  post: norm(x + f(x)) (Vaswani et al. 2017);  deep: norm(alpha x + f(x)), what makes f
begun smaller (DeepNorm, Wang et al. 2022, arXiv 2203.00555, of a decoder alone);  sub: x + f(norm(x)) with a
norm before the last matrix of f, too, what makes f begun larger (sub-LN, Wang et al. 2022, arXiv 2210.06423).
"""

from dataclasses import dataclass
from math import log
from typing import ClassVar

import jax
import jax.numpy as jnp

from lab.models.settings import settings


@dataclass(frozen=True)
class Settings:
    norms: str = "pre"


def scales(norms: str, n_layer: int) -> tuple[float, float]:
    """(alpha, gain): of the stream that a part is added to, and of the first weights of a part's values."""
    known = {"deep": ((2 * n_layer) ** 0.25, (8 * n_layer) ** -0.25), "sub": (1.0, log(2 * n_layer) ** 0.5)}
    return known.get(norms, (1.0, 1.0))


def norm(x_BLD, gain_D):
    """LayerNorm without a bias."""
    x_BLD = x_BLD - x_BLD.mean(-1, keepdims=True)
    return x_BLD * jax.lax.rsqrt((x_BLD**2).mean(-1, keepdims=True) + 1e-5) * gain_D


def block(heads: int, norms: str, alpha: float, x_BLD, w):
    def attention(x_BLD):
        q, k, v = (
            (x_BLD @ w[name]).reshape(*x_BLD.shape[:2], heads, -1) for name in ("query", "key", "value")
        )
        mixed_BLD = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x_BLD.shape)
        return (norm(mixed_BLD, w["gain3"]) if norms == "sub" else mixed_BLD) @ w["out"]

    def feed(x_BLD):
        h_BLF = jax.nn.gelu(x_BLD @ w["up"])
        return (norm(h_BLF, w["gain4"]) if norms == "sub" else h_BLF) @ w["down"]

    for part, gain_D in ((attention, w["gain1"]), (feed, w["gain2"])):
        if norms in ("pre", "sub"):
            x_BLD = x_BLD + part(norm(x_BLD, gain_D))
        else:
            x_BLD = norm(alpha * x_BLD + part(x_BLD), gain_D)
    return x_BLD


class Net:
    Settings = Settings
    roles: ClassVar = {"gain": "gain"}

    def init(cfg, key):
        D, L, norms = cfg.d_model, cfg.n_layer, settings(cfg, Settings).norms
        gain, keys = scales(norms, L)[1], iter(jax.random.split(key, 9))
        normal = lambda *shape: jax.random.normal(next(keys), shape)  # noqa: E731
        # of a matrix from `width` to `out` numbers (Glorot & Bengio 2010)
        each = lambda width, out, gain=1.0: gain * (2 / (width + out)) ** 0.5 * normal(L, width, out)  # noqa: E731
        layers = {
            "query": each(D, D),
            "key": each(D, D),
            **{name: each(D, D, gain) for name in ("value", "out")},
            "up": each(D, 4 * D, gain),
            "down": each(4 * D, D, gain),
            **{name: jnp.ones((L, D)) for name in ("gain1", "gain2")},
        }
        if norms == "sub":
            layers |= {"gain3": jnp.ones((L, D)), "gain4": jnp.ones((L, 4 * D))}
        ends = {"tokens": normal(cfg.vocab_size, D), "places": normal(cfg.seq_len, D)}
        ends |= {"readout": D**-0.5 * normal(D, cfg.vocab_size)}
        return {"layers": layers} | ends | ({"gain": jnp.ones(D)} if norms in ("pre", "sub") else {})

    def apply(cfg, params, tokens_BL):
        norms = settings(cfg, Settings).norms
        alpha, _ = scales(norms, cfg.n_layer)
        x_BLD = params["tokens"][tokens_BL] + params["places"][: tokens_BL.shape[1]]
        step = lambda x_BLD, w: (block(cfg.n_head, norms, alpha, x_BLD, w), None)  # noqa: E731
        x_BLD, _ = jax.lax.scan(step, x_BLD, params["layers"])
        return (norm(x_BLD, params["gain"]) if "gain" in params else x_BLD) @ params["readout"]
