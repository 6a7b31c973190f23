"""Where a state lies on a mesh of devices, and its shape before there is one."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from lab.config import Shape, fields
from lab.models import tree
from lab.train import step
from lab.train.optimizers import names
from lab.train.step import TrainState


def like(shape: Shape) -> TrainState:
    """A state of a shape, by its shapes and types."""
    names = (*fields.traced_part(shape.optim), "warmup", "horizon", "cooldown")
    hyper = dict.fromkeys(names, jax.ShapeDtypeStruct((), jnp.float32))
    return jax.eval_shape(partial(step.init_state, shape), jax.random.key(0), hyper)


def abstract(
    shape: Shape, state: Any, tokens: Any, n: jax.sharding.Sharding, runs: int = 0
) -> tuple[TrainState, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """What a program of updates takes, by shapes, types and the given shardings of the three: of one
    run, or stacked of several."""
    stack = (runs,) if runs else ()

    def place(sharding, leaf):
        return jax.ShapeDtypeStruct((*stack, *leaf.shape), leaf.dtype, sharding=sharding)

    states = like(shape)
    states = jax.tree.map(place, jax.tree.broadcast(state, states), states)
    dispatch = jax.ShapeDtypeStruct(shape.dispatch, jnp.int32)
    return states, place(tokens, dispatch), jax.ShapeDtypeStruct((), jnp.int32, sharding=n)


def state_shards(shape: Shape, mesh: jax.sharding.Mesh) -> TrainState:
    """Where a state lies under "fsdp": a tree of shardings, a prefix of the state's. What the
    optimiser keeps of a weight lies where the weight does, if it has its shape; all else, scalars and
    the sums of rows and columns that Adafactor keeps, lies on every device.

    This is ZeRO's third stage (Rajbhandari et al. 2020, section 5): each device keeps 1/n of the
    weights and of the optimiser's state, is sent the others' weights when it multiplies with them,
    and keeps its own part of the summed gradient."""
    whole = NamedSharding(mesh, PartitionSpec())
    state = like(shape)
    weights = {weight.path: weight for weight in tree.describe(shape.model)}

    def shard(path, leaf):
        keys = names(path)
        weight = next((weights[keys[i:]] for i in range(len(keys)) if keys[i:] in weights), None)
        if weight is None or weight.shape != leaf.shape:
            return whole
        return NamedSharding(mesh, shard_of(weight.role, weight.shape, mesh.size))

    params, opt_state = (
        jax.tree_util.tree_map_with_path(shard, part) for part in (state.params, state.opt_state)
    )
    return TrainState(whole, params, opt_state, whole)


def shard_of(role: str, shape: tuple[int, ...], n: int) -> PartitionSpec:
    """A weight is cut along its largest axis that n divides, the last of equals. Gains, and what
    no axis of divides, are kept whole on every device."""
    fits = [axis for axis, size in enumerate(shape) if size % n == 0]
    if role == "gain" or not fits:
        return PartitionSpec()
    axis = max(fits, key=lambda axis: (shape[axis], axis))
    return PartitionSpec(*[None] * axis, "data")


def own_part(sharding: NamedSharding, whole: Any) -> jax.Array:
    """An array over the devices of all hosts, of which each host holds the whole in its memory."""
    whole = np.array(whole)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
