"""bend: whether the largest runs leave the law of the smaller ones, as far as a forecast would carry it on.

Beside the fitted law stands one that bends: log loss = the law's + slope · max(0, ln C - ln knot), with every
parameter refitted (to first order, by weighted least squares) at each knot between levels of compute. A slope
many standard errors from zero is a bend; the clearest of many knots is the sup-F test of an unknown break
(Andrews 1993, Econometrica 61). How much it matters is told by two numbers: how far the bent law's forecast
lies from the law's, and by how much the law of the runs below a quarter of the compute misses the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis import fitting
from analysis.audit import rows
from analysis.audit.findings import Finding
from analysis.audit.neighbourhood import Neighbourhood, neighbourhood
from analysis.fitting import Fit
from analysis.frontiers import Cost
from analysis.laws import Array, lacking

CLEAR = 4.0  # standard errors from which a slope is a bend
SHARE = 2 / 3  # of the error asked for: either number is less than what a forecast then misses by
MUCH = 4 / 3  # of it, from which a bend need not be clear: where the runs do not exclude it, nor do they hold
QUARTER = 4.0  # below the largest compute by this factor are the runs whose law is asked for the others
WITHIN = 0.03  # the error asked for, where nobody says one
AHEAD = 8.0  # times the largest compute, where nobody asks about a place
HEAVY = 2.5  # standard deviations of noise beyond which a row weighs less
BELOW = 2  # levels of compute that a knot has below it, at least


@dataclass(frozen=True, eq=False)
class Bend:
    """The clearest bend of a table. Above compute `knot` the log loss leaves the law by `slope` for every
    factor e, `z` standard errors; `shift` (K,) is how far the bent law lies above the law at the places asked
    about, and `missed` (K,) how far the law of the runs below a quarter of the compute lies above the others
    (their median; 0 for places inside the table), in log loss."""

    knot: float
    slope: float
    z: float
    shift: Array
    missed: Array | float = 0.0

    @property
    def size(self) -> Array:
        """By how much (K,) a forecast is off, of the log loss, at least."""
        return np.maximum(np.abs(self.shift), np.abs(self.missed))

    def speaks_against(self, within: float) -> Array:
        """Which forecasts (K,) to a share `within` of the loss are not to be relied on."""
        return (abs(self.z) > CLEAR) & (self.size > SHARE * within)

    def forbids(self, within: float) -> Array:
        """Which forecasts (K,) cannot be promised to a share `within`: against which a clear bend speaks, or
        which one that the runs do not exclude would move by much more."""
        return self.speaks_against(within) | (self.size > MUCH * within)

    def __str__(self) -> str:
        return (
            f"above {self.knot:.3g} FLOPs the loss leaves the law by {100 * self.slope:+.2g} % for every "
            f"factor e of compute ({abs(self.z):.2g} standard errors)"
        )


def find_bend(fitted: Fit, flops: Array, places: Sequence[Array]) -> Bend | None:
    """The clearest bend of the rows from a fitted law; None where too few levels of compute could show one.

    Args:
      fitted: its rows have flops.
      flops: (K,) of the places asked about.
      places: the law's inputs there, (K,) each.
    """
    near = neighbourhood(fitted)
    compute = np.log(fitted.runs.flops)
    level = rows.levels(fitted.runs.flops, 8)
    knots = [compute[level == below].max() for below in range(BELOW - 1, level.max())]
    if not knots or len(compute) < len(near.problem.free) + 2:
        return None
    bends = [bend_at(near, knot, compute, np.log(flops), np.log(places)) for knot in knots]
    beyond = np.asarray(flops) > fitted.runs.flops.max()
    missed = miss_above(fitted) if beyond.any() else 0.0
    return replace(max(bends, key=lambda bend: abs(bend.z)), missed=np.where(beyond, missed, 0.0))


def miss_above(fitted: Fit) -> float:
    """The median log error of the law of the runs below a quarter of the compute, asked for the others; 0
    where those cannot be fitted."""
    runs, objective = fitted.runs, fitted.objective
    below = runs.flops <= runs.flops.max() / QUARTER * (1 + 1e-9)
    columns = {"inputs": fitted.inputs, "output": fitted.output, "fixed": fitted.fixed}
    options = {"objective": objective.name, "delta": objective.delta or 1e-3, "judge": False}
    if below.sum() <= len(fitted.law.names()) or below.all():
        return 0.0
    law = fitting.fit(type(fitted.law), runs.select(below), **columns, **options).law
    above = runs.select(~below)
    with np.errstate(all="ignore"):
        predicted = np.log(law.loss(*(above.column(name) for name in fitted.inputs)))
    missed = float(np.median(predicted - np.log(above.column(fitted.output))))
    return missed if np.isfinite(missed) else 0.0


def bend_at(near: Neighbourhood, knot: float, compute: Array, ahead: Array, places: Array) -> Bend:
    """The bend at one knot. `knot`, `compute` (R,), `ahead` (K,) and `places` (V, K) are logarithms."""
    kind, free, gap = near.problem.law, near.problem.free, -near.fitted.residuals
    root = np.sqrt(np.minimum(1.0, HEAVY * near.noise / np.maximum(np.abs(gap), 1e-300)))
    own = kind.log_predict(near.theta[None], near.problem.logs)[1][0][free]  # as `gap`, of log loss
    columns = np.vstack([own, np.maximum(0.0, compute - knot)]) * root
    unit = np.maximum(np.sqrt((columns**2).sum(1)), 1e-300)
    columns = columns / unit[:, None]
    inverse = np.linalg.pinv(columns @ columns.T, rcond=1e-10)
    solved = inverse @ columns @ (gap * root)
    left = gap * root - solved @ columns
    noise = max(float(np.sqrt((left**2).sum() / max(1, len(gap) - len(columns)))), 1e-6)
    z = float(solved[-1] / (noise * np.sqrt(max(inverse[-1, -1], 1e-300))))
    moved = solved / unit
    centre = kind.centre(np.log([near.fitted.runs.column(name) for name in near.fitted.inputs]))
    slopes = kind.log_predict(near.theta[None], places - centre[:, None])[1][0][free]  # (F, K)
    shift = moved[:-1] @ slopes + moved[-1] * np.maximum(0.0, ahead - knot)
    return Bend(float(np.exp(knot)), float(moved[-1]), z, shift)


def check(fitted: Fit, price: Cost, at: Sequence[float] = ()) -> list[Finding]:
    """bend: of the law's optima at 8 times the largest compute, and at those of `at` that lie beyond it."""
    if lacking(type(fitted.law), "optimum") or set(fitted.law.inputs) != {"params", "tokens"}:
        return []
    top = float(fitted.runs.flops.max())
    flops = np.array([AHEAD * top, *(each for each in at if each > top)])
    with np.errstate(all="ignore"):
        places = fitted.law.optimum(flops, price.k, price.p)
    if not np.isfinite(places).all() or not (bend := find_bend(fitted, flops, places)):
        return []
    against = bend.speaks_against(WITHIN)
    numbers = {"knot": bend.knot, "slope": bend.slope, "z": bend.z, "missed": float(bend.missed[0])}
    numbers |= {"at": flops.tolist(), "shift": bend.shift.tolist()}
    if not against.any():
        text = f"no bend that moves a forecast: at the clearest place {bend}"
        return [Finding("bend", "ok", text, numbers)]
    first = int(np.argmax(against))
    text = (
        f"The law bends: {bend}, so that at {flops[first]:.3g} FLOPs it is off by "
        f"{100 * bend.size[first]:.2g} % at least. Do not forecast by it beyond the table: fit the larger "
        "runs alone, or train one nearer to the place."
    )
    return [Finding("bend", "refuse" if against[1:].any() else "warn", text, numbers)]
