"""Where a step is computed: the only file that says mesh, pmap or shard_map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lab.config import Shape
from lab.models import tree
from lab.train import step
from lab.train.optimizers import names
from lab.train.step import TrainState

Way = Literal["jit", "mesh", "fsdp", "pmap"]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one shape, for one run or for the R runs of a pack. They are the
    same whatever the way; they alone know how states lie on the devices while they are trained."""

    place: Callable[[TrainState], Any]  # a copy of a state, for each of the R runs
    step: Callable[[Any, np.ndarray, int], tuple[Any, dict[str, jax.Array]]]  # (states, tokens_RSBL, n)
    fetch: Callable[..., TrainState]  # (states, r=0): a run's plain state, good until the next step
    jitted: Any = None  # the step itself, where the compiler can be asked about it
    put: Callable[[Any, int, TrainState], Any] | None = None  # of a pack: run r's state replaced
    evaluate: Callable[[Any, np.ndarray, np.ndarray], jax.Array] | None = None  # of a pack: all, (R, B)


@cache
def compile_step(shape: Shape, way: Way = "jit", devices: tuple[jax.Device, ...] = ()) -> Program:
    """The training program of one run, on one device ("jit") or with the batch split.

    "mesh" splits the batch over the mesh's axis "data" and keeps a whole state on every device
    (jit of `shard_map`); "fsdp" cuts the state too (jit with `shard_of`); "pmap" is one replica a
    device, in the older way. Losses agree to float error.

    Raises:
      ValueError: the batch does not split over the devices.
    """
    devices = devices or tuple(jax.local_devices()[:1])
    shape = replace(shape, micro_batch=step.micro_batch(shape, len(devices)))
    if way not in ("mesh", "fsdp") and jax.process_count() > 1:
        raise ValueError(f"way {way!r} knows one host only; several hosts are spread with 'mesh' or 'fsdp'")
    if shape.micro_batch % len(devices):
        raise ValueError(
            f"a batch of {shape.micro_batch} sequences does not split over "
            f"{len(devices)} devices; change batch_tokens, micro_batch or --devices"
        )
    if way in ("mesh", "fsdp"):
        return over_mesh(shape, devices, way)
    if way == "pmap":
        return over_replicas(shape, devices)
    jitted = jax.jit(partial(step.train_steps, shape), donate_argnums=0)
    return Program(
        place=lambda state: jax.device_put(copy(state), devices[0]),
        step=lambda state, tokens_RSBL, n: jitted(state, tokens_RSBL[0], n),
        fetch=lambda state, r=0: state,
        jitted=jitted,
    )


@jax.jit  # one program: a call a leaf would be one for each shape
def copy(state: TrainState) -> TrainState:
    """`device_put` may share memory with its source, which the step's donation would then free."""
    return jax.tree.map(jnp.copy, state)


def over_mesh(shape: Shape, devices: Sequence[jax.Device], way: Way) -> Program:
    mesh = jax.sharding.Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
    whole = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    sharding = state_shards(shape, mesh) if way == "fsdp" else whole
    steps = cut_steps(shape, sharding) if way == "fsdp" else split_steps(shape, mesh)
    jitted = jax.jit(steps, donate_argnums=0, out_shardings=(sharding, whole))
    if whole.is_fully_addressable:
        return Program(
            place=lambda state: jax.device_put(copy(state), sharding),
            step=lambda state, tokens_RSBL, n: jitted(state, jax.device_put(tokens_RSBL[0], split), n),
            fetch=lambda state, r=0: jax.device_put(state, devices[0]),
            jitted=jitted,
        )
    gather = jax.jit(lambda state: state, out_shardings=whole)
    return Program(  # several hosts: each puts what lies on its own devices
        place=lambda state: jax.tree.map(own_part, jax.tree.broadcast(sharding, state), state),
        step=lambda state, tokens_RSBL, n: jitted(state, own_part(split, tokens_RSBL[0]), n),
        fetch=lambda state, r=0: jax.tree.map(lambda leaf: leaf.addressable_data(0), gather(state)),
        jitted=jitted,
    )


def split_steps(shape: Shape, mesh: jax.sharding.Mesh) -> Callable:
    """Updates with the batch cut over the devices and gradients averaged once an update, after
    the last micro-batch; left to the compiler they are averaged at each."""
    shape = replace(shape, micro_batch=shape.micro_batch // mesh.size)
    mean = partial(jax.lax.pmean, axis_name="data")
    every, split = PartitionSpec(), PartitionSpec(None, "data")
    return jax.shard_map(
        partial(step.train_steps, shape, mean=mean),
        mesh=mesh,
        in_specs=(every, split, every),
        out_specs=every,
        check_vma=False,
    )


def cut_steps(shape: Shape, sharding: TrainState) -> Callable:
    """Updates of a state cut over the devices: the compiler sends the weights where they are used,
    and each gradient ends where its weight lies, so that no more of it is kept."""

    def constrain(loss_and_grads):
        loss, grads = loss_and_grads
        return loss, jax.lax.with_sharding_constraint(grads, sharding.params)

    return partial(step.train_steps, shape, mean=constrain)


def state_shards(shape: Shape, mesh: jax.sharding.Mesh) -> TrainState:
    """Where a state lies under "fsdp": a tree of shardings, a prefix of the state's. What the
    optimiser keeps of a weight lies where the weight does, if it has its shape; all else, scalars and
    the sums of rows and columns that Adafactor keeps, lies on every device.

    This is ZeRO's third stage (Rajbhandari et al. 2020, section 5): each device keeps 1/n of the
    weights and of the optimiser's state, is sent the others' weights when it multiplies with them,
    and keeps its own part of the summed gradient."""
    whole = NamedSharding(mesh, PartitionSpec())
    like = jax.eval_shape(partial(step.init_state, shape, hyper={}), jax.random.key(0))
    weights = {weight.path: weight for weight in tree.describe(shape.model)}

    def shard(path, leaf):
        keys = names(path)
        weight = next((weights[keys[i:]] for i in range(len(keys)) if keys[i:] in weights), None)
        if weight is None or weight.shape != leaf.shape:
            return whole
        return NamedSharding(mesh, shard_of(weight.role, weight.shape, mesh.size))

    params, opt_state = (
        jax.tree_util.tree_map_with_path(shard, part) for part in (like.params, like.opt_state)
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


def over_replicas(shape: Shape, devices: Sequence[jax.Device]) -> Program:
    n_device = len(devices)
    of_device = replace(shape, micro_batch=shape.micro_batch // n_device)
    mean = partial(jax.lax.pmean, axis_name="data")
    steps = jax.pmap(
        lambda state, tokens_SBL, n: step.train_steps(of_device, state, tokens_SBL, n, mean),
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

    return Program(replicate, split, first)


# --- several runs --------------------------------------------------------------------------


@cache
def compile_pack(shape: Shape, devices: tuple[jax.Device, ...], each: int) -> Program:
    """The training program of `each` runs on every device: `vmap` over the runs of a device, and
    devices that never talk (the mesh axis "run"). No number of one run enters another's; runs agree
    with themselves trained alone to float error. States are stacked, (R, ...)."""
    R = each * len(devices)
    shape = replace(shape, micro_batch=step.micro_batch(shape))
    mesh = jax.sharding.Mesh(np.array(devices), ("run",), axis_types=(AxisType.Auto,))
    run, every = PartitionSpec("run"), PartitionSpec()
    by_run, whole = NamedSharding(mesh, run), NamedSharding(mesh, every)
    steps = jax.vmap(partial(step.train_steps, shape), in_axes=(0, 0, None))
    score = partial(step.eval_step, shape.model, objective=shape.objective)
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
