"""The decoder-only Transformer: LLaMA-like or GPT-2-like, by its config."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.models import ops
from lab.models.ends import LanguageModel
from lab.models.weight import matrix, parameterization, vector


class Norm(nnx.Module):
    """RMSNorm, or LayerNorm with gain and bias (Ba et al. 2016; Zhang & Sennrich 2019)."""

    def __init__(self, cfg: ModelConfig):
        self.centred = cfg.norm == "layernorm"
        self.gain_D = vector(cfg.d_model, 1.0)
        if self.centred:
            self.bias_D = vector(cfg.d_model, 0.0)

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

    def __init__(self, cfg: ModelConfig):
        D, H, K = cfg.d_model, cfg.n_head, cfg.d_head
        self.cfg, self.logit_scale = cfg, parameterization(cfg).logit_scale(K)
        self.w_q_DHK = matrix(cfg, "hidden", (D, H, K), fan_in=D)
        self.w_k_DHK = matrix(cfg, "hidden", (D, H, K), fan_in=D)
        self.w_v_DHK = matrix(cfg, "hidden", (D, H, K), fan_in=D)
        shrink = (2 * cfg.n_layer) ** -0.5  # the sum over blocks keeps its size (GPT-2)
        self.w_o_HKD = matrix(cfg, "hidden", (H, K, D), fan_in=D, scale=shrink)

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

    def __init__(self, cfg: ModelConfig):
        D, F = cfg.d_model, cfg.ffn_width
        self.cfg = cfg
        self.w_up_DF = matrix(cfg, "hidden", (D, F), fan_in=D)
        if cfg.activation == "swiglu":
            self.w_gate_DF = matrix(cfg, "hidden", (D, F), fan_in=D)
        shrink = (2 * cfg.n_layer) ** -0.5
        self.w_down_FD = matrix(cfg, "hidden", (F, D), fan_in=F, scale=shrink)

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

    def __init__(self, cfg: ModelConfig):
        self.norm1, self.attention = Norm(cfg), Attention(cfg)
        self.norm2, self.ffn = Norm(cfg), FeedForward(cfg)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x_BLD = ops.join_gradients(x_BLD + self.attention(self.norm1(x_BLD)))
        return ops.join_gradients(x_BLD + self.ffn(self.norm2(x_BLD)))


class Transformer(LanguageModel):
    def __init__(self, cfg: ModelConfig):
        super().__init__(cfg, Block, "block")
        if cfg.position == "learned":
            self.position_LD = matrix(cfg, "embed", (cfg.seq_len, cfg.d_model), fan_in=cfg.d_model)
        self.norm = Norm(cfg)

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        x_BLD = self.embed_VD[...][tokens_BL]
        if self.cfg.position == "learned":
            x_BLD = x_BLD + self.position_LD[...][: tokens_BL.shape[1]]
        return self.norm(self.layers(x_BLD))
