"""Laws of one variable: power laws with and without floor, bent and bounded ones, and laws of the batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.base import Law, Sum, Term, Unit
from analysis.laws.jets import Array, Jet, sigmoid

EXPONENTS = (0.03, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class PurePower(Sum):
    """y = A x^-alpha; alpha may be < 0  (M1 of Alabdulmohsin et al. 2022, arXiv 2209.06640)."""

    A: float  # units of y * x^alpha
    alpha: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    terms: ClassVar = (Term("A", ((0, "alpha"),)),)
    grid: ClassVar = {"alpha": (-1.0, -0.5, *EXPONENTS)}
    rising: ClassVar = True


@dataclass(frozen=True)
class PowerLaw(Sum):
    """y = E + A x^-alpha; with E fixed at 0 it is `PurePower`, and alpha may be < 0.

    Hestness et al. 2017 (arXiv 1712.00409), Kaplan et al. 2020 (arXiv 2001.08361, eq. 1.1-1.3);
    M2 of Alabdulmohsin et al. 2022.
    """

    E: float  # the floor, in units of y
    A: float  # units of y * x^alpha
    alpha: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    terms: ClassVar = (Term("E"), Term("A", ((0, "alpha"),)))
    grid: ClassVar = {"alpha": (-1.0, -0.5, *EXPONENTS)}
    rising: ClassVar = True


@dataclass(frozen=True)
class SaturatingPower(Law):
    """y = A (1/x + gamma)^alpha  (M3 of Alabdulmohsin et al. 2022, arXiv 2209.06640).

    Levels off beyond x = 1/gamma, at A gamma^alpha.
    """

    A: float  # units of y * x^alpha
    alpha: float
    gamma: float  # 1 / units of x

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    grid: ClassVar = {"alpha": EXPONENTS, "gamma": (0.1, 1.0, 10.0, 100.0)}  # / greatest x
    linear: ClassVar = ("A",)
    scales: ClassVar = ("gamma",)
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "alpha"),), "gamma": ((0, -1, None),)}

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return p.A + p.alpha * jets.log_sum(-logs[0], p.gamma)

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        end = float(np.exp(-logs[0].max()))
        return {**cls.grid, "gamma": tuple(end * v for v in cls.grid["gamma"])}


@dataclass(frozen=True)
class TwoSidedPower(Law):
    """(y - E) / (E0 - y)^alpha = B x^-gamma, solved for y between its floor E and its ceiling E0.

    M4 of Alabdulmohsin et al. 2022 (arXiv 2209.06640): E0 is the loss of guessing at random.
    """

    E: float  # units of y, as x grows without limit
    E0: float  # units of y, as x falls to zero
    B: float  # units of y^(1 - alpha) * x^gamma
    alpha: float
    gamma: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    grid: ClassVar = {
        "E": (0.02, 0.5, 0.8, 0.95),  # of the least y
        "E0": (1.02, 1.3, 2.5),  # of the greatest y
        "alpha": (0.4, 1.0, 2.5),
        "gamma": (0.1, 0.3, 0.6, 1.0),
    }
    linear: ClassVar = ("B",)
    scales: ClassVar = ("E", "E0", "alpha")
    units: ClassVar[dict[str, Unit]] = {"B": ((0, 1, "gamma"),)}
    starts: ClassVar = 16
    search: ClassVar = 500

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        width = jets.log(jets.exp(p.E0) - jets.exp(p.E))
        alpha = jets.exp(p.alpha)
        right = p.B - p.gamma * logs[0] - (1 - alpha) * width
        at = logit_share(right.value, alpha.value)
        slope = sigmoid(-at) + alpha.value * sigmoid(at)
        logit = Jet(at, {}, None if right.bend is None else {})
        for _ in range(2):  # each Newton step on jets makes one more order of derivative exact
            left = alpha * jets.softplus(logit) - jets.softplus(-logit)
            logit = logit - (left - right) / slope
        return jets.log_sum(p.E, width - jets.softplus(-logit))

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        low, high = float(output.min()), float(output.max())
        scaled = {"E": tuple(low * v for v in cls.grid["E"])}
        return {**cls.grid, **scaled, "E0": tuple(high * v for v in cls.grid["E0"])}

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        floor, ceiling, alpha, gamma = (values[n][:, None] for n in ("E", "E0", "alpha", "gamma"))
        above = np.maximum(output - floor, 1e-3 * output)
        below = np.maximum(ceiling - output, 1e-3 * output)
        return (np.exp(-gamma * logs[0]) * below**alpha / above)[:, None]


def logit_share(right: Array, alpha: Array) -> Array:
    """s with log u - alpha log(1 - u) = right, where u = sigmoid(s): Newton's method, which cannot
    overshoot twice since the left side rises and bends one way only."""
    s = np.where(right < 0, right, right / alpha)
    for _ in range(60):
        gap = alpha * np.logaddexp(0, s) - np.logaddexp(0, -s) - right
        step = gap / (sigmoid(-s) + alpha * sigmoid(s))
        s = s - step
        if not (np.abs(step) > 1e-13 * (1 + np.abs(s))).any():
            break
    return s


@dataclass(frozen=True)
class BrokenPower(Law):
    """y = E + A x^-c0 (1 + (x/d)^(1/f))^(-c1 f): a power law whose exponent goes from c0 to c0 + c1
    around x = d, over a factor e^f  (BNSL with one break, Caballero et al. 2022, arXiv 2210.14891).
    """

    E: float  # units of y
    A: float  # units of y * x^c0
    c0: float
    c1: float
    d: float  # units of x
    f: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    grid: ClassVar = {
        "c0": (0.05, 0.2, 0.5, 1.0),
        "c1": (-0.6, -0.2, 0.2, 0.6),
        "d": (0.2, 0.35, 0.5, 0.65, 0.8),  # quantiles of x
        "f": (0.15, 0.5, 1.5),
    }
    linear: ClassVar = ("E", "A")
    scales: ClassVar = ("d", "f")
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "c0"),), "d": ((0, 1, None),)}
    rising: ClassVar = True
    starts: ClassVar = 24

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        width = jets.exp(p.f)
        bend = p.c1 * width * jets.softplus((logs[0] - p.d) / width)
        return jets.log_sum(p.E, p.A - p.c0 * logs[0] - bend)

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        return {**cls.grid, "d": tuple(np.exp(np.quantile(logs[0], cls.grid["d"])))}


@dataclass(frozen=True)
class Sigmoid(Law):
    """y = low + height / (1 + (x/x0)^s): a measure between two bounds, such as a share of errors by
    compute (Owen 2024, arXiv 2401.04757; Ruan et al. 2024, arXiv 2405.10938). With s < 0 it rises."""

    low: float  # units of y; the bound at large x where s > 0
    height: float  # units of y, between the bounds
    x0: float  # units of x; half way
    s: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    # x0: quantiles of x
    grid: ClassVar = {"x0": (0.1, 0.35, 0.6, 0.85), "s": (-1.0, -0.4, 0.2, 0.4, 0.8, 1.6)}
    linear: ClassVar = ("low", "height")
    scales: ClassVar = ("x0",)
    units: ClassVar[dict[str, Unit]] = {"x0": ((0, 1, None),)}
    rising: ClassVar = True

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return jets.log_sum(p.low, p.height - jets.softplus(p.s * (logs[0] - p.x0)))

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        return {**cls.grid, "x0": tuple(np.exp(np.quantile(logs[0], cls.grid["x0"])))}


@dataclass(frozen=True)
class Rectified(Sigmoid):
    """y = E + B/(D + x^beta), of fine-tuning on x samples after a pre-training that is worth some (Lin et al.
    2024, arXiv 2402.02314): `Sigmoid` with low = E, s = beta, D = x0^beta and height = B/D."""

    headers: ClassVar = {
        "x": ("sft_data_size", "finetuning_tokens", "finetune_size", "data_size", "dataset_size", "samples"),
        "y": ("sft_loss", "finetuning_loss", "test_loss", "loss"),
    }


@dataclass(frozen=True)
class CriticalBatch(Sum):
    """critical_batch = B_star loss^-kappa, where kappa = 1/alpha_B  (Kaplan et al. 2020,
    arXiv 2001.08361, eq. 1.4)."""

    B_star: float  # tokens * (nats/token)^kappa
    kappa: float

    inputs: ClassVar = ("loss",)
    output: ClassVar = "critical_batch"
    terms: ClassVar = (Term("B_star", ((0, "kappa"),)),)
    grid: ClassVar = {"kappa": (1.0, 2.0, 4.0, 6.0, 10.0)}


@dataclass(frozen=True)
class BatchSteps(Law):
    """steps = S_min (1 + B_crit / batch_tokens): updates to one given loss, against batch size
    (McCandlish et al. 2018, arXiv 1812.06162; Kaplan et al. 2020, eq. 5.1)."""

    S_min: float  # updates needed at an unlimited batch
    B_crit: float  # tokens; there it takes twice S_min updates and twice the fewest tokens

    inputs: ClassVar = ("batch_tokens",)
    output: ClassVar = "steps"
    grid: ClassVar = {"B_crit": (1e-3, 0.03, 0.3, 1.0, 3.0, 30.0, 1e3)}  # of the usual batch
    linear: ClassVar = ("S_min",)
    scales: ClassVar = ("B_crit",)
    units: ClassVar[dict[str, Unit]] = {"B_crit": ((0, 1, None),)}

    def tokens(self, batch_tokens: Array) -> Array:
        """Tokens needed at `batch_tokens`; its least, S_min B_crit, is reached at a small batch."""
        return self.loss(batch_tokens) * batch_tokens

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return p.S_min + jets.softplus(p.B_crit - logs[0])
