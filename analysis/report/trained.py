"""The page's figures of what was trained: runs of a table that says no more, and their curves."""

from collections.abc import Mapping

import numpy as np

from analysis.figures.words import human, loss_label
from analysis.report.axes import Axis, span
from analysis.report.charts import LABELS, Places, axis, counted, size_classes
from analysis.report.svg import Chart, Marks, Panel
from analysis.tables.curves import run_names
from analysis.tables.runs import Runs

CURVE_POINTS = 40  # kept of a training curve


def runs_chart(runs: Runs, places: Places) -> Chart | None:
    """Loss against a count, coloured by size, of a table that says no more; None where there is nothing to
    draw."""
    used = runs.usable()
    choices = counted(used) if len(used) and used.has("loss") else []
    if not choices:
        return None
    x, loss = used.column(choices[-1]), used.loss
    rows = np.array([places[int(row)] for row in used.rows])
    classes = np.array(size_classes(used.column(choices[0])), object)
    marks = [
        Marks("dots", x[classes == each], loss[classes == each], each, rows=rows[classes == each])
        for each in dict.fromkeys(classes.tolist())
    ]
    words = f"{len(used)} runs; the colour goes with {LABELS[choices[0]]}."
    y = Axis(loss_label(runs), *span(loss))
    return Chart("trained", [Panel("The runs", axis(choices[-1], x), y, marks, words, choices)], words, {})


def curves_chart(curves: Runs, places: Mapping[str, int]) -> Chart:
    """Loss as it fell, a line a run; `places` by run id.

    Raises:
      ValueError: no column names a row's run, or there is no loss or no count to draw it against.
    """
    names, against, whole = check_curves(curves)
    x, loss = curves.column(against[0]), curves.column("loss")
    sizes = curves.column("params") if curves.has("params") else np.ones(len(x))
    classes = np.array(size_classes(sizes), object)
    marks, order = [], np.lexsort((x, names.astype(str)))
    order = order[whole[order]]
    for part in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
        part = part[kept_points(x[part])]
        known = {name: curves.column(name)[part] for name in against[1:]}
        rows = [places[names[part[0]]]] if names[part[0]] in places else ()
        marks.append(Marks("line", x[part], loss[part], str(classes[part[0]]), rows=rows, other=known))
    ends = [human(float(f"{size:.3g}")) for size in (sizes[whole].min(), sizes[whole].max())]
    words = f"Each line is one of {len(marks)} runs, of {' to '.join(dict.fromkeys(ends))} parameters."
    y = Axis(loss_label(curves), *span(loss[whole]))
    panel = Panel(
        "Training curves", axis(against[0], x[whole]), y, marks, f"Training curves. {words}", against
    )
    return Chart("curves", [panel], words, {})


def check_curves(curves: Runs) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Run names (R,) of a table of curves, the counts it can be drawn against, and which rows (R,) can be.

    Raises:
      ValueError: no column names a row's run, or there is no loss or no count.
    """
    names = run_names(curves)
    against = [name for name in ("flops", "tokens") if curves.has(name)] or ["tokens"]
    x, loss = curves.column(against[0]), curves.column("loss")
    whole = np.isfinite(x) & np.isfinite(loss) & (x > 0)
    if not whole.any():
        raise ValueError(f"{curves.source}: no point of a curve has both {against[0]} and a loss")
    return names, against, whole


def kept_points(x: np.ndarray) -> np.ndarray:
    """Up to `CURVE_POINTS` of rising x, even in their logarithm, the last among them."""
    if len(x) <= CURVE_POINTS:
        return np.arange(len(x))
    return np.unique(np.searchsorted(x, np.geomspace(x[0], x[-1], CURVE_POINTS)).clip(0, len(x) - 1))
