"""Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (arXiv 2305.16264).

Repeated tokens count for less and less: the published pair of e-foldings on the 182 runs of the
final fit, and how little those runs determine it.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from analysis import fitting
from analysis.figures.axes import count_axis, log_axes
from analysis.figures.style import FAINT, INK, METHOD_COLOURS, ramp, sequence, sheet, styled
from analysis.fitting.solve import value
from analysis.laws import Array, DataConstrained, published
from analysis.laws.beyond import worth
from analysis.laws.published import MUENNIGHOFF, MUENNIGHOFF_ALPHA, MUENNIGHOFF_LOGS, Published
from analysis.papers.claims import Data, Paper
from analysis.tables.runs import Runs

POINTS = "datablations_c4.csv"
DELTA = 1e-3
SERIES = ((2.81e9, 55e9), (4.2465e9, 84e9), (8.67e9, 178e9))  # parameters, tokens; section 6
# the profile: e-foldings of data repeats tried, and those within a grid step count as equal
REPEATS = np.geomspace(3, 1000, 120)
EXCESS = np.geomspace(0.1, 40, 160)


def published_law() -> DataConstrained:
    logs = {name: float(np.exp(entry.value)) for name, entry in MUENNIGHOFF_LOGS.items()}
    folds = {name: MUENNIGHOFF[name].value for name in ("R_D", "R_N")}
    exponent = MUENNIGHOFF_ALPHA.value
    return DataConstrained(alpha=exponent, beta=exponent, **logs, **folds)


def objective(runs: Runs, law: DataConstrained) -> float:
    return fitting.objective_of(law, runs, delta=DELTA)[0].value


def surface(runs: Runs) -> Array:
    """The objective (len(REPEATS), len(EXCESS)) over both e-foldings."""
    law, columns = published_law(), [runs.column(name) for name in DataConstrained.inputs]
    losses = (replace(law, R_D=fold, R_N=EXCESS[:, None]).loss(*columns) for fold in REPEATS)
    return np.array([value("huber-log", DELTA, np.log(loss), runs.loss) for loss in losses])


def descend(runs: Runs, law: DataConstrained) -> tuple[DataConstrained, float]:
    """The local minimum in both e-foldings that is reached from a law, and its objective."""
    from scipy.optimize import minimize

    def at(logs) -> float:
        return 1e3 * objective(runs, replace(law, R_D=np.exp(logs[0]), R_N=np.exp(logs[1])))

    simplex = np.log([law.R_D, law.R_N]) + np.array([[0, 0], [0.03, 0], [0, 0.03]])
    options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 400, "initial_simplex": simplex}
    best = minimize(at, simplex[0], method="Nelder-Mead", options=options)
    return replace(law, R_D=np.exp(best.x[0]), R_N=np.exp(best.x[1])), best.fun / 1e3


def reproduce(data: Data) -> Paper:
    paper = Paper("muennighoff2023")
    law = published_law()

    @cache
    def runs() -> Runs:
        return data.table(POINTS)

    @cache
    def near() -> tuple[DataConstrained, float]:
        return descend(runs(), law)

    @cache
    def grid() -> Array:
        return surface(runs())

    @cache
    def lowest() -> tuple[DataConstrained, float]:
        i, j = np.unravel_index(np.argmin(grid()), grid().shape)
        return descend(runs(), replace(law, R_D=REPEATS[i], R_N=EXCESS[j]))

    pair(paper, runs, near, lowest, grid)
    repeats(paper, law, runs)
    paper.figures = {
        "muennighoff2023_return": lambda: plot_return(runs(), law),
        "muennighoff2023_surface": lambda: plot_surface(runs(), grid(), lowest()[0]),
    }
    return paper


def pair(paper: Paper, runs, near, lowest, grid) -> None:
    """The published e-foldings are a minimum, and not the lowest."""
    law, check = published_law(), paper.check
    for name, entry in published.MUENNIGHOFF_PRINTED.items():
        tolerance, why = 0.5 if name != "E" else 0.005, "half a unit of its last printed digit"
        check(f"{name} from its logarithm", entry, getattr(law, name), tolerance, why)
    claim, why = "objective at the published pair", "the pair is given to eight digits"
    check(claim, MUENNIGHOFF["objective"], lambda: objective(runs(), law), 1e-8, why)
    why = "a flat floor: the objective is the same to 1e-6"
    for name, what in (("R_D", "repeats of data"), ("R_N", "excess parameters")):
        claim = f"{name}* ({what}), minimum reached from the published pair"
        check(claim, MUENNIGHOFF[name], lambda name=name: getattr(near()[0], name), percent=2, why=why)
    claim, why = "lowest objective anywhere", "two optimisers on one smooth floor"
    check(claim, MUENNIGHOFF["lower"], lambda: lowest()[1], percent=0.01, why=why)

    def flat() -> tuple[bool, str]:
        profile, (law, least) = grid().min(1), lowest()
        equal = REPEATS[profile < least * 1.003]
        return least < near()[1] and equal.max() > 10 * equal.min(), (
            f"the published pair is a local minimum; the lowest is {least:.9f} at R_N* = {law.R_N:.2f}, and "
            f"every R_D* from {equal.min():.0f} to {equal.max():.0f} lies within 0.3 %: the runs do not "
            "determine it"
        )

    claim, why = "R_D* at the lowest objective", "as above, were it the global minimum"
    check(claim, MUENNIGHOFF["R_D"], lambda: lowest()[0].R_D, percent=2, why=why, cause=flat)


def repeats(paper: Paper, law: DataConstrained, runs) -> None:
    """What the paper concludes: four epochs are almost as good as new tokens."""

    def four_epochs() -> float:
        epochs, loss = equal_compute(runs(), *SERIES[-1])
        return loss[np.argmin(np.abs(epochs - 4))] / loss[0]

    claim = "loss after 4 epochs over all-new tokens"
    why = 'printed as "0.5 %", of smoothed training curves'
    paper.check(f"{claim}, runs of 8.7 B", MUENNIGHOFF["four_epochs"], four_epochs, 0.002, why)
    unique, words = 100e9, '"negligible changes to loss" up to 4 epochs'
    ratio = law.loss(8.7e9, 4 * unique, unique) / law.loss(8.7e9, 4 * unique, 4 * unique)
    entry = Published(1.0, "Muennighoff 2023 section 1", words)
    paper.check(
        f"{claim}, the law", entry, ratio, 0.005, "half a per cent is the spread of seeds in the paper's runs"
    )


def equal_compute(runs: Runs, size: float, tokens: float) -> tuple[Array, Array]:
    """(epochs, loss) of the runs of one size and as many tokens, from all-new to most repeated."""
    rows = np.isclose(runs.params, size, rtol=2e-3) & np.isclose(runs.tokens, tokens, rtol=0.03)
    if not rows.any():
        raise ValueError(f"{runs.source}: no runs of {size:g} parameters and {tokens:g} tokens")
    order = np.argsort(runs.column("epochs")[rows])
    return runs.column("epochs")[rows][order], runs.loss[rows][order]


@styled
def plot_return(runs: Runs, law: DataConstrained):
    """Figures 1 and 5 of the paper: the worth of repeats, and loss at equal compute."""
    loss = law.loss(runs.params, runs.tokens, runs.column("unique_tokens"))
    low = -np.median(np.log(loss / runs.loss))
    caption = (
        f"R_D* = {law.R_D:.1f}, R_N* = {law.R_N:.1f} as published. Right: runs of the C4 table "
        "at equal compute, relative to the run whose tokens are all new; lines: the law. In "
        f"the median of all {len(runs)} runs it lies {100 * low:.0f} % below the loss, since "
        "only R_D* and R_N* were fitted to them."
    )
    fig, axes = sheet(10.0, 3.9, caption, columns=2)
    draw_worth(axes[0], law)
    epochs = np.geomspace(1, 20, 200)
    for (size, tokens), colour in zip(SERIES, sequence(len(SERIES)), strict=True):
        seen, loss = equal_compute(runs, size, tokens)
        label = f"{size / 1e9:.1f} B, {tokens / 1e9:.0f} B tokens"
        style = {"ms": 6, "mec": "white", "mew": 0.6, "zorder": 4, "label": label}
        axes[1].plot(seen, 100 * (loss / loss[0] - 1), "o", color=colour, **style)
        loss = law.loss(size, tokens, tokens / epochs)
        axes[1].plot(epochs, 100 * (loss / loss[0] - 1), color=colour, lw=1.5)
    labels = {"xlabel": "epochs (unique tokens = tokens / epochs)", "ylabel": "loss above all-new tokens (%)"}
    log_axes(axes[1], count_axis, xlim=(0.95, 20), title="Loss at equal compute", **labels)
    for ax in axes:
        ax.legend(loc="upper left")
    return fig


def draw_worth(ax, law: DataConstrained) -> None:
    """What epochs are worth under the law, in unique tokens."""
    epochs, red = np.geomspace(1, 300, 300), METHOD_COLOURS[1]
    ax.plot(epochs, epochs, "--", color=FAINT, label="as good as new tokens")
    ax.plot(epochs, worth(epochs, 1.0, law.R_D), color=red, lw=2, label="published law")
    ax.axhline(1 + law.R_D, color=FAINT, lw=1, ls=":")
    texts = {4: "4 epochs:\nalmost as good as new", 1 + law.R_D: "R$_D$* repeats:\nreturns fall fast"}
    for at, text in texts.items():
        y = float(worth(at, 1.0, law.R_D))
        ax.plot(at, y, "o", color=red, ms=6)
        ax.annotate(text, (at, y), (12, -30), textcoords="offset points", fontsize=8.5)
    labels = {"xlabel": "epochs", "ylabel": "effective tokens / unique tokens", "title": "Return on repeats"}
    log_axes(ax, count_axis, count_axis, xlim=(1, 300), ylim=(1, 60), **labels)


@styled
def plot_surface(runs: Runs, grid: Array, lowest: DataConstrained):
    """How weakly the runs determine the pair: the objective over both e-foldings."""
    pair, levels = published_law(), (0.003, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
    caption = (
        f"Huber objective of {len(runs)} runs over both e-foldings, in per cent above its "
        "lowest point. The published pair is a local minimum of a long flat floor."
    )
    fig, ax = sheet(6.2, 4.2, caption)
    above = np.maximum(100 * (grid.T / grid.min() - 1), levels[0])
    drawn = ax.contourf(REPEATS, EXCESS, above, levels, cmap=ramp(), norm="log")
    bar = fig.colorbar(drawn, ax=ax, label="above the lowest objective (%)")
    bar.set_ticks(levels[1:], labels=[f"{v:g}" for v in levels[1:]])
    style = {"color": METHOD_COLOURS[1], "mec": "white", "label": "published pair"}
    ax.plot(pair.R_D, pair.R_N, "s", ms=7, ls="", **style)
    ax.plot(lowest.R_D, lowest.R_N, "*", ms=13, color="white", mec=INK, ls="", label="lowest point")
    labels = {
        "xlabel": "R$_D$*, e-folding of data repeats",
        "ylabel": "R$_N$*, e-folding of excess parameters",
    }
    log_axes(ax, count_axis, count_axis, title="What 182 runs say about repeats", **labels)
    ax.legend(loc="lower left", frameon=True, facecolor="white", edgecolor="none")
    return fig
