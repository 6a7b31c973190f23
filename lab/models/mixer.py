"""A causal MLP-Mixer: what attention does is done by learned weights between positions, the same for all of
the width and whatever the tokens (Tolstikhin et al. 2021, section 2; made causal: position l mixes 0..l).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.models import ops
from lab.models.ends import LanguageModel
from lab.models.settings import settings
from lab.models.target import Target
from lab.models.transformer import FeedForward, Norm


@dataclass(frozen=True)
class Settings:
    """What a Mixer can be told."""

    expand: int = 1  # E: hidden units of the mixing at each position


def between(cfg: ModelConfig, number: int) -> nnx.Param:
    """`number` triangles of weights from earlier positions to later ones, only those that are used. They meet
    no width, so under muP they are as gains: of one scale and one AdamW rate at every width."""
    L = cfg.seq_len
    shape, std = (number, L * (L + 1) // 2), L**-0.5
    return nnx.Param(jnp.zeros(shape), role="gain", mean=0.0, std=std, share=1.0, tensor=None)


def triangle(w_ET: jax.Array, length: int) -> jax.Array:
    """(E, M, L) for the first `length` positions: row m has weights of positions 0..m, and else zeros."""
    later, earlier = np.tril_indices(length)
    return jnp.zeros((len(w_ET), length, length)).at[:, later, earlier].set(w_ET[:, : len(later)])


class Mixing(nnx.Module):
    """Two products over positions with a GELU between them, channel by channel."""

    def __init__(self, cfg: ModelConfig, on: Target):
        own = settings(cfg, Settings)
        if own.expand < 1:
            raise ValueError(f"expand={own.expand} hidden units a position: take 1 or more")
        self.on, self.shrink = on, (2 * cfg.n_layer * own.expand) ** -0.5
        self.w_in_ET, self.w_out_ET = between(cfg, own.expand), between(cfg, own.expand)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        length = x_BLD.shape[1]
        into_EML, out_EML = (triangle(w_ET[...], length) for w_ET in (self.w_in_ET, self.w_out_ET))
        x_BLD, into_EML, out_EML = (ops.round_to(t, self.on) for t in (x_BLD, into_EML, out_EML))
        h_BEMD = jnp.einsum("BLD,EML->BEMD", x_BLD, into_EML, preferred_element_type=jnp.float32)
        h_BEMD = ops.round_to(jax.nn.gelu(h_BEMD), self.on)
        out_BMD = jnp.einsum("BELD,EML->BMD", h_BEMD, out_EML, preferred_element_type=jnp.float32)
        return self.shrink * out_BMD


class Block(nnx.Module):
    def __init__(self, cfg: ModelConfig, on: Target):
        self.on = on
        self.norm1, self.mixing = Norm(cfg), Mixing(cfg, on)
        self.norm2, self.ffn = Norm(cfg), FeedForward(cfg, on)

    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        x_BLD = ops.join_gradients(x_BLD + self.mixing(self.norm1(x_BLD)), self.on)
        return ops.join_gradients(x_BLD + self.ffn(self.norm2(x_BLD)), self.on)


class Mixer(LanguageModel):
    """Positions need no signs of their own: each has its weights."""

    Settings = Settings

    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on, Block, "block")
        self.norm = Norm(cfg)

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        return self.norm(self.layers(self.embed_VD[...][tokens_BL]))
