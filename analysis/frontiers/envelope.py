"""The best run at each compute, from the lower envelope of training curves (approach 1).

Hoffmann et al. 2022, section 3.1: at each of many log-spaced FLOP values, the run of least loss
gives the best params and tokens. Of a schedule that decays to the end of a run only the last point
is the loss of a run of that many tokens (`tables.schedule`); `points="final"` uses only those.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.frontiers.lines import Line
from analysis.frontiers.minima import akima
from analysis.laws import Array
from analysis.tables.curves import check_sizes, join_counts, run_names
from analysis.tables.runs import Runs
from analysis.tables.schedule import Curve, Schedule, find_schedule

Heights = Callable[[Array, str], Array]  # (which runs are drawn (R,), what) -> (curves, K)
POINTS = ("all", "final")
SIZES = 3  # sizes that must reach a FLOP value for one of them to lie inside
STAIRS = 4  # sizes on the envelope for a line: m stairs flatten it by up to 1/m²
ALIKE = 0.01  # final points of one size within this share of FLOPs are replicates


@dataclass(frozen=True, eq=False)
class Envelope:
    """The best run at each of K FLOP values.

    `status` (K,) is ok, or edge where the best is the smallest or the largest size that reaches
    there: the optimum may lie beyond it. `progress` (K,) is the share of its own final tokens that
    the best run had seen. `draws` are (params, loss, status ok), each (S, K), of runs drawn with
    replacement: points of one curve are not independent, runs are.
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
    sizes: int

    @property
    def trusted(self) -> bool:
        """Whether the schedule lets these points stand for runs of their tokens, or is unknown."""
        return self.points == "final" or self.schedule.kind != "decaying"


def trace(
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
    check_sizes(used, ids)
    lines = split(used, ids, 0.0 if points == "final" else smooth)
    if points == "all":
        lines = tuple(line for line in lines if len(line.log_flops) > 1)
    if not lines:
        raise ValueError(
            f"{rows.source}: no run has more than one point; --points final is for tables of finished runs"
        )
    sizes, which = np.unique([line.params for line in lines], return_inverse=True)
    owner = sizes[which] if points == "all" else sizes
    everyone = np.ones(len(lines), bool)
    at = np.linspace(*reach(lines, which, points, rows.source), levels)
    for _ in range(2):  # again without FLOP values in a gap that no curve reaches
        heights = by_run(lines, at) if points == "all" else by_size(lines, which, at)
        loss = heights(everyone, "log_loss")
        at = at[np.isfinite(loss).any(0)]
    every = np.arange(len(at))
    best, inside = winners(loss, owner)
    tokens = heights(everyone, "log_tokens")[best, every]
    own = (
        lines
        if points == "all"
        else [[c for c, w in zip(lines, which, strict=True) if w == size] for size in range(len(sizes))]
    )
    chosen = [nearest(own[b], x) for b, x in zip(best, at, strict=True)]
    last = np.array([line.log_tokens[-1] for line in chosen])
    return Envelope(
        flops=np.exp(at),
        params=owner[best],
        tokens=np.exp(tokens),
        loss=np.exp(loss[best, every]),
        status=tuple(np.where(inside, "ok", "edge").tolist()),
        run=tuple(line.run for line in chosen),
        progress=np.ones(len(at)) if points == "final" else np.minimum(np.exp(tokens - last), 1.0),
        draws=resample(heights, owner, len(lines), len(at), draws, seed) if draws else None,
        points=points,
        schedule=find_schedule(used, ids, table, lines),
        curves=lines,
        source=rows,
        sizes=len(sizes),
    )


def split(rows: Runs, ids: Array, smooth: float) -> tuple[Curve, ...]:
    """The `Curve` of every run, in rising order of params."""
    out = []
    for name in dict.fromkeys(ids):
        part = rows.select(ids == name)
        order = np.argsort(part.tokens, kind="stable")
        x, d, y = (np.log(column[order]) for column in (part.flops, part.tokens, part.loss))
        bins = np.floor((x - x[-1]) / smooth) if smooth else np.arange(len(x))
        _, label, count = np.unique(bins, return_inverse=True, return_counts=True)
        x, d, y = (np.bincount(label, values) / count for values in (x, d, y))
        rising = np.concatenate([[True], np.diff(x) > 1e-12])
        out.append(Curve(str(name), float(part.params[0]), x[rising], d[rising], y[rising]))
    return tuple(sorted(out, key=lambda curve: curve.params))


def by_run(lines: tuple[Curve, ...], at: Array) -> Heights:
    """What every run's curve has at ln flops `at`, inf where it does not reach or is not drawn."""
    known = {
        of: np.array([along(c.log_flops, getattr(c, of), at) for c in lines])
        for of in ("log_loss", "log_tokens")
    }
    return lambda drawn, of: np.where(drawn[:, None], known[of], np.inf)


def by_size(lines: tuple[Curve, ...], which: Array, at: Array) -> Heights:
    """The same along the final points of each size (sizes, K)."""

    def heights(drawn: Array, of: str) -> Array:
        rows = np.full((which.max() + 1, len(at)), np.inf)
        for size in range(len(rows)):
            x, y = final([lines[i] for i in np.flatnonzero((which == size) & drawn)], of)
            if len(x) > 1:
                rows[size] = along(x, y, at)
        return rows

    return heights


def final(lines, of: str) -> tuple[Array, Array]:
    """(ln flops, `of`) of the last points of one size's runs, rising; replicates are averaged."""
    if not lines:
        return np.empty(0), np.empty(0)
    x, y = np.array(sorted((c.log_flops[-1], getattr(c, of)[-1]) for c in lines)).T
    label = np.concatenate([[0], np.cumsum(np.diff(x) > ALIKE)])
    count = np.bincount(label)
    return np.bincount(label, x) / count, np.bincount(label, y) / count


def along(x: Array, y: Array, at: Array) -> Array:
    """A curve's height at places (K,): Akima's interpolant, straight lines through fewer than 4
    points, inf beyond its ends."""
    if len(x) >= 4:
        height = akima(x, y, np.clip(at, x[0], x[-1]))
    else:
        height = np.interp(at, x, y)
    return np.where((at >= x[0] - 1e-9) & (at <= x[-1] + 1e-9), height, np.inf)


def reach(lines, which: Array, points: str, source: str) -> tuple[float, float]:
    """The least and the largest ln flops that at least `SIZES` sizes reach."""
    spans = [(w, c.log_flops[0], c.log_flops[-1]) for c, w in zip(lines, which, strict=True)]
    if points == "final":
        ends = [[end for w, _, end in spans if w == size] for size in range(which.max() + 1)]
        spans = [(size, min(e), max(e)) for size, e in enumerate(ends) if np.ptp(e) > ALIKE]
    places = sorted({place for _, *span in spans for place in span})
    wide = [x for x in places if len({w for w, low, high in spans if low <= x <= high}) >= SIZES]
    if len(wide) < 2:
        what = "size(s) that end at two budgets or more" if points == "final" else "size(s)"
        raise ValueError(
            f"{source}: {len({w for w, *_ in spans})} {what}: no span of compute that {SIZES} of "
            "them reach; an optimum needs a smaller and a larger size at the same FLOPs"
        )
    return wide[0], wide[-1]


def winners(loss: Array, owner: Array) -> tuple[Array, Array]:
    """(which curve is lowest, whether a smaller and a larger size reach there too), each (K,), of
    losses (curves, K) of sizes `owner` (curves,)."""
    best = loss.argmin(0)
    there = np.isfinite(loss)
    small = np.where(there, owner[:, None], np.inf).min(0)
    large = np.where(there, owner[:, None], -np.inf).max(0)
    return best, (owner[best] > small) & (owner[best] < large)


def resample(heights: Heights, owner: Array, runs: int, levels: int, draws: int, seed: int):
    """(params, loss, ok), each (S, K), of runs drawn with replacement; a minimum does not care how
    often a run is drawn, so a draw is which runs it holds."""
    rng = np.random.default_rng(seed)
    params, level = np.full((2, draws, levels), np.nan)
    inside = np.zeros((draws, levels), bool)
    for s in range(draws):
        held = np.zeros(runs, bool)
        held[rng.integers(0, runs, runs)] = True
        loss = heights(held, "log_loss")
        best, inside[s] = winners(loss, owner)
        lowest = loss[best, np.arange(levels)]
        seen = np.isfinite(lowest)
        params[s, seen], level[s, seen] = owner[best][seen], np.exp(lowest[seen])
    return params, level, inside


def line_through(found: Envelope) -> Line:
    """The least-squares `Line` through the points that are ok, and through those of each resample.
    A resample whose points are all of one size says nothing of a slope: NaN."""
    x, y = np.log(found.flops), np.log(found.params)
    good = np.array(found.status) == "ok"
    middle = x[good].mean()
    slope, height = np.polyfit(x[good] - middle, y[good], 1)
    if found.draws is None:
        return Line(middle, slope, height, *np.full((2, 1), np.nan), (slope, height))
    params, _, inside = found.draws
    weight = inside.astype(float)
    with np.errstate(all="ignore"):
        drawn = np.where(inside, np.log(params), 0.0)
        total = weight.sum(1)
        x_mean, y_mean = (weight * x).sum(1) / total, drawn.sum(1) / total
        across = weight * (x - x_mean[:, None])
        slopes = (across * drawn).sum(1) / (across**2).sum(1)
    several = np.array([len(np.unique(row[row > 0])) >= 2 for row in drawn])
    slopes = np.where(several, slopes, np.nan)
    return Line(middle, slope, height, slopes, y_mean + slopes * (middle - x_mean), (slope, height))


def judge(found: Envelope, good: Array) -> tuple[str, str]:
    """Status and message of a whole envelope; first whether its points may be used at all."""
    sizes = len(np.unique(found.params[good]))
    said = f"{good.sum()} of {len(good)} FLOP values have a best size inside, {sizes} sizes in all"
    if not good.all():
        said += "; at the others the best is the smallest or largest that reaches there (edge)"
    status = "ok" if sizes >= STAIRS else ("few" if good.any() else "edge")
    if status == "few":
        off = 100 / sizes**2
        said += f"; a line through so few stairs is too flat by up to {off:.0f} %"
    if found.points == "final":
        return status, f"the last row of a run is taken for its end. {said}"
    seen = f"{100 * found.progress.min():.2g} to {100 * found.progress.max():.3g} %"
    why = "above that of a run made for those tokens, and the exponent is biased"
    if not found.trusted:
        return "unidentified" if sizes >= 2 else status, (
            f"mid-curve losses of a decaying schedule are NOT losses at those tokens "
            f"({found.schedule.message}): each lies {why}; the best runs were {seen} through. Only "
            f"final points can be trusted (--points final). {said}"
        )
    if found.schedule.kind == "unknown":
        said = (
            f"ASSUMES a learning rate that does not decay along a curve "
            f"({found.schedule.message}): if it does, mid-curve losses lie {why}; the best runs "
            f"were {seen} through. {said}"
        )
    return status, said


def nearest(own: Curve | list[Curve], x: float) -> Curve:
    """The run behind a point at ln flops `x`: of final points, its size's run that ends nearest."""
    if isinstance(own, Curve):
        return own
    return min(own, key=lambda curve: abs(curve.log_flops[-1] - x))
