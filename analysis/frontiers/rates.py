"""The best learning rate of every cell, from losses at several rates, and the rule that carries it on.

Near the best rate the logarithm of the loss is a parabola in the logarithm of the rate. All cells share its
curvature, each has its own vertex; a rule ln rate = ln c + a ln params + b ln tokens + g ln batch goes
through the vertices by their precision (the form of Li et al. 2025, arXiv 2503.04715, and Bjorck et al.
2024, arXiv 2409.19913).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from analysis.fitting.band import Band
from analysis.laws import Array
from analysis.tables.headers import find
from analysis.tables.runs import Runs

BATCHES = ("batch_tokens", "global_batch_size", "train_batch_size", "batch_size", "bsz", "batch")
SAME = 1.03  # counts closer than this are of one cell: whole updates end a little elsewhere
HEIGHTS = (0.05, 0.1, 0.2)  # ln loss above a cell's lowest beyond which no parabola is looked for
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
class Rates:
    """What a table of rates says. `curvature` is that of ln loss in ln rate, `noise` the standard deviation
    of ln loss about the parabolas. `status` is ok, few or flat, and `message` says why."""

    setting: str
    sweeps: list[Sweep]
    curvature: float
    noise: float
    rule: Rule | None
    status: str
    message: str

    def price(self, factor: float) -> float:
        """The share by which loss rises where the rate is a factor off the best."""
        return float(np.expm1(self.curvature / 2 * np.log(factor) ** 2))


def best_rates(runs: Runs, setting: str = "learning_rate") -> Rates:
    """The best rate of every cell of params, tokens and batch, and the rule through them.

    Args:
      runs: params, tokens, loss, and a column of the setting; rows at equal rates of a cell (seeds) count
        each. Diverged runs, flagged by the table, are left out.
      setting: the column of the rates, or of another positive setting tuned alike.

    Raises:
      ValueError: no such column, or no cell with three rates.
    """
    used, name = runs.usable(), find(runs.columns, (setting, "lr")[: 1 + (setting == "learning_rate")])
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
    fitted = parabolas(tried)
    sweeps = [sweep(*cell, fitted, i) for i, cell in enumerate(tried)]
    if not curved(tried):
        message = f"no valley in {name}: loss does not rise on both sides of a best one beyond its noise"
        return Rates(name, sweeps, fitted.curvature, fitted.noise, None, "flat", message)
    if not fitted.freedom > 0:
        message = "as many numbers to find as losses: add rates, or seeds"
        return Rates(name, sweeps, fitted.curvature, fitted.noise, None, "few", message)
    rule, status, message = fit_rule(sweeps, fitted)
    left = len(cells) - len(tried)
    message += f"; {left} cells of fewer than {FEW} rates are left out" * bool(left)
    return Rates(name, sweeps, fitted.curvature, fitted.noise, rule, status, message)


def cells_of(runs: Runs, setting: str) -> list[tuple[dict[str, float], Array]]:
    """(place, rows) of every cell, its counts the middle ones of its rows."""
    batch = find([column for column in runs.columns if column != setting], BATCHES)
    inputs = {"params": runs.params, "tokens": runs.tokens}
    if batch and runs.columns[batch].dtype != object and (runs.columns[batch] > 0).all():
        inputs[batch] = runs.columns[batch]
    keys = np.stack([groups(values) for values in inputs.values()])
    kinds, which = np.unique(keys, axis=1, return_inverse=True)
    rows = [np.flatnonzero(which.ravel() == i) for i in range(kinds.shape[1])]
    return [({name: float(np.median(x[own])) for name, x in inputs.items()}, own) for own in rows]


def groups(values: Array) -> Array:
    """Codes (R,) of counts, equal for neighbours within `SAME`."""
    order = np.argsort(values)
    steps = np.cumsum(np.diff(np.log(values[order]), prepend=np.log(values[order[0]])) > np.log(SAME))
    codes = np.empty(len(values), int)
    codes[order] = steps
    return codes


@dataclass(frozen=True, eq=False)
class Parabolas:
    """The vertices (C,) in ln rate, one curvature, and their `covariance` (C + 1, C + 1) at the `noise` with
    `freedom` degrees."""

    vertices: Array
    curvature: float
    covariance: Array
    noise: float
    freedom: int

    @property
    def spread(self) -> Array:
        return np.sqrt(np.diag(self.covariance))


def parabolas(cells: Sequence[tuple[dict, Array, Array]]) -> Parabolas:
    """Least squares on ln loss, each cell's height by projection, of the points near the lowest ones: higher
    ones too where those leave fewer than two degrees of freedom a cell to tell the noise by."""
    for height in HEIGHTS:
        near = [near_lowest(x, y, height) for _, x, y in cells]
        freedom = sum(keep.sum() for keep in near) - 2 * len(cells) - 1
        if freedom >= 2 * len(cells):
            break
    xs = [x[keep] for (_, x, _), keep in zip(cells, near, strict=True)]
    ys = [y[keep] for (*_, y), keep in zip(cells, near, strict=True)]
    starts = [x[np.argmin(y)] for _, x, y in cells]
    which = np.repeat(np.arange(len(cells)), [len(x) for x in xs])
    x, y, size = np.concatenate(xs), np.concatenate(ys), np.bincount(which)

    def residuals(theta: Array) -> Array:
        rest = y - theta[-1] / 2 * (x - theta[:-1][which]) ** 2
        return rest - (np.bincount(which, rest) / size)[which]

    done = least_squares(residuals, np.array([*starts, 0.05]), x_scale="jac")
    noise = np.sqrt((done.fun**2).sum() / freedom) if freedom > 0 else np.nan
    covariance = np.linalg.pinv(done.jac.T @ done.jac) * noise**2
    return Parabolas(done.x[:-1], float(done.x[-1]), covariance, float(noise), int(freedom))


def near_lowest(x: Array, y: Array, height: float) -> Array:
    """Which points (K,) lie within a height of the lowest, or are among the `FEW` rates next to it."""
    rates = np.unique(x)
    beside = rates[np.argsort(abs(rates - x[np.argmin(y)]))[:FEW]]
    return (y - y.min() < height) | np.isin(x, beside)


def curved(cells: Sequence[tuple[dict, Array, Array]]) -> bool:
    """Whether losses rise on both sides beyond their noise, by all of every cell: points chosen for lying
    near the lowest are curved whatever the losses are."""
    size = len(cells)
    design = np.zeros((sum(len(x) for _, x, _ in cells), 2 * size + 1))
    row = 0
    for i, (_, x, _) in enumerate(cells):
        own = slice(row, row := row + len(x))
        design[own, i], design[own, size + i], design[own, -1] = 1, x - x.mean(), (x - x.mean()) ** 2
    y = np.concatenate([y for *_, y in cells])
    best, *_ = np.linalg.lstsq(design, y, rcond=None)
    freedom = max(len(y) - design.shape[1], 1)
    noise = ((y - design @ best) ** 2).sum() / freedom
    spread = np.sqrt(noise * np.linalg.pinv(design.T @ design)[-1, -1])
    return bool(best[-1] > student.ppf(0.99, freedom) * spread)


def sweep(place: dict[str, float], x: Array, y: Array, fitted: Parabolas, i: int) -> Sweep:
    """One cell with its vertex judged."""
    order, vertex = np.argsort(x), fitted.vertices[i]
    reach = student.ppf(0.975, fitted.freedom) * fitted.spread[i]
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


def fit_rule(sweeps: list[Sweep], fitted: Parabolas) -> tuple[Rule | None, str, str]:
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
    weight = np.linalg.pinv(fitted.covariance[:-1, :-1][np.ix_(own, own)])
    covariance = np.linalg.pinv(design.T @ weight @ design)
    coefficients = covariance @ design.T @ weight @ fitted.vertices[own]
    rest = fitted.vertices[own] - design @ coefficients
    birge = max(1.0, float(rest @ weight @ rest) / spare) if spare else 1.0
    freedom = spare if birge > 1 else fitted.freedom
    rule = Rule(inputs, coefficients, covariance * birge, float(student.ppf(0.975, freedom)), along)
    message = f"through {len(places)} cells"
    if along:
        message += f"; {' and '.join(along)} moved with {' and '.join(inputs)}, which stand for both"
    if not spare:
        message += "; as many exponents as cells: nothing tests the rule"
    return rule, "ok" if spare else "few", message + outside


def independent(logs: Mapping[str, Array]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inputs that earlier ones do not predict, and those that they do."""
    kept, along = [], []
    for name, x in logs.items():
        design = np.stack([np.ones(len(x)), *(logs[other] for other in kept)], 1)
        rest = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
        (along if rest.var() < (1 - ALIKE) * x.var() else kept).append(name)
    return tuple(kept), tuple(along)
