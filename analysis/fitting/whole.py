"""A law of whole training curves fitted to curves of known learning rates, and asked for the rest of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from analysis.laws import Array
from analysis.laws.whole import Momentum, MultiPower

CurveLaw = Momentum | MultiPower
LEAST = 5  # points before the cut
REACH = 4.0  # times beyond the grid that an exponent may go
FALLEN = 0.9  # of its peak, below which a rate has fallen


@dataclass(frozen=True, eq=False)
class Curve:
    """One run: the learning rate of each of its T updates, and its losses (P,) after updates `steps` (P,),
    rising, from 1 to T."""

    run: str
    params: float
    rates: Array
    steps: Array
    losses: Array

    def part(self, rows: Array) -> "Curve":
        return Curve(self.run, self.params, self.rates, self.steps[rows], self.losses[rows])

    @property
    def falls_at(self) -> int:
        """The update from which the rate is below nine tenths of its peak; T + 1 where it never is."""
        low = self.rates < FALLEN * self.rates.max()
        low[: int(np.argmax(self.rates))] = False
        return int(np.argmax(low)) + 1 if low.any() else len(self.rates) + 1

    @property
    def level(self) -> float:
        """The last loss before the rate falls; the first of all where there is none."""
        return float(self.losses[max(0, int(np.sum(self.steps < self.falls_at)) - 1)])


def fit_curves(
    kind: type[CurveLaw], curves: Sequence[Curve], fixed: dict[str, float] | None = None
) -> CurveLaw:
    """The law of least squared relative error over all points of curves of one model.

    Coefficients follow from the exponents by least squares and are not below zero (Golub & Pereyra 1973;
    Lawson & Hanson 1974); exponents are searched from a grid. `fixed` parameters are held.

    Raises:
      ValueError: fewer points than free coefficients, or a loss or rate that is not above zero.
    """
    from scipy.optimize import minimize, nnls  # slow to import

    fixed = dict(fixed or {})
    losses = np.concatenate([curve.losses for curve in curves])
    free = [i for i, name in enumerate(kind.linear) if name not in fixed]
    if len(losses) <= len(free):
        raise ValueError(f"{len(losses)} points for the {len(free)} coefficients of {kind.__name__}")
    if not (losses > 0).all() or any(curve.rates[0] <= 0 for curve in curves):
        raise ValueError("losses and the first learning rate of a run must be above zero")
    held = np.array([fixed.get(name, 0.0) for name in kind.linear])

    def solve(values: dict[str, float]) -> tuple[float, Array]:
        basis = np.concatenate([kind.basis(c.rates, c.steps, **values) for c in curves], 1) / losses
        unit = np.maximum(np.abs(basis[free]).max(1), 1e-300)
        found, left = nnls((basis[free] / unit[:, None]).T, np.maximum(0.0, 1 - held @ basis))
        out = held.copy()
        out[free] = found / unit
        return left, out

    axes = {name: (fixed[name],) if name in fixed else values for name, values in kind.grid.items()}
    tried = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    moving = [name for name in kind.polished if name not in fixed]
    ends = {name: (min(axes[name]) / REACH, max(axes[name]) * REACH) for name in moving}

    def polish(start: dict[str, float]) -> dict[str, float]:
        if not moving:
            return start

        def at(logs: Array) -> dict[str, float]:
            moved = zip(moving, np.exp(logs), strict=True)
            return start | {name: float(np.clip(value, *ends[name])) for name, value in moved}

        first = np.log([start[name] for name in moving])
        options = {"xatol": 1e-4, "fatol": 1e-10, "maxiter": 60 * len(moving)}
        return at(minimize(lambda logs: solve(at(logs))[0], first, method="Nelder-Mead", options=options).x)

    starts: dict[tuple, list] = {}  # by what is not polished
    for values in tried:
        starts.setdefault(tuple(v for name, v in values.items() if name not in moving), []).append(values)
    polished = [polish(min(some, key=lambda each: solve(each)[0])) for some in starts.values()]
    best = min(polished, key=lambda each: solve(each)[0])
    return kind(**dict(zip(kind.linear, map(float, solve(best)[1]), strict=True)), **best)


@dataclass(frozen=True, eq=False)
class Rest:
    """What the points of a curve up to update `cut` say of those beyond: losses (K,) `predicted` by the law
    under the rates known ahead; `steady`, by the same law of a rate that matters by its sum alone."""

    curve: Curve
    cut: int
    law: CurveLaw
    predicted: Array
    steady: Array

    @property
    def ahead(self) -> Array:
        return self.curve.steps > self.cut

    def errors(self, predicted: Array) -> Array:
        """In percent of what was measured (K,)."""
        return 100 * (predicted / self.curve.losses[self.ahead] - 1)


def gains(laws: Sequence[tuple[Curve, CurveLaw]], run: str = "") -> dict[str, float]:
    """What a fall of the rate gains, by the laws of whole curves in which it falls, those of `run` left out:
    the last coefficient, in shares of the loss before it for a fall of the whole peak, and the exponents
    beside alpha; the median each. Empty where there is no such curve."""
    falling = [(curve, law) for curve, law in laws if curve.run != run and curve.falls_at < curve.steps[-2]]
    if not falling:
        return {}
    kind = type(falling[0][1])
    last, further = kind.linear[-1], [name for name in kind.grid if name != "alpha"]
    shares = [getattr(law, last) * curve.rates.max() / curve.level for curve, law in falling]
    return {last: float(np.median(shares))} | {
        name: float(np.median([getattr(law, name) for _, law in falling])) for name in further
    }


def forecast_rest(
    kind: type[CurveLaw], curve: Curve, part: float, gain: dict[str, float] | None = None
) -> Rest | None:
    """The rest of a curve from its first `part` of updates under its known rates; None where fewer than five
    points are before the cut, or none is beyond. What a fall gains, which a curve does not show before its
    rate falls, is taken from `gain` (see `gains`), else fitted."""
    cut = int(part * len(curve.rates))
    before = curve.steps <= cut
    if before.sum() < LEAST or before.all():
        return None
    seen, ahead, fixed = curve.part(before), curve.steps[~before], dict(gain or {})
    last = kind.linear[-1]
    if fixed:
        fixed[last] *= seen.level / curve.rates.max()
    law = fit_curves(kind, [seen], fixed)
    steady = fit_curves(Momentum, [seen], {"C": 0.0, "decay": 0.999})
    return Rest(curve, cut, law, law.loss(curve.rates, ahead), steady.loss(curve.rates, ahead))
