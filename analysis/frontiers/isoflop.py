"""The best size at each budget, from valleys of loss against size at equal compute (approach 2).

Hoffmann et al. 2022, section 3.2 (parabola); Porian et al. 2024, arXiv 2406.19146, appendix
(Akima interpolation). Valleys are of log loss over log params.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.frontiers.joint_valleys import FREE, JointValleys, fit_jointly
from analysis.frontiers.minima import LOWEST, Array
from analysis.frontiers.replicates import Noise, Sizes, average_sizes, estimate_noise, seed_noise
from analysis.tables.budgets import group
from analysis.tables.mixed import refuse_mixed_units
from analysis.tables.runs import Runs, check_runs

VALLEY_METHODS = (*LOWEST, "joint")
LOST = 0.1  # share of noisy repeats with their minimum at an end beyond which a valley is flat
MOST = 6  # budgets left out that are named one by one
CLEAR = 2.0  # standard errors that a valley's curvature must be above zero, else it is flat


@dataclass(frozen=True, eq=False)
class Valley:
    """One budget's valley: its sizes with their log loss, and its optimum.

    The optimum is (params, tokens, loss) at `flops`; `low` and `high` are its 95 % interval in
    params, covering the noise and the other method, whose optimum is `other_params` (NaN where it
    has none). `draws` (S,) are optima of noisy repeats. Noise draws a minimum down: `loss` lies
    about `sunk` (in log loss) too low, and its interval and `loss_draws` (S,) are moved up by as
    much, while `loss` stays what was seen.
    """

    budget: float
    flops: float
    runs: Runs  # every row of the budget
    log_params: Array  # (n,), rising, one a size
    log_loss: Array  # (n,), mean over replicate seeds
    repeats: Array  # (n,), runs averaged
    params: float
    loss: float
    low: float
    high: float
    loss_low: float
    loss_high: float
    other_params: float
    status: str  # ok | edge | flat | few
    message: str
    draws: Array
    loss_draws: Array
    sunk: float

    @property
    def inside(self) -> bool:
        """Whether its optimum may take part in an exponent."""
        return self.status in ("ok", "flat")

    @property
    def end(self) -> str:
        """Which of its sizes is the best where that is at an edge: smallest or largest; else ""."""
        lower = self.log_loss.argmin() <= len(self.log_loss) // 2 if self.status == "edge" else None
        return {True: "smallest", False: "largest", None: ""}[lower]

    def tokens_at(self, params: float) -> float:
        """Tokens that the budget's flops give at a size, by its own runs' flops per token, which grow in
        proportion to the size beyond them; NaN where there is no size."""
        if np.isnan(params):  # a lone run interpolates anything
            return float("nan")
        rows = self.runs.select(np.argsort(self.runs.params))
        sizes, at = np.log(rows.params), np.log(params)
        beyond = at - np.clip(at, sizes[0], sizes[-1])
        per_token = np.interp(at, sizes, np.log(rows.flops / rows.tokens)) + beyond
        return float(self.flops / np.exp(per_token))

    @property
    def tokens(self) -> float:
        return self.tokens_at(self.params)


def left_out(outside: Sequence[Valley]) -> str:
    """Budgets without a minimum inside: each by name, or where they are many by how many there are."""
    if len(outside) <= MOST:
        return ", ".join(f"{valley.budget:.3g} ({valley.status})" for valley in outside)
    words = []
    for status in sorted({valley.status for valley in outside}):
        budgets = [valley.budget for valley in outside if valley.status == status]
        words.append(f"{len(budgets)} from {min(budgets):.3g} to {max(budgets):.3g} ({status})")
    return ", ".join(words)


@dataclass(frozen=True, eq=False)
class Isoflop:
    """Valleys of all budgets by one method, and the noise their intervals come from."""

    method: str
    other: str  # the method the intervals also cover; "" for joint
    window: float
    valleys: tuple[Valley, ...]
    noise: Noise
    runs: Runs
    notes: tuple[str, ...]
    budgets: tuple[float, ...] | None  # those asked for, if any
    joint: JointValleys | None = None  # the one fit of all valleys, by method joint


def find_optima(
    runs: Runs,
    *,
    method: str = "interpolate",
    window: float = 1.0,
    budgets: Sequence[float] | None = None,
    draws: int = 1000,
    seed: int = 0,
    noise: Noise | None = None,
) -> Isoflop:
    """The optimum of every budget in `runs`.

    Args:
      runs: params, tokens, flops, loss, and `budget` where the design has one.
      method: interpolate (Akima), parabola or cubic (polynomials near the minimum), or joint (all
        valleys and all their sizes at once, `joint_valleys`).
      window: polynomials use sizes within this distance in ln params of the best (cubic: 1.5 ×).
      budgets: FLOPs to group by, each taking rows within 10 %; else the budget column; else flops
        that lie together.
      draws: noisy repeats behind the intervals.
      seed: of those draws.
      noise: known from elsewhere; else estimated from `runs`.

    Raises:
      ValueError: an unknown method, or no budget could be told from the table.
    """
    check_runs(runs)
    if method not in VALLEY_METHODS:
        raise ValueError(f"method {method!r} is not one of {', '.join(VALLEY_METHODS)}")
    if not window > 0:
        raise ValueError(f"window={window} must be positive; it is a distance in ln params")
    used, notes = runs.usable(), []
    refuse_mixed_units(used)
    if not len(used):
        raise ValueError(f"{runs.source}: every run is flagged; {runs.dropped()[0][1]}")
    groups = group(used, budgets, notes)
    sizes = [average_sizes(rows, notes) for _, rows in groups]
    asked = None if budgets is None else tuple(budgets)
    if method == "joint":
        return find_jointly(groups, sizes, runs, notes, window, asked, draws, seed, noise)
    noise = noise or estimate_noise([rows for _, rows in groups], sizes, window)
    other = "parabola" if method == "interpolate" else "interpolate"
    rng = np.random.default_rng(seed)
    doubt = noise.doubt(rng, draws)
    valleys = []
    for (budget, rows), size in zip(groups, sizes, strict=True):
        normal = doubt * rng.standard_normal((draws, len(size.log_params)))
        valleys.append(make_valley(budget, rows, size, method, other, window, noise.sigma, normal))
    return Isoflop(method, other, window, tuple(valleys), noise, runs, tuple(dict.fromkeys(notes)), asked)


def find_jointly(groups, sizes, runs: Runs, notes, window, asked, draws: int, seed: int, noise) -> Isoflop:
    """The `Isoflop` of one curve through all valleys."""
    log_flops = np.array([np.log(rows.flops).mean() for _, rows in groups])
    seeds, rng = seed_noise(rows for _, rows in groups), np.random.default_rng(seed)
    fitted = fit_jointly(sizes, log_flops, noise, seeds, rng, draws)
    if fitted and not (inside := fitted.inside(sizes)).all():  # what has no valley takes no part
        fitted = fit_jointly(sizes, log_flops, noise, seeds, rng, draws, inside) or fitted
    valleys = []
    for k, ((budget, rows), size) in enumerate(zip(groups, sizes, strict=True)):
        x = size.log_params
        names = f"{len(x)} sizes from {np.exp(x[0]):.3g} to {np.exp(x[-1]):.3g} params"
        places, heights, status = np.full(2, np.nan), np.full(2, np.nan), "few"
        message = f"{names}: a joint fit needs two budgets, and {FREE} points more than it has coefficients"
        if fitted:
            places, heights = fitted.minima()[:, k], fitted.heights[:, k]
            status, message = joint_status(places[0], x, fitted.clear, names)
        judged = {"other_params": np.nan, "status": status, "message": message, "sunk": 0.0}
        parts = [(part[0], *np.percentile(part[1:], [2.5, 97.5]), part[1:]) for part in (places, heights)]
        valleys.append(to_valley(budget, rows, size, *parts, **judged))
    unknown = Noise(float("nan"), 0, "too few points for a joint fit: no interval")
    noise = fitted.noise if fitted else unknown
    return Isoflop(
        "joint", "", window, tuple(valleys), noise, runs, tuple(dict.fromkeys(notes)), asked, fitted
    )


def joint_status(place: float, x: Array, clear: float, names: str) -> tuple[str, str]:
    """Status and sentence of one of the jointly fitted valleys."""
    if clear < CLEAR:
        return "flat", f"{names}: the bend shared by all valleys is {clear:.1f} times its standard error"
    if not x[0] < place < x[-1]:
        end = "smallest" if place <= x[0] else "largest"
        return "edge", f"{names}: the joint fit has its minimum beyond the {end}; add sizes there"
    return "ok", names


def make_valley(
    budget: float,
    rows: Runs,
    size: Sizes,
    method: str,
    other: str,
    window: float,
    sigma: float,
    normal: Array,
) -> Valley:
    """One budget's `Valley`; `normal` (S, n) are the draws of its noise."""
    x, y = size.log_params, size.log_loss
    (best_x,), (best_y,), (status,) = LOWEST[method](x, y[None], window)
    (other_x,), (other_y,), (other_status,) = LOWEST[other](x, y[None], window)
    noisy = y + np.nan_to_num(sigma) / np.sqrt(size.repeats) * normal
    draw_x, draw_y, draw_status = LOWEST[method](x, noisy, window)
    status, message = valley_status(status, size, window, sigma, float(np.mean(draw_status != "ok")))
    draw_x = np.where(np.isfinite(draw_x), draw_x, best_x)
    spread = np.percentile(draw_x, [2.5, 97.5]) if np.isfinite(sigma) else [best_x] * 2
    # a minimum of noise upon noise lies twice as low as one of noise: centre on the mend of both
    known = np.isfinite(best_y) and np.isfinite(draw_y).any()
    sunk = float(best_y - np.nanmean(draw_y)) if known else 0.0
    draw_y = draw_y + 2 * sunk
    heights = np.nanpercentile(draw_y, [2.5, 97.5]) if known else [np.nan] * 2
    agreed = other_status == "ok"
    both, levels = [best_x] + [other_x] * agreed, [best_y] + [other_y] * agreed
    return to_valley(
        budget,
        rows,
        size,
        (best_x, min(spread[0], *both), max(spread[1], *both), draw_x),
        (best_y, min(heights[0], *levels), max(heights[1], *levels), draw_y),
        other_params=float(np.exp(other_x)) if agreed else np.nan,
        status=status,
        message=message,
        sunk=sunk,
    )


def to_valley(budget: float, rows: Runs, size: Sizes, places, heights, **judged) -> Valley:
    """The `Valley` of logarithms: of places (params) and heights (loss) the lowest, both ends, and draws."""
    keys = ("params", "low", "high", "draws", "loss", "loss_low", "loss_high", "loss_draws")
    numbers = dict(zip(keys, map(np.exp, (*places, *heights)), strict=True))
    flops = float(np.exp(np.log(rows.flops).mean()))
    return Valley(budget=budget, flops=flops, runs=rows, **vars(size), **numbers, **judged)


def valley_status(status: str, size: Sizes, window: float, sigma: float, lost: float) -> tuple[str, str]:
    """A valley's status word and the sentence that goes with it. `status` is the method's own, and
    `lost` the share of noisy repeats without a minimum inside."""
    x, y = size.log_params, size.log_loss
    names = f"{len(x)} sizes from {np.exp(x[0]):.3g} to {np.exp(x[-1]):.3g} params"
    if status == "few":
        return "few", f"{names}: too few near the minimum for this method"
    if status == "edge":
        end = "smallest" if y.argmin() <= len(y) // 2 else "largest"
        return "edge", f"{names}: loss is still falling at the {end}; add sizes beyond it"
    clear = curvature_over_error(size, window) / sigma if sigma > 0 else np.inf
    if clear < CLEAR or lost > LOST:
        return "flat", (
            f"{names}: the valley's bend is {clear:.1f} times its noise; "
            f"{100 * lost:.0f} % of noisy repeats have their minimum at an end"
        )
    return "ok", names


def curvature_over_error(size: Sizes, window: float) -> float:
    """Curvature of the parabola near the lowest size, over its standard error for unit noise."""
    x, y = size.log_params, size.log_loss
    order = np.argsort(np.abs(x - x[np.argmin(y)]))
    near = np.abs(x - x[order[0]]) <= 1.5 * window
    near[order[:5]] = True
    u, weights = x[near] - x[near].mean(), np.sqrt(size.repeats[near])
    parabola, covariance = np.polyfit(u, y[near], 2, w=weights, cov="unscaled")
    return float(parabola[0] / np.sqrt(covariance[0, 0]))
