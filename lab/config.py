"""What a run is: four frozen configs, checked once, and the run_id made from their content.

Everything that changes a number is a field here; everything derived is a property. Where a run
is executed (devices, launcher, workers) is not part of it.
"""

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, cached_property
from numbers import Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

NUMERICS = 2  # raised when a change of code changes results on purpose: old runs keep their ids
# ... and by how much more for runs of a kind whose results alone have changed since
NUMERICS_OF = {"mup": 1}  # embeddings and readout start at one scale at every width
OF_TRANSFORMERS = ("n_head", "norm", "position", "activation", "d_ff")  # fields of theirs alone
KINDS = {int: "an integer", float: "a finite number", bool: "true or false", str: "a text"}
DIVISORS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def label(default: Any = dataclasses.MISSING) -> Any:
    """A field that describes a run without changing its numbers: left out of the run_id."""
    return field(default=default, metadata={"label": True})


hints_of = cache(get_type_hints)  # a grid has thousands of configs


def check_choice(config: Any, *names: str) -> None:
    """Raise ValueError when a `Literal` field holds a word that is not one of its choices."""
    hints = hints_of(type(config))
    for name in names:
        choices, found = get_args(hints[name]), getattr(config, name)
        if found not in choices:
            listed = ", ".join(repr(choice) for choice in choices)
            raise ValueError(f"{type(config).__name__}.{name}={found!r} is none of {listed}")


def check_whole(config: Any) -> None:
    """Make whole numbers of counts written as 2e6; raise ValueError for those that are none."""
    for name in counts_of(type(config)):
        found = getattr(config, name)
        if type(found) is int:
            continue
        if isinstance(found, bool) or not isinstance(found, Real) or found % 1 != 0:
            raise ValueError(f"{type(config).__name__}.{name}={found!r} should be a whole number")
        object.__setattr__(config, name, int(found))


@cache
def counts_of(kind: type) -> list[str]:
    """The fields that hold whole numbers."""
    return [item.name for item in fields(kind) if hints_of(kind)[item.name] is int]


def check_positive(config: Any, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{type(config).__name__}.{name}={getattr(config, name)} must be above 0")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of one decoder-only model. Equal configs build equal parameter trees.

    The defaults are a LLaMA-like Transformer; `norm="layernorm", position="learned",
    activation="gelu", tied=True` is GPT-2-like. A recurrent `kind` has no heads, positions, norms
    or feed-forward part: n_head is 1 and the fields of the others stay at their defaults.
    """

    d_model: int  # D
    n_layer: int
    n_head: int  # H
    vocab_size: int  # V; token ids run 0..V-1
    seq_len: int  # L
    d_ff: int = 0  # F; 0 means 4 D for GELU, 8/3 D rounded up to a multiple of 8 for SwiGLU
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    position: Literal["rope", "learned"] = "rope"
    activation: Literal["gelu", "swiglu"] = "swiglu"
    tied: bool = False  # the readout is the embedding, transposed
    parameterization: Literal["standard", "mup"] = "standard"
    dtype: Literal["float32", "bfloat16"] = "float32"  # of matmul inputs; weights stay float32
    remat: bool = False  # make each block's activations again for its gradient: memory for time
    kind: Literal["transformer", "lstm", "gru"] = "transformer"

    def __post_init__(self) -> None:
        check_whole(self)
        check_positive(self, "d_model", "n_layer", "n_head", "vocab_size", "seq_len")
        check_choice(self, "norm", "position", "activation", "parameterization", "dtype", "kind")
        if self.recurrent:
            self.check_recurrent()
            return
        if self.d_model % self.n_head:
            nearest = self.n_head * max(1, round(self.d_model / self.n_head))
            raise ValueError(
                f"d_model={self.d_model} does not split into n_head={self.n_head} equal heads; "
                f"the nearest width that does is {nearest}"
            )
        if self.position == "rope" and self.d_head % 2:
            raise ValueError(
                f"d_model={self.d_model} with n_head={self.n_head} gives heads of width "
                f"{self.d_head}; rotary positions need an even width: change n_head or d_model"
            )
        if self.d_ff < 0:
            raise ValueError(f"d_ff={self.d_ff} is negative; 0 means the default of the activation")

    def check_recurrent(self) -> None:
        """Refuse what a recurrent model would ignore: a table must not show it as a setting."""
        defaults = {item.name: item.default for item in fields(type(self))} | {"n_head": 1}
        for name in OF_TRANSFORMERS:
            if getattr(self, name) != defaults[name]:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} means nothing for kind={self.kind!r}, which "
                    f"has no heads, positions, norms or feed-forward part; leave it at "
                    f"{defaults[name]!r}"
                )

    @property
    def recurrent(self) -> bool:
        return self.kind != "transformer"

    @property
    def name(self) -> str:
        """Layers x width, and the kind of any but a Transformer."""
        return f"{self.kind} " * self.recurrent + f"{self.n_layer} x {self.d_model}"

    @property
    def n_gate(self) -> int:
        """Vectors of width D that each layer of a recurrent model makes a step; 0 of others."""
        return {"transformer": 0, "lstm": 4, "gru": 3}[self.kind]

    @property
    def d_head(self) -> int:  # K
        return self.d_model // self.n_head

    @property
    def ffn_width(self) -> int:  # F
        if self.d_ff:
            return self.d_ff
        return 4 * self.d_model if self.activation == "gelu" else 8 * -(-self.d_model // 3)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """The optimiser and its schedule. Rate, decay, warm-up and horizon are arrays in the step."""

    learning_rate: float  # the peak
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.1  # decoupled; times the learning rate; on hidden and readout weights
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    clip: float = 1.0  # global gradient norm; 0 switches clipping off
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_fraction: float = 0.05  # of the run's own steps ...
    warmup_steps: int = 0  # ... unless a number of steps is given
    horizon_steps: int = 0  # where the decay ends; 0 means at the run's own last step
    cooldown_fraction: float = 0.0  # "constant": the part of the horizon, at its end, that falls
    cooldown_shape: Literal["linear", "1-sqrt"] = "linear"  # 1-sqrt: Hägele et al. 2024
    final_fraction: float = 0.0  # what is left of the peak rate at the horizon

    def __post_init__(self) -> None:
        check_whole(self)
        check_positive(self, "learning_rate", "eps")
        check_choice(self, "optimizer", "schedule", "cooldown_shape")
        for name in ("weight_decay", "clip", "warmup_steps", "horizon_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"OptimConfig.{name}={getattr(self, name)} is negative")
        for name in ("beta1", "beta2", "warmup_fraction", "cooldown_fraction", "final_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"OptimConfig.{name}={getattr(self, name)} is not in 0..1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which prepared tokens a run learns from: identified by content, never by path."""

    sha256: str  # of the prepared tokens and their tokenizer
    corpus: str = label()  # the name `lab data` knows it by
    tokenizer: str = label("bytes")
    train_tokens: int = label(0)  # what the corpus holds
    unique_tokens: int = 0  # train on this many of them only; 0 means all
    max_epochs: float = label(1.0)  # plan and run refuse to go beyond

    def __post_init__(self) -> None:
        check_whole(self)
        if len(self.sha256) != 64:
            raise ValueError(f"DataConfig.sha256={self.sha256!r} is no SHA-256: 64 hex digits")
        if self.unique_tokens < 0 or self.unique_tokens > self.train_tokens:
            raise ValueError(
                f"unique_tokens={self.unique_tokens} but corpus {self.corpus!r} holds "
                f"{self.train_tokens} training tokens; 0 means all of them"
            )

    @property
    def available_tokens(self) -> int:
        return self.unique_tokens or self.train_tokens


@dataclass(frozen=True)
class Shape:
    """The part of a RunConfig that a compiled program depends on."""

    model: ModelConfig
    optim: OptimConfig  # with what the step takes as arrays left at their defaults
    batch_size: int  # B
    micro_batch: int
    steps_per_dispatch: int  # S


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run, whole. Equal configs give equal losses (to the bit on equal machines)."""

    model: ModelConfig
    optim: OptimConfig
    data: DataConfig
    tokens: int  # to train on; rounded to whole steps
    batch_tokens: int  # per optimiser update: a multiple of seq_len
    micro_batch: int = 0  # sequences per gradient accumulation; 0 leaves it to `step.micro_batch`
    seed: int = 0  # of the initial weights
    data_seed: int = 0  # of the order of the data
    budget: float = label(0.0)  # the design's target FLOPs, for grouping
    # RUN_ID@STEP: go on from the state in which that run ended, see `trunk`. A label: it changes
    # what a run costs and none of its numbers
    init_from: str = label("")
    trunk: bool = label(False)  # trained for others to go on from; no cell of the grid itself

    def __post_init__(self) -> None:
        check_whole(self)
        check_positive(self, "tokens", "batch_tokens")
        if self.batch_tokens % self.model.seq_len:
            nearest = max(1, round(self.batch_tokens / self.model.seq_len)) * self.model.seq_len
            raise ValueError(
                f"batch_tokens={self.batch_tokens} is no whole number of sequences of "
                f"seq_len={self.model.seq_len}; the nearest is {nearest}"
            )
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(
                f"micro_batch={self.micro_batch} does not divide the batch of {self.batch_size} "
                f"sequences; take one of {[d for d in DIVISORS if self.batch_size % d == 0]}"
            )
        if self.seed < 0 or self.data_seed < 0:
            raise ValueError(f"seed={self.seed}, data_seed={self.data_seed}: must not be negative")
        if self.init_from:
            if not re.fullmatch(r"[0-9a-f]{12}@[1-9][0-9]*", self.init_from):
                raise ValueError(f"init_from={self.init_from!r} is not written RUN_ID@STEP")
            if self.branch_step >= self.steps:
                raise ValueError(
                    f"init_from={self.init_from!r}: a run of {self.steps} updates has none left "
                    f"to make after {self.branch_step}"
                )

    @property
    def batch_size(self) -> int:  # B, sequences per update
        return self.batch_tokens // self.model.seq_len

    @property
    def steps(self) -> int:
        return max(1, round(self.tokens / self.batch_tokens))

    @property
    def warmup_steps(self) -> int:
        return self.optim.warmup_steps or round(self.optim.warmup_fraction * self.steps)

    @property
    def horizon_steps(self) -> int:
        return self.optim.horizon_steps or self.steps

    @property
    def trunk_id(self) -> str:
        """The run it goes on from, "" when it begins by itself."""
        return self.init_from.partition("@")[0]

    @property
    def branch_step(self) -> int:
        """How many of its updates its trunk has made."""
        return int(self.init_from.partition("@")[2] or 0)

    @property
    def epochs(self) -> float:
        """Passes over the unique tokens; NaN when the corpus's size is not known."""
        available = self.data.available_tokens
        return self.steps * self.batch_tokens / available if available else float("nan")

    @property
    def shape(self) -> Shape:
        """Equal for runs that share a program: only rates, decay, warm-up, horizon, seeds and
        length may differ. A dispatch is about 1e11 FLOPs, 1 to 64 updates."""
        optim = self.optim
        static = OptimConfig(
            learning_rate=1.0,
            optimizer=optim.optimizer,
            schedule=optim.schedule,
            clip=optim.clip,
            beta1=optim.beta1,
            beta2=optim.beta2,
            eps=optim.eps,
        )
        flops = 72 * self.model.n_layer * self.model.d_model**2 * self.batch_tokens
        steps = max(1, min(64, round(1e11 / flops)))
        return Shape(self.model, static, self.batch_size, self.micro_batch, steps)

    @cached_property
    def run_id(self) -> str:
        """First 12 hex digits of the SHA-256 of what decides the run's numbers."""
        numerics = NUMERICS + NUMERICS_OF.get(self.model.parameterization, 0)
        text = json.dumps({"numerics": numerics, **essence(self)}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def essence(config: Any) -> dict[str, Any]:
    """A config's fields without labels and without those at their default, so that a new field
    with a default does not orphan old runs."""
    found = {}
    for name, default in essential_fields(type(config)):
        value = getattr(config, name)
        if value != default:
            found[name] = essence(value) if is_dataclass(value) else value
    return found


@cache
def essential_fields(kind: type) -> list[tuple[str, Any]]:
    return [(item.name, item.default) for item in fields(kind) if not item.metadata.get("label")]


def to_json(config: Any) -> dict[str, Any]:
    """All fields, labels and defaults included: what `config.json` holds."""
    return dataclasses.asdict(config)


def from_json(found: dict[str, Any], kind: type = RunConfig, where: str = "config") -> Any:
    """The config that `to_json` wrote. Unknown, missing or mistyped fields raise ValueError."""
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected an object of fields, found {found!r}")
    hints, known = hints_of(kind), {item.name: item for item in fields(kind)}
    if unknown := sorted(set(found) - set(known)):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}; {kind.__name__} has {', '.join(known)}")
    values = {}
    for name, item in known.items():
        if name not in found:
            if item.default is dataclasses.MISSING:
                raise ValueError(f"{where}: field {name!r} is missing")
            continue
        inner = f"{where}{name}" if where.endswith(" ") else f"{where}.{name}"
        values[name] = from_value(found[name], hints[name], inner)
    return kind(**values)


def from_value(value: Any, hint: Any, where: str) -> Any:
    if is_dataclass(hint):
        return from_json(value, hint, where)
    if get_origin(hint) is Literal:
        return value  # the config's own check names the choices
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 2e6
    right = isinstance(value, hint) and not (hint is not bool and isinstance(value, bool))
    if not right or (hint is float and not math.isfinite(value)):  # JSON has no NaN to store
        raise ValueError(f"{where}={value!r} should be {KINDS[hint]}")
    return value
