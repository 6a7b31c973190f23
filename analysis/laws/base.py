"""What a law is: a frozen dataclass whose fields are the parameters, and how one is fitted.

A law says its log prediction once, in `formula`, and exact derivatives follow (`jets`). It
also names the parameters that follow from the others by linear least squares (`linear`, `basis`),
the values of those others that are tried first (`grid`), and the unit of each (`units`). A law that
is a plain sum of power terms says only its `terms`, and everything follows, faster.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.jets import Array, Jet

Unit = tuple[tuple[int, float, str | None], ...]


@dataclass(frozen=True)
class Law:
    """Base of all laws. Fields may be arrays (draws of the parameters), which broadcast.

    `theta` is the fitted form of the parameters: unconstrained, in the order of the fields, the
    positive ones as logarithms. A floor is always called E.
    """

    inputs: ClassVar[tuple[str, ...]]
    output: ClassVar[str] = "loss"
    grid: ClassVar[dict[str, tuple[float, ...]]]  # what is tried before any fit, and is not linear
    linear: ClassVar[tuple[str, ...]] = ()  # coefficients that follow from those by least squares
    scales: ClassVar[tuple[str, ...]] = ()  # other parameters that are positive
    carries: ClassVar[dict[str, Unit]] = {}  # name: ((input, factor, exponent or None for 1), ...)
    axes: ClassVar[tuple[int, ...] | None] = None  # inputs that need several levels; None: all
    falling: ClassVar[tuple[str, ...]] = ()  # inputs in which it falls, at positive exponents
    rising: ClassVar[bool] = False  # whether exponents below zero are an answer
    starts: ClassVar[int] = 8  # points of the grid that go on to the full fit
    search: ClassVar[int] = 2_000  # rows, drawn from longer tables, on which starts are tried
    rough: ClassVar[bool] = False  # whether robust objectives have many narrow minima

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        """The log prediction (S, R) from parameters in fitted form (jets, by name) and the
        logarithms of the inputs (V, R)."""
        raise NotImplementedError

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        """What each linear coefficient is multiplied with, over what they sum to: (S, K, R) at S
        choices of the other parameters, so that Σ coefficient · basis = 1 where the law holds."""
        raise NotImplementedError

    @classmethod
    def solved(cls, values: dict[str, Array], linear: Array) -> dict[str, Array]:
        """All parameters (S,) from the grid's and the linear coefficients (S, K)."""
        return {**values, **dict(zip(cls.linear, linear.T, strict=True))}

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        """The grid for these centred rows, where it depends on them."""
        return cls.grid

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    @classmethod
    def coefficients(cls) -> tuple[str, ...]:
        """What variable projection solves for; see `linear`."""
        return cls.linear

    @classmethod
    def positive(cls) -> tuple[str, ...]:
        """The parameters that are positive, and fitted as logarithms."""
        names = (*cls.coefficients(), *cls.scales)
        return tuple(name for name in cls.names() if name in names)

    @classmethod
    def units(cls) -> dict[str, Unit]:
        """Which powers of the inputs' units a parameter carries; see `carries`."""
        return cls.carries

    @classmethod
    def centre(cls, logs: Array) -> Array:
        """What is subtracted from each input's logarithm before a fit (V,)."""
        return logs.mean(1)

    @classmethod
    def log_predict(cls, theta: Array, logs: Array) -> tuple[Array, Array]:
        """log of the law (S, R), and its gradient (S, P, R), at theta (S, P) and logs (V, R)."""
        with np.errstate(all="ignore"):
            jet = cls.formula(jets.parameters(theta, cls.names(), second=False), logs)
        gradient = np.zeros((len(theta), theta.shape[1], logs.shape[1]))
        for i, part in jet.slope.items():
            gradient[:, i] = part
        return np.broadcast_to(jet.value, (len(theta), logs.shape[1])), gradient

    @classmethod
    def expand(cls, theta: Array, logs: Array, free: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
        """The log prediction (S, R), its gradient (S, F, R) by the F parameters of indices `free`,
        and the function from pull (S, R) to Σ_r pull_r · (its second derivative), (S, F, F)."""
        with np.errstate(all="ignore"):
            jet = cls.formula(jets.parameters(theta, cls.names(), second=True, free=free), logs)
        place = {int(i): k for k, i in enumerate(free)}
        gradient = np.zeros((len(theta), len(free), logs.shape[1]))
        for i, part in jet.slope.items():
            gradient[:, place[i]] = part

        def bend(pull: Array) -> Array:
            out = np.zeros((len(theta), len(free), len(free)))
            with np.errstate(all="ignore"):
                for (i, j), part in jet.bend.items():
                    out[:, place[i], place[j]] = out[:, place[j], place[i]] = (pull * part).sum(1)
            return out

        return np.broadcast_to(jet.value, (len(theta), logs.shape[1])), gradient, bend

    @classmethod
    def curvature(cls, theta: Array, logs: Array, pull: Array) -> Array:
        """Σ_r pull_r · (second derivative of the log prediction), (S, P, P); pull is (S, R)."""
        return cls.expand(theta, logs, np.arange(theta.shape[1]))[2](pull)

    @classmethod
    def shift(cls, theta: Array, centre: Array) -> Array:
        """Parameters for plain inputs from those for inputs divided by exp(centre); and back with
        the centre negated. theta (..., P), centre (V,)."""
        theta = np.array(theta, float)
        index = {name: i for i, name in enumerate(cls.names())}
        for name, unit in cls.units().items():
            for v, factor, exponent in unit:
                power = 1.0 if exponent is None else theta[..., index[exponent]]
                theta[..., index[name]] += factor * power * centre[v]
        return theta

    @classmethod
    def to_theta(cls, values: Array) -> Array:
        """Fitted form (..., P) of the parameters' values: positive ones as logarithms."""
        theta = np.array(values, float)
        for name in cls.positive():
            i = cls.names().index(name)
            with np.errstate(divide="ignore"):
                theta[..., i] = np.log(theta[..., i])
        return theta

    @classmethod
    def from_theta(cls, theta: Array) -> Array:
        """Values (..., P) of the parameters from their fitted form."""
        values = np.array(theta, float)
        for name in cls.positive():
            i = cls.names().index(name)
            with np.errstate(over="ignore"):
                values[..., i] = np.exp(values[..., i])
        return values


@dataclass(frozen=True)
class Term:
    """coefficient · Π input^-exponent; no `powers` makes it a constant."""

    coefficient: str
    powers: tuple[tuple[int, str], ...] = ()  # (index of the input, name of the exponent)


@dataclass(frozen=True)
class Sum(Law):
    """A law that is a sum of power terms: linear in all its coefficients."""

    terms: ClassVar[tuple[Term, ...]]
    search: ClassVar = 20_000

    @classmethod
    def coefficients(cls) -> tuple[str, ...]:
        return tuple(term.coefficient for term in cls.terms)

    @classmethod
    def units(cls) -> dict[str, Unit]:
        return {t.coefficient: tuple((v, 1.0, name) for v, name in t.powers) for t in cls.terms}

    @classmethod
    def solved(cls, values: dict[str, Array], linear: Array) -> dict[str, Array]:
        return {**values, **dict(zip(cls.coefficients(), linear.T, strict=True))}

    @classmethod
    def log_predict(cls, theta: Array, logs: Array) -> tuple[Array, Array]:
        share, log_loss = cls.shares(theta, logs)
        gradient = np.zeros((len(theta), theta.shape[1], logs.shape[1]))
        index = {name: i for i, name in enumerate(cls.names())}
        for k, term in enumerate(cls.terms):
            gradient[:, index[term.coefficient]] += share[:, k]
            for v, exponent in term.powers:
                gradient[:, index[exponent]] -= share[:, k] * logs[v]
        return log_loss, gradient

    @classmethod
    def expand(cls, theta: Array, logs: Array, free: Array):
        log_pred, slope = cls.log_predict(theta, logs)

        def bend(pull: Array) -> Array:
            return cls.curvature(theta, logs, pull)[:, free][:, :, free]

        return log_pred, slope[:, free], bend

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
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        size = len(next(iter(values.values()))) if values else 1
        out = np.zeros((size, len(cls.terms), logs.shape[1]))
        for k, term in enumerate(cls.terms):
            for v, exponent in term.powers:
                out[:, k] -= values[exponent][:, None] * logs[v]
        return np.exp(np.clip(out, -50, 50)) / output
