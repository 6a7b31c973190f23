"""Besiroglu et al. 2024, "Chinchilla Scaling: A replication attempt" (arXiv 2404.10102).

The third approach of Hoffmann et al. refitted to the points of their Figure 4: the constants, their
bootstrap, and how far Hoffmann's constants lie from a minimum.
"""

from functools import cache

import numpy as np

from analysis.fitting import bootstrap as uncertainty
from analysis.fitting.fit import Fit, fit
from analysis.fitting.solve import value
from analysis.laws import Array, Chinchilla, published
from analysis.laws.published import BESIROGLU, OBJECTIVES, Published
from analysis.papers.claims import Data, Paper
from analysis.tables.runs import Runs

POINTS = "chinchilla_fig4.csv"
DELTA = 1e-3


def reproduce(data: Data, resamples: int = 4000) -> Paper:
    """All claims; `resamples` is the paper's number, fewer are quicker and noisier."""
    paper = Paper("besiroglu2024")

    @cache
    def runs() -> Runs:
        return data.table(POINTS, where="outlier == 0")

    @cache
    def fitted(objective: str) -> Fit:
        return fit(Chinchilla, runs(), objective=objective, delta=DELTA)

    @cache
    def drawn() -> Fit:
        return uncertainty.pairs(fitted("huber-log"), resamples)

    constants(paper, fitted)
    objectives(paper, runs, fitted)
    bootstrap(paper, drawn, resamples)
    allocation(paper, fitted, drawn)
    paper.figures = {
        "besiroglu2024_ratio": lambda: ratio_figure(drawn()),
        "besiroglu2024_residuals": lambda: residual_figure(fitted("l1-log")),
    }
    return paper


def objective(law: Chinchilla, runs: Runs) -> float:
    """Sum of Huber(log predicted - log observed) over the points."""
    log_loss = np.log(law.loss(runs.params, runs.tokens))[None]
    return float(value("huber-log", DELTA, log_loss, runs.loss)[0])


def constants(paper: Paper, fitted) -> None:
    """The printed constants are the least-absolute-deviation fit's, and E the Huber fit's."""
    rounding = {"A": 0.1, "B": 1.0, "E": 1e-4, "alpha": 1e-4, "beta": 1e-4}

    def cause() -> tuple[bool, str]:
        huber = fitted("huber-log").law.E
        there = abs(huber - BESIROGLU["E"].value) < 1e-4
        return there, f"the printed E is the Huber fit's ({huber:.5f}), the rest the L1 fit's"

    for name, tolerance in rounding.items():
        paper.check(
            f"{name}, least absolute deviations",
            BESIROGLU[name],
            lambda name=name: getattr(fitted("l1-log").law, name),
            tolerance=tolerance,
            why="a unit of the last printed digit, ten for A and B, which a flat valley moves",
            cause=cause if name == "E" else None,
        )
    for name in rounding:
        paper.check(
            f"{name}, Huber 1e-3",
            BESIROGLU[name],
            lambda name=name: getattr(fitted("huber-log").law, name),
            tolerance=0.1 * BESIROGLU[name].se,
            why="a tenth of the published standard error: both objectives are robust",
        )


def objectives(paper: Paper, runs, fitted) -> None:
    """What the fit minimises, at its minimum and at the constants others printed."""
    paper.check(
        "objective at its minimum",
        OBJECTIVES["minimum"],
        lambda: fitted("huber-log").objective.value,
        tolerance=1e-9,
        why="a minimum is flat, so two optimisers agree to many digits",
    )
    for name, law in (
        ("besiroglu", BESIROGLU),
        ("hoffmann", published.HOFFMANN),
        ("hoffmann_tex", published.HOFFMANN_TEX),
    ):
        paper.check(
            f"objective {OBJECTIVES[name].convention}",
            OBJECTIVES[name],
            lambda law=law: objective(published.law(law), runs()),
            tolerance=1e-6,
            why="a unit of the last digit given: the constants are rounded too",
        )


def bootstrap(paper: Paper, drawn, resamples: int) -> None:
    """Standard errors and 95 % intervals of the pairs bootstrap."""
    noise = max(1.0, (4000 / resamples) ** 0.5)
    index = {name: i for i, name in enumerate(Chinchilla.names())}
    for name, entry in BESIROGLU.items():
        percent = (15 if name == "B" else 6) * noise
        paper.check(
            f"standard error of {name}",
            Published(entry.se, entry.source, f"bootstrap, constant {name}"),
            lambda i=index[name]: np.nanstd(drawn().draws[:, i]),
            percent=percent,
            why="three times the scatter over seeds of 4000 resamples, 5 % for B and its long tail",
        )
    for name, entry in BESIROGLU.items():
        for side, end in enumerate(("low", "high")):
            paper.check(
                f"{end} end of the 95 % interval of {name}",
                Published(getattr(entry, end), entry.source, entry.interval),
                lambda name=name, side=side: drawn().interval(name)[side],
                tolerance=0.2 * noise * entry.se,
                why="a fifth of the standard error: 3 × the noise of a 2.5 % tail, on both sides",
            )


def allocation(paper: Paper, fitted, drawn) -> None:
    """The refit agrees with the 20 tokens a parameter that Chinchilla was trained with."""
    theirs = published.law(BESIROGLU)
    where = published.GOPHER_FLOPS.value

    def ratio(law: Chinchilla) -> float:
        params, tokens = law.optimum(where)
        return float(tokens / params)

    source = "from Besiroglu's constants"
    paper.check(
        "a of params ∝ flops^a",
        Published(theirs.exponents()[0], source, status="derived"),
        lambda: fitted("l1-log").law.exponents()[0],
        tolerance=1e-3,
        why="the printed digits of alpha and beta",
    )
    paper.check(
        "tokens per parameter at 5.76e23 FLOPs",
        Published(ratio(theirs), source, status="derived"),
        lambda: ratio(fitted("l1-log").law),
        percent=1,
        why="the printed digits of A and B",
    )

    def half_width() -> float:
        low, high = np.nanpercentile(ratios(drawn(), np.array([where]))[:, 0], [10, 90])
        return (high - low) / 2

    paper.check(
        "log10 of the experiments that Hoffmann's interval of a would need",
        Published(
            np.log10(published.BESIROGLU_EXPERIMENTS.value),
            published.BESIROGLU_EXPERIMENTS.source,
            published.BESIROGLU_EXPERIMENTS.convention,
        ),
        lambda: np.log10(needed(drawn())),
        tolerance=0.3,
        why="a factor of two: Hoffmann's interval is printed to one digit of its width",
    )
    paper.check(
        "tokens per parameter beside Chinchilla's own",
        published.CHINCHILLA_RATIO,
        lambda: ratio(fitted("huber-log").law),
        tolerance=half_width,
        why="half the width of our 80 % bootstrap interval",
    )


def ratios(drawn: Fit, flops: Array) -> Array:
    """Optimal tokens per parameter of every draw, (S, K)."""
    with np.errstate(all="ignore"):
        params, tokens = drawn.law_draws().optimum(flops)
        return tokens / params


def needed(drawn: Fit) -> float:
    """Runs for an 80 % interval of a as narrow as Hoffmann's: widths shrink as 1/sqrt(runs)."""
    with np.errstate(all="ignore"):
        a = drawn.law_draws().exponents()[0][:, 0]
    low, high = np.nanpercentile(a, [10, 90])
    entry = published.HOFFMANN_EXPONENTS[3, "a"]
    return len(drawn.runs) * ((high - low) / (entry.high - entry.low)) ** 2


def ratio_figure(drawn: Fit):
    """Optimal tokens per parameter against compute: the refit with its 80 % interval, Hoffmann's
    constants, and Chinchilla itself (the paper's central figure)."""
    from analysis.figures import style

    flops = np.geomspace(1e18, 1e28, 120)
    draws = ratios(drawn, flops)
    low, high = np.nanpercentile(draws, [10, 90], axis=0)
    blue, red = style.METHOD_COLOURS[:2]

    def draw():
        caption = (
            f"{len(drawn.runs)} points read off Hoffmann et al.'s Figure 4; Huber 1e-3 fit; band: "
            f"80 % of {len(drawn.draws)} pairs-bootstrap refits. Hoffmann: the unrounded constants "
            "of the TeX source. Compute is 6ND."
        )
        fig, ax = style.sheet(6.6, 4.3, caption)
        ax.fill_between(flops, low, high, color=blue, alpha=0.18, lw=0)
        for law, colour, label in (
            (drawn.law, blue, "refit, 80 % interval"),
            (published.law(published.HOFFMANN_TEX), red, "Hoffmann's constants"),
        ):
            params, tokens = law.optimum(flops)
            ax.plot(flops, tokens / params, color=colour, lw=1.8, label=label)
        ax.plot(
            published.GOPHER_FLOPS.value,
            published.CHINCHILLA_RATIO.value,
            "*",
            ms=13,
            color=style.INK,
            mec="white",
            ls="",
            label="Chinchilla: 70 B, 1.4 T tokens",
        )
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="training compute (FLOPs)",
            ylim=(1, 1000),
            ylabel="optimal tokens per parameter",
            xlim=(flops[0], flops[-1]),
            title="Compute-optimal tokens per parameter",
        )
        style.power_axis(ax.xaxis, *ax.get_xlim())
        style.count_axis(ax.yaxis, *ax.get_ylim())
        ax.legend(loc="upper left")
        return fig

    return style.styled(draw)()


def residual_figure(fitted: Fit):
    """Residuals of three sets of constants on the same points, as the paper's histograms."""
    from analysis.figures import style

    runs = fitted.runs
    laws = {
        "Hoffmann, rounded": published.law(published.HOFFMANN),
        "Hoffmann, TeX source": published.law(published.HOFFMANN_TEX),
        "refit, least absolute deviations": fitted.law,
    }

    gaps = {
        name: np.log(runs.loss) - np.log(law.loss(runs.params, runs.tokens)) for name, law in laws.items()
    }
    bias = 100 * np.median(gaps["Hoffmann, rounded"])

    def draw():
        caption = (
            f"log observed - log predicted loss of {len(runs)} points under each set of constants. "
            f"Hoffmann's rounded constants predict {-bias:.1f} % too much in the median. "
            "The outermost bars hold what lies beyond."
        )
        fig, axes = style.sheet(9.2, 3.2, caption, columns=3)
        edges = np.arange(-0.045, 0.0651, 0.0025)
        blue, red, _, violet = style.METHOD_COLOURS
        for ax, (name, gap), colour in zip(axes, gaps.items(), (red, violet, blue), strict=True):
            ax.hist(np.clip(gap, edges[0], edges[-1]), edges, color=colour, alpha=0.85)
            ax.axvline(0, color=style.INK, lw=0.9)
            score = objective(laws[name], runs)
            text = f"median {np.median(gap):+.4f}\nobjective {1e3 * score:.3f}e-3"
            ax.text(0.98, 0.84, text, transform=ax.transAxes, ha="right")
            ax.set(title=name, xlabel="log residual", xticks=np.arange(-0.04, 0.061, 0.02))
        top = max(ax.get_ylim()[1] for ax in axes)
        for ax in axes:
            ax.set_ylim(0, top)
        axes[0].set_ylabel("points")
        return fig

    return style.styled(draw)()
