"""Figures of a known entropy: the fitted floor beside it."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures.axes import count_axis, plain_axis
from analysis.figures.style import INK, METHOD_COLOURS, badge, sequence, sheet, styled
from analysis.figures.words import human, warning
from experiments.reports.figures import POINT, legend_beside

REACH = 120.0  # % to either side of the known floor that is shown
TICKS = (-100, -30, -10, -5, 0, 5, 10, 30, 100)


@styled
def known_entropy(answers: list):
    """One panel a kind of language: E over the known floor for each seed, a bar an estimator."""
    kinds = list(dict.fromkeys(answer.kind for answer in answers))
    objective = next(iter(answers[0].estimates))[0]
    estimators = [each for each in answers[0].estimates if each[0] == objective]
    text = (
        f"Each row is a language of its own with a grid of {len(answers[0].runs)} trained "
        "models. Bars: the 95 % interval of the floor E of Chinchilla's law fitted to them "
        f"({objective}), by how it is made; points: E itself; line: the known entropy of "
        "the held-out windows. Arrows: the interval goes on; thin and hollow: the fit says that it is "
        "not identified. In the titles: how often the known floor is inside. Beyond ± 10 % the scale is "
        "logarithmic."
    )
    fig, axes = sheet(5.2 * len(kinds) + 1.2, 4.6, text, columns=len(kinds))
    for ax, kind in zip(np.atleast_1d(axes), kinds, strict=True):
        mine = [answer for answer in answers if answer.kind == kind]
        for place, how in enumerate(estimators):
            for row, answer in enumerate(mine):
                interval_bar(
                    ax,
                    answer.estimates[how],
                    answer.floor,
                    row + 0.25 * (place - 1),
                    METHOD_COLOURS[place],
                    REACH,
                )
        held = (
            f"{how[1]} {sum(f.estimates[how].holds(f.floor) for f in mine)}/{len(mine)}" for how in estimators
        )
        ax.axvline(0, color=INK, lw=1.2)
        ax.set_xscale("symlog", linthresh=10, linscale=1.5)
        ax.set(
            xlim=(-REACH, REACH),
            ylim=(len(mine) - 0.5, -0.5),
            ylabel="seed",
            xlabel="E over the known floor, %",
            title=f"{kind}: {', '.join(held)}",
        )
        ax.set_xticks(TICKS, labels=[f"{tick:+g}" if tick else "0" for tick in TICKS])
        ax.minorticks_off()
        ax.set_yticks(range(len(mine)))
        ax.grid(visible=False, axis="y")
    handles = [
        Line2D([], [], color=METHOD_COLOURS[i], lw=2, label=how[1]) for i, how in enumerate(estimators)
    ]
    legend_beside(np.atleast_1d(axes)[-1], "interval", handles=handles)
    return fig


def interval_bar(ax, estimate: Any, floor: float, y: float, colour: str, reach: float) -> None:
    """An estimate and its interval in % of the floor, cut at ±`reach` with an arrow."""
    low, value, high = (100 * (end / floor - 1) for end in (estimate.low, estimate.value, estimate.high))
    ends = np.clip([low, high], -reach, reach)
    ax.plot(ends, [y, y], color=colour, lw=1.9 if estimate.says else 0.8, solid_capstyle="butt")
    for end, mark, cut in ((ends[0], "<", low < -reach), (ends[1], ">", high > reach)):
        if cut:
            ax.plot(end, y, marker=mark, ms=3.5, clip_on=False, mew=0, color=colour)
    if abs(value) < reach:
        ax.plot(value, y, marker="o", ms=3.4, color=colour, mew=0.8, mfc=colour if estimate.says else "white")


@styled
def floors(answers: list):
    """One panel a language: loss by tokens, a line a size, the known floor and the fitted E."""
    text = "Points: runs. Lines: the fitted law at each size. Dashed: the known floor of the "
    text += "held-out windows. Band: 95 % of the fitted E. "
    fits = [(answer, answer.fitted) for answer in answers]
    text += "; ".join(
        f"{answer.language}: floor {answer.floor:.4f}, E = {fitted.law.E:.4f} [{fitted.status}]"
        for answer, fitted in fits
    )
    text += "."
    fig, axes = sheet(5.0 * len(answers) + 0.8, 4.0, text, columns=len(answers))
    for ax, answer in zip(np.atleast_1d(axes), answers, strict=True):
        sizes, estimate = np.unique(answer.runs.params), next(iter(answer.estimates.values()))
        at = np.geomspace(answer.runs.tokens.min(), answer.runs.tokens.max() * 1.5, 60)
        for params, colour in zip(sizes, sequence(len(sizes)), strict=True):
            rows = answer.runs.params == params
            ax.plot(
                answer.runs.tokens[rows],
                answer.runs.loss[rows],
                ls="",
                color=colour,
                **POINT,
                label=human(float(f"{params:.3g}")),
            )
            ax.plot(at, answer.fitted.law.loss(np.full_like(at, params), at), color=colour, lw=1.1)
        ends = np.clip([estimate.low, estimate.high], 0.9 * answer.floor, 2 * answer.runs.loss.max())
        ax.axhspan(*ends, color=METHOD_COLOURS[1], alpha=0.18, lw=0)
        ax.axhline(answer.floor, color=INK, lw=1.2, ls=(0, (5, 3)))
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="tokens",
            ylabel="loss (nats/token)",
            title=answer.language.rpartition("-")[0],
        )
        low = min(answer.floor, max(estimate.low, 0.9 * answer.floor))
        ax.set_ylim(low / 1.01, answer.runs.loss.max() * 1.01)
        count_axis(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, *ax.get_ylim())
        legend_beside(ax, "N")
    badge(fig, warning(*(answer.fitted for answer in answers)))
    return fig
