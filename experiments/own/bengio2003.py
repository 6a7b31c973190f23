"""The neural probabilistic language model of Bengio et al. 2003 (JMLR 3), over the last WINDOW tokens."""

import jax.numpy as jnp
from flax import nnx

WINDOW = 16  # tokens that are read; theirs was 5 words


class Net(nnx.Module):
    """y = b + U tanh(d + H x), where x joins the features of the last tokens (their equation 1, without the
    direct connections, which they found no better with)."""

    def __init__(self, cfg, rngs):
        features, hidden = cfg.d_model // 2, 2 * cfg.d_model
        self.features = nnx.Embed(cfg.vocab_size, features, rngs=rngs)
        self.hidden = nnx.Linear(WINDOW * features, hidden, rngs=rngs)
        self.readout = nnx.Linear(hidden, cfg.vocab_size, rngs=rngs)

    def __call__(self, tokens):
        L = tokens.shape[1]
        before = jnp.pad(self.features(tokens), ((0, 0), (WINDOW - 1, 0), (0, 0)))
        joined = jnp.concatenate([before[:, i : i + L] for i in range(WINDOW)], -1)
        return self.readout(jnp.tanh(self.hidden(joined)))
