"""How a weight is declared: its shape, its role and where it starts. `tree.init` draws the numbers."""

from math import prod
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from lab.config import ModelConfig
from lab.models.parameterization import PARAMETERIZATIONS, Parameterization

Params = dict
ROLES = ("embed", "hidden", "readout", "gain")


class Weight(NamedTuple):
    """One leaf of the parameter tree."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    role: str  # embed, hidden, readout or gain
    mean: float  # of the initial values ...
    std: float  # ... which are normal
    tied: bool = False  # a table that is the readout, too
    share: float = 1.0  # of it that a token is multiplied with: less than all of a mixture's experts
    tensor: int | None = None  # the axis along which several devices may share its product

    @property
    def size(self) -> int:
        return prod(self.shape)


def parameterization(cfg: ModelConfig) -> Parameterization:
    return PARAMETERIZATIONS[cfg.parameterization]


def matrix(
    cfg: ModelConfig,
    role: str,
    shape: tuple[int, ...],
    fan_in: int,
    scale: float = 1.0,
    share: float = 1.0,
    tensor: int | None = None,
) -> nnx.Param:
    """A normal weight; the parameterization alone says what a role and a width imply. A token is multiplied
    with a `share` of it. Devices that share a layer's products (`--tensor`) cut it along the axis `tensor`:
    the outputs of a layer's first matrices, the inputs of its last (Shoeybi et al. 2019, section 3)."""
    std = scale * parameterization(cfg).init_std(role, fan_in)
    return nnx.Param(jnp.zeros(shape), role=role, mean=0.0, std=std, share=share, tensor=tensor)


def vector(width: int, start: float) -> nnx.Param:
    """A gain or a bias, the same everywhere at the start."""
    return nnx.Param(jnp.zeros(width), role="gain", mean=start, std=0.0, share=1.0, tensor=None)
