"""Models that tell a drawing's caption from its image alone, a vision Transformer (Dosovitskiy et al. 2020)
or a residual network of convolutions (He et al. 2015), and what they are asked."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from drawings import CAPTION, MARK, SENTENCE, told_at
from flax import nnx
from vision import Patches, canvas, linear

from lab.data.glyphs import COLOURS, WORDS
from lab.models.settings import settings
from lab.train.objectives import Objective


def read_words(key, tokens, vocab_size):
    """The words of one image's caption, which is hidden."""
    drawing = tokens[:-1]
    hidden = jnp.where(jnp.arange(len(drawing)) < CAPTION, drawing, MARK)
    return hidden, drawing, told_at(slice(CAPTION, None), len(drawing))


class Convolution(nnx.Module):
    """A convolution of 3 x 3 pixels as one product, which a CPU makes eight times as fast as XLA's own."""

    def __init__(self, width, out, rngs, stride=1):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (9 * width, out)) * (9 * width) ** -0.5)
        self.stride = stride

    def __call__(self, x):
        x, by = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), self.stride
        end = x.shape[1] - 2  # of the places of a corner
        near = [x[:, i : i + end : by, j : j + end : by] for i in range(3) for j in range(3)]
        return jnp.concatenate(near, -1) @ self.weight[...]


class Convolutions(nnx.Module):
    """A residual network's image, (B, D): a convolution at half the resolution, then two a layer, each layer
    after the first at half the resolution of the one before."""

    def __init__(self, cfg, rngs):
        D, layers = cfg.d_model, range(cfg.n_layer)
        self.stem = Convolution(COLOURS, D, rngs, 2)
        self.first = nnx.List([Convolution(D, D, rngs, 2 if i else 1) for i in layers])
        self.second = nnx.List([Convolution(D, D, rngs) for _ in layers])
        self.norms = nnx.List([nnx.RMSNorm(D, rngs=rngs) for _ in range(2 * cfg.n_layer + 1)])

    def __call__(self, drawings):
        x = self.stem(canvas(drawings))
        for i, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            kept = nnx.avg_pool(x, (2, 2), (2, 2), padding="SAME") if i else x
            x = first(nnx.relu(self.norms[2 * i](x)))
            x = kept + second(nnx.relu(self.norms[2 * i + 1](x)))
        return self.norms[-1](x).mean((1, 2))


@dataclass(frozen=True)
class Settings:
    """patch: pixels of a patch's side; 0: convolutions in their place."""

    patch: int = 0


class Reader(nnx.Module):
    """Logits of a caption's words at their places, each told from the image alone."""

    Settings, causal, roles = Settings, False, {"readout": "readout"}

    def __init__(self, cfg, rngs):
        patch, V = settings(cfg, Settings).patch, cfg.vocab_size
        self.image = Patches(cfg, patch, rngs) if patch else Convolutions(cfg, rngs)
        self.readout, self.vocabulary = linear(rngs, cfg.d_model, WORDS * V), V

    def __call__(self, tokens):
        logits = self.readout(self.image(tokens)).reshape(-1, WORDS, self.vocabulary)
        return jnp.pad(logits, ((0, 0), (CAPTION, tokens.shape[1] - SENTENCE), (0, 0)))


words = Objective(read_words, "nats/word", causal=False)
