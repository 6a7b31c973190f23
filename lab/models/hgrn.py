"""A gated linear recurrence in the place of attention: each number of the state decays and takes in by
itself, so that a parallel scan makes all positions at once (HGRN: Qin et al. 2023; minGRU: Feng et al. 2024).
"""

import jax
from flax import nnx
from jax import lax

from lab.config import ModelConfig
from lab.models import ops
from lab.models.ends import LanguageModel
from lab.models.target import Target
from lab.models.transformer import FeedForward, Norm
from lab.models.weight import matrix, vector


def scan(keep_BLD: jax.Array, new_BLD: jax.Array) -> jax.Array:
    """h (B, L, D) with h_l = keep_l h_(l-1) + new_l, from zero: in log2(L) rounds."""

    def join(one, later):
        return one[0] * later[0], later[0] * one[1] + later[1]

    return lax.associative_scan(join, (keep_BLD, new_BLD), axis=1)[1]


class Recurrence(nnx.Module):
    """h_l = f h_(l-1) + (1 - f) v, f = sigmoid(x W + b); what leaves is h silu(gate)."""

    def __init__(self, cfg: ModelConfig, on: Target):
        D, self.on = cfg.d_model, on
        self.w_f_DD = matrix(cfg, "hidden", (D, D), fan_in=D, tensor=1)
        self.w_v_DD = matrix(cfg, "hidden", (D, D), fan_in=D, tensor=1)
        self.w_gate_DD = matrix(cfg, "hidden", (D, D), fan_in=D, tensor=1)
        self.w_o_DD = matrix(cfg, "hidden", (D, D), fan_in=D, scale=(2 * cfg.n_layer) ** -0.5, tensor=0)
        self.bias_f_D = vector(D, 2.0)  # a state begins by lasting: f is 0.88

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        weights = (self.w_f_DD, self.w_v_DD, self.w_gate_DD)
        z_BLD, v_BLD, gate_BLD = (ops.matmul(x_BLD, w_DD[...], self.on) for w_DD in weights)
        f_BLD = jax.nn.sigmoid(z_BLD + self.bias_f_D[...])
        h_BLD = scan(f_BLD, (1 - f_BLD) * v_BLD)
        return ops.matmul(h_BLD * jax.nn.silu(gate_BLD), self.w_o_DD[...], self.on)


class Block(nnx.Module):
    def __init__(self, cfg: ModelConfig, on: Target):
        self.on = on
        self.norm1, self.recurrence = Norm(cfg), Recurrence(cfg, on)
        self.norm2, self.ffn = Norm(cfg), FeedForward(cfg, on)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x_BLD = ops.join_gradients(x_BLD + self.recurrence(self.norm1(x_BLD)), self.on)
        return ops.join_gradients(x_BLD + self.ffn(self.norm2(x_BLD)), self.on)


class Hgrn(LanguageModel):
    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on, Block, "block")
        self.norm = Norm(cfg)

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        return self.norm(self.layers(self.embed_VD[...][tokens_BL]))
