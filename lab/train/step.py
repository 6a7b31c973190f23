"""TrainState and the pure functions on it: `init_state`, `train_steps`, `eval_step`.

No axis of a device mesh is named here; `parallel.py` says where things live. Rates, decay,
warm-up and horizon are arrays in `state.hyper`, so runs of one shape share one program.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lab.config import NEXT_TOKEN, ModelConfig, OptimConfig, RunConfig, Shape
from lab.data.batches import shift
from lab.models import tree
from lab.models.target import Target
from lab.train import objectives, optimizers, schedule

CACHED_TOKENS = 256  # of a micro-batch on CPU, at least


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """All that a run needs to go on, besides its config and its data."""

    step: jax.Array  # updates made, int32
    params: tree.Params
    opt_state: optax.OptState
    hyper: dict[str, jax.Array]  # float32 scalars, see `hyper_of`


def hyper_of(config: RunConfig) -> dict[str, jax.Array]:
    """What may differ between runs that share a program."""
    return {name: jnp.float32(value) for name, value in config.hyper.items()}


def learning_rate(optim: OptimConfig, step: jax.Array, hyper: dict[str, jax.Array]) -> jax.Array:
    """The base rate of update `step`, the first being 0."""
    names = ("warmup", "horizon", "cooldown", "final")
    shape_of_decay = schedule.multiplier(optim.schedule, step, *(hyper[name] for name in names))
    return hyper["learning_rate"] * shape_of_decay


def init_state(shape: Shape, key: jax.Array, hyper: dict[str, jax.Array]) -> TrainState:
    return state_with(shape, tree.init(shape.model, key), hyper)


@partial(jax.jit, static_argnums=0)
def state_with(shape: Shape, params: tree.Params, hyper: dict[str, jax.Array]) -> TrainState:
    return TrainState(jnp.zeros((), jnp.int32), params, optimizers.init(shape, params), hyper)


@partial(jax.jit, static_argnums=1)
def draw(key: jax.Array, n: int) -> jax.Array:
    return jax.random.normal(key, (n,))


def initial_state(config: RunConfig) -> TrainState:
    """`init_state` of a run, to be called and not to be compiled: as one program it takes longer to
    compile than a small model's whole step, since each weight is cut from the draw by its own loop."""
    if config.model.is_own:  # whose own program makes its weights
        return state_with(
            config.shape, tree.init(config.model, jax.random.key(config.seed)), hyper_of(config)
        )
    normal = np.asarray(draw(jax.random.key(config.seed), tree.n_weights(config.model)))
    return state_with(config.shape, tree.from_normal(config.model, normal), hyper_of(config))


def mean_nats(
    cfg: ModelConfig, params: tree.Params, tokens_BL: jax.Array, on: Target | None = None
) -> jax.Array:
    """Mean cross-entropy, nats per token; inputs and targets overlap by L - 1."""
    return tree.losses(cfg, params, *shift(tokens_BL), on)[0].mean()


def micro_batch(shape: Shape, n_device: int = 1, platform: str = "") -> int:
    """Sequences whose gradients are made at once, on all devices together: what the config says,
    else what keeps activations in a CPU core's cache, which makes a step up to 1.5 times as fast,
    and the whole batch on other devices. `platform` is theirs; that of the devices here unless given."""
    batch, uneven = divmod(shape.batch_size, n_device)
    if shape.micro_batch or uneven or (platform or jax.default_backend()) != "cpu":
        return shape.micro_batch or shape.batch_size
    wanted = max(CACHED_TOKENS, 2 * shape.model.d_model) / shape.model.seq_len
    divisors = [n for n in range(1, batch + 1) if batch % n == 0]
    return n_device * min(divisors, key=lambda n: abs(math.log(n / wanted)))


def grads_of_part(shape: Shape, step: jax.Array | int, on: Target | None = None) -> Callable:
    """A function of (params, tokens): the mean nats, and the gradients of what is trained: where a model adds
    something to the loss, its gradient too. Of an objective whose targets have weights (nats, weights), each
    summed, and the gradients of the first: what divides them is known when all parts of a batch are added up.
    """

    def trained(params, tokens_BL):
        inputs_BL, targets_BL, weights_BL = objectives.examples(shape.objective, shape.model, tokens_BL, step)
        prefix_B = objectives.prefix_of(shape.model, weights_BL)
        nats_BL, extra = tree.losses(shape.model, params, inputs_BL, targets_BL, on, prefix_B)
        if weights_BL is None:
            nats = nats_BL.mean()
            return nats if extra is None else nats + extra, nats
        nats, weight = (nats_BL * weights_BL).sum(), weights_BL.sum()
        return nats + (0.0 if extra is None else weight * extra), (nats, weight)

    def grad(params, tokens_BL):
        (_, metrics), grads = jax.value_and_grad(trained, has_aux=True)(params, tokens_BL)
        return metrics, grads

    return grad


def loss_and_grads(
    shape: Shape,
    params: tree.Params,
    tokens_BL: jax.Array,
    step: jax.Array | int = 0,
    on: Target | None = None,
) -> tuple[Any, tree.Params]:
    """Over the batch at once, or over micro-batches one after another, and then the mean of the parts: see
    `grads_of_part`."""
    grad, weighted = grads_of_part(shape, step, on), shape.objective != NEXT_TOKEN
    B, L = tokens_BL.shape
    if not shape.micro_batch or shape.micro_batch >= B:
        return grad(params, tokens_BL)
    # each part has a sequence of every n, so that a batch split over devices stays split
    n = B // shape.micro_batch
    parts = tokens_BL.reshape(shape.micro_batch, n, L).swapaxes(0, 1)
    none = (jnp.zeros(()), jnp.zeros(())) if weighted else jnp.zeros(())
    zero = jax.tree.map(jnp.zeros_like, (none, params))
    total, _ = jax.lax.scan(
        lambda total, part: (jax.tree.map(jnp.add, total, grad(params, part)), None), zero, parts
    )
    return jax.tree.map(lambda leaf: leaf / n, total)


def train_step(
    shape: Shape,
    state: TrainState,
    tokens_BL: jax.Array,
    mean: Callable = lambda tree: tree,
    on: Target | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One optimiser update. `mean` averages over devices where the batch was split by hand;
    under jit the compiler does. `on` is what is compiled for: the devices here unless given."""
    h = state.hyper
    loss, grads = mean(loss_and_grads(shape, state.params, tokens_BL, state.step, on))
    if shape.objective != NEXT_TOKEN:
        nats, weight = loss
        loss, grads = nats / weight, jax.tree.map(lambda leaf: leaf / weight, grads)
    rate = learning_rate(shape.optim, state.step, h)
    params, opt_state = optimizers.update(
        shape, grads, state.opt_state, state.params, rate, h["weight_decay"]
    )
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
    return replace(state, step=state.step + 1, params=params, opt_state=opt_state), metrics


def train_steps(
    shape: Shape,
    state: TrainState,
    tokens_SBL: jax.Array,
    n: jax.Array,
    mean: Callable = lambda tree: tree,
    on: Target | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The first `n` of S updates in one dispatch; metrics (S,), zero where no update was made.

    How many updates share a dispatch does not change a run's bits (tests/test_step.py).
    """
    if on and on.flat:
        return train_step(shape, state, tokens_SBL[0], mean, on)
    zeros = {name: jnp.zeros(tokens_SBL.shape[0]) for name in ("loss", "grad_norm")}

    def body(i, carry):
        state, metrics = carry
        state, now = train_step(shape, state, tokens_SBL[i], mean, on)
        return state, {name: metrics[name].at[i].set(now[name]) for name in metrics}

    return jax.lax.fori_loop(0, n, body, (state, zeros))


def eval_step(
    cfg: ModelConfig,
    params: tree.Params,
    tokens_BL: jax.Array,
    mask_BL: jax.Array,
    objective: str = NEXT_TOKEN,
    on: Target | None = None,
) -> jax.Array:
    """Nats summed over the targets that `mask_BL` counts, one sum a window: (B,). An objective with weights
    of its own counts a window wholly or not at all."""
    inputs_BL, targets_BL, weights_BL = objectives.examples(objective, cfg, tokens_BL, objectives.HELD_OUT)
    prefix_B = objectives.prefix_of(cfg, weights_BL)
    nats_BL, _ = tree.losses(cfg, params, inputs_BL, targets_BL, on, prefix_B)
    if weights_BL is not None:
        mask_BL = weights_BL * mask_BL.min(axis=1, keepdims=True)
    return (nats_BL * mask_BL).sum(axis=1)
