"""The figure of approach 1: training curves with their lower envelope, and the best sizes on it."""

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from analysis.figures import figures
from analysis.figures.figures import FAINT, INK, METHOD_COLOURS
from analysis.frontiers.envelope import Envelope
from analysis.frontiers.frontier import Frontier


@figures.styled
def envelope(found: Envelope, front: Frontier):
    """Left: every curve by size and the envelope; right: the best size at each compute, the line
    through those that are not at an edge, and its 95 % band."""
    fig, axes = figures.sheet(9.6, 4.3, caption(found, front), columns=2, widths=(1.2, 1))
    sizes = np.array([curve.params for curve in found.curves])
    norm = matplotlib.colors.LogNorm(sizes.min() / 1.05, sizes.max() * 1.05)
    cmap = figures.ramp()
    final = found.points == "final"
    for curve in found.curves:
        x, y = np.exp(curve.log_flops), np.exp(curve.log_loss)
        marker = {"marker": "o", "ms": 3.5, "ls": ""} if final else {"lw": 0.9, "alpha": 0.75}
        axes[0].plot(x, y, color=cmap(norm(curve.params)), zorder=2, **marker)
    axes[0].plot(found.flops, found.loss, color=INK, lw=1.4, zorder=4)
    good = np.array(found.status) == "ok"
    colour = METHOD_COLOURS[0] if found.trusted else METHOD_COLOURS[1]
    axes[1].plot(found.flops[good], found.params[good], "o", ms=3, color=colour, zorder=4)
    axes[1].plot(found.flops[~good], found.params[~good], "x", ms=4.5, color=FAINT, zorder=3)
    try:
        figures.draw_band(axes[1], found.flops, front.at(found.flops)[0], colour, "")
    except ValueError:
        pass
    low, high, first = reach(found)
    room = (high / low) ** 0.05
    axes[0].set(
        xscale="log",
        yscale="log",
        ylim=(low / room, high * room),
        title=f"{'Final points' if final else 'Training curves'} and their lower envelope",
        ylabel="loss (nats per token)",
        xlim=(first / 1.3, found.flops[-1] * 1.3),
    )
    axes[1].set(
        xscale="log", yscale="log", title=f"Best size   a = {front.params_exponent}", ylabel="parameters"
    )
    figures.plain_axis(axes[0].yaxis, *axes[0].get_ylim())
    figures.count_axis(axes[1].yaxis, *axes[1].get_ylim())
    for ax in axes:
        ax.set_xlabel("training compute (FLOPs)")
        figures.power_axis(ax.xaxis, *ax.get_xlim())
    if not found.trusted:
        axes[1].annotate(
            "not to be trusted:\nmid-curve points of\na decaying schedule",
            (0.97, 0.05),
            xycoords="axes fraction",
            ha="right",
            va="bottom",
            fontsize=9,
            color=METHOD_COLOURS[1],
        )
    marks = [(colour, "o", 3, "inside"), (FAINT, "x", 4.5, "at an edge: not used")]
    axes[1].legend(
        loc="upper left",
        handles=[
            Line2D([], [], color=c, marker=m, ms=size, ls="", label=label) for c, m, size, label in marks
        ],
    )
    bar = fig.colorbar(
        matplotlib.cm.ScalarMappable(norm, cmap), ax=list(axes), pad=0.01, aspect=35, label="params"
    )
    bar.outline.set_visible(False)
    figures.count_axis(bar.ax.yaxis, norm.vmin, norm.vmax)
    return fig


def reach(found: Envelope) -> tuple[float, float, float]:
    """(least loss, greatest loss, least FLOPs) to show: every final point, but of curves no more
    than the upper part of what lies beside the envelope, as they all start far above."""
    at, log_loss = (
        np.concatenate([getattr(curve, name) for curve in found.curves]) for name in ("log_flops", "log_loss")
    )
    low, first = found.loss.min(), found.flops[0]
    if found.points == "final":
        return low, float(np.exp(log_loss.max())), min(first, float(np.exp(at.min())))
    beside = log_loss[at >= np.log(first)]
    return low, max(found.loss.max(), float(np.exp(np.quantile(beside, 0.9)))), first


def caption(found: Envelope, front: Frontier) -> str:
    text = f"{front.method}: {len(found.curves)} runs of {found.sizes} sizes. Status "
    text += f"{front.status}: {front.message}. Cost: {front.cost}."
    text += " Band: 95 %, runs drawn with replacement." if found.draws is not None else ""
    return text + figures.careful(front.cautions)
