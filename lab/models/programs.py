"""The forward program of any model: its FLOPs, and what it makes.

Work that grows with the square of the length is causal attention, of which half is counted; two traces, at L
and at 2 L, tell it from the rest.
"""

import sys
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from lab.config import ModelConfig
from lab.models import traced, tree
from lab.models.target import Target

COUNTED = Target("cpu", flat=True)


def on_host() -> None:
    """A process that has no part of `lab.train` trains nothing: jax stays on its CPU there, and takes
    no accelerator's memory from the workers."""
    if "lab.train" not in sys.modules:
        jax.config.update("jax_platforms", "cpu")


def inputs(cfg: ModelConfig) -> tuple[tree.Params, jax.ShapeDtypeStruct]:
    """Weights and one sequence of tokens, by their shapes."""
    on_host()
    tokens = jax.ShapeDtypeStruct((1, cfg.seq_len), jnp.int32)
    return jax.eval_shape(lambda: tree.init(cfg, jax.random.key(0))), tokens


def program(cfg: ModelConfig) -> Any:
    """The traced forward pass of one sequence."""
    return jax.make_jaxpr(lambda p, t: tree.apply(cfg, p, t, COUNTED))(*inputs(cfg)).jaxpr


@cache
def forward(cfg: ModelConfig) -> traced.Work:
    try:
        return traced.work(program(cfg))
    except traced.Unknown as error:
        raise ValueError(f"{cfg.kind}: {error}") from error


@cache
def flops(cfg: ModelConfig, causal: bool = True) -> float:
    """FLOPs of the forward pass, per token."""
    L, here = cfg.seq_len, forward(cfg).products
    if (unseen := tree.unseen(cfg)) is not None:
        return (here - causal * unseen) / L
    longer = forward(replace(cfg, seq_len=2 * L)).products
    each = max(0.0, (longer - 2 * here) / (2 * L * L))  # attention's, for a key that a position meets
    return (here - each * L * L) / L + each * (tree.keys(cfg) if causal else L)


def compiler_gap(cfg: ModelConfig) -> float:
    """How far this count of the program is from XLA's, as a part of XLA's: products and what is counted
    once a number, loops as XLA counts them."""
    lowered = jax.jit(lambda p, t: tree.apply(cfg, p, t, COUNTED)).lower(*inputs(cfg))
    ours = traced.work(program(cfg), as_compiled=True)
    return (ours.products + ours.single) / lowered.cost_analysis()["flops"] - 1
