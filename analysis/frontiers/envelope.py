"""The best run at each compute, from the lower envelope of training curves (approach 1).

Hoffmann et al. 2022, section 3.1: at each of many log-spaced FLOP values, the run of least loss
gives the best params and tokens. Of a schedule that decays to the end of a run only the last point
is the loss of a run of that many tokens (`tables.schedule`); `points="final"` uses only those.
"""

from dataclasses import dataclass

import numpy as np

from analysis.frontiers.heights import Curves, Heights, common_span, run_heights, size_heights, split_curves
from analysis.frontiers.lines import Line
from analysis.laws import Array
from analysis.tables.curves import join_counts, run_names
from analysis.tables.runs import Runs, check_runs
from analysis.tables.schedule import Curve, Schedule, find_schedule

POINTS = ("all", "final")
STAIRS = 4  # sizes on the envelope for a line: m stairs flatten it by up to 1/m²


@dataclass(frozen=True, eq=False)
class Envelope:
    """The best run at each of K FLOP values.

    `status` (K,) is ok, or edge where the best is the smallest or the largest size that reaches
    there: the optimum may lie beyond it. `progress` (K,) is the share of its own final tokens that
    the best run had seen. `draws` are (params, loss, whether inside), each (S, K), of runs drawn
    with replacement: points of one curve are not independent, runs are.
    """

    flops: Array
    params: Array
    tokens: Array
    loss: Array
    status: tuple[str, ...]
    run: tuple[str, ...]  # of final points: the size's run that ends nearest
    progress: Array
    draws: tuple[Array, Array, Array] | None
    points: str
    schedule: Schedule
    curves: tuple[Curve, ...]
    source: Runs

    @property
    def inside(self) -> Array:
        """Which points (K,) are ok."""
        return np.array(self.status) == "ok"

    @property
    def sizes(self) -> int:
        return len({curve.params for curve in self.curves})

    @property
    def trusted(self) -> bool:
        """Whether the schedule lets these points stand for runs of their tokens, or is unknown."""
        return self.points == "final" or self.schedule.kind != "decaying"


def trace_envelope(
    rows: Runs,
    *,
    run: str | None = None,
    table: Runs | None = None,
    points: str = "all",
    levels: int = 100,
    smooth: float = 0.1,
    draws: int = 1000,
    seed: int = 0,
) -> Envelope:
    """The lower envelope of training curves.

    Args:
      rows: points of many runs: a run's name, params, tokens, flops (spent so far) and loss.
      run: the column of the name, where it is not run_id or run.
      table: one row a run. Sizes, and FLOPs per token, are then the table's, see `tables.curves`;
        final points are its rows.
      points: all, or final: only the last of each run, those of one size joined to a curve.
      levels: K, spread evenly in log FLOPs over where at least three sizes reach.
      smooth: points of a curve within bins of this width in ln FLOPs are averaged, in logarithms.
      draws: S resamples of runs for intervals; 0 is none.
      seed: of the resamples.

    Raises:
      ValueError: no column names the run, a run of several sizes, or nowhere three sizes that
        reach the same compute.
    """
    check_runs(rows)
    if points not in POINTS:
        raise ValueError(f"points {points!r} is not one of {', '.join(POINTS)}")
    if levels < 2 or not smooth >= 0:
        raise ValueError(f"levels={levels} must be 2 or more, and smooth={smooth} 0 or more")
    if table is not None:
        rows = table if points == "final" else join_counts(rows, table, run)
    used = rows.usable()
    if not len(used):
        raise ValueError(f"{rows.source}: every row is flagged; {rows.dropped()[0][1]}")
    ids = run_names(used, run)
    curves = split_curves(used, ids, 0.0 if points == "final" else smooth)
    if points == "all":
        curves = tuple(curve for curve in curves if len(curve.log_flops) > 1)
    if not curves:
        raise ValueError(
            f"{rows.source}: no run has more than one point; --points final is for tables of finished runs"
        )
    levels_of = lowest_points(curves, points, rows.source, levels, draws, seed)
    return Envelope(
        **levels_of,
        points=points,
        schedule=find_schedule(used, ids, table, curves),
        curves=curves,
        source=rows,
    )


def lowest_points(curves: Curves, points: str, source: str, levels: int, draws: int, seed: int) -> dict:
    """What an `Envelope` says of each of its FLOP values, by the names of its fields."""
    sizes, which = np.unique([curve.params for curve in curves], return_inverse=True)
    owner = sizes[which] if points == "all" else sizes
    everyone = np.ones(len(curves), bool)
    at = np.linspace(*common_span(curves, points, source), levels)
    for _ in range(2):  # again without FLOP values in a gap that no curve reaches
        heights = run_heights(curves, at) if points == "all" else size_heights(curves, at)
        loss = heights(everyone, "log_loss")
        at = at[np.isfinite(loss).any(0)]
    every = np.arange(len(at))
    best, inside = lowest(loss, owner)
    log_tokens = heights(everyone, "log_tokens")[best, every]
    if points == "all":
        runs = [curves[b] for b in best]
        progress = np.minimum(np.exp(log_tokens - [run.log_tokens[-1] for run in runs]), 1.0)
    else:
        own = [[curve for curve in curves if curve.params == size] for size in owner[best]]
        ends = zip(own, at, strict=True)
        runs = [min(ones, key=lambda curve: abs(curve.log_flops[-1] - x)) for ones, x in ends]
        progress = np.ones(len(at))
    return {
        "flops": np.exp(at),
        "params": owner[best],
        "tokens": np.exp(log_tokens),
        "loss": np.exp(loss[best, every]),
        "status": tuple(np.where(inside, "ok", "edge").tolist()),
        "run": tuple(run.run for run in runs),
        "progress": progress,
        "draws": draw_runs(heights, owner, len(curves), len(at), draws, seed) if draws else None,
    }


def lowest(loss: Array, owner: Array) -> tuple[Array, Array]:
    """(which curve is lowest, whether a smaller and a larger size reach there too), each (K,), of
    losses (curves, K) of sizes `owner` (curves,)."""
    best = loss.argmin(0)
    there = np.isfinite(loss)
    small = np.where(there, owner[:, None], np.inf).min(0)
    large = np.where(there, owner[:, None], -np.inf).max(0)
    return best, (owner[best] > small) & (owner[best] < large)


def draw_runs(heights: Heights, owner: Array, runs: int, levels: int, draws: int, seed: int):
    """(params, loss, inside), each (S, K), of runs drawn with replacement; a minimum does not care
    how often a run is drawn, so a draw is which runs it holds."""
    rng = np.random.default_rng(seed)
    params, level = np.full((2, draws, levels), np.nan)
    inside = np.zeros((draws, levels), bool)
    for s in range(draws):
        held = np.zeros(runs, bool)
        held[rng.integers(0, runs, runs)] = True
        loss = heights(held, "log_loss")
        best, inside[s] = lowest(loss, owner)
        least = loss[best, np.arange(levels)]
        seen = np.isfinite(least)
        params[s, seen], level[s, seen] = owner[best][seen], np.exp(least[seen])
    return params, level, inside


def envelope_line(envelope: Envelope) -> Line:
    """The least-squares `Line` through the points that are ok, and through those of each resample.
    A resample whose points are all of one size says nothing of a slope: NaN."""
    x, y, good = np.log(envelope.flops), np.log(envelope.params), envelope.inside
    middle = x[good].mean()
    slope, height = np.polyfit(x[good] - middle, y[good], 1)
    slopes = heights = np.empty(0)
    if envelope.draws is not None:
        params, _, inside = envelope.draws
        weight = inside.astype(float)
        with np.errstate(all="ignore"):
            drawn = np.where(inside, np.log(params), 0.0)
            total = weight.sum(1)
            x_mean, y_mean = (weight * x).sum(1) / total, drawn.sum(1) / total
            across = weight * (x - x_mean[:, None])
            slopes = (across * drawn).sum(1) / (across**2).sum(1)
        several = np.array([len(np.unique(row[row > 0])) >= 2 for row in drawn])
        slopes = np.where(several, slopes, np.nan)
        heights = y_mean + slopes * (middle - x_mean)
    return Line(middle, np.array([slope, slope, *slopes]), np.array([height, height, *heights]))


def envelope_status(envelope: Envelope) -> tuple[str, str]:
    """Status and message of a whole envelope; first whether its points may be used at all."""
    good, progress = envelope.inside, envelope.progress
    sizes = len(np.unique(envelope.params[good]))
    message = f"{good.sum()} of {len(good)} FLOP values have a best size inside, {sizes} sizes in all"
    if not good.all():
        message += "; at the others the best is the smallest or largest that reaches there (edge)"
    status = "ok" if sizes >= STAIRS else ("few" if good.any() else "edge")
    if status == "few":
        off = 100 / sizes**2
        message += f"; a line through so few stairs is too flat by up to {off:.0f} %"
    if envelope.points == "final":
        return status, f"the last row of a run is taken for its end. {message}"
    seen = f"{100 * progress.min():.2g} to {100 * progress.max():.3g} %"
    why = "above that of a run made for those tokens, and the exponent is biased"
    if not envelope.trusted:
        return "unidentified" if sizes >= 2 else status, (
            f"mid-curve losses of a decaying schedule are NOT losses at those tokens "
            f"({envelope.schedule.message}): each lies {why}; the best runs were {seen} through. Only "
            f"final points can be trusted (--points final). {message}"
        )
    if envelope.schedule.kind == "unknown":
        message = (
            f"ASSUMES a learning rate that does not decay along a curve "
            f"({envelope.schedule.message}): if it does, mid-curve losses lie {why}; the best runs "
            f"were {seen} through. {message}"
        )
    return status, message
