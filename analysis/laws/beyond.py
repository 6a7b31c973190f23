"""Laws of training past the optimum: on repeated data, or on more tokens than a budget's best."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.base import Law, Unit
from analysis.laws.jets import Array, Jet
from analysis.laws.joint import balance


@dataclass(frozen=True)
class DataConstrained(Law):
    """L(N, D, U) = E + A N'^-alpha + B D'^-beta, where repetition wears out (Muennighoff et al.
    2023, arXiv 2305.16264): of D tokens seen, U_D = min(D, U) are unique and the others count as

    D' = U_D + U_D R_D (1 - exp(-(D/U_D - 1) / R_D)), and of N params likewise, with R_N,
    those beyond U_N = min(N, the params for which U_D unique tokens are the optimum).
    """

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # nats/token * params^alpha
    B: float  # nats/token * tokens^beta
    alpha: float
    beta: float
    R_D: float  # repeats after which repeating has given 1 - 1/e of what it can (R_D* there)
    R_N: float  # the same of params beyond those the unique data warrants (R_N* there)

    inputs: ClassVar = ("params", "tokens", "unique_tokens")
    headers: ClassVar = {"unique_tokens": ("n_unique_tokens", "num_unique_tokens", "unique", "unique_data")}
    grid: ClassVar = {
        "alpha": (0.15, 0.3, 0.5, 0.8),
        "beta": (0.15, 0.3, 0.5, 0.8),
        "R_D": (1.0, 4.0, 15.0, 60.0, 240.0),
        "R_N": (0.5, 2.0, 6.0, 20.0, 100.0),
    }
    linear: ClassVar = ("E", "A", "B")
    scales: ClassVar = ("R_D", "R_N")
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "alpha"),), "B": ((1, 1, "beta"),)}
    axes: ClassVar = (0, 1)
    starts: ClassVar = 25
    search: ClassVar = 1_000
    rough: ClassVar = True

    def optimum(
        self, flops: Array, unique_tokens: float, k: float = 6.0, p: float = 1.0
    ) -> tuple[Array, Array]:
        """(params, tokens) of least loss where flops = k · params^p · tokens, found by search over
        twelve decades about the optimum of unlimited data."""
        per = np.asarray(flops, float)[..., None] / k
        best = np.log(balance(self.A, self.alpha, self.B, self.beta, per, 1.0, p)[0])
        reach = np.log(1e6)
        while reach > 1e-9:
            tried = best + np.linspace(-reach, reach, 201)
            params = np.exp(tried)
            index = np.argmin(self.loss(params, per / params**p, unique_tokens), -1)
            best = np.take_along_axis(tried, index[..., None], -1)
            reach /= 50
        params = np.exp(best[..., 0])
        return params, per[..., 0] / params**p

    @classmethod
    def centre(cls, logs: Array) -> Array:
        """Tokens and unique tokens are of one unit, and move together."""
        n, d, _ = logs.mean(1)
        return np.array([n, d, d])

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        n, d = logs[0], logs[1]
        unique = np.minimum(d, logs[2])
        warranted = (jets.log(p.alpha / p.beta) + p.A - p.B + p.beta * unique) / p.alpha
        base = jets.minimum(warranted, n)
        size = base + log_worth(jets.exp(n - base) - 1.0, jets.exp(p.R_N))
        data = unique + log_worth(np.expm1(d - unique), jets.exp(p.R_D))
        return jets.log_sum(p.E, p.A - p.alpha * size, p.B - p.beta * data)

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        """As if no size were beyond what the data warrants, which depends on A and B."""
        n, d = logs[0], logs[1]
        unique = np.minimum(d, logs[2])
        alpha, beta, r_d = (values[name][:, None] for name in ("alpha", "beta", "R_D"))
        data = unique + np.log1p(-r_d * np.expm1(-np.expm1(d - unique) / r_d))
        parts = np.stack([0 * data, -alpha * n + 0 * data, -beta * data], 1)
        return np.exp(np.clip(parts, -50, 50)) / output


def worth(used: Array, base: Array, fold: Array) -> Array:
    """What `used` counts for when `base` of it is new and the rest wears out: N' and D'."""
    return base * (1 - fold * np.expm1(-(used / base - 1) / fold))


def log_worth(repeats, scale: Jet) -> Jet:
    """log of 1 + scale (1 - exp(-repeats/scale)): what a first pass and its repeats are worth."""
    return jets.log1p(-scale * jets.expm1(-repeats / scale))


@dataclass(frozen=True)
class OverTrained(Law):
    """L(C, M) = E + (a M^eta + b M^-eta) C^-eta, with M = D/N tokens a parameter  (Gadre et al.
    2024, arXiv 2403.08540, eq. 4): at each M the same exponent of compute."""

    E: float  # nats/token left when compute is unlimited
    a: float  # nats/token * flops^eta; what a small model costs
    b: float  # nats/token * flops^eta; what few tokens cost
    eta: float

    inputs: ClassVar = ("flops", "params", "tokens")
    grid: ClassVar = {"eta": (0.03, 0.07, 0.12, 0.2, 0.3, 0.5)}
    linear: ClassVar = ("E", "a", "b")
    units: ClassVar[dict[str, Unit]] = {
        "a": ((0, 1, "eta"), (1, 1, "eta"), (2, -1, "eta")),
        "b": ((0, 1, "eta"), (1, -1, "eta"), (2, 1, "eta")),
    }
    axes: ClassVar = (0,)

    def optimum(self, flops: Array, k: float = 6.0, p: float = 1.0) -> tuple[Array, Array]:
        """(params, tokens) of least loss where flops = k · params^p · tokens: at M^(2 eta) = b/a
        whatever the budget."""
        ratio = (self.b / self.a) ** (0.5 / self.eta)
        params = (np.asarray(flops, float) / (k * ratio)) ** (1 / (1 + p))
        return params, params * ratio

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        ratio = logs[2] - logs[1]
        return jets.log_sum(p.E, p.a - p.eta * (logs[0] - ratio), p.b - p.eta * (logs[0] + ratio))


@dataclass(frozen=True)
class DownstreamError(Law):
    """error = epsilon - k exp(-gamma loss): average downstream top-1 error from validation loss
    (Gadre et al. 2024, arXiv 2403.08540, eq. 5)."""

    epsilon: float  # error where the loss is large: that of guessing
    k: float
    gamma: float  # tokens/nat

    inputs: ClassVar = ("loss",)
    output: ClassVar = "error"
    grid: ClassVar = {"gamma": (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)}  # at a loss of one
    linear: ClassVar = ("epsilon", "k")
    scales: ClassVar = ("gamma",)
    units: ClassVar[dict[str, Unit]] = {"gamma": ((0, -1, None),)}

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return jets.log(jets.exp(p.epsilon) - jets.exp(p.k - jets.exp(p.gamma) * np.exp(logs[0])))
