"""How many parameters, and how many tokens, for a given amount of compute?

Question: on Shakespeare as bytes, where is the compute-optimal frontier of small Transformers?
Command:  make run   (python -m lab run experiments.quickstart)
Cost:     46 runs, 3.4e13 FLOPs, about 13 minutes on two cores
Answer:   out/quickstart/report.html; expected are exponents near 0.6 by law and by valleys, within 0.1

Six budgets spaced by 2, of six sizes each and of four where runs are dear, sliding with the budget:
about what is optimal for the exponent at this cost (D-optimality, by simulation); and ten runs at the
ends of the cheap ones, by which the law's exponent is known to .05. Tried and left out: ends of under
600 updates (four runs more: the law says .615 +- .039 then, where valleys stay at .55), as so few bend
it. Sizes differ in their width alone. Token shift and QK-norm take away a lottery of first weights that
made runs of these sizes differ by 1 % (experiments/plain.py is the grid without). Every cell has its
own seed, so that no luck is shared; two more seeds of two cheap cells measure the noise between runs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments.plain import BATCH_TOKENS, CORPORA, rule, text
from experiments.reports import frontier, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

WIDTHS = [8, 12, 16, 20, 26, 32, 40, 52, 64, 80, 100]  # each about 1.5 times the one before in parameters
N_LAYER = 2
SETTINGS = {"token_shift": True, "qk_norm": True}
BUDGETS = [1e11, 2e11, 4e11, 8e11, 1.6e12, 3.2e12]  # training FLOPs
SIZES = [(0, 1, 2, 3, 4, 5)] * 4 + [(0, 2, 3, 5)] * 2  # of each budget, from its own smallest, 1 up a budget
# Further sizes at the ends of the valleys where runs are cheap, and a second seed of some: these tell most of
# the law's exponents (as `analysis suggest` chose; simulated, its half-width .054 becomes .043)
WINGS = [(), (-1,), (-2, -1), (-2, -1, 6), (), ()]
AGAIN = [(0,), (-1,), (-2,), (-2,), (), ()]
MIN_TOKENS = 400_000
RATE = 1.6  # over the plain grid's rule: 1.7 to 2 times it ended .3 to .9 % lower in three cells
HOW = {"valley": "joint", "objective": "ls-log", "others": True}  # noise between seeds has no heavy tails
REPLICATED = [(1, 2), (1, 3)]  # (budget, size) from 0: trained with two more seeds each
CELLS, ENDS = sum(map(len, SIZES)) + 2 * len(REPLICATED), sum(map(len, WINGS + AGAIN))
FIRST = 1000  # seed of the wings', which came later


def models(widths: Sequence[int] = WIDTHS, vocab_size: int = 256) -> list[ModelConfig]:
    """One depth, one head, and a feed-forward width of 8/3 to the nearest 4: nothing jumps with the size."""
    common = {"vocab_size": vocab_size, "seq_len": 64, "n_layer": N_LAYER, "n_head": 1, "settings": SETTINGS}
    return [ModelConfig(d_model=width, d_ff=4 * round(2 * width / 3), **common) for width in widths]


def optim(model: ModelConfig, tokens: int) -> OptimConfig:
    return OptimConfig(learning_rate=RATE * rule(counts.count_params(model).params))


def run_of(model: ModelConfig, tokens: int, data: DataConfig, seed: int) -> RunConfig:
    """A model trained on so many tokens, whatever the compute, as the grid trains its own."""
    settings = {"data": data, "tokens": tokens, "batch_tokens": BATCH_TOKENS, "seed": seed, "data_seed": seed}
    return RunConfig(model=model, optim=optim(model, tokens), **settings)


def runs(seeds: int = 0) -> list[RunConfig]:
    """The grid; `seeds` from 1 on is a whole other set of seeds, to see how far the answer moves."""
    cells, wings = cells_of(SIZES), [run for row in (*cells_of(WINGS), *cells_of(AGAIN)) for run in row]
    repeated = [cells[budget][size] for budget, size in REPLICATED for _ in (1, 2)]
    every = [run for row in cells for run in row] + repeated
    own = [
        *range(seeds * CELLS, (seeds + 1) * CELLS),
        *range(FIRST + seeds * ENDS, FIRST + (seeds + 1) * ENDS),
    ]
    return [replace(run, seed=seed, data_seed=seed) for run, seed in zip(every + wings, own, strict=True)]


def set_of(seeds: np.ndarray) -> np.ndarray:
    """Of which set of seeds runs are, by their seeds (R,)."""
    return np.where(seeds < FIRST, seeds // CELLS, (seeds - FIRST) // ENDS)


def cells_of(places: Sequence[Sequence[int]]) -> list[list[RunConfig]]:
    """The runs of every budget at these sizes, counted from the budget's own first."""
    sizes, data = models(), text()
    how = {"data": data, "optim": optim, "batch_tokens": BATCH_TOKENS, "min_tokens": MIN_TOKENS}
    return [
        grid.isoflop({budget: [sizes[first + i] for i in chosen]}, **how)
        for first, (budget, chosen) in enumerate(zip(BUDGETS, places, strict=True))
    ]


def answer(path: Path) -> list[str]:
    return frontier.brief(frontier.analyse(table.read(path), **HOW))


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    """runs.csv, three figures and report.html into `out`, and the answer on the screen."""
    path = tables.table_of("quickstart", store, configs or runs, out, CORPORA, changed=bool(configs))
    corpus = table.read(path).column("corpus")[0]
    title = f"Compute-optimal Transformers on {corpus}"
    frontier.write(out, title, tables.baselines(path), **HOW)
