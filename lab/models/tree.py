"""Any model behind `init`, `apply`, `nats` and `describe`.

Nothing outside this package knows flax.nnx: parameters are a plain nested dict of arrays.
"""

from functools import cache, reduce
from typing import Any

import jax
import numpy as np
from flax import nnx

from lab.config import ModelConfig
from lab.data.batches import shift
from lab.models import own
from lab.models.encoder_decoder import EncoderDecoder
from lab.models.ends import LanguageModel
from lab.models.hgrn import Hgrn
from lab.models.megabyte import MegaByte, local
from lab.models.mixer import Mixer
from lab.models.moe import Mixture
from lab.models.recurrent import Recurrent
from lab.models.settings import check_settings
from lab.models.target import Target, here
from lab.models.transformer import Transformer
from lab.models.weight import Params, Weight

FAMILIES = {  # by kind
    "transformer": Transformer,
    "lstm": Recurrent,
    "gru": Recurrent,
    "moe": Mixture,
    "hgrn": Hgrn,
    "mixer": Mixer,
    "megabyte": MegaByte,
    "encoder_decoder": EncoderDecoder,
}


def init(cfg: ModelConfig, key: jax.Array) -> Params:
    """A parameter tree: nested dicts of float32 arrays, from one draw of normal numbers, or as a model
    of the user's own begins."""
    if cfg.is_own:
        return own.init(cfg, key)
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


def apply(
    cfg: ModelConfig,
    params: Params,
    tokens_BL: jax.Array,
    on: Target | None = None,
    prefix_B: jax.Array | None = None,
) -> jax.Array:
    """Logits (B, L, V), float32; position l sees tokens 0..l only, where the model is causal, and where it
    takes a prefix the first `prefix_B` tokens, too."""
    if cfg.is_own:
        return own.logits(cfg, params, tokens_BL)[0]
    return bind(cfg, params, on)(tokens_BL, prefix_B)


def nats(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """Cross-entropy of each token but the first given those before it, (B, L - 1), float32."""
    return losses(cfg, params, *shift(tokens_BL))[0]


def losses(
    cfg: ModelConfig,
    params: Params,
    inputs_BL: jax.Array,
    targets_BL: jax.Array,
    on: Target | None = None,
    prefix_B: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """The nats of each target, and what training adds to their mean: None where that is nothing. `prefix_B`
    as of `apply`."""
    if cfg.is_own:
        return own.losses(cfg, params, inputs_BL, targets_BL)
    return bind(cfg, params, on).losses(inputs_BL, targets_BL, prefix_B)


def states(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> jax.Array:
    """What a model makes of each token of a text that it reads, (B, L, D): an encoder's output, where it has
    one, and else what the readout multiplies.

    Raises:
      ValueError: a model of the user's own gives logits alone.
    """
    if cfg.is_own:
        raise ValueError(f"{cfg.name} gives logits alone: its states can't be asked")
    return bind(cfg, params).states(tokens_BL)


def bind(cfg: ModelConfig, params: Params, on: Target | None = None) -> LanguageModel:
    """The model with its weights, plain or in stacks, in the form it takes on a target: the devices that
    are here where none is said."""
    graph, state = abstract(cfg, (on or here()).of_model(cfg))
    state = jax.tree.map(lambda leaf: leaf, state)  # a copy: the cached one stays as it is
    plain = {name: part for name, part in params.items() if name in state}
    nnx.replace_by_pure_dict(state, plain)
    model = nnx.merge(graph, state)
    vars(model)["stacks"] = {name: part for name, part in params.items() if name not in plain}
    return model


@cache
def abstract(cfg: ModelConfig, on: Target) -> tuple[nnx.GraphDef, nnx.State]:
    family = FAMILIES[cfg.kind]
    check_settings(cfg, family.Settings)
    return nnx.split(nnx.eval_shape(lambda: family(cfg, on)), nnx.Param)


def width(cfg: ModelConfig, weight: Weight) -> int:
    """Of the stream that a weight is beside: inside a MegaByte's patch it is another."""
    inside = cfg.kind == "megabyte" and weight.path[0].startswith("local_")
    return local(cfg).d_model if inside else cfg.d_model


def is_causal(cfg: ModelConfig) -> bool:
    """Whether a position sees nothing of what comes after it, as its kind says."""
    return own.is_causal(cfg) if cfg.is_own else FAMILIES[cfg.kind].is_causal(cfg)


def keys(cfg: ModelConfig) -> float:
    """How many keys a position's attention meets, on average; causal: l + 1 at position l."""
    if not cfg.is_own:
        return FAMILIES[cfg.kind].keys(cfg)
    return (cfg.seq_len + 1) / 2 if own.is_causal(cfg) else cfg.seq_len


def unseen(cfg: ModelConfig) -> float | None:
    """FLOPs of the forward pass of a sequence that a mask throws away, where the kind of model says it."""
    return None if cfg.is_own else FAMILIES[cfg.kind].unseen(cfg)


def source(cfg: ModelConfig) -> int:
    """How many inputs of a window a model reads before it tells any token; 0 where it tells all."""
    return 0 if cfg.is_own else FAMILIES[cfg.kind].source(cfg)


def takes_prefix(cfg: ModelConfig) -> bool:
    """Whether it may be told how many first inputs of each window it reads from both sides."""
    return not cfg.is_own and FAMILIES[cfg.kind].takes_prefix(cfg)


@cache
def describe(cfg: ModelConfig) -> tuple[Weight, ...]:
    """Every weight's path, shape and role, in the order of the tree's leaves. Allocates nothing."""
    if cfg.is_own:
        return own.describe(cfg)
    flat = nnx.to_flat_state(abstract(cfg, Target("cpu"))[1])
    return tuple(
        Weight(
            path=tuple(map(str, path)),
            shape=tuple(leaf.shape),
            **{name: leaf.get_metadata(name) for name in ("role", "mean", "std", "share", "tensor")},
            tied=cfg.tied and path == ("embed_VD",),
        )
        for path, leaf in sorted(flat, key=lambda item: item[0])
    )
