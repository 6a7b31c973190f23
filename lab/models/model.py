"""The decoder-only Transformer, and the LSTM and GRU, behind `init`, `apply` and `describe`.

Nothing else knows flax.nnx: parameters outside this file are a plain nested dict of arrays.
Blocks are separate sub-trees and the loop over them is unrolled (a scan is slower on CPU).
"""

from functools import cache, reduce
from itertools import accumulate
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.models import ops, recurrent
from lab.models.parameterization import PARAMETERIZATIONS, Parameterization

Params = dict


class Weight(NamedTuple):
    """One leaf of the parameter tree."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    role: str  # embed, hidden, readout or gain
    mean: float  # of the initial values ...
    std: float  # ... which are normal

    @property
    def size(self) -> int:
        return prod(self.shape)


def weight(
    par: Parameterization, role: str, shape: tuple[int, ...], fan_in: int, scale: float = 1.0
) -> nnx.Param:
    """A weight that carries its role and initial scale; `par` alone says what a role and a width
    imply. `init` draws the numbers of all weights at once."""
    return nnx.Param(jnp.zeros(shape), role=role, std=scale * par.init_std(role, fan_in))


class Norm(nnx.Module):
    """RMSNorm, or LayerNorm with gain and bias (Ba et al. 2016; Zhang & Sennrich 2019)."""

    def __init__(self, cfg: ModelConfig):
        self.centred = cfg.norm == "layernorm"
        self.gain_D = nnx.Param(jnp.ones(cfg.d_model), role="gain", mean=1.0)
        if self.centred:
            self.bias_D = nnx.Param(jnp.zeros(cfg.d_model), role="gain", mean=0.0)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        if self.centred:
            x_BLD = x_BLD - x_BLD.mean(-1, keepdims=True)
        power = jnp.square(x_BLD).mean(-1, keepdims=True)
        out = x_BLD * jax.lax.rsqrt(power + 1e-5) * self.gain_D[...]
        return out + self.bias_D[...] if self.centred else out


def rotate(x_BLHK: jax.Array) -> jax.Array:
    """Rotary positions (Su et al. 2021), base 10,000: the two halves of a head turn together."""
    L, K = x_BLHK.shape[1], x_BLHK.shape[3]
    angle_L1k = (np.arange(L)[:, None] * 10_000.0 ** (-np.arange(K // 2) / (K // 2)))[:, None, :]
    # constants: traced, XLA computes them again for every element (a step took 1.35 times as long)
    cos, sin = np.cos(angle_L1k).astype(np.float32), np.sin(angle_L1k).astype(np.float32)
    a, b = jnp.split(x_BLHK, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


class Attention(nnx.Module):
    """Causal multi-head self-attention, without biases."""

    def __init__(self, cfg: ModelConfig, par: Parameterization):
        D, H, K = cfg.d_model, cfg.n_head, cfg.d_head
        self.cfg, self.logit_scale = cfg, par.logit_scale(K)
        self.w_q_DHK = weight(par, "hidden", (D, H, K), fan_in=D)
        self.w_k_DHK = weight(par, "hidden", (D, H, K), fan_in=D)
        self.w_v_DHK = weight(par, "hidden", (D, H, K), fan_in=D)
        shrink = (2 * cfg.n_layer) ** -0.5  # the sum over blocks keeps its size (GPT-2)
        self.w_o_HKD = weight(par, "hidden", (H, K, D), fan_in=D, scale=shrink)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        B, L, _ = x_BLD.shape
        D, H, K = self.w_q_DHK.shape
        # three products: one fused with a split makes slow transposed copies on CPU
        q_BLHK, k_BLHK, v_BLHK = (
            ops.matmul(x_BLD, w_DHK[...].reshape(D, H * K), self.cfg.dtype).reshape(B, L, H, K)
            for w_DHK in (self.w_q_DHK, self.w_k_DHK, self.w_v_DHK)
        )
        if self.cfg.position == "rope":
            q_BLHK, k_BLHK = rotate(q_BLHK), rotate(k_BLHK)
        mixed_BLHK = ops.attend(q_BLHK, k_BLHK, v_BLHK, self.logit_scale, self.cfg.dtype)
        w_o = self.w_o_HKD[...].reshape(H * K, D)
        return ops.matmul(mixed_BLHK.reshape(B, L, H * K), w_o, self.cfg.dtype)


class FeedForward(nnx.Module):
    """GELU, or SwiGLU (Shazeer 2020), without biases."""

    def __init__(self, cfg: ModelConfig, par: Parameterization):
        D, F = cfg.d_model, cfg.ffn_width
        self.cfg = cfg
        self.w_up_DF = weight(par, "hidden", (D, F), fan_in=D)
        if cfg.activation == "swiglu":
            self.w_gate_DF = weight(par, "hidden", (D, F), fan_in=D)
        shrink = (2 * cfg.n_layer) ** -0.5
        self.w_down_FD = weight(par, "hidden", (F, D), fan_in=F, scale=shrink)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        dtype = self.cfg.dtype
        h_BLF = ops.matmul(x_BLD, self.w_up_DF[...], dtype)
        if self.cfg.activation == "swiglu":
            h_BLF = h_BLF * jax.nn.silu(ops.matmul(x_BLD, self.w_gate_DF[...], dtype))
        else:
            h_BLF = jax.nn.gelu(h_BLF)
        return ops.matmul(h_BLF, self.w_down_FD[...], dtype)


class Block(nnx.Module):
    """Pre-norm attention and feed-forward, each added to the stream."""

    def __init__(self, cfg: ModelConfig, par: Parameterization):
        self.norm1, self.attention = Norm(cfg), Attention(cfg, par)
        self.norm2, self.ffn = Norm(cfg), FeedForward(cfg, par)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x_BLD = ops.settled(x_BLD + self.attention(self.norm1(x_BLD)))
        return ops.settled(x_BLD + self.ffn(self.norm2(x_BLD)))


class Transformer(nnx.Module):
    """Token ids (B, L) -> logits (B, L, V), or the nats of each target (B, L), in float32."""

    def __init__(self, cfg: ModelConfig):
        par = PARAMETERIZATIONS[cfg.parameterization]
        D, V = cfg.d_model, cfg.vocab_size
        self.cfg, self.readout_scale = cfg, par.readout_scale(D)
        self.embed_VD = weight(par, "embed", (V, D), fan_in=D)
        if cfg.position == "learned":
            self.position_LD = weight(par, "embed", (cfg.seq_len, D), fan_in=D)
        for index in range(cfg.n_layer):
            setattr(self, f"block_{index:02d}", Block(cfg, par))
        self.norm = Norm(cfg)
        if not cfg.tied:
            self.readout_DV = weight(par, "readout", (D, V), fan_in=D)

    def __call__(self, tokens_BL: jax.Array, targets_BL: jax.Array | None = None) -> jax.Array:
        x_BLD = self.embed_VD[...][tokens_BL]
        if self.cfg.position == "learned":
            x_BLD = x_BLD + self.position_LD[...][: tokens_BL.shape[1]]
        for index in range(self.cfg.n_layer):
            block = getattr(self, f"block_{index:02d}")
            x_BLD = (jax.checkpoint(block) if self.cfg.remat else block)(x_BLD)
        readout_DV = self.embed_VD[...].T if self.cfg.tied else self.readout_DV[...]
        x_BLD = self.readout_scale * self.norm(x_BLD)
        if targets_BL is None:
            return ops.matmul(x_BLD, readout_DV, self.cfg.dtype)
        return ops.cross_entropy(x_BLD, readout_DV, targets_BL, self.cfg.dtype)


class Cells(nnx.Module):
    """One recurrent layer, (L, B, D) -> (L, B, D): each position sees those before it."""

    def __init__(self, cfg: ModelConfig, par: Parameterization):
        D, G = cfg.d_model, {"lstm": 4, "gru": 3}[cfg.kind] * cfg.d_model
        self.cfg = cfg
        self.w_x_DG = weight(par, "hidden", (D, G), fan_in=D)
        self.w_h_DG = weight(par, "hidden", (D, G), fan_in=D)
        if cfg.kind == "lstm":  # a forget gate starts open (Jozefowicz et al. 2015)
            self.bias_f_D = nnx.Param(jnp.ones(D), role="gain", mean=1.0)
            self.bias_iog_3D = nnx.Param(jnp.zeros(3 * D), role="gain")
        else:
            self.bias_rzn_3D = nnx.Param(jnp.zeros(3 * D), role="gain")
            self.bias_h_D = nnx.Param(jnp.zeros(D), role="gain")

    def __call__(self, x_LBD: jax.Array) -> jax.Array:
        dtype, w_h_DG = self.cfg.dtype, self.w_h_DG[...]
        x_LBG = ops.matmul(x_LBD, self.w_x_DG[...], dtype)
        if self.cfg.kind == "lstm":
            bias_G = jnp.concatenate([self.bias_f_D[...], self.bias_iog_3D[...]])
            return recurrent.lstm(x_LBG + bias_G, w_h_DG, dtype)
        return recurrent.gru(x_LBG + self.bias_rzn_3D[...], w_h_DG, self.bias_h_D[...], dtype)


class Recurrent(nnx.Module):
    """`Transformer`'s interface, over layers of cells: each reads the outputs of the one below, the
    first a row of the embedding brought to unit scale. Time comes first inside."""

    def __init__(self, cfg: ModelConfig):
        par = PARAMETERIZATIONS[cfg.parameterization]
        D, V = cfg.d_model, cfg.vocab_size
        self.cfg, self.readout_scale = cfg, par.readout_scale(D)
        self.embed_scale = 1 / par.init_std("embed", D)
        self.embed_VD = weight(par, "embed", (V, D), fan_in=D)
        for index in range(cfg.n_layer):
            setattr(self, f"cells_{index:02d}", Cells(cfg, par))
        if not cfg.tied:
            self.readout_DV = weight(par, "readout", (D, V), fan_in=D)

    def __call__(self, tokens_BL: jax.Array, targets_BL: jax.Array | None = None) -> jax.Array:
        x_LBD = self.embed_scale * self.embed_VD[...][tokens_BL.T]
        for index in range(self.cfg.n_layer):
            cells = getattr(self, f"cells_{index:02d}")
            x_LBD = (jax.checkpoint(cells) if self.cfg.remat else cells)(x_LBD)
        readout_DV = self.embed_VD[...].T if self.cfg.tied else self.readout_DV[...]
        x_LBD = self.readout_scale * x_LBD
        if targets_BL is None:
            return ops.matmul(x_LBD, readout_DV, self.cfg.dtype).swapaxes(0, 1)
        return ops.cross_entropy(x_LBD, readout_DV, targets_BL.T, self.cfg.dtype).T


def init(cfg: ModelConfig, key: jax.Array) -> Params:
    """A parameter tree: nested dicts of float32 arrays, from one draw of normal numbers."""
    return arranged(cfg, jax.random.normal(key, (n_weights(cfg),)))


def n_weights(cfg: ModelConfig) -> int:
    return sum(weight.size for weight in describe(cfg))


def arranged(cfg: ModelConfig, normal: jax.Array | np.ndarray) -> Params:
    """The initial parameters made of `n_weights` normal numbers, in the same kind of array."""
    weights = describe(cfg)
    ends = list(accumulate(weight.size for weight in weights))
    leaves = [
        weight.mean + weight.std * normal[end - weight.size : end].reshape(weight.shape)
        for weight, end in zip(weights, ends, strict=True)
    ]
    params: Params = {}
    for weight, leaf in zip(weights, leaves, strict=True):
        *parents, name = weight.path
        reduce(lambda node, key: node.setdefault(key, {}), parents, params)[name] = leaf
    return params


def apply(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """Logits (B, L, V), float32; position l sees tokens 0..l only."""
    return built(cfg, params)(tokens_BL)


def nats(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """Cross-entropy of each token but the first given those before it, (B, L - 1), float32."""
    return built(cfg, params)(tokens_BL[:, :-1], tokens_BL[:, 1:])


def built(cfg: ModelConfig, params: Params) -> Transformer | Recurrent:
    graph, state = abstract(cfg)
    state = jax.tree.map(lambda leaf: leaf, state)  # a copy: the cached one stays as it is
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state)


@cache
def abstract(cfg: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
    kind = Transformer if cfg.kind == "transformer" else Recurrent
    return nnx.split(nnx.eval_shape(lambda: kind(cfg)), nnx.Param)


@cache
def describe(cfg: ModelConfig) -> tuple[Weight, ...]:
    """Every weight's path, shape and role, in the order of the tree's leaves. Allocates nothing."""
    flat = nnx.to_flat_state(abstract(cfg)[1])
    return tuple(
        Weight(
            path=tuple(map(str, path)),
            shape=tuple(leaf.shape),
            role=leaf.get_metadata("role"),
            mean=leaf.get_metadata().get("mean", 0.0),
            std=leaf.get_metadata().get("std", 0.0),
        )
        for path, leaf in sorted(flat, key=lambda item: item[0])
    )
