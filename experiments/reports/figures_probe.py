"""Figures of what can be read off states: by loss and size, and over a text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures.axes import count_axis, power_axis
from analysis.figures.style import DASHED, INK, METHOD_COLOURS, NOTE, sheet, styled
from experiments.reports.figures import POINT, legend_beside
from experiments.reports.reviews import share

COLUMNS = 80  # characters of a line of coloured text


@styled
def sentiment(rungs: Sequence[Any], counted: Mapping[str, np.ndarray]):
    """Reviews told right against loss, and against size: by a probe, by one unit, and before training."""
    tested = rungs[0].linear.shape[1]
    text = (
        f"Share of {tested:,} reviews, read by no run, whose label is told right: by a linear probe of the "
        "mean states, by the single unit that goes most with the label, and by the probe of the weights "
        "before training. Bars: 95 % over reviews and seeds."
    )
    fig, (left, right) = sheet(9.6, 4.2, text, columns=2)
    kinds = dict(zip(dict.fromkeys(rung.kind for rung in rungs), METHOD_COLOURS, strict=False))
    marks = {"linear": ("o", "-"), "unit": ("^", ":"), "untrained": ("x", (0, (4, 2)))}
    for kind, colour in kinds.items():
        own = [rung for rung in rungs if rung.kind == kind]
        for name, (marker, dash) in marks.items():
            found = 100 * np.array([share(getattr(rung, name)) for rung in own])
            around = np.abs(found[:, 1:] - found[:, :1]).T
            for ax, at in ((left, [rung.bits for rung in own]), (right, [rung.params for rung in own])):
                if name == "untrained" and ax is left:
                    continue
                ax.errorbar(
                    at, found[:, 0], around, color=colour, ls=dash, marker=marker, ms=4.5, lw=1.2, capsize=2
                )
    for ax in (left, right):
        for name, rights in counted.items():
            ax.axhline(100 * rights.mean(), **DASHED)
            ax.annotate(
                f"counts of {name}", (0.02, 100 * rights.mean()), (0, 3), ("axes fraction", "data"), **NOTE
            )
        ax.set(ylabel="reviews told right (%)")
    left.invert_xaxis()
    left.set(xlabel="held-out loss (bits a byte), falling", title="By loss")
    right.set(xscale="log", xlabel="params (hidden + readout)", title="By size")
    count_axis(right.xaxis, *right.get_xlim())
    names = {"linear": "linear probe", "unit": "single unit", "untrained": "probe, untrained"}
    handles = [Line2D([], [], color=colour, label=kind) for kind, colour in kinds.items()]
    handles += [
        Line2D([], [], color=INK, marker=marker, ls=dash, ms=4.5, label=names[name])
        for name, (marker, dash) in marks.items()
    ]
    legend_beside(right, "", handles=handles)
    return fig


@styled
def text(parts: Sequence[tuple[str, str, np.ndarray]], words: str):
    """Texts, each with its name, with each character in the colour of a unit's state there."""
    rows = [-(-len(values) // COLUMNS) for *_, values in parts]
    fig, axes = sheet(8.4, 0.21 * sum(rows) + 0.25 * len(parts), words, rows=len(parts))
    for ax, tall, (name, shown, values) in zip(np.atleast_1d(axes), rows, parts, strict=True):
        grid = np.full(tall * COLUMNS, np.nan)
        grid[: len(values)] = values / (np.abs(values).max() + 1e-12)
        ax.imshow(grid.reshape(tall, COLUMNS), cmap="RdBu", vmin=-1, vmax=1, alpha=0.75, aspect="auto")
        for place, letter in enumerate(shown[: len(values)]):
            if letter.isprintable() and not letter.isspace():
                where = place % COLUMNS, place // COLUMNS
                ax.text(*where, letter, ha="center", va="center", fontsize=6.5, family="monospace")
        ax.set_axis_off()
        ax.set_title(name, fontsize=9, loc="left")
    return fig


@styled
def cells(stages: Sequence[Any]):
    """How well the best unit, and all, follow each property, by how long was trained."""
    words = (
        "Correlation of a property of each held-out byte with the unit chosen for it on other text, and "
        "dashed with the best line through all units; leftmost before training. Bars: two seeds."
    )
    fig, ax = sheet(6.6, 4.0, words)
    at = np.array([stage.tokens or stages[1].tokens / 4 for stage in stages])
    for name, colour in zip(stages[0].unit, METHOD_COLOURS, strict=False):
        unit, every = (np.array([getattr(stage, key)[name] for stage in stages]) for key in ("unit", "every"))
        mean = unit.mean(1)
        around = [mean - unit.min(1), unit.max(1) - mean]
        ax.errorbar(at, mean, around, color=colour, label=name, capsize=2, **POINT)
        ax.plot(at, every.mean(1), color=colour, lw=1, ls=(0, (4, 2)))
    ax.set(xscale="log", xlabel="bytes trained on", ylabel="correlation", ylim=(0, 1))
    count_axis(ax.xaxis, *ax.get_xlim())
    legend_beside(ax, "")
    return fig


@styled
def objectives(cells: Mapping[str, Mapping[float, Any]]):
    """Bits a byte of ends and of gaps, and reviews told right, against compute, a line an objective."""
    words = (
        "The same held-out bytes, asked of every objective in the form in which it learned. Left: the last "
        "bytes of a window, given those before. Middle: gaps cut out of it; next token and prefix see what "
        "stands before alone. Right: a linear probe of the mean states. Bars: the seeds; right, 95 % over "
        "reviews and seeds."
    )
    fig, axes = sheet(11.4, 4.0, words, columns=3)
    for number, ((name, of), colour) in enumerate(zip(cells.items(), [*METHOD_COLOURS, INK], strict=True)):
        at = np.array([cell.flops.mean() for cell in of.values()]) * 1.03 ** (number - 2)
        for ax, measure in zip(axes, ("ends", "gaps"), strict=False):
            bits = np.array([getattr(cell, measure) for cell in of.values()])
            mean = bits.mean(1)
            ax.errorbar(
                at,
                mean,
                [mean - bits.min(1), bits.max(1) - mean],
                color=colour,
                label=name,
                capsize=2,
                **POINT,
            )
        found = 100 * np.array([share(cell.right) for cell in of.values()])
        axes[2].errorbar(
            at,
            found[:, 0],
            np.abs(found[:, 1:] - found[:, :1]).T,
            color=colour,
            label=name,
            capsize=2,
            **POINT,
        )
    for ax, title in zip(axes, ("Ends of texts", "Gaps", "Reviews told right"), strict=True):
        ax.set(xscale="log", xlabel="training compute (FLOPs)", title=title, ylabel="bits a byte")
        power_axis(ax.xaxis)
    axes[2].set(ylabel="reviews told right (%)")
    legend_beside(axes[2], "")
    return fig
