"""Laws of several variables: what model size, data, steps and repetition each do to the loss."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.base import Law, Sum, Term, Unit
from analysis.laws.jets import Array, Jet

EXPONENTS = (0.05, 0.15, 0.3, 0.5, 0.8, 1.2)
N, D = (0, 1, None), (1, 1, None)


def balance(A, alpha, B, beta, flops: Array, k: float, p: float) -> tuple[Array, Array]:
    """(params, tokens) of least A params^-alpha + B tokens^-beta where
    flops = k · params^p · tokens.

    With k = 6, p = 1 this is eq. 4 of Hoffmann et al. 2022; in general, setting the derivative
    along the budget to zero gives params^(alpha + p beta) = alpha A / (p beta B) · (flops/k)^beta.
    """
    per = np.asarray(flops, float) / k
    total = alpha + p * beta
    with np.errstate(all="ignore"):  # of a draw with a vanished term: 0, inf or nan, an end that is open
        # NumPy's: a Python float below zero has complex powers
        scale = np.divide(alpha * A, p * beta * B) ** np.divide(1.0, total)
        params = scale * per ** (beta / total)
        return params, per / params**p


@dataclass(frozen=True)
class Chinchilla(Sum):
    """L(N, D) = E + A N^-alpha + B D^-beta  (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2)."""

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # nats/token * params^alpha
    B: float  # nats/token * tokens^beta
    alpha: float
    beta: float

    inputs: ClassVar = ("params", "tokens")
    terms: ClassVar = (Term("E"), Term("A", ((0, "alpha"),)), Term("B", ((1, "beta"),)))
    grid: ClassVar = {"alpha": EXPONENTS, "beta": EXPONENTS}

    def optimum(self, flops: Array, k: float = 6.0, p: float = 1.0) -> tuple[Array, Array]:
        """(params, tokens) of least loss where flops = k · params^p · tokens; see `balance`."""
        return balance(self.A, self.alpha, self.B, self.beta, flops, k, p)

    def exponents(self, p: float = 1.0) -> tuple[Array, Array]:
        """(a, b) of params ∝ flops^a and tokens ∝ flops^b at the optimum of that cost."""
        a = self.beta / (self.alpha + p * self.beta)
        return a, 1 - p * a


@dataclass(frozen=True)
class Joint(Law):
    """L(N, D) = E + (A N^-alpha + B D^-beta)^gamma, the Skaling law of Videau et al. 2026 (arXiv 2608.07222):
    `Chinchilla` at gamma = 1; `KaplanData` at E = 0, alpha = alpha_N/alpha_D, beta = 1, gamma = alpha_D.

    gamma < 1: each shortage hurts less where the other is large; gamma > 1: more.
    """

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # (nats/token)^(1/gamma) * params^alpha
    B: float  # (nats/token)^(1/gamma) * tokens^beta
    alpha: float
    beta: float
    gamma: float

    inputs: ClassVar = ("params", "tokens")
    grid: ClassVar = {
        "E": (0.02, 0.4, 0.7, 0.9),  # of the least loss
        "alpha": (0.1, 0.25, 0.5, 1.0),
        "beta": (0.1, 0.25, 0.5, 1.0),
        "gamma": (0.3, 0.6, 1.0, 1.7),
    }
    linear: ClassVar = ("A", "B")
    scales: ClassVar = ("E", "gamma")
    units: ClassVar[dict[str, Unit]] = {"A": ((0, 1, "alpha"),), "B": ((1, 1, "beta"),)}
    starts: ClassVar = 12
    optimum, exponents = Chinchilla.optimum, Chinchilla.exponents  # gamma drops out

    def times(self, factor: float) -> "Joint":
        """The law of `factor` times the loss."""
        inside = factor ** (1 / self.gamma)
        return replace(self, E=factor * self.E, A=inside * self.A, B=inside * self.B)

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        excess = jets.log_sum(p.A - p.alpha * logs[0], p.B - p.beta * logs[1])
        return jets.log_sum(p.E, jets.exp(p.gamma) * excess)

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        low = float(output.min())
        return {**cls.grid, "E": tuple(low * v for v in cls.grid["E"])}

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        floor, alpha, beta, gamma = (values[n][:, None] for n in ("E", "alpha", "beta", "gamma"))
        target = np.log(np.maximum(output - floor, 1e-3 * output)) / gamma
        parts = np.stack([-alpha * logs[0] - target, -beta * logs[1] - target], 1)
        return np.exp(np.clip(parts, -50, 50))


@dataclass(frozen=True)
class KaplanData(Law):
    """L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D  (Kaplan et al. 2020,
    arXiv 2001.08361, eq. 1.5)."""

    N_c: float  # params
    D_c: float  # tokens
    alpha_N: float
    alpha_D: float

    inputs: ClassVar = ("params", "tokens")
    grid: ClassVar = {name: (0.03, 0.07, 0.15, 0.3, 0.6) for name in ("alpha_N", "alpha_D")}
    linear: ClassVar = ("N_c^(alpha_N/alpha_D)", "D_c")
    scales: ClassVar = ("N_c",)
    units: ClassVar[dict[str, Unit]] = {"N_c": (N,), "D_c": (D,)}

    def optimum(self, flops: Array, k: float = 6.0, p: float = 1.0) -> tuple[Array, Array]:
        """(params, tokens) of least loss where flops = k · params^p · tokens, each token once."""
        ratio = self.alpha_N / self.alpha_D
        return balance(self.N_c**ratio, ratio, self.D_c, 1.0, flops, k, p)

    def times(self, factor: float) -> "KaplanData":
        """The law of `factor` times the loss."""
        sizes = factor ** (1 / self.alpha_N), factor ** (1 / self.alpha_D)
        return replace(self, N_c=sizes[0] * self.N_c, D_c=sizes[1] * self.D_c)

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        size = p.alpha_N / p.alpha_D * (p.N_c - logs[0])
        return p.alpha_D * jets.log_sum(size, p.D_c - logs[1])

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        alpha_n, alpha_d = values["alpha_N"][:, None], values["alpha_D"][:, None]
        target = np.log(output) / alpha_d
        parts = np.stack([-alpha_n / alpha_d * logs[0] - target, -logs[1] - target], 1)
        return np.exp(np.clip(parts, -50, 50))

    @classmethod
    def from_linear(cls, values: dict[str, Array], linear: Array) -> dict[str, Array]:
        power = values["alpha_D"] / values["alpha_N"] * np.log(linear[:, 0])
        return {**values, "N_c": np.exp(np.clip(power, -200, 200)), "D_c": linear[:, 1]}


@dataclass(frozen=True)
class KaplanSteps(Law):
    """L(N, S) = (N_c/N)^alpha_N + (S_c/S)^alpha_S  (Kaplan et al. 2020, arXiv 2001.08361, eq. 1.6).

    S is the number of updates the run would need at an unlimited batch, their S_min.
    """

    N_c: float  # params
    S_c: float  # updates
    alpha_N: float
    alpha_S: float

    inputs: ClassVar = ("params", "steps")
    grid: ClassVar = {"alpha_N": (0.03, 0.07, 0.15, 0.3, 0.6), "alpha_S": EXPONENTS}
    linear: ClassVar = ("N_c^alpha_N", "S_c^alpha_S")
    scales: ClassVar = ("N_c", "S_c")
    units: ClassVar[dict[str, Unit]] = {"N_c": (N,), "S_c": (D,)}

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return jets.log_sum(p.alpha_N * (p.N_c - logs[0]), p.alpha_S * (p.S_c - logs[1]))

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        parts = [-values["alpha_N"][:, None] * logs[0], -values["alpha_S"][:, None] * logs[1]]
        return np.exp(np.clip(np.stack(parts, 1), -50, 50)) / output

    @classmethod
    def from_linear(cls, values: dict[str, Array], linear: Array) -> dict[str, Array]:
        powers = np.log(linear.T) / [values["alpha_N"], values["alpha_S"]]
        n_c, s_c = np.exp(np.clip(powers, -200, 200))
        return {**values, "N_c": n_c, "S_c": s_c}
