"""How a gradient becomes an update: an entry of OPTIMIZERS each, put together from optax's parts.

An optimiser says a direction alone. What it is multiplied with (learning rate, schedule, the exponents of
muP) and the decay are arrays in the step, the same for all, so runs that differ in them share a program.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

from lab.config import ModelConfig, OptimConfig, Shape, userfile
from lab.models import stacks, tree
from lab.models.parameterization import ADAM, MUON, PARAMETERIZATIONS, SGD

RMS = 0.2  # of a Muon update's entries, as AdamW's have it, so that one rate fits both (Liu et al. 2025)
Direction = Callable[..., optax.GradientTransformation]


@dataclass(frozen=True)
class Optimizer:
    """What is subtracted of a weight, but for rate and decay.

    Args:
      direction: of (model, optim), and of an own one's settings by name: an optax transformation of
        gradients, without a learning rate, that points up the loss as they do.
      family: of its rates under muP, by role: `models.parameterization`.
      averages: whether its weights are evaluated as the average that schedule-free learning keeps.
      single: whether what it keeps and says of a number comes of that number's gradients alone, so that it
        may be given layers as one stack (`models.stacks`).
    """

    direction: Direction
    family: str = ADAM
    averages: bool = False
    single: bool = False


def adamw(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(optim.beta1, optim.beta2, optim.eps)


def sgd(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    return optax.identity()


def lion(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    return optax.scale_by_lion(optim.beta1, optim.beta2)


def adafactor(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    """Shazeer & Stern 2018 without the scale of the weights, which the roles' rates and scales give."""
    parts = optax.adafactor(multiply_by_parameter_scale=False)
    return optax.chain(parts, optax.scale(-1.0))


def muon(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    """Hidden matrices move by their momentum, made orthogonal (Jordan 2024); all other weights by AdamW."""
    hidden = [weight for weight in tree.describe(model) if weight.role == "hidden" and len(weight.shape) > 1]
    sides = {weight.path: matrix_sides(model, weight) for weight in hidden}

    def by_path(value: Callable[[tuple[str, ...]], Any]) -> Callable[[tree.Params], Any]:
        return lambda params: jax.tree_util.tree_map_with_path(lambda path, _: value(names(path)), params)

    matrices = contrib.muon(
        learning_rate=-1.0,  # optax turns the sign
        beta=optim.momentum,
        muon_weight_dimension_numbers=by_path(sides.get),
        consistent_rms=RMS,
    )
    parts = {"hidden": matrices, "others": adamw(model, optim)}
    return optax.partition(parts, by_path(lambda path: "hidden" if path in sides else "others"))


def schedule_free(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    """What AdamW is without its first moment, in whose place `update` keeps an average of the weights
    (Defazio et al. 2024)."""
    return optax.scale_by_rms(optim.beta2, optim.eps, eps_in_sqrt=False, bias_correction=True)


OPTIMIZERS = {
    "adamw": Optimizer(adamw, single=True),
    "sgd": Optimizer(sgd, SGD, single=True),
    "muon": Optimizer(muon, MUON),
    "lion": Optimizer(lion, single=True),
    "adafactor": Optimizer(adafactor),
    "schedule-free": Optimizer(schedule_free, averages=True, single=True),
}


def names(path: tuple) -> tuple[str, ...]:
    """The keys of a leaf's place in nested dicts."""
    return tuple(part.key for part in path if isinstance(part, jax.tree_util.DictKey))


def matrix_sides(model: ModelConfig, weight: tree.Weight) -> contrib.MuonDimensionNumbers:
    """Which axes of a weight are a matrix's rows and which its columns: of (D, H, K) and (H, K, D) the
    width is one side and the heads the other; of any other, and of a mixture's experts, the last two are,
    and each matrix by itself."""
    last, width = len(weight.shape) - 1, tree.width(model, weight)
    if weight.shape[0] == width and weight.share == 1:
        return contrib.MuonDimensionNumbers((0,), tuple(range(1, last + 1)))
    if weight.shape[last] == width and weight.share == 1:
        return contrib.MuonDimensionNumbers(tuple(range(last)), (last,))
    return contrib.MuonDimensionNumbers((last - 1,), (last,))


@cache
def find(optim: OptimConfig) -> Optimizer:
    """The entry of a config's optimiser, or what a user's file has of that name.

    Raises:
      ValueError: the file is not named by the user, or holds no such optimiser.
    """
    if not userfile.is_named(optim.optimizer):
        return OPTIMIZERS[optim.optimizer]
    brought = userfile.load(optim.optimizer)
    own = brought if isinstance(brought, Optimizer) else Optimizer(brought)
    settings = json.loads(optim.settings or "{}")
    signature = inspect.signature(own.direction)
    try:
        signature.bind(None, optim, **settings)
    except TypeError as error:
        has = ", ".join(list(signature.parameters)[2:]) or "none"
        raise ValueError(
            f"{optim.optimizer} is called with (model, optim) and its settings {settings}, and: {error}; "
            f"optim.settings says them, {{'name': value}}, and it has {has}"
        ) from error

    def direction(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
        made = own.direction(model, optim, **settings)
        if not isinstance(made, optax.GradientTransformation):
            raise ValueError(f"{optim.optimizer} gives {made!r}, which is no optax.GradientTransformation")
        return made

    return Optimizer(direction, own.family, own.averages)


def check(model: ModelConfig, optim: OptimConfig) -> None:
    """Ask an optimiser of the user's own for its first update.

    Raises:
      ValueError: it gives none, one that is no number, or one that points down the loss.
    """
    shapes = jax.eval_shape(lambda key: tree.init(model, key), jax.random.key(0))
    rng = np.random.default_rng(0)
    normal = lambda leaf: rng.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    grads = jax.tree.map(normal, shapes)
    params = jax.tree.map(lambda leaf: np.float32(0.02) * normal(leaf), shapes)

    @jax.jit  # as one program: outside of one each operation is compiled by itself
    def first(params, grads):
        direction = transformation(model, optim)
        ups, _ = direction.update(grads, direction.init(params), params)
        return optax.tree.vdot(ups, grads)

    along = first(params, grads)
    if not along > 0:  # nor NaN
        raise ValueError(
            f"{optim.optimizer}: its first update "
            + ("is no number" if jnp.isnan(along) else "points down the loss")
            + ": leave out optax's scale_by_learning_rate or scale(-1.0); rate, sign and decay are the lab's"
        )


def transformation(model: ModelConfig, optim: OptimConfig) -> optax.GradientTransformation:
    """Everything of the update that comes before the learning rate and the decay."""
    clip = optax.clip_by_global_norm(optim.clip) if optim.clip else optax.identity()
    if optim.optimizer == "sgd":
        return clip
    return optax.chain(clip, find(optim).direction(model, optim))


def init(shape: Shape, params: tree.Params) -> optax.OptState:
    """What an optimiser keeps at first; where weights are averaged, that and the average."""
    direction = transformation(shape.model, shape.optim)
    if find(shape.optim).averages:
        direction = contrib.schedule_free(direction, 0.0, shape.optim.beta1)
    state = direction.init(params)
    return (state, optax.ema(shape.optim.ema).init(params)) if shape.optim.ema else state


def by_role(cfg: ModelConfig, params: tree.Params, value: Callable[[str], float]) -> tree.Params:
    """A tree like `params`, plain or in stacks, whose leaves are `value(role)`."""
    weights = stacks.describe(cfg)
    return jax.tree_util.tree_map_with_path(lambda path, _: value(weights[names(path)].role), params)


def update(
    shape: Shape,
    grads: tree.Params,
    state: optax.OptState,
    params: tree.Params,
    rate: jax.Array,
    weight_decay: jax.Array,
) -> tuple[tree.Params, optax.OptState]:
    """Weights after one update, and what the optimiser keeps."""
    cfg, optim, average = shape.model, shape.optim, None
    if optim.ema:
        state, average = state
    how, direction = find(optim), transformation(cfg, optim)
    par = PARAMETERIZATIONS[cfg.parameterization]
    rates = by_role(cfg, params, lambda role: par.rate(role, cfg.d_model, how.family))
    decays = by_role(cfg, params, lambda role: float(role in ("hidden", "readout")))

    def steps(rate, grads, state, params):
        ups, state = direction.update(grads, state, params)
        # decay is decoupled (Loshchilov & Hutter 2019), times the base rate in every role
        step = lambda p, u, r, d: rate * (r * u + d * weight_decay * p)  # noqa: E731
        return jax.tree.map(step, params, ups, rates, decays), state

    if how.averages:
        down = optax.GradientTransformation(direction.init, partial(steps, -rate))
        moves, state = contrib.schedule_free(down, rate, optim.beta1).update(grads, state, params)
        params = optax.apply_updates(params, moves)
    else:
        moves, state = steps(rate, grads, state, params)
        params = jax.tree.map(jnp.subtract, params, moves)
    if optim.ema:
        _, average = optax.ema(optim.ema).update(params, average)
        return params, (state, average)
    return params, state


def evaluated(
    optim: OptimConfig, params: tree.Params, state: optax.OptState, average: bool = False
) -> tree.Params:
    """The weights that are scored: of schedule-free learning its average; where `average` says so the
    moving average of a run with one, without what its start at zero left in it."""
    if average:
        return optax.tree.bias_correction(state[1].ema, optim.ema, state[1].count)
    return contrib.schedule_free_eval_params(state, params) if find(optim).averages else params
