"""How far does the quickstart's answer move when every seed is another?

Question: the quickstart's 46 runs twice more, with other first weights and another order of the data in every
          one: do the three exponents by the law, and the three by valleys, lie in each other's intervals?
Command:  python -m lab run experiments.seeds
Cost:     92 runs, 6.8e13 FLOPs, about 16 minutes on two cores
Answer:   expected: all three exponents of either method inside the other two's 95 % intervals, and
          within .05 of their mean by the law
"""

from itertools import combinations
from pathlib import Path

from analysis.frontiers.comparison import compare_bands
from analysis.tables import table
from experiments import quickstart
from experiments.plain import CORPORA
from experiments.reports import frontier, tables
from lab.config import RunConfig
from lab.store.store import Store

SETS = 1, 2  # beside the quickstart's own, which is 0


def runs() -> list[RunConfig]:
    return [run for each in SETS for run in quickstart.runs(each)]


def answer(path: Path) -> list[str]:
    """Each set's exponents with their 95 % intervals, and whether they lie in each other's."""
    added, own = table.read(path), table.read(tables.kept("quickstart"))
    sets = [own, *(added.select(quickstart.set_of(added.column("seed")) == n) for n in SETS)]
    grids = [frontier.analyse(runs, valley="joint", objective="ls-log") for runs in sets]
    by = {
        "the law": [grid.parametric.params_exponent for grid in grids],
        "valleys": [grid.valley.params_exponent for grid in grids],
    }
    agree = [compare_bands(*pair) == "agree" for bands in by.values() for pair in combinations(bands, 2)]
    values = [f"{', '.join(f'{a.value:.3f}' for a in bands)} by {word}" for word, bands in by.items()]
    first = f"a = {' and '.join(values)} of three sets of seeds: {sum(agree)} of {len(agree)} pairs agree"
    return [
        first,
        *(f"by {word}, set {n}: a = {a}" for word, bands in by.items() for n, a in enumerate(bands)),
    ]


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    """runs.csv, and the answer on the screen."""
    path = tables.table_of("seeds", store, configs or runs, out, CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
