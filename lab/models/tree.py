"""Any model behind `init`, `apply`, `nats` and `describe`.

Nothing outside this package knows flax.nnx: parameters are a plain nested dict of arrays.
"""

from functools import cache, reduce
from math import prod
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from lab import userfile
from lab.config import ModelConfig
from lab.models.ends import LanguageModel
from lab.models.recurrent import Recurrent
from lab.models.transformer import Transformer

Params = dict
FAMILIES = {"transformer": Transformer, "lstm": Recurrent, "gru": Recurrent}  # by kind


class Weight(NamedTuple):
    """One leaf of the parameter tree."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    role: str  # embed, hidden, readout or gain
    mean: float  # of the initial values ...
    std: float  # ... which are normal

    @property
    def size(self) -> int:
        return prod(self.shape)


def init(cfg: ModelConfig, key: jax.Array) -> Params:
    """A parameter tree: nested dicts of float32 arrays, from one draw of normal numbers."""
    return from_normal(cfg, jax.random.normal(key, (n_weights(cfg),)))


def n_weights(cfg: ModelConfig) -> int:
    return sum(weight.size for weight in describe(cfg))


def from_normal(cfg: ModelConfig, normal: jax.Array | np.ndarray) -> Params:
    """The initial parameters made of `n_weights` normal numbers, in the same kind of array."""
    params: Params = {}
    end = 0
    for weight in describe(cfg):
        begin, end = end, end + weight.size
        *parents, name = weight.path
        leaves = reduce(lambda node, key: node.setdefault(key, {}), parents, params)
        leaves[name] = weight.mean + weight.std * normal[begin:end].reshape(weight.shape)
    return params


def apply(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """Logits (B, L, V), float32; position l sees tokens 0..l only."""
    return bind(cfg, params)(tokens_BL)


def nats(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """Cross-entropy of each token but the first given those before it, (B, L - 1), float32."""
    return bind(cfg, params)(tokens_BL[:, :-1], tokens_BL[:, 1:])


def bind(cfg: ModelConfig, params: Params) -> LanguageModel:
    graph, state = abstract(cfg)
    state = jax.tree.map(lambda leaf: leaf, state)  # a copy: the cached one stays as it is
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state)


@cache
def abstract(cfg: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
    family = userfile.load(cfg.kind) if cfg.is_own else FAMILIES[cfg.kind]
    return nnx.split(nnx.eval_shape(lambda: family(cfg)), nnx.Param)


@cache
def describe(cfg: ModelConfig) -> tuple[Weight, ...]:
    """Every weight's path, shape and role, in the order of the tree's leaves. Allocates nothing."""
    flat = nnx.to_flat_state(abstract(cfg)[1])
    return tuple(
        Weight(
            path=tuple(map(str, path)),
            shape=tuple(leaf.shape),
            **{name: leaf.get_metadata(name) for name in ("role", "mean", "std")},
        )
        for path, leaf in sorted(flat, key=lambda item: item[0])
    )
