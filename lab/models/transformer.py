"""The decoder-only Transformer: LLaMA-like or GPT-2-like, by its config."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.models import attention, ops
from lab.models.ends import LanguageModel
from lab.models.settings import settings
from lab.models.target import Target, keep
from lab.models.weight import matrix, parameterization, vector


@dataclass(frozen=True)
class Settings:
    """What a Transformer can be told beyond the fields of every config."""

    kv_heads: int = 0  # heads of keys and values, each shared by as many queries; 0: n_head (Ainslie 2023)
    qk_norm: bool = False  # queries and keys of unit power before their product (Dehghani et al. 2023)
    causal: bool = True  # whether a position attends to itself and those before it alone, or to all (BERT)
    prefix: bool = False  # whether the beginning that an objective gives is seen from both sides (UL2)
    window: int = 0  # of the last positions that one attends to, itself among them; 0: all
    attention_cap: float = 0.0  # of attention's logits, softly; 0: none (Gemma 2)
    logit_cap: float = 0.0  # of the readout's logits, softly; 0: none (Gemma 2)
    z_loss: float = 0.0  # weight of the squared log-normaliser in training (PaLM: 1e-4)
    token_shift: bool = False  # half the width that a part reads is the token before's (RWKV)
    norms: str = (
        "pre"  # "sandwich": after each part, too (Ding 2021); "sub": before its last matrix (Wang 2022)
    )


def checked_settings(cfg: ModelConfig) -> Settings:
    """Its settings, where they make sense.

    Raises:
      ValueError: they make none.
    """
    own = settings(cfg, Settings)
    if own.kv_heads and cfg.n_head % own.kv_heads:
        raise ValueError(f"kv_heads={own.kv_heads} do not share n_head={cfg.n_head} queries evenly")
    if own.norms not in ("pre", "sandwich", "sub"):
        raise ValueError(f"norms={own.norms!r} is none of 'pre', 'sandwich', 'sub'")
    if min(own.kv_heads, own.window, own.attention_cap, own.logit_cap, own.z_loss) < 0:
        raise ValueError(f"{own}: none may be negative")
    if own.window and not own.causal:
        raise ValueError(f"window={own.window} of last positions, and causal=False looks both ways")
    if own.prefix and (own.window or not own.causal):
        raise ValueError(
            f"prefix=True with window={own.window}, causal={own.causal}: a beginning is seen by all, and "
            "what follows it by what is after it alone"
        )
    return own


class Norm(nnx.Module):
    """RMSNorm, or LayerNorm with gain and bias (Ba et al. 2016; Zhang & Sennrich 2019)."""

    def __init__(self, cfg: ModelConfig, width: int = 0):
        self.centred = cfg.norm == "layernorm"
        self.gain_D = vector(width or cfg.d_model, 1.0)
        if self.centred:
            self.bias_D = vector(width or cfg.d_model, 0.0)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        if self.centred:
            x_BLD = x_BLD - x_BLD.mean(-1, keepdims=True)
        power = jnp.square(x_BLD).mean(-1, keepdims=True)
        out = x_BLD * jax.lax.rsqrt(power + 1e-5) * self.gain_D[...]
        return out + self.bias_D[...] if self.centred else out


def rotate(x_BLHK: jax.Array, on: Target) -> jax.Array:
    """Rotary positions (Su et al. 2021), base 10,000: the two halves of a head turn together.

    On a TPU the halves change places by a product with a permutation, exact but for the rounding that the
    target's dtype has in every product: cut and joined, they fill a part of each vector register (a
    12 x 768 layer took 1.25 times as long by the compiler's estimate)."""
    L, K = x_BLHK.shape[1], x_BLHK.shape[3]
    angle_L1k = (np.arange(L)[:, None] * 10_000.0 ** (-np.arange(K // 2) / (K // 2)))[:, None, :]
    # constants: traced, XLA computes them again for every element (a step took 1.35 times as long)
    cos, sin = np.cos(angle_L1k).astype(np.float32), np.sin(angle_L1k).astype(np.float32)
    if on.platform == "tpu":
        turned_BLHK = ops.permute(x_BLHK, np.roll(np.eye(K), K // 2, axis=1), on)
        return x_BLHK * np.tile(cos, 2) + turned_BLHK * np.concatenate([-sin, sin], -1)
    a, b = jnp.split(x_BLHK, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def unit(x_BLHK: jax.Array) -> jax.Array:
    """Of unit power in each head."""
    return x_BLHK * jax.lax.rsqrt(jnp.square(x_BLHK).mean(-1, keepdims=True) + 1e-5)


def shifted(x_BLD: jax.Array) -> jax.Array:
    """The first half of the width as it was at the token before, zero at the first."""
    half = x_BLD.shape[-1] // 2
    before = jnp.pad(x_BLD[:, :-1, :half], ((0, 0), (1, 0), (0, 0)))
    return jnp.concatenate([before, x_BLD[..., half:]], axis=-1)


class Attention(nnx.Module):
    """Multi-head self-attention, without biases."""

    def __init__(self, cfg: ModelConfig, on: Target):
        D, H, K = cfg.d_model, cfg.n_head, cfg.d_head
        self.cfg, self.on, self.own = cfg, on, checked_settings(cfg)
        self.logit_scale = parameterization(cfg).logit_scale(K)
        shared = self.own.kv_heads or H
        self.w_q_DHK = matrix(cfg, "hidden", (D, H, K), fan_in=D, tensor=1)
        self.w_k_DHK = matrix(cfg, "hidden", (D, shared, K), fan_in=D, tensor=1)
        self.w_v_DHK = matrix(cfg, "hidden", (D, shared, K), fan_in=D, tensor=1)
        if self.own.qk_norm:
            self.gain_q_K, self.gain_k_K = vector(K, 1.0), vector(K, 1.0)
        if self.own.norms == "sub":
            self.norm = Norm(cfg)
        shrink = (2 * cfg.n_layer) ** -0.5  # the sum over blocks keeps its size (GPT-2)
        self.w_o_HKD = matrix(cfg, "hidden", (H, K, D), fan_in=D, scale=shrink, tensor=0)

    def heads(self, x_BLD: jax.Array, read_BMD: jax.Array, rotated: bool) -> tuple[jax.Array, ...]:
        """Queries (B, L, H, K) of one text, keys and values (B, M, H, K) of what it attends to."""
        B, (D, H, K), own = len(x_BLD), self.w_q_DHK.shape, self.own
        # three products: one fused with a split makes slow transposed copies on CPU
        q_BLHK, k_BMHK, v_BMHK = (
            ops.matmul(x, w_DHK[...].reshape(D, -1), self.on, kept=False).reshape(B, x.shape[1], -1, K)
            for x, w_DHK in ((x_BLD, self.w_q_DHK), (read_BMD, self.w_k_DHK), (read_BMD, self.w_v_DHK))
        )
        if own.qk_norm:
            q_BLHK = unit(q_BLHK) * self.gain_q_K[...]
            k_BMHK = unit(k_BMHK) * self.gain_k_K[...]
        if rotated:
            q_BLHK, k_BMHK = rotate(q_BLHK, self.on), rotate(k_BMHK, self.on)
        if own.kv_heads:
            k_BMHK, v_BMHK = (jnp.repeat(t, H // own.kv_heads, axis=2) for t in (k_BMHK, v_BMHK))
        return q_BLHK, k_BMHK, v_BMHK

    def joined(self, mixed_BLHK: jax.Array) -> jax.Array:
        """What leaves, of the heads' sums."""
        B, L, H, K = mixed_BLHK.shape
        w_o, mixed_BLD = self.w_o_HKD[...].reshape(H * K, -1), mixed_BLHK.reshape(B, L, H * K)
        mixed_BLD = self.norm(mixed_BLD) if self.own.norms == "sub" else mixed_BLD
        return ops.matmul(mixed_BLD, w_o, self.on, kept=False)

    def seen(self, L: int, prefix_B: jax.Array | None) -> jax.Array | np.ndarray | None:
        """What each position attends to, as `attention.attend_near` has it."""
        if self.own.causal:
            return attention.before(L, self.own.window, prefix_B)
        return None if prefix_B is None else attention.beginning(L, prefix_B)

    def __call__(self, x_BLD: jax.Array, prefix_B: jax.Array | None = None) -> jax.Array:
        own = self.own
        given = (*self.heads(x_BLD, x_BLD, self.cfg.position == "rope"), self.logit_scale, self.on)
        if own.window or own.attention_cap or not own.causal or prefix_B is not None:
            seen = self.seen(x_BLD.shape[1], prefix_B)
            return self.joined(attention.attend_near(*given, own.attention_cap, seen))
        return self.joined(attention.attend(*given))


class FeedForward(nnx.Module):
    """GELU, or SwiGLU (Shazeer 2020), without biases."""

    def __init__(self, cfg: ModelConfig, on: Target):
        D, F = cfg.d_model, cfg.ffn_width
        self.cfg, self.on = cfg, on
        self.w_up_DF = matrix(cfg, "hidden", (D, F), fan_in=D, tensor=1)
        if cfg.activation == "swiglu":
            self.w_gate_DF = matrix(cfg, "hidden", (D, F), fan_in=D, tensor=1)
        shrink = (2 * cfg.n_layer) ** -0.5
        self.w_down_FD = matrix(cfg, "hidden", (F, D), fan_in=F, scale=shrink, tensor=0)
        if settings(cfg, Settings).norms == "sub":
            self.norm = Norm(cfg, F)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        h_BLF = ops.matmul(x_BLD, self.w_up_DF[...], self.on)
        if self.cfg.activation == "swiglu":
            h_BLF = h_BLF * jax.nn.silu(ops.matmul(x_BLD, self.w_gate_DF[...], self.on))
        else:
            h_BLF = jax.nn.gelu(h_BLF)
        if hasattr(self, "norm"):
            h_BLF = self.norm(h_BLF)
        return ops.matmul(h_BLF, self.w_down_FD[...], self.on, kept=False)


class Block(nnx.Module):
    """Pre-norm attention and feed-forward, each added to the stream."""

    attend, feed = Attention, FeedForward

    def __init__(self, cfg: ModelConfig, on: Target):
        self.on, self.own = on, checked_settings(cfg)
        self.norm1, self.attention = Norm(cfg), self.attend(cfg, on)
        self.norm2, self.ffn = Norm(cfg), self.feed(cfg, on)
        if self.own.norms == "sandwich":
            self.after1, self.after2 = Norm(cfg), Norm(cfg)

    def given(self, x_BLD: jax.Array, norm: Norm) -> jax.Array:
        """What a part reads of the stream."""
        return shifted(norm(x_BLD)) if self.own.token_shift else norm(x_BLD)

    def mixed(self, x_BLD: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        """The stream after attention."""
        out_BLD = self.attention(self.given(x_BLD, self.norm1), *prefix_B)
        out_BLD = self.after1(out_BLD) if hasattr(self, "after1") else out_BLD
        return keep(ops.join_gradients(x_BLD + out_BLD, self.on))

    def fed(self, x_BLD: jax.Array, out_BLD: jax.Array) -> jax.Array:
        """The stream after the feed-forward part."""
        return ops.join_gradients(
            x_BLD + (self.after2(out_BLD) if hasattr(self, "after2") else out_BLD), self.on
        )

    def __call__(self, x_BLD: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        x_BLD = self.mixed(x_BLD, *prefix_B)
        return self.fed(x_BLD, self.ffn(self.given(x_BLD, self.norm2)))


class Transformer(LanguageModel):
    Settings, block = Settings, Block

    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on, self.block, "block")
        self.cap, self.z_loss = checked_settings(cfg).logit_cap, checked_settings(cfg).z_loss
        if cfg.position == "learned":
            self.position_LD = matrix(cfg, "embed", (cfg.seq_len, cfg.d_model), fan_in=cfg.d_model)
        self.norm = Norm(cfg)

    @staticmethod
    def is_causal(cfg: ModelConfig) -> bool:
        return settings(cfg, Settings).causal

    @staticmethod
    def takes_prefix(cfg: ModelConfig) -> bool:
        return settings(cfg, Settings).prefix

    @staticmethod
    def keys(cfg: ModelConfig) -> float:
        L, own = cfg.seq_len, settings(cfg, Settings)
        if not own.causal:
            return L
        if own.prefix:  # a beginning of 1 to L tokens, each as often
            return (L + 1) * (4 * L - 1) / (6 * L)
        near = min(L, own.window or L)
        return (near * (near + 1) / 2 + (L - near) * near) / L

    def embedded(self, tokens_BL: jax.Array, first: int = 0) -> jax.Array:
        """The stream before the layers, of tokens that stand from place `first` of a window on."""
        x_BLD = self.embed_VD[...][tokens_BL]
        if self.cfg.position == "learned":
            x_BLD = x_BLD + self.position_LD[...][first : first + tokens_BL.shape[1]]
        return x_BLD

    def features(self, tokens_BL: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        return self.norm(self.layers(self.embedded(tokens_BL), *prefix_B))
