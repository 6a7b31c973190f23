"""What a law says of places where there may be no run: the runs it was fitted to, its curve as far as the
places, and their intervals."""

import numpy as np

from analysis.figures.axes import count_axis, log_axes, power_axis
from analysis.figures.law import COUNTS, DOTS, caption, formula, output_axis, output_label, said, seen, sized
from analysis.figures.style import INK, badge, colour_bar, ramp, sheet, size_colours, styled
from analysis.figures.words import plain, warning
from analysis.fitting import Fit, Prediction
from analysis.laws import Array

MOST = 12  # sizes of places whose curve is drawn


@styled
def plot_places(fitted: Fit, inputs: dict[str, Array], prediction: Prediction, measured: Array):
    """Runs and predicted places over the law's last input, coloured by its first where it has several.

    Args:
      fitted: the law.
      inputs: of the places, each (K,), by the law's names.
      said: the predictions there (K,).
      measured: what was found there (K,), NaN where nothing was.
    """
    words = "Diamonds: places that were predicted, thick the law's 95 %, thin that of one new run"
    known = np.isfinite(measured)
    words += "; crosses: measured there. " if known.any() else ". "
    fig, ax = sheet(7.2, 4.6, words + caption(fitted))
    (first, *_), (*_, last) = inputs, inputs
    runs = fitted.runs.column(fitted.inputs[0])
    x, there = fitted.runs.column(fitted.inputs[-1]), inputs[last]
    colours = {"color": "#777777"}, {"color": INK}
    if len(inputs) > 1:
        norm = size_colours(np.concatenate([runs, inputs[first]]))
        colours = tuple({"c": size, "cmap": ramp(), "norm": norm} for size in (runs, inputs[first]))
        colour_bar(fig, [ax], norm, fitted.inputs[0])
    if len(inputs) == 1 or sized(fitted):
        draw_curves(ax, fitted, inputs, x, norm if len(inputs) > 1 else None)
    ax.scatter(x, seen(fitted), **colours[0], **DOTS)
    law, run = (prediction.low, prediction.high, 2.6), (prediction.run_low, prediction.run_high, 0.8)
    for low, high, width in (run, law):
        ends = np.isfinite(low) & np.isfinite(high)
        ax.vlines(there[ends], low[ends], high[ends], color=INK, lw=width, zorder=7)
    marks = {"marker": "D", "s": 26, "edgecolors": INK, "linewidths": 0.8, "zorder": 6}
    ax.scatter(there, prediction.value, **marks, **colours[1])
    ax.scatter(there[known], measured[known], marker="x", s=40, color=INK, linewidths=1.4, zorder=8)
    labels = {"xlabel": plain(fitted.inputs[-1]), "ylabel": output_label(fitted), "title": formula(fitted)}
    log_axes(ax, y=output_axis(fitted), xscale="log", **labels)
    ends = np.concatenate([x, there])
    (count_axis if last in COUNTS else power_axis)(ax.xaxis, ends.min(), ends.max())
    badge(fig, warning(fitted))
    return fig


def draw_curves(ax, fitted: Fit, inputs: dict[str, Array], x: Array, norm) -> None:
    """The law's curve over its last input, from the least run to the place: of one input, or at the sizes
    (a few, spread) of the places."""
    (size_there, *_), (*_, there), low = inputs.values(), inputs.values(), x.min()
    if norm is None:
        line = np.geomspace(min(low, there.min()), max(x.max(), there.max()), 200)
        ax.plot(line, said(fitted, line), color=INK, lw=1.2, zorder=2)
        return
    sizes = np.unique(size_there)
    for size in sizes[np.linspace(0, len(sizes) - 1, min(MOST, len(sizes))).astype(int)]:
        far = there[size_there == size]
        line = np.geomspace(min(low, far.min()), max(x.max(), far.max()), 200)
        ax.plot(line, said(fitted, size, line), color=ramp()(norm(size)), lw=1.2, zorder=2)
