"""Porian et al. 2024, "Resolving Discrepancies in Compute-Optimal Scaling" (arXiv 2406.19146).

Five steps from Kaplan's way of running the study to Hoffmann's, each moving the exponent a of
params ∝ flops^a from about 0.84 to 0.50, on RefinedWeb.
"""

from functools import cache, partial

import numpy as np

from analysis import frontiers
from analysis.figures.axes import count_axis, log_axes, power_axis
from analysis.figures.frontier import draw_optima
from analysis.figures.style import DASHED, FAINT, METHOD_COLOURS, NOTE, draw_band, sequence, sheet, styled
from analysis.frontiers import Frontier
from analysis.laws import published
from analysis.papers.claims import Data, Paper

POINTS, OPTIMA = "porian_rw_isoflops.csv", "porian_rw_optima.csv"
STEPS = {
    "1_kaplan_repro": "Kaplan's study\nrepeated",
    "2_count_head": "count the\nhead's FLOPs",
    "3_short_warmup": "warm-up scaled\nto the run",
    "4_cosine_matched": "decay matched\nto the run",
    "5_tuned_const": "tuned per size,\nno decay",
}
# method -> (how far it may lie, why)
METHODS = {
    "interpolate": (0.01, "half their bootstrap interval; they average noisy interpolations"),
    "parabola": (0.03, "another estimator: a parabola sees the valley's asymmetry as a shift"),
}


def reproduce(data: Data) -> Paper:
    paper = Paper("porian2024")

    @cache
    def line(step: str, method: str) -> Frontier:
        runs = data.table(POINTS, where=f"experiment == '{step}'")
        return frontiers.from_isoflop(frontiers.find_optima(runs, method=method, draws=500))

    def exponent(step: str, method: str) -> float:
        return line(step, method).params_exponent.value

    for method, (tolerance, why) in METHODS.items():
        for step, entry in published.PORIAN.items():
            ours = partial(exponent, step, method)
            paper.check(f"a at step {step}, {method}", entry, ours, tolerance, why)
    why = "printed to three digits; optima weighted by the noise published with them"
    for step, entry in published.PORIAN.items():
        slope = partial(weighted, data, step)
        paper.check(f"a at step {step}, line through their own optima", entry, slope, 0.001, why)

    def lines() -> dict[str, Frontier]:
        return {step: line(step, "interpolate") for step in published.PORIAN}

    paper.figures = {
        "porian2024_walk": lambda: plot_walk(lines()),
        "porian2024_optima": lambda: plot_optima(lines()),
    }
    return paper


def weighted(data: Data, step: str) -> float:
    """Slope of the repository's optima in logarithms, weighted by 1/variance."""
    runs = data.table(OPTIMA, where=f"experiment == '{step}'")
    x, y = np.log(runs.flops), np.log(runs.column("n_opt"))
    return float(np.polyfit(x, y, 1, w=1 / runs.column("log_n_std"))[0])


@styled
def plot_walk(lines: dict[str, Frontier]):
    """The exponent at each step, published and ours, between Kaplan's 0.73 and Hoffmann's 0.50."""
    caption = (
        "RefinedWeb, 5 studies that differ in one choice each. Ours: Akima interpolation of "
        "each isoFLOP valley, then a line; bars 95\u00a0% (noise, scatter about the line, and "
        "the parabola's answer). Published: 95 % bootstrap."
    )
    fig, ax = sheet(7.6, 4.0, caption)
    place, theirs = np.arange(len(lines)), list(published.PORIAN.values())
    ours = [front.params_exponent for front in lines.values()]
    blue, red = METHOD_COLOURS[:2]
    for shift, bands, colour, marker, label in (
        (-0.09, theirs, red, "s", "published"),
        (0.09, ours, blue, "o", "ours"),
    ):
        value, low, high = np.array([(band.value, band.low, band.high) for band in bands]).T
        style = {"fmt": marker, "color": colour, "capsize": 3, "ms": 6, "zorder": 4, "label": label}
        ax.errorbar(place + shift, value, yerr=[value - low, high - value], **style)
    ax.plot(place, [entry.value for entry in theirs], color=FAINT, lw=1, ls=":", zorder=2)
    for name, level in published.DISPUTED_EXPONENTS.items():
        ax.axhline(level, **DASHED)
        style = NOTE | {"xycoords": ("axes fraction", "data"), "fontsize": 8.5}
        ax.annotate(f"{name}  {level:.2f}", (0.0, level), (4, 3), **style)
    ax.set_xticks(place, labels=list(STEPS.values()), fontsize=8.5)
    ax.set(ylabel="a in params ∝ FLOPs$^a$", title="From Kaplan's exponent to Hoffmann's")
    ax.set(ylim=(0.44, 0.9), xlim=(-0.4, len(lines) - 0.2))
    ax.legend(loc="upper right")
    ax.grid(axis="x", visible=False)
    return fig


@styled
def plot_optima(lines: dict[str, Frontier]):
    """The optima behind each exponent: a panel a step, as in the paper's Figure 1."""
    caption = (
        "Best size at each budget with 95 % interval, and the line through them; dashed: "
        "Kaplan's exponent, dotted: Hoffmann's, both through the middle optimum. Cross: a "
        "minimum at an edge, unused."
    )
    fig, axes = sheet(12.0, 2.9, caption, columns=5)
    for ax, (step, front), colour in zip(axes, lines.items(), sequence(5), strict=True):
        band = front.at(front.flops)[0]
        draw_band(ax, front.flops, band, colour)
        draw_optima(ax, front, front.params, colour, "o")
        middle = len(front.flops) // 2
        x, y = front.flops / front.flops[middle], band.value[middle]
        for level, dash in zip(published.DISPUTED_EXPONENTS.values(), ("--", ":"), strict=True):
            ax.plot(front.flops, y * x**level, dash, color=FAINT, lw=1.1)
        log_axes(ax, power_axis, count_axis, xlabel="compute (FLOPs)", ylim=(3e5, 2e9))
        name = STEPS[step].replace("\n", " ")
        ax.set_title(f"{name}\na = {front.params_exponent.value:.3f}", fontsize=9)
    axes[0].set_ylabel("optimal parameters")
    return fig
