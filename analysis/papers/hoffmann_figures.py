"""Figures 3 and 4 of Hoffmann et al. 2022, drawn from the points that were read off the latter."""

import numpy as np

from analysis.figures.axes import count_axis, log_axes, plain_axis, power_axis
from analysis.figures.isoflop import draw_valley
from analysis.figures.style import (
    DASHED,
    FAINT,
    INK,
    METHOD_COLOURS,
    NOTE,
    draw_band,
    ramp,
    sequence,
    sheet,
    styled,
)
from analysis.figures.words import human, power
from analysis.fitting import Fit
from analysis.frontiers import Frontier, Isoflop
from analysis.laws import Array, Chinchilla, published
from analysis.tables.runs import Runs

GOPHER = published.GOPHER_FLOPS.value
COMPUTE, LOSS = "training compute (FLOPs)", "training loss (nats per token)"
LEGEND = {
    "title": "FLOPs",
    "fontsize": 7,
    "ncols": 2,
    "loc": "upper right",
    "handletextpad": 0.1,
    "columnspacing": 0.6,
}


@styled
def plot_valleys(iso: Isoflop, line: Frontier):
    """Figure 3 of the paper: the valleys, and their minima projected to Gopher's compute."""
    caption = (
        f"{sum(len(p.runs) for p in iso.valleys)} points read off Hoffmann et al.'s Figure 4, "
        f"within 10 % of nine budgets; a parabola in ln N through each valley. "
        f"a = {line.params_exponent}, b = {line.tokens_exponent}; bands 95 %. Star: "
        "Chinchilla as trained."
    )
    fig, axes = sheet(11.4, 3.9, caption, columns=3, widths=(1.25, 1, 1), wspace=0.05)
    colours, span = sequence(len(iso.valleys)), np.geomspace(3e18, 1.5e24, 60)
    for k, (valley, colour) in enumerate(zip(iso.valleys, colours, strict=True)):
        axes[0].scatter(valley.runs.params, valley.runs.loss, color=colour, s=9, zorder=3)
        draw_valley(axes[0], iso, k, colour)
        style = {"color": colour, "ms": 6, "zorder": 6, "mec": INK, "label": power(valley.budget)}
        axes[0].plot(valley.params, valley.loss, "o", **style)
    log_axes(axes[0], count_axis, plain_axis, xlabel="parameters", ylabel=LOSS, title="IsoFLOP valleys")
    axes[0].legend(**LEGEND)
    params, tokens, _ = line.at(span)
    for ax, band, points, made, name in (
        (axes[1], params, line.params, published.CHINCHILLA_PARAMS, "parameters"),
        (axes[2], tokens, line.tokens, published.CHINCHILLA_TOKENS, "tokens"),
    ):
        inside = span <= line.flops.max()
        draw_band(ax, span, band, FAINT)
        ax.lines[0].set(ls=(0, (4, 2)))
        ax.plot(span[inside], band.value[inside], color=INK, lw=1.4)
        style = {"s": 34, "edgecolors": INK, "linewidths": 0.8, "zorder": 5}
        ax.scatter(line.flops, points.value, color=colours, **style)
        draw_projection(ax, span, band.value)
        ax.plot(GOPHER, made.value, "*", ms=11, color="#d9a420", mec=INK, mew=0.7, zorder=6)
        ends = {"xlim": (span[0], span[-1]), "ylim": (band.value[0] / 2, band.value[-1] * 2.5)}
        log_axes(ax, power_axis, count_axis, xlabel=COMPUTE, title=f"Optimal {name}", **ends)
    return fig


def draw_projection(ax, span: Array, values: Array) -> None:
    """Lines from Gopher's compute to the best value there, which is written beside them."""
    at = float(np.exp(np.interp(np.log(GOPHER), np.log(span), np.log(values))))
    style = {"color": "#3a9188", "ls": (0, (5, 3)), "lw": 1.1}
    ax.vlines(GOPHER, ax.get_ylim()[0], at, **style)
    ax.hlines(at, span[0], GOPHER, **style)
    style = {"textcoords": "offset points", "color": "#2c6f68", "fontweight": "bold"}
    ax.annotate(human(float(f"{at:.2g}")), (span[0] * 1.6, at), (0, 4), **style)


@styled
def plot_contour(fitted: Fit, budgets: tuple[float, ...]):
    """Figure 4 of the paper: contours of equal loss and the frontier, and slices of equal FLOPs."""
    runs, ours, theirs = fitted.runs, fitted.law, published.law(published.HOFFMANN_TEX)
    ends = [human(float(f"{law.optimum(GOPHER)[0]:.2g}")) for law in (ours, theirs)]
    caption = (
        f"{len(runs)} points read off the paper's Figure 4 and our Huber fit to them "
        f"(contours, blue, a = {ours.exponents()[0]:.3f}); red: the frontier of the paper's "
        f"constants (a = {theirs.exponents()[0]:.3f}). At Gopher's compute they part: "
        f"{ends[0]} and {ends[1]} parameters. Right: points within 10 % of "
        "nine budgets; lines: the fit at each budget."
    )
    fig, axes = sheet(10.6, 4.4, caption, columns=2, widths=(1.15, 1), wspace=0.05)
    draw_contours(axes[0], runs, ours, theirs)
    draw_slices(axes[1], runs, ours, budgets)
    return fig


def draw_contours(ax, runs: Runs, ours: Chinchilla, theirs: Chinchilla) -> None:
    from matplotlib.colors import LogNorm

    levels = (1.9, 1.95, 2, 2.1, 2.2, 2.3, 2.4, 2.6, 2.8, 3, 3.3, 3.7, 4.2, 5, 6)
    flops, params = np.geomspace(2e18, 1.5e24, 160), np.geomspace(4e7, 2e11, 160)
    ends = {"xlim": (flops[0], flops[-1]), "ylim": (params[0], params[-1])}
    labels = {"xlabel": COMPUTE, "ylabel": "parameters", "title": "Contours of equal loss"}
    log_axes(ax, power_axis, count_axis, **labels, **ends)
    shade = {"cmap": ramp().reversed(), "norm": LogNorm(1.9, 3.7, clip=True)}
    loss = ours.loss(params[:, None], flops / (6 * params[:, None]))
    drawn = ax.contour(flops, params, loss, levels, linewidths=0.9, **shade)
    ax.clabel(drawn, fmt="%g", fontsize=7, inline_spacing=1)
    style = {"s": 13, "edgecolors": "white", "linewidths": 0.3, "zorder": 4}
    ax.scatter(runs.flops, runs.params, c=runs.loss, **style, **shade)
    whose = ("our fit", "the paper's constants")
    for law, colour, name in zip((ours, theirs), METHOD_COLOURS, whose, strict=False):
        ax.plot(flops, law.optimum(flops)[0], color=colour, lw=2, label=f"frontier of {name}", zorder=5)
        ax.plot(GOPHER, law.optimum(GOPHER)[0], "o", color=colour, ms=7, mec="white", zorder=6)
    ax.axvline(GOPHER, **DASHED | {"lw": 1.1, "zorder": 2})
    ax.annotate("Gopher's compute", (GOPHER, params[0]), (4, 6), rotation=90, **NOTE)
    box = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1.0}
    ax.legend(loc="lower center", **box).set_zorder(7)


def draw_slices(ax, runs: Runs, law: Chinchilla, budgets: tuple[float, ...]) -> None:
    for budget, colour in zip(budgets, sequence(len(budgets)), strict=True):
        near = np.abs(runs.flops / budget - 1) <= 0.1
        params = runs.params[near]
        ax.scatter(params, runs.loss[near], color=colour, s=11, zorder=3, label=power(budget))
        sizes = np.geomspace(params.min() / 1.3, params.max() * 1.3, 80)
        ax.plot(sizes, law.loss(sizes, budget / (6 * sizes)), color=colour, lw=1.2)
    best = law.optimum(np.array(budgets))
    ax.plot(best[0], law.loss(*best), color=METHOD_COLOURS[0], lw=2, zorder=5)
    labels = {"xlabel": "parameters", "ylabel": LOSS, "title": "Slices of equal FLOPs"}
    log_axes(ax, count_axis, plain_axis, ylim=(2.1, 3.5), **labels)
    ax.legend(**LEGEND)
