"""Where a state lies on a mesh of devices, and its shape before there is one."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lab.config import RunConfig, Shape, fields
from lab.models import stacks, tree
from lab.models.target import Target
from lab.models.weight import Weight
from lab.train import optimizers, step
from lab.train.optimizers import names
from lab.train.step import TrainState


def like(shape: Shape, stacked: bool = False) -> TrainState:
    """A state of a shape, by its shapes and types; its layers in stacks, or plain."""
    names = (*fields.traced_part(shape.optim), "warmup", "horizon", "cooldown")
    hyper = dict.fromkeys(names, jax.ShapeDtypeStruct((), jnp.float32))
    form = partial(stacks.stack, shape.model) if stacked else lambda state: state
    made = lambda key, hyper: form(step.init_state(shape, key, hyper))  # noqa: E731
    return jax.eval_shape(made, jax.random.key(0), hyper)


def is_stacked(shape: Shape, on: Target) -> bool:
    """Whether a program keeps the layers of its state in stacks: where it scans them, and its optimiser
    does not mind."""
    scans = not (on.on_cpu or on.flat)
    return scans and bool(stacks.groups(shape.model)) and optimizers.find(shape.optim).single


def abstract(
    shape: Shape, state: Any, tokens: Any, n: jax.sharding.Sharding, runs: int = 0, stacked: bool = False
) -> tuple[TrainState, jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """What a program of updates takes, by shapes, types and the given shardings of the three: of one
    run, or of several one upon another."""
    several = (runs,) if runs else ()

    def place(sharding, leaf):
        return jax.ShapeDtypeStruct((*several, *leaf.shape), leaf.dtype, sharding=sharding)

    states = like(shape, stacked)
    states = jax.tree.map(place, jax.tree.broadcast(state, states), states)
    dispatch = jax.ShapeDtypeStruct(shape.dispatch, jnp.int32)
    return states, place(tokens, dispatch), jax.ShapeDtypeStruct((), jnp.int32, sharding=n)


def state_shards(shape: Shape, mesh: Mesh, stacked: bool = False) -> TrainState:
    """Where a state lies under "fsdp": a tree of shardings, a prefix of the state's. A stack is cut as each
    of its layers is. What the optimiser keeps of a weight lies where the weight does, if it has its shape;
    all else, scalars and the sums of rows and columns that Adafactor keeps, lies on every device.

    This is ZeRO's third stage (Rajbhandari et al. 2020, section 5): each device keeps 1/n of the
    weights and of the optimiser's state, is sent the others' weights when it multiplies with them,
    and keeps its own part of the summed gradient. A second axis, "tensor", shares the products of a layer
    (Shoeybi et al. 2019)."""
    whole = NamedSharding(mesh, PartitionSpec())
    state, weights = like(shape, stacked), stacks.describe(shape.model)

    def shard(path, leaf):
        keys = names(path)
        at = next((keys[i:] for i in range(len(keys)) if keys[i:] in weights), ("",))
        layers = (None,) * (at[0] in stacks.groups(shape.model))
        if at not in weights or weights[at].shape != leaf.shape[len(layers) :]:
            return whole
        own = shard_of(weights[at], mesh.shape["data"], mesh.shape.get("tensor", 1))
        return NamedSharding(mesh, PartitionSpec(*layers, *own) if own else own)

    params, opt_state = (
        jax.tree_util.tree_map_with_path(shard, part) for part in (state.params, state.opt_state)
    )
    return TrainState(whole, params, opt_state, whole)


def shard_of(weight: Weight, n: int, tensor: int = 1) -> PartitionSpec:
    """Over `tensor` devices a weight is cut along the axis that its model declares, and over n along the
    largest that n divides, the last of equals, if there is another. Gains, and what no axis of divides,
    are kept whole on every device."""
    axes: list[str | None] = [None] * len(weight.shape)
    if weight.role != "gain":
        if tensor > 1 and weight.tensor is not None and weight.shape[weight.tensor] % tensor == 0:
            axes[weight.tensor] = "tensor"
        fits = [i for i, size in enumerate(weight.shape) if size % n == 0 and not axes[i]]
        if fits:
            axes[max(fits, key=lambda i: (weight.shape[i], i))] = "data"
    while axes and axes[-1] is None:
        axes.pop()
    return PartitionSpec(*axes)


def born(config: RunConfig, shape: Shape, mesh: Mesh, stacked: bool) -> TrainState:
    """`step.initial_state`, bit for bit, made where it lies: each device draws its part of each weight."""
    key = np.asarray(jax.random.key_data(jax.random.key(config.seed)))  # of this host, as of every other
    plain, begin = state_shards(shape, mesh).params, 0
    leaves = []
    for weight, place in zip(tree.describe(shape.model), jax.tree.leaves(plain), strict=True):
        normal = draw_part(weight.shape, place)(key, np.array(divmod(begin, 2**32), np.uint32))
        leaves.append(scale(normal, np.float32(weight.mean), np.float32(weight.std)))
        begin += weight.size

    def state_of(params, hyper):
        return step.state_with(shape, stacks.stack(shape.model, params) if stacked else params, hyper)

    params = jax.tree.unflatten(jax.tree.structure(plain), leaves)
    own = () if stacked else (0,)  # what is stacked anew takes another place
    make = jax.jit(state_of, donate_argnums=own, out_shardings=state_shards(shape, mesh, stacked))
    return make(params, jax.tree.map(np.asarray, step.hyper_of(config)))


@partial(jax.jit, donate_argnums=0)  # a program of its own: in one, factors are multiplied first
def scale(normal: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    return mean + std * normal


@cache
def draw_part(shape: tuple[int, ...], sharding: NamedSharding) -> Any:
    """Numbers `begin`, begin + 1, ... of `jax.random.normal(key, (n,))`, in a shape. Each of jax's numbers
    depends on its own place alone (`jax_threefry_partitionable`), so none but these is drawn."""

    def draw(key, begin):
        strides = np.append(np.cumprod(shape[:0:-1], dtype=np.uint32)[::-1], 1).astype(np.uint32)
        place = sum(jax.lax.broadcasted_iota(jnp.uint32, shape, i) * s for i, s in enumerate(strides))
        low = place + begin[1]
        high = begin[0] + (low < begin[1]).astype(jnp.uint32)
        one, other = random.threefry2x32_p.bind(*key, high, low)
        # as jax.random.uniform, then jax.random.normal: 23 bits are a float from 1 to 2
        bits = ((one ^ other) >> np.uint32(9)) | np.uint32(0x3F800000)
        least, one = np.nextafter(np.float32(-1), np.float32(0)), np.float32(1)
        unit = jax.lax.bitcast_convert_type(bits, jnp.float32) - one
        unit = jax.lax.max(least, unit * (one - least) + least)
        return np.float32(2**0.5) * jax.lax.erf_inv(unit)

    return jax.jit(draw, out_shardings=sharding)


def on_host(leaf: jax.Array) -> np.ndarray:
    """A copy in this host's memory, taken part by part; no device holds more for it."""
    whole = np.empty(leaf.shape, leaf.dtype)
    for shard in leaf.addressable_shards:
        if shard.replica_id == 0:
            whole[shard.index] = shard.data
    return whole


def own_part(sharding: NamedSharding, whole: Any) -> jax.Array:
    """An array over the devices of all hosts, of which each host holds the whole in its memory."""
    whole = np.array(whole)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
