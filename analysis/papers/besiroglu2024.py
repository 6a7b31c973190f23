"""Besiroglu et al. 2024, "Chinchilla Scaling: A replication attempt" (arXiv 2404.10102).

The third approach of Hoffmann et al. refitted to the points of their Figure 4: the constants, their
bootstrap, and how far Hoffmann's constants lie from a minimum.
"""

from functools import cache, partial

import numpy as np

from analysis import fitting
from analysis.figures.axes import count_axis, log_axes, power_axis
from analysis.figures.style import INK, METHOD_COLOURS, sheet, styled
from analysis.fitting import Fit, fit
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
        return fitting.resample(fitted("huber-log"), resamples)

    constants(paper, fitted)
    objectives(paper, runs, fitted)
    bootstrap(paper, drawn, resamples)
    allocation(paper, fitted, drawn)
    paper.figures = {
        "besiroglu2024_ratio": lambda: plot_ratio(drawn()),
        "besiroglu2024_residuals": lambda: plot_residuals(fitted("l1-log")),
    }
    return paper


def objective(law: Chinchilla, runs: Runs) -> float:
    """Sum of Huber(log predicted - log observed) over the points."""
    return fitting.objective_of(law, runs, delta=DELTA)[0].value


def constants(paper: Paper, fitted) -> None:
    """The printed constants are the least-absolute-deviation fit's, and E the Huber fit's."""
    rounding = {"A": 0.1, "B": 1.0, "E": 1e-4, "alpha": 1e-4, "beta": 1e-4}

    def constant(name: str, objective: str):
        return lambda: getattr(fitted(objective).law, name)

    def cause() -> tuple[bool, str]:
        huber = fitted("huber-log").law.E
        there = abs(huber - BESIROGLU["E"].value) < 1e-4
        return there, f"the printed E is the Huber fit's ({huber:.5f}), the rest the L1 fit's"

    why = "a unit of the last printed digit, ten for A and B, which a flat valley moves"
    for name, tolerance in rounding.items():
        claim, because = f"{name}, least absolute deviations", cause if name == "E" else None
        paper.check(claim, BESIROGLU[name], constant(name, "l1-log"), tolerance, why, cause=because)
    why = "a tenth of the published standard error: both objectives are robust"
    for name in rounding:
        entry = BESIROGLU[name]
        paper.check(f"{name}, Huber 1e-3", entry, constant(name, "huber-log"), 0.1 * entry.se, why)


def objectives(paper: Paper, runs, fitted) -> None:
    """What the fit minimises, at its minimum and at the constants others printed."""
    paper.check(
        "objective at its minimum",
        OBJECTIVES["minimum"],
        lambda: fitted("huber-log").objective.value,
        1e-9,
        "a minimum is flat, so two optimisers agree to many digits",
    )
    why = "a unit of the last digit given: the constants are rounded too"
    sets = {"besiroglu": BESIROGLU, "hoffmann": published.HOFFMANN, "hoffmann_tex": published.HOFFMANN_TEX}
    for name, values in sets.items():
        entry, law = OBJECTIVES[name], published.law(values)
        ours = partial(lambda law: objective(law, runs()), law)
        paper.check(f"objective {entry.convention}", entry, ours, 1e-6, why)


def bootstrap(paper: Paper, drawn, resamples: int) -> None:
    """Standard errors and 95 % intervals of the pairs bootstrap."""
    noise = max(1.0, (4000 / resamples) ** 0.5)
    why = "three times the scatter over seeds of 4000 resamples, 5 % for B and its long tail"
    for name, entry in BESIROGLU.items():
        i = Chinchilla.names().index(name)
        error = Published(entry.se, entry.source, f"bootstrap, constant {name}")
        ours, percent = lambda i=i: np.nanstd(drawn().draws[:, i]), (15 if name == "B" else 6) * noise
        paper.check(f"standard error of {name}", error, ours, percent=percent, why=why)
    why = "a fifth of the standard error: 3 × the noise of a 2.5 % tail, on both sides"
    for name, entry in BESIROGLU.items():
        for side, end in enumerate(("low", "high")):
            claim = f"{end} end of the 95 % interval of {name}"
            theirs = Published(getattr(entry, end), entry.source, entry.interval)
            ours = partial(lambda name, side: drawn().interval(name)[side], name, side)
            paper.check(claim, theirs, ours, 0.2 * noise * entry.se, why)


def allocation(paper: Paper, fitted, drawn) -> None:
    """The refit agrees with the 20 tokens a parameter that Chinchilla was trained with."""
    theirs, where = published.law(BESIROGLU), published.GOPHER_FLOPS.value

    def ratio(law: Chinchilla) -> float:
        params, tokens = law.optimum(where)
        return float(tokens / params)

    def half_width() -> float:
        low, high = np.nanpercentile(ratios(drawn(), np.array([where]))[:, 0], [10, 90])
        return (high - low) / 2

    source = "from Besiroglu's constants"
    entry = Published(theirs.exponents()[0], source, status="derived")
    why, l1 = "the printed digits of alpha and beta", partial(fitted, "l1-log")
    paper.check("a of params ∝ flops^a", entry, lambda: l1().law.exponents()[0], 1e-3, why)
    entry, why = Published(ratio(theirs), source, status="derived"), "the printed digits of A and B"
    claim = "tokens per parameter at 5.76e23 FLOPs"
    paper.check(claim, entry, lambda: ratio(l1().law), percent=1, why=why)
    entry = published.BESIROGLU_EXPERIMENTS
    paper.check(
        "log10 of the experiments that Hoffmann's interval of a would need",
        Published(np.log10(entry.value), entry.source, entry.convention),
        lambda: np.log10(needed(drawn())),
        0.3,
        "a factor of two: Hoffmann's interval is printed to one digit of its width",
    )
    paper.check(
        "tokens per parameter beside Chinchilla's own",
        published.CHINCHILLA_RATIO,
        lambda: ratio(fitted("huber-log").law),
        half_width,
        "half the width of our 80 % bootstrap interval",
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


@styled
def plot_ratio(drawn: Fit):
    """Optimal tokens per parameter against compute: the refit with its 80 % interval, Hoffmann's
    constants, and Chinchilla itself (the paper's central figure)."""
    flops, (blue, red) = np.geomspace(1e18, 1e28, 120), METHOD_COLOURS[:2]
    low, high = np.nanpercentile(ratios(drawn, flops), [10, 90], axis=0)
    caption = (
        f"{len(drawn.runs)} points read off Hoffmann et al.'s Figure 4; Huber 1e-3 fit; band: "
        f"80 % of {len(drawn.draws)} pairs-bootstrap refits. Hoffmann: the unrounded constants "
        "of the TeX source. Compute is 6ND."
    )
    fig, ax = sheet(6.6, 4.3, caption)
    ax.fill_between(flops, low, high, color=blue, alpha=0.18, lw=0)
    for law, colour, label in (
        (drawn.law, blue, "refit, 80 % interval"),
        (published.law(published.HOFFMANN_TEX), red, "Hoffmann's constants"),
    ):
        params, tokens = law.optimum(flops)
        ax.plot(flops, tokens / params, color=colour, lw=1.8, label=label)
    style = {"color": INK, "mec": "white", "label": "Chinchilla: 70 B, 1.4 T tokens"}
    ax.plot(published.GOPHER_FLOPS.value, published.CHINCHILLA_RATIO.value, "*", ms=13, ls="", **style)
    labels = {"xlabel": "training compute (FLOPs)", "ylabel": "optimal tokens per parameter"}
    title, ends = "Compute-optimal tokens per parameter", (flops[0], flops[-1])
    log_axes(ax, power_axis, count_axis, title=title, xlim=ends, ylim=(1, 1000), **labels)
    ax.legend(loc="upper left")
    return fig


@styled
def plot_residuals(fitted: Fit):
    """Residuals of three sets of constants on the same points, as the paper's histograms."""
    runs, (blue, red, _, violet) = fitted.runs, METHOD_COLOURS
    laws = {
        "Hoffmann, rounded": published.law(published.HOFFMANN),
        "Hoffmann, TeX source": published.law(published.HOFFMANN_TEX),
        "refit, least absolute deviations": fitted.law,
    }
    gaps = [np.log(runs.loss) - np.log(law.loss(runs.params, runs.tokens)) for law in laws.values()]
    caption = (
        f"log observed - log predicted loss of {len(runs)} points under each set of constants. "
        f"Hoffmann's rounded constants predict {-100 * np.median(gaps[0]):.1f} % too much in the median. "
        "The outermost bars hold what lies beyond."
    )
    fig, axes = sheet(9.2, 3.2, caption, columns=3)
    edges = np.arange(-0.045, 0.0651, 0.0025)
    for ax, (name, law), gap, colour in zip(axes, laws.items(), gaps, (red, violet, blue), strict=True):
        ax.hist(np.clip(gap, edges[0], edges[-1]), edges, color=colour, alpha=0.85)
        ax.axvline(0, color=INK, lw=0.9)
        text = f"median {np.median(gap):+.4f}\nobjective {1e3 * objective(law, runs):.3f}e-3"
        ax.text(0.98, 0.84, text, transform=ax.transAxes, ha="right")
        ax.set(title=name, xlabel="log residual", xticks=np.arange(-0.04, 0.061, 0.02))
    top = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, top)
    axes[0].set_ylabel("points")
    return fig
