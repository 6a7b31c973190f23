"""Figures of drawn images and their captions."""

from typing import Any

import numpy as np

from analysis.figures.axes import count_axis
from analysis.figures.style import DASHED, METHOD_COLOURS, NOTE, badge, key, sequence, sheet, styled
from analysis.figures.words import human, warning
from experiments.reports.figures import POINT, legend_beside


@styled
def images(found: Any):
    """The loss by tokens, a line a size, beside the law's floor and the entropy; and who draws also reads."""
    runs, of = found.fitted.runs.usable(), found.measures
    low, high = found.fitted.interval("E")
    text = (
        "Left: held-out loss of pixels and captions together, a point a run; lines: the fitted law; band: "
        "the 95 % interval of its floor E. Right: how often the letter is told after its image, against "
        "what the image costs; dashed: chance."
    )
    fig, (left, right) = sheet(9.8, 4.2, text, columns=2)
    sizes = np.unique(runs.params)
    along = np.geomspace(runs.tokens.min(), runs.tokens.max(), 40)
    for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
        own = runs.params == size
        left.plot(runs.tokens[own], runs.loss[own], ls="", color=colour, **POINT)
        left.plot(along, found.fitted.law.loss(size, along), color=colour, lw=1.1)
    if np.isfinite(high):
        left.axhspan(max(low, 0), high, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    left.axhline(found.floor, **DASHED)
    left.annotate("known entropy", (along[0], found.floor), xytext=(0, 4), **NOTE)
    left.set(xscale="log", ylim=(0, None), xlabel="training tokens", ylabel="loss (nats/token)", title="Law")
    count_axis(left.xaxis, *left.get_xlim())
    for part, marker in (("", "o"), ("_others", "s")):
        for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
            own = of["params"] == size
            face = {"mfc": "none"} if part else {}
            right.plot(
                of["image" + part][own],
                100 * of["letters" + part][own],
                ls="",
                color=colour,
                marker=marker,
                ms=5,
                **face,
            )
    right.axhline(100 / 26, **DASHED)
    right.set(xlabel="nats an image", ylabel="letters told right (%)", title="Reading", ylim=(0, 100))
    handles = [
        key(color=c, label=human(float(n)), **POINT) for n, c in zip(sizes, sequence(len(sizes)), strict=True)
    ]
    handles += [
        key(color="#888888", ls="", marker=m, mfc=f, label=t)
        for m, f, t in (("o", None, "own fonts"), ("s", "none", "other fonts"))
    ]
    legend_beside(right, "N", handles=handles)
    badge(fig, warning(found.fitted))
    return fig
