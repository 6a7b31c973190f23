"""Weights made smaller after training: fewer of them, or fewer bits each."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lab.config import ModelConfig
from lab.models import tree
from lab.models.weight import Weight

PLAIN = ("gain",)  # roles that stay as they are: vectors, a percent of the weights


def by_matrix(
    cfg: ModelConfig, params: tree.Params, change: Callable[[Weight, jax.Array], jax.Array]
) -> tree.Params:
    """The parameters with every matrix changed; gains and biases stay."""
    leaves, structure = jax.tree.flatten(params)
    changed = [
        leaf if weight.role in PLAIN or leaf.ndim < 2 else change(weight, leaf)
        for weight, leaf in zip(tree.describe(cfg), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, changed)


def inputs(cfg: ModelConfig, weight: Weight) -> tuple[int, ...]:
    """The axes of a matrix that a product sums over: what is left are its channels. Of a table each row is
    looked up by itself, and of experts each has a matrix of its own."""
    last = len(weight.shape) - 1
    if weight.role == "embed":
        return (last,)
    if weight.share != 1 or last == 1:
        return (last - 1,)
    width = tree.width(cfg, weight)
    return (weight.shape.index(width),) if width in weight.shape[:-1] else tuple(range(last))


def quantised(cfg: ModelConfig, params: tree.Params, bits: int) -> tree.Params:
    """Each matrix in integers of so many bits, as floats: rounded to the nearest of 2^bits - 1 levels,
    equally spaced about zero, whose size each channel has for itself (symmetric, round to nearest; Dettmers
    et al. 2022, arXiv 2208.07339, section 2.1). A scale a channel comes on top: 32 bits for each row of
    inputs.

    Raises:
      ValueError: bits below 2, where zero would be all that is left.
    """
    if bits < 2:
        raise ValueError(f"bits={bits}: symmetric integers have 2 or more")
    top = 2.0 ** (bits - 1) - 1

    def change(weight: Weight, leaf: jax.Array) -> jax.Array:
        unit = jnp.abs(leaf).max(inputs(cfg, weight), keepdims=True) / top
        return jnp.round(leaf / jnp.where(unit > 0, unit, 1.0)) * unit

    return by_matrix(cfg, params, change)


def straight_through(make: Callable[[tree.Params], tree.Params], params: tree.Params) -> tree.Params:
    """`make(params)`, whose gradient is that of `params` (Bengio et al. 2013, arXiv 1308.3432): what training
    with rounded weights needs, since rounding has none."""
    return jax.tree.map(lambda new, old: old + jax.lax.stop_gradient(new - old), make(params), params)


def pruned(cfg: ModelConfig, params: tree.Params, sparsity: float) -> tree.Params:
    """Each matrix without this share of its entries, the smallest (Han et al. 2015, arXiv 1506.02626).

    Raises:
      ValueError: a share outside of 0 to 1.
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity={sparsity}: the share of weights that become zero is 0 to 1")

    def change(weight: Weight, leaf: jax.Array) -> jax.Array:
        size = jnp.abs(leaf)
        away = round(sparsity * leaf.size)
        order = jnp.argsort(size.ravel())  # ties go by place: exactly so many fall
        return leaf.ravel().at[order[:away]].set(0.0).reshape(leaf.shape)

    return by_matrix(cfg, params, change)
