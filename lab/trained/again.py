"""A run's training made again with another loss: from rounded weights, from a teacher, on rewards.

No checkpoint is kept and nothing is written: it is for what takes seconds. The data, their order, the
optimiser and its schedule are the run's own, so with its own loss it ends where the run did.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig, RunConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.models import tree
from lab.train import optimizers, step

Loss = Callable[[tree.Params, jax.Array], jax.Array]  # of weights and windows (B, L + 1); a scalar


def train(config: RunConfig, corpus: Corpus, loss: Loss, params: tree.Params | None = None) -> tree.Params:
    """The weights after the run's updates by the gradients of `loss`, from its own first weights, or from
    those given. On one device, whole batches at once."""
    state = step.initial_state(config)
    if params is not None:
        state = step.state_with(config.shape, jax.device_put(params), step.hyper_of(config))
    S = config.shape.steps_per_dispatch
    for first in range(0, config.steps, S):
        n = min(S, config.steps - first)
        tokens_SBL = batches.batches(
            corpus.train,
            config.data_seed,
            first,
            n,
            config.batch_size,
            config.model.seq_len,
            config.data.unique_tokens or None,
        )
        state = _updates(config.shape, loss, state, np.pad(tokens_SBL, ((0, S - n), (0, 0), (0, 0))), n)
    return jax.device_get(optimizers.evaluated(config.optim, state.params, state.opt_state))


@partial(jax.jit, static_argnums=(0, 1))
def _updates(
    shape, loss: Loss, state: step.TrainState, tokens_SBL: jax.Array, n: jax.Array
) -> step.TrainState:
    def one(i, state):
        grads = jax.grad(loss)(state.params, tokens_SBL[i])
        rate = step.learning_rate(shape.optim, state.step, state.hyper)
        params, opt_state = optimizers.update(
            shape, grads, state.opt_state, state.params, rate, state.hyper["weight_decay"]
        )
        return replace(state, step=state.step + 1, params=params, opt_state=opt_state)

    return jax.lax.fori_loop(0, n, one, state)


def from_teacher(
    cfg: ModelConfig, teacher: ModelConfig, weights: tree.Params, share: float = 1.0, temperature: float = 1.0
) -> Loss:
    """The loss of a student: `share` of it the cross-entropy with what the teacher foretells, both at a
    temperature and times its square (Hinton et al. 2015, arXiv 1503.02531), and the rest with the text's."""
    weights = jax.device_put(weights)

    def loss(params: tree.Params, tokens_BL: jax.Array) -> jax.Array:
        inputs, targets = batches.shift(tokens_BL)
        logits_BLV = tree.apply(cfg, params, inputs)
        soft = jax.nn.softmax(tree.apply(teacher, weights, inputs) / temperature)
        follow = -(soft * jax.nn.log_softmax(logits_BLV / temperature)).sum(-1).mean() * temperature**2
        own = -jnp.take_along_axis(jax.nn.log_softmax(logits_BLV), targets[..., None], 2).mean()
        return share * follow + (1 - share) * own

    return loss
