"""How many parameters, and how many tokens, with Transformers as they come?

Question: the first quickstart: where is the frontier of plain small Transformers on Shakespeare as bytes?
Command:  python -m lab run experiments.plain
Cost:     28 runs, 4.3e13 FLOPs, about 7 minutes on two cores
Answer:   out/plain/report.html; expected are exponents near a half, and two methods agreeing

Four budgets spaced by 2, six sizes each, sliding with the budget; two more seeds of two cheap
cells measure the noise between runs, which is large beside a valley's depth: all cells share seed 0, and the
first weights of such small models are a lottery. experiments/quickstart.py is the sharper grid. The
learning rate follows `rule` (experiments/rates.py).
"""

from dataclasses import replace
from pathlib import Path

from analysis.tables import table
from experiments.reports import frontier, tables
from experiments.reports.shakespeare import BATCH_TOKENS, CORPORA, rule, text
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

COMMAND = "python -m lab run experiments.plain"
SHAPES = [  # (layers, width, heads), each about 1.5 times the one before in parameters
    (1, 16, 1),
    (1, 24, 1),
    (2, 24, 1),
    (2, 32, 1),
    (2, 40, 1),
    (2, 48, 2),
    (2, 64, 2),
    (3, 64, 2),
    (3, 80, 2),
    (4, 96, 3),
]
BUDGETS = [4.5e11, 9e11, 1.8e12, 3.6e12]  # training FLOPs
FIRST = [0, 1, 3, 4]  # the smallest size of each budget; above, one that sees 1M tokens at least
SIZES = 6  # a budget
MIN_TOKENS = 1_000_000
REPLICATED = [(0, 2), (0, 3)]  # (budget, size) from 0: trained with two more seeds each


def models() -> list[ModelConfig]:
    return grid.ladder(SHAPES, vocab_size=256, seq_len=64)


def optim(model: ModelConfig, tokens: int) -> OptimConfig:
    return OptimConfig(learning_rate=rule(counts.count_params(model).params))


def runs() -> list[RunConfig]:
    sizes = models()
    budgets = {c: sizes[i : i + SIZES] for c, i in zip(BUDGETS, FIRST, strict=True)}
    cells = grid.isoflop(budgets, data=text(), optim=optim, batch_tokens=BATCH_TOKENS, min_tokens=MIN_TOKENS)
    repeated = [cells[budget * SIZES + size] for budget, size in REPLICATED]
    return cells + [replace(c, seed=seed, data_seed=seed) for c in repeated for seed in (1, 2)]


def answer(path: Path) -> list[str]:
    return frontier.brief(frontier.analyse(table.read(path)))


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    """runs.csv, three figures and report.html into `out`, and the answer on the screen."""
    path = tables.table_of("plain", store, configs or runs, out, CORPORA, changed=bool(configs))
    corpus = table.read(path).column("corpus")[0]
    frontier.write(out, f"Plain Transformers on {corpus}", tables.baselines(path), command=COMMAND)
