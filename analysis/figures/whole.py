"""The figure of whole curves: what their first part says of the rest, and all of them normalised."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.style import DASHED, INK, sequence, sheet, styled
from analysis.fitting.whole import Curve, Rest

MOST = 8  # curves drawn on the left


@styled
def plot_whole(curves: Sequence[Curve], rests: Sequence[Rest], normalised: np.ndarray):
    """Left: losses measured (points), and said of the rest (lines) from the points before the cut. Right:
    `normalised` (R, K), every curve's loss over its last, at shares of its updates."""
    text = (
        "Left: points were measured, filled ones fitted; lines are what the law says of the rest, under the "
        f"rates ahead; {min(MOST, len(rests))} of {len(rests)} runs. Right: loss over the last loss, a line "
        f"a run, {len(curves)} runs; the dashed line is their median."
    )
    fig, (left, right) = sheet(10.0, 4.0, text, columns=2)
    shown = [rests[i] for i in np.unique(np.linspace(0, len(rests) - 1, MOST).astype(int))] if rests else []
    for rest, colour in zip(shown, sequence(len(shown)), strict=True):
        curve, ahead = rest.curve, rest.ahead
        left.plot(curve.steps[~ahead], curve.losses[~ahead], "o", ms=3.5, color=colour)
        left.plot(curve.steps[ahead], curve.losses[ahead], "o", ms=4, mfc="none", color=colour)
        steps = np.unique(np.geomspace(rest.cut, curve.steps[-1], 60).astype(int))
        left.plot(steps, rest.law.loss(curve.rates, steps), "-", lw=1.2, color=colour)
    left.set(xscale="log", yscale="log", xlabel="update", ylabel="loss", title="The rest from the first part")
    at = np.geomspace(0.1, 1.0, normalised.shape[1])
    for row, colour in zip(normalised, sequence(len(normalised)), strict=True):
        right.plot(at, row, lw=0.8, color=colour, alpha=0.8)
    right.plot(at, np.nanmedian(normalised, 0), **DASHED | {"color": INK})
    right.set(xlabel="share of the updates", ylabel="loss over the last loss", title="Normalised curves")
    return fig
