"""How often does a comparison find a difference where there is none?

Question: 40 ladders of the same nine runs, no two of one seed, in 20 pairs: how many pairs does `analysis
          compare` tell apart, in how many does it see a trend, and what could such a ladder have seen?
Command:  python -m lab run experiments.equal_arms
Cost:     360 runs, 2.3e12 FLOPs, about 7 minutes on two cores
Answer:   expected: at most one of 20 pairs told apart at the largest budget (where intervals are right, seven
          times of ten), at most two with a trend; runs scatter by 1 to 2 % (a pilot of four), so nine cells
          see a multiplier of 1.6 and more, 36 of 1.25. Multipliers scatter as wide as their
          intervals say, within a third

A ladder is three budgets of three of the quickstart's models each, sliding with the budget, in batches of 256
tokens, so that the least run makes 286 updates. Every run has first weights and an order of the data of its
own, so no runs pair, and what is measured is the whole of the noise. Bars are those of `bench.compare`, which
draws such pairs from laws: intervals of 95 %, and at most 6 % of equal arms told apart. Ladders are put
together, four an arm, to see what more seeds would have told; these are no further draws.

Runs scatter by less than the pilot made expect, and by less the more compute they have. Multipliers scatter
by less than intervals say: by .65 of it too where losses are drawn about these cells' means with the noise of
their budgets, by .79 with one noise for all, as a comparison fits it. The rest is that intervals are those of
exponents of their own, and the multiplier shown is of exponents that are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.decisions.compare import Comparison, compare
from analysis.decisions.ladders import join
from analysis.tables import table
from analysis.tables.runs import Runs
from experiments import quickstart
from experiments.reports import tables
from experiments.reports.shakespeare import CORPORA, text
from lab.config import RunConfig
from lab.plan import grid
from lab.store.store import Store

BUDGETS = {1.25e10: (8, 12, 20), 5e9: (6, 8, 12), 2e9: (4, 6, 8)}  # training FLOPs, and widths
CELLS = sum(map(len, BUDGETS.values()))
BATCH_TOKENS = 256
LADDERS = 40
TOGETHER = 1, 4  # ladders an arm


def runs() -> list[RunConfig]:
    cells = grid.isoflop(
        {budget: quickstart.models(widths) for budget, widths in BUDGETS.items()},
        data=text(),
        optim=quickstart.optim,
        batch_tokens=BATCH_TOKENS,
    )
    every = [cell for _ in range(LADDERS) for cell in cells]
    return [replace(run, seed=seed, data_seed=seed) for seed, run in enumerate(every)]


@dataclass(frozen=True)
class Found:
    """Pairs of equal arms compared: at each budget (K,) how many were told apart, how many had a trend, and
    of every pair (P,) ln κ at the largest budget, half its interval's width and the least κ that it sees."""

    compared: Sequence[Comparison]
    apart: np.ndarray
    trends: int
    value: np.ndarray
    half: np.ndarray
    smallest: np.ndarray

    @property
    def scatter(self) -> tuple[float, float, float]:
        """Of multipliers about 1, over what their intervals say (of Student's t), with its 95 % interval."""
        said = self.half / stats.t.ppf(0.975, [pair.fit.spare for pair in self.compared])
        ratio, n = np.sqrt(np.mean((self.value / said) ** 2)), len(self.value)
        return tuple(float(ratio * (n / each) ** 0.5) for each in (n, *stats.chi2.ppf((0.975, 0.025), n)))


def found(ladders: Sequence[Runs], together: int) -> Found:
    """Every `together` ladders an arm, and every two arms a pair."""
    arms = [_joined(ladders[i : i + together]) for i in range(0, len(ladders), together)]
    each = [compare(join(a, b, ("one", "other"))) for a, b in zip(arms[::2], arms[1::2], strict=True)]
    ends = np.log([[(b.compute.low, b.compute.high) for b in pair.budgets] for pair in each])
    return Found(
        each,
        ((ends[..., 0] > 0) | (ends[..., 1] < 0)).sum(0),
        sum(pair.trend_p is not None and pair.trend_p < 0.05 for pair in each),
        np.log([pair.answer.compute.value for pair in each]),
        (ends[:, -1, 1] - ends[:, -1, 0]) / 2,
        np.array([pair.smallest for pair in each]),
    )


def _joined(parts: Sequence[Runs]) -> Runs:
    names = ("params", "tokens", "flops", "loss", "seed")
    columns = {name: np.concatenate([part.column(name) for part in parts]) for name in names}
    return table.from_columns("ladders", **columns)


def share(count: int, of: int) -> str:
    """A share with its 95 % interval (Clopper and Pearson 1934)."""
    low, high = stats.binomtest(int(count), of).proportion_ci()
    return f"{count} of {of} ({100 * low:.1f} to {100 * high:.0f} %)"


def answer(path: Path) -> list[str]:
    rows = table.read(path)
    number = rows.column("seed") // CELLS
    ladders = [rows.select(number == i) for i in range(LADDERS)]
    of = {together: found(ladders, together) for together in TOGETHER}
    first = of[1]
    pairs, top = len(first.compared), first.compared[0].budgets[-1].flops
    head = (
        f"{share(first.apart[-1], pairs)} equal pairs told apart at {top:.3g} FLOPs, a trend in "
        f"{first.trends}; nine cells an arm could have seen a multiplier of {np.median(first.smallest):.2f}"
    )
    lines = [line(each, CELLS * n) for n, each in of.items()]
    return [head.replace("e+", "e"), *lines, noise(rows), told(first)]


def line(each: Found, cells: int) -> str:
    budgets = ", ".join(
        f"{count} at {row.flops:.2g}" for count, row in zip(each.apart, each.compared[0].budgets, strict=True)
    ).replace("e+", "e")
    fitted = 100 * np.median([pair.noise for pair in each.compared])
    scatter, least, most = each.scatter
    statuses = [pair.status for pair in each.compared]
    words = ", ".join(f"{statuses.count(word)} {word}" for word in dict.fromkeys(statuses))
    return (
        f"{cells} cells an arm, {len(each.compared)} pairs: told apart {budgets}; a trend in "
        f"{share(each.trends, len(each.compared))}; intervals ± {100 * np.median(each.half):.0f} %, seen "
        f"four times of five from {np.median(each.smallest):.2f} on (medians; {each.smallest.min():.2f} to "
        f"{each.smallest.max():.2f}); multipliers scatter {scatter:.2f} × what intervals say ({least:.2f} "
        f"to {most:.2f}); noise {fitted:.2g} %; {words}"
    )


def noise(rows: Runs) -> str:
    """How far runs of one cell differ, by budget."""
    words = []
    for budget, own in rows.by("budget").items():
        spread = [np.log(cell.loss).std(ddof=1) for cell in own.by("params").values()]
        words.append(f"{100 * np.sqrt(np.mean(np.square(spread))):.2f} % at {float(budget):.3g}")
    return f"runs of one cell differ by {', '.join(words)} FLOPs (standard deviation)".replace("e+", "e")


def told(each: Found) -> str:
    """The multipliers of all pairs, in order."""
    values = ", ".join(f"{value:.2f}" for value in np.sort(np.exp(each.value)))
    return f"multipliers at the largest budget: {values}"


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    """runs.csv, and the answer on the screen."""
    path = tables.table_of("equal_arms", store, configs or runs, out, CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
