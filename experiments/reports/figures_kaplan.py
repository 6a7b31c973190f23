"""Figures of experiments/kaplan2020.py. Each returns the Figure."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures.style import (
    INK,
    METHOD_COLOURS,
    badge,
    count_axis,
    human,
    plain_axis,
    sequence,
    sheet,
    styled,
    warning,
)
from analysis.tables.runs import Runs

POINT = {"marker": "o", "ms": 4.5, "mew": 0}
NAMES = {"N": "params (hidden + readout)", "D": "tokens", "C": "training compute (FLOPs)"}


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
            xlabel=NAMES[law.name],
            ylabel="loss (nats/token)",
            title=f"L({law.name})",
        )
        ax.set_ylim(law.loss.min() / 1.02, law.loss.max() * 1.02)
        count_axis(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, *ax.get_ylim())
    badge(fig, warning(*(law.floored for law in laws)))
    return fig


@styled
def efficiency(found: Any, rows: Runs, curves: Runs, along: Any):
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
        count_axis(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, low, high)
    axes[0].set_title("Learning curves, by tokens")
    axes[1].set_title("by compute")
    axes[-1].legend(title="N", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    badge(fig, warning(along))
    return fig


@styled
def shapes(found: Any):
    """Loss over that of the first shape, by width over layers."""
    band = 200 * found.noise
    least, most = found.hidden.min(), found.hidden.max()
    text = (
        f"Models of about equal block weights ({least:,.0f} to {most:,.0f}) "
        f"beside {found.names[0]}; band: ± 2 standard deviations of its loss between seeds, "
        f"{band:.2g} % ({found.seeds} runs)."
    )
    fig, ax = sheet(6.4, 3.8, text)
    ax.axhspan(-band, band, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    ax.axhline(0, color=INK, lw=0.8)
    ax.plot(found.aspect, 100 * found.gap, ls="", color=METHOD_COLOURS[0], **POINT)
    several, place = found.aspect == found.aspect[0], -np.inf
    edge = 1.2 * max(band, 100 * np.abs(found.gap).max())
    for i in np.argsort(found.gap):
        x, y, same = found.aspect[i], 100 * found.gap[i], several[i]
        if same:  # one above the other where losses are the same
            y = place = max(y, place + 0.07 * edge)
        short = found.names[i].split(", ")[1] if same else found.names[i].split(",")[0]
        ax.annotate(short, (x, y), (5, -3), textcoords="offset points", fontsize=8, color=INK)
    ax.set(
        xscale="log",
        xlabel="width over layers",
        ylabel="loss over that of the first, %",
        title=f"Shape at equal size ({found.names[0].split(',')[0]}: by heads)",
    )
    ax.set(xlim=(found.aspect.min() / 1.3, found.aspect.max() * 1.6), ylim=(-edge, edge))
    count_axis(ax.xaxis, *ax.get_xlim())
    return fig


@styled
def critical_batch(found: list, noise: Any):
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
    colours = sequence(len(found))
    for one, colour in zip(found, colours, strict=True):
        law, at = one.fitted.law, np.geomspace(one.batch.min() / 2, one.batch.max() * 2, 200)
        ax.plot(one.steps, one.steps * one.batch, ls="", color=colour, label=f"{one.level:.2f}", **POINT)
        if not one.determined:
            continue
        ax.plot(law.loss(at), law.tokens(at), color=colour, lw=1.0)
        ax.plot(law.loss(law.B_crit), law.tokens(law.B_crit), marker="o", ms=9, mfc="none", color=colour)
        low, high = one.fitted.interval("B_crit")
        right.plot([one.level] * 2, [low, high], color=colour, lw=1.4)
        right.plot(one.level, law.B_crit, marker="o", ms=9, mfc="none", color=colour)
    for batch, steps in zip(found[0].batch, found[0].steps, strict=True):
        ax.annotate(
            f"{batch:,.0f}", (steps, steps * batch), (5, 3), fontsize=8, color=INK, textcoords="offset points"
        )
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
    ax.legend(title="nats/token")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="loss (nats/token)",
        ylabel="tokens",
        title="Critical batch and noise scale",
    )
    for axis, ends in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim()), (right.yaxis, right.get_ylim())):
        count_axis(axis, *ends)
    plain_axis(right.xaxis, *right.get_xlim())
    return fig


@styled
def context(found: list, pairs: list):
    """Loss by tokens seen, and what each doubling of them brings, Transformers beside LSTMs."""
    text = (
        "Left: loss of the same held-out tokens by how many before them a model sees (1, 2, "
        "3-4, 5-8, ...). Right: how far it falls from one such octave to the next. Solid: "
        "Transformers; dashed: LSTMs of the same weights in their layers; thin: other seeds. "
        "Bars: 95 % over 64 blocks of text."
    )
    fig, (left, right) = sheet(9.6, 4.0, text, columns=2)
    sizes = sorted({pair[0].hidden for pair in pairs})
    nearest = lambda one: min(sizes, key=lambda size: abs(size - one.hidden))  # noqa: E731
    colours = dict(zip(sizes, sequence(len(sizes)), strict=True))
    for one in found:
        colour, dash = colours[nearest(one)], "-" if one.kind == "transformer" else (0, (4, 2))
        width = 0.6 if one.seed else 1.3
        gain = one.gain_BO.mean(0)
        left.plot(one.seen, one.nats, color=colour, ls=dash, lw=width)
        right.plot(one.seen[1:], gain, color=colour, ls=dash, lw=width)
        if not one.seed:
            right.errorbar(one.seen[1:], gain, one.within, color=colour, ls="", lw=1.0)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="tokens seen",
        ylabel="loss (nats/token)",
        title="What context is worth",
    )
    plain_axis(left.yaxis, *left.get_ylim())
    right.axhline(0, color=INK, lw=0.8)
    late = [one.gain_BO.mean(0)[-4:] for one in found]
    right.set(
        xscale="log",
        xlabel="tokens seen",
        ylabel="fall from half as many (nats/token)",
        title="What twice the context brings",
    )
    right.set_ylim(min(-0.01, 1.3 * np.min(late)), 1.6 * np.max(late))
    for ax in (left, right):
        ax.set_xticks(found[0].seen, [str(n) for n in found[0].seen])
        ax.minorticks_off()
    right.set_xlim(found[0].seen[-5], found[0].seen[-1] * 1.15)
    lines = [Line2D([], [], color=colours[size], label=human(float(f"{size:.3g}"))) for size in sizes]
    right.legend(handles=lines, title="N in layers", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


@styled
def compression(found: Any):
    """Bits a byte of one packed text over N, with other compressors, and with the weights sent
    along to texts of several lengths."""
    text = (
        f"Held-out text of {found.text:,} bytes, packed by models of N weights, all that a "
        "reader needs but the weights included. Crosses: what the runs' losses say. Coloured: "
        "with the weights at 4 bytes each, for texts of the lengths named at the same rate. "
        "Horizontal: other compressors, on the text alone."
    )
    fig, ax = sheet(6.6, 4.2, text)
    lengths = (1e6, 1e7, 1e8)
    for length, colour in zip(lengths, sequence(len(lengths)), strict=True):
        ax.plot(
            found.params,
            found.bits + 8 * found.model / length,
            color=colour,
            lw=1.1,
            label=f"with weights, {human(length)}B",
        )
    ax.plot(found.params, found.bits, color=INK, lw=1.3, label="packed", **POINT)
    ax.plot(found.params, 8 * found.predicted / found.text, ls="", marker="x", ms=7, color=INK, mew=0.8)
    top = max(8 * max(found.others.values()) / found.text, found.bits.max()) * 1.15
    place = -1.0
    for name, size in sorted(found.others.items(), key=lambda other: other[1]):
        bits = 8 * size / found.text
        place = max(bits, place + 0.045 * top)  # names one above the other where lines meet
        ax.axhline(bits, color="#999999", lw=0.8, ls=":")
        ax.annotate(
            f"{name.split()[0]} {bits:.2f}",
            (1.0, place),
            (4, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
            color="#555555",
        )
    ax.set(
        xscale="log", xlabel=NAMES["N"], ylabel="bits per byte", ylim=(0, top), title="A loss as a file size"
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    ax.legend(fontsize=8, loc="lower left")
    return fig
