"""Do the three approaches of Hoffmann et al. 2022 agree on grids trained here, on code and prose?

Question: on the Linux kernel's sources as bytes, the exponents of N and D against C by the envelope
          of final points, by isoFLOP valleys and by the parametric law; and (their figure A1) what
          a cosine longer than the run costs.
Command:  python -m lab run experiments.chinchilla2022   (:reviews, :bpe, :accelerator, :smoke)
Cost:     laptop: 42 runs, 9.4e13 FLOPs, 20 minutes on two cores as `lab plan` prices it;
          reviews: 32 runs, 4.7e13 FLOPs, 10 minutes; bpe: 32 runs, 4.7e13 FLOPs, 10 minutes;
          accelerator: 38 runs, 2.0e17 FLOPs, about an hour at 6e13 FLOP/s
Answer:   expected: all three intervals hold one exponent between 0.45 and 0.6 (with N without the
          embedding and small models, nearer to 0.55); the envelope, of few sizes, the widest. A
          cosine of 1.25 times the run costs less than the noise between seeds, one of twice the run
          clearly more. Not expected: a sharp 0.50, over a factor 16 of compute. The rate of the
          plain grid's rule, found on Shakespeare, is within a factor 2 of the best here.

Five budgets spaced by 2, six sizes each, sliding with the budget, so that most sizes are trained at
several lengths: the same cells serve all three approaches. Two more seeds of two cells measure the
noise. One cell again with its cosine 1.25 to 5 times as long as the run; two cells again at half
and at twice the learning rate. `reviews` is a smaller grid on film reviews as bytes, `bpe` one on
the kernel in 1,024 byte-pair ids: with the kernel's bytes, what predictions are made from.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis import frontiers
from analysis.tables import table
from experiments import plain
from experiments.reports import cosines, figures, frontier, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.byte_pairs import bpe_size
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

HORIZONS = (1.25, 1.5, 2.0, 5.0)  # times the run's own length
RATES = (0.5, 2.0)  # times the rule's


@dataclass(frozen=True)
class Size:
    """One grid: which models, at which budgets."""

    shapes: tuple[tuple[int, int, int], ...]  # (layers, width, heads)
    budgets: tuple[float, ...]  # training FLOPs
    first: tuple[int, ...]  # the smallest size of each budget
    sizes: int  # a budget
    batch_tokens: int
    seq_len: int
    replicated: tuple[tuple[int, int], ...]  # (budget, size): trained with two more seeds each
    stretched: tuple[tuple[int, int], ...]  # (budget, size): trained under longer cosines
    min_tokens: int
    rated: tuple[tuple[int, int], ...] = ()  # (budget, size): also at half and at twice the rate
    corpora: tuple[str, ...] = ("linux-6.1", "python-stdlib")
    tokenizer: str = "bytes"
    dtype: str = "float32"


SMALL = (
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
    (4, 112, 4),
    (5, 128, 4),
    (6, 144, 4),
    (7, 160, 5),
)
LARGE = (
    (4, 128, 2),
    (4, 160, 2),
    (5, 192, 3),
    (6, 224, 4),
    (6, 288, 4),
    (8, 320, 5),
    (8, 384, 6),
    (10, 448, 7),
    (11, 512, 8),
    (12, 640, 10),
    (14, 768, 12),
    (16, 896, 14),
)
BUDGETS = (4.5e11, 9e11, 1.8e12, 3.6e12, 7.2e12)
LAPTOP = Size(
    shapes=SMALL,
    budgets=BUDGETS,
    first=(0, 1, 3, 4, 5),
    sizes=6,
    batch_tokens=1024,
    seq_len=128,
    replicated=((0, 2), (0, 3)),
    stretched=((1, 3),),
    min_tokens=900_000,
    rated=((0, 2), (2, 3)),
)
SMALLER = replace(LAPTOP, budgets=BUDGETS[:4], first=(0, 1, 3, 4), stretched=())
SIZES = {
    "laptop": LAPTOP,
    "reviews": replace(SMALLER, corpora=("movie-reviews", "python-stdlib")),
    "bpe": replace(SMALLER, first=(0, 1, 2, 3), tokenizer="bpe-1024", min_tokens=500_000),
    "accelerator": Size(
        LARGE,
        (1e15, 2e15, 4e15, 8e15, 1.6e16),
        (0, 1, 2, 3, 4),
        6,
        32_768,
        512,
        ((0, 2), (0, 3)),
        ((1, 3),),
        10_000_000,
        dtype="bfloat16",
    ),
    "smoke": Size(
        ((1, 8, 1), (1, 16, 1), (1, 24, 1), (1, 32, 1), (1, 48, 1), (2, 48, 1), (2, 64, 2)),
        (4e9, 8e9, 1.6e10),
        (0, 1, 2),
        4,
        256,
        32,
        ((0, 1),),
        ((0, 2),),
        0,
        ((0, 1),),
        ("python-stdlib",),
    ),
}


def text(size: Size) -> DataConfig:
    corpus = corpora.prepare_first(list(size.corpora), size.tokenizer)
    return DataConfig(
        sha256=corpus.sha256,
        corpus=corpus.name,
        tokenizer=size.tokenizer,
        train_tokens=corpus.n_train,
        max_epochs=4,
    )


def models(size: Size) -> list[ModelConfig]:
    ids = 256 if size.tokenizer == "bytes" else bpe_size(size.tokenizer)
    return grid.ladder(size.shapes, vocab_size=ids, seq_len=size.seq_len, dtype=size.dtype)


def optim(model: ModelConfig, length: int) -> OptimConfig:
    """The plain grid's rate by size (experiments/rates.py); `RATES` checks it here."""
    return OptimConfig(learning_rate=plain.rule(counts.count_params(model).params))


def cells(size: Size) -> list[RunConfig]:
    """The isoFLOP grid itself."""
    ladder = models(size)
    budgets = {
        budget: ladder[start : start + size.sizes]
        for budget, start in zip(size.budgets, size.first, strict=True)
    }
    return grid.isoflop(
        budgets, data=text(size), optim=optim, batch_tokens=size.batch_tokens, min_tokens=size.min_tokens
    )


def beside(cell: RunConfig, **optim: float) -> RunConfig:
    """A cell trained otherwise. No budget: it is no point of a valley."""
    return replace(cell, optim=replace(cell.optim, **optim), budget=0.0)


def runs(size: str = "laptop") -> list[RunConfig]:
    grid_of = SIZES[size]
    all_cells = cells(grid_of)
    at = lambda places: [all_cells[i * grid_of.sizes + j] for i, j in places]  # noqa: E731
    repeated = [
        replace(cell, seed=seed, data_seed=seed) for cell in at(grid_of.replicated) for seed in (1, 2)
    ]
    longer = [
        beside(cell, horizon_steps=round(times * cell.steps))
        for cell in at(grid_of.stretched)
        for times in HORIZONS
    ]
    rated = [
        beside(cell, learning_rate=times * cell.optim.learning_rate)
        for cell in at(grid_of.rated)
        for times in RATES
    ]
    return all_cells + repeated + longer + rated


def nearest(params: float, budget: float, size: str = "laptop") -> RunConfig:
    """The run at a budget whose model is nearest to `params` on this size's ladder.

    Raises:
      ValueError: the ladder ends more than a factor 1.5 before it, or its data is used up.
    """
    grid_of = SIZES[size]
    model = grid.nearest(models(grid_of), params, budget, f"chinchilla2022:{size}")
    return grid.isoflop(
        {budget: [model]}, data=text(grid_of), optim=optim, batch_tokens=grid_of.batch_tokens
    )[0]


def named(size: str) -> str:
    """What the table of a size is called."""
    return tables.name_of("chinchilla2022", size)


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, the figures and page of the valleys and the law, envelope.png, horizon.png, and in
    words whether the three approaches agree."""
    name, grid_of = named(size), configs or partial(runs, size)
    path = tables.table_of(name, store, grid_of, out, SIZES[size].corpora, changed=bool(configs))
    everything = table.read(path)
    if SIZES[size].stretched:
        longer = cosines.longer_cosines(everything)
        print("\n".join(longer.lines))
        figures.horizon(longer).savefig(out / "horizon.png")
    print("\n".join(cosines.rates_tried(everything)))
    grid_runs = everything.where("budget > 0")
    if len(grid_runs.usable()) < 6:
        print("fewer than six cells are done: no law yet")
        return
    corpus = grid_runs.column("corpus")[0]
    frontier.write(
        out,
        f"Compute-optimal Transformers on {corpus} ({size})",
        tables.baselines(path),
        where="budget > 0",
        command=f"python -m lab run experiments.chinchilla2022:{size}",
    )
    three_approaches(grid_runs, out)
    if SIZES[size].tokenizer != "bytes" and tables.kept("chinchilla2022").exists():
        print(beside_bytes(grid_runs))


def answer(path: Path) -> list[str]:
    runs = table.read(path, where="budget > 0")
    analysis = frontier.analyse(runs)
    lines = frontier.brief(analysis, [first_approach(analysis)[1]])
    return lines if runs.column("tokenizer")[0] == "bytes" else [*lines, beside_bytes(runs)]


def beside_bytes(runs: table.Runs) -> str:
    """The best run of each budget in bits per byte, which compares tokenizers, beside the kernel's
    bytes in the committed table."""
    plain = table.read(tables.kept("chinchilla2022"), where="budget > 0").usable()
    mine = runs.usable()
    pairs = [
        tuple(runs.column("bits_per_byte")[runs.budget == budget].min() for runs in (mine, plain))
        for budget in np.intersect1d(mine.budget, plain.budget)
    ]
    listed = ", ".join(f"{here:.3f} against {there:.3f}" for here, there in pairs)
    return f"best bits per byte by budget, beside bytes alone: {listed}"


def first_approach(analysis: frontier.Analysis) -> tuple[frontiers.Envelope, frontiers.Frontier]:
    traced = frontiers.trace_envelope(analysis.runs, points="final")
    return traced, frontiers.from_envelope(traced, analysis.price)


def three_approaches(runs: table.Runs, out: Path) -> None:
    """Approach 1 beside the other two: envelope.png, and in words which of the three agree."""
    from analysis.figures import plot_envelope

    analysis = frontier.analyse(runs)
    try:
        traced, first = first_approach(analysis)
    except ValueError as error:
        print(f"approach 1 (envelope of final points) has no answer: {error}")
        return
    plot_envelope(traced, first).savefig(out / "envelope.png")
    print(
        f"{first.method:<29} N ~ C^{first.params_exponent}   D ~ C^{first.tokens_exponent}   [{first.status}]"
    )
    print("\n".join(frontiers.describe_agreements([first, analysis.valley, analysis.parametric])))
