"""Why did Kaplan et al. 2020 find a larger exponent than Hoffmann et al. 2022?

Question: N ~ C^a on one text and one ladder of sizes, first as Kaplan et al. measured it, then with
          one difference after another taken back, as Porian et al. 2024 (arXiv 2406.19146) did:
          how far does each move a?
Command:  python -m lab run experiments.porian2024   (:smoke), after experiments.chinchilla2022:bpe,
          whose cells are the last step
Cost:     laptop: 27 runs, 9.6e13 FLOPs, 20 minutes on two cores as `lab plan` prices it
Answer:   expected: a near 0.7 at first and near 0.55 at the end; most of the way back by counting
          the readout, up to five sixths of these models' weights; some by the decay that ends with
          the run; little by the warm-up, which is long beside the largest models' runs only.

The steps, each with all those before it:

- kaplan: one cosine for all, as long as the longest run, and a long warm-up; losses are read off the
  curves; N is the blocks' weights alone, C = 6 N D
- readout: N and C with the readout (hidden + readout weights, exact FLOPs): the same runs
- warm-up: a short warm-up
- decay: every run's cosine ends with the run: cells of experiments.chinchilla2022:bpe

Byte pairs and not bytes: with 256 ids the readout is too small a part of a model to matter. A first
try (18 runs of one seed, the same budgets for all steps) had Kaplan's minima at the edge of the
sizes: where the readout costs nothing, small models train some ten times as long. So the first step
has budgets of its own, for which they do, and two seeds, which tell the noise along a curve.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis import fitting, frontiers
from analysis.frontiers.minima import akima
from analysis.laws import Chinchilla
from analysis.tables import table
from experiments import chinchilla2022
from experiments.reports import figures, tables
from lab.config import RunConfig
from lab.models import counts
from lab.store import contents, export
from lab.store.store import Store


@dataclass(frozen=True)
class Size:
    """Which cells of chinchilla2022 the walk ends at, and its two warm-ups, in updates."""

    cells: str  # a size of chinchilla2022
    budgets: int  # the first so many of its budgets
    kaplan: tuple[float, ...]  # budgets of the first step: 6 x the blocks' weights x tokens
    most: int  # tokens a block weight that a small model trains for those, at most
    warmups: tuple[int, int]  # Kaplan's, and the short one
    seeds: int  # with Kaplan's


SIZES = {
    "laptop": Size("bpe", 4, (2.25e11, 4.5e11, 9e11, 1.8e12), 3300, (1000, 50), 2),
    "smoke": Size("smoke", 3, (2e9, 4e9, 8e9), 500, (50, 5), 2),
}


def last_step(size: Size) -> list[RunConfig]:
    """The cells that the walk ends at."""
    grid_of = chinchilla2022.SIZES[size.cells]
    return chinchilla2022.cells(grid_of)[: size.budgets * grid_of.sizes]


def runs(size: str = "laptop") -> list[RunConfig]:
    """Each model as long as its steps need it, under one cosine: with Kaplan's warm-up, in several
    seeds, as long as his counting asks; with the short one as its longest cell."""
    setup = SIZES[size]
    cells = sorted(last_step(setup), key=lambda cell: cell.steps)
    short = list({cell.model: cell for cell in cells}.values())
    long = [replace(cell, tokens=length(cell, setup)) for cell in short]
    horizon = max(cell.steps for cell in long)
    sets = [(setup.warmups[0], seed, long) for seed in range(setup.seeds)] + [(setup.warmups[1], 0, short)]
    return [
        replace(
            chinchilla2022.beside(cell, horizon_steps=horizon, warmup_steps=warmup), seed=seed, data_seed=seed
        )
        for warmup, seed, models in sets
        for cell in models
    ]


def length(cell: RunConfig, size: Size) -> int:
    """Tokens of a model, whose longest cell this is."""
    hidden = counts.count_params(cell.model).hidden
    return max(cell.tokens, round(min(size.kaplan[-1] / (6 * hidden), size.most * hidden)))


@dataclass(frozen=True)
class Step:
    """One way to measure: its points, and the exponent of N by valleys and by the law."""

    name: str
    points: table.Runs
    valley: frontiers.Frontier
    law: frontiers.Frontier


def along(rows: table.Runs, curves: table.Runs, budgets: np.ndarray, kaplan: bool) -> dict[str, np.ndarray]:
    """The columns of a table of points at each budget, read off every curve that reaches there:
    log loss interpolated over log tokens."""
    names = "run_id params tokens flops loss budget seed".split()
    columns: dict[str, list] = {name: [] for name in names}
    ids, used = curves.column("run_id"), rows.usable()
    runs = (used.column(name) for name in ("run_id", "params_hidden", "params", "flops", "seed"))
    for run_id, hidden, params, flops, seed in zip(*runs, strict=True):
        mine = ids == run_id
        tokens, loss = curves.tokens[mine], curves.loss[mine]
        if mine.sum() < 4:
            continue
        counted = hidden if kaplan else params
        per_token = 6 * hidden if kaplan else flops / tokens.max()
        at = budgets / per_token
        reach = (at >= tokens.min()) & (at <= tokens.max() * 1.001)
        at, spent = np.minimum(at[reach], tokens.max()), budgets[reach]
        read = np.exp(akima(np.log(tokens), np.log(loss), np.log(at)))
        for name, values in zip(
            names,
            ([run_id] * len(at), [counted] * len(at), at, at * per_token, read, spent, [seed] * len(at)),
            strict=True,
        ):
            columns[name].extend(values)
    return {name: np.array(values) for name, values in columns.items()}


def measure(name: str, points: table.Runs, noise: frontiers.Noise | None = None) -> Step:
    price = frontiers.fit_cost(points)
    valleys = frontiers.find_optima(points, noise=noise)
    fitted = fitting.intervals(fitting.fit(Chinchilla, points))
    return Step(name, points, frontiers.from_isoflop(valleys, price), frontiers.from_fit(fitted, price))


def walk(rows: table.Runs, curves: table.Runs, cells: table.Runs, size: Size) -> list[Step]:
    """The steps, in order; `cells` are those of chinchilla2022 with their replicates. Seeds tell
    the noise of points along curves, for the step of one seed too."""
    levels = np.unique(cells.budget)[: size.budgets]
    last = cells.select(cells.budget <= levels[-1] * 1.001)

    def points(name: str, warmup: int, budgets: np.ndarray, kaplan: bool) -> table.Runs:
        mine = rows.select(rows.column("warmup_steps") == size.warmups[warmup])
        return table.from_columns(f"{rows.source} ({name})", **along(mine, curves, budgets, kaplan))

    first = measure("kaplan", points("kaplan", 0, np.array(size.kaplan), True))
    readout = points("readout", 0, levels, False)
    return [
        first,
        measure("readout", readout),
        measure("warm-up", points("warm-up", 1, levels, False), frontiers.find_optima(readout).noise),
        measure("decay", last, frontiers.find_optima(cells).noise),
    ]


def describe(steps: list[Step]) -> list[str]:
    lines = []
    for step in steps:
        lines += [
            f"{step.name:<9} {front.method:<28} N ~ C^{front.params_exponent}   [{front.status}]"
            for front in (step.valley, step.law)
        ]
    first, last = steps[0], steps[-1]
    for method in ("valley", "law"):
        high, low = (getattr(step, method).params_exponent for step in (first, last))
        verdict = "above by more than both intervals" if high.low > low.high else "NOT clearly above"
        lines.append(f"Kaplan's way over Chinchilla's, by the {method}: {high} and {low}: {verdict}")
    return lines


def answer(path: Path) -> list[str]:
    setup = SIZES["laptop"]
    curves = table.read(tables.kept("porian2024-curves"))
    cells = table.read(tables.kept(chinchilla2022.named(setup.cells)), where="budget > 0")
    steps = walk(table.read(path), curves, cells, setup)
    values = ", ".join(f"{step.law.params_exponent.value:.3f} ({step.name})" for step in steps)
    return [
        f"a in N ~ C^a, by the law: {values}",
        *(
            f"{step.name}: {step.law.params_exponent} by the law, {step.valley.params_exponent} by valleys"
            for step in steps
        ),
        describe(steps)[-1],
    ]


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, curves.csv, walk.png and the exponent after each step."""
    name = tables.name_of("porian2024", size)
    setup = SIZES[size]
    corpora = chinchilla2022.SIZES[setup.cells].corpora
    rows = table.read(tables.table_of(name, store, partial(runs, size), out, corpora))
    curves = table.read(out / "curves.csv")
    path, cells = out / "cells.csv", chinchilla2022.named(setup.cells)
    there = contents.learned_from(store, corpora)
    if there and (done := export.rows(store, chinchilla2022.runs(setup.cells), cells)):
        export.write(done, path)
    else:
        path = tables.kept(cells)
    steps = walk(rows, curves, table.read(path, where="budget > 0"), setup)
    print("\n".join(describe(steps)))
    figures.walk(steps).savefig(out / "walk.png")
    print(f"cells from {path}; figure in {out}")
