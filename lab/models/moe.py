"""A Transformer whose feed-forward part is a mixture of experts: each token is sent to the likeliest few.

No token is dropped and none waits for another: a text's logits depend on itself alone. Tokens are sorted by
expert, so that only the experts chosen are multiplied with (a ragged product; CPUs make the others, too).
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from lab.config import ModelConfig
from lab.models import ops, transformer
from lab.models.settings import settings
from lab.models.target import Target
from lab.models.weight import matrix


@dataclass(frozen=True)
class Settings(transformer.Settings):
    """What a mixture can be told; the rest as of a Transformer."""

    experts: int = 8  # E, each a SwiGLU of width d_ff
    top_k: int = 2  # experts that a token is sent to
    balance: float = 0.01  # weight of the load-balancing loss (Fedus et al. 2021), within each sequence


class Experts(nnx.Module):
    """SwiGLU experts behind a softmax router; the gates of those chosen add up to 1 (Jiang et al. 2024)."""

    def __init__(self, cfg: ModelConfig, on: Target):
        own = settings(cfg, Settings)
        E, k, D, F = own.experts, own.top_k, cfg.d_model, cfg.ffn_width
        if not 0 < k <= E:
            raise ValueError(f"top_k={k} of experts={E}: from 1 to all of them")
        if cfg.activation != "swiglu" or own.norms == "sub":
            raise ValueError(
                f"activation={cfg.activation!r}, norms={own.norms!r}: experts are SwiGLU, with no norm inside"
            )
        self.cfg, self.on, self.k = cfg, on, k
        self.router_DE = matrix(cfg, "hidden", (D, E), fan_in=D)
        self.w_up_EDF = matrix(cfg, "hidden", (E, D, F), fan_in=D, share=k / E, tensor=2)
        self.w_gate_EDF = matrix(cfg, "hidden", (E, D, F), fan_in=D, share=k / E, tensor=2)
        shrink = (2 * cfg.n_layer) ** -0.5
        self.w_down_EFD = matrix(cfg, "hidden", (E, F, D), fan_in=F, scale=shrink, share=k / E, tensor=1)

    def __call__(self, x_BLD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The part's output, and E times the sum over experts of the share of tokens sent to one times its
        mean probability: 1 where all are used alike. A mean over sequences, however they are batched."""
        (B, L, D), (E, _, _), k = x_BLD.shape, self.w_up_EDF.shape, self.k
        p_BLE = jax.nn.softmax(ops.matmul(x_BLD, self.router_DE[...], replace(self.on, dtype="float32")))
        top_BLk, chosen_BLk = lax.top_k(p_BLE, k)
        sent_BE = jax.nn.one_hot(chosen_BLk, E).mean((1, 2))
        balance = E * (sent_BE * p_BLE.mean(1)).sum(-1).mean()
        chosen = chosen_BLk.reshape(-1)
        order = jnp.argsort(chosen)
        sizes_E = (chosen[:, None] == jnp.arange(E)).sum(0).astype(jnp.int32)
        rows = x_BLD.reshape(-1, D)[order // k]
        h = self.each(rows, self.w_up_EDF, sizes_E) * jax.nn.silu(self.each(rows, self.w_gate_EDF, sizes_E))
        out = self.each(h, self.w_down_EFD, sizes_E)[jnp.argsort(order)].reshape(B, L, k, D)
        gates_BLk = top_BLk / top_BLk.sum(-1, keepdims=True)
        return (gates_BLk[..., None] * out).sum(2), balance

    def each(self, rows: jax.Array, w: nnx.Param, sizes_E: jax.Array) -> jax.Array:
        """Rows times the matrix of their own expert."""
        rows, w_EDF = (ops.round_to(t, self.on) for t in (rows, w[...]))
        return lax.ragged_dot(rows, w_EDF, sizes_E, preferred_element_type=jnp.float32)


class Block(transformer.Block):
    feed = Experts

    def __call__(self, x_BLD: jax.Array, *prefix_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        x_BLD = self.mixed(x_BLD, *prefix_B)
        out_BLD, balance = self.ffn(self.given(x_BLD, self.norm2))
        return self.fed(x_BLD, out_BLD), balance


class Mixture(transformer.Transformer):
    """Its loss in training has `balance` times the mean over blocks of how unevenly experts are used."""

    Settings, block = Settings, Block

    def layers(self, x_BLD: jax.Array, *prefix_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        x_BLD, balances = self.through(x_BLD, *prefix_B)
        uneven = sum((balance / len(self.names) for balance in balances), 0.0)
        return x_BLD, settings(self.cfg, Settings).balance * uneven

    def features(self, tokens_BL: jax.Array, *prefix_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        x_BLD, extra = self.layers(self.embedded(tokens_BL), *prefix_B)
        return self.norm(x_BLD), extra
