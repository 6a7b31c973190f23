"""Straight lines in logarithms through optima: exponents, their intervals, and what lies beyond."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from analysis.fitting.band import Band
from analysis.fitting.solve import Problem, grid, minimise, project
from analysis.frontiers.costs import Cost
from analysis.laws import Array, PowerLaw

FLOOR_POINTS = 5  # optima needed before a floor of the loss is fitted through them
NO_FLOOR = "a power law without floor"  # which beyond the budgets is too low
Extend = Callable[[Array], tuple[Band, Band, Band]]  # flops (K,) -> params, tokens, loss


@dataclass(frozen=True, eq=False)
class Line:
    """ln params = height + slope · (ln flops - middle), with its `slopes` and `heights` (2 + S,):
    those of the optima, of a second method's, and of S noisy repeats (0 where noise is unknown)."""

    middle: float
    slopes: Array
    heights: Array

    def params(self, flops: Array) -> Array:
        """The optima's line at budgets (K,)."""
        return np.exp(self.heights[0] + self.slopes[0] * (np.log(flops) - self.middle))


@dataclass(frozen=True, eq=False)
class Exponents:
    """params ∝ flops^a and tokens ∝ flops^b along a line, and what it says of other budgets."""

    a: Band
    b: Band
    extend: Extend
    loss_note: str  # how loss is extrapolated
    noise: float = float("nan")  # standard deviation of a over noisy repeats


def fit_line(flops: Array, params: Array, draws: Array | None = None, other: Array | None = None) -> Line:
    """The least-squares `Line` through optima (K,), their noisy repeats `draws` (K, S), and those
    of the second method `other` (K,), NaN where it has none."""
    x, y = np.log(flops), np.log(params)
    middle = x.mean()
    x = x - middle
    best = second = np.polyfit(x, y, 1)
    seen = np.isfinite(other) if other is not None else np.zeros(len(x), bool)
    if seen.sum() >= 2:
        second = np.polyfit(x[seen], np.log(other[seen]), 1)
    noisy = np.empty((2, 0))
    if draws is not None:
        noisy = np.polyfit(x, np.log(draws), 1)
        noisy = best[:, None] + birge_ratio(x, y, np.log(draws), best) * (noisy - best[:, None])
    return Line(middle, *np.column_stack([best, second, noisy]))


def birge_ratio(x: Array, y: Array, draws: Array, line: Array) -> float:
    """How many times wider optima (K,) lie about their line than their noise says; at least 1."""
    noise = draws.std(1)
    if len(x) < 3 or not (noise > 0).all():
        return 1.0
    gap = (y - np.polyval(line, x)) / noise
    return float(max(1.0, np.sqrt((gap**2).sum() / (len(x) - 2))))


def extrapolate(
    line: Line, flops: Array, tokens: Array, loss: Array, loss_draws: Array, cost: Cost
) -> Exponents:
    """The exponents of a `Line`, and its params, tokens and loss at other budgets.

    Tokens follow from params by the cost function; their line is that of the optima's own tokens,
    as a table's flops may differ a little from the cost.

    Args:
      line: of params through the optima.
      flops, tokens, loss: the optima (K,).
      loss_draws: noisy repeats of loss (S, K); S is 0 where the noise is unknown.
      cost: of params and tokens.
    """
    middle, noisy = line.middle, line.slopes.size > 2
    slope, height = np.polyfit(np.log(flops) - middle, np.log(tokens), 1)
    slopes = slope - cost.p * (line.slopes - line.slopes[0])
    heights = height - cost.p * (line.heights - line.heights[0])
    losses = Losses(flops, loss, loss_draws if noisy else loss_draws[:0])
    extend = partial(along, line, Line(middle, slopes, heights), losses)
    noise = float(line.slopes[2:].std()) if noisy else float("nan")
    return Exponents(band(line.slopes), band(slopes), extend, loss_note(len(flops)), noise)


def band(values: Array) -> Band:
    """The first of (2 + S, ...), over its repeats and the second method's."""
    return Band.from_draws(values[0], values[2:], values[1])


def along(sizes: Line, tokens: Line, losses: "Losses", budgets: Array) -> tuple[Band, Band, Band]:
    params, seen = (
        np.exp(line.heights[:, None] + line.slopes[:, None] * (np.log(budgets) - line.middle))
        for line in (sizes, tokens)
    )
    return band(params), band(seen), losses.at(budgets)


def no_line(points: int) -> Exponents:
    """What fewer than two optima say."""
    unknown = Band(np.nan, np.nan, np.nan)
    return Exponents(unknown, unknown, nowhere, loss_note(points))


def nowhere(flops: Array) -> tuple[Band, Band, Band]:
    raise ValueError("fewer than two budgets have an optimum inside, so there is no line to extend")


def loss_note(points: int) -> str:
    if points >= FLOOR_POINTS:
        return "a power law with a floor"
    return f"{NO_FLOOR} through the optima: fewer than {FLOOR_POINTS} budgets cannot show one"


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses (n,) of optima at `flops` (n,), with noisy repeats (S, n), and what they say of other budgets
    by a power law, with a floor where five budgets or more can show one, and through the optima where not."""

    flops: Array
    loss: Array
    draws: Array

    def at(self, budgets: Array) -> Band:
        x, far = np.log(self.flops), np.log(budgets)
        middle = x.mean()
        (level,), draws = (np.exp(PowerLaw.log_predict(t, (far - middle)[None])[0]) for t in self.fitted)
        also = level
        if len(x) < FLOOR_POINTS:  # without a floor the law bends past the optima: add what it leaves of each
            seen = np.log(np.vstack([self.loss, self.draws[np.isfinite(self.draws).all(1)]]))
            left = seen - PowerLaw.log_predict(np.vstack(self.fitted), (x - middle)[None])[0]
            left = np.exp([np.interp(far, x, row) for row in left])
            level, draws = level * left[0], draws * left[1:]
            # and loss may stop falling past the last budget
            also = np.where(budgets > self.flops.max(), np.maximum(level, self.loss.min()), level)
        return Band.from_draws(level, draws, also)

    @cached_property
    def fitted(self) -> tuple[Array, Array]:
        """The law's parameters (1, 3), and those of repeats (S, 3): where a loss is asked for, as most who
        ask for exponents ask for none."""
        x = np.log(self.flops)
        logs = (x - x.mean())[None]
        fixed = {} if len(x) >= FLOOR_POINTS else {"E": 0.0}
        free = np.array([i for i, name in enumerate(PowerLaw.names()) if name not in fixed])
        start = project(PowerLaw, logs, self.loss, grid(PowerLaw, fixed), fixed)[:4]
        ends, _ = minimise(Problem(PowerLaw, logs, self.loss, "ls-log", 1.0, free), start)
        log_pred = PowerLaw.log_predict(ends, logs)[0]
        best = ends[np.argmin(((log_pred - np.log(self.loss)) ** 2).sum(1))]
        kept = self.draws[np.isfinite(self.draws).all(1)]
        spread = np.empty((0, 3))
        if len(kept):
            problem = Problem(PowerLaw, logs, kept, "ls-log", 1.0, free)
            spread, _ = minimise(problem, np.tile(best, (len(kept), 1)), rounds=40)
        return best[None], spread
