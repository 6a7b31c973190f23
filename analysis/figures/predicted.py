"""A fit of any law, judged by eye: what was observed against what it says, and what is left."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from analysis.figures import figures
from analysis.figures import style as figures_style
from analysis.figures.style import plain
from analysis.fitting.fit import Fit


@figures_style.styled
def predicted(fitted: Fit, title: str = "") -> Figure:
    """Observed against predicted output over the line where they are equal, and the residuals over
    the law's first input; coloured by the last input where it varies."""
    caption = figures.law_caption(fitted)
    fig, axes = figures_style.sheet(9.6, 4.4, caption, columns=2, widths=(1, 1.1))
    runs = fitted.runs
    observed = runs.column(fitted.output)
    said = observed * np.exp(fitted.residuals)
    first, last = (runs.column(fitted.inputs[i]) for i in (0, -1))
    style = {"s": 20, "edgecolors": "white", "linewidths": 0.4, "zorder": 4}
    coloured = len(fitted.inputs) > 1 and last.max() > last.min()
    if coloured:
        norm = matplotlib.colors.LogNorm(last.min() / 1.05, last.max() * 1.05)
        style |= {"c": last, "cmap": figures_style.ramp(), "norm": norm}
    else:
        style["color"] = figures_style.METHOD_COLOURS[0]
    low, high = min(observed.min(), said.min()), max(observed.max(), said.max())
    room = max((high / low) ** 0.05, 1.001)
    ends = (low / room, high * room)
    axes[0].plot(ends, ends, color=figures_style.INK, lw=0.9, zorder=2)
    dots = axes[0].scatter(said, observed, **style)
    what = figures.loss_label(runs) if fitted.output == "loss" else plain(fitted.output)
    axes[0].set(xscale="log", yscale="log", xlim=ends, ylim=ends, ylabel=f"observed {what}")
    axes[0].set(xlabel=f"predicted {what}", title=plain(title) or figures.written(fitted))
    for axis in (axes[0].xaxis, axes[0].yaxis):
        (figures_style.plain_axis if high / low < 100 and 0.1 < low < 1e3 else figures_style.power_axis)(
            axis, *ends
        )
    percent = 100 * np.expm1(-fitted.residuals)
    reach = 1.15 * np.abs(percent).max() + 1e-9
    axes[1].axhline(0, color=figures_style.INK, lw=0.9)
    axes[1].scatter(first, percent, **style)
    axes[1].set(
        xscale="log", ylim=(-reach, reach), xlabel=plain(fitted.inputs[0]), title="Observed above the fit (%)"
    )
    counts = fitted.inputs[0] in ("params", "tokens", "unique_tokens", "batch_tokens", "steps")
    (figures_style.count_axis if counts else figures_style.power_axis)(axes[1].xaxis, *axes[1].get_xlim())
    if coloured:
        bar = fig.colorbar(dots, ax=list(axes), pad=0.01, aspect=35, label=plain(fitted.inputs[-1]))
        bar.outline.set_visible(False)
        figures_style.count_axis(bar.ax.yaxis, norm.vmin, norm.vmax)
    figures_style.badge(fig, figures.not_ok(fitted))
    return fig
