"""Figures of the experiments on shared trunks."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from analysis.figures.axes import count_axis
from analysis.figures.style import FAINT, INK, METHOD_COLOURS, badge, sequence, sheet, styled
from analysis.figures.words import human, warning
from experiments.reports.figures import POINT, legend_beside

DASHES = ("-", (0, (4, 2)), (0, (1, 1)))


@styled
def cooldown(compared: Any, bars: tuple[float, float]):
    """Final losses by tokens, the constant rate's before it cools down among them; and how much
    more each branch lost than its cosine."""
    mean, error = compared.mean
    text = (
        "Left: final loss, a colour a size. Circles: a cosine of each length. Diamonds: "
        "branches of one trunk. Lines: the trunk at its constant rate, and (dashed) each "
        "branch's cool-down. Right: the branch's loss over the cosine's; grey band: "
        f"± {100 * bars[1]:.1f} %; line: mean {100 * mean:+.2f} % (standard error "
        f"{100 * error:.2f} % over {len(compared.cosine)} pairs). Trunks and branches train "
        f"{compared.flops[0]:.3g} FLOPs, {100 * compared.share:.1f} % of the cosines' "
        f"{compared.flops[1]:.3g} (bar: {100 * bars[0]:.0f} %)."
    )
    fig, (left, right) = sheet(9.2, 4.0, text, columns=2)
    sizes = np.unique(compared.params)
    for params, colour in zip(sizes, sequence(len(sizes)), strict=True):
        here = compared.params == params
        tokens, label = compared.tokens[here], f"{human(float(f'{params:.3g}'))}"
        trunk = compared.trunks[compared.trunks[:, 0] == params]
        trunk = trunk[np.argsort(trunk[:, 1])]
        left.plot(trunk[:, 1], trunk[:, 2], color=colour, lw=1.1, alpha=0.6, zorder=1)
        if len(trunk) == len(tokens):
            order = np.argsort(tokens)
            (start, before), end, after = trunk[:, 1:].T, tokens[order], compared.branch[here][order]
            left.plot([start, end], [before, after], color=colour, lw=0.9, ls=(0, (2, 2)), zorder=1)
        left.plot(tokens, compared.cosine[here], ls="", color=colour, marker="o", ms=7, mfc="none", mew=1.3)
        left.plot(tokens, compared.branch[here], ls="", color=colour, marker="D", ms=4, mew=0)
        right.plot(
            tokens / tokens.min(),
            100 * compared.differences[here],
            color=colour,
            lw=1.1,
            label=label,
            **POINT,
        )
    left.set(xscale="log", xlabel="tokens", ylabel="loss (nats/token)", title="Final losses")
    count_axis(left.xaxis, *left.get_xlim())
    right.axhspan(-100 * bars[1], 100 * bars[1], color=FAINT, alpha=0.2, lw=0, zorder=0)
    right.axhline(100 * mean, color=INK, lw=1.1, ls=(0, (5, 3)), zorder=1)
    right.set(
        xlabel="length over the shortest",
        ylabel="branch over cosine, less one (%)",
        title="What a shared trunk costs in loss",
    )
    legend_beside(right, "N")
    if compared.unpaired:
        badge(fig, f"WITH CARE: {compared.unpaired} cells have no other to be compared with")
    return fig


@styled
def repeats(worth: Any, published: float):
    """The loss of repeated text over that of as much new text; and what so many epochs are worth
    by the fitted law, with the interval of R_D*."""
    law, (low, high) = worth.worn.law, worth.worn.interval("R_D")
    text = (
        "Left: final loss over that of as many new tokens, less one; a colour a size, a line a seed. "
        "Right: what the epochs are worth in passes over new text, at the fitted R_D* = "
        f"{law.R_D:.3g} and over its 95 % interval ({low:.3g}, {high:.3g}) "
        f"[{worth.worn.status}], beside R_D* = {published:.3g} of C4 and tokens that never wear out."
    )
    fig, (left, right) = sheet(9.2, 4.0, text, columns=2)
    sizes, texts = np.unique(worth.params), np.unique(worth.unique)
    for params, colour in zip(sizes, sequence(len(sizes)), strict=True):
        for (unique, dash), seed in product(zip(texts, DASHES, strict=False), np.unique(worth.seed)):
            here = (worth.params == params) & (worth.unique == unique) & (worth.seed == seed)
            order = np.argsort(worth.epochs[here])
            epochs, beyond = worth.epochs[here][order], 100 * worth.beyond[here][order]
            left.plot(epochs, beyond, color=colour, lw=1.1, ls=dash, **POINT)
    handles = [
        Line2D([], [], color=colour, lw=1.1, **POINT, label=human(float(f"{n:.3g}")))
        for n, colour in zip(sizes, sequence(len(sizes)), strict=True)
    ]
    handles += [
        Line2D([], [], color=INK, lw=1.1, ls=dash, label=f"{human(float(f'{u:.3g}'))} unique tokens")
        for u, dash in zip(texts, DASHES, strict=False)
    ]
    left.axhline(0, color=FAINT, lw=0.9, zorder=0)
    left.legend(handles=handles, title="N (colour), text (line)", loc="upper left")
    left.set(
        xscale="log",
        xlabel="epochs",
        ylabel="loss over that of new text, less one (%)",
        title="What repeating costs",
    )
    epochs = np.geomspace(1, worth.epochs.max(), 80)
    gain = lambda fold: 1 + fold * -np.expm1(-(epochs - 1) / fold)  # noqa: E731
    ends = [gain(max(low, 1e-3)), gain(high) if np.isfinite(high) else epochs]
    right.fill_between(epochs, *ends, color=METHOD_COLOURS[1], alpha=0.18, lw=0)
    right.plot(epochs, gain(law.R_D), color=METHOD_COLOURS[1], lw=3.0, label="fitted, and its interval")
    right.plot(epochs, gain(published), color=INK, lw=1.1, ls=(0, (5, 3)), label="published, C4")
    right.plot(epochs, epochs, color=INK, lw=1.1, ls=(0, (1, 2)), label="each as good as new")
    right.legend(loc="upper left")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="epochs",
        ylabel="worth in epochs of new text",
        title="What a repeated token is worth",
    )
    ticks = [2**i for i in range(int(np.log2(worth.epochs.max())) + 1)]
    for axis in (left.xaxis, right.xaxis, right.yaxis):
        axis.set_ticks(ticks, labels=[f"{tick}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    badge(fig, warning(worth.worn))
    return fig
