"""A policy trained on a learned reward: REINFORCE (Williams 1992), with the batch's mean for a baseline and a
penalty for each nat by which it leaves where it began.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lab.config import ModelConfig
from lab.models import tree
from lab.trained import preferences


class Course(NamedTuple):
    """What a policy wrote at each of U updates, before it, and what that was worth."""

    texts_UBL: jax.Array
    proxy_UB: jax.Array
    divergence_U: jax.Array  # nats a text from the policy at the beginning


class Task(NamedTuple):
    """A policy's weights, the reward's, and what shall be made of them."""

    policy: tree.Params
    proxy: tree.Params
    mean: jax.Array  # of the reward over the policy's own texts
    deviation: jax.Array
    penalty: jax.Array  # of a nat, in deviations


@partial(jax.jit, static_argnums=(0, 1, 4, 5))
def reinforce(
    cfg: ModelConfig,
    proxy: ModelConfig,
    task: Task,
    prompts_NP: jax.Array,
    updates: int,
    batch: int,
    rate: float,
    key: jax.Array,
) -> Course:
    """Adam at one rate. The reward of a text is its proxy's, in deviations over the mean."""
    optimiser, P = optax.adam(rate, b2=0.99), prompts_NP.shape[1]

    def nats(params, texts_BL):
        """Log probabilities of all ids at each place that the policy wrote, (B, n, V)."""
        return jax.nn.log_softmax(tree.apply(cfg, params, texts_BL)[:, P - 1 : -1])

    def of_texts(log_probs_BNV, texts_BL):
        return jnp.take_along_axis(log_probs_BNV, texts_BL[:, P:, None], 2).sum((1, 2))

    def one(carry, at):
        params, state = carry
        which, drawn = jax.random.split(jax.random.fold_in(key, at))
        prompts_BP = prompts_NP[jax.random.randint(which, (batch,), 0, len(prompts_NP))]
        texts_BL = preferences.samples(cfg, params, prompts_BP, cfg.seq_len - P, drawn)
        now, then = nats(params, texts_BL), nats(task.policy, texts_BL)
        divergence = (jnp.exp(now) * (now - then)).sum((1, 2)).mean()
        proxy_B = (preferences.reward(proxy, task.proxy, texts_BL) - task.mean) / task.deviation
        left_B = of_texts(now - then, texts_BL)
        worth_B = proxy_B - task.penalty * left_B
        better_B = worth_B - worth_B.mean()
        loss = lambda params: -(better_B * of_texts(nats(params, texts_BL), texts_BL)).mean()  # noqa: E731
        moves, state = optimiser.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, moves), state), (texts_BL, proxy_B, divergence)

    begin = task.policy, optimiser.init(task.policy)
    return Course(*jax.lax.scan(one, begin, jnp.arange(updates))[1])
