"""What is asked of a drawing with its caption, a sentence of the corpora `glyphs:`, as objectives."""

import jax.numpy as jnp

from lab.data.glyphs import PIXELS, Glyphs
from lab.train.objectives import Objective

SENTENCE, MARK = Glyphs().sentence, Glyphs().vocabulary
CAPTION = SENTENCE - (Glyphs().length - PIXELS)  # where it begins; before it the image
IMAGE = CAPTION - PIXELS


def told_at(places, length):
    return jnp.zeros(length).at[places].set(1.0)


def read_letter(key, tokens, vocab_size):
    """The letter of one image, whose caption is hidden."""
    drawing = tokens[:-1]
    hidden = jnp.where(jnp.arange(len(drawing)) < CAPTION, drawing, MARK)
    return hidden, drawing, told_at(CAPTION, len(drawing))


def match_pairs(key, tokens, vocab_size):
    """Of the drawings of a window which caption is an image's, told where its caption begins, and which image
    a caption's, told one place on (Radford et al. 2021)."""
    drawings = tokens[:-1]
    number = jnp.arange(len(drawings)) // SENTENCE
    place = jnp.arange(len(drawings)) % SENTENCE
    asked = (place == CAPTION) | (place == CAPTION + 1)
    return drawings, number.astype(drawings.dtype), asked.astype(jnp.float32)


letter = Objective(read_letter, "nats/image", causal=False)
pairs = Objective(match_pairs, "nats/choice", causal=False)
