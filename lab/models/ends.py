"""What every model has around its layers: the table of its tokens and the readout."""

from collections.abc import Callable

import jax
from flax import nnx

from lab.config import ModelConfig
from lab.models import ops
from lab.models.weight import matrix, parameterization


class LanguageModel(nnx.Module):
    """Token ids (B, L) -> logits (B, L, V), or the nats of each target (B, L), in float32. A family
    adds its layers, unrolled (a scan is slower on CPU), and `features`."""

    time_first = False  # whether `features` takes (L, B) and gives (L, B, D)

    def __init__(self, cfg: ModelConfig, layer: Callable[[ModelConfig], nnx.Module], name: str):
        D, V = cfg.d_model, cfg.vocab_size
        self.cfg, self.readout_scale = cfg, parameterization(cfg).readout_scale(D)
        self.embed_VD = matrix(cfg, "embed", (V, D), fan_in=D)
        if not cfg.tied:
            self.readout_DV = matrix(cfg, "readout", (D, V), fan_in=D)
        self.names = tuple(f"{name}_{index:02d}" for index in range(cfg.n_layer))
        for each in self.names:
            setattr(self, each, layer(cfg))

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        """What the readout multiplies, (B, L, D): position l sees tokens 0..l only."""
        raise NotImplementedError

    def layers(self, x_BLD: jax.Array) -> jax.Array:
        for name in self.names:
            layer = getattr(self, name)
            x_BLD = (jax.checkpoint(layer) if self.cfg.remat else layer)(x_BLD)
        return x_BLD

    def __call__(self, tokens_BL: jax.Array, targets_BL: jax.Array | None = None) -> jax.Array:
        swap = (lambda x: x.swapaxes(0, 1)) if self.time_first else lambda x: x
        x_BLD = self.readout_scale * self.features(swap(tokens_BL))
        readout_DV = self.embed_VD[...].T if self.cfg.tied else self.readout_DV[...]
        if targets_BL is None:
            return swap(ops.matmul(x_BLD, readout_DV, self.cfg.dtype))
        return swap(ops.cross_entropy(x_BLD, readout_DV, swap(targets_BL), self.cfg.dtype))
