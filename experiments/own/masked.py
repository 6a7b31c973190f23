"""A masked autoencoder (He et al. 2021): an encoder of the patches of a drawing that are seen, a narrow
decoder that tells the pixels of the hidden ones, and what it is asked."""

import jax
import jax.numpy as jnp
import numpy as np
from drawings import CAPTION, IMAGE, MARK
from flax import nnx
from vision import Block, Patches, canvas, linear

from lab.data.glyphs import COLOURS, PIXELS, SIDE
from lab.train.objectives import Objective

PATCH = 3  # pixels of a patch's side
ROW = -(-SIDE // PATCH)  # patches in a row
SEEN = 4  # of ROW * ROW
OF_PIXEL = (np.arange(PIXELS) // SIDE // PATCH * ROW + np.arange(PIXELS) % SIDE // PATCH).astype(int)  # patch


def hide_patches(key, tokens, vocab_size):
    """The pixels of all patches but SEEN, drawn anew at every update; the caption is hidden and not told."""
    drawing = tokens[:-1]
    hidden = jax.random.permutation(key, ROW * ROW) >= SEEN
    told = jnp.zeros(len(drawing)).at[IMAGE:CAPTION].set(hidden[OF_PIXEL])
    asked = jnp.where((told > 0) | (jnp.arange(len(drawing)) >= CAPTION), MARK, drawing)
    return asked, drawing, told


def cut(drawings):
    """Patches of drawings (B, sentence) as one-hot colours, (B, patches, pixels * colours)."""
    pixels, side = canvas(drawings), ROW * PATCH
    pixels = jnp.pad(pixels, ((0, 0), *[(0, side - SIDE)] * 2, (0, 0)))
    rows = pixels.reshape(-1, ROW, PATCH, ROW, PATCH, COLOURS).swapaxes(2, 3)
    return rows.reshape(-1, ROW * ROW, PATCH * PATCH * COLOURS)


def whole(patches):
    """What `cut` parted, of any last axis: (B, patches, pixels * N) as (B, PIXELS, N)."""
    rows = patches.reshape(len(patches), ROW, ROW, PATCH, PATCH, -1).swapaxes(2, 3)
    return rows.reshape(len(patches), ROW * PATCH, ROW * PATCH, -1)[:, :SIDE, :SIDE].reshape(
        len(patches), PIXELS, -1
    )


class Masked(nnx.Module):
    """Logits of a drawing's pixels at their places, of which the encoder read the SEEN patches alone. `image`
    is the encoder of a reader of patches (readers.py), weight for weight."""

    causal, roles = False, {"readout": "readout"}

    def __init__(self, cfg, rngs):
        D, narrow = cfg.d_model, cfg.d_model // 2
        self.image, self.vocabulary = Patches(cfg, PATCH, rngs), cfg.vocab_size
        self.across = linear(rngs, D, narrow)
        normal = lambda rows: nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, narrow)))  # noqa: E731
        self.nothing, self.places = normal(1), normal(ROW * ROW)
        self.block, self.norm = Block(narrow, cfg.n_head, rngs), nnx.RMSNorm(narrow, rngs=rngs)
        self.readout = linear(rngs, narrow, PATCH * PATCH * COLOURS)

    def __call__(self, tokens):
        first = np.array([np.argmax(OF_PIXEL == patch) for patch in range(ROW * ROW)])
        hidden = tokens[:, IMAGE:CAPTION][:, first] == MARK
        seen = jnp.argsort(hidden, 1, stable=True)[:, :SEEN, None]
        x = jnp.take_along_axis(cut(tokens), seen, 1)
        x = self.image.embed(x) + self.image.places[...][seen[..., 0]]
        for block in self.image.blocks:
            x = block(x)
        states = self.across(self.image.norm(x))
        every = jnp.broadcast_to(self.nothing[...], (len(tokens), ROW * ROW, states.shape[-1]))
        every = jax.vmap(lambda all_, at, own: all_.at[at].set(own))(every, seen[..., 0], states)
        told = whole(self.readout(self.norm(self.block(every + self.places[...]))))
        told = jnp.pad(told, ((0, 0), (0, 0), (0, self.vocabulary - COLOURS)), constant_values=-1e9)
        return jnp.pad(told, ((0, 0), (IMAGE, tokens.shape[1] - CAPTION), (0, 0)))


hidden = Objective(hide_patches, "nats/pixel", causal=False)
