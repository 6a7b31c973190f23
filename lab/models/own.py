"""A model of the user's own behind the lab's face: FILE.py:NAME, where NAME is

- an nnx module: `NAME(cfg, rngs)`, called with token ids (B, L), gives logits (B, L, V); or
- anything with two functions: `init(cfg, key)` gives nested dicts of arrays, `apply(cfg, params,
  tokens_BL)` gives logits: a plain function, linen and equinox enter by it.

It may give (logits, extra) instead: what training adds to the loss, in nats, a mean over sequences. And it
may say, as attributes: `Settings` (a frozen dataclass, see `settings`), `uses` (which of tied, dtype and
remat it heeds), `roles` (by a word of a weight's path: embed, hidden, readout or gain) and `causal` (False
where a position sees what comes after it).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import isclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lab.config import ModelConfig, userfile
from lab.models import ops, traced
from lab.models.parameterization import STANDARD
from lab.models.settings import check_settings
from lab.models.weight import ROLES, Params, Weight, parameterization

SHARED = {
    "tied": False,
    "dtype": "float32",
    "remat": False,
}  # fields that a model may heed, by their defaults


@dataclass(frozen=True)
class Own:
    """What the file brought."""

    init: Callable[[ModelConfig, jax.Array], Params]
    apply: Callable[[ModelConfig, Params, jax.Array], Any]
    roles: Mapping[str, str]
    causal: bool = True


@cache
def own_model(cfg: ModelConfig) -> Own:
    """The user's model, whose words about itself fit the config.

    Raises:
      ValueError: it is no model, or ignores what the config asks of it.
    """
    brought = userfile.load(cfg.kind)
    check_settings(cfg, getattr(brought, "Settings", None))
    uses, roles = getattr(brought, "uses", ()), getattr(brought, "roles", {})
    causal = bool(getattr(brought, "causal", True))
    for name, default in SHARED.items():
        if getattr(cfg, name) != default and name not in uses:
            raise ValueError(
                f"{name}={getattr(cfg, name)!r}, and {cfg.kind} does not say that it heeds it: give it "
                f"`uses = ({name!r},)` once it does, or leave it at {default!r}"
            )
    if wrong := [role for role in roles.values() if role not in ROLES]:
        raise ValueError(f"{cfg.kind}: {wrong[0]!r} in its roles is none of {', '.join(ROLES)}")
    if isclass(brought) and issubclass(brought, nnx.Module):
        return Own(*of_module(brought), roles, causal)
    if not all(callable(getattr(brought, name, None)) for name in ("init", "apply")):
        raise ValueError(
            f"{cfg.kind} is neither an nnx module nor something with init(cfg, key) and "
            "apply(cfg, params, tokens_BL): see docs/extend.md"
        )
    return Own(brought.init, brought.apply, roles, causal)


def is_causal(cfg: ModelConfig) -> bool:
    return own_model(cfg).causal


def of_module(kind: type[nnx.Module]) -> tuple[Callable, Callable]:
    """`init` and `apply` of an nnx module."""

    @cache
    def parts(cfg: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
        graph, weights, rest = nnx.split(nnx.eval_shape(lambda: kind(cfg, nnx.Rngs(0))), nnx.Param, ...)
        if jax.tree.leaves(rest):
            names = ", ".join(map(str, nnx.to_pure_dict(rest)))
            raise ValueError(
                f"{cfg.kind} keeps more than weights ({names}): dropout's keys and batch statistics have no "
                "place in a run"
            )
        return graph, weights

    def init(cfg: ModelConfig, key: jax.Array) -> Params:
        return with_text_keys(nnx.to_pure_dict(nnx.state(kind(cfg, nnx.Rngs(key)), nnx.Param)))

    def apply(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> Any:
        graph, weights = parts(cfg)
        weights = jax.tree.map(lambda leaf: leaf, weights)  # a copy: the cached one stays as it is
        nnx.replace_by_pure_dict(weights, nnx.restore_int_paths(params))
        return nnx.merge(graph, weights)(tokens_BL)

    return init, apply


def with_text_keys(tree: Any) -> Any:
    """Lists of modules have numbers for keys, which checkpoints keep as texts."""
    return {str(k): with_text_keys(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def init(cfg: ModelConfig, key: jax.Array) -> Params:
    """The model's own initial weights. Under muP each is multiplied with what its role's exponents make of
    the width, over the standard: the model's own scales are taken to be right at width 64."""
    params = own_model(cfg).init(cfg, key)
    leaves, structure = jax.tree.flatten(params)
    flat = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in flat:
        if not all(isinstance(part, jax.tree_util.DictKey) and isinstance(part.key, str) for part in path):
            raise ValueError(
                f"{cfg.kind}: a weight lies at {jax.tree_util.keystr(path)}; checkpoints keep nested dicts "
                "with texts for keys"
            )
        if leaf.dtype != jnp.float32:
            raise ValueError(f"{cfg.kind}: {jax.tree_util.keystr(path)} is {leaf.dtype}; weights are float32")
    if not leaves:
        raise ValueError(f"{cfg.kind} has no weights")
    if cfg.parameterization != "standard":
        leaves = [scale_of(cfg, w.role) * leaf for w, leaf in zip(describe(cfg), leaves, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def scale_of(cfg: ModelConfig, role: str) -> float:
    D = cfg.d_model
    return 1.0 if role == "gain" else parameterization(cfg).init_std(role, D) / STANDARD.init_std(role, D)


def logits(cfg: ModelConfig, params: Params, tokens_BL: jax.Array) -> tuple[jax.Array, Any]:
    """Logits (B, L, V) in float32, and what training adds to the loss, None where that is nothing."""
    made = own_model(cfg).apply(cfg, params, tokens_BL)
    logits_BLV, extra = made if isinstance(made, tuple) else (made, None)
    wanted = (*tokens_BL.shape, cfg.vocab_size)
    if getattr(logits_BLV, "shape", None) != wanted:
        raise ValueError(
            f"{cfg.kind} gives {getattr(logits_BLV, 'shape', type(logits_BLV).__name__)} of token ids "
            f"{tokens_BL.shape}; logits are (B, L, V) = {wanted}"
        )
    if extra is not None and jnp.shape(extra) != ():
        raise ValueError(f"{cfg.kind}: the extra loss is {jnp.shape(extra)}; it is one number, a mean")
    scale = parameterization(cfg).readout_scale(cfg.d_model)
    logits_BLV = logits_BLV.astype(jnp.float32)
    return logits_BLV if scale == 1 else scale * logits_BLV, extra


def losses(
    cfg: ModelConfig, params: Params, inputs_BL: jax.Array, targets_BL: jax.Array
) -> tuple[jax.Array, Any]:
    """Nats of each target, (B, L), and what training adds."""
    logits_BLV, extra = logits(cfg, params, inputs_BL)
    nats_T = ops.row_nats(logits_BLV.reshape(-1, cfg.vocab_size), targets_BL.reshape(-1))
    return nats_T.reshape(targets_BL.shape), extra


@cache
def describe(cfg: ModelConfig) -> tuple[Weight, ...]:
    """Every weight with its role: as declared, else by shape and place. Vectors are gains; what makes the
    logits is the readout; what is looked up, or as long as the context and only added, a table; other
    matrices in products are hidden."""
    own, standard = own_model(cfg), dataclasses.replace(cfg, parameterization="standard")
    params = jax.eval_shape(lambda: own.init(cfg, jax.random.key(0)))
    tokens = jax.ShapeDtypeStruct((1, cfg.seq_len), jnp.int32)
    program = jax.make_jaxpr(lambda p, t: logits(standard, p, t)[0])(params, tokens).jaxpr
    uses = traced.uses(program, cfg.seq_len * cfg.vocab_size)
    weights = []
    for number, (path, leaf) in enumerate(jax.tree_util.tree_leaves_with_path(params)):
        names = tuple(part.key for part in path)
        role = next((role for word, role in own.roles.items() if word in names), None)
        role = role or role_of(number, leaf.shape, uses, cfg)
        tied = role == "embed" and number in uses.last
        weights.append(Weight(names, tuple(leaf.shape), role, 0.0, np.nan, tied))
    return tuple(weights)


def role_of(number: int, shape: tuple[int, ...], uses: Any, cfg: ModelConfig) -> str:
    if sum(width > 1 for width in shape) < 2 and cfg.vocab_size not in shape:
        return "gain"
    if number in uses.looked_up:
        return "embed"
    if number in uses.multiplied:
        return "readout" if number in uses.last else "hidden"
    return "embed" if cfg.seq_len in shape[:-1] else "gain"
