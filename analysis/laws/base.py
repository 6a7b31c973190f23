"""What a law is: a frozen dataclass whose fields are the parameters, and how one is fitted.

A law says its log prediction once, in `formula`; its values and their exact derivatives follow
(`jets`). It also names the parameters in which it is linear, that follow from the others by least squares
(`linear`), the values of those others that are tried first (`grid`), and the unit of each (`units`). A law
that is a plain sum of power terms says only its `terms`, and all of that follows.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.jets import Array, Jet

Unit = tuple[tuple[int, float, str | None], ...]  # ((input, factor, exponent or None for 1), ...)


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
    units: ClassVar[dict[str, Unit]] = {}  # powers of the inputs' units that a parameter carries
    axes: ClassVar[tuple[int, ...] | None] = None  # inputs that need several levels; None: all
    rising: ClassVar[bool] = False  # whether exponents below zero are an answer
    starts: ClassVar[int] = 8  # points of the grid that go on to the full fit
    search: ClassVar[int] = 2_000  # rows, drawn from longer tables, on which starts are tried
    rough: ClassVar[bool] = False  # whether robust objectives have many narrow minima
    headers: ClassVar[dict[str, tuple[str, ...]]] = {}  # by input or output, further headers it is known by

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        """The log prediction (S, R) from parameters in fitted form (jets, by name) and the
        logarithms of the inputs (V, R)."""
        raise NotImplementedError

    def loss(self, *inputs: Array) -> Array:
        """The law's output at its inputs, in their order and in the units of the table that it was
        fitted to (of losses nats/token, of params and tokens counts); arrays broadcast."""
        positive = self.positive()
        with np.errstate(all="ignore"):
            logs = [np.log(np.asarray(x, float)) for x, _ in zip(inputs, self.inputs, strict=True)]
            values = {name: getattr(self, name) for name in self.names()}
            theta = {n: Jet(np.log(v) if n in positive else v, {}, None) for n, v in values.items()}
            return np.exp(self.formula(SimpleNamespace(**theta), logs).value)

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        """What each linear coefficient is multiplied with, over what they sum to: (S, K, R) at S
        choices of the other parameters, so that Σ coefficient · basis = 1 where the law holds. Of a law
        whose output is that sum it is the output's derivative by each, wherever these are: at one."""
        linear = np.array([cls.names().index(name) for name in cls.linear])
        log_sum, share, _ = cls.expand(cls.at(values), logs, linear, second=False)
        with np.errstate(divide="ignore"):
            part = np.clip(log_sum[:, None] + np.log(np.abs(share)), -50, 50)
        return np.sign(share) * np.exp(part) / output

    @classmethod
    def at(cls, values: dict[str, Array]) -> Array:
        """Fitted form (S, P) of parameters of these values (S,), all others being at one."""
        size = len(next(iter(values.values()), [1]))
        return cls.to_theta(np.stack([values.get(name, np.ones(size)) for name in cls.names()], 1))

    @classmethod
    def from_linear(cls, values: dict[str, Array], linear: Array) -> dict[str, Array]:
        """All parameters (S,) from the grid's and the linear coefficients (S, K)."""
        return {**values, **dict(zip(cls.linear, linear.T, strict=True))}

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        """The grid for these centred rows, where it depends on them."""
        return cls.grid

    @classmethod
    @cache
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    @classmethod
    def positive(cls) -> tuple[str, ...]:
        """The parameters that are positive, and fitted as logarithms."""
        names = (*cls.linear, *cls.scales)
        return tuple(name for name in cls.names() if name in names)

    @classmethod
    def centre(cls, logs: Array) -> Array:
        """What is subtracted from each input's logarithm before a fit (V,)."""
        return logs.mean(1)

    @classmethod
    def log_predict(cls, theta: Array, logs: Array) -> tuple[Array, Array]:
        """log of the law (S, R), and its gradient (S, P, R), at theta (S, P) and logs (V, R)."""
        return cls.expand(theta, logs, np.arange(theta.shape[1]), second=False)[:2]

    @classmethod
    def expand(
        cls, theta: Array, logs: Array, free: Array, second: bool = True
    ) -> tuple[Array, Array, Callable[[Array], Array]]:
        """The log prediction (S, R), its gradient (S, F, R) by the F parameters of indices `free`, and, of
        the `second` order, the function from pull (S, R) to Σ_r pull_r · (its derivative), (S, F, F)."""
        with np.errstate(all="ignore"):
            jet = cls.formula(jets.parameters(theta, cls.names(), second, free), logs)
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
    def shift(cls, theta: Array, centre: Array) -> Array:
        """Parameters for plain inputs from those for inputs divided by exp(centre); and back with
        the centre negated. theta (..., P), centre (V,)."""
        theta = np.array(theta, float)
        index = {name: i for i, name in enumerate(cls.names())}
        for name, unit in cls.units.items():
            for v, factor, exponent in unit:
                power = 1.0 if exponent is None else theta[..., index[exponent]]
                theta[..., index[name]] += factor * power * centre[v]
        return theta

    @classmethod
    def to_theta(cls, values: Array) -> Array:
        """Fitted form (..., P) of the parameters' values: positive ones as logarithms."""
        with np.errstate(all="ignore"):
            return np.where(cls.logged(), np.log(values), values)

    @classmethod
    def from_theta(cls, theta: Array) -> Array:
        """Values (..., P) of the parameters from their fitted form."""
        with np.errstate(all="ignore"):
            return np.where(cls.logged(), np.exp(theta), theta)

    @classmethod
    @cache
    def logged(cls) -> Array:
        """Which parameters (P,) are logarithms in their fitted form."""
        positive = cls.positive()
        return np.array([name in positive for name in cls.names()])


def lacking(law: type[Law], *methods: str) -> str:
    """Which of these methods a law does not have, by name; "" where it has all."""
    names = [name for name in methods if not hasattr(law, name)]
    return " and ".join(f"{name}()" for name in names)


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

    def __init_subclass__(cls) -> None:
        cls.linear = tuple(term.coefficient for term in cls.terms)
        cls.units = {t.coefficient: tuple((v, 1.0, name) for v, name in t.powers) for t in cls.terms}

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        parts = []
        for term in cls.terms:
            part = getattr(p, term.coefficient)
            for v, exponent in term.powers:
                part = part - getattr(p, exponent) * logs[v]
            parts.append(part)
        return jets.log_sum(*parts)

    @classmethod
    def expand(
        cls, theta: Array, logs: Array, free: Array, second: bool = True
    ) -> tuple[Array, Array, Callable[[Array], Array]]:
        """As `Law.expand`: a term's logarithm is linear in its parameters, so all is products of matrices."""
        slopes, free = cls.term_slopes(logs), np.asarray(free, int)
        with np.errstate(all="ignore"):
            # (T, S, R); a coefficient of zero is -inf, which times 0 is no number
            parts = np.clip(theta, -1e300, 1e300) @ slopes
            top = parts.max(0)
            shares = np.exp(parts - top)
            total = shares.sum(0)
            shares /= total
        slopes = slopes[:, free]
        gradient = np.zeros((len(theta), len(free), logs.shape[1]))
        for t, k in zip(*np.nonzero(slopes.any(2)), strict=True):
            gradient[:, k] += shares[t] * slopes[t, k]

        def bend(pull: Array) -> Array:
            with np.errstate(all="ignore"):
                squares = (slopes[:, :, None] * slopes[:, None]).swapaxes(1, 3)  # (T, R, F, F)
                within = ((pull * shares) @ squares.reshape(*squares.shape[:2], -1)).sum(0)
                across = (gradient * pull[:, None]) @ gradient.swapaxes(1, 2)
                return within.reshape(across.shape) - across

        return top + np.log(total), gradient, bend

    @classmethod
    def term_slopes(cls, logs: Array) -> Array:
        """Of the logarithm of each term by each parameter in its fitted form, at logs (V, R): (T, P, R)."""
        names = cls.names()
        out = np.zeros((len(cls.terms), len(names), logs.shape[1]))
        for slope, term in zip(out, cls.terms, strict=True):
            slope[names.index(term.coefficient)] = 1.0
            for v, exponent in term.powers:
                slope[names.index(exponent)] -= logs[v]
        return out

    def loss(self, *inputs: Array) -> Array:
        columns = [np.asarray(x, float) for x, _ in zip(inputs, self.inputs, strict=True)]
        total = 0.0
        for term in self.terms:
            part = getattr(self, term.coefficient)
            for v, exponent in term.powers:
                part = part * columns[v] ** -getattr(self, exponent)
            total = total + part
        return total

    def times(self, factor: float) -> "Sum":
        """The law of `factor` times the output."""
        return replace(self, **{name: factor * getattr(self, name) for name in self.linear})
