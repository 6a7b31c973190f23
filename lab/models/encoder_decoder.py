"""An encoder and a decoder (Raffel et al. 2020): the first reads the beginning of a window from both sides,
the second tells what follows, token after token, from what it told and from all that the first made of it.

The last token that is read is the decoder's first. Where the two part is the same for all windows, so neither
computes what belongs to the other.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from lab.config import ModelConfig
from lab.data.batches import spans_of
from lab.models import ops, transformer
from lab.models.settings import settings
from lab.models.target import Target
from lab.models.transformer import Norm


@dataclass(frozen=True)
class Settings(transformer.Settings):
    """What an encoder and a decoder can be told; the rest as of a Transformer."""

    source: int = 0  # S, tokens of a window that the encoder reads; 0: the text of span corruption
    encoder_layers: int = 0  # 0: n_layer, which are the decoder's


def checked_settings(cfg: ModelConfig) -> Settings:
    """Its settings, with numbers in the place of zeros.

    Raises:
      ValueError: they make no sense.
    """
    own = settings(cfg, Settings)
    if own.window or own.prefix or not own.causal:
        raise ValueError(
            "causal, prefix and window are of a decoder alone; the encoder looks both ways anyway"
        )
    length, noise, spans = (0, 0, 0) if own.source else spans_of(cfg.seq_len)
    own = replace(
        own, source=own.source or length - noise + spans, encoder_layers=own.encoder_layers or cfg.n_layer
    )
    if not 0 < own.source <= cfg.seq_len or own.encoder_layers < 1:
        raise ValueError(
            f"source={own.source} tokens of seq_len={cfg.seq_len}, encoder_layers={own.encoder_layers}: an "
            "encoder has a layer or more and reads from one token to all"
        )
    return own


class Cross(transformer.Attention):
    """Attention of what is told to all that was read, whatever its place."""

    def __call__(self, x_BTD: jax.Array, read_BSD: jax.Array) -> jax.Array:
        heads = self.heads(x_BTD, read_BSD, rotated=False)
        near = (0, self.own.attention_cap, False)  # no window, and all keys
        return self.joined(ops.attend_near(*heads, self.logit_scale, self.on, *near))


class Block(transformer.Block):
    """Of the decoder: attention to what was told, to what was read, and feed-forward."""

    def __init__(self, cfg: ModelConfig, on: Target):
        super().__init__(cfg, on)
        self.norm3, self.cross = Norm(cfg), Cross(cfg, on)
        if self.own.norms == "sandwich":
            self.after3 = Norm(cfg)

    def __call__(self, x_BTD: jax.Array, read_BSD: jax.Array) -> jax.Array:
        x_BTD = self.mixed(x_BTD)
        out_BTD = self.cross(self.given(x_BTD, self.norm3), read_BSD)
        out_BTD = self.after3(out_BTD) if hasattr(self, "after3") else out_BTD
        x_BTD = ops.join_gradients(x_BTD + out_BTD, self.on)
        return self.fed(x_BTD, self.ffn(self.given(x_BTD, self.norm2)))


class EncoderDecoder(transformer.Transformer):
    """Position l sees tokens 0..l from `source` - 1 on; before, it tells nothing: logits and nats of 0."""

    Settings, block = Settings, Block

    def __init__(self, cfg: ModelConfig, on: Target):
        own = checked_settings(cfg)
        super().__init__(cfg, on)
        self.first = own.source - 1  # the place from which on tokens are told
        self.reading = tuple(f"encoder_{index:02d}" for index in range(own.encoder_layers))
        both = (json.loads(cfg.settings) if cfg.settings else {}) | {"causal": False}
        encoder = replace(cfg, n_layer=own.encoder_layers, settings=both)
        for name in self.reading:
            setattr(self, name, transformer.Block(encoder, on))
        self.norm_read = Norm(cfg)

    @staticmethod
    def source(cfg: ModelConfig) -> int:
        return checked_settings(cfg).source

    @staticmethod
    def unseen(cfg: ModelConfig) -> float:
        """The decoder's attention to what it has not told yet."""
        T = cfg.seq_len - checked_settings(cfg).source + 1
        return cfg.n_layer * 4 * cfg.d_model * T * (T - 1) / 2

    def features(self, tokens_BL: jax.Array) -> jax.Array:
        """(B, T, D), of the T positions that are told from."""
        begin_BS, rest_BT = tokens_BL[:, : self.first + 1], tokens_BL[:, self.first :]
        read_BSD = self.norm_read(self.through(self.embedded(begin_BS), names=self.reading)[0])
        return self.norm(self.through(self.embedded(rest_BT, self.first), read_BSD)[0])

    def __call__(self, tokens_BL: jax.Array, prefix_B: None = None) -> jax.Array:
        return jnp.pad(super().__call__(tokens_BL), ((0, 0), (self.first, 0), (0, 0)))

    def losses(
        self, tokens_BL: jax.Array, targets_BL: jax.Array, prefix_B: None = None
    ) -> tuple[jax.Array, Any]:
        nats_BT, extra = super().losses(tokens_BL, targets_BL[:, self.first :])
        return jnp.pad(nats_BT, ((0, 0), (self.first, 0))), extra
