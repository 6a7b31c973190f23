"""The compute-optimal frontier: the best size, tokens and loss against compute, by every method."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.axes import count_axis, log_axes, plain_axis, power_axis
from analysis.figures.isoflop import bias_words
from analysis.figures.style import MARKERS, METHOD_COLOURS, badge, draw_band, sheet, styled
from analysis.figures.words import caution_words, warning
from analysis.frontiers import Frontier
from analysis.laws import Array

PANELS = (
    ("Optimal parameters  ∝ FLOPs$^a$", count_axis, "upper left"),
    ("Optimal tokens  ∝ FLOPs$^b$", count_axis, "upper left"),
    ("Loss at the optimum", plain_axis, "lower left"),
)


@styled
def plot_frontier(
    fronts: Sequence[Frontier] | Frontier, title: str = "", at: Sequence[float] = (), verdict: str = ""
):
    """Optimal params, tokens and loss against compute, all methods together, with 95 % bands.

    `at` extends the bands to further budgets, with an open mark at each; `verdict` is what an audit
    says of the table, in red on top in place of the frontiers' own status.
    """
    fronts = [fronts] if isinstance(fronts, Frontier) else list(fronts)
    fig, axes = sheet(10.4, 4.1, caption(fronts, at), columns=3, title=title, wspace=0.06)
    low = min([front.flops.min() for front in fronts] + list(at))
    high = max([front.flops.max() for front in fronts] + list(at))
    room = (high / low) ** 0.08 if high > low else 2.0
    span = np.geomspace(low / room, high * room, 32)
    for i, front in enumerate(fronts):
        draw_method(axes, front, span, at, METHOD_COLOURS[i % 4], MARKERS[i % 4])
    units = {front.unit.strip() for front in fronts}
    unit = f" ({units.pop()})" if len(units) == 1 and "" not in units else ""
    for ax, (name, kind, corner) in zip(axes, PANELS, strict=True):
        log_axes(
            ax,
            power_axis,
            kind,
            xlabel="training compute (FLOPs)",
            title=name + unit * name.startswith("Loss"),
        )
        ax.legend(loc=corner, handlelength=1.5)
    badge(fig, verdict or warning(*fronts))
    return fig


def draw_method(axes, front: Frontier, span: Array, at: Sequence[float], colour, marker: str) -> None:
    """One method's bands over a span of compute, its optima, and its answers at `at`."""
    try:
        bands = front.at(span)
    except ValueError:
        bands = (None,) * 3
    labels = (f"a = {front.params_exponent}", f"b = {front.tokens_exponent}", front.method)
    points = (front.params, front.tokens, front.loss)
    for ax, band, point, label in zip(axes, bands, points, labels, strict=True):
        draw_band(ax, span, band, colour, label)
        if front.kind == "valleys":
            draw_optima(ax, front, point, colour, marker)
    if len(at) and bands[0] is not None:
        for ax, band in zip(axes, front.at(at), strict=True):
            draw_answers(ax, np.asarray(at), band, colour, marker)


def draw_optima(ax, front: Frontier, band, colour, marker: str) -> None:
    """The minima of the budgets, with their intervals where there are any; crosses at an edge."""
    used = np.array([status in ("ok", "flat") for status in front.point_status])
    style = {"ms": 5, "color": colour, "zorder": 5}
    if np.isfinite(band.low[used]).all():
        arms = np.abs([band.value - band.low, band.high - band.value])[:, used]
        style |= {"mec": "white", "mew": 0.6, "elinewidth": 1.1, "capsize": 2.5}
        ax.errorbar(front.flops[used], band.value[used], yerr=arms, fmt=marker, **style)
    else:
        ax.plot(front.flops[used], band.value[used], marker, **style)
    edge = np.array([status == "edge" for status in front.point_status])
    ax.plot(front.flops[edge], band.value[edge], "x", ms=6, color=colour, zorder=5)


def draw_answers(ax, flops: Array, band, colour, marker: str) -> None:
    """The answers at the budgets asked for: open marks, with their intervals."""
    if np.isfinite([band.low, band.high]).all():
        ax.vlines(flops, band.low, band.high, color=colour, lw=1.1, zorder=4)
    ax.plot(flops, band.value, marker, ms=6.5, mfc="white", mec=colour, mew=1.3, zorder=6)


def caption(fronts: Sequence[Frontier], at: Sequence[float] = ()) -> str:
    parts = [f"{f.method}: {f.runs} runs, status {f.status} ({f.message})" for f in fronts]
    text = "; ".join(parts) + ". Cost: " + " | ".join(sorted({str(f.cost) for f in fronts}))
    isoflop = [front for front in fronts if front.kind == "valleys"]
    if any("edge" in front.point_status for front in isoflop):
        text += ". Crosses: minima at an edge, not used"
    if len(at):
        text += ". Open marks: at the budgets asked for"
    if isoflop:
        text += ". Loss bars of isoflop reach further up, as noise draws a minimum down"
    text += "".join(bias_words(front) for front in fronts)
    cautions = dict.fromkeys(caution for front in fronts for caution in front.cautions)
    return text + ". Bands and bars: 95 %." + caution_words(list(cautions))
