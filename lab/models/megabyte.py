"""MegaByte: a Transformer over patches tells a smaller one, patch by patch, what came before, and that one
tells the bytes of a patch from each other (Yu et al. 2023, section 2).

At position l of patch k the small one sees the tokens of its patch up to l, and through the large one all
patches before: a model's `d_model` and `n_layer` are the large one's. FLOPs count the few products of
attention inside a patch as the whole square.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from lab.config import ModelConfig
from lab.models import ops
from lab.models.ends import LanguageModel
from lab.models.parameterization import PARAMETERIZATIONS
from lab.models.settings import settings
from lab.models.target import Target
from lab.models.transformer import Block, Norm
from lab.models.weight import matrix


@dataclass(frozen=True)
class Settings:
    """What a MegaByte can be told."""

    patch: int = 4  # P, tokens in a patch
    local_width: int = 0  # S, of the model inside a patch; 0: half of d_model
    local_layers: int = 1  # of that model


def local(cfg: ModelConfig) -> ModelConfig:
    """The model inside a patch.

    Raises:
      ValueError: the settings make no such model.
    """
    own = settings(cfg, Settings)
    if own.patch < 2 or cfg.seq_len % own.patch:
        raise ValueError(
            f"patch={own.patch}: seq_len={cfg.seq_len} is no whole number of patches of 2 or more"
        )
    if min(own.local_width, own.local_layers - 1) < 0:
        raise ValueError(f"{own}: a patch needs a layer of some width")
    width = own.local_width or cfg.d_model // 2
    try:
        return replace(cfg, d_model=width, n_layer=own.local_layers, seq_len=own.patch, d_ff=0, settings="")
    except ValueError as error:
        raise ValueError(f"inside a patch: {error}; settings.local_width says another width") from error


class MegaByte(LanguageModel):
    """Tables, readout and `layers` are those of the model inside a patch."""

    Settings = Settings

    def __init__(self, cfg: ModelConfig, on: Target):
        inner, own = local(cfg), settings(cfg, Settings)
        super().__init__(inner, on, Block, "local")
        self.cfg, self.patch = cfg, own.patch
        self.readout_scale = PARAMETERIZATIONS[cfg.parameterization].readout_scale(cfg.d_model)
        P, S, D = own.patch, inner.d_model, cfg.d_model
        if cfg.position == "learned":
            self.position_LD = matrix(cfg, "embed", (cfg.seq_len, S), fan_in=S)
        self.w_patch_PSD = matrix(cfg, "hidden", (P, S, D), fan_in=P * S)
        self.large = tuple(f"global_{index:02d}" for index in range(cfg.n_layer))
        for name in self.large:
            setattr(self, name, Block(cfg, on))
        self.norm_large, self.norm = Norm(cfg), Norm(inner)
        self.w_context_DPS = matrix(cfg, "hidden", (D, P, S), fan_in=D)

    def scanned(self) -> list[tuple[str, ...]]:
        return [self.names, self.large]

    @staticmethod
    def keys(cfg: ModelConfig) -> float:
        """Of the large one, in tokens: k + 1 patches at patch k."""
        return (cfg.seq_len + settings(cfg, Settings).patch) / 2

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        (B, L), P = tokens_BL.shape, self.patch
        n = -(-L // P)  # patches; the last may be filled up, which nothing before it sees
        x_BLS = self.embed_VD[...][jnp.pad(tokens_BL, ((0, 0), (0, n * P - L)))]
        S = x_BLS.shape[-1]
        if self.cfg.position == "learned":
            x_BLS = x_BLS + self.position_LD[...][: n * P]
        w_patch, w_context = self.w_patch_PSD[...].reshape(P * S, -1), self.w_context_DPS[...]
        # patch k is told of those before it alone: the first of none
        before_BnD = ops.matmul(x_BLS.reshape(B, n, P * S), w_patch, self.on)
        before_BnD = jnp.pad(before_BnD[:, :-1], ((0, 0), (1, 0), (0, 0)))
        before_BnD, _ = self.through(before_BnD, names=self.large)
        context = ops.matmul(self.norm_large(before_BnD), w_context.reshape(-1, P * S), self.on)
        inside = self.layers((x_BLS + context.reshape(B, n * P, S)).reshape(B * n, P, S))
        return self.norm(inside.reshape(B, n * P, S)[:, :L])
