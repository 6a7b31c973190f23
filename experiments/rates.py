"""Is the plain grid's learning rate within a factor 2 of the best, at both ends of its ladder?

Question: the best peak rate of the smallest and largest model at the smallest and largest budget.
Command:  python -m lab run experiments.rates
Cost:     20 runs, 4.1e13 FLOPs, about 9 minutes on two cores
Answer:   yes; the table is kept in experiments/results/rates.csv
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from experiments import plain
from experiments.reports import tables
from lab.config import RunConfig
from lab.plan import grid
from lab.store.store import Store

RATES = (0.002, 0.004, 0.008, 0.016, 0.032)


def runs() -> list[RunConfig]:
    sizes, budgets, n = plain.models(), plain.BUDGETS, plain.SIZES
    last = plain.FIRST[-1]
    ends = {budgets[0]: [sizes[0], sizes[n - 1]], budgets[-1]: [sizes[last], sizes[last + n - 1]]}
    corners = grid.isoflop(ends, data=plain.text(), optim=plain.optim, batch_tokens=plain.BATCH_TOKENS)
    return [
        replace(corner, optim=replace(corner.optim, learning_rate=value))
        for corner in corners
        for value in RATES
    ]


def corners(table: Path) -> dict[tuple[float, int], tuple[float, dict[float, float]]]:
    """(budget, params) -> (the rule's rate, {rate: loss}), from a run table of this grid."""
    cells: dict[tuple[float, int], dict[float, float]] = defaultdict(dict)
    for row in tables.lines_of(table):
        if row["loss"]:
            cell = float(row["budget"]), int(row["params"])
            cells[cell][float(row["learning_rate"])] = float(row["loss"])
    return {cell: (plain.rule(cell[1]), losses) for cell, losses in sorted(cells.items())}


def answer(path: Path) -> list[str]:
    lines, ratios = [], []
    for (budget, params), (rule, losses) in corners(path).items():
        best = min(losses, key=losses.get)
        ratios.append(rule / best)
        lines.append(
            f"N={params:,} at {budget:.2g} FLOPs: best {best:g}, rule {rule:.3g} ({rule / best:.2f} ×)"
        )
    word = "yes" if 0.5 <= min(ratios) <= max(ratios) <= 2 else "NO"
    return [f"{word}: the rule gives {min(ratios):.2f} to {max(ratios):.2f} times the best rate", *lines]


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    path = tables.table_of("rates", store, configs or runs, out, plain.CORPORA, changed=bool(configs))
    for (budget, params), (rule, losses) in corners(path).items():
        best = min(losses, key=losses.get)
        listed = ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in sorted(losses.items()))
        print(
            f"C={budget:.2g}, N={params:,}: best rate {best:g}, the rule gives {rule:.3g} "
            f"({rule / best:.2f} times); losses {listed}"
        )
