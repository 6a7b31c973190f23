"""Training curves, and what each has at common FLOP values."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.frontiers.minima import akima
from analysis.laws import Array
from analysis.tables.curves import check_sizes
from analysis.tables.runs import Runs
from analysis.tables.schedule import Curve

Curves = Sequence[Curve]
Heights = Callable[[Array, str], Array]  # (which runs are drawn (R,), what) -> (curves, K)
SIZES = 3  # sizes that must reach a FLOP value for one of them to lie inside
ALIKE = 0.01  # final points of one size within this share of FLOPs are replicates


def split_curves(rows: Runs, ids: Array, smooth: float) -> tuple[Curve, ...]:
    """The `Curve` of every run, in rising order of params."""
    check_sizes(rows, ids)
    curves = []
    for name in dict.fromkeys(ids):
        part = rows.select(ids == name)
        order = np.argsort(part.tokens, kind="stable")
        x, d, y = (np.log(column[order]) for column in (part.flops, part.tokens, part.loss))
        bins = np.floor((x - x[-1]) / smooth) if smooth else np.arange(len(x))
        _, label, count = np.unique(bins, return_inverse=True, return_counts=True)
        x, d, y = (np.bincount(label, values) / count for values in (x, d, y))
        rising = np.concatenate([[True], np.diff(x) > 1e-12])
        curves.append(Curve(str(name), float(part.params[0]), x[rising], d[rising], y[rising]))
    return tuple(sorted(curves, key=lambda curve: curve.params))


def run_heights(curves: Curves, at: Array) -> Heights:
    """What every run's curve has at ln flops `at`, inf where it does not reach or is not drawn."""
    known = {
        what: np.array([interpolate(curve.log_flops, getattr(curve, what), at) for curve in curves])
        for what in ("log_loss", "log_tokens")
    }
    return lambda drawn, what: np.where(drawn[:, None], known[what], np.inf)


def size_heights(curves: Curves, at: Array) -> Heights:
    """The same along the final points of each size (sizes, K)."""
    params = np.array([curve.params for curve in curves])
    sizes = np.unique(params)

    def heights(drawn: Array, what: str) -> Array:
        rows = np.full((len(sizes), len(at)), np.inf)
        for row, size in zip(rows, sizes, strict=True):
            x, y = final_points([curves[i] for i in np.flatnonzero((params == size) & drawn)], what)
            if len(x) > 1:
                row[:] = interpolate(x, y, at)
        return rows

    return heights


def final_points(curves: Curves, what: str) -> tuple[Array, Array]:
    """(ln flops, `what`) of the last points of one size's runs, rising; replicates are averaged."""
    if not curves:
        return np.empty(0), np.empty(0)
    x, y = np.array(sorted((c.log_flops[-1], getattr(c, what)[-1]) for c in curves)).T
    label = np.concatenate([[0], np.cumsum(np.diff(x) > ALIKE)])
    count = np.bincount(label)
    return np.bincount(label, x) / count, np.bincount(label, y) / count


def interpolate(x: Array, y: Array, at: Array) -> Array:
    """A curve's height at places (K,): Akima's interpolant, straight lines through fewer than 4
    points, inf beyond its ends."""
    if len(x) >= 4:
        height = akima(x, y, np.clip(at, x[0], x[-1]))
    else:
        height = np.interp(at, x, y)
    return np.where((at >= x[0] - 1e-9) & (at <= x[-1] + 1e-9), height, np.inf)


def common_span(curves: Curves, points: str, source: str) -> tuple[float, float]:
    """The least and the largest ln flops that at least `SIZES` sizes reach."""
    spans = [(curve.params, curve.log_flops[0], curve.log_flops[-1]) for curve in curves]
    if points == "final":
        ends = {size: [end for other, _, end in spans if other == size] for size, *_ in spans}
        spans = [(size, min(e), max(e)) for size, e in ends.items() if np.ptp(e) > ALIKE]
    places = sorted({place for _, *span in spans for place in span})
    wide = [x for x in places if len({size for size, low, high in spans if low <= x <= high}) >= SIZES]
    if len(wide) < 2:
        what = "size(s) that end at two budgets or more" if points == "final" else "size(s)"
        raise ValueError(
            f"{source}: {len({size for size, *_ in spans})} {what}: no span of compute that {SIZES} of "
            "them reach; an optimum needs a smaller and a larger size at the same FLOPs"
        )
    return wide[0], wide[-1]
