"""Figures of what is done with weights after training."""

from typing import Any

import numpy as np

from analysis.figures.axes import log_axes, plain_axis, power_axis
from analysis.figures.style import DASHED, FAINT, INK, METHOD_COLOURS, key, sequence, sheet, styled
from analysis.figures.words import human
from experiments.reports.figures import POINT, legend_beside


@styled
def after(excess: Any):
    """Excess loss by bits and by sparsity, a line a size, dashed for a quarter of the tokens."""
    text = (
        "What the held-out loss rises by when matrices are rounded to so many bits, or lose so many of their "
        "smallest entries; mean of the seeds. Dashed lines: runs of a quarter of the tokens. Squares: "
        "trained with rounded weights. Horizontal: the standard deviation between seeds."
    )
    fig, (left, right) = sheet(9.8, 4.0, text, columns=2)
    sizes = np.unique(excess.params)
    longest = excess.tokens.max()
    for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
        for tokens in np.unique(excess.tokens):
            style = {"color": colour, "ls": "-" if tokens == longest else (0, (4, 2)), "lw": 1.1}
            for ax, how in ((left, "bits"), (right, "pruned")):
                own = (excess.how == how) & (excess.params == size) & (excess.tokens == tokens)
                at, nats = mean(excess, own)
                ax.plot(at[nats > 0], nats[nats > 0], **style, **(POINT if tokens == longest else {}))
        at, nats = mean(excess, (excess.how == "aware") & (excess.params == size))
        left.plot(at[nats > 0], nats[nats > 0], ls="", marker="s", ms=6, mfc="none", color=colour)
    for ax in (left, right):
        ax.axhline(excess.noise, **DASHED)
    log_axes(left, y=power_axis, xlabel="bits a weight", ylabel="excess loss (nats/token)", title="Rounded")
    log_axes(right, x=share_axis, y=power_axis, xlabel="share of entries removed", title="Pruned")
    entries = [
        key(color=colour, label=human(float(f"{size:.3g}")))
        for size, colour in zip(sizes, sequence(len(sizes)), strict=True)
    ]
    more = key(color=METHOD_COLOURS[0], ls="", marker="s", mfc="none", label="trained so")
    legend_beside(right, "N", handles=[*entries, more])
    return fig


def share_axis(axis) -> None:
    from matplotlib.ticker import NullLocator

    at = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
    axis.set_ticks(at, [f"{100 * share:.0f} %" for share in at])
    axis.set_minor_locator(NullLocator())


def mean(excess: Any, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels, and the mean excess at each."""
    levels = np.unique(excess.level[own])
    return levels, np.array([excess.nats[own & (excess.level == level)].mean() for level in levels])


@styled
def distillation(lines: Any):
    """Loss over FLOPs of students alone, and of taught ones with the teacher's cost counted three ways."""
    text = (
        "Held-out loss of one student over training compute: alone (lines, a seed each), and half taught "
        "by larger models: filled, the student's FLOPs alone; open, with the teacher's passes; crosses, with "
        "its training."
    )
    fig, ax = sheet(6.4, 4.0, text)
    student = min(int(line["width"]) for line in lines)
    own = [line for line in lines if int(line["width"]) == student]
    widths = sorted({int(line["teacher"]) for line in own})
    colours = dict(zip(widths, [INK, *METHOD_COLOURS], strict=False))
    for seed in sorted({line["seed"] for line in own}):
        for width in widths:
            part = [line for line in own if line["seed"] == seed and int(line["teacher"]) == width]
            part.sort(key=lambda line: int(line["tokens"]))
            cost, passes, training, loss = (
                np.array([float(line[name]) for line in part])
                for name in ("student", "passes", "training", "loss")
            )
            style = {"color": colours[width], "lw": 0.9}
            if not width:
                ax.plot(cost, loss, **style, **POINT)
                continue
            ax.plot(cost, loss, ls="", **style, **POINT)
            ax.plot(cost + passes, loss, ls="", marker="o", mfc="none", **style)
            ax.plot(cost + passes + training, loss, ls="", marker="x", **style)
    log_axes(ax, x=power_axis, y=plain_axis, xlabel="training compute (FLOPs)", ylabel="loss (nats/byte)")
    ax.set_title(f"What a teacher is worth to width {student}")
    names = {width: f"taught by width {width}" if width else "alone" for width in widths}
    ax.legend(handles=[key(color=colours[width], label=names[width]) for width in widths])
    return fig


@styled
def reward(curves: list):
    """Gold reward of the best of n by each proxy over the root of its divergence, with the fits."""
    text = (
        "Reward of the best of n by a learned proxy, in standard deviations of the policy's texts over their "
        "mean; mean of the seeds. Points: the true one; lines: what d (alpha - beta d) makes of it; dotted: "
        "the proxy's own. Panels: comparisons that the proxy learned from; colours: its size."
    )
    numbers = sorted({each.comparisons for each in curves})
    sizes = sorted({each.params for each in curves})
    fig, axes = sheet(10.0, 3.6, text, columns=len(numbers))
    for ax, C in zip(np.atleast_1d(axes), numbers, strict=True):
        for size, colour in zip(sizes, sequence(len(sizes)), strict=True):
            for each in (curve for curve in curves if (curve.params, curve.comparisons) == (size, C)):
                d = np.linspace(0, each.d[-1], 60)
                ax.plot(each.d, each.gold.mean(0), ls="", color=colour, **POINT)
                ax.plot(d, d * (each.alpha.mean() - each.beta.mean() * d), color=colour, lw=1.2)
                ax.plot(each.d, each.proxy.mean(0), color=colour, lw=0.8, ls=":")
        ax.set(xlabel="root of KL (nats)", title=f"{C:,} comparisons")
        ax.axhline(0, **DASHED)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("reward")
    legend_beside(
        np.atleast_1d(axes)[-1],
        "proxy's N",
        handles=[key(color=c, label=human(s)) for s, c in zip(sizes, sequence(len(sizes)), strict=True)],
    )
    return fig


@styled
def policy(curves: list):
    """Gold reward of policies and of the best of n by the same proxies over the root of their divergence."""
    text = (
        "Policies trained on a learned proxy (points, with the fit d (alpha - beta log d); without a penalty "
        "on KL, and crosses with one) beside the best of n by it (grey): true reward, in standard deviations "
        "of the first policy's texts over their mean; mean of the seeds. Dotted: the proxy's own."
    )
    cells = list(dict.fromkeys((each.comparisons, each.params) for each in curves))
    fig, axes = sheet(11.0, 3.4, text, columns=len(cells))
    for ax, (C, size) in zip(np.atleast_1d(axes), sorted(cells), strict=True):
        own = [each for each in curves if (each.comparisons, each.params) == (C, size)]
        for each, colour, marker in zip(own, METHOD_COLOURS, ("o", "x"), strict=False):
            d, (alpha, beta) = each.d.mean(0), each.fits.mean(1)
            line = np.linspace(1e-3, d[-1], 80)
            ax.plot(d, each.gold.mean(0), ls="", marker=marker, ms=4.5, color=colour)
            ax.plot(line, line * (alpha - beta * np.log(line)), color=colour, lw=1.2)
            ax.plot(d, each.proxy.mean(0), color=colour, lw=0.9, ls=":")
        best = own[0].best
        ax.plot(best.d, best.gold.mean(0), color=FAINT, lw=1.4)
        ax.plot(best.d, best.proxy.mean(0), color=FAINT, lw=0.9, ls=":")
        ax.set(xlabel="root of KL (nats)", title=f"{C:,} comparisons, N={human(size)}")
        ax.axhline(0, **DASHED)
    np.atleast_1d(axes)[0].set_ylabel("reward")
    names = [f"penalty {each.penalty:g}" for each in own]
    handles = [key(color=c, label=n) for c, n in zip(METHOD_COLOURS, names, strict=False)]
    legend_beside(np.atleast_1d(axes)[-1], "", handles=[*handles, key(color=FAINT, label="best of n")])
    return fig
