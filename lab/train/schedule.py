"""Step -> multiplier of the peak learning rate."""

import jax
import jax.numpy as jnp

Array = jax.Array


def multiplier(kind: str, step: Array, warmup: Array, horizon: Array, cooldown: Array, final: Array) -> Array:
    """The learning rate of update `step` (0, 1, ...) as a fraction of its peak.

    All of `warmup`, `horizon` (steps), `cooldown` (fraction of the horizon; negative where it falls
    as 1 - sqrt) and `final` (fraction of the peak left at the horizon) may be arrays, so that runs
    which differ in them share a program. Update 0 already moves: warm-up reaches 1 at `warmup`, not
    one step later. Until a cool-down begins the rate is the peak to the last bit, whatever `final`.
    """
    position = jnp.asarray(step, jnp.float32)
    rise = jnp.minimum(1.0, (position + 1.0) / jnp.maximum(warmup, 1.0))
    # 0 where the decay begins, 1 at the horizon
    length = {"constant": jnp.abs(cooldown) * horizon}.get(kind, horizon - warmup)
    done = jnp.clip((position - (horizon - length)) / jnp.maximum(length, 1.0), 0.0, 1.0)
    if kind == "constant":
        done = jnp.where(cooldown < 0, jnp.sqrt(done), done)
    fall = 0.5 * (1.0 + jnp.cos(jnp.pi * done)) if kind == "cosine" else 1.0 - done
    return rise * (final + (1.0 - final) * fall)
