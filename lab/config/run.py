"""What a run is: four frozen configs, checked once, and the run_id made from their content.

Everything that changes a number is a field here, and says how it does (`lab.config.fields`); everything
derived is a property. Where a run is executed (devices, launcher, workers) is not part of it.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from lab.config import fields, twins
from lab.config.fields import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    OWN,
    POSITIVE,
    SEED,
    fed,
    label,
    static,
    traced,
)
from lab.config.model import ModelConfig as ModelConfig

NUMERICS = 2  # raised when a change of code changes results on purpose: old runs keep their ids
# ... and by how much more for runs of a kind whose results alone have changed since
NUMERICS_OF = {"mup": 1}  # embeddings and readout start at one scale at every width
SQUARES = ("adamw", "muon", "schedule-free", OWN)  # optimisers that divide by a mean square
MOMENTS = (*SQUARES, "lion")  # ... or have two rates of forgetting
NEXT_TOKEN = "next_token"  # the objective of old
DIVISORS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """The optimiser and its schedule. Rate, decay, warm-up and horizon are arrays in the step.

    `optimizer` is of lab/train/optimizers.py, or FILE.py:NAME of the user's own (docs/extend.md), whose
    `settings` are given as a dict and kept as JSON text.
    """

    optimizer: Literal["adamw", "sgd", "muon", "lion", "adafactor", "schedule-free"] = static(
        "adamw", own=True
    )
    learning_rate: float = traced(rule=POSITIVE)  # the peak
    # decoupled; times the learning rate; on hidden and readout weights
    weight_decay: float = traced(0.1, rule=NOT_NEGATIVE)
    beta1: float = static(0.9, rule=BELOW_ONE, only=MOMENTS)
    beta2: float = static(0.99, rule=BELOW_ONE, only=MOMENTS)
    eps: float = static(1e-8, rule=POSITIVE, only=SQUARES)
    momentum: float = static(0.95, rule=BELOW_ONE, only=("muon",), late=True)  # of hidden matrices
    settings: str = static("", only=(OWN,), late=True, column="optimizer_settings")
    clip: float = static(1.0, zero="no clipping")  # global gradient norm
    schedule: Literal["cosine", "linear", "constant"] = static("cosine")
    warmup_fraction: float = traced(0.05, rule=FRACTION, hyper="warmup")  # of the run's own steps
    # "constant": the part of the horizon, at its end, that falls
    cooldown_fraction: float = traced(0.0, rule=FRACTION, hyper="cooldown")
    # 1-sqrt: Hägele et al. 2024
    cooldown_shape: Literal["linear", "1-sqrt"] = traced("linear", hyper="cooldown")
    # what is left of the peak rate at the horizon
    final_fraction: float = traced(0.0, rule=FRACTION, hyper="final")
    warmup_steps: int = traced(0, zero="by warmup_fraction", hyper="warmup")
    horizon_steps: int = traced(0, zero="the run's own last step", hyper="horizon")  # the decay's end
    # of the weights an average that keeps this much of itself at each update, scored beside them
    ema: float = static(0.0, zero="none", rule=BELOW_ONE, late=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", fields.settings_text(self.settings, "OptimConfig"))
        fields.check(self)
        if self.settings and not self.has("settings"):
            own = ", ".join(f"optim.{name}" for name in fields.declared(OptimConfig) if self.is_of_few(name))
            raise ValueError(
                f"settings={self.settings} are those of an optimiser of one's own file; optimizer="
                f"{self.optimizer!r} is told by {own or 'the fields that all have, such as optim.clip'}"
            )
        fields.refuse_unheeded(self, f"optimizer={self.optimizer!r}")
        if self.optimizer == "schedule-free":
            self.check_schedule_free()

    def is_of_few(self, name: str) -> bool:
        """Whether a field is one of this optimiser's that not all have."""
        return bool(fields.declared(OptimConfig)[name].metadata["only"]) and self.has(name)

    def check_schedule_free(self) -> None:
        """Refuse what it is there to do without: a rate that falls, and a second average."""
        for name, value in {"schedule": "constant", "cooldown_fraction": 0.0, "ema": 0.0}.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"optimizer='schedule-free' averages weights in the place of a falling rate: "
                    f"{name}={getattr(self, name)!r} must be {value!r}"
                )
        if not self.beta1:
            raise ValueError("beta1=0.0: schedule-free learning divides by it; take 0.9 or more")

    def has(self, name: str) -> bool:
        """Whether a field means anything for this optimiser."""
        return fields.heeds(self, self.optimizer, name)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which prepared tokens a run learns from: identified by content, never by path."""

    corpus: str = label()  # the name `lab data` knows it by
    tokenizer: str = label("bytes")
    sha256: str = fed(column="data_sha256")  # of the prepared tokens and their tokenizer
    train_tokens: int = label(0, column="")  # what the corpus holds
    unique_tokens: int = fed(0, zero="all of them")  # train on this many of them only
    max_epochs: float = label(1.0, column="")  # plan and run refuse to go beyond

    def __post_init__(self) -> None:
        fields.check(self)
        object.__setattr__(self, "sha256", self.sha256.lower())
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"DataConfig.sha256={self.sha256!r} is no SHA-256: 64 hex digits")
        if self.unique_tokens > self.train_tokens:
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
    optim: OptimConfig  # its static part
    batch_size: int  # B
    micro_batch: int
    steps_per_dispatch: int  # S
    objective: str = NEXT_TOKEN

    @property
    def dispatch(self) -> tuple[int, int, int]:
        """The tokens of a dispatch: (S, B, L + 1)."""
        return self.steps_per_dispatch, self.batch_size, self.model.seq_len + 1


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run, whole. Equal configs give equal losses (to the bit on equal machines)."""

    model: ModelConfig
    optim: OptimConfig
    data: DataConfig
    tokens: int = fed(rule=POSITIVE)  # to train on; rounded to whole steps
    batch_tokens: int = static(rule=POSITIVE)  # per optimiser update: a multiple of seq_len
    # of lab/train/objectives.py, or FILE.py:NAME of the user's own (docs/extend.md)
    objective: Literal["next_token", "masked", "prefix", "span_corruption"] = static(
        NEXT_TOKEN, own=True, late=True
    )
    # sequences per gradient accumulation
    micro_batch: int = static(0, zero="what step.micro_batch finds best")
    seed: int = fed(0, rule=SEED)  # of the initial weights
    data_seed: int = fed(0, rule=SEED)  # of the order of the data
    budget: float = label(0.0)  # the design's target FLOPs, for grouping
    # RUN_ID@STEP: go on from the state in which that run ended, see `trunk`. A label: it changes
    # what a run costs and none of its numbers
    init_from: str = label("", column="")
    trunk: bool = label(False, column="")  # trained for others to go on from; no cell of the grid itself

    def __post_init__(self) -> None:
        fields.check(self)
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
        """Equal for runs that share a program: they differ in traced and fed fields alone. A
        dispatch is about 1e11 FLOPs, 1 to 64 updates."""
        model, optim = fields.static_part(self.model), fields.static_part(self.optim)
        flops = 72 * model.n_layer * model.d_model**2 * self.batch_tokens
        steps = max(1, min(64, round(1e11 / flops)))
        return Shape(model, optim, self.batch_size, self.micro_batch, steps, self.objective)

    @property
    def hyper(self) -> dict[str, float]:
        """What may differ between runs that share a program: the traced fields, those of one entry
        put together."""
        optim = self.optim
        return fields.traced_part(optim) | {
            "warmup": float(self.warmup_steps),
            "horizon": float(self.horizon_steps),
            "cooldown": optim.cooldown_fraction * (-1 if optim.cooldown_shape == "1-sqrt" else 1),
        }

    @property
    def numbers(self) -> tuple:
        """All that the program and its inputs depend on. Runs that are equal here are one run, however
        they were written; see `twins`."""
        return twins.numbers(self)

    @cached_property
    def run_id(self) -> str:
        """First 12 hex digits of the SHA-256 of what decides the run's numbers."""
        numerics = NUMERICS + NUMERICS_OF.get(self.model.parameterization, 0)
        text = json.dumps(
            {"numerics": numerics, **fields.essence(self)}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_json(config: Any) -> dict[str, Any]:
    """All fields, labels and defaults included, but late ones at their default: what `config.json` holds."""
    return fields.to_tree(config)


def from_json(tree: dict[str, Any], where: str = "config") -> RunConfig:
    """The config that `to_json` wrote. Unknown, missing or mistyped fields raise ValueError."""
    return fields.from_tree(tree, RunConfig, where)
