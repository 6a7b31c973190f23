"""Skip-gram with negative sampling (Mikolov et al. 2013, arXiv 1310.4546, equation 4) by the lab's doors: an
objective that makes groups of a window of pairs, and a model that scores them.

A group is a word, a context that went with it, and NEGATIVE contexts that went with others. Each context is
told to be 1, its own, or 0: a binary choice, so that of the vocabulary only the ids 0 and 1 have a chance.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

NEGATIVE = 6  # contexts; theirs were 5 to 20 of small corpora
GROUP = 2 + NEGATIVE  # tokens
NEVER = -30.0  # the logit of what is no answer


def pairs(key, tokens, vocab_size):
    """Groups of the window's first pairs; negatives are drawn from the contexts of the others, and so from
    the contexts' own distribution."""
    words, contexts = tokens[:-1].reshape(-1, 2).T
    groups = (len(tokens) - 1) // GROUP
    negative = jax.random.choice(key, contexts[groups:], (groups, NEGATIVE))
    inputs = jnp.concatenate([words[:groups, None], contexts[:groups, None], negative], 1).ravel()
    place = jnp.arange(len(inputs)) % GROUP
    return inputs, (place == 1).astype(inputs.dtype), (place > 0).astype(jnp.float32)


class Net(nnx.Module):
    """A vector of each word and one of each context; their product is the logit that they go together."""

    roles: ClassVar = {"contexts": "readout"}

    def __init__(self, cfg, rngs):
        shape, scale = (cfg.vocab_size, cfg.d_model), cfg.d_model**-0.5
        drawn = [scale * jax.random.normal(rngs.params(), shape) for _ in range(2)]
        self.words, self.contexts = map(nnx.Param, drawn)

    def __call__(self, tokens):
        V = self.words.shape[0]
        groups_BGK = tokens.reshape(len(tokens), -1, GROUP)
        word_BGD, context_BGKD = self.words[...][groups_BGK[:, :, 0]], self.contexts[...][groups_BGK]
        score_BL = jnp.einsum("BGD,BGKD->BGK", word_BGD, context_BGKD).reshape(tokens.shape)
        others = jnp.where(jnp.arange(V) == 0, 0.0, NEVER)
        return jnp.where(jnp.arange(V) == 1, score_BL[:, :, None], others)
