"""Laws of the recipe: the best rate and batch, bits of the weights, experts, vocabulary, parallel streams."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.base import Law, Sum, Term, Unit
from analysis.laws.jets import Array, Jet

EXPONENTS = (0.15, 0.3, 0.5, 0.8)


@dataclass(frozen=True)
class BestRate(Law):
    """learning_rate = c N^a D^b, of the best rate at each size and length: a row a tuned setting, not a run
    (the step law of Li et al. 2025, arXiv 2503.04715)."""

    c: float  # rate * params^-a * tokens^-b
    a: float  # of params; below zero where larger models want smaller rates
    b: float  # of tokens

    inputs: ClassVar = ("params", "tokens")
    output: ClassVar = "learning_rate"
    grid: ClassVar = {"a": (-0.7, -0.2, 0.3), "b": (-0.4, 0.1, 0.6)}
    linear: ClassVar = ("c",)
    units: ClassVar[dict[str, Unit]] = {"c": ((0, -1, "a"), (1, -1, "b"))}
    rising: ClassVar = True

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return p.c + p.a * logs[0] + p.b * logs[1]


@dataclass(frozen=True)
class BestBatch(BestRate):
    """batch_tokens = c N^a D^b, of the best batch at each size and length (Li et al. 2025)."""

    output: ClassVar = "batch_tokens"


@dataclass(frozen=True)
class Precision(Law):
    """L(N, D, P) = E + A (N (1 - exp(-P/gamma)))^-alpha + B D^-beta: weights trained in P bits count as fewer
    (N_eff of Kumar et al. 2024, arXiv 2411.04330, for the weights alone)."""

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # nats/token * params^alpha
    B: float  # nats/token * tokens^beta
    alpha: float
    beta: float
    gamma: float  # bits at which 1 - 1/e of the params count

    inputs: ClassVar = ("params", "tokens", "weight_bits")
    grid: ClassVar = {"alpha": EXPONENTS, "beta": EXPONENTS, "gamma": (0.1, 0.25, 0.5, 1.0)}  # of usual bits
    linear: ClassVar = ("E", "A", "B")
    scales: ClassVar = ("gamma",)
    units: ClassVar[dict[str, Unit]] = {
        "A": ((0, 1, "alpha"),),
        "B": ((1, 1, "beta"),),
        "gamma": ((2, 1, None),),
    }

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        size = logs[0] + jets.log(-jets.expm1(-jets.exp(logs[2] - p.gamma)))
        return jets.log_sum(p.E, p.A - p.alpha * size, p.B - p.beta * logs[1])


@dataclass(frozen=True)
class Granularity(Sum):
    """L(N, D, G) = E + (A + g G^-gamma) N^-alpha + B D^-beta, of experts cut into G parts each
    (Krajewski et al. 2024, arXiv 2402.07871)."""

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # nats/token * params^alpha; of experts cut without limit
    g: float  # nats/token * params^alpha; what whole experts cost
    B: float  # nats/token * tokens^beta
    alpha: float
    beta: float
    gamma: float

    inputs: ClassVar = ("params", "tokens", "granularity")
    terms: ClassVar = (
        Term("E"),
        Term("A", ((0, "alpha"),)),
        Term("g", ((0, "alpha"), (2, "gamma"))),
        Term("B", ((1, "beta"),)),
    )
    grid: ClassVar = {"alpha": EXPONENTS, "beta": EXPONENTS, "gamma": (0.2, 0.5, 1.0, 2.0)}


@dataclass(frozen=True)
class Vocabulary(Sum):
    """L(N, V, D) = E + A N^-alpha + A_v V^-alpha_v + B D^-beta, of N params outside the embedding, V inside,
    and D characters; of a loss that is comparable across tokenizers (Tao et al. 2024, arXiv 2407.13623)."""

    E: float  # nats left when all three are unlimited
    A: float  # nats * params^alpha
    A_v: float  # nats * vocab_params^alpha_v
    B: float  # nats * tokens^beta
    alpha: float
    alpha_v: float
    beta: float

    inputs: ClassVar = ("params", "vocab_params", "tokens")
    headers: ClassVar = {
        "params": ("non_vocab_params", "non_vocab_parameters"),
        "vocab_params": ("vocab_parameters", "vocab_size"),
        "tokens": ("num_characters", "n_characters", "characters", "chars"),
    }
    terms: ClassVar = (
        Term("E"),
        Term("A", ((0, "alpha"),)),
        Term("A_v", ((1, "alpha_v"),)),
        Term("B", ((2, "beta"),)),
    )
    grid: ClassVar = {"alpha": EXPONENTS, "alpha_v": EXPONENTS, "beta": EXPONENTS}


@dataclass(frozen=True)
class Parallel(Law):
    """L(N, P) = E + A (N (1 + k log P))^-alpha, of N params run P times side by side on an input each
    (ParScale, Chen et al. 2025, arXiv 2505.10475)."""

    E: float  # nats/token left when params are unlimited
    A: float  # nats/token * params^alpha
    alpha: float
    k: float  # params that a factor e of streams is worth, over those there are

    inputs: ClassVar = ("params", "parallel_size")
    headers: ClassVar = {"parallel_size": ("n_parallel", "num_streams", "n_streams", "streams")}
    grid: ClassVar = {"alpha": EXPONENTS, "k": (0.05, 0.2, 0.8)}
    linear: ClassVar = ("E", "A")
    scales: ClassVar = ("k",)
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "alpha"),)}

    @classmethod
    def centre(cls, logs: Array) -> Array:
        """One stream is one, in no unit."""
        return np.array([logs[0].mean(), 0.0])

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return jets.log_sum(p.E, p.A - p.alpha * (logs[0] + jets.log1p(jets.exp(p.k) * logs[1])))


@dataclass(frozen=True)
class Experts(Law):
    """L(N, X) = E + A N^-alpha X'^-(delta - zeta log N), of N params that are active and X experts to choose
    among, at one length of training; what experts gain wears off in size and in number:

    1/X' = 1/(X - 1 + few) + 1/many  (Clark et al. 2022, arXiv 2202.01169, from memory; theirs has no E).
    """

    E: float  # nats/token left when params are unlimited
    A: float  # nats/token * params^alpha
    alpha: float
    delta: float  # exponent of the experts' number at one param
    zeta: float  # by which it falls with every factor e of params
    few: float  # experts that one counts as
    many: float  # experts that all count as

    inputs: ClassVar = ("params", "n_experts")
    headers: ClassVar = {
        "params": ("dense_parameter_count", "active_params", "active_parameters", "n_active_params"),
        "n_experts": ("num_experts", "experts", "expert_count"),
    }
    grid: ClassVar = {
        "alpha": (0.05, 0.12, 0.25, 0.5),
        "delta": (0.02, 0.06, 0.12),
        "zeta": (0.0, 0.02),
        "few": (1.0, 4.0),
        "many": (100.0, 1000.0),
    }
    linear: ClassVar = ("E", "A")
    scales: ClassVar = ("few", "many")
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "alpha"),), "delta": ((0, 1, "zeta"),)}
    rising: ClassVar = True

    @classmethod
    def centre(cls, logs: Array) -> Array:
        """Experts are counted from one, in no unit."""
        return np.array([logs[0].mean(), 0.0])

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        number = -jets.log_sum(-jets.log(jets.exp(p.few) + np.expm1(logs[1])), -p.many)
        return jets.log_sum(p.E, p.A - p.alpha * logs[0] - (p.delta - p.zeta * logs[0]) * number)
