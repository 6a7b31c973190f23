"""Figures of what context is worth, and of losses as file sizes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from analysis.figures.axes import count_axis, plain_axis
from analysis.figures.style import INK, METHOD_COLOURS, sequence, sheet, styled
from analysis.figures.words import human
from experiments.reports.figures import POINT, legend_beside


@styled
def positions(losses: Mapping):
    """Loss by position in the context, a line a model, with the noise of the text as a band."""
    text = (
        "Held-out loss of a character by how many before it the model sees; each window starts "
        "anew. Bands: ± 2 standard errors over windows, which are the same for all "
        "models."
    )
    fig, ax = sheet(5.6, 3.8, text)
    for (name, loss), colour in zip(losses.items(), METHOD_COLOURS, strict=False):
        at = np.arange(1, len(loss.nats) + 1)
        ax.plot(at, loss.nats, color=colour, lw=1.3, label=name)
        ax.fill_between(
            at, loss.nats - 2 * loss.nats_se, loss.nats + 2 * loss.nats_se, color=colour, alpha=0.15, lw=0
        )
    ax.set(
        xscale="log", xlabel="characters seen", ylabel="loss (nats/character)", title="What context is worth"
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    ax.legend()
    return fig


@styled
def context(uses: list, pairs: list):
    """Loss by tokens seen, and what each doubling of them brings, Transformers beside LSTMs."""
    text = (
        "Left: loss of the same held-out tokens by how many before them a model sees (1, 2, "
        "3-4, 5-8, ...). Right: how far it falls from one such octave to the next. LSTMs have as many "
        "weights in their layers. Bars: 95 % over 64 blocks of text."
    )
    fig, (left, right) = sheet(9.6, 4.0, text, columns=2)
    sizes = sorted({pair[0].hidden for pair in pairs})
    nearest = lambda use: min(sizes, key=lambda size: abs(size - use.hidden))  # noqa: E731
    colours = dict(zip(sizes, sequence(len(sizes)), strict=True))
    for use in uses:
        colour, dash = colours[nearest(use)], "-" if use.kind == "transformer" else (0, (4, 2))
        width = 0.6 if use.seed else 1.3
        gain = use.gain_BO.mean(0)
        left.plot(use.seen, use.nats, color=colour, ls=dash, lw=width)
        right.plot(use.seen[1:], gain, color=colour, ls=dash, lw=width)
        if not use.seed:
            right.errorbar(use.seen[1:], gain, use.within, color=colour, ls="", lw=1.0)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="tokens seen",
        ylabel="loss (nats/token)",
        title="What context is worth",
    )
    plain_axis(left.yaxis, *left.get_ylim())
    right.axhline(0, color=INK, lw=0.8)
    late = [use.gain_BO.mean(0)[-4:] for use in uses]
    right.set(
        xscale="log",
        xlabel="tokens seen",
        ylabel="fall from half as many (nats/token)",
        title="What twice the context brings",
    )
    right.set_ylim(min(-0.01, 1.3 * np.min(late)), 1.6 * np.max(late))
    for ax in (left, right):
        ax.set_xticks(uses[0].seen, [str(n) for n in uses[0].seen])
        ax.minorticks_off()
    right.set_xlim(uses[0].seen[-5], uses[0].seen[-1] * 1.15)
    lines = [Line2D([], [], color=colours[size], label=human(float(f"{size:.3g}"))) for size in sizes]
    lines += [
        Line2D([], [], color=INK, lw=1.3, label="Transformer"),
        Line2D([], [], color=INK, lw=1.3, ls=(0, (4, 2)), label="LSTM"),
        Line2D([], [], color=INK, lw=0.6, label="other seeds"),
    ]
    legend_beside(right, "N in layers", handles=lines)
    return fig


@styled
def compression(sizes: Any):
    """Bits a byte of one packed text over N, with other compressors, and with the weights sent
    along to texts of several lengths."""
    text = (
        f"Held-out text of {sizes.text:,} bytes, packed by models of N weights, all that a "
        "reader needs but the weights included. Crosses: what the runs' losses say. Coloured: "
        "with the weights at 4 bytes each, for texts of the lengths named at the same rate. "
        "Horizontal: other compressors, on the text alone."
    )
    fig, ax = sheet(6.6, 4.2, text)
    lengths = (1e6, 1e7, 1e8)
    for length, colour in zip(lengths, sequence(len(lengths)), strict=True):
        ax.plot(
            sizes.params,
            sizes.bits + 8 * sizes.model / length,
            color=colour,
            lw=1.1,
            label=f"with weights, {human(length)}B",
        )
    ax.plot(sizes.params, sizes.bits, color=INK, lw=1.3, label="packed", **POINT)
    ax.plot(sizes.params, 8 * sizes.predicted / sizes.text, ls="", marker="x", ms=7, color=INK, mew=0.8)
    top = max(8 * max(sizes.others.values()) / sizes.text, sizes.bits.max()) * 1.15
    others = {name.split()[0]: 8 * size / sizes.text for name, size in sizes.others.items()}
    low = 0.93 * min(*others.values(), sizes.bits.min())
    groups: list[list[str]] = []
    for name in sorted(others, key=others.get, reverse=True):
        ax.axhline(others[name], color="#777777", lw=0.8, ls=":")
        if groups and others[groups[-1][0]] - others[name] < 0.06 * (top - low):
            groups[-1].append(name)  # lines that nearly meet have one label
        else:
            groups.append([name])
    for names in groups:
        ax.annotate(
            "\n".join(f"{name} {others[name]:.2f}" for name in names),
            (1.0, np.mean([others[name] for name in names])),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="#555555",
        )
    ax.set(
        xscale="log",
        xlabel="params (hidden + readout)",
        ylabel="bits per byte",
        ylim=(low, top),
        title="A loss as a file size",
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    ax.legend(fontsize=8, loc="upper right")
    return fig
