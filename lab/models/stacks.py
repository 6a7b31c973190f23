"""A state whose layers lie as one stack: what a scan runs through, and an optimiser updates at once.

Off CPU a program keeps its state so while it trains: the layers are not stacked anew at every update, and
neither what is compiled nor the time to compile it grows with their number. A stack stands in the tree of
weights in the place of its layers, "block_*" for block_00, block_01, ..., and so in all that an optimiser
keeps of each weight. Whatever is saved or read by others is the plain tree.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.models import tree
from lab.models.ends import STACK, stack_name
from lab.models.target import Target
from lab.models.weight import Weight


@cache
def groups(cfg: ModelConfig) -> dict[str, tuple[str, ...]]:
    """The layers that one scan runs through, in its order, by the name of their stack."""
    if cfg.is_own:
        return {}
    model = nnx.merge(*tree.abstract(cfg, Target("cpu")))
    return {stack_name(names): names for names in model.scanned() if len(names) > 1}


@cache
def describe(cfg: ModelConfig) -> dict[tuple[str, ...], Weight]:
    """Every weight by its path; of a stack, that of one layer."""
    weights = {weight.path: weight for weight in tree.describe(cfg)}
    first = {
        (key, *path[1:]): weights[path]
        for key, names in groups(cfg).items()
        for path in weights
        if path[0] == names[0]
    }
    return weights | first


def holds(path: tuple) -> bool:
    """Whether a leaf's place in a state is in a stack."""
    return any(isinstance(part, jax.tree_util.DictKey) and str(part.key).endswith(STACK) for part in path)


def each_tree(has: str, state: Any, change: Callable[[dict], dict]) -> Any:
    """`state` with each dict in it that holds `has` changed."""
    found = lambda node: isinstance(node, dict) and has in node  # noqa: E731
    return jax.tree.map(lambda node: change(node) if found(node) else node, state, is_leaf=found)


def stack(cfg: ModelConfig, state: Any) -> Any:
    """A tree of weights, or a state that holds such trees, with its layers stacked, (n, ...): on this host
    where its arrays lie there."""

    def together(*leaves: Any) -> Any:
        return (np if all(isinstance(leaf, np.ndarray) for leaf in leaves) else jnp).stack(leaves)

    for key, names in groups(cfg).items():
        state = each_tree(
            names[0],
            state,
            lambda node, key=key, names=names: {
                **{name: part for name, part in node.items() if name not in names},
                key: jax.tree.map(together, *(node[name] for name in names)),
            },
        )
    return state


def unstack(cfg: ModelConfig, state: Any) -> Any:
    """The plain tree again; of arrays on this host, views."""
    for key, names in groups(cfg).items():
        state = each_tree(
            key,
            state,
            lambda node, key=key, names=names: {
                **{name: part for name, part in node.items() if name != key},
                **{name: jax.tree.map(lambda leaf, i=i: leaf[i], node[key]) for i, name in enumerate(names)},
            },
        )
    return state
