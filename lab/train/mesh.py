"""One run over a mesh of devices, and what a program is whatever the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lab.config import RunConfig, Shape
from lab.models import stacks
from lab.models.target import Target
from lab.train import step
from lab.train.layout import abstract, born, is_stacked, on_host, own_part, state_shards
from lab.train.step import TrainState

Way = Literal["jit", "mesh", "fsdp", "pmap"]


@dataclass(frozen=True)
class Program:
    """The compiled functions of one shape, for one run or for the R runs of a pack. They are the
    same whatever the way; they alone know how states lie on the devices while they are trained."""

    place: Callable[[TrainState], Any]  # a copy of a state, for each of the R runs
    step: Callable[[Any, np.ndarray, int], tuple[Any, dict[str, jax.Array]]]  # (states, tokens_RSBL, n)
    fetch: Callable[..., TrainState]  # (states, r=0): a run's plain state, good until the next step
    jitted: Any  # the step itself, which can be lowered and compiled without being run ...
    args: Callable[[], tuple]  # ... for what it takes: shapes, types and places, of which none is here
    put: Callable[[Any, int, TrainState], Any] | None = None  # of a pack: run r's state replaced
    evaluate: Callable[[Any, np.ndarray, np.ndarray], jax.Array] | None = None  # of a pack: all, (R, B)
    born: Callable[[RunConfig], Any] | None = None  # a run's first state, made where it lies
    score: Callable[[Any, np.ndarray, np.ndarray], jax.Array] | None = None  # of a spread run: (B,)
    parts: int = 1  # into which the batch is split


def over_mesh(shape: Shape, devices: Sequence[jax.Device], way: Way, on: Target, tensor: int) -> Program:
    """One run on many devices, of one host or of several: each puts what lies on its own."""
    grid, names = (np.array(devices), ("data",))
    if tensor > 1:
        grid, names = grid.reshape(-1, tensor), ("data", "tensor")
    mesh = jax.sharding.Mesh(grid, names, axis_types=(AxisType.Auto,) * len(names))
    whole, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), (None, "data")))
    of_batch = NamedSharding(mesh, PartitionSpec("data"))
    stacked = is_stacked(shape, on)
    sharding = state_shards(shape, mesh, stacked) if way == "fsdp" else whole
    on = replace(on, mesh=mesh) if way == "fsdp" else on
    steps = cut_steps(shape, sharding, on) if way == "fsdp" else split_steps(shape, mesh, on)
    jitted = jax.jit(steps, donate_argnums=0, out_shardings=(sharding, whole))
    score = partial(step.eval_step, shape.model, objective=shape.objective, on=on)
    if way == "mesh":
        every, cut = PartitionSpec(), PartitionSpec("data")
        score = jax.shard_map(score, mesh=mesh, in_specs=(every, cut, cut), out_specs=cut, check_vma=False)
    score = jax.jit(score, out_shardings=whole)
    one_host = whole.is_fully_addressable
    put = jax.device_put if one_host else lambda whole, sharding: own_part(sharding, whole)

    def place(state):
        if stacked:
            state = stacks.stack(shape.model, jax.tree.map(np.asarray, state))

        def put_leaf(leaf, sharding):
            own = jnp.copy(leaf) if isinstance(leaf, jax.Array) and one_host else leaf
            return put(own, sharding)

        return jax.tree.map(put_leaf, state, jax.tree.broadcast(sharding, state))

    def score_block(params, tokens, mask):
        nats_B = score(params, put(tokens, of_batch), put(mask, of_batch))
        # one call after another: two at once could meet in another order on another host
        return nats_B if len(devices) == 1 else jax.block_until_ready(nats_B)

    return Program(
        place=place,
        step=lambda state, tokens_RSBL, n: jitted(state, put(tokens_RSBL[0], split), n),
        fetch=fetched(shape, whole),
        jitted=jitted,
        args=partial(abstract, shape, sharding, split, whole, stacked=stacked),
        born=partial(born, shape=shape, mesh=mesh, stacked=stacked)
        if way == "fsdp" and not shape.model.is_own
        else None,
        score=score_block,
        parts=mesh.shape["data"],
    )


def fetched(shape: Shape, whole: NamedSharding) -> Callable[..., TrainState]:
    """A plain state in the host's memory, leaf by leaf and of a stack layer by layer: no device ever holds
    more than one of them whole for it, and of one host not even that."""
    gather = jax.jit(lambda leaf, i=None: leaf if i is None else leaf[i], out_shardings=whole)
    here = lambda *leaf: np.array(gather(*leaf).addressable_data(0))  # noqa: E731

    def whole_of(path, leaf):
        if whole.is_fully_addressable:
            return on_host(leaf)
        if stacks.holds(path):
            return np.stack([here(leaf, i) for i in range(len(leaf))])
        return here(leaf)

    def fetch(state, r=0):
        return stacks.unstack(shape.model, jax.tree_util.tree_map_with_path(whole_of, state))

    return fetch


def split_steps(shape: Shape, mesh: jax.sharding.Mesh, on: Target) -> Callable:
    """Updates with the batch cut over the devices and gradients averaged once an update, after
    the last micro-batch; left to the compiler they are averaged at each."""
    shape = replace(shape, micro_batch=shape.micro_batch // mesh.size)
    mean = partial(jax.lax.pmean, axis_name="data")
    every, split = PartitionSpec(), PartitionSpec(None, "data")
    return jax.shard_map(
        partial(step.train_steps, shape, mean=mean, on=on),
        mesh=mesh,
        in_specs=(every, split, every),
        out_specs=every,
        check_vma=False,
    )


def cut_steps(shape: Shape, sharding: TrainState, on: Target) -> Callable:
    """Updates of a state cut over the devices: the compiler sends the weights where they are used,
    and each gradient ends where its weight lies, so that no more of it is kept."""

    def constrain(loss_and_grads):
        loss, grads = loss_and_grads
        return loss, jax.lax.with_sharding_constraint(grads, sharding.params)

    return partial(step.train_steps, shape, mean=constrain, on=on)
