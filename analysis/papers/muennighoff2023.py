"""Muennighoff et al. 2023, "Scaling Data-Constrained Language Models" (arXiv 2305.16264).

Repeated tokens count for less and less: the published pair of e-foldings on the 182 runs of the
final fit, and how little those runs determine it.
"""

from dataclasses import replace
from functools import cache

import numpy as np

from analysis.fitting import fit
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
    return fit.objective_of(law, runs, delta=DELTA)[0].value


def surface(runs: Runs) -> Array:
    """The objective (len(REPEATS), len(EXCESS)) over both e-foldings."""
    law, columns = published_law(), [runs.column(name) for name in DataConstrained.inputs]
    out = []
    for fold in REPEATS:
        loss = replace(law, R_D=fold, R_N=EXCESS[:, None]).loss(*columns)
        out.append(value("huber-log", DELTA, np.log(loss), runs.loss))
    return np.array(out)


def descend(runs: Runs, law: DataConstrained) -> tuple[DataConstrained, float]:
    """The local minimum in both e-foldings that is reached from a law, and its objective."""
    from scipy.optimize import minimize

    def at(logs) -> float:
        return 1e3 * objective(runs, replace(law, R_D=np.exp(logs[0]), R_N=np.exp(logs[1])))

    simplex = np.log([law.R_D, law.R_N]) + np.array([[0, 0], [0.03, 0], [0, 0.03]])
    options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 400, "initial_simplex": simplex}
    found = minimize(at, simplex[0], method="Nelder-Mead", options=options)
    return replace(law, R_D=np.exp(found.x[0]), R_N=np.exp(found.x[1])), found.fun / 1e3


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
        "muennighoff2023_return": lambda: return_figure(runs(), law),
        "muennighoff2023_surface": lambda: surface_figure(runs(), grid(), lowest()[0]),
    }
    return paper


def pair(paper: Paper, runs, near, lowest, grid) -> None:
    """The published e-foldings are a minimum, and not the lowest."""
    law = published_law()
    for name, entry in published.MUENNIGHOFF_PRINTED.items():
        paper.check(
            f"{name} from its logarithm",
            entry,
            lambda name=name: getattr(law, name),
            tolerance=0.5 if name != "E" else 0.005,
            why="half a unit of its last printed digit",
        )
    paper.check(
        "objective at the published pair",
        MUENNIGHOFF["objective"],
        lambda: objective(runs(), law),
        tolerance=1e-8,
        why="the pair is given to eight digits",
    )
    for name, what in (("R_D", "repeats of data"), ("R_N", "excess parameters")):
        paper.check(
            f"{name}* ({what}), minimum reached from the published pair",
            MUENNIGHOFF[name],
            lambda name=name: getattr(near()[0], name),
            percent=2,
            why="a flat floor: the objective is the same to 1e-6",
        )
    paper.check(
        "lowest objective anywhere",
        MUENNIGHOFF["lower"],
        lambda: lowest()[1],
        percent=0.01,
        why="two optimisers on one smooth floor",
    )

    def flat() -> tuple[bool, str]:
        profile = grid().min(1)
        equal = REPEATS[profile < lowest()[1] * 1.003]
        there = lowest()[1] < near()[1] and equal.max() > 10 * equal.min()
        return there, (
            f"the published pair is a local minimum; the lowest is {lowest()[1]:.9f} at R_N* = "
            f"{lowest()[0].R_N:.2f}, and every R_D* from {equal.min():.0f} to {equal.max():.0f} "
            "lies within 0.3 %: the runs do not determine it"
        )

    paper.check(
        "R_D* at the lowest objective",
        MUENNIGHOFF["R_D"],
        lambda: lowest()[0].R_D,
        percent=2,
        why="as above, were it the global minimum",
        cause=flat,
    )


def repeats(paper: Paper, law: DataConstrained, runs) -> None:
    """What the paper concludes: four epochs are almost as good as new tokens."""

    def four_epochs() -> float:
        epochs, loss = equal_compute(runs(), *SERIES[-1])
        return loss[np.argmin(np.abs(epochs - 4))] / loss[0]

    paper.check(
        "loss after 4 epochs over all-new tokens, runs of 8.7 B",
        MUENNIGHOFF["four_epochs"],
        four_epochs,
        tolerance=0.002,
        why='printed as "0.5 %", of smoothed training curves',
    )

    unique, source = 100e9, "Muennighoff 2023 section 1"
    paper.check(
        "loss after 4 epochs over all-new tokens, the law",
        Published(1.0, source, '"negligible changes to loss" up to 4 epochs'),
        lambda: law.loss(8.7e9, 4 * unique, unique) / law.loss(8.7e9, 4 * unique, 4 * unique),
        tolerance=0.005,
        why="half a per cent is the spread of seeds in the paper's runs",
    )


def equal_compute(runs: Runs, size: float, tokens: float) -> tuple[Array, Array]:
    """(epochs, loss) of the runs of one size and as many tokens, from all-new to most repeated."""
    rows = np.isclose(runs.params, size, rtol=2e-3) & np.isclose(runs.tokens, tokens, rtol=0.03)
    if not rows.any():
        raise ValueError(f"{runs.source}: no runs of {size:g} parameters and {tokens:g} tokens")
    order = np.argsort(runs.column("epochs")[rows])
    return runs.column("epochs")[rows][order], runs.loss[rows][order]


def percent(loss: Array) -> Array:
    """How far losses lie above the first."""
    return 100 * (loss / loss[0] - 1)


def return_figure(runs: Runs, law: DataConstrained):
    """Figures 1 and 5 of the paper: the worth of repeats, and loss at equal compute."""
    from analysis.figures import style

    loss = law.loss(runs.params, runs.tokens, runs.column("unique_tokens"))
    low = -np.median(np.log(loss / runs.loss))
    red = style.METHOD_COLOURS[1]

    def draw():
        caption = (
            f"R_D* = {law.R_D:.1f}, R_N* = {law.R_N:.1f} as published. Right: runs of the C4 table "
            "at equal compute, relative to the run whose tokens are all new; lines: the law. In "
            f"the median of all {len(runs)} runs it lies {100 * low:.0f} % below the loss, since "
            "only R_D* and R_N* were fitted to them."
        )
        fig, axes = style.sheet(10.0, 3.9, caption, columns=2)
        epochs = np.geomspace(1, 300, 300)
        axes[0].plot(epochs, epochs, "--", color=style.FAINT, label="as good as new tokens")
        axes[0].plot(epochs, worth(epochs, 1.0, law.R_D), color=red, lw=2, label="published law")
        axes[0].axhline(1 + law.R_D, color=style.FAINT, lw=1, ls=":")
        for at, text in (
            (4, "4 epochs:\nalmost as good as new"),
            (1 + law.R_D, "R$_D$* repeats:\nreturns fall fast"),
        ):
            y = float(worth(at, 1.0, law.R_D))
            axes[0].plot(at, y, "o", color=red, ms=6)
            axes[0].annotate(text, (at, y), (12, -30), textcoords="offset points", fontsize=8.5)
        axes[0].set(
            xscale="log",
            yscale="log",
            xlabel="epochs",
            title="Return on repeats",
            ylabel="effective tokens / unique tokens",
            xlim=(1, 300),
            ylim=(1, 60),
        )
        epochs = np.geomspace(1, 20, 200)
        for (size, tokens), colour in zip(SERIES, style.sequence(len(SERIES)), strict=True):
            seen, loss = equal_compute(runs, size, tokens)
            label = f"{size / 1e9:.1f} B, {tokens / 1e9:.0f} B tokens"
            axes[1].plot(
                seen, percent(loss), "o", color=colour, ms=6, mec="white", mew=0.6, zorder=4, label=label
            )
            curve = law.loss(size, tokens, tokens / epochs)
            axes[1].plot(epochs, percent(curve), color=colour, lw=1.5)
        axes[1].set(
            xscale="log",
            xlabel="epochs (unique tokens = tokens / epochs)",
            ylabel="loss above all-new tokens (%)",
            xlim=(0.95, 20),
            title="Loss at equal compute",
        )
        style.count_axis(axes[0].yaxis, *axes[0].get_ylim())
        for ax, place in zip(axes, ("upper left", "upper left"), strict=True):
            style.count_axis(ax.xaxis, *ax.get_xlim())
            ax.legend(loc=place)
        return fig

    return style.styled(draw)()


def surface_figure(runs: Runs, grid: Array, lowest: DataConstrained):
    """How weakly the runs determine the pair: the objective over both e-foldings."""
    from analysis.figures import style

    pair, least = published_law(), grid.min()

    def draw():
        caption = (
            f"Huber objective of {len(runs)} runs over both e-foldings, in per cent above its "
            "lowest point. The published pair is a local minimum of a long flat floor."
        )
        fig, ax = style.sheet(6.2, 4.2, caption)
        levels = (0.003, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
        above = np.maximum(100 * (grid.T / least - 1), levels[0])
        drawn = ax.contourf(REPEATS, EXCESS, above, levels, cmap=style.ramp(), norm="log")
        bar = fig.colorbar(drawn, ax=ax, label="above the lowest objective (%)")
        bar.set_ticks(levels[1:], labels=[f"{v:g}" for v in levels[1:]])
        ax.plot(
            pair.R_D,
            pair.R_N,
            "s",
            ms=7,
            color=style.METHOD_COLOURS[1],
            mec="white",
            ls="",
            label="published pair",
        )
        ax.plot(lowest.R_D, lowest.R_N, "*", ms=13, color="white", mec=style.INK, ls="", label="lowest point")
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="R$_D$*, e-folding of data repeats",
            ylabel="R$_N$*, e-folding of excess parameters",
            title="What 182 runs say about repeats",
        )
        style.count_axis(ax.xaxis, *ax.get_xlim())
        style.count_axis(ax.yaxis, *ax.get_ylim())
        ax.legend(loc="lower left", frameon=True, facecolor="white", edgecolor="none")
        return fig

    return style.styled(draw)()
