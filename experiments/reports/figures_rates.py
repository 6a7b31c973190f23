"""Figures of best learning rates, by width and by batch, and of the coordinate check."""

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures.style import FAINT, sequence, sheet, styled
from analysis.figures.words import human
from experiments.reports.figures import POINT, legend_beside


@styled
def widths(best: Mapping):
    """Loss against the base rate, a line a width, one panel a parameterization."""
    kinds = list(dict.fromkeys(key[0] for key in best)) or ["standard"]
    text = (
        "Final loss by the peak of the base learning rate; rings: the best rate of a width "
        "(the vertex of a parabola through three points; crosses: at an end of the rates "
        "tried). All else equal; at width 64 the two are the same model. Two lines of a colour: two seeds."
    )
    fig, axes = sheet(4.4 * len(kinds) + 1.0, 4.0, text, columns=len(kinds))
    every = sorted({key[1] for key in best})
    colour = dict(zip(every, sequence(len(every)), strict=True))
    for ax, kind in zip(np.atleast_1d(axes), kinds, strict=True):
        for (own, width, *_), value in sorted(best.items()):
            if own == kind:
                rate_line(ax, value, colour[width], f"{width:.0f}")
        ax.set(xscale="log", xlabel="base learning rate", title={"mup": "MUP"}.get(kind, kind))
        rate_ticks(ax, (value.rates for key, value in best.items() if key[0] == kind))
    share_height(np.atleast_1d(axes))
    handles = [Line2D([], [], color=colour[w], lw=1.2, **POINT, label=f"{w:.0f}") for w in every]
    legend_beside(np.atleast_1d(axes)[-1], "width", handles=handles)
    return fig


@styled
def batches(best: Mapping):
    """Loss against rate, a line a batch, one panel a (params, tokens)."""
    places = sorted({(key[1], key[2]) for key in best})
    sizes = sorted({key[3] for key in best})
    colour = dict(zip(sizes, sequence(len(sizes)), strict=True))
    text = (
        "Final loss by peak learning rate at several batches (tokens an update); rings: the "
        "best rate, crosses: at an end of the rates tried."
    )
    columns = min(2, len(places))
    rows = -(-len(places) // columns)
    fig, axes = sheet(3.6 * columns + 1.2, 2.9 * rows + 0.2, text, columns=columns, rows=rows)
    axes = np.atleast_1d(axes).ravel()
    for ax, (params, tokens) in zip(axes[: len(places)], places, strict=True):
        for size in sizes:
            if ("batch", params, tokens, size) in best:
                value = best["batch", params, tokens, size]
                rate_line(ax, value, colour[size], f"{size:,.0f}")
        ax.set(
            xscale="log",
            xlabel="learning rate",
            title=f"N = {human(round(params, -2))}, D = {human(round(tokens, -4))}",
        )
        rate_ticks(ax, (value.rates for key, value in best.items() if key[1] == params))
    for ax in axes[len(places) :]:
        ax.set_visible(False)
    axes = axes[: len(places)]
    legend_beside(axes[columns - 1], "batch")
    share_height(axes, columns)
    return fig


def rate_line(ax, value, colour, label: str) -> None:
    """Losses by rate, and the best rate marked at the height of the lowest loss."""
    ax.plot(value.rates, value.losses, color=colour, lw=1.2, label=label, **POINT)
    if np.isfinite(value.rate):
        mark = {"marker": "x", "ms": 8} if value.status == "edge" else {"marker": "o", "ms": 9}
        ax.plot([value.rate], [np.nanmin(value.losses)], ls="", color=colour, mfc="none", mew=1.4, **mark)


def rate_ticks(ax, rates) -> None:
    """The rates tried, every one where there is room."""
    every = sorted({float(rate) for tried in rates for rate in tried})
    shown = every if len(every) < 5 else every[::2]
    ax.set_xticks(shown, labels=[f"{rate:.2g}" for rate in shown])
    ax.minorticks_off()


def share_height(axes, columns: int = 0) -> None:
    """The same losses in all panels, with the label once in each row of so many."""
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    for ax in axes[:: columns or len(axes)]:
        ax.set_ylabel("loss (nats/token)")


@styled
def coordinates(checks: Mapping):
    """Scale of each layer's activations by width, over that at the narrowest."""
    first = next(iter(checks.values()))
    text = (
        f"Root mean square of each layer's output after {first.updates} updates, over that at "
        f"width {first.widths[0]}; means over seeds. Band: ± 10 %."
    )
    fig, axes = sheet(4.4 * len(checks) + 1.6, 3.8, text, columns=len(checks))
    axes = np.atleast_1d(axes)
    colours = sequence(len(first.scale))
    for ax, (kind, check) in zip(axes, checks.items(), strict=True):
        for (layer, scale), colour in zip(check.scale.items(), colours, strict=True):
            ax.plot(check.widths, np.array(scale) / scale[0], color=colour, lw=1.2, label=layer, **POINT)
        ax.axhspan(1 / 1.1, 1.1, color=FAINT, alpha=0.25, lw=0, zorder=0)
        ax.set(xscale="log", yscale="log", xlabel="width", title={"mup": "MUP"}.get(kind, kind))
        ax.set_xticks(check.widths, labels=[str(width) for width in check.widths])
        ax.minorticks_off()
    share_height(axes)
    low, high = axes[0].get_ylim()
    ticks = [2.0**power for power in range(-6, 12) if low <= 2.0**power <= high or power in (-1, 1)]
    for ax in axes:
        ax.set_ylim(min(low, 0.48), max(high, 2.1))
        ax.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes[0].set_ylabel("activation over that of the narrowest")
    legend_beside(axes[-1], "layer")
    return fig
