"""An encoder and a decoder (Raffel et al. 2020): the first reads the beginning of a window from both sides,
the second tells what follows, token after token, from what it told and from all that the first made of it.

The last token that is read is the decoder's first. Where they part at one place of all windows, neither
computes what belongs to the other; where each window parts at a place of its own (`prefix`), both go over
all of it, and masks hide what is the other's.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.data.batches import spans_of
from lab.models import attention, ops, transformer
from lab.models.settings import settings
from lab.models.target import Target
from lab.models.transformer import Norm


@dataclass(frozen=True)
class Settings(transformer.Settings):
    """What an encoder and a decoder can be told; the rest as of a Transformer."""

    # S, tokens of a window that the encoder reads; 0: the text of span corruption, or with `prefix` what the
    # objective gives of each
    source: int = 0
    encoder_layers: int = 0  # 0: n_layer, which are the decoder's


def checked_settings(cfg: ModelConfig) -> Settings:
    """Its settings, with numbers in the place of zeros.

    Raises:
      ValueError: they make no sense.
    """
    own = settings(cfg, Settings)
    if own.window or not own.causal:
        raise ValueError("causal and window are of a decoder alone; the encoder looks both ways anyway")
    if own.prefix and own.source:
        raise ValueError(f"source={own.source} of all windows, and prefix=True parts each elsewhere")
    own = replace(own, encoder_layers=own.encoder_layers or cfg.n_layer)
    if not (own.prefix or own.source):
        length, noise, spans = spans_of(cfg.seq_len)
        own = replace(own, source=length - noise + spans)
    if not (own.prefix or 0 < own.source <= cfg.seq_len) or own.encoder_layers < 1:
        raise ValueError(
            f"source={own.source} tokens of seq_len={cfg.seq_len}, encoder_layers={own.encoder_layers}: an "
            "encoder has a layer or more and reads from one token to all"
        )
    return own


class Telling(transformer.Attention):
    """Of what is told, to what was told before it: from the last token that was read on."""

    def seen(self, L: int, prefix_B: jax.Array | None) -> jax.Array | np.ndarray:
        seen_LM = attention.before(L)
        if prefix_B is None:
            return seen_LM
        return seen_LM & (~attention.beginning(L, prefix_B - 1) | np.eye(L, dtype=bool))  # none sees nothing


class Cross(transformer.Attention):
    """Attention of what is told to all that was read, whatever its place."""

    def __call__(self, x_BTD: jax.Array, read_BSD: jax.Array, prefix_B: jax.Array | None = None) -> jax.Array:
        heads = self.heads(x_BTD, read_BSD, rotated=False)
        seen = None if prefix_B is None else attention.beginning(read_BSD.shape[1], prefix_B)
        return self.joined(
            attention.attend_near(*heads, self.logit_scale, self.on, self.own.attention_cap, seen)
        )


class Block(transformer.Block):
    """Of the decoder: attention to what was told, to what was read, and feed-forward."""

    attend = Telling

    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on)
        self.norm3, self.cross = Norm(cfg), Cross(cfg, on)
        if self.own.norms == "sandwich":
            self.after3 = Norm(cfg)

    def __call__(self, x_BTD: jax.Array, read_BSD: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        x_BTD = self.mixed(x_BTD, *prefix_B)
        out_BTD = self.cross(self.given(x_BTD, self.norm3), read_BSD, *prefix_B)
        out_BTD = self.after3(out_BTD) if hasattr(self, "after3") else out_BTD
        x_BTD = ops.join_gradients(x_BTD + out_BTD, self.on)
        return self.fed(x_BTD, self.ffn(self.given(x_BTD, self.norm2)))


class EncoderDecoder(transformer.Transformer):
    """Position l sees tokens 0..l from the last that is read on. Before, where all windows part alike, it
    tells nothing: logits and nats of 0."""

    Settings, block = Settings, Block

    def __init__(self, cfg: ModelConfig, on: Target):
        own = checked_settings(cfg)
        super().__init__(cfg, on)
        self.moves, self.first = own.prefix, max(0, own.source - 1)  # the place from which on tokens are told
        self.reading = tuple(f"encoder_{index:02d}" for index in range(own.encoder_layers))
        both = (json.loads(cfg.settings) if cfg.settings else {}) | {"causal": False, "prefix": False}
        encoder = replace(cfg, n_layer=own.encoder_layers, settings=both)
        for name in self.reading:
            setattr(self, name, transformer.Block(encoder, on))
        self.norm_read = Norm(cfg)

    def scanned(self) -> list[tuple[str, ...]]:
        return [self.names, self.reading]

    @staticmethod
    def source(cfg: ModelConfig) -> int:
        return checked_settings(cfg).source

    @staticmethod
    def unseen(cfg: ModelConfig) -> float:
        """Attention of the decoder to what it has not told yet, and where windows part anywhere, to what is
        not read, and of the decoder to what is."""
        own, L, layers = checked_settings(cfg), cfg.seq_len, cfg.n_layer
        T = L - own.source + 1
        pairs = layers * T * (T - 1) / 2
        if own.prefix:  # a beginning of 1 to L tokens, each as often
            pairs = (layers + own.encoder_layers) * L * (L - 1) / 2
            pairs += layers * (L * L - (L + 1) * (L + 2) / 6 - (L - 1) / 2)
        return 4 * cfg.d_model * pairs

    def encoded(self, tokens_BL: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        """What the encoder makes of what it reads, (B, S, D)."""
        return self.norm_read(self.through(self.embedded(tokens_BL), *prefix_B, names=self.reading)[0])

    def states(self, tokens_BL: jax.Array) -> jax.Array:
        return self.encoded(tokens_BL, *((jnp.full(len(tokens_BL), tokens_BL.shape[1]),) * self.moves))

    def features(self, tokens_BL: jax.Array, *prefix_B: jax.Array) -> jax.Array:
        """(B, T, D), of the T positions that are told from; where windows part anywhere of all, parted after
        the first token unless it is said."""
        if self.moves and not prefix_B:
            prefix_B = (jnp.ones(len(tokens_BL), int),)
        begin_BS = tokens_BL if self.moves else tokens_BL[:, : self.first + 1]
        read_BSD = self.encoded(begin_BS, *prefix_B)
        told_BTD = self.embedded(tokens_BL[:, self.first :], self.first)
        return self.norm(self.through(told_BTD, read_BSD, *prefix_B)[0])

    def __call__(self, tokens_BL: jax.Array, prefix_B: jax.Array | None = None) -> jax.Array:
        return jnp.pad(super().__call__(tokens_BL, prefix_B), ((0, 0), (self.first, 0), (0, 0)))

    def losses(
        self, tokens_BL: jax.Array, targets_BL: jax.Array, prefix_B: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        nats_BT, extra = super().losses(tokens_BL, targets_BL[:, self.first :], prefix_B)
        return jnp.pad(nats_BT, ((0, 0), (self.first, 0))), extra
