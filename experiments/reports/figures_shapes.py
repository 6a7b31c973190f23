"""Figures of shapes: where norms stand by depth, and experts by their number and size."""

from typing import Any

import numpy as np

from analysis.figures.axes import power_axis
from analysis.figures.style import DASHED, METHOD_COLOURS, badge, sequence, sheet, styled
from analysis.figures.words import human, warning
from experiments.reports.figures import POINT

NAMES = {"pre": "before (pre)", "post": "after (post)", "deep": "after, DeepNorm", "sub": "before and inside"}


@styled
def depth(panels: Any, trained: float):
    """Loss by rate, a panel a depth (title: cells), a line a place of norms."""
    cells = [cell for own in panels.values() for cell in own]
    text = (
        "Mean loss of the seeds by rate, of equal hidden weights and FLOPs; bars: the least and the most. "
        "Dashed: above it a run counts as not trained; such as diverged stand at the top."
    )
    fig, axes = sheet(11.0, 3.8, text, columns=len(panels))
    tops = [loss for cell in cells for runs in cell.losses.values() for loss in runs if np.isfinite(loss)]
    low, top = min(tops) * 0.97, 1.12 * trained
    tried = [rate for cell in cells for rate in cell.losses]
    for ax, (title, own) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for place, (cell, colour) in enumerate(zip(own, METHOD_COLOURS, strict=True)):
            rates = np.array(list(cell.losses)) * 1.04 ** (place - 1.5)
            losses = np.minimum([cell.losses[rate] for rate in cell.losses], top)
            mean = losses.mean(1)
            ends = [mean - losses.min(1), losses.max(1) - mean]
            ax.errorbar(
                rates, mean, yerr=ends, color=colour, label=NAMES[cell.norms], lw=1.3, capsize=2, **POINT
            )
        ax.axhline(trained, **DASHED)
        ax.set(xscale="log", ylim=(low, 1.02 * top), xlabel="learning rate", title=title)
        ax.set_xlim(min(tried) / 1.5, 1.5 * max(tried))
        ax.set_xticks(list(own[0].losses), labels=[f"{rate:g}" for rate in own[0].losses], fontsize=7)
        ax.minorticks_off()
    np.atleast_1d(axes)[0].set_ylabel("loss (nats/byte)")
    np.atleast_1d(axes)[min(2, len(panels) - 1)].legend(title="norms", fontsize=8, loc="lower left")
    return fig


@styled
def experts(compared: Any, rows: Any, fitted: Any):
    """What each number of experts is worth by compute, and the law of routed models over its runs."""
    level = 100 * compared[0].level
    text = (
        f"Left: times the compute of the dense model, with {level:.3g} % intervals, some going on, by rung. "
        "Right: the best of the rates tried by each seed, by how many times a token's own experts there are "
        "(1: dense), and the law of routed models fitted to them, a line a size."
    )
    fig, (left, right) = sheet(9.4, 3.9, text, columns=2)
    left.axhline(1, **DASHED)
    number = lambda each: int(each.arm.split()[0])  # noqa: E731
    for place, (each, colour) in enumerate(zip(sorted(compared, key=number), METHOD_COLOURS, strict=False)):
        flops = np.array([b.flops for b in each.budgets]) * 1.06 ** (place - 1)
        value, low, high = (
            np.array([getattr(b.compute, n) for b in each.budgets]) for n in ("value", "low", "high")
        )
        ends = [value - low, high - value]
        left.errorbar(flops, value, yerr=ends, color=colour, label=each.arm, lw=1.3, capsize=3, **POINT)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="training compute (FLOPs)",
        ylabel="times the dense model's compute",
    )
    left.set_ylim(1 / 6, 24)  # an interval may go on beyond
    power_axis(left.xaxis)
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16]
    left.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    left.legend()
    used, dense = fitted.runs, np.unique(rows.params[rows.column("arm") == "dense"])
    near = np.abs(np.log(used.params[:, None] / dense)).argmin(1)
    at = np.geomspace(1, used.column("n_experts").max(), 40)
    for place, (params, colour) in enumerate(zip(dense, sequence(len(dense)), strict=True)):
        own = near == place
        right.plot(used.column("n_experts")[own], used.loss[own], ls="", color=colour, **POINT)
        right.plot(
            at,
            fitted.law.loss(np.full_like(at, params), at),
            color=colour,
            lw=1.2,
            label=human(float(f"{params:.2g}")),
        )
    right.set(xscale="log", xlabel="X, experts over a token's own", ylabel="loss (nats/byte)")
    right.set_xticks([1, 2, 4, 8], labels=["1", "2", "4", "8"])
    right.minorticks_off()
    right.legend(title="active params")
    badge(fig, warning(fitted))
    return fig


@styled
def texts(found: Any):
    """Bits a byte of each kind on each text, one point a seed."""
    text = "Bits a held-out byte of runs of equal FLOPs, a point a seed; lines: their mean."
    fig, ax = sheet(6.4, 3.6, text)
    kinds = list(found[0].bits)
    for place, (kind, colour) in enumerate(zip(kinds, METHOD_COLOURS, strict=False)):
        for number, each in enumerate(found):
            x, own = number + 0.22 * (place - 0.5), each.bits[kind]
            ax.plot(np.full(len(own), x), own, ls="", color=colour, label="" if number else kind, **POINT)
            ax.plot([x - 0.08, x + 0.08], [own.mean()] * 2, color=colour, lw=1.6)
    ax.set(ylabel="bits a byte", title="Four texts at equal compute")
    ax.set_xticks(range(len(found)), labels=[each.corpus for each in found])
    ax.grid(visible=False, axis="x")
    ax.legend()
    return fig
