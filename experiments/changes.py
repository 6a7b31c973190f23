"""At which rate is each of four changes best, and what is it worth in compute?

Question: on Shakespeare as bytes, at two sizes and equal FLOPs, how far from the quickstart's learning rate
          is the best of Muon, GELU, learned positions and a rate that never falls, and who ends lower
          (laptop); and how many times the baseline's compute is each worth, by two sets of seeds (ladders)?
Command:  python -m lab run experiments.changes   (:ladders)
Cost:     laptop: 60 runs, 3e12 FLOPs, about 4 minutes on two cores;
          ladders: 110 runs, 3.1e12 FLOPs, about 4 minutes
Answer:   expected of the ladders: Muon 1.3 to 2 (experiments.muon: 2.6, from 1.3 to 7.9); GELU .85 to 1,
          hardly told from 1; learned positions .6 to .9; the rate that never falls, which is there to be
          worse, .4 to .7 and told from 1 by either set; no drift with size. So at the best rates Muon ends
          lower than the baseline, and GELU, learned positions and the constant rate higher, in this order

The baseline is the quickstart's Transformer (SwiGLU, rotary positions, AdamW, cosine). As `lab compare` does
it, every arm tries the same six rates, and the ladders take the grid's times the best factor (`FACTORS`). A
ladder has eleven cells: three budgets, four sizes each and three of the least, sliding with the budget, every
cell with its own seed, the same in all arms; the second set shares no seed with the first, two cells of which
are those that the rates were tried on. An arm has its baseline's FLOPs to .3 %; learned positions are no part
of N, as the embedding is none. Intervals are of 95 % each, not widened for their number: the harder test.

Two things came out otherwise than expected: Muon is worth no more than the least of it, and the rate that
never falls drifts, falling behind with size; its two sets agree in part alone: their intervals overlap
widely, and one value lies just outside the other's. Neither set alone tells learned positions from rotary
ones; both together do.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.decisions.compare import Comparison, interval, trend_word
from analysis.frontiers.comparison import compare_bands
from analysis.tables import table
from analysis.tables.runs import Runs
from experiments import quickstart
from experiments.reports import figures, tables
from experiments.reports.arms import against
from experiments.reports.shakespeare import BATCH_TOKENS, CORPORA, text
from lab.config import RunConfig
from lab.plan import arms, grid
from lab.store.store import Store

# training FLOPs, and which of the quickstart's sizes; rates are tried at the first
BUDGETS = {5e10: (1, 2, 4, 5), 2e10: (0, 1, 2, 3), 1e10: (0, 1, 2)}
RATES = 6  # tried by each arm, 2 × apart
SETS = 2  # of seeds
CHANGES = {  # the fields that make an arm
    "baseline": {},
    "muon": {"optim__optimizer": "muon"},
    "gelu": {"model__activation": "gelu", "model__d_ff": 0},
    "learned": {"model__position": "learned"},
    "constant": {"optim__schedule": "constant"},
}
FACTORS = {"baseline": 2.0, "muon": 2.0, "gelu": 2.0, "learned": 2.0, "constant": 0.5}  # times its rates


def cells(seeds: int) -> list[RunConfig]:
    """The baseline's ladder with one of the sets of seeds."""
    sizes = quickstart.models()
    budgets = {c: [sizes[i] for i in chosen] for c, chosen in BUDGETS.items()}
    runs = grid.isoflop(budgets, data=text(), optim=quickstart.optim, batch_tokens=BATCH_TOKENS)
    first = seeds * len(runs)
    return [replace(run, seed=first + i, data_seed=first + i) for i, run in enumerate(runs)]


def ladder(name: str, seeds: int) -> list[RunConfig]:
    """An arm's, at the grid's own rates."""
    change = lambda cell: grid.with_fields(cell, CHANGES[name])  # noqa: E731
    return arms.pair(cells(seeds), change) if CHANGES[name] else cells(seeds)


def tuned(name: str) -> list[RunConfig]:
    first = next(iter(BUDGETS))
    return arms.at_rates([run for run in ladder(name, 0) if run.budget == first], RATES)


def laddered() -> list[RunConfig]:
    """All arms by every set of seeds, each at its factor on the grid's rates."""
    return [
        run
        for seeds in range(SETS)
        for name, factor in FACTORS.items()
        for run in arms.with_factor(ladder(name, seeds), factor)
    ]


SIZES = {"laptop": lambda: [run for name in CHANGES for run in tuned(name)], "ladders": laddered}


def runs(size: str = "laptop") -> list[RunConfig]:
    return SIZES[size]()


def by_arm(runs: Runs) -> dict[str, Runs]:
    """Each arm's runs: those that have the field of its change, and for the baseline those that have none."""
    columns = {"muon": "optimizer", "gelu": "activation", "learned": "position", "constant": "schedule"}
    has = {name: runs.labels(column) == name for name, column in columns.items()}
    return {name: runs.select(has.get(name, ~np.any([*has.values()], 0))) for name in CHANGES}


def sets_of(runs: Runs) -> list[dict[str, Comparison]]:
    """Each change against the baseline by every set of seeds, and last by all together."""
    number = runs.column("seed") // sum(map(len, BUDGETS.values()))
    parts = [*(runs.select(number == seeds) for seeds in range(SETS)), runs]
    return [{each.arm: each for each in against(by_arm(part), "baseline", 0.95)} for part in parts]


def answer(path: Path) -> list[str]:
    runs = table.read(path)
    return answer_ladders(sets_of(runs)) if len(np.unique(runs.column("budget"))) > 1 else answer_rates(runs)


def answer_ladders(sets: list[dict[str, Comparison]]) -> list[str]:
    """What each change is worth by all seeds and by each set, and whether the sets agree."""
    whole, lines, agree = sets[-1], [], 0
    for name, found in whole.items():
        each = [part[name].answer.compute for part in sets]
        word = compare_bands(*each[:-1])
        agree += word == "agree"
        *own, every = [f"{band.value:.3g} {interval(band)}" for band in each]
        lines.append(
            f"{name}: {every} by all seeds, {trend_word(found)}; by each set {' and '.join(own)}: {word}; "
            f"noise {100 * found.noise:.2g} %, {found.pairs} pairs, {found.status}"
        )
    worth = ", ".join(f"{name} {found.answer.compute.value:.2g}" for name, found in whole.items())
    at = next(iter(whole.values())).answer.flops
    head = f"times the baseline's compute at {at:.2g} FLOPs: {worth}"
    return [f"{head}; {agree} of {len(lines)} agree between seeds", *lines]


def answer_rates(runs: Runs) -> list[str]:
    """The best rate of each arm at each size, and its loss over the baseline's."""
    gaps, lines, base = {}, [], {}
    for name, arm in by_arm(runs).items():
        best = {width: of.select([np.argmin(of.loss)]) for width, of in arm.by("d_model").items()}
        base = base or best
        gaps[name] = [100 * float(best[width].loss[0] / of.loss[0] - 1) for width, of in base.items()]
        rates = ", ".join(f"{of.column('learning_rate')[0]:.3g} at width {w}" for w, of in best.items())
        over = " and ".join(f"{gap:+.1f} %" for gap in gaps[name])
        lines.append(f"{name}: best rates {rates}; over the baseline's loss {over}")
    mean = {name: float(np.mean(each)) for name, each in gaps.items() if name != "baseline"}
    words = ", ".join(f"{name} {mean[name]:+.1f} %" for name in sorted(mean, key=mean.get))
    return [f"loss over the baseline's, each at its best rate: {words}", *lines]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv and curves.csv into `out`, of the ladders compare.png, and the answer on the screen."""
    name, grid_of = tables.name_of("changes", size), configs or SIZES[size]
    path = tables.table_of(name, store, grid_of, out, CORPORA, changed=bool(configs))
    if size == "laptop":
        print("\n".join(answer(path)))
        return
    sets = sets_of(table.read(path))
    print("\n".join(answer_ladders(sets)))
    figures.multipliers(sets).savefig(out / "compare.png")
    print(f"figure in {out}")
