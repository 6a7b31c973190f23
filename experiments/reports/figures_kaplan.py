"""Figures of experiments/kaplan2020.py."""

from typing import Any

import numpy as np

from analysis.figures.axes import count_axis, plain_axis, power_axis
from analysis.figures.style import INK, METHOD_COLOURS, badge, key, sequence, sheet, styled
from analysis.figures.words import human, warning
from analysis.tables.runs import Runs
from experiments.reports.figures import POINT, legend_beside

QUANTITIES = {"N": "params (hidden + readout)", "D": "tokens", "C": "training compute (FLOPs)"}


@styled
def powers(laws: list):
    """Loss by size, data and compute, a panel each, with the two power laws through them."""
    text = (
        "Points: final losses. Solid: a power law without a floor, as in the paper; dashed: "
        "with one. "
        + "; ".join(
            f"{law.name}: exponent {law.bare.law.alpha:.3f}, with a floor "
            f"{law.floored.law.alpha:.3f} above {law.floored.law.E:.2f}"
            for law in laws
        )
        + "."
    )
    fig, axes = sheet(4.0 * len(laws), 3.6, text, columns=len(laws))
    for ax, law in zip(np.atleast_1d(axes), laws, strict=True):
        at = np.geomspace(law.at.min(), law.at.max(), 100)
        ax.plot(law.at, law.loss, ls="", color=METHOD_COLOURS[0], **POINT)
        ax.plot(at, law.bare.law.loss(at), color=INK, lw=1.0)
        ax.plot(at, law.floored.law.loss(at), color=METHOD_COLOURS[1], lw=1.2, ls=(0, (5, 3)))
        ax.set(
            xscale="log",
            yscale="log",
            xlabel=QUANTITIES[law.name],
            ylabel="loss (nats/token)",
            title=f"L({law.name})",
        )
        ax.set_ylim(law.loss.min() / 1.02, law.loss.max() * 1.02)
        (power_axis if law.name == "C" else count_axis)(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, *ax.get_ylim())
    badge(fig, warning(*(law.floored for law in laws)))
    return fig


@styled
def efficiency(rows: Runs, curves: Runs, along: Any):
    """Learning curves by size with L(N, S) through them, against tokens and against compute."""
    law = along.law
    text = (
        "Held-out loss along each run, measured on part of the held-out text. Where a larger "
        "model is below a smaller one at equal tokens, it needs fewer for one loss; at equal "
        f"compute the curves cross. Dotted: L(N, S) with exponents {law.alpha_N:.3f} and "
        f"{law.alpha_S:.3f}, fitted to the last nine tenths of all curves."
    )
    fig, axes = sheet(9.0, 3.8, text, columns=2)
    order, ids = np.argsort(rows.params), curves.column("run_id")
    low, high = rows.loss.min() / 1.02, 0.0
    for i, colour in zip(order, sequence(len(order)), strict=True):
        mine = ids == rows.column("run_id")[i]
        loss, tokens, flops = curves.loss[mine], curves.tokens[mine], curves.flops[mine]
        fitted = law.loss(rows.params[i], curves.column("step")[mine].astype(float))
        late = tokens >= 0.1 * tokens.max()
        high = max(high, float(np.median(loss)) * 1.3)
        for ax, at in zip(axes, (tokens, flops), strict=True):
            ax.plot(at, loss, color=colour, lw=1.2, label=human(float(f"{rows.params[i]:.3g}")))
            ax.plot(at[late], fitted[late], color=colour, lw=1.0, ls=":")
    for ax, name in zip(axes, ("tokens", "training compute (FLOPs)"), strict=True):
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="loss (nats/token)")
        ax.set_ylim(low, high)
        kind = count_axis if name == "tokens" else power_axis  # compute is in powers of ten everywhere
        kind(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, low, high)
    axes[0].set_title("Learning curves, by tokens")
    axes[1].set_title("by compute")
    legend_beside(axes[-1], "N")
    badge(fig, warning(along))
    return fig


@styled
def shapes(compared: Any):
    """Loss over that of the first shape, by width over layers."""
    band = 200 * compared.noise
    least, most = compared.hidden.min(), compared.hidden.max()
    text = (
        f"Models of about equal block weights ({least:,.0f} to {most:,.0f}) "
        f"beside {compared.names[0]}; band: ± 2 standard deviations of its loss between seeds, "
        f"{band:.2g} % ({compared.seeds} runs)."
    )
    fig, ax = sheet(6.4, 3.8, text)
    ax.axhspan(-band, band, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    ax.axhline(0, color=INK, lw=0.8)
    ax.plot(compared.aspect, 100 * compared.gap, ls="", color=METHOD_COLOURS[0], **POINT)
    several, place = compared.aspect == compared.aspect[0], -np.inf
    edge = 1.2 * max(band, 100 * np.abs(compared.gap).max())
    for i in np.argsort(compared.gap):
        x, y, same = compared.aspect[i], 100 * compared.gap[i], several[i]
        if same:  # one above the other where losses are the same
            y = place = max(y, place + 0.07 * edge)
        short = compared.names[i].split(", ")[1] if same else compared.names[i].split(",")[0]
        ax.annotate(short, (x, y), (5, -3), textcoords="offset points", fontsize=8, color=INK)
    ax.set(
        xscale="log",
        xlabel="width over layers",
        ylabel="loss over that of the first, %",
        title=f"Shape at equal size ({compared.names[0].split(',')[0]}: by heads)",
    )
    ax.set(xlim=(compared.aspect.min() / 1.3, compared.aspect.max() * 1.6), ylim=(-edge, edge))
    count_axis(ax.xaxis, *ax.get_xlim())
    return fig


def draw_levels(ax, right, levels: list) -> None:
    """What each loss needs by batch, with its hyperbola and critical batch, and that by loss."""
    colours = sequence(len(levels))
    for level, colour in zip(levels, colours, strict=True):
        law, at = level.fitted.law, np.geomspace(level.batch.min() / 2, level.batch.max() * 2, 200)
        ax.plot(
            level.steps, level.steps * level.batch, ls="", color=colour, label=f"{level.loss:.2f}", **POINT
        )
        if not level.determined:
            continue
        ax.plot(law.loss(at), law.tokens(at), color=colour, lw=1.0)
        ax.plot(law.loss(law.B_crit), law.tokens(law.B_crit), marker="o", ms=9, mfc="none", color=colour)
        low, high = level.fitted.interval("B_crit")
        right.plot([level.loss] * 2, [low, high], color=colour, lw=1.4)
        right.plot(level.loss, law.B_crit, marker="o", ms=9, mfc="none", color=colour)
    for batch, steps in zip(levels[0].batch, levels[0].steps, strict=True):
        ax.annotate(
            f"{batch:,.0f}",
            (steps, steps * batch),
            (0, 6),
            ha="center",
            fontsize=8,
            color=INK,
            textcoords="offset points",
        )


@styled
def critical_batch(levels: list, noise: Any):
    """Updates against tokens to some losses with the hyperbolas through them, and the critical
    batch by loss beside the gradient noise scale."""
    text = (
        "Left: what a constant rate needs to come down to a loss, by batch (tokens an update, "
        "beside the points of the lowest loss). Lines: S = S_min (1 + B_crit/B); rings: the "
        "critical batch, at twice the least of both; none where the runs don't determine it. "
        "Right: that batch by loss with its 95 % interval, and tr(Sigma)/|G|² of the weights "
        "at the ends of runs (dots: at a constant rate; triangles: after a cosine's "
        "decay)."
    )
    fig, (ax, right) = sheet(9.6, 4.0, text, columns=2)
    draw_levels(ax, right, levels)
    for part, sign in (("batches", "o"), ("sizes", "^"), ("lengths", "^")):
        here = (noise.parts == part) & np.isfinite(noise.high)
        right.vlines(noise.loss[here], noise.low[here], noise.high[here], color=INK, lw=0.6)
        right.plot(noise.loss[here], noise.tokens[here], ls="", marker=sign, ms=4, color=INK, mew=0)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="updates",
        ylabel="tokens",
        title="Updates against tokens to one loss",
    )
    ax.legend(title="loss (nats/token)", loc="lower left", ncols=2)
    ax.set_ylim(ax.get_ylim()[0] / 2.6, ax.get_ylim()[1] * 1.15)  # room for the legend
    ax.set_xlim(right=ax.get_xlim()[1] * 1.5)
    right.legend(
        handles=[
            key(ls="", marker="o", ms=9, mfc="none", color=INK, label="critical batch"),
            key(ls="", marker="o", ms=4, mew=0, color=INK, label="noise scale, constant rate"),
            key(ls="", marker="^", ms=4, mew=0, color=INK, label="noise scale, after a cosine"),
        ],
        loc="lower left",
    )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="loss (nats/token)",
        ylabel="tokens",
        title="Critical batch and noise scale",
    )
    right.set_ylim(bottom=right.get_ylim()[0] / 4)  # room for the legend
    for axis, ends in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim()), (right.yaxis, right.get_ylim())):
        count_axis(axis, *ends)
    plain_axis(right.xaxis, *right.get_xlim())
    return fig
