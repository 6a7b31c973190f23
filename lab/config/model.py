"""The shape of a model: the part of a run's config that its parameters and FLOPs follow from."""

from dataclasses import dataclass
from typing import Literal

from lab.config import fields, userfile
from lab.config.fields import OWN, POSITIVE, static

HEADS = ("transformer", "moe", "megabyte", "encoder_decoder")  # kinds with heads and positions
BLOCKS = (*HEADS, "hgrn", "mixer")  # kinds with norms and a feed-forward part


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of one model. Equal configs build equal parameter trees.

    The defaults are a LLaMA-like Transformer; `norm="layernorm", position="learned",
    activation="gelu", tied=True` is GPT-2-like. A recurrent `kind` has no heads, positions, norms
    or feed-forward part: n_head is 1 and the fields of the others stay at their defaults. FILE.py:NAME is
    a model of the user's own (docs/extend.md). `settings` are those of its kind alone: given as a dict or
    as a dataclass, kept as JSON text.
    """

    d_model: int = static(rule=POSITIVE)  # D
    n_layer: int = static(rule=POSITIVE)
    n_head: int = static(rule=POSITIVE, only=(*HEADS, OWN))  # H
    seq_len: int = static(rule=POSITIVE)  # L
    vocab_size: int = static(rule=POSITIVE)  # V; token ids run 0..V-1
    norm: Literal["rmsnorm", "layernorm"] = static("rmsnorm", only=BLOCKS)
    position: Literal["rope", "learned"] = static("rope", only=HEADS)
    activation: Literal["gelu", "swiglu"] = static("swiglu", only=BLOCKS)
    tied: bool = static(False)  # the readout is the embedding, transposed
    parameterization: Literal["standard", "mup"] = static("standard")
    dtype: Literal["float32", "bfloat16"] = static("float32")  # of matmul inputs; weights stay float32
    kind: Literal["transformer", "lstm", "gru", "moe", "hgrn", "mixer", "megabyte", "encoder_decoder"] = (
        static("transformer", own=True)
    )
    remat: bool = static(False)  # make each block's activations again for its gradient: memory for time
    # F; unless given 4 D for GELU, 8/3 D rounded up to a multiple of 8 for SwiGLU
    d_ff: int = static(0, zero="the default of the activation", only=BLOCKS)
    settings: str = static("", late=True)  # of its kind alone, those that are not at their default

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", fields.settings_text(self.settings, "ModelConfig"))
        fields.check(self)
        self.check_kind()
        if self.d_model % self.n_head:
            nearest = self.n_head * max(1, round(self.d_model / self.n_head))
            raise ValueError(
                f"d_model={self.d_model} does not split into n_head={self.n_head} equal heads; "
                f"the nearest width that does is {nearest}"
            )
        if self.has("position") and self.position == "rope" and self.d_head % 2:
            raise ValueError(
                f"d_model={self.d_model} with n_head={self.n_head} gives heads of width "
                f"{self.d_head}; rotary positions need an even width: change n_head or d_model"
            )

    def check_kind(self) -> None:
        """Refuse what a model of this kind would ignore."""
        lacks = "has no heads, positions, norms or feed-forward part"
        if self.is_own:
            lacks = "is told its own in settings"
        elif self.kind in BLOCKS:
            lacks = "has no heads or positions"
        fields.refuse_unheeded(self, f"kind={self.kind!r}, which {lacks}")

    def has(self, name: str) -> bool:
        """Whether a field means anything for this kind of model."""
        return fields.heeds(self, self.kind, name)

    @property
    def is_own(self) -> bool:
        """Whether it is a model of a user's own file."""
        return userfile.is_named(self.kind)

    @property
    def name(self) -> str:
        """Layers x width, and the kind of any but a Transformer."""
        kind = userfile.content(self.kind).partition("@")[0]
        return f"{kind} " * (kind != "transformer") + f"{self.n_layer} x {self.d_model}"

    @property
    def d_head(self) -> int:  # K
        return self.d_model // self.n_head

    @property
    def ffn_width(self) -> int:  # F
        if self.d_ff:
            return self.d_ff
        return 4 * self.d_model if self.activation == "gelu" else 8 * -(-self.d_model // 3)
