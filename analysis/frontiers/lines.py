"""Straight lines in logarithms through optima: exponents, their intervals, and what lies beyond."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.fitting.band import Band, scalar
from analysis.fitting.solve import Problem, grid, minimise, project
from analysis.frontiers.costs import Cost
from analysis.laws import Array, PowerLaw

FLOOR_POINTS = 5  # optima needed before a floor of the loss is fitted through them


@dataclass(frozen=True, eq=False)
class Line:
    """ln params = height + slope · (ln flops - middle), in S noisy repeats too (`slopes`,
    `heights`, each (S,)), and by a second method (slope, height)."""

    middle: float
    slope: float
    height: float
    slopes: Array
    heights: Array
    second: tuple[float, float]

    def params(self, flops: Array) -> Array:
        """The line's params at budgets (K,)."""
        return np.exp(self.height + self.slope * (np.log(flops) - self.middle))


@dataclass(frozen=True, eq=False)
class Losses:
    """How the loss falls along the optima: `predict` gives (K,) and its repeats (S, K) at flops
    (K,); seen down to `least` at `last` FLOPs, through `points` optima."""

    predict: Callable[[Array], tuple[Array, Array]]
    least: float
    last: float
    points: int


def through(flops: Array, params: Array, draws: Array | None = None, other: Array | None = None):
    """The least-squares `Line` through optima (K,), their noisy repeats `draws` (K, S), and those
    of the second method `other` (K,), NaN where it has none."""
    x, y = np.log(flops), np.log(params)
    middle = x.mean()
    slope, height = np.polyfit(x - middle, y, 1)
    slopes, heights = np.full((2, 1), np.nan)
    if draws is not None:
        noisy = np.log(draws)
        slopes, heights = np.polyfit(x - middle, noisy, 1)
        wide = scatter(x, y, noisy, slope, height)
        slopes, heights = slope + wide * (slopes - slope), height + wide * (heights - height)
    seen = np.isfinite(other) if other is not None else np.zeros(len(x), bool)
    second = (slope, height)
    if seen.sum() >= 2:
        second = tuple(np.polyfit(x[seen] - middle, np.log(other[seen]), 1))
    return Line(middle, slope, height, slopes, heights, second)


def extend(line: Line, flops: Array, tokens: Array, losses: Losses, cost: Cost, noisy: bool):
    """(params exponent, tokens exponent, extrapolation) of a `Line` and its tokens (K,) at `flops`.

    Tokens follow from params by the cost function; their line is that of the optima's own tokens,
    as a table's flops may differ a little from the cost. Without `noisy` there are no intervals.
    """
    slope, height, middle, second = line.slope, line.height, line.middle, line.second
    b_value, d_height = np.polyfit(np.log(flops) - middle, np.log(tokens), 1)
    shift = b_value - (1 - cost.p * slope)
    b_draws = 1 - cost.p * line.slopes + shift
    a = scalar(Band.of(slope, line.slopes if noisy else None, second[0]))
    b = scalar(Band.of(b_value, b_draws if noisy else None, 1 - cost.p * second[0] + shift))

    def at(budgets: Array) -> tuple[Band, Band, Band]:
        far = np.log(budgets) - middle
        n = np.exp(height + slope * far)
        n_draws = np.exp(line.heights[:, None] + line.slopes[:, None] * far)
        n_also = np.exp(second[1] + second[0] * far)
        d = np.exp(d_height + b_value * far)
        d_draws = np.exp(d_height - cost.p * (line.heights - height)[:, None] + b_draws[:, None] * far)
        d_also = np.exp(d_height - cost.p * (second[1] - height) + (1 - cost.p * second[0] + shift) * far)
        level, level_draws = losses.predict(budgets)
        if not noisy:
            return Band.of(n, None), Band.of(d, None), Band.of(level, None)
        # without a fitted floor the loss may stop falling anywhere beyond the last budget
        floor = np.maximum(level, losses.least) if losses.points < FLOOR_POINTS else level
        return (
            Band.of(n, n_draws, n_also),
            Band.of(d, d_draws, d_also),
            Band.of(level, level_draws, np.where(budgets > losses.last, floor, level)),
        )

    return a, b, at


def nowhere(flops: Array):
    raise ValueError("fewer than two budgets have an optimum inside, so there is no line to extend")


def losses_through(flops: Array, loss: Array, draws: Array) -> Losses:
    """The loss along optima at flops (K,), with their losses (K,) and noisy repeats (S, K)."""
    predict = loss_line(np.log(flops), loss, draws)
    return Losses(predict, float(loss.min()), float(flops.max()), len(loss))


def scatter(x: Array, y: Array, draws: Array, slope: float, height: float) -> float:
    """How many times wider the optima lie about their line than their noise says; at least 1
    (the Birge ratio)."""
    noise = draws.std(1)
    if len(x) < 3 or not (noise > 0).all():
        return 1.0
    gap = (y - height - slope * (x - x.mean())) / noise
    return float(max(1.0, np.sqrt((gap**2).sum() / (len(x) - 2))))


def loss_note(points: int) -> str:
    if points >= FLOOR_POINTS:
        return "a power law with a floor"
    return f"a power law without floor, as fewer than {FLOOR_POINTS} budgets cannot show one"


def loss_line(x: Array, loss: Array, draws: Array):
    """A function flops (K,) -> (loss (K,), draws (S, K)) through the optima's losses (n,), (S, n):
    a power law, with a floor where five budgets or more can show one."""
    middle = x.mean()
    logs = (x - middle)[None]
    fixed = {} if len(x) >= FLOOR_POINTS else {"E": 0.0}
    free = np.array([i for i, name in enumerate(PowerLaw.names()) if name not in fixed])
    start = project(PowerLaw, logs, loss, grid(PowerLaw, fixed), fixed)[:4]
    found, _ = minimise(Problem(PowerLaw, logs, loss, "ls-log", 1.0, free), start)
    log_pred = PowerLaw.log_predict(found, logs)[0]
    best = found[np.argmin(((log_pred - np.log(loss)) ** 2).sum(1))]
    kept = draws[np.isfinite(draws).all(1)]
    spread = np.empty((0, 3))
    if len(kept):
        problem = Problem(PowerLaw, logs, kept, "ls-log", 1.0, free)
        spread, _ = minimise(problem, np.tile(best, (len(kept), 1)), rounds=40)

    def line(flops: Array) -> tuple[Array, Array]:
        far = (np.log(flops) - middle)[None]

        def predict(theta):
            return np.exp(PowerLaw.log_predict(theta, far)[0])

        return predict(best[None])[0], predict(spread)

    return line
