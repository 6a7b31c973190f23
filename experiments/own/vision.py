"""Models that read a drawing whole: a vision Transformer (Dosovitskiy et al. 2020), a residual network of
convolutions (He et al. 2015), and two towers that match images with captions (Radford et al. 2021)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from drawings import CAPTION, IMAGE, SENTENCE
from flax import nnx

from lab.data.glyphs import COLOURS, SIDE
from lab.models.settings import settings


def canvas(drawings):
    """The images of drawings (B, sentence) as one-hot colours, (B, side, side, colours)."""
    pixels = drawings[:, IMAGE:CAPTION].reshape(-1, SIDE, SIDE)
    return jax.nn.one_hot(pixels, COLOURS)


def linear(rngs, width, out):
    return nnx.Linear(width, out, use_bias=False, rngs=rngs)


class Block(nnx.Module):
    """Attention and a feed-forward layer, each after its norm."""

    def __init__(self, D, heads, rngs):
        self.norm1, self.norm2 = nnx.RMSNorm(D, rngs=rngs), nnx.RMSNorm(D, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(heads, D, decode=False, use_bias=False, rngs=rngs)
        self.up, self.down = linear(rngs, D, 4 * D), linear(rngs, 4 * D, D)

    def __call__(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class Patches(nnx.Module):
    """A vision Transformer's image: the mean state of its patches, (B, D)."""

    def __init__(self, cfg, patch, rngs):
        D, self.patch, self.side = cfg.d_model, patch, -(-SIDE // patch)
        self.embed = linear(rngs, patch * patch * COLOURS, D)
        self.places = nnx.Param(0.02 * jax.random.normal(rngs.params(), (self.side**2, D)))
        self.blocks = nnx.List([Block(D, cfg.n_head, rngs) for _ in range(cfg.n_layer)])
        self.norm = nnx.RMSNorm(D, rngs=rngs)

    def __call__(self, drawings):
        pixels, n, p = canvas(drawings), self.side, self.patch
        pixels = jnp.pad(pixels, ((0, 0), *[(0, n * p - SIDE)] * 2, (0, 0)))
        cut = pixels.reshape(-1, n, p, n, p, COLOURS).swapaxes(2, 3).reshape(-1, n * n, p * p * COLOURS)
        x = self.embed(cut) + self.places
        for block in self.blocks:
            x = block(x)
        return self.norm(x).mean(1)


def edged(x):
    """An image with an empty pixel around it, which is multiplied like any other."""
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


class Convolutions(nnx.Module):
    """A residual network's image, (B, D): two convolutions of 3 x 3 a layer, each layer after the first at
    half the resolution."""

    def __init__(self, cfg, rngs):
        D = cfg.d_model
        conv = lambda width, stride=1: nnx.Conv(  # noqa: E731
            width, D, (3, 3), strides=stride, padding="VALID", use_bias=False, rngs=rngs
        )
        self.stem = conv(COLOURS)
        layers = range(cfg.n_layer)
        self.first = nnx.List([conv(D, 2 if i else 1) for i in layers])
        self.second = nnx.List([conv(D) for _ in layers])
        self.norms = nnx.List([nnx.RMSNorm(D, rngs=rngs) for _ in range(2 * cfg.n_layer + 1)])

    def __call__(self, drawings):
        x = self.stem(edged(canvas(drawings)))
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            kept = nnx.avg_pool(x, (2, 2), (2, 2), padding="SAME") if i else x
            x = first(edged(nnx.relu(self.norms[2 * i](x))))
            x = kept + second(edged(nnx.relu(self.norms[2 * i + 1](x))))
        return self.norms[-1](x).mean((1, 2))


@dataclass(frozen=True)
class Settings:
    """patch: pixels of a patch's side; 0: convolutions in the place of patches."""

    patch: int = 3


def encoder(cfg, rngs):
    patch = settings(cfg, Settings).patch
    return Patches(cfg, patch, rngs) if patch else Convolutions(cfg, rngs)


class Reader(nnx.Module):
    """Logits of a drawing's letter, at every place of its sentence the same."""

    Settings, causal = Settings, False

    def __init__(self, cfg, rngs):
        self.image, self.vocabulary = encoder(cfg, rngs), cfg.vocab_size
        self.readout = linear(rngs, cfg.d_model, cfg.vocab_size)

    def __call__(self, tokens):
        logits = self.readout(self.image(tokens))
        return jnp.broadcast_to(logits[:, None], (*tokens.shape, self.vocabulary))


class Towers(nnx.Module):
    """Two towers: at a caption's first place logits of which caption of the window is the image's, at its
    second of which image is the caption's. A window is a batch of pairs, and nothing goes between windows."""

    Settings, causal = Settings, False

    def __init__(self, cfg, rngs):
        D = cfg.d_model
        self.image, self.vocabulary = encoder(cfg, rngs), cfg.vocab_size
        self.words = nnx.Embed(cfg.vocab_size, D, rngs=rngs)
        self.up, self.down = linear(rngs, 4 * D, 4 * D), linear(rngs, 4 * D, D)
        self.of_image = linear(rngs, D, D)
        self.scale = nnx.Param(jnp.full((1,), jnp.log(10.0)))

    def __call__(self, tokens):
        drawings, n = tokens.reshape(-1, SENTENCE), tokens.shape[1] // SENTENCE
        words = self.words(drawings[:, CAPTION:]).reshape(len(drawings), -1)
        caption = unit(self.down(nnx.gelu(self.up(words))))
        image = unit(self.of_image(self.image(drawings)))
        image, caption = (of.reshape(-1, n, of.shape[-1]) for of in (image, caption))
        logits = jnp.exp(self.scale[...]) * jnp.einsum("wid,wcd->wic", image, caption)
        both = jnp.stack([logits, logits.swapaxes(1, 2)], 2)  # (windows, n, 2, n)
        more = max(0, self.vocabulary - n)
        both = jnp.pad(both, ((0, 0),) * 3 + ((0, more),), constant_values=-1e9)[..., : self.vocabulary]
        around = ((0, 0), (0, 0), (CAPTION, SENTENCE - CAPTION - 2), (0, 0))
        return jnp.pad(both, around).reshape(*tokens.shape, self.vocabulary)


def unit(x):
    """Vectors at length one."""
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6)
