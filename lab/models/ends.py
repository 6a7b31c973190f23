"""What every model has around its layers: the table of its tokens and the readout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lab.config import ModelConfig
from lab.models import ops
from lab.models.target import Target
from lab.models.weight import matrix, parameterization

STACK = "_*"  # how the name of a stack of layers ends


def stack_name(names: Sequence[str]) -> str:
    """What the stack of some layers is called: "block_*" of block_00, block_01, ..."""
    return names[0].rpartition("_")[0] + STACK


class LanguageModel(nnx.Module):
    """Token ids (B, L) -> logits (B, L, V), or the nats of each target (B, L), in float32. A family
    adds its layers and `features`."""

    time_first = False  # whether `features` takes (L, B) and gives (L, B, D)
    Settings = None  # the dataclass of what its kind can be told, if it can
    stacks: Mapping[str, Any] = {}  # of its layers' weights, where a program keeps them so
    cap = 0.0  # of logits, softly: c tanh(x / c); 0 is none
    z_loss = 0.0  # what the square of log(sum of exp(logits)) weighs in training

    @staticmethod
    def is_causal(cfg: ModelConfig) -> bool:
        """Whether a position sees nothing of what comes after it."""
        return True

    @staticmethod
    def keys(cfg: ModelConfig) -> float:
        """How many keys a position's attention meets, on average."""
        return (cfg.seq_len + 1) / 2

    @staticmethod
    def unseen(cfg: ModelConfig) -> float | None:
        """FLOPs of products in the forward pass of a sequence that a mask throws away; None where `keys` and
        the square of the length say it."""
        return None

    @staticmethod
    def source(cfg: ModelConfig) -> int:
        """How many inputs of a window it reads before it tells any token; 0 where it tells all."""
        return 0

    @staticmethod
    def takes_prefix(cfg: ModelConfig) -> bool:
        """Whether it may be told how many first inputs of each window it reads from both sides."""
        return False

    def __init__(
        self, cfg: ModelConfig, on: Target, layer: Callable[[ModelConfig, Target], nnx.Module], name: str
    ):
        D, V = cfg.d_model, cfg.vocab_size
        self.cfg, self.on, self.readout_scale = cfg, on, parameterization(cfg).readout_scale(D)
        self.embed_VD = matrix(cfg, "embed", (V, D), fan_in=D, tensor=0)
        if not cfg.tied:
            self.readout_DV = matrix(cfg, "readout", (D, V), fan_in=D, tensor=1)
        self.names = tuple(f"{name}_{index:02d}" for index in range(cfg.n_layer))
        for each in self.names:
            setattr(self, each, layer(cfg, on))

    def features(self, tokens_BL: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        """What the readout multiplies, (B, L, D): position l sees tokens 0..l only; and what the layers
        add to the loss in training, where they do. A family that takes a prefix gets it, (B,), too."""
        raise NotImplementedError

    def scanned(self) -> list[tuple[str, ...]]:
        """The names of layers of one form that the stream goes `through` one after another."""
        return [self.names]

    def layers(self, x_BLD: jax.Array, *more: jax.Array) -> jax.Array:
        return self.through(x_BLD, *more)[0]

    def split(self, x_BLD: jax.Array) -> jax.Array:
        """Sequences on the devices on which they were, whatever lies where besides."""
        return self.on.split(x_BLD, 1 if self.time_first else 0)

    def through(
        self, x_BLD: jax.Array, *more: jax.Array, names: Sequence[str] = ()
    ) -> tuple[jax.Array, list[jax.Array]]:
        """The stream after all layers, or those of `names`, and what each says besides, if it does; each is
        given `more`, too.

        On CPU one layer after another; elsewhere one program of a layer that is run through a stack of their
        weights, made here unless the state is kept so (`models.stacks`), so that the time to compile does not
        grow with the depth. Of a layer is kept for the gradient what `on.remat` says."""
        names = names or self.names
        layers, extras = [getattr(self, name) for name in names], []
        if self.on.on_cpu or self.on.flat or len(layers) == 1:
            for layer in layers:
                out = self.on.checkpoint(layer)(self.split(x_BLD), *more)
                x_BLD, *besides = out if isinstance(out, tuple) else (out,)
                extras += besides
            return x_BLD, extras
        graph, state = nnx.split(layers[0])
        if kept := self.stacks.get(stack_name(names)):
            stack = jax.tree.map(lambda leaf: leaf, state)
            nnx.replace_by_pure_dict(stack, kept)
        else:
            stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(nnx.state, layers))

        def run_layer(x_BLD: jax.Array, state: nnx.State) -> tuple[jax.Array, tuple]:
            out = nnx.merge(graph, state)(self.split(x_BLD), *more)
            x_BLD, *besides = out if isinstance(out, tuple) else (out,)
            return x_BLD, tuple(besides)

        x_BLD, besides = jax.lax.scan(self.on.checkpoint(run_layer), x_BLD, stack)
        return x_BLD, [part[i] for part in besides for i in range(len(layers))]

    def read(
        self, tokens_BL: jax.Array, prefix_B: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, Any]:
        """What is multiplied for logits, as `features` lies, and what the layers add to the loss."""
        prefix = () if prefix_B is None else (prefix_B,)
        features = self.features(tokens_BL.swapaxes(0, 1) if self.time_first else tokens_BL, *prefix)
        x_BLD, extra = features if isinstance(features, tuple) else (features, None)
        x_BLD = self.readout_scale * self.split(x_BLD)
        return x_BLD, self.embed_VD[...].T if self.cfg.tied else self.readout_DV[...], extra

    def states(self, tokens_BL: jax.Array) -> jax.Array:
        """What it makes of each token of a text that it reads, (B, L, D): what the readout multiplies. Of a
        beginning that it may read from both sides, all of the text."""
        whole = (jnp.full(len(tokens_BL), tokens_BL.shape[1]),) * self.takes_prefix(self.cfg)
        features = self.features(tokens_BL.swapaxes(0, 1) if self.time_first else tokens_BL, *whole)
        x_BLD = features[0] if isinstance(features, tuple) else features
        return x_BLD.swapaxes(0, 1) if self.time_first else x_BLD

    def logits(self, x_BLD: jax.Array, readout_DV: jax.Array) -> jax.Array:
        logits_BLV = ops.matmul(x_BLD, readout_DV, self.on, kept=False)
        return self.cap * jnp.tanh(logits_BLV / self.cap) if self.cap else logits_BLV

    def __call__(self, tokens_BL: jax.Array, prefix_B: jax.Array | None = None) -> jax.Array:
        x_BLD, readout_DV, _ = self.read(tokens_BL, prefix_B)
        logits_BLV = self.logits(x_BLD, readout_DV)
        return logits_BLV.swapaxes(0, 1) if self.time_first else logits_BLV

    def losses(
        self, tokens_BL: jax.Array, targets_BL: jax.Array, prefix_B: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        """The nats of each target, and what training adds to their mean, None where that is nothing."""
        swap = (lambda x: x.swapaxes(0, 1)) if self.time_first else lambda x: x
        x_BLD, readout_DV, extra = self.read(tokens_BL, prefix_B)
        if not (self.cap or self.z_loss):
            time = 0 if self.time_first else 1
            return swap(ops.cross_entropy(x_BLD, readout_DV, swap(targets_BL), self.on, time)), extra
        logits_BLV = swap(self.logits(x_BLD, readout_DV))
        if self.z_loss:
            square = self.z_loss * jnp.square(jax.nn.logsumexp(logits_BLV, axis=-1)).mean()
            extra = square if extra is None else extra + square
        return ops.row_nats(logits_BLV, targets_BL), extra
