"""Where a fitted law is optimal along a cost, and how that grows, with intervals made side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.fitting.band import Band
from analysis.fitting.prediction import drift_beyond, weighed
from analysis.fitting.regression import Fit
from analysis.frontiers.costs import Cost
from analysis.frontiers.lines import Extend
from analysis.laws import Array, Law

NONE = np.empty(0)


def growths(fitted: Fit, costs: Sequence[Cost]) -> list[Band]:
    """a of params ∝ flops^a at the optimum of a fitted law under each cost."""
    return bands(fitted, costs, costs[0], NONE)[0]


def optimum_bands(fitted: Fit, cost: Cost, flops: Array, a: Band | None = None) -> tuple[Band, Extend]:
    """a of params ∝ flops^a, made here where it is not given, and a function flops (K,) -> Bands of params,
    tokens and loss at the optimum of a fitted law. It keeps what it made, of `flops` from the first: profiles
    take long, and a page asks again."""
    optima = Optima(fitted, cost)
    return [*optima.make(flops, [cost] * (a is None)), a][0], optima


@dataclass(frozen=True, eq=False)
class Optima:
    """flops (K,) -> Bands of params, tokens and loss at the optimum of a fitted law; `known`: those made
    before, of a budget the three bands (3, 3)."""

    fitted: Fit
    cost: Cost
    known: dict[float, np.ndarray] = field(default_factory=dict)

    def make(self, flops: Array, costs: Sequence[Cost] = ()) -> list[Band]:
        """a under each of `costs`; the bands of budgets that are new are kept."""
        new = np.array([each for each in dict.fromkeys(flops.tolist()) if each not in self.known])
        if not new.size and not costs:
            return []
        grown, made = bands(self.fitted, costs, self.cost, new)
        made = np.array([[band.value, band.low, band.high] for band in made])
        self.known.update(zip(new.tolist(), np.moveaxis(made, -1, 0), strict=True))
        return grown

    def __call__(self, flops: Array) -> tuple[Band, Band, Band]:
        self.make(flops)
        parts = np.array([self.known[each] for each in flops.tolist()]).reshape(-1, 3, 3)
        return tuple(Band(*part) for part in np.moveaxis(parts, 0, -1))


@np.errstate(all="ignore")  # where an end of a parameter is open, an end of these is
def bands(
    fitted: Fit, costs: Sequence[Cost], cost: Cost, flops: Array
) -> tuple[list[Band], tuple[Band, Band, Band]]:
    """a under each of `costs`, and params, tokens and loss (Bands of (K,)) at `flops` under `cost`."""
    start, many = fitted.runs.flops.min(), len(costs)

    def numbers(law: Law) -> Array:
        params, tokens = law.optimum(flops, cost.k, cost.p)
        at = {"params": params, "tokens": tokens, "flops": flops}
        loss = law.loss(*(at[name] for name in law.inputs))
        return np.concatenate([*(exponent(law, each, start) for each in costs), np.log(params), loss], -1)

    value, (low, high) = numbers(fitted.law), fitted.band(numbers)
    if fitted.forms:
        drift = drift_beyond(fitted, fitted.law.optimum(flops, cost.k, cost.p)) * value[many + len(flops) :]
        drift = np.concatenate([np.zeros(many + len(flops)), drift])
        value, low, high = weighed(fitted, numbers, low, high, drift)
    grown = [Band.from_ends(*each) for each in zip(value[:many], low[:many], high[:many], strict=True)]
    (size, loss), low, high = (np.split(part[many:], 2) for part in (value, low, high))
    small, large, tokens = np.exp(low[0]), np.exp(high[0]), cost.tokens
    return grown, (
        Band.from_ends(np.exp(size), small, large),
        Band.from_ends(tokens(np.exp(size), flops), tokens(large, flops), tokens(small, flops)),
        Band.from_ends(loss, low[1], high[1]),
    )


def exponent(law: Law, cost: Cost, flops: float) -> Array:
    """a of a law's optimum: its own, or its slope over a factor e of compute."""
    if hasattr(law, "exponents"):
        return np.atleast_1d(law.exponents(cost.p)[0])
    few, many = (np.log(law.optimum(np.array([c]), cost.k, cost.p)[0]) for c in (flops, np.e * flops))
    return many - few
