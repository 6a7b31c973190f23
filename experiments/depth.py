"""Does a deep narrow model train where its norms stand elsewhere, and does depth pay at equal compute?

Question: on Shakespeare as bytes, Transformers of 2, 8 and 32 layers of equal hidden weights and FLOPs, with
          norms before each part, after it, after it with DeepNorm's scales, or before and inside it (sub-LN),
          at six rates: which train at all, and which ends lowest?
Command:  python -m lab run experiments.depth   (:accelerator has 6, 24 and 96 layers; :smoke)
Cost:     laptop: 160 runs, 6.2e12 FLOPs, about 15 minutes on two cores;
          accelerator: 96 runs, 9.6e16 FLOPs
Answer:   expected: with 2 layers all four train at every rate but the highest and end within 2 % of each
          other. With 32, norms after each part train at the lowest rate at most, DeepNorm and sub-LN in three
          quarters of runs and more (Wang et al. 2022), pre-norm at every rate but the highest: nothing deep
          trains that pre-norm does not, but at the highest rate. Each at its best rate, 32 narrow layers are
          behind 8 by 3 to 10 %, 8 and 2 within 3 %, and DeepNorm behind pre-norm by less than 3 %. Rates of
          .0003 and .001 were added when at the four above them no DeepNorm of 32 layers trained: expected
          of them is that it trains at .001, and that norms after each part do not at either. It did not;
          so the deepest were trained 4 times longer at .001 and .003 (one seed of pre, post and DeepNorm was
          seen before the rest was asked for): expected is what that seed shows, that DeepNorm trains at
          .003, norms after each part at neither, and of sub-LN that it trains at both

A run trains if it ends a twentieth below the loss of single bytes' frequencies. Widths go as one over the
root of the depth, heads are equally wide, and tokens are what the budget leaves. The model is a file of its
own, experiments/own/norms.py, so that nothing but the norms, the scale of the stream and the first weights
differ. Shares are over rates and seeds alike, their intervals by Clopper and Pearson; those of losses are by
the noise between seeds, pooled over all that train.

Refused: that DeepNorm trains 32 layers where norms after each part do not, in these 234 updates, at any of
six rates; sub-LN does in three of twelve. At four times the updates the published direction comes back:
DeepNorm trains in three of four runs and ends level with pre-norm at .003, norms after each part in none. Nor
do all four train with two layers at all rates but the highest: norms after each part stop at .01, and .0003
is too low for any. What held: nothing deep trains that pre-norm does not, and 32 narrow layers are a
tenth behind.
"""

import json
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from experiments.reports import figures_shapes, shakespeare, tables
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.plan import grid
from lab.store.store import Store

MODEL = f"{Path(__file__).parent / 'own' / 'norms.py'}:Net"
NORMS = "pre", "post", "deep", "sub"
UNIGRAM = 3.356  # nats a held-out byte by the frequencies of bytes alone (docs/corpora.md)
TRAINED = 0.95 * UNIGRAM
LONGER = 4


@dataclass(frozen=True)
class Size:
    """Shapes (layers, width, heads) of equal hidden weights, what each run costs, and its rates; the deepest
    again at LONGER times that, at the rates `longer`."""

    shapes: tuple[tuple[int, int, int], ...]
    flops: float
    batch_tokens: int
    rates: tuple[float, ...]
    seeds: int = 2
    seq_len: int = 64
    longer: tuple[float, ...] = ()

    def ladders(self) -> list[tuple]:
        """Each (FLOPs a run, shapes, rates)."""
        deepest = (LONGER * self.flops, self.shapes[-1:], self.longer)
        return [(self.flops, self.shapes, self.rates), *[deepest] * bool(self.longer)]


SIZES = {
    "laptop": Size(
        ((2, 48, 4), (8, 24, 2), (32, 12, 1)),
        3e10,
        256,
        (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
        longer=(0.001, 0.003),
    ),
    "accelerator": Size(
        ((6, 512, 8), (24, 256, 4), (96, 128, 2)), 1e15, 8192, (0.0003, 0.001, 0.003, 0.01), seq_len=256
    ),
    "smoke": Size(((1, 16, 2), (4, 8, 1)), 1e8, 128, (0.01,), seq_len=16),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, out = SIZES[size], []
    common = {"data": shakespeare.text(), "batch_tokens": setup.batch_tokens}
    for flops, shapes, rates in setup.ladders():
        for (n_layer, width, heads), norms, rate in product(shapes, NORMS, rates):
            shape = {"n_layer": n_layer, "d_model": width, "n_head": heads, "seq_len": setup.seq_len}
            own = {"settings": {"norms": norms}} if norms != "pre" else {}
            model = ModelConfig(kind=MODEL, vocab_size=256, **shape, **own)
            optim = lambda model, tokens, rate=rate: OptimConfig(learning_rate=rate)  # noqa: E731
            for seed in range(setup.seeds):
                out += grid.isoflop({flops: [model]}, seed=seed, optim=optim, **common)
    return out


@dataclass(frozen=True)
class Cell:
    """Of one depth and place of norms: how many of its runs train, and at its best rate log loss and half its
    95 % interval; NaN where no rate trains with every seed."""

    layers: int
    norms: str
    trained: int
    of: int
    rate: float
    log_loss: float
    half: float
    losses: dict[float, list[float]]  # by rate; infinite where a run diverged

    @property
    def share(self) -> str:
        ends = stats.binomtest(self.trained, self.of).proportion_ci()
        return f"{self.trained} of {self.of} ({ends.low:.2f}, {ends.high:.2f})"


def cells(path: Path, longer: bool = False) -> list[Cell]:
    """The cells of the runs of least compute, or of those that are `longer`."""
    losses: dict[tuple, dict[float, list[float]]] = {}
    lines = tables.lines_of(path)
    budgets = [float(line.get("budget") or 0) for line in lines]
    for line, budget in zip(lines, budgets, strict=True):
        if (budget > 1.5 * min(budgets)) != longer:
            continue
        norms = json.loads(line["settings"])["norms"] if line["settings"] else NORMS[0]
        cell = losses.setdefault((int(line["n_layer"]), norms), {})
        ended = float(line["loss"]) if line["status"] == "done" else np.inf
        cell.setdefault(float(line["learning_rate"]), []).append(ended)
    every = [np.log(each) for cell in losses.values() for each in cell.values() if max(each) < TRAINED]
    spare = sum(len(each) - 1 for each in every)
    noise = np.sqrt(sum(((each - each.mean()) ** 2).sum() for each in every) / spare) if spare else np.nan
    out = []
    for (layers, norms), cell in losses.items():
        means = {rate: np.log(each).mean() for rate, each in cell.items() if max(each) < TRAINED}
        best = min(means, key=means.get, default=np.nan)
        runs = [loss for each in cell.values() for loss in each]
        half = stats.t.ppf(0.975, spare) * noise / len(cell[best]) ** 0.5 if means else np.nan
        trained = sum(loss < TRAINED for loss in runs)
        out.append(Cell(layers, norms, trained, len(runs), best, means.get(best, np.nan), half, cell))
    return out


def answer(path: Path) -> list[str]:
    found = cells(path)
    by = {(cell.layers, cell.norms): cell for cell in found}
    depths = sorted({cell.layers for cell in found})
    deepest = [by[depths[-1], norms] for norms in NORMS]
    counted = [f"{cell.norms} {cell.trained} of {cell.of}" for cell in deepest]
    lines = [f"{depths[-1]} layers train: {', '.join(counted)}"]
    if longer := cells(path, longer=True):
        most = ", ".join(f"{cell.norms} {cell.trained} of {cell.of}" for cell in longer)
        lines[0] += f"; at {LONGER} × the updates {most}"
        lines.append(f"{depths[-1]} layers, {LONGER} times the updates: {'; '.join(map(in_words, longer))}")
    for layers in depths:
        here = [by[layers, norms] for norms in NORMS]
        lines.append(f"{layers} layers: {'; '.join(map(in_words, here))}")
        lines.append(f"{layers} layers, rates at which every seed trains: {', '.join(map(spread, here))}")
    for norms in NORMS:
        own = [by[layers, norms] for layers in depths]
        least = min((c for c in own), key=lambda c: np.nan_to_num(c.log_loss, nan=np.inf))
        gaps = [
            f"{c.layers} layers {100 * np.expm1(c.log_loss - least.log_loss):+.1f} ± {141 * c.half:.1f} %"
            for c in own
            if c is not least and np.isfinite(c.log_loss)
        ]
        lines.append(
            f"{norms}: least loss with {least.layers} layers; {', '.join(gaps) or 'no other trains'}"
        )
    return lines


def in_words(cell: Cell) -> str:
    if not np.isfinite(cell.log_loss):
        return f"{cell.norms} at no rate with every seed, {cell.share} train"
    ended = f"{np.exp(cell.log_loss):.3f} ± {100 * cell.half:.1f} % at rate {cell.rate:g}"
    return f"{cell.norms} {ended}, {cell.share} train"


def panels(path: Path) -> dict[str, list[Cell]]:
    """By title what a figure shows beside each other."""
    found, longer = cells(path), cells(path, longer=True)
    depths = sorted({cell.layers for cell in found})
    shown = {f"{layers} layers": [cell for cell in found if cell.layers == layers] for layers in depths}
    return shown | ({f"{depths[-1]} layers, {LONGER} × longer": longer} if longer else {})


def spread(cell: Cell) -> str:
    rates = [rate for rate, losses in cell.losses.items() if max(losses) < TRAINED]
    return f"{cell.norms} {min(rates):g} to {max(rates):g}" if rates else f"{cell.norms} none"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, depth.png, and the answer on the screen."""
    name, grid_of = tables.name_of("depth", size), configs or partial(runs, size)
    path = tables.table_of(name, store, grid_of, out, shakespeare.CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
    figures_shapes.depth(panels(path), TRAINED).savefig(out / "depth.png")
    print(f"figure in {out}")
