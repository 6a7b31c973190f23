"""How much sooner one training curve reaches a loss than another: steps, tokens and FLOPs to equal loss."""

from dataclasses import dataclass

import numpy as np

from analysis.frontiers.heights import interpolate
from analysis.laws import Array
from analysis.tables.curves import run_names
from analysis.tables.headers import EPOCHS, STEPS, find
from analysis.tables.runs import Runs


@dataclass(frozen=True, eq=False)
class Speedup:
    """Of one run against a baseline at K losses, falling, which both reach: what each needs on an `axis`
    (K,), and baseline / run, its `ratio` (K,): above 1 where the run is the faster."""

    run: str
    axis: str
    loss: Array
    baseline: Array
    needs: Array

    @property
    def ratio(self) -> Array:
        return self.baseline / self.needs


def speedups(
    rows: Runs, baseline: str = "", run: str | None = None, levels: int = 9, smooth: float = 0.1
) -> list[Speedup]:
    """Every run against the baseline, on each axis that the table has: steps, tokens, flops.

    A loss is reached where the curve, its points averaged within bins of `smooth` in the logarithm of the
    axis, first falls to it, by Akima's interpolant of logarithms.

    Args:
      rows: points of curves: a run's name, a loss, and one of steps, tokens and flops.
      baseline: the run that others are compared with; the first by default.
      run: the column of the name, where it is not a usual one.
      levels: K, spread evenly in log loss over what both curves reach.
      smooth: width of the bins; 0 takes points as they are.

    Raises:
      ValueError: fewer than two runs, no such baseline, no axis, or no loss that both reach.
    """
    used = rows.usable()
    used = used.select(np.isfinite(used.loss) & (used.loss > 0))
    names = run_names(used, run)
    runs = list(dict.fromkeys(names))
    first = baseline or (runs[0] if runs else "")
    if first not in runs or len(runs) < 2:
        held = ", ".join(map(str, runs[:6]))
        raise ValueError(
            f"{rows.source}: needs two runs, one of them the baseline {first!r}; it holds {held}"
        )
    step = find(used.columns, STEPS) or find(used.columns, EPOCHS)
    counted = [axis for axis in (step, "tokens", "flops") if axis and used.has(axis)]
    axes = {axis: used.column(axis) for axis in counted if used.column(axis).dtype != object}
    if step in axes and not find(used.columns, STEPS) and (axes[step] % 1 == 0).all():
        axes[step] = axes[step] + (axes[step].min() == 0)  # epochs, which some count from 0
    if not axes:
        raise ValueError(f"{rows.source}: no column counts steps, epochs, tokens or flops along the curves")
    found = []
    for name in runs:
        for axis, x in axes.items() if name != first else ():
            curves = [descent(x[names == each], used.loss[names == each], smooth) for each in (first, name)]
            if all(len(curve[0]) > 1 for curve in curves):
                found.append(compare(str(name), axis, curves, levels))
    known = [each for each in found if each is not None]
    if not known:
        raise ValueError(f"{rows.source}: no loss is reached by {first} and by another run, as curves")
    return known


def descent(x: Array, loss: Array, smooth: float) -> tuple[Array, Array]:
    """(ln x, ln loss) of a curve's points, averaged in bins, where each is lower than all before."""
    there = np.isfinite(x) & (x > 0)
    x, y = np.log(x[there]), np.log(loss[there])
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if not len(x):
        return x, y
    bins = np.floor((x - x[-1]) / smooth) if smooth else x
    _, label, count = np.unique(bins, return_inverse=True, return_counts=True)
    x, y = (np.bincount(label, values) / count for values in (x, y))
    lower = np.append(True, y[1:] < np.minimum.accumulate(y)[:-1])
    return x[lower], y[lower]


def compare(run: str, axis: str, curves: list[tuple[Array, Array]], levels: int) -> Speedup | None:
    """What both curves need, the baseline's first; None where they share no loss."""
    top, bottom = min(y[0] for _, y in curves), max(y[-1] for _, y in curves)
    if not top > bottom:
        return None
    at = np.linspace(top, bottom, levels)
    needs = [np.exp(interpolate(-y, x, -at)) for x, y in curves]
    return Speedup(run, axis, np.exp(at), *needs)
