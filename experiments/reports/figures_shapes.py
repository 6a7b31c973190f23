"""Figures of shapes: where norms stand by depth, and experts by their number and size."""

from typing import Any

import numpy as np

from analysis.figures.axes import plain_axis
from analysis.figures.style import DASHED, METHOD_COLOURS, sheet, styled
from experiments.reports.figures import POINT

NAMES = {"pre": "before (pre)", "post": "after (post)", "deep": "after, DeepNorm", "sub": "before and inside"}


@styled
def depth(cells: Any, trained: float):
    """Loss by rate, a panel a depth, a line a place of norms."""
    depths = sorted({cell.layers for cell in cells})
    text = (
        "Mean loss of the seeds by rate, of equal hidden weights and FLOPs; bars: the least and the most. "
        "Dashed: above it a run counts as not trained; such as diverged stand at the top."
    )
    fig, axes = sheet(9.8, 3.8, text, columns=len(depths))
    tops = [loss for cell in cells for runs in cell.losses.values() for loss in runs if np.isfinite(loss)]
    low, top = min(tops) * 0.97, 1.12 * trained
    for ax, layers in zip(np.atleast_1d(axes), depths, strict=True):
        own = [cell for cell in cells if cell.layers == layers]
        for place, (cell, colour) in enumerate(zip(own, METHOD_COLOURS, strict=True)):
            rates = np.array(list(cell.losses)) * 1.04 ** (place - 1.5)
            losses = np.minimum([cell.losses[rate] for rate in cell.losses], top)
            mean = losses.mean(1)
            ends = [mean - losses.min(1), losses.max(1) - mean]
            ax.errorbar(
                rates, mean, yerr=ends, color=colour, label=NAMES[cell.norms], lw=1.3, capsize=2, **POINT
            )
        ax.axhline(trained, **DASHED)
        ax.set(xscale="log", ylim=(low, 1.02 * top), xlabel="learning rate", title=f"{layers} layers")
        plain_axis(ax.xaxis)
    np.atleast_1d(axes)[0].set_ylabel("loss (nats/byte)")
    np.atleast_1d(axes)[0].legend(title="norms", fontsize=8, loc="center left", bbox_to_anchor=(0.0, 0.62))
    return fig
