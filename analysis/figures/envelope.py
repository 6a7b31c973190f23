"""The figure of approach 1: training curves with their lower envelope, and the best sizes on it."""

from contextlib import suppress

import numpy as np

from analysis.figures.axes import count_axis, log_axes, plain_axis, power_axis
from analysis.figures.style import (
    FAINT,
    INK,
    METHOD_COLOURS,
    colour_bar,
    draw_band,
    key,
    ramp,
    sheet,
    size_colours,
    styled,
)
from analysis.figures.words import caution_words, loss_label
from analysis.frontiers import Envelope, Frontier

COMPUTE = "training compute (FLOPs)"


@styled
def plot_envelope(envelope: Envelope, front: Frontier):
    """Left: every curve by size and the envelope; right: the best size at each compute, the line
    through those that are not at an edge, and its 95 % band."""
    fig, axes = sheet(9.6, 4.3, caption(envelope, front), columns=2, widths=(1.2, 1))
    norm = size_colours(np.array([curve.params for curve in envelope.curves]))
    draw_curves(axes[0], envelope, norm)
    draw_sizes(axes[1], envelope, front)
    colour_bar(fig, axes, norm, "params")
    return fig


def draw_curves(ax, envelope: Envelope, norm) -> None:
    final, colours = envelope.points == "final", ramp()
    style = {"marker": "o", "ms": 3.5, "ls": ""} if final else {"lw": 0.9, "alpha": 0.75}
    for curve in envelope.curves:
        x, y = np.exp(curve.log_flops), np.exp(curve.log_loss)
        ax.plot(x, y, color=colours(norm(curve.params)), zorder=2, **style)
    ax.plot(envelope.flops, envelope.loss, color=INK, lw=1.4, zorder=4)
    low, high, first = limits(envelope)
    room = (high / low) ** 0.05
    limit = {"ylim": (low / room, high * room), "xlim": (first / 1.3, envelope.flops[-1] * 1.3)}
    title = f"{'Final points' if final else 'Training curves'} and their lower envelope"
    log_axes(
        ax, power_axis, plain_axis, title=title, xlabel=COMPUTE, ylabel=loss_label(envelope.source), **limit
    )


def draw_sizes(ax, envelope: Envelope, front: Frontier) -> None:
    inside = np.array(envelope.status) == "ok"
    colour = METHOD_COLOURS[0] if envelope.trusted else METHOD_COLOURS[1]
    ax.plot(envelope.flops[inside], envelope.params[inside], "o", ms=3, color=colour, zorder=4)
    ax.plot(envelope.flops[~inside], envelope.params[~inside], "x", ms=4.5, color=FAINT, zorder=3)
    with suppress(ValueError):
        draw_band(ax, envelope.flops, front.at(envelope.flops)[0], colour)
    title = f"Best size   a = {front.params_exponent}"
    log_axes(ax, power_axis, count_axis, title=title, xlabel=COMPUTE, ylabel="parameters")
    if not envelope.trusted:
        text = "not to be trusted:\nmid-curve points of\na decaying schedule"
        corner = {"xycoords": "axes fraction", "ha": "right", "va": "bottom"}
        ax.annotate(text, (0.97, 0.05), fontsize=9, color=METHOD_COLOURS[1], **corner)
    marks = [(colour, "o", 3, "inside"), (FAINT, "x", 4.5, "at an edge: not used")]
    keys = [key(color=c, marker=m, ms=size, ls="", label=label) for c, m, size, label in marks]
    ax.legend(loc="upper left", handles=keys)


def limits(envelope: Envelope) -> tuple[float, float, float]:
    """(least loss, greatest loss, least FLOPs) to show: every final point, but of curves no more
    than the upper part of what lies beside the envelope, as they all start far above."""
    log_flops, log_loss = (
        np.concatenate([getattr(curve, name) for curve in envelope.curves])
        for name in ("log_flops", "log_loss")
    )
    low, first = envelope.loss.min(), envelope.flops[0]
    if envelope.points == "final":
        return low, float(np.exp(log_loss.max())), min(first, float(np.exp(log_flops.min())))
    beside = log_loss[log_flops >= np.log(first)]
    return low, max(envelope.loss.max(), float(np.exp(np.quantile(beside, 0.9)))), first


def caption(envelope: Envelope, front: Frontier) -> str:
    text = f"{front.method}: {len(envelope.curves)} runs of {envelope.sizes} sizes. Status "
    text += f"{front.status}: {front.message}. Cost: {front.cost}."
    text += " Band: 95 %, runs drawn with replacement." * (envelope.draws is not None)
    return text + caution_words(front.cautions)
