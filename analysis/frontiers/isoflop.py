"""The best size at each budget, from valleys of loss against size at equal compute (approach 2).

Hoffmann et al. 2022, section 3.2 (parabola); Porian et al. 2024, arXiv 2406.19146, appendix
(Akima interpolation). Curves are of log loss over log params.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.frontiers.minima import LOWEST, Array
from analysis.tables.budgets import group
from analysis.tables.runs import Runs

METHODS = ("interpolate", "parabola", "cubic")
LOST = 0.1  # share of noisy repeats with their minimum at an end beyond which a valley is flat
CLEAR = 2.0  # standard errors that a valley's curvature must be above zero, else it is flat
# columns that may differ between replicates: seeds, what came out, and where it ran
OUTCOMES = (
    "run_id seed data_seed init_seed row status loss loss_se bits_per_byte perplexity train_loss "
    "held_out_tokens seconds wall_seconds io_seconds compile_seconds tokens_per_second "
    "flops_utilization device devices way host hostname python jax commit version versions schema "
    "created started finished asked_for reason init_from flops_spent"
).split()


@dataclass(frozen=True, eq=False)
class Profile:
    """One budget's valley: its sizes with their log loss, and its optimum.

    The optimum is (params, tokens, loss) at `flops`; `low` and `high` are its 95 % interval in
    params, covering the noise and the other method. `draws` (S,) are optima of noisy repeats.
    Noise draws a minimum down: `loss` lies about `sunk` (in log loss) too low, and its interval and
    `loss_draws` (S,) are moved up by as much, while `loss` stays what was seen.
    """

    budget: float
    flops: float
    runs: Runs  # every row of the budget
    log_params: Array  # (n,), rising, one a size
    log_loss: Array  # (n,), mean over replicate seeds
    repeats: Array  # (n,), runs averaged
    params: float
    tokens: float
    loss: float
    low: float
    high: float
    loss_low: float
    loss_high: float
    status: str  # ok | edge | flat | few
    message: str
    draws: Array
    loss_draws: Array
    cost_line: tuple[Array, Array]  # log params -> log flops per token, rising
    sunk: float


@dataclass(frozen=True, eq=False)
class Isoflop:
    """Optima of all budgets by one method, and the noise their intervals come from."""

    method: str
    other: str  # the method the intervals also cover
    window: float
    profiles: tuple[Profile, ...]
    sigma: float  # standard deviation of log loss between runs that differ only in seed
    sigma_source: str
    other_params: Array  # (budgets,), optima by the other method
    runs: Runs
    notes: tuple[str, ...]
    budgets: tuple[float, ...] | None  # as asked for, where they were
    freedom: int  # degrees of freedom of sigma


def optima(
    runs: Runs,
    *,
    method: str = "interpolate",
    window: float = 1.0,
    budgets: Sequence[float] | None = None,
    draws: int = 1000,
    seed: int = 0,
    known: tuple[float, int, str] | None = None,
) -> Isoflop:
    """The optimum of every budget in `runs`.

    Args:
      runs: params, tokens, flops, loss, and `budget` where the design has one.
      method: interpolate (Akima), parabola or cubic (polynomials near the minimum).
      window: polynomials use sizes within this distance in ln params of the best (cubic: 1.5 ×).
      budgets: FLOPs to group by, each taking rows within 10 %; else the budget column; else flops
        that lie together.
      draws: noisy repeats behind the intervals.
      seed: of those draws.
      known: noise told from elsewhere, as `noise` gives it.

    Raises:
      ValueError: an unknown method, or no budget could be told from the table.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if not window > 0:
        raise ValueError(f"window={window} must be positive; it is a distance in ln params")
    used, notes = runs.usable(), []
    if not len(used):
        raise ValueError(f"{runs.source}: every run is flagged; {runs.dropped()[0][1]}")
    groups = group(used, budgets, notes)
    sizes = [by_size(rows, notes) for _, rows in groups]
    sigma, freedom, source = known or noise(groups, sizes, window)
    other = "parabola" if method == "interpolate" else "interpolate"
    rng = np.random.default_rng(seed)
    # sigma is itself known only as well as `freedom` seeds allow: Student's t, shared by a draw
    doubt = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1))) if freedom else 1.0
    pairs = []
    for (budget, rows), size in zip(groups, sizes, strict=True):
        normal = doubt * rng.standard_normal((draws, len(size[0])))
        pairs.append(profile(budget, rows, size, method, other, window, sigma, normal))
    profiles = tuple(p for p, _ in pairs)
    others = np.array([o for _, o in pairs])
    return Isoflop(
        method,
        other,
        window,
        profiles,
        sigma,
        source,
        others,
        runs,
        tuple(dict.fromkeys(notes)),
        tuple(budgets) if budgets is not None else None,
        freedom,
    )


def by_size(rows: Runs, notes: list[str]) -> tuple[Array, Array, Array]:
    """(log params, log loss, repeats), each (n,), one entry a size.

    Rows equal but for their seed are averaged; of other rows of one size the best counts. Sizes
    within 3 % are one size read twice, and averaged: a curve through both would swing wildly.
    """
    log_params, size = np.unique(np.log(rows.params), return_inverse=True)
    count, mean, _, first = replicates(rows)
    order = np.lexsort((mean, size[first]))  # by size, the best kind first
    at, chosen = np.unique(size[first][order], return_index=True)
    if len(at) < len(order):
        notes.append("where runs of one size differ in more than their seed, the best counts")
    best = order[chosen]
    x, y, repeats = log_params[at], mean[best], count[best]
    label, start = np.zeros(len(x), int), x[0]
    for i in range(1, len(x)):
        apart = x[i] - start > 0.03
        label[i] = label[i - 1] + apart
        start = x[i] if apart else start
    if label[-1] + 1 < len(x):
        notes.append("sizes within 3 % of each other are averaged")
    total = np.bincount(label, repeats)
    x, y = (np.bincount(label, repeats * values) / total for values in (x, y))
    return x, y, total


def replicates(rows: Runs) -> tuple[Array, Array, Array, Array]:
    """(count, mean, sum of squares about it, first row), each (kinds,), of the log losses of rows
    that are equal but for their seed."""
    codes: dict[tuple, int] = {}
    kind = np.array([codes.setdefault(key, len(codes)) for key in identity(rows)])
    log_loss = np.log(rows.loss)
    count = np.bincount(kind)
    mean = np.bincount(kind, log_loss) / count
    squares = np.bincount(kind, (log_loss - mean[kind]) ** 2)
    return count, mean, squares, np.unique(kind, return_index=True)[1]


def identity(rows: Runs) -> list[tuple]:
    """What must be equal for two rows to be replicates: every column that is not an outcome.

    Without a seed column every row is its own kind."""
    if not (rows.has("seed") or rows.has("data_seed")):
        return [(int(row),) for row in rows.rows]
    skip = set(OUTCOMES) | {rows.roles.get("loss", "loss")}
    names = [name for name in rows.columns if name not in skip]
    columns = [
        np.where(np.isnan(c), -1.0, c) if c.dtype != object else c
        for c in (rows.columns[name] for name in names)
    ]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def noise(groups, sizes, window: float) -> tuple[float, int, str]:
    """(standard deviation of log loss between seeds, its degrees of freedom, where it is from)."""
    squares, freedom, cells = 0.0, 0, 0
    for _, rows in groups:
        count, _, within, _ = replicates(rows)
        squares += float(within[count > 1].sum())
        freedom += int((count - 1).sum())
        cells += int((count > 1).sum())
    if freedom:
        sigma = float(np.sqrt(squares / freedom))
        runs = freedom + cells
        where = f"{cells} cell{'s' * (cells > 1)}"
        return sigma, freedom, f"{runs} runs in {where} that differ only in seed"
    squares, freedom = 0.0, 0
    for x, y, repeats in sizes:
        near = np.abs(x - x[np.argmin(y)]) <= 1.5 * window
        if near.sum() >= 5:
            gap = y[near] - np.polyval(
                np.polyfit(x[near] - x[near].mean(), y[near], 3), x[near] - x[near].mean()
            )
            squares += float(repeats[near] @ gap**2)
            freedom += int(near.sum()) - 4
    if freedom:
        sigma = float(np.sqrt(squares / freedom))
        return sigma, freedom, "residuals of cubics through the valleys"
    return float("nan"), 0, "no replicate seeds, and too few sizes to see noise: no interval"


def profile(budget, rows: Runs, size, method: str, other: str, window: float, sigma: float, normal):
    """One `Profile` with its interval, and the other method's optimum (NaN where it has none)."""
    x, y, repeats = size
    order = np.argsort(rows.params)
    line = (np.log(rows.params[order]), np.log(rows.flops[order] / rows.tokens[order]))
    flops = float(np.exp(np.log(rows.flops).mean()))
    best_x, best_y, status = lowest(method, x, y[None], window)
    other_x, other_y, other_status = lowest(other, x, y[None], window)
    noisy = y + np.nan_to_num(sigma) / np.sqrt(repeats) * normal
    draw_x, draw_y, draw_status = lowest(method, x, noisy, window)
    lost = float(np.mean(draw_status != "ok"))
    status, message = explain(status[0], size, window, sigma, lost)
    draw_x = np.where(np.isfinite(draw_x), draw_x, best_x[0])
    spread = np.percentile(draw_x, [2.5, 97.5]) if np.isfinite(sigma) else [best_x[0]] * 2
    # a minimum of noise upon noise lies twice as low as one of noise: centre on the mend of both
    sunk = float(best_y[0] - np.nanmean(draw_y)) if np.isfinite(draw_y).any() else 0.0
    draw_y = draw_y + 2 * sunk
    heights = np.nanpercentile(draw_y, [2.5, 97.5]) if np.isfinite(draw_y).any() else [np.nan] * 2
    both = [best_x[0]] + ([other_x[0]] if other_status[0] == "ok" else [])
    tall = [best_y[0]] + ([other_y[0]] if other_status[0] == "ok" else [])
    per_token = np.exp(np.interp(best_x[0], *line))
    found = Profile(
        budget,
        flops,
        rows,
        x,
        y,
        repeats,
        params=float(np.exp(best_x[0])),
        tokens=float(flops / per_token) if np.isfinite(best_x[0]) else float("nan"),
        loss=float(np.exp(best_y[0])),
        low=float(np.exp(min(spread[0], *both))),
        high=float(np.exp(max(spread[1], *both))),
        loss_low=float(np.exp(min(heights[0], *tall))),
        loss_high=float(np.exp(max(heights[1], *tall))),
        status=status,
        message=message,
        draws=np.exp(draw_x),
        loss_draws=np.exp(draw_y),
        cost_line=line,
        sunk=sunk,
    )
    return found, float(np.exp(other_x[0])) if other_status[0] == "ok" else float("nan")


def lowest(method: str, x: Array, log_loss: Array, window: float):
    """(ln params, log loss, status), each (S,), of the minimum of S profiles over sizes x (n,)."""
    return LOWEST[method](x, log_loss, window)


def explain(status: str, size, window: float, sigma: float, lost: float):
    """A point's status word and the sentence that goes with it."""
    x, y, repeats = size
    names = f"{len(x)} sizes from {np.exp(x[0]):.3g} to {np.exp(x[-1]):.3g} params"
    if status == "few":
        return "few", f"{names}: too few near the minimum for this method"
    if status == "edge":
        end = "smallest" if y.argmin() <= len(y) // 2 else "largest"
        return "edge", f"{names}: loss is still falling at the {end}; add sizes beyond it"
    clear = bend(x, y, repeats, window) / sigma if sigma > 0 else np.inf
    if clear < CLEAR or lost > LOST:
        return "flat", (
            f"{names}: the valley's bend is {clear:.1f} times its noise; "
            f"{100 * lost:.0f} % of noisy repeats have their minimum at an end"
        )
    return "ok", names


def bend(x: Array, y: Array, repeats: Array, window: float) -> float:
    """Curvature of the parabola near the lowest size, over its standard error for unit noise."""
    order = np.argsort(np.abs(x - x[np.argmin(y)]))
    near = np.abs(x - x[order[0]]) <= 1.5 * window
    near[order[:5]] = True
    u, w = x[near] - x[near].mean(), np.sqrt(repeats[near])
    design = w[:, None] * np.stack([u**2, u, np.ones_like(u)], 1)
    inverse = np.linalg.pinv(design.T @ design)
    curvature = (inverse @ design.T @ (w * y[near]))[0]
    return float(curvature / np.sqrt(inverse[0, 0]))
