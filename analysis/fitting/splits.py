"""Columns of a table, whatever their names, by which the residuals of a fit fall apart."""

from dataclasses import dataclass

import numpy as np

from analysis.laws.base import Array
from analysis.tables.cautions import settings
from analysis.tables.headers import TUNED, find_all
from analysis.tables.runs import Runs

LEAST = 12  # rows below which nothing is tested
MOST = 20_000  # rows that are looked at
LEVEL = 0.01  # chance that a table without any such column is said to have one
SIZE = 1e-3  # difference in log loss below which nobody minds


@dataclass(frozen=True)
class Split:
    """How a column parts residuals: the chance of it (times the columns tested), how far apart the groups'
    medians are (log loss), and the share of the ranks' variance that lies between the groups."""

    chance: float
    gap: float
    share: float


def splits(runs: Runs, residuals: Array, inputs: list[Array]) -> dict[str, Split]:
    """The columns whose values part the residuals, by the test of Kruskal and Wallis (1952) on their
    ranks; none where all are alike.

    Args:
      runs: the rows (R,) of the fit.
      residuals: (R,), log predicted - log observed.
      inputs: each (R,); a column that merely follows one of them is not tested, as what it says is size.
    """
    rows = np.arange(len(runs))
    if len(rows) > MOST:
        rows = np.random.default_rng(0).choice(rows, MOST, replace=False)
        runs, residuals, inputs = runs.select(rows), residuals[rows], [each[rows] for each in inputs]
    if len(runs) < LEAST:
        return {}
    columns = settings(runs.columns, runs.roles, tertiles=True)
    columns = {name: code for name, code in columns.items() if not any(follows(code, x) for x in inputs)}
    if not columns:
        return {}
    from scipy.special import chdtrc  # slow to import, and few tables need it

    ranks, parted = np.argsort(np.argsort(residuals)) + 1.0, {}
    for name, code in columns.items():
        known = code >= 0
        groups = [(ranks[code == value], residuals[code == value]) for value in np.unique(code[known])]
        groups = [group for group in groups if len(group[0]) > 1]
        size = sum(len(group[0]) for group in groups)
        if len(groups) < 2:
            continue
        medians = [float(np.median(group[1])) for group in groups]
        middle = np.concatenate([group[0] for group in groups]).mean()
        between = sum(len(group[0]) * (group[0].mean() - middle) ** 2 for group in groups)
        statistic = 12 * between / (len(runs) * (len(runs) + 1))
        p = float(chdtrc(len(groups) - 1, statistic)) * len(columns)
        if p < LEVEL and np.ptp(medians) > max(SIZE, residuals.std() / 2) and size > len(runs) / 2:
            share = (statistic - len(groups) + 1) / (len(runs) - len(groups))
            parted[name] = Split(p, float(np.ptp(medians)), float(share))
    return parted


def describe_splits(parted: dict[str, Split]) -> str:
    """A line on columns that part the residuals; or ""."""
    if not parted:
        return ""
    names = ", ".join(
        f"{name} (p = {split.chance:.1g}; medians {100 * split.gap:.2g} % of the loss apart)"
        for name, split in parted.items()
    )
    first = min(parted, key=lambda name: parted[name].chance)
    advice = f"fit each alone (--by {first}, or --where)"
    if find_all([first], TUNED):
        advice = f"keep the best run of each cell (--best-of cell), or {advice}"
    return (
        f"the residuals fall apart by {names}, tested on ranks (Kruskal-Wallis, p times the columns "
        f"tested): runs that differ in it follow different laws; {advice}"
    )


def follows(code: Array, values: Array) -> bool:
    """Whether the groups of `code` (R,) are stretches of `values` (R,), or nearly so."""
    order = np.lexsort((code, values))
    changes = np.count_nonzero(np.diff(code[order]))
    return changes <= 1.3 * (len(np.unique(code)) - 1)
