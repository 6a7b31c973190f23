"""The page's figure of a fitted law."""

import numpy as np

from analysis.figures import law as laws
from analysis.figures.words import human, loss_label
from analysis.fitting import Band, Fit
from analysis.report.axes import Axis, span
from analysis.report.charts import Places, axis, band_marks, counted, size_classes
from analysis.report.svg import Chart, Marks, Panel


def law_chart(fitted: Fit, places: Places) -> Chart:
    """The law's curve over its runs where it has one to draw, else observed against predicted; and what is
    left of each run."""
    draw = curve_panel if laws.sized(fitted) or len(fitted.inputs) == 1 else predicted_panel
    panels = [draw(fitted, places), residual_panel(fitted, places)]
    return Chart("law", panels, laws.caption(fitted), {})


def coloured(fitted: Fit, places: Places, x, y) -> list[Marks]:
    """Dots of a fit's runs, coloured by their params where there are several inputs."""
    rows = np.array([places[int(row)] for row in fitted.runs.rows])
    if len(fitted.inputs) == 1:
        return [Marks("dots", x, y, "m0", rows=rows)]
    classes = size_classes(fitted.runs.column(fitted.inputs[0]))
    names = np.array(classes, object)
    return [
        Marks("dots", x[names == each], y[names == each], each, rows=rows[names == each])
        for each in dict.fromkeys(classes)
    ]


def curve_panel(fitted: Fit, places: Places) -> Panel:
    runs, name = fitted.runs, fitted.inputs[-1]
    x, y, marks = runs.column(name), laws.seen(fitted), []
    if laws.sized(fitted):
        sizes = laws.shown_sizes(runs.column(fitted.inputs[0]))
        for size in sizes:
            part, losses = laws.size_curve(fitted, size)
            classes = size_classes(np.append(runs.column(fitted.inputs[0]), size))
            words = [f"the law at {human(float(f'{size:.3g}'))} {fitted.inputs[0]}"]
            marks.append(Marks("line", part, losses, classes[-1], words=words))
    else:
        grid = np.geomspace(x.min(), x.max(), 60)
        band = Band(laws.said(fitted, grid), *([np.full(60, np.nan)] * 2))
        if fitted.intervals != "none":
            ends = fitted.band(lambda law: law.loss(grid))
            band = Band(band.value, *(end - fitted.offset for end in ends))
        marks += band_marks(grid, band, {"colour": "m0"})
    marks += coloured(fitted, places, x, y)
    head = laws.written(fitted)
    label = loss_label(runs) if fitted.output == "loss" else fitted.output
    alt = f"{head}: {len(runs)} runs over the fitted law. Status {fitted.status}."
    log = not fitted.offset
    return Panel(head, axis(name, x), Axis(label, *span(y, log=log), log=log), marks, alt)


def predicted_panel(fitted: Fit, places: Places) -> Panel:
    observed, predicted, log = laws.seen(fitted), laws.foretold(fitted), not fitted.offset
    ends = span(observed, predicted, log=log)
    marks = [
        Marks("line", np.array(ends), np.array(ends), "ink"),
        *coloured(fitted, places, predicted, observed),
    ]
    label = loss_label(fitted.runs) if fitted.output == "loss" else fitted.output
    x, y = (Axis(f"{which} {label}", *ends, log=log) for which in ("predicted", "observed"))
    head = laws.written(fitted)
    return Panel(head, x, y, marks, f"{head}: observed against predicted of {len(observed)} runs.")


def residual_panel(fitted: Fit, places: Places) -> Panel:
    runs = fitted.runs
    name = "flops" if laws.sized(fitted) and runs.has("flops") else fitted.inputs[0]
    x, (gap, unit) = runs.column(name), laws.left_over(fitted)
    reach = 1.15 * float(np.abs(gap).max()) + 1e-9
    ends = axis(name, x)
    marks = [Marks("line", np.array([ends.low, ends.high]), np.zeros(2), "ink")]
    marks += coloured(fitted, places, x, gap)
    head = f"{laws.ABOVE} ({unit})" if unit else laws.ABOVE
    alt = f"{head} against {ends.label}; the largest is {np.abs(gap).max():.2g} {unit}".strip() + "."
    return Panel(head, ends, Axis(unit, -reach, reach, False), marks, alt, counted(runs))
