"""Where a step runs: the only file that says mesh, pmap or shard_map.

`compile_step` gives the same three calls whatever the way: `place` puts a state where the step
wants it (a copy: the caller's stays whole), `step` advances it (its state is donated), `fetch`
gives back one plain state, good until the next step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lab.config import Shape
from lab.models import tree
from lab.train import step as step_module
from lab.train.step import TrainState

Way = Literal["jit", "mesh", "fsdp", "pmap"]


@dataclass(frozen=True)
class Compiled:
    """`step(state, tokens_SBL, n) -> (state, metrics)`, and the way into and out of it."""

    place: Callable[[TrainState], Any]
    step: Callable[[Any, np.ndarray, int], tuple[Any, dict[str, jax.Array]]]
    fetch: Callable[[Any], TrainState]
    jitted: Any = None  # the program itself, where the compiler can be asked about it


def compile_step(shape: Shape, way: Way = "jit", devices: Sequence[jax.Device] = ()) -> Compiled:
    """The training program of one shape, for one device ("jit") or with the batch split.

    "mesh" splits the batch over the mesh's axis "data" and keeps a whole state on every device
    (jit of `shard_map`); "fsdp" cuts the state too (jit with `shard_of`); "pmap" is one replica a
    device, in the older way. Losses agree to float error.

    Raises:
      ValueError: the batch does not split over the devices.
    """
    devices = list(devices) or jax.local_devices()[:1]
    shape = replace(shape, micro_batch=step_module.micro_batch(shape, len(devices)))
    if way not in ("mesh", "fsdp") and jax.process_count() > 1:
        raise ValueError(f"way {way!r} knows one host only; several hosts are spread with 'mesh' or 'fsdp'")
    if way == "jit":
        step = jax.jit(partial(step_module.train_steps, shape), donate_argnums=0)
        place = lambda state: jax.device_put(copied(state), devices[0])  # noqa: E731
        return Compiled(place, step, lambda state: state)
    per_device = shape.micro_batch / len(devices)
    if per_device != int(per_device):
        raise ValueError(
            f"a batch of {shape.micro_batch} sequences does not split over "
            f"{len(devices)} devices; change batch_tokens, micro_batch or --devices"
        )
    return over_replicas(shape, devices) if way == "pmap" else over_mesh(shape, devices, way)


@jax.jit  # one program: a call a leaf would be one for each shape
def copied(state: TrainState) -> TrainState:
    """`device_put` may share memory with its source, which the step's donation would then free."""
    return jax.tree.map(jnp.copy, state)


def over_mesh(shape: Shape, devices: list[jax.Device], way: Way = "mesh") -> Compiled:
    mesh = jax.sharding.Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    whole = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    lies = state_shards(shape, mesh) if way == "fsdp" else whole
    steps = cut_steps(shape, lies) if way == "fsdp" else split_steps(shape, mesh)
    step = jax.jit(steps, donate_argnums=0, out_shardings=(lies, whole))
    if whole.is_fully_addressable:
        return Compiled(
            place=lambda state: jax.device_put(copied(state), lies),
            step=lambda state, tokens_SBL, n: step(state, jax.device_put(tokens_SBL, split), n),
            fetch=lambda state: jax.device_put(state, devices[0]),
            jitted=step,
        )
    gather = jax.jit(lambda state: state, out_shardings=whole)
    return Compiled(  # several hosts: each puts what lies on its own devices
        place=lambda state: jax.tree.map(own_part, jax.tree.broadcast(lies, state), state),
        step=lambda state, tokens_SBL, n: step(state, own_part(split, tokens_SBL), n),
        fetch=lambda state: jax.tree.map(lambda leaf: leaf.addressable_data(0), gather(state)),
        jitted=step,
    )


def split_steps(shape: Shape, mesh: jax.sharding.Mesh) -> Callable:
    """Updates with the batch cut over the devices and gradients averaged once an update, after
    the last micro-batch; left to the compiler they are averaged at each."""
    shape = replace(shape, micro_batch=shape.micro_batch // mesh.size)
    mean = partial(jax.lax.pmean, axis_name="data")
    every, split = PartitionSpec(), PartitionSpec(None, "data")
    return jax.shard_map(
        partial(step_module.train_steps, shape, mean=mean),
        mesh=mesh,
        in_specs=(every, split, every),
        out_specs=every,
        check_vma=False,
    )


def cut_steps(shape: Shape, lies: TrainState) -> Callable:
    """Updates of a state cut over the devices: the compiler sends the weights where they are used,
    and each gradient ends where its weight lies, so that no more of it is kept."""

    def settled(loss_and_grads):
        loss, grads = loss_and_grads
        return loss, jax.lax.with_sharding_constraint(grads, lies.params)

    return partial(step_module.train_steps, shape, mean=settled)


def state_shards(shape: Shape, mesh: jax.sharding.Mesh) -> TrainState:
    """Where a state lies under "fsdp": a tree of shardings, a prefix of the state's. What the
    optimiser keeps of a weight lies where the weight does; scalars lie on every device.

    This is ZeRO's third stage (Rajbhandari et al. 2020, section 5): each device keeps 1/n of the
    weights and of the optimiser's state, is sent the others' weights when it multiplies with them,
    and keeps its own part of the summed gradient."""
    whole = NamedSharding(mesh, PartitionSpec())
    like = jax.eval_shape(partial(step_module.init_state, shape, hyper={}), jax.random.key(0))
    params = jax.tree.unflatten(
        jax.tree.structure(like.params),
        [
            NamedSharding(mesh, shard_of(weight.role, weight.shape, mesh.size))
            for weight in tree.describe(shape.model)
        ],
    )
    opt_state = optax.tree_map_params(
        step_module.optimiser(shape.model, shape.optim),
        lambda _, lies: lies,
        like.opt_state,
        params,
        transform_non_params=lambda _: whole,
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


def devices(hosts: int, of_each: int) -> list[jax.Device]:
    """The first `of_each` devices of each host.

    Raises:
      ValueError: there are fewer.
    """
    found = [
        device
        for host in range(jax.process_count())
        for device in [d for d in jax.devices() if d.process_index == host][:of_each]
    ]
    if len(found) < hosts * of_each:
        raise ValueError(
            f"asked for {of_each} devices of each of {hosts} hosts, and there are {len(found)} on "
            f"{jax.process_count()}"
        )
    return found


def leads() -> bool:
    """Whether this process is the first of its hosts: the one that reads clocks and writes."""
    return jax.process_index() == 0


def agreed(value: Any) -> Any:
    """A tree of numbers as the first host has it, on every host; all must ask at once. By it the
    hosts of a run follow one clock, one signal and one checkpoint."""
    if jax.process_count() == 1:
        return value
    found = multihost_utils.broadcast_one_to_all(value)
    like = lambda old, new: type(old)(new) if isinstance(old, int) else np.asarray(new)  # noqa: E731
    return jax.tree.map(like, value, found)


def over_replicas(shape: Shape, devices: list[jax.Device]) -> Compiled:
    n_device = len(devices)
    shape = replace(shape, micro_batch=shape.micro_batch // n_device)
    mean = partial(jax.lax.pmean, axis_name="data")
    step = jax.pmap(
        lambda state, tokens_SBL, n: step_module.train_steps(shape, state, tokens_SBL, n, mean),
        axis_name="data",
        devices=devices,
        in_axes=(0, 0, None),
        donate_argnums=0,
    )

    def replicate(state):
        return jax.pmap(lambda _, s: s, in_axes=(0, None), devices=devices)(np.zeros(n_device), state)

    def run(state, tokens_SBL, n):
        S, B, L = tokens_SBL.shape
        parts = tokens_SBL.reshape(S, n_device, B // n_device, L).swapaxes(0, 1)
        state, metrics = step(state, parts, n)
        return state, jax.tree.map(lambda leaf: leaf[0], metrics)

    def first(state):
        return jax.device_put(jax.tree.map(lambda leaf: leaf[0], state), devices[0])

    return Compiled(replicate, run, first)


@dataclass(frozen=True)
class Packed:
    """Several runs of one shape trained at once, each in a lane of a state whose leaves are
    (R, ...). No number of one lane enters another's."""

    lanes: int  # R
    fill: Callable[[TrainState], Any]  # the same run's state in all lanes
    put: Callable[[Any, int, TrainState], Any]  # a run's state into a lane; the rest is donated
    step: Callable[[Any, np.ndarray, int], tuple[Any, dict[str, jax.Array]]]  # tokens_RSBL
    pick: Callable[[Any, int], TrainState]  # a lane's state, on the first device
    evaluate: Callable[[Any, np.ndarray, np.ndarray], jax.Array]  # params of all: (R, B) nats


def pack_step(shape: Shape, devices: Sequence[jax.Device], each: int) -> Packed:
    """The training program of one shape for `each` runs on every device: `vmap` over the lanes of
    a device, and devices that never talk (the mesh axis "run"). Runs agree with themselves trained
    alone to float error."""
    lanes = each * len(devices)
    shape = replace(shape, micro_batch=step_module.micro_batch(shape))
    mesh = jax.sharding.Mesh(np.array(devices), ("run",), axis_types=(AxisType.Auto,))
    run, every = PartitionSpec("run"), PartitionSpec()
    by_run, whole = NamedSharding(mesh, run), NamedSharding(mesh, every)
    steps = jax.vmap(partial(step_module.train_steps, shape), in_axes=(0, 0, None))
    score = jax.vmap(partial(step_module.eval_step, shape.model), in_axes=(0, None, None))
    over = partial(jax.shard_map, mesh=mesh, out_specs=run, check_vma=False)
    step = jax.jit(over(steps, in_specs=(run, run, every)), donate_argnums=0)

    @partial(jax.jit, out_shardings=by_run)
    def fill(state):
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (lanes, *leaf.shape)), state)

    @partial(jax.jit, donate_argnums=0, out_shardings=by_run)
    def put(stack, lane, state):  # no lane needs to be sent anywhere
        def one(all, new):
            return jnp.where(jnp.arange(lanes).reshape(-1, *[1] * new.ndim) == lane, new, all)

        return jax.tree.map(one, stack, state)

    part = jax.jit(lambda stack, lane: jax.tree.map(lambda leaf: leaf[lane], stack))

    def pick(stack, lane):
        home, place = devices[lane // each], np.int32(lane % each)
        return jax.device_put(part(jax.tree.map(partial(part_on, home), stack), place), devices[0])

    return Packed(
        lanes,
        fill=lambda state: fill(jax.device_put(state, whole)),
        put=lambda stack, lane, state: put(stack, np.int32(lane), jax.device_put(state, whole)),
        step=lambda stack, tokens, n: step(stack, jax.device_put(tokens, by_run), n),
        pick=pick,
        evaluate=jax.jit(over(score, in_specs=(run, every, every))),
    )


def part_on(device: jax.Device, leaf: jax.Array) -> jax.Array:
    """What one device holds of an array."""
    return next(shard.data for shard in leaf.addressable_shards if shard.device == device)
