"""What is a second, a fourth, a sixty-fourth pass over the same text worth?

Question: four sizes on a limited number of unique tokens for 1 to 64 epochs, beside the same
          lengths of new text: how much a repeated token is worth, as the R_D* of Muennighoff et al.
          2023 (arXiv 2305.16264), with its interval and whether the runs determine it.
Command:  python -m lab run experiments.repeats   (:accelerator, :smoke)
Cost:     laptop: 228 runs, 8.9e13 FLOPs, 19 minutes on two cores as `lab plan` prices it;
          accelerator: 152 runs, 6.2e16 FLOPs, twenty minutes at 6e13 FLOP/s
Answer:   expected: up to 4 epochs within 1 % of new text; R_D* somewhere from 5 to 40, a wide
          interval, perhaps without an upper end: the published 182 runs leave it open too

All lengths of one size and text are branches of one trunk (docs/trunks.md). All seven constants are
fitted to all runs, new text and repeated, at once. In two steps, as in the paper (the five of
Chinchilla's law on new text, then held), a planted R_D* = 8 came back as 5.9 (5.1, 6.5): sizes
beyond what their new text warrants bend the first fit, and its errors are in no interval of the
second. The law can't rise: of a size and text whose loss rises with more epochs, the runs beyond
its least loss are left out, and said.

What a second seed of the two smallest shapes showed: of one layer of 16 the same cell ends up to 8 % apart
by its seed and its text, and repeated text may even end lower, since so small a model finds how to look back
or does not; there the cost of repeating is not to be seen, and a law of all sizes has that for noise.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.fitting import Fit
from analysis.laws import DataConstrained
from analysis.tables import table
from experiments import cooldown
from experiments.reports import figures_trunks, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.plan import grid
from lab.store.store import Store

PUBLISHED = 15.387756  # R_D* on C4, see docs/laws.md


@dataclass(frozen=True)
class Size:
    """One grid. Lengths double from the smallest unique amount to `most`."""

    shapes: tuple[tuple[int, int, int], ...]  # (layers, width, heads)
    unique: tuple[int, ...]  # tokens to repeat, rising, each a power of two times the first
    most: int  # tokens of the longest run
    batch_tokens: int
    seq_len: int
    warmup_steps: int
    corpora: tuple[str, ...] = ("linux-6.1", "python-stdlib")
    dtype: str = "float32"
    again: int = 0  # of the smallest shapes: trained by a second seed too


SIZES = {
    "laptop": Size(
        ((1, 16, 1), (2, 24, 1), (2, 32, 1), (2, 64, 2)), (2**18, 2**20), 2**24, 1024, 128, 32, again=2
    ),
    "accelerator": Size(
        ((4, 128, 2), (6, 224, 4), (8, 320, 5), (10, 448, 7)),
        (2**20, 2**22),
        2**26,
        8192,
        512,
        16,
        dtype="bfloat16",
    ),
    "smoke": Size(
        ((1, 8, 1), (1, 16, 1), (1, 24, 1)), (2**12, 2**14), 2**16, 256, 32, 4, ("markov:24-2-4-0-100000",)
    ),
}


def lengths(size: Size, first: int) -> list[int]:
    return [first * 2**i for i in range((size.most // first).bit_length())]


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    corpus = corpora.prepare_first(list(setup.corpora))
    new = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=1)
    repeated = [replace(new, unique_tokens=unique, max_epochs=setup.most / unique) for unique in setup.unique]
    cells = [
        RunConfig(
            model=model, optim=optim(setup, model), data=data, tokens=tokens, batch_tokens=setup.batch_tokens
        )
        for model in models(setup)
        for data in (new, *repeated)
        for tokens in lengths(setup, data.unique_tokens or setup.unique[0])
    ]
    smallest = models(setup)[: setup.again]
    second = [replace(cell, seed=1, data_seed=1) for cell in cells if cell.model in smallest]
    return grid.branched([*cells, *second])


def models(size: Size) -> list[ModelConfig]:
    return grid.ladder(size.shapes, vocab_size=256, seq_len=size.seq_len, dtype=size.dtype)


def optim(size: Size, model: ModelConfig) -> OptimConfig:
    return OptimConfig(
        learning_rate=cooldown.RATE * cooldown.peak(model),
        schedule="constant",
        warmup_steps=size.warmup_steps,
        cooldown_fraction=cooldown.COOLDOWN,
        cooldown_shape="1-sqrt",
    )


@dataclass(frozen=True)
class Worth:
    """What repeating is worth. Of the runs that repeat, (R,) each: `beyond` is the loss over that
    of as many new tokens, less one."""

    seed: np.ndarray
    params: np.ndarray
    unique: np.ndarray
    epochs: np.ndarray
    beyond: np.ndarray
    worn: Fit  # DataConstrained, on all runs
    rising: int  # runs left out since their loss rises with more epochs

    def seeds_apart(self) -> np.ndarray:
        """Of what was trained by two seeds: how far `beyond` differs between them."""
        cells = list(zip(self.params, self.unique, self.epochs, strict=True))
        by_seed = [
            {cell: self.beyond[i] for i, cell in enumerate(cells) if self.seed[i] == seed} for seed in (0, 1)
        ]
        both = by_seed[0].keys() & by_seed[1].keys()
        return np.array([by_seed[1][cell] - by_seed[0][cell] for cell in both])


def measure(path: Path) -> Worth:
    """From the run table of this grid.

    Raises:
      ValueError: too few runs are done to fit the law.
    """
    rows = table.read(path).usable()
    epochs = rows.column("epochs")
    new = epochs <= 1 + 1e-9
    rising = beyond_the_least(rows)
    worn = fitting.intervals(fitting.fit(DataConstrained, rows.select(~rising)))
    cells = list(zip(rows.column("seed"), rows.params, rows.tokens, strict=True))
    fresh = {cells[i]: rows.loss[i] for i in np.flatnonzero(rows.column("unique_tokens") == rows.tokens)}
    again = np.flatnonzero(~new)
    beyond = [rows.loss[i] / fresh.get(cells[i], np.nan) - 1 for i in again]
    return Worth(
        rows.column("seed")[again],
        rows.params[again],
        rows.column("unique_tokens")[again],
        epochs[again],
        np.array(beyond),
        worn,
        int((rising & ~new).sum()),
    )


def beyond_the_least(rows: table.Runs) -> np.ndarray:
    """Of each size and seed on one repeated text, the runs of more epochs than the one of least loss."""
    out = np.zeros(len(rows), bool)
    epochs, unique, seeds = (rows.column(name) for name in ("epochs", "unique_tokens", "seed"))
    for params, text, seed in {*zip(rows.params, unique, seeds, strict=True)}:
        own = (rows.params == params) & (unique == text) & (seeds == seed)
        here = np.flatnonzero(own & (epochs > 1 - 1e-9))
        if len(here):
            out[here] = epochs[here] > epochs[here[np.argmin(rows.loss[here])]]
    return out


def is_identified(name: str, fitted: Fit) -> bool:
    low, high = fitted.interval(name)
    return fitted.status != "unidentified" and bool(np.isfinite([low, high]).all()) and low > 0


def e_folding(name: str, fitted: Fit) -> str:
    """An e-folding with its interval and how well the runs determine it, in words."""
    value, (low, high) = getattr(fitted.law, name), fitted.interval(name)
    estimate = f"{name}* = {value:.3g} ({low:.3g}, {high:.3g})"
    if not is_identified(name, fitted):
        return f"{estimate}: NOT identified [{fitted.status}: {fitted.message}]"
    within = np.sqrt(high / low)
    return f"{estimate}: {'well' if within < 2 else 'weakly'} identified, to a factor {within:.2g}"


def describe(worth: Worth) -> list[str]:
    lines = []
    for n in np.unique(worth.epochs):
        here = (worth.epochs == n) & np.isfinite(worth.beyond)
        if here.any():
            more = 100 * worth.beyond[here]
            lines.append(
                f"{n:.3g} epochs: loss {more.mean():+.2f} % over as many new tokens "
                f"({more.min():+.2f} to {more.max():+.2f}, {here.sum()} runs)"
            )
    lines += noise(worth)
    constants = ", ".join(f"{name} {value:.4g}" for name, value in worth.worn.parameters.items())
    lines.append(
        f"law of {len(worth.worn.runs)} runs: {constants}; rmse "
        f"{100 * worth.worn.rmse:.2g} % [{worth.worn.status}: {worth.worn.message}]"
    )
    if worth.rising:
        lines.append(f"{worth.rising} runs are left out: their loss rises with more epochs")
    lines += [e_folding(name, worth.worn) for name in ("R_D", "R_N")]
    lines.append(f"intervals are 95 % by profile over all seven; published on C4: R_D* = {PUBLISHED:.3g}")
    return lines


def noise(worth: Worth) -> list[str]:
    """How far a second seed moves what repeating costs, in words; nothing where there is none."""
    if not len(apart := worth.seeds_apart()):
        return []
    moved = 100 * np.sqrt(np.nanmean(apart**2))
    return [
        f"of {len(apart)} of these a second seed was trained: it moves what repeating costs by "
        f"{moved:.2f} points (root mean square)"
    ]


def answer(path: Path) -> list[str]:
    worth = measure(path)
    four = np.isclose(worth.epochs, 4) & np.isfinite(worth.beyond)
    return [
        f"4 epochs: loss {100 * worth.beyond[four].mean():+.2f} % over as many new tokens; R_D* is "
        f"{'' if is_identified('R_D', worth.worn) else 'NOT '}identified",
        *noise(worth),
        e_folding("R_D", worth.worn),
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, curves.csv, repeats.png, and what they say."""
    name = tables.name_of("repeats", size)
    grid_of = configs or partial(runs, size)
    corpora_of = SIZES[size].corpora
    path = tables.table_of(name, store, grid_of, out, corpora_of, changed=bool(configs))
    worth = measure(path)
    print("\n".join(describe(worth)))
    figures_trunks.repeats(worth, PUBLISHED).savefig(out / "repeats.png")
    print(f"figure in {out}")
