"""The best learning rate of every cell, from losses at several rates, and the rule that carries it on.

Near the best rate ln loss is a parabola k z²/2 in z = ln(rate / best). Each cell has its own best, by the
losses near its lowest; all share k, or each has its own, as the losses tell: a run of few updates pays more
for a low rate than a long one. A rule ln rate = ln c + a ln params + b ln tokens + g ln batch goes through
the bests by their precision (the form of Li et al. 2025, arXiv 2503.04715, and Bjorck et al. 2024, arXiv
2409.19913).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.fitting.band import Band
from analysis.laws import Array
from analysis.tables.headers import ALL_RATES, BATCHES, find, normalize
from analysis.tables.kinds import clusters
from analysis.tables.runs import Runs

SAME = 1.03  # counts closer than this are of one cell: whole updates end a little elsewhere
HEIGHT = 0.1  # ln loss above a cell's lowest beyond which no valley is looked for
FLAT = 1e-6  # curvature: no less, so that there is a best
FEW = 3  # rates a cell needs
ALIKE = 0.99  # R² by the inputs before it from which an input moves with them


@dataclass(frozen=True, eq=False)
class Sweep:
    """One cell: `place` names its inputs; `rates` and `losses` (K,) are what was tried, rising; `best` is
    the vertex. `status` is ok, edge (the vertex lies outside the rates tried), few or flat, with a
    `message`."""

    place: dict[str, float]
    rates: Array
    losses: Array
    best: Band
    status: str
    message: str


@dataclass(frozen=True, eq=False)
class Rule:
    """ln rate = coefficients · (1, ln inputs), with its covariance and the t quantile of 95 %; `along` names
    the inputs that move with others here, whose exponent those have taken."""

    inputs: tuple[str, ...]
    coefficients: Array
    covariance: Array
    quantile: float
    along: tuple[str, ...]

    def exponents(self) -> dict[str, Band]:
        reach = self.quantile * np.sqrt(np.diag(self.covariance))
        bands = map(Band, self.coefficients, self.coefficients - reach, self.coefficients + reach)
        return dict(zip(self.inputs, list(bands)[1:], strict=True))

    def at(self, place: Mapping[str, float]) -> Band:
        """The best rate at a place, with the interval of the rule."""
        x = np.array([1.0, *(np.log(place[name]) for name in self.inputs)])
        middle, reach = x @ self.coefficients, self.quantile * np.sqrt(x @ self.covariance @ x)
        return Band(*np.exp([middle, middle - reach, middle + reach]).tolist())


@dataclass(frozen=True, eq=False)
class Valleys:
    """The bests (C,) in ln rate, each with its `curvature` k (C,), and their `covariance` (C, C) at the
    `noise` of ln loss, with `freedom` degrees; `aicc` judges whether they share k."""

    bests: Array
    curvature: Array
    covariance: Array
    noise: float
    freedom: int
    aicc: float

    @property
    def spread(self) -> Array:
        return np.sqrt(np.clip(np.diag(self.covariance), 0, None))  # rounding leaves some below 0


@dataclass(frozen=True, eq=False)
class Rates:
    """What a table of rates says. `status` is ok, few or flat, and `message` says why."""

    setting: str
    sweeps: list[Sweep]
    valleys: Valleys
    rule: Rule | None
    status: str
    message: str

    def price(self, factor: float) -> float:
        """The share by which loss rises where the rate is so many times the best."""
        return float(np.expm1(np.median(self.valleys.curvature) * np.log(factor) ** 2 / 2))


def best_rates(runs: Runs, setting: str = "learning_rate") -> Rates:
    """The best rate of every cell of params, tokens and batch, and the rule through them.

    Args:
      runs: params, tokens, loss, and a column of the setting; rows at equal rates of a cell (seeds) count
        each. Diverged runs, flagged by the table, are left out.
      setting: the column of the rates, or of another positive setting tuned alike.

    Raises:
      ValueError: no such column, or no cell with three rates.
    """
    used, others = runs.usable(), (*ALL_RATES, "lrs") if setting == "learning_rate" else ()
    name = setting if setting in runs.columns else find(runs.columns, (normalize(setting), *others))
    if name is None:
        raise ValueError(
            f"{runs.source}: no column {setting!r} of the rates tried; name it with --setting COL"
        )
    rates = used.column(name)
    if rates.dtype == object or not (rates > 0).all():
        raise ValueError(f"{runs.source}: {name} must be a positive number in every row")
    cells = [(place, np.log(rates[rows]), np.log(used.loss[rows])) for place, rows in cells_of(used, name)]
    tried = [cell for cell in cells if len(np.unique(cell[1])) >= FEW]
    if not tried:
        raise ValueError(
            f"{runs.source}: no cell of equal params, tokens and batch has {FEW} values of {name}; "
            f"it has {len(cells)} cells"
        )
    valleys = fit_valleys(tried)
    sweeps = [sweep(*cell, valleys, i) for i, cell in enumerate(tried)]
    if not curved(tried):
        message = f"no valley in {name}: loss does not rise on both sides of a best one beyond its noise"
        return Rates(name, sweeps, valleys, None, "flat", message)
    if not valleys.freedom > 0:
        message = "as many numbers to find as losses: add rates, or seeds"
        return Rates(name, sweeps, valleys, None, "few", message)
    rule, status, message = fit_rule(sweeps, valleys)
    left = len(cells) - len(tried)
    message += f"; {left} cells of fewer than {FEW} rates are left out" * bool(left)
    return Rates(name, sweeps, valleys, rule, status, message)


def cells_of(runs: Runs, setting: str) -> list[tuple[dict[str, float], Array]]:
    """(place, rows) of every cell, its counts the middle ones of its rows."""
    batch = find([column for column in runs.columns if column != setting], BATCHES)
    inputs = {"params": runs.params, "tokens": runs.tokens}
    if batch and runs.columns[batch].dtype != object and (runs.columns[batch] > 0).all():
        inputs[batch] = runs.columns[batch]
    keys = np.stack([clusters(values, np.log(SAME)) for values in inputs.values()])
    kinds, which = np.unique(keys, axis=1, return_inverse=True)
    rows = [np.flatnonzero(which.ravel() == i) for i in range(kinds.shape[1])]
    return [({name: float(np.median(x[own])) for name, x in inputs.items()}, own) for own in rows]


def fit_valleys(cells: Sequence[tuple[dict, Array, Array]]) -> Valleys:
    """Parabolas through the losses near each cell's lowest: of one curvature, or of one for each cell where
    that is worth its parameters by AICc."""
    near = [(x[keep], y[keep]) for _, x, y in cells for keep in [near_lowest(x, y)]]
    tries = [valleys_of(near, own) for own in (False, True)]
    return min(tries, key=lambda each: each.aicc)


def valleys_of(points: Sequence[tuple[Array, Array]], own: bool) -> Valleys:
    """A parabola for each cell's losses, with a curvature of its `own` or one that all share."""
    found, inverse, total, freedom = parabolas(points, own)
    size, count = sum(len(x) for x, _ in points), len(points)
    bends = range(2 * count, len(found))
    slopes, curvature = found[count : 2 * count], np.maximum(2 * found[2 * count :], FLAT)
    gradient = np.zeros((count, len(found)))  # of a best, -slope / curvature from its cell's middle
    gradient[:, count : 2 * count] = -np.eye(count) / curvature
    gradient[np.arange(count), bends if own else bends[0]] = 2 * slopes / curvature**2
    bests = np.array([x.mean() for x, _ in points]) - slopes / curvature
    noise = float(np.sqrt(total / freedom)) if freedom > 0 else np.nan
    price = 2 * len(found) * size / (freedom - 1) if freedom > 1 else np.inf
    aicc = size * np.log(max(total, 1e-300) / size) + price
    covariance = gradient @ inverse @ gradient.T * noise**2
    return Valleys(bests, np.broadcast_to(curvature, count), covariance, noise, freedom, aicc)


def parabolas(points: Sequence[tuple[Array, Array]], own: bool) -> tuple[Array, Array, float, int]:
    """Least squares of a height and a slope for each cell, by x from its middle, and coefficients of x²:
    these numbers (P,), the inverse (P, P) of their normal matrix, the sum of squares that they leave, and its
    degrees of freedom."""
    count = len(points)
    design = np.zeros((sum(len(x) for x, _ in points), 3 * count if own else 2 * count + 1))
    row = 0
    for i, (x, _) in enumerate(points):
        cell, x = slice(row, row := row + len(x)), x - x.mean()
        design[cell, i], design[cell, count + i] = 1, x
        design[cell, 2 * count + i if own else -1] = x**2
    y = np.concatenate([y for _, y in points])
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ design.T @ y
    return found, inverse, float(((y - design @ found) ** 2).sum()), len(y) - design.shape[1]


def near_lowest(x: Array, y: Array) -> Array:
    """Which points (K,) lie within `HEIGHT` of the lowest, or are among the `FEW` rates next to it."""
    rates = np.unique(x)
    beside = rates[np.argsort(abs(rates - x[np.argmin(y)]))[:FEW]]
    return (y - y.min() < HEIGHT) | np.isin(x, beside)


def curved(cells: Sequence[tuple[dict, Array, Array]]) -> bool:
    """Whether losses rise on both sides beyond their noise, by all of every cell: points chosen for lying
    near the lowest are curved whatever the losses are."""
    found, inverse, total, freedom = parabolas([(x, y) for _, x, y in cells], own=False)
    spread = np.sqrt(total / max(freedom, 1) * inverse[-1, -1])
    return bool(found[-1] > quantile(0.99, max(freedom, 1)) * spread)


def sweep(place: dict[str, float], x: Array, y: Array, valleys: Valleys, i: int) -> Sweep:
    """One cell with its vertex judged."""
    order, vertex = np.argsort(x), valleys.bests[i]
    reach = quantile(0.975, valleys.freedom) * valleys.spread[i]
    status, message = "ok", "bracketed on both sides"
    if not x.min() <= vertex <= x.max():
        side = "above" if vertex > x.max() else "below"
        status, message = (
            "edge",
            f"the best lies {side} all rates tried: try {2 if vertex > x.max() else 0.5:g} ×",
        )
    with np.errstate(over="ignore"):
        best = Band(*np.exp([vertex, vertex - reach, vertex + reach]).tolist())
    return Sweep(place, np.exp(x[order]), np.exp(y[order]), best, status, message)


def fit_rule(sweeps: list[Sweep], valleys: Valleys) -> tuple[Rule | None, str, str]:
    """The rule through the vertices inside the rates tried, weighted by their precision, its interval
    widened by how far they lie about it (Birge's ratio)."""
    own = np.array([each.status == "ok" for each in sweeps])
    places = [each.place for each in sweeps if each.status == "ok"]
    outside = f"; {(~own).sum()} of {len(own)} cells have their best outside the rates tried" * bool(
        (~own).any()
    )
    if len(places) < 2:
        return None, "few", f"{len(places)} cells with a best rate inside those tried make no rule{outside}"
    logs = {name: np.log([place[name] for place in places]) for name in places[0]}
    moving = [name for name, x in logs.items() if np.ptp(x) > np.log(SAME)]
    inputs, along = independent({name: logs[name] for name in moving})
    design = np.stack([np.ones(len(places)), *(logs[name] for name in inputs)], 1)
    spare = len(places) - design.shape[1]
    if spare < 0 or not inputs:
        lacks = (
            f"{len(places)} cells for {len(inputs)} exponents" if inputs else "the cells differ in nothing"
        )
        return None, "few", f"{lacks}: add cells of other sizes or lengths{outside}"
    # the vertices' errors are correlated by the shared curvature alone
    weight = np.linalg.pinv(valleys.covariance[np.ix_(own, own)])
    covariance = np.linalg.pinv(design.T @ weight @ design)
    coefficients = covariance @ design.T @ weight @ valleys.bests[own]
    rest = valleys.bests[own] - design @ coefficients
    birge = max(1.0, float(rest @ weight @ rest) / spare) if spare else 1.0
    freedom = spare if birge > 1 else valleys.freedom
    rule = Rule(inputs, coefficients, covariance * birge, quantile(0.975, freedom), along)
    message = f"through {len(places)} cells"
    if along:
        message += f"; {' and '.join(along)} moved with {' and '.join(inputs)}, which stand for both"
    if not spare:
        message += "; as many exponents as cells: nothing tests the rule"
    return rule, "ok" if spare else "few", message + outside


def quantile(level: float, freedom: float) -> float:
    """Of Student's t."""
    from scipy.special import stdtrit  # slow to import

    return float(stdtrit(freedom, level))


def independent(logs: Mapping[str, Array]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inputs that earlier ones do not predict, and those that they do."""
    kept, along = [], []
    for name, x in logs.items():
        design = np.stack([np.ones(len(x)), *(logs[other] for other in kept)], 1)
        rest = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
        (along if rest.var() < (1 - ALIKE) * x.var() else kept).append(name)
    return tuple(kept), tuple(along)
