"""Text from a model, token after token.

The model sees a window of seq_len tokens that always has the same shape: one program makes every
token. While the text is shorter than the window it stands at its beginning, and what lies after it
is not seen; from then on the window slides.
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.models import tree


def sample(
    cfg: ModelConfig,
    params: tree.Params,
    prompt: np.ndarray,
    n_tokens: int,
    *,
    temperature: float = 0.8,
    top_k: int = 0,
    seed: int = 0,
    n_ids: int = 0,
) -> Iterator[int]:
    """The ids that follow `prompt`, one by one.

    Args:
      prompt: ids, one at least; of a longer one than the window its end is seen.
      temperature: what logits are divided by; 0 takes the likeliest token each time.
      top_k: draw from the k likeliest only; 0 means from all.
      n_ids: draw only ids below it (a tokenizer's `n_text_ids`); 0 means all of the vocabulary.

    Raises:
      ValueError: there is no prompt or one too short for an encoder, or an option makes no sense.
    """
    check(prompt, n_tokens, temperature, top_k)
    if not tree.is_causal(cfg):
        raise ValueError(f"{cfg.name} sees what comes after a token: it tells no text that is not there yet")
    if len(prompt) < tree.source(cfg):
        raise ValueError(
            f"the prompt has {len(prompt)} tokens, and the encoder of {cfg.name} reads {tree.source(cfg)} "
            "before any is told: give a prompt of so many or more"
        )
    L, n_ids = cfg.seq_len, n_ids or cfg.vocab_size
    window_1L, key = np.zeros((1, L), np.int32), jax.random.key(seed)
    seen = np.asarray(prompt)[-L:]
    window_1L[0, : len(seen)] = seen
    window_1L, top_k = jnp.asarray(window_1L), min(top_k or n_ids, n_ids)
    params = jax.device_put(params)
    for i in range(n_tokens):
        at = np.int32(min(L, len(seen) + i))
        prefix_B = None
        if tree.takes_prefix(cfg):  # what is left of the prompt in the window
            prefix_B = np.array([max(1, len(seen) - max(0, len(seen) + i - L))])
        each, warmth = jax.random.fold_in(key, i), np.float32(temperature)
        drawn, window_1L = next_token(cfg, top_k, n_ids, params, window_1L, at, each, warmth, prefix_B)
        yield int(drawn)


def check(prompt: np.ndarray, n_tokens: int, temperature: float, top_k: int) -> None:
    """Refuse what `sample` would, before any work is done."""
    if not len(prompt):
        raise ValueError("the prompt is empty: a model tells what follows one token at least")
    if not (temperature >= 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature={temperature:g}: take 0 (the likeliest token) or above")
    if top_k < 0 or n_tokens < 0:
        raise ValueError(f"top_k={top_k}, tokens={n_tokens}: must not be negative")


@partial(jax.jit, static_argnums=(0, 1, 2))
def next_token(cfg, top_k, n_ids, params, window_1L, n, key, temperature, prefix_B=None):
    """The token after the first `n` of the window, and the window with it."""
    logits_V = tree.apply(cfg, params, window_1L, prefix_B=prefix_B)[0, n - 1, :n_ids]
    least = jax.lax.top_k(logits_V, top_k)[0][-1]
    kept_V = jnp.where(logits_V >= least, logits_V, -jnp.inf)
    warm_V = kept_V / jnp.where(temperature > 0, temperature, 1.0)
    drawn = jnp.where(temperature > 0, jax.random.categorical(key, warm_V), jnp.argmax(kept_V))
    full = n == cfg.seq_len
    moved_1L = jnp.where(full, jnp.roll(window_1L, -1, axis=1), window_1L)
    return drawn, moved_1L.at[0, jnp.minimum(n, cfg.seq_len - 1)].set(drawn.astype(jnp.int32))
