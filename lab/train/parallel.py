"""Where a step is computed: of one run on one device or many, of a pack, of several hosts."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from lab.config import Shape
from lab.models.target import Target, target_of
from lab.train import step
from lab.train.layout import abstract, is_stacked, like
from lab.train.mesh import Program, Way, over_mesh
from lab.train.step import TrainState


def ahead(
    shape: Shape,
    way: Way = "jit",
    devices: tuple[jax.Device, ...] = (),
    *,
    each: int = 0,
    tensor: int = 1,
    **options: Any,
) -> tuple[Any, tuple]:
    """The jitted updates of a shape and the arguments they take, to be compiled without being run:

        jitted, args = ahead(shape, "fsdp", tuple(topology.devices))
        jitted.lower(*args).compile().memory_analysis()
        jitted.trace(*args).lower(lowering_platforms=("cuda",))  # with ahead(..., platform="gpu")

    Args:
      devices: these need not be here (`jax.experimental.topologies`); the first one here unless given.
      each: runs a device of a pack; 0 is one run, by `way`.
      tensor: devices that share each product, under "fsdp".
      said: what `Target` holds: `platform` where it is not the devices', `remat`, and `flat`, with which
        there is one update of the whole batch and no loop, whose cost the compiler can estimate.

    Returns:
      what `jax.jit` made, and (state, tokens (S, B, L + 1) or (R, S, B, L + 1), number of updates).
    """
    devices = devices or tuple(jax.local_devices()[:1])
    program = compile_step(shape, way, devices, target_of(devices[0], **options), tensor, each)
    return program.jitted, program.args()


def compile_step(
    shape: Shape,
    way: Way = "jit",
    devices: tuple[jax.Device, ...] = (),
    on: Target | None = None,
    tensor: int = 1,
    each: int = 0,
) -> Program:
    """The training program of one run, on one device ("jit") or with the batch split; or of a pack of `each`
    runs on every device. It is made once, whatever is left to its default.

    "mesh" splits the batch over the mesh's axis "data" and keeps a whole state on every device
    (jit of `shard_map`); "fsdp" cuts the state too (jit with `shard_of`), and with `tensor` > 1 so many
    devices share the products of a part of the batch; "pmap" is one replica a device, in the older way.
    Losses agree to float error. The model's form is that of the platform of the devices, unless `on`
    says another.

    Raises:
      ValueError: the batch does not split over the devices.
    """
    devices = devices or tuple(jax.local_devices()[:1])
    on = on or target_of(devices[0])
    return pack(shape, devices, each, on) if each else one_run(shape, way, devices, on, tensor)


@cache
def one_run(shape: Shape, way: Way, devices: tuple[jax.Device, ...], on: Target, tensor: int) -> Program:
    parts, uneven = divmod(len(devices), tensor)
    if uneven or (tensor > 1 and way != "fsdp"):
        raise ValueError(
            f"tensor={tensor}: it divides the {len(devices)} devices, and the way is fsdp, not {way}"
        )
    whole_batch = shape.batch_size if on.flat else step.micro_batch(shape, parts, on.platform)
    shape = replace(shape, micro_batch=whole_batch)
    if way not in ("mesh", "fsdp") and jax.process_count() > 1:
        raise ValueError(f"way {way!r} knows one host only; several hosts are spread with 'mesh' or 'fsdp'")
    if shape.micro_batch % parts:
        raise ValueError(
            f"a batch of {shape.micro_batch} sequences does not split over "
            f"{parts} devices; change batch_tokens, micro_batch or --devices"
        )
    if way in ("mesh", "fsdp") or (way == "jit" and is_stacked(shape, on)):
        return over_mesh(shape, devices, way, on, tensor)
    if way == "pmap":
        return over_replicas(shape, devices, on)
    jitted = jax.jit(partial(step.train_steps, shape, on=on), donate_argnums=0)
    one = SingleDeviceSharding(devices[0])
    return Program(
        place=lambda state: jax.device_put(copy(state), devices[0]),
        step=lambda state, tokens_RSBL, n: jitted(state, tokens_RSBL[0], n),
        fetch=lambda state, r=0: state,
        jitted=jitted,
        args=lambda: abstract(shape, one, one, one),
    )


@jax.jit  # one program: a call a leaf would be one for each shape
def copy(state: TrainState) -> TrainState:
    """`device_put` may share memory with its source, which the step's donation would then free."""
    return jax.tree.map(jnp.copy, state)


def over_replicas(shape: Shape, devices: Sequence[jax.Device], on: Target) -> Program:
    n_device = len(devices)
    of_device = replace(shape, micro_batch=shape.micro_batch // n_device)
    mean = partial(jax.lax.pmean, axis_name="data")
    steps = jax.pmap(
        lambda state, tokens_SBL, n: step.train_steps(of_device, state, tokens_SBL, n, mean, on),
        axis_name="data",
        devices=devices,
        in_axes=(0, 0, None),
        donate_argnums=0,
    )

    def replicate(state):
        return jax.pmap(lambda _, s: s, in_axes=(0, None), devices=devices)(np.zeros(n_device), state)

    def split(state, tokens_RSBL, n):
        _, S, B, L = tokens_RSBL.shape
        parts = tokens_RSBL.reshape(S, n_device, B // n_device, L).swapaxes(0, 1)
        state, metrics = steps(state, parts, n)
        return state, jax.tree.map(lambda leaf: leaf[0], metrics)

    def first(state, r=0):
        return jax.device_put(jax.tree.map(lambda leaf: leaf[0], state), devices[0])

    def args():
        state, (S, B, L), n = like(shape), of_device.dispatch, jax.ShapeDtypeStruct((), jnp.int32)
        state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n_device, *leaf.shape), leaf.dtype), state)
        return state, jax.ShapeDtypeStruct((n_device, S, B // n_device, L), jnp.int32), n

    return Program(replicate, split, first, jax.jit(steps), args)  # which pmap itself can not be asked


# --- several runs --------------------------------------------------------------------------


@cache
def pack(shape: Shape, devices: tuple[jax.Device, ...], each: int, on: Target) -> Program:
    """The training program of `each` runs on every device: `vmap` over the runs of a device, and
    devices that never talk (the mesh axis "run"). No number of one run enters another's; runs agree
    with themselves trained alone to float error. States are stacked, (R, ...)."""
    R = each * len(devices)
    whole_batch = shape.batch_size if on.flat else step.micro_batch(shape, 1, on.platform)
    shape = replace(shape, micro_batch=whole_batch)
    mesh = jax.sharding.Mesh(np.array(devices), ("run",), axis_types=(AxisType.Auto,))
    run, every = PartitionSpec("run"), PartitionSpec()
    by_run, whole = NamedSharding(mesh, run), NamedSharding(mesh, every)
    steps = jax.vmap(partial(step.train_steps, shape, on=on), in_axes=(0, 0, None))
    score = partial(step.eval_step, shape.model, objective=shape.objective, on=on)
    score = jax.vmap(score, in_axes=(0, None, None))
    over = partial(jax.shard_map, mesh=mesh, out_specs=run, check_vma=False)
    jitted = jax.jit(over(steps, in_specs=(run, run, every)), donate_argnums=0)

    @partial(jax.jit, out_shardings=by_run)
    def fill(state):
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (R, *leaf.shape)), state)

    @partial(jax.jit, donate_argnums=0, out_shardings=by_run)
    def put(stack, r, state):  # nothing needs to be sent anywhere
        def put_leaf(old, new):
            return jnp.where(jnp.arange(R).reshape(-1, *[1] * new.ndim) == r, new, old)

        return jax.tree.map(put_leaf, stack, state)

    part = jax.jit(lambda stack, r: jax.tree.map(lambda leaf: leaf[r], stack))

    def fetch(stack, r=0):
        device = devices[r // each]
        own = jax.tree.map(lambda leaf: part_on(device, leaf), stack)
        return jax.device_put(part(own, np.int32(r % each)), devices[0])

    return Program(
        place=lambda state: fill(jax.device_put(state, whole)),
        step=lambda stack, tokens_RSBL, n: jitted(stack, jax.device_put(tokens_RSBL, by_run), n),
        fetch=fetch,
        jitted=jitted,
        args=lambda: abstract(shape, by_run, by_run, whole, R),
        put=lambda stack, r, state: put(stack, np.int32(r), jax.device_put(state, whole)),
        evaluate=jax.jit(over(score, in_specs=(run, every, every))),
    )


def part_on(device: jax.Device, leaf: jax.Array) -> jax.Array:
    """What one device holds of an array."""
    return next(shard.data for shard in leaf.addressable_shards if shard.device == device)


# --- several hosts -------------------------------------------------------------------------


NO_DEVICE = (  # jax asserts that there is one, and says no more
    "jax finds no device of the kind that JAX_PLATFORMS asks for: unset it to train on the CPU, or install "
    "jax for it (pip install 'scaling-law-lab[cuda]') and see that nvidia-smi shows one"
)


def devices(hosts: int, of_each: int) -> list[jax.Device]:
    """The first `of_each` devices of each host.

    Raises:
      ValueError: there are fewer.
    """
    try:
        known = jax.devices()
    except AssertionError as error:
        raise ValueError(NO_DEVICE) from error
    there = [
        device
        for host in range(jax.process_count())
        for device in [d for d in known if d.process_index == host][:of_each]
    ]
    if len(there) < hosts * of_each:
        raise ValueError(
            f"asked for {of_each} devices of each of {hosts} hosts, and there are {len(there)} on "
            f"{jax.process_count()}"
        )
    return there


def leads() -> bool:
    """Whether this process is the first of its hosts: the one that reads clocks and writes."""
    return jax.process_index() == 0


def agreed(value: Any) -> Any:
    """A tree of numbers as the first host has it, on every host; all must ask at once. By it the
    hosts of a run follow one clock, one signal and one checkpoint."""
    if jax.process_count() == 1:
        return value
    first = multihost_utils.broadcast_one_to_all(value)
    like = lambda old, new: type(old)(new) if isinstance(old, int) else np.asarray(new)  # noqa: E731
    return jax.tree.map(like, value, first)


def agreed_state(state: TrainState) -> TrainState:
    """As `agreed`, array by array: a device holds one of them whole at a time."""
    if jax.process_count() == 1:
        return state
    mine = (lambda leaf: np.asarray(leaf)) if leads() else lambda leaf: np.zeros(leaf.shape, leaf.dtype)
    return jax.tree.map(lambda leaf: np.asarray(multihost_utils.broadcast_one_to_all(mine(leaf))), state)
