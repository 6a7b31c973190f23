"""At which rate is each of four changes best, and what is it worth in compute?

Question: on Shakespeare as bytes, at two sizes and equal FLOPs, how far from the quickstart's learning rate is
          the best of Muon, GELU, learned positions and a rate that never falls, and who ends lower
          (laptop); and how many times the baseline's compute is each worth, by two sets of seeds (ladders)?
Command:  python -m lab run experiments.changes   (:ladders)
Cost:     laptop: 60 runs, 3e12 FLOPs, about 4 minutes on two cores; ladders: 110 runs, 3.1e12 FLOPs, 4 minutes
Answer:   expected of the ladders: Muon 1.3 to 2 (experiments.muon: 2.6, from 1.3 to 7.9); GELU .85 to 1, hardly
          told from 1; learned positions .6 to .9; the rate that never falls, which is there to be worse, .4
          to .7 and told from 1 by either set; no drift with size. So at the best rates Muon ends lower
          than the baseline, and GELU, learned positions and the constant rate higher, in this order

The baseline is the quickstart's Transformer (SwiGLU, rotary positions, AdamW, cosine). As `lab compare` does it,
every arm tries the same six rates, and the ladders take the grid's times the best factor (`FACTORS`). A
ladder has eleven cells: three budgets, four sizes each and three of the least, sliding with the budget, every
cell with its own seed, the same in all arms. The ladders are not trained yet.
"""

from dataclasses import replace
from pathlib import Path

from analysis.tables import table
from experiments import quickstart
from experiments.reports import tables
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


def arm_of(row: dict[str, str]) -> str:
    """Which arm a row is of: the change whose field it has, else the baseline."""
    told = {"muon": "optimizer", "gelu": "activation", "learned": "position", "constant": "schedule"}
    return next((name for name, column in told.items() if row[column] == name), "baseline")


def answer(path: Path) -> list[str]:
    by_arm: dict[str, dict[str, dict[float, float]]] = {}
    for row in tables.lines_of(path):
        at = by_arm.setdefault(arm_of(row), {}).setdefault(row["d_model"], {})
        at[float(row["learning_rate"])] = float(row["loss"])
    best = {name: {width: min(of.values()) for width, of in at.items()} for name, at in by_arm.items()}
    gaps, lines = {}, []
    for name, at in by_arm.items():
        base = best["baseline"]
        gaps[name] = [100 * (best[name][width] / base[width] - 1) for width in base]
        rates = ", ".join(f"{min(of, key=of.get):.3g} at width {width}" for width, of in at.items())
        over = " and ".join(f"{gap:+.1f} %" for gap in gaps[name])
        lines.append(f"{name}: best rates {rates}; over the baseline's loss {over}")
    order = sorted(gaps, key=lambda name: sum(gaps[name]))
    runs = len(table.read(path))
    words = ", ".join(f"{name} {sum(gaps[name]) / len(gaps[name]):+.1f} %" for name in order)
    return [
        f"loss over the baseline's, each at its best rate, mean of two sizes: {words}",
        *lines,
        f"{runs} runs",
    ]


def report(store: Store, out: Path, configs: list[RunConfig] | None = None, size: str = "laptop") -> None:
    """runs.csv and curves.csv into `out`, and the answer on the screen."""
    name, grid_of = tables.name_of("changes", size), configs or SIZES[size]
    path = tables.table_of(name, store, grid_of, out, CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
