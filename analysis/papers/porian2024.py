"""Porian et al. 2024, "Resolving Discrepancies in Compute-Optimal Scaling" (arXiv 2406.19146).

Five steps from Kaplan's way of running the study to Hoffmann's, each moving the exponent a of
params ∝ flops^a from about 0.84 to 0.50, on RefinedWeb.
"""

from functools import cache

import numpy as np

from analysis.frontiers import frontier, isoflop
from analysis.frontiers.frontier import Frontier
from analysis.frontiers.isoflop import Isoflop
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
    def valleys(step: str, method: str) -> Isoflop:
        runs = data.table(POINTS, where=f"experiment == '{step}'")
        return isoflop.optima(runs, method=method, draws=500)

    @cache
    def line(step: str, method: str) -> Frontier:
        return frontier.from_isoflop(valleys(step, method))

    for method, (tolerance, why) in METHODS.items():
        for step, entry in published.PORIAN.items():
            paper.check(
                f"a at step {step}, {method}",
                entry,
                lambda step=step, method=method: line(step, method).params_exponent.value,
                tolerance=tolerance,
                why=why,
            )
    for step, entry in published.PORIAN.items():
        paper.check(
            f"a at step {step}, line through their own optima",
            entry,
            lambda step=step: weighted(data, step),
            tolerance=0.001,
            why="printed to three digits; optima weighted by the noise published with them",
        )
    paper.figures = {
        "porian2024_walk": lambda: walk_figure(
            {step: line(step, "interpolate") for step in published.PORIAN}
        ),
        "porian2024_optima": lambda: optima_figure(
            {step: line(step, "interpolate") for step in published.PORIAN}
        ),
    }
    return paper


def weighted(data: Data, step: str) -> float:
    """Slope of the repository's optima in logarithms, weighted by 1/variance."""
    runs = data.table(OPTIMA, where=f"experiment == '{step}'")
    x, y = np.log(runs.flops), np.log(runs.column("n_opt"))
    return float(np.polyfit(x, y, 1, w=1 / runs.column("log_n_std"))[0])


def walk_figure(lines: dict[str, Frontier]):
    """The exponent at each step, published and ours, between Kaplan's 0.73 and Hoffmann's 0.50."""
    from analysis.figures import style

    def draw():
        caption = (
            "RefinedWeb, 5 studies that differ in one choice each. Ours: Akima interpolation of "
            "each isoFLOP valley, then a line; bars 95\u00a0% (noise, scatter about the line, and "
            "the parabola's answer). Published: 95 % bootstrap."
        )
        fig, ax = style.sheet(7.6, 4.0, caption)
        place = np.arange(len(lines))
        blue, red = style.METHOD_COLOURS[:2]
        theirs = list(published.PORIAN.values())
        sets = (
            (place - 0.09, [(e.value, e.low, e.high) for e in theirs], red, "s", "published"),
            (
                place + 0.09,
                [(b.value, b.low, b.high) for b in (f.params_exponent for f in lines.values())],
                blue,
                "o",
                "ours",
            ),
        )
        for at, rows, colour, marker, label in sets:
            value, low, high = np.array(rows).T
            ax.errorbar(
                at,
                value,
                yerr=[value - low, high - value],
                fmt=marker,
                color=colour,
                capsize=3,
                ms=6,
                label=label,
                zorder=4,
            )
        ax.plot(place, [e.value for e in theirs], color=style.FAINT, lw=1, ls=":", zorder=2)
        levels = (published.KAPLAN_OPT["N"].value, published.HOFFMANN_EXPONENTS[1, "a"].value)
        for level, text in zip(levels, ("Kaplan 2020", "Hoffmann 2022"), strict=True):
            ax.axhline(level, color=style.FAINT, lw=1, ls=(0, (5, 3)), zorder=1)
            ax.annotate(
                f"{text}  {level:.2f}",
                (0.0, level),
                (4, 3),
                fontsize=8.5,
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                color="#666666",
            )
        ax.set_xticks(place, labels=list(STEPS.values()), fontsize=8.5)
        ax.set(
            ylabel="a in params ∝ FLOPs$^a$",
            title="From Kaplan's exponent to Hoffmann's",
            ylim=(0.44, 0.9),
            xlim=(-0.4, len(lines) - 0.2),
        )
        ax.legend(loc="upper right")
        ax.grid(axis="x", visible=False)
        return fig

    return style.styled(draw)()


def optima_figure(lines: dict[str, Frontier]):
    """The optima behind each exponent: a panel a step, as in the paper's Figure 1."""
    from analysis.figures import style
    from analysis.figures.frontier import draw_optima

    def draw():
        caption = (
            "Best size at each budget with 95 % interval, and the line through them; dashed: "
            "Kaplan's exponent, dotted: Hoffmann's, both through the middle optimum. Cross: a "
            "minimum at an edge, unused."
        )
        fig, axes = style.sheet(12.0, 2.9, caption, columns=5)
        for ax, (step, front), colour in zip(axes, lines.items(), style.sequence(5), strict=True):
            band = front.at(front.flops)[0]
            style.draw_band(ax, front.flops, band, colour, "")
            draw_optima(ax, front, front.params, colour, "o")
            middle = len(front.flops) // 2
            x, y = front.flops / front.flops[middle], band.value[middle]
            for entry, dash in (
                (published.KAPLAN_OPT["N"], "--"),
                (published.HOFFMANN_EXPONENTS[1, "a"], ":"),
            ):
                ax.plot(front.flops, y * x**entry.value, dash, color=style.FAINT, lw=1.1)
            name = STEPS[step].replace("\n", " ")
            ax.set(xscale="log", yscale="log", xlabel="compute (FLOPs)", ylim=(3e5, 2e9))
            ax.set_title(f"{name}\na = {front.params_exponent.value:.3f}", fontsize=9)
            style.power_axis(ax.xaxis, *ax.get_xlim())
            style.count_axis(ax.yaxis, *ax.get_ylim())
        axes[0].set_ylabel("optimal parameters")
        return fig

    return style.styled(draw)()
