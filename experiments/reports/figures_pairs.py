"""Figures of word2vec."""

from typing import Any

from analysis.figures.axes import count_axis, percent_axis, power_axis
from analysis.figures.style import DASHED, INK, key, sequence, sheet, styled
from analysis.figures.words import human
from experiments.reports.figures import POINT, legend_beside


@styled
def word2vec(curves: dict[int, Any], beside: Any, best: dict[int, float], rank: int):
    """Excess loss over pairs, by width; analogies over pairs, and over compute beside a Transformer's."""
    text = (
        "Vectors of skip-gram with negative sampling by their width; mean of the seeds, with the least and "
        "the most. Left: loss over that of shifted PMI, computed over the whole language; dashed: the best "
        "vectors of a width. Right: a Transformer's table of embeddings beside them, by its matrix products."
    )
    fig, (left, middle, right) = sheet(11.0, 3.9, text, columns=3)
    for (width, curve), colour in zip(curves.items(), sequence(len(curves)), strict=True):
        for ax, values in ((left, curve.excess), (middle, curve.right)):
            ax.plot(curve.pairs, values.mean(1), color=colour, **POINT)
            ax.fill_between(curve.pairs, values.min(1), values.max(1), color=colour, alpha=0.15, lw=0)
        right.plot(curve.flops, curve.right.mean(1), color=colour, lw=1.2, **POINT)
        if width < rank:
            left.axhline(best[width], **(DASHED | {"color": colour}))
    right.plot(beside.flops, beside.right.mean(1), color=INK, marker="s", ms=4, lw=1.2)
    right.fill_between(beside.flops, beside.right.min(1), beside.right.max(1), color=INK, alpha=0.15, lw=0)
    left.set(xscale="log", yscale="log", xlabel="pairs", ylabel="nats/target over the floor", title="Loss")
    middle.set(xscale="log", xlabel="pairs", ylim=(0, 1.02), title="Analogies that are right")
    right.set(xscale="log", xlabel="training compute (FLOPs)", ylim=(0, 1.02), title="and by compute")
    for ax in (left, middle):
        count_axis(ax.xaxis)
    power_axis(left.yaxis)
    power_axis(right.xaxis)
    for ax in (middle, right):
        percent_axis(ax.yaxis)
    entries = [
        key(color=colour, label=human(width))
        for width, colour in zip(curves, sequence(len(curves)), strict=True)
    ]
    legend_beside(right, "width", handles=[*entries, key(color=INK, marker="s", ms=4, label="Transformer")])
    return fig
