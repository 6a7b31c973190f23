"""Scaling laws: frozen dataclasses whose fields are the parameters, and how each one is fitted.

A law that is a sum of power terms says so in `terms`, and the rest follows: its log, exact
derivatives in transformed parameters (log coefficients, plain exponents), and the projection of its
linear parameters. A law of another form overrides `log_predict` (and `curvature` if it likes).
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Term:
    """coefficient · Π input^-exponent; no `powers` makes it a constant."""

    coefficient: str
    powers: tuple[tuple[int, str], ...] = ()  # (index of the input, name of the exponent)


@dataclass(frozen=True)
class Law:
    """Base of all laws. Fields may be arrays (draws of the parameters), which broadcast."""

    inputs: ClassVar[tuple[str, ...]]
    output: ClassVar[str] = "loss"
    terms: ClassVar[tuple[Term, ...]]
    grid: ClassVar[dict[str, tuple[float, ...]]]  # exponents tried before any fit
    rising: ClassVar[bool] = False  # whether exponents below zero are an answer

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    @classmethod
    def coefficients(cls) -> tuple[str, ...]:
        """The parameters in which the law is linear; positive, and fitted as logarithms."""
        return tuple(term.coefficient for term in cls.terms)

    @classmethod
    def log_predict(cls, theta: Array, logs: Array) -> tuple[Array, Array]:
        """log of the law, and its gradient, at S parameter vectors and R rows.

        Args:
          theta: (S, P), in the order of the fields, coefficients as logarithms.
          logs: (V, R), the logarithms of the inputs.

        Returns:
          (S, R) and (S, P, R).
        """
        share, log_loss = cls.shares(theta, logs)
        gradient = np.zeros((len(theta), theta.shape[1], logs.shape[1]))
        index = {name: i for i, name in enumerate(cls.names())}
        for k, term in enumerate(cls.terms):
            gradient[:, index[term.coefficient]] += share[:, k]
            for v, exponent in term.powers:
                gradient[:, index[exponent]] -= share[:, k] * logs[v]
        return log_loss, gradient

    @classmethod
    def shares(cls, theta: Array, logs: Array) -> tuple[Array, Array]:
        """Each term's share of the prediction (S, K, R), and the log prediction (S, R)."""
        index = {name: i for i, name in enumerate(cls.names())}
        parts = np.empty((len(theta), len(cls.terms), logs.shape[1]))
        for k, term in enumerate(cls.terms):
            parts[:, k] = theta[:, index[term.coefficient], None]
            for v, exponent in term.powers:
                parts[:, k] -= theta[:, index[exponent], None] * logs[v]
        top = parts.max(1)
        np.exp(parts - top[:, None], out=parts)
        total = parts.sum(1)
        return parts / total[:, None], top + np.log(total)

    @classmethod
    def curvature(cls, theta: Array, logs: Array, pull: Array) -> Array:
        """Σ_r pull_r · (second derivative of the log prediction), (S, P, P); pull is (S, R)."""
        share, _ = cls.shares(theta, logs)
        _, gradient = cls.log_predict(theta, logs)
        index = {name: i for i, name in enumerate(cls.names())}
        out = -(gradient * pull[:, None]) @ gradient.transpose(0, 2, 1)
        for k, term in enumerate(cls.terms):
            slopes = [(index[term.coefficient], np.ones(logs.shape[1]))]
            slopes += [(index[exponent], -logs[v]) for v, exponent in term.powers]
            weight = pull * share[:, k]
            for i, slope_i in slopes:
                for j, slope_j in slopes:
                    out[:, i, j] += weight @ (slope_i * slope_j)
        return out

    @classmethod
    def basis(cls, exponents: dict[str, Array], logs: Array) -> Array:
        """What each coefficient is multiplied with, (S, K, R), at S choices of the exponents."""
        size = len(next(iter(exponents.values()))) if exponents else 1
        out = np.zeros((size, len(cls.terms), logs.shape[1]))
        for k, term in enumerate(cls.terms):
            for v, exponent in term.powers:
                out[:, k] -= exponents[exponent][:, None] * logs[v]
        return np.exp(np.clip(out, -50, 50))

    @classmethod
    def shift(cls, theta: Array, centre: Array) -> Array:
        """Parameters for plain inputs from those for inputs divided by exp(centre); and back with
        the centre negated. Arrays as in `log_predict`, centre (V,)."""
        theta = np.array(theta, float)
        index = {name: i for i, name in enumerate(cls.names())}
        for term in cls.terms:
            for v, exponent in term.powers:
                theta[..., index[term.coefficient]] += theta[..., index[exponent]] * centre[v]
        return theta

    @classmethod
    def to_theta(cls, values: Array) -> Array:
        """Fitted form (..., P) of the parameters' values: coefficients as logarithms."""
        theta = np.array(values, float)
        for name in cls.coefficients():
            i = cls.names().index(name)
            with np.errstate(divide="ignore"):
                theta[..., i] = np.log(theta[..., i])
        return theta

    @classmethod
    def from_theta(cls, theta: Array) -> Array:
        """Values (..., P) of the parameters from their fitted form."""
        values = np.array(theta, float)
        for name in cls.coefficients():
            i = cls.names().index(name)
            values[..., i] = np.exp(values[..., i])
        return values


@dataclass(frozen=True)
class PowerLaw(Law):
    """y = E + A x^-alpha; with E fixed at 0 it is the law without a floor, and alpha may be < 0.

    Hestness et al. 2017 (arXiv 1712.00409), Kaplan et al. 2020 (arXiv 2001.08361, eq. 1.1-1.3).
    """

    E: float  # the floor, in units of y
    A: float  # units of y * x^alpha
    alpha: float

    inputs: ClassVar = ("x",)
    output: ClassVar = "y"
    terms: ClassVar = (Term("E"), Term("A", ((0, "alpha"),)))
    grid: ClassVar = {"alpha": (-1.0, -0.5, 0.03, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.0)}
    rising: ClassVar = True

    def loss(self, x: Array) -> Array:
        """The law's y at x, in units of y."""
        return self.E + self.A * np.asarray(x, float) ** -self.alpha


@dataclass(frozen=True)
class Chinchilla(Law):
    """L(N, D) = E + A N^-alpha + B D^-beta  (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2)."""

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # nats/token * params^alpha
    B: float  # nats/token * tokens^beta
    alpha: float
    beta: float

    inputs: ClassVar = ("params", "tokens")
    terms: ClassVar = (Term("E"), Term("A", ((0, "alpha"),)), Term("B", ((1, "beta"),)))
    grid: ClassVar = {
        "alpha": (0.05, 0.15, 0.3, 0.5, 0.8, 1.2),
        "beta": (0.05, 0.15, 0.3, 0.5, 0.8, 1.2),
    }

    def loss(self, params: Array, tokens: Array) -> Array:
        """nats/token at `params` and `tokens` (counts; arrays broadcast)."""
        params, tokens = np.asarray(params, float), np.asarray(tokens, float)
        return self.E + self.A * params**-self.alpha + self.B * tokens**-self.beta

    def optimum(self, flops: Array, k: float = 6.0, p: float = 1.0) -> tuple[Array, Array]:
        """(params, tokens) of least loss where flops = k · params^p · tokens.

        With k = 6, p = 1 this is eq. 4 of Hoffmann et al.; in general, setting the derivative of
        the loss along the budget to zero gives params^(alpha + p beta) =
        alpha A / (p beta B) · (flops/k)^beta.
        """
        per = np.asarray(flops, float) / k
        total = self.alpha + p * self.beta
        scale = (self.alpha * self.A / (p * self.beta * self.B)) ** (1 / total)
        params = scale * per ** (self.beta / total)
        return params, per / params**p

    def exponents(self, p: float = 1.0) -> tuple[Array, Array]:
        """(a, b) of params ∝ flops^a and tokens ∝ flops^b at the optimum of that cost."""
        a = self.beta / (self.alpha + p * self.beta)
        return a, 1 - p * a


LAWS: dict[str, type[Law]] = {"chinchilla": Chinchilla, "power": PowerLaw}
