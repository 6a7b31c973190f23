"""Does a run end elsewhere when its products are made of bfloat16 numbers?

Question: the plain grid again with dtype bfloat16 (weights, moments and sums stay float32):
          how far is each cell's loss from the float32 one, beside the noise between seeds?
Command:  python -m lab run experiments.dtypes
Cost:     28 runs, 4.3e13 FLOPs, about 7 minutes on two cores; the float32 ones are that grid's
Answer:   expected: no difference in the mean beyond the noise of a mean of 28, and single cells
          apart by less than two seeds are, since both began with one seed.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis import frontiers
from analysis.tables import table
from experiments import plain
from experiments.reports import figures, tables
from lab.config import RunConfig
from lab.store import contents, export
from lab.store.store import Store


def runs() -> list[RunConfig]:
    return [replace(c, model=replace(c.model, dtype="bfloat16")) for c in plain.runs()]


@dataclass(frozen=True)
class Compared:
    """Cells in both dtypes; `gap` is log(bfloat16 loss / float32 loss)."""

    params: np.ndarray
    flops: np.ndarray
    gap: np.ndarray
    noise: float  # standard deviation of log loss between seeds, in float32
    source: str  # of the noise

    @property
    def lines(self) -> list[str]:
        n, mean, spread = len(self.gap), self.gap.mean(), float(np.sqrt(np.mean(self.gap**2)))
        error = self.gap.std(ddof=1) / np.sqrt(n)
        inside = abs(mean) <= 2 * error and spread <= np.sqrt(2) * self.noise
        verdict = "within the noise" if inside else "NOT within the noise"
        return [
            f"bfloat16 ends {100 * mean:+.3f} % from float32 in the mean: {verdict}",
            f"{n} cells; standard error of the mean {100 * error:.3f} %",
            f"single cells are {100 * spread:.2f} % apart, two seeds {100 * np.sqrt(2) * self.noise:.2f} % "
            f"({self.source})",
        ]


def compared(bfloat16: table.Runs, float32: table.Runs) -> Compared:
    """Each cell beside the run that differs in dtype alone.

    Raises:
      ValueError: a cell has no such run.
    """
    names = ("params", "tokens", "seed", "data_seed", "batch_tokens", "learning_rate")
    mine, theirs = bfloat16.usable(), float32.usable()
    key = lambda runs: list(zip(*(runs.column(name) for name in names), strict=True))  # noqa: E731
    loss = dict(zip(key(theirs), theirs.loss, strict=True))
    if missing := [cell for cell in key(mine) if cell not in loss]:
        without = dict(zip(names, missing[0], strict=True))
        raise ValueError(f"{float32.source} has no run with {without}")
    iso = frontiers.find_optima(theirs)
    gap = np.log(mine.loss / [loss[cell] for cell in key(mine)])
    return Compared(mine.params, mine.flops, gap, iso.noise.sigma, iso.noise.source)


def answer(path: Path) -> list[str]:
    return compared(table.read(path), table.read(tables.kept("plain"))).lines


def report(store: Store, out: Path) -> None:
    """runs.csv, float32.csv, dtypes.png and the verdict."""
    mine = table.read(tables.table_of("dtypes", store, runs, out, plain.CORPORA))
    there = contents.learned_from(store, plain.CORPORA)
    rows = export.rows(store, plain.runs(), "plain") if there else []
    path = tables.kept("plain")
    if rows and len(rows) == len(runs()):
        path = out / "float32.csv"
        export.write(rows, path)
    comparison = compared(mine, table.read(path))
    print("\n".join([*comparison.lines, f"float32 from {path}"]))
    figures.dtypes(comparison).savefig(out / "dtypes.png")
