"""The figure of best rates: loss above each cell's lowest against the rate over the rule's."""

import numpy as np

from analysis.figures.style import DASHED, INK, sequence, sheet, styled
from analysis.figures.words import human
from analysis.frontiers.rates import Rates

MOST = 12  # cells named in the legend


@styled
def plot_rates(rates: Rates):
    """Left: loss by rate, a line a cell, the best marked. Right: best rates by the rule's, with bars."""
    text = (
        f"Left: loss by {rates.setting} above each cell's lowest; rings: the best by its valley; crosses: "
        "one outside the rates tried. Right: bests by the rule; bars: 95 %. The rule is "
        f"{rates.status}: {rates.message}."
    )
    fig, (left, right) = sheet(11.0, 4.0, text, columns=2)
    sweeps = sorted(rates.sweeps, key=lambda each: tuple(each.place.values()))
    for each, colour in zip(sweeps, sequence(len(sweeps)), strict=True):
        label = ", ".join(human(value) for value in each.place.values())
        lowest = each.losses.min()
        left.plot(each.rates, 100 * (each.losses / lowest - 1), "o-", color=colour, lw=1, ms=3.5, label=label)
        mark = {"marker": "o", "mfc": "none"} if each.status == "ok" else {"marker": "x"}
        left.plot([each.best.value], [0], ls="", ms=9, color=colour, mew=1.4, **mark)
        if rates.rule:
            place = rates.rule.at(each.place).value
            right.plot([place, place], [each.best.low, each.best.high], color=colour, lw=1.5)
            right.plot([place], [each.best.value], ls="", ms=6, color=colour, mew=1.4, **mark)
    left.set(
        xscale="log", xlabel=rates.setting, ylabel="loss above the cell's lowest (%)", title="Every cell"
    )
    left.set_ylim(-1, min(left.get_ylim()[1], 30))
    if len(sweeps) <= MOST:
        handles, labels = left.get_legend_handles_labels()
        style = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "fontsize": 8, "title_fontsize": 8}
        right.legend(handles, labels, title=", ".join(sweeps[0].place), **style)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="the rule's",
        ylabel="best, by its valley",
        title="Best against the rule",
    )
    if rates.rule:
        ends = np.array([[each.best.value, rates.rule.at(each.place).value] for each in sweeps])
        span = np.array([ends.min() / 1.5, ends.max() * 1.5])
        right.plot(span, span, **DASHED)
        right.set(xlim=span, ylim=span)
    else:
        right.annotate("no rule", (0.5, 0.5), xycoords="axes fraction", ha="center", color=INK)
    return fig
