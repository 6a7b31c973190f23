"""Figures of tasks in context."""

from typing import Any

import numpy as np

from analysis.figures.axes import count_axis
from analysis.figures.style import DASHED, INK, METHOD_COLOURS, key, sequence, sheet, styled
from analysis.figures.words import human
from experiments.reports.figures import POINT

NAMES = {"nats": "log-likelihood", "accuracy": "accuracy of a token", "exact": "exact match"}


@styled
def incontext(rises: dict, lines: Any):
    """Of each task three metrics of the same runs by size, and the loss of walks by position."""
    text = (
        "Held-out answers of the same runs by three metrics, each from chance (0) to perfect (1), mean of "
        "the seeds with the least and the most; dashed: a quarter of the tokens. Last: loss of walks, each "
        "on a chain of its own, by position; dashed: chance."
    )
    tasks = [task for task in rises if task != "bigrams"]
    fig, axes = sheet(9.8, 6.0, text, columns=2, rows=2)
    for ax, task in zip(axes.flat, tasks, strict=False):
        for tokens, by_metric in rises[task].items():
            whole = tokens == max(rises[task])
            for rise, colour in zip(by_metric.values(), METHOD_COLOURS, strict=False):
                style = {"color": colour, "ls": "-" if whole else (0, (4, 2)), "lw": 1.5 if whole else 0.8}
                mean = rise.share.mean(1)
                ax.plot(rise.params, mean, **style, **(POINT if whole else {}))
                if whole:
                    ax.fill_between(
                        rise.params, rise.share.min(1), rise.share.max(1), color=colour, alpha=0.15, lw=0
                    )
        ax.set(xscale="log", ylim=(-0.05, 1.05), xlabel="params (hidden + readout)", title=task)
        count_axis(ax.xaxis, *ax.get_xlim())
    axes.flat[0].set_ylabel("from chance to perfect")
    axes.flat[0].legend(
        handles=[
            key(color=colour, label=NAMES[name]) for name, colour in zip(NAMES, METHOD_COLOURS, strict=False)
        ]
    )
    walks(axes.flat[-1], [line for line in lines if line["task"] == "bigrams"])
    return fig


def walks(ax, lines: list[dict[str, str]]) -> None:
    ax.set(title="walks: loss by position", xlabel="position in the walk", ylabel="loss (nats/token)")
    if not lines:
        return
    most = max(int(line["tokens"]) for line in lines)
    sizes = sorted({int(line["params"]) for line in lines})
    for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
        own = [line for line in lines if int(line["params"]) == size and int(line["tokens"]) == most]
        nats = np.mean([[float(each) for each in line["by_octave"].split()] for line in own], 0)
        ax.plot(2 ** np.arange(len(nats)), nats, color=colour, label=human(size), **POINT)
    ax.axhline(np.log(int(lines[0]["choices"])), **DASHED)
    ax.set_xscale("log")
    ends = 2 ** np.arange(len(nats))
    names = ["1", "2", *(f"{end // 2 + 1}-{end}" for end in ends[2:])]
    ax.set_xticks(ends, names, fontsize=7.5)
    ax.minorticks_off()
    ax.legend(title="N", fontsize=7.5, labelcolor=INK)
