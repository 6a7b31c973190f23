"""Figures of drawn images and their captions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.figures.axes import count_axis, plain_axis, power_axis
from analysis.figures.style import DASHED, METHOD_COLOURS, NOTE, badge, key, sequence, sheet, styled
from analysis.figures.words import human, warning
from experiments.reports.figures import POINT, legend_beside
from lab.data.glyphs import LETTERS


@styled
def images(found: Any):
    """The loss by tokens, a line a size, beside the law's floor and the entropy; and captions by images."""
    runs, of = found.fitted.runs.usable(), found.measures
    low, high = found.fitted.interval("E")
    text = (
        "Left: held-out loss of pixels and captions together, a point a run; lines: the fitted law; band: "
        "the 95 % interval of its floor E. Right: what a caption costs after its image, against what "
        "the image costs; dashed: all but the letter known."
    )
    if not of:
        text = "H" + text.partition(" Right:")[0].removeprefix("Left: h")
    fig, axes = sheet(9.8 if of else 6.0, 4.2, text, columns=2 if of else 1)
    left, sizes = np.atleast_1d(axes)[0], np.unique(runs.params)
    along = np.geomspace(runs.tokens.min(), runs.tokens.max(), 40)
    for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
        own = runs.params == size
        left.plot(runs.tokens[own], runs.loss[own], ls="", color=colour, **POINT)
        left.plot(along, found.fitted.law.loss(size, along), color=colour, lw=1.1)
    if np.isfinite(high):
        left.axhspan(max(low, 0), high, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    left.axhline(found.floor, **DASHED)
    left.annotate("known entropy", (along[0], found.floor), xytext=(0, -11), **NOTE)
    left.set(xscale="log", ylim=(0, None), xlabel="training tokens", ylabel="loss (nats/token)", title="Law")
    count_axis(left.xaxis, *left.get_xlim())
    if of:
        read(axes[1], of, sizes)
    else:
        name_sizes(left, sizes)
    badge(fig, warning(found.fitted))
    return fig


def read(right, of: Any, sizes: np.ndarray) -> None:
    """What a caption costs by what an image costs."""
    for part, marker in (("", "o"), ("_others", "s")):
        for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
            own = of["params"] == size
            face = {"mfc": "none"} if part else {}
            right.plot(
                of["image" + part][own],
                of["caption" + part][own],
                ls="",
                color=colour,
                marker=marker,
                ms=5,
                **face,
            )
    right.axhline(np.log(len(LETTERS)), **DASHED)
    right.set(xlabel="nats an image", ylabel="nats a caption", title="Reading", ylim=(0, None))
    marks = (("o", None, "own fonts"), ("s", "none", "other fonts"))
    name_sizes(right, sizes, [key(color="#888888", ls="", marker=m, mfc=f, label=t) for m, f, t in marks])


def name_sizes(ax, sizes: np.ndarray, more: Sequence = ()) -> None:
    colours = zip(sizes, sequence(len(sizes)), strict=True)
    legend_beside(
        ax, "N", handles=[*(key(color=c, label=human(float(f"{n:.3g}")), **POINT) for n, c in colours), *more]
    )


@styled
def captions(found: Any):
    """What choices among 64 cost over the floor, by compute, a line a number of pairs at once."""
    of = found.columns
    text = (
        "Choices among 64 held-out pairs, over the floor of the best critic; a point a run, filled: the "
        "wider tower; lines: one slope for all. Squares: fonts held out, the runs of the longest training."
    )
    fig, ax = sheet(6.6, 4.2, text)
    along = np.geomspace(of["flops"].min(), of["flops"].max(), 2)
    for number, (n, colour) in enumerate(zip(found.pairs, METHOD_COLOURS, strict=False)):
        own = of["pairs"] == n
        for width in np.unique(of["width"]):
            at = own & (of["width"] == width)
            face = {} if width == of["width"].max() else {"mfc": "none", "mew": 1}
            ax.plot(of["flops"][at], found.over[at], ls="", color=colour, **POINT | face)
        at = own & (of["drawings"] == of["drawings"].max())
        over = (of["loss_others"] - of["floor_others"])[at]
        ax.plot(of["flops"][at], over, ls="", marker="s", ms=5, mfc="none", color=colour)
        line = np.exp(found.coefficients[0] * np.log(along) + found.coefficients[1 + number])
        ax.plot(along, line, color=colour, lw=1.2, label=f"{n:.0f}")
    ax.set(
        xlabel="training compute (FLOPs)", ylabel="over the floor (nats/choice)", xscale="log", yscale="log"
    )
    power_axis(ax.xaxis)
    plain_axis(ax.yaxis)
    legend_beside(ax, "pairs at once")
    return fig


@styled
def reading(found: Any):
    """Nats a caption by compute, and letters told right by drawings, of patches and of convolutions."""
    of = found.columns
    text = (
        "Left: held-out nats of captions told from their images, over what the image leaves, a point a run; "
        "lines: means of the seeds, one a width, the thickest the widest. Right: letters told right, each "
        "arm at the best of its widths; hollow squares: held-out fonts."
    )
    fig, (left, right) = sheet(9.6, 4.0, text, columns=2)
    for arm, colour in zip(("patches", "convolutions"), METHOD_COLOURS, strict=False):
        own = found.own_rate & (of["arm"] == arm)
        over = of["caption"] - of["caption_floor"]
        for place, width in enumerate(np.unique(of["width"][own])):
            at = own & (of["width"] == width)
            left.plot(of["flops"][at], over[at], ls="", color=colour, **POINT)
            flops = np.unique(of["flops"][at])
            means = [np.exp(np.log(over[at & (of["flops"] == each)]).mean()) for each in flops]
            left.plot(flops, means, color=colour, lw=0.7 + 0.6 * place, label="" if place else arm)
        counts = np.unique(of["drawings"][own])
        for part, style in (("", POINT), ("_others", {"marker": "s", "ms": 5, "mfc": "none", "ls": ":"})):
            shares = [most(of, own & (of["drawings"] == n), part) for n in counts]
            right.plot(counts, shares, color=colour, lw=1.2, **style)
    left.set(
        xlabel="training compute (FLOPs)", ylabel="over the floor (nats/caption)", xscale="log", yscale="log"
    )
    power_axis(left.xaxis)
    plain_axis(left.yaxis)
    left.set_yticks([0.3, 0.5, 1, 2, 3, 5], labels=["0.3", "0.5", "1", "2", "3", "5"])
    left.legend()
    chance_of_letters(right, of["drawings"], "drawings learned from")
    return fig


def chance_of_letters(ax, drawings: np.ndarray, what: str) -> None:
    """An axis of letters told right by numbers of drawings."""
    counts = np.unique(drawings)
    ax.axhline(1 / len(LETTERS), **DASHED)
    ax.annotate("chance", (counts[-1], 1 / len(LETTERS)), xytext=(0, 4), ha="right", **NOTE)
    ax.set(xlabel=what, ylabel="letters told right", xscale="log", ylim=(0, 1))
    ax.set_xticks(counts, labels=[human(n) for n in counts])
    ax.minorticks_off()


def most(of: Any, rows: np.ndarray, part: str) -> float:
    """The share of letters told right by the width whose captions cost least, mean of its seeds."""
    widths = np.unique(of["width"][rows])
    best = min(widths, key=lambda width: of["caption"][rows & (of["width"] == width)].mean())
    return of["right" + part][rows & (of["width"] == best)].mean()


@styled
def masked(found: Any):
    """Nats a caption, and letters told right, by labelled drawings, of readers from nothing and of those from
    an encoder that learned hidden patches first."""
    of = found.columns
    text = (
        "Left: held-out nats of captions told from their images, over what the image leaves, a point a run; "
        "lines: means of the seeds, the thicker of the wider model. 'Twice as long' and 'hidden patches "
        "first' cost the same in all. Right: letters told right by the wider model; hollow squares: "
        "held-out fonts."
    )
    fig, (left, right) = sheet(9.6, 4.0, text, columns=2)
    over = of["caption"] - of["caption_floor"]
    for (arm, own), colour in zip(found.rows.items(), METHOD_COLOURS, strict=False):
        counts = np.unique(of["labelled"][own])
        at = lambda values, n, width, own=own: values[own & (of["labelled"] == n) & (of["width"] == width)]  # noqa: E731
        for place, width in enumerate(np.unique(of["width"])):
            for n in counts:
                left.plot([n] * len(at(over, n, width)), at(over, n, width), ls="", color=colour, **POINT)
            means = [np.exp(np.log(at(over, n, width)).mean()) for n in counts]
            left.plot(counts, means, color=colour, lw=0.9 + 0.9 * place, label="" if place else arm)
        for part, style in (("", POINT), ("_others", {"marker": "s", "ms": 5, "mfc": "none", "ls": ":"})):
            shares = [at(of["right" + part], n, width).mean() for n in counts]
            right.plot(counts, shares, color=colour, lw=1.2, **style)
    left.set(xlabel="labelled drawings", ylabel="over the floor (nats/caption)", xscale="log", yscale="log")
    plain_axis(left.yaxis)
    left.legend()
    chance_of_letters(right, of["labelled"], "labelled drawings")
    counts = np.unique(of["labelled"])
    left.set_xticks(counts, labels=[human(n) for n in counts])
    left.minorticks_off()
    return fig
