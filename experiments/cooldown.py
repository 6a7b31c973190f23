"""What do shared trunks with cool-down branches save against a cosine for every length, and lose?

Question: four lengths, 1 : 1.5 : 2 : 3, of three sizes: under a cosine matched to each length, and
          under one constant rate with a cool-down over the last fifth, its constant part trained
          once (Hägele et al. 2024, arXiv 2405.18392). Total training FLOPs, and final losses.
Command:  python -m lab run experiments.cooldown   (:accelerator, :smoke)
Cost:     laptop: 48 runs, 9.4e13 FLOPs, 20 minutes on two cores as `lab plan` prices it;
          accelerator: 48 runs, 3.1e17 FLOPs, about an hour and a half at 6e13 FLOP/s
Answer:   expected: 52 % of the cosines' FLOPs, and a loss within 0.5 % in the mean over the twelve
          pairs, since 1 - sqrt cool-downs match a cosine at half its peak rate in the paper

Both bars (55 % of the FLOPs, 0.5 % of the loss) are said with figures. A pair has one seed and one
order of data, so its difference is less noisy than two losses: how noisy, the cheapest by three seeds
shows (by some .6 %). How much hangs on the constant rate is shown by the same cell at three more rates.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments import plain
from experiments.reports import figures_trunks, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

LENGTHS = (1.0, 1.5, 2.0, 3.0)  # times the shortest
COOLDOWN = 0.2  # of a run's updates
WARMUP = 0.05  # of the shortest run's updates, for all branches; of each one's own for a cosine
RATE = 0.5  # the constant rate over the peak of the cosine
MORE_RATES = (0.25, 0.35, 0.7)  # tried on one cell
MORE_SEEDS = (1, 2)  # of the same cell
MOST_FLOPS, MOST_LOSS = 0.55, 0.005  # the bars: of the cosines' FLOPs, of their loss


@dataclass(frozen=True)
class Size:
    """One grid: models, and the tokens of each one's shortest run."""

    shapes: tuple[tuple[int, int, int], ...]  # (layers, width, heads), rising
    tokens: tuple[int, ...]
    batch_tokens: int
    seq_len: int
    corpora: tuple[str, ...] = ("linux-6.1", "python-stdlib")
    dtype: str = "float32"


SIZES = {
    "laptop": Size(((2, 32, 1), (2, 64, 2), (4, 96, 3)), (4_000_000, 2_500_000, 1_500_000), 1024, 128),
    "accelerator": Size(
        ((4, 128, 2), (8, 320, 5), (12, 640, 10)), (60_000_000,) * 3, 32_768, 512, dtype="bfloat16"
    ),
    "smoke": Size(((1, 16, 1), (1, 32, 1), (2, 48, 1)), (15_360,) * 3, 256, 32, ("markov:24-2-4-0-50000",)),
}


def cosines(size: Size) -> list[RunConfig]:
    """The cells, each under a cosine of its own length; the plain grid's rate by size."""
    corpus = corpora.prepare_first(list(size.corpora))
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=4)
    ladder = [
        ModelConfig(
            n_layer=n_layer,
            d_model=width,
            n_head=n_head,
            vocab_size=256,
            seq_len=size.seq_len,
            dtype=size.dtype,
        )
        for n_layer, width, n_head in size.shapes
    ]
    return [
        RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=peak(model), warmup_fraction=WARMUP),
            data=data,
            tokens=round(times * tokens),
            batch_tokens=size.batch_tokens,
        )
        for model, tokens in zip(ladder, size.tokens, strict=True)
        for times in LENGTHS
    ]


def peak(model: ModelConfig) -> float:
    return plain.rule(counts.count_params(model).params)


def constant(cell: RunConfig, shortest: RunConfig, rate: float = RATE) -> RunConfig:
    """The cell under a constant rate with a cool-down."""
    optim = OptimConfig(
        learning_rate=rate * cell.optim.learning_rate,
        schedule="constant",
        warmup_steps=shortest.warmup_steps,
        cooldown_fraction=COOLDOWN,
        cooldown_shape="1-sqrt",
    )
    return replace(cell, optim=optim)


def runs(size: str = "laptop") -> list[RunConfig]:
    matched, n = cosines(SIZES[size]), len(LENGTHS)
    cells = [constant(cell, matched[i // n * n]) for i, cell in enumerate(matched)]
    more = [constant(matched[0], matched[0], rate) for rate in MORE_RATES]
    again = [[replace(way[0], seed=s, data_seed=s) for s in MORE_SEEDS] for way in (cells, matched)]
    return grid.branched([*cells, *more, *again[0]]) + matched + again[1]


@dataclass(frozen=True)
class Comparison:
    """Pairs of a cosine and a branch, (P,) each, and what both ways cost.

    `trunks` holds (params, tokens, loss) of the ends of the constant part. `rates` are losses of
    one cell by its constant rate over the cosine's peak.
    """

    params: np.ndarray
    tokens: np.ndarray
    cosine: np.ndarray  # nats/token
    branch: np.ndarray  # nats/token
    trunks: np.ndarray
    flops: tuple[float, float]  # (trunks and branches, cosines), as spent
    planned: float  # of the former, had the store been empty
    rates: dict[float, float]
    unpaired: int  # cells without the other of their pair
    again: np.ndarray  # the difference of the cheapest pair by each of its seeds, the first among them

    @property
    def share(self) -> float:
        return self.flops[0] / self.flops[1]

    @property
    def differences(self) -> np.ndarray:
        """Of the branch's loss over the cosine's, less one."""
        return self.branch / self.cosine - 1

    @property
    def mean(self) -> tuple[float, float]:
        """The mean difference and its standard error over pairs."""
        gaps = self.differences
        return float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps)))


def compare(path: Path) -> Comparison:
    """From the run table of this grid.

    Raises:
      ValueError: fewer than two pairs are done.
    """
    every = table.read(path)
    rows = every.select(every.column("seed") == 0)
    schedule, status = rows.column("schedule"), rows.column("status")
    done, cosine = rows.reasons == "", schedule == "cosine"
    peaks = dict(zip(rows.params[cosine], rows.column("learning_rate")[cosine], strict=True))
    over = np.array(
        [
            rate / peaks.get(n, np.nan)
            for n, rate in zip(rows.params, rows.column("learning_rate"), strict=True)
        ]
    )
    own = ~cosine & np.isclose(over, RATE)
    trunk, branch = own & (status == "trunk"), own & (status != "trunk") & done
    cells = {
        name: {cell(rows, i): i for i in np.flatnonzero(mask)}
        for name, mask in (("cosine", cosine & done), ("branch", branch))
    }
    both = [key for key in cells["cosine"] if key in cells["branch"]]
    if len(both) < 2:
        raise ValueError(
            f"{path}: {len(both)} pairs of a cosine and a branch are done; two at least are needed"
        )
    a, b = ([cells[name][key] for key in both] for name in ("cosine", "branch"))
    first = both[0]
    tried = [i for i in np.flatnonzero(~cosine & done) if cell(rows, i) == first]
    spent = rows.column("flops_spent")
    return Comparison(
        rows.params[a],
        rows.tokens[a],
        rows.loss[a],
        rows.loss[b],
        np.stack([rows.params, rows.tokens, rows.loss], 1)[trunk],
        (float(spent[trunk | branch].sum()), float(spent[cosine & done].sum())),
        planned(rows.select(branch)),
        {float(over[i]): float(rows.loss[i]) for i in tried},
        sum(map(len, cells.values())) - 2 * len(both),
        of_seeds(every, first),
    )


def of_seeds(rows: table.Runs, pair: tuple[float, float]) -> np.ndarray:
    """The branch's loss over the cosine's, less one, of one cell by every seed that has both."""
    here = (rows.params == pair[0]) & (rows.tokens == pair[1]) & (rows.reasons == "")
    cosine = rows.column("schedule") == "cosine"
    (peak,) = np.unique(rows.column("learning_rate")[here & cosine])
    own = here & np.isclose(rows.column("learning_rate"), RATE * peak)
    losses = [
        dict(zip(rows.column("seed")[way], rows.loss[way], strict=True)) for way in (here & cosine, own)
    ]
    return np.array([losses[1][seed] / loss - 1 for seed, loss in losses[0].items() if seed in losses[1]])


def cell(rows: table.Runs, i: int) -> tuple[float, float]:
    return float(rows.params[i]), float(rows.tokens[i])


def planned(branches: table.Runs) -> float:
    """FLOPs of these branches and of one trunk for each size, each counted once."""
    cooled = branches.flops * COOLDOWN
    level = branches.flops - cooled
    return float(cooled.sum() + sum(level[branches.params == n].max() for n in np.unique(branches.params)))


def describe(pairs: Comparison) -> list[str]:
    """Every pair, and both bars, in words."""
    lines = [
        f"N={n:,.0f}, D={d:,.0f}: cosine {a:.4f}, branch {b:.4f} nats/token ({100 * x:+.2f} %)"
        for n, d, a, b, x in zip(
            pairs.params, pairs.tokens, pairs.cosine, pairs.branch, pairs.differences, strict=True
        )
    ]
    lines += bars(pairs)
    if not pairs.unpaired and abs(pairs.flops[0] / pairs.planned - 1) > 0.01:
        lines.append(
            f"NOT what these branches cost by themselves, {pairs.planned:.3g} FLOPs: part "
            "of the trunks was there before, or cells were trained alone"
        )
    if len(pairs.rates) > 1:
        listed = ", ".join(f"{rate:.2g}: {loss:.4f}" for rate, loss in sorted(pairs.rates.items()))
        lines.append(f"the cheapest cell by its constant rate over the cosine's peak: {listed}")
    if len(pairs.again) > 1:
        lines.append(noise(pairs))
    if pairs.unpaired:
        lines.append(
            f"{pairs.unpaired} cells have no other to be compared with: the FLOPs of the "
            "two ways are not of the same cells"
        )
    return lines


def noise(pairs: Comparison) -> str:
    listed = ", ".join(f"{100 * each:+.2f} %" for each in pairs.again)
    return f"the cheapest pair's difference by seed: {listed}"


def bars(pairs: Comparison) -> list[str]:
    word = lambda right: "within" if right else "NOT within"  # noqa: E731
    mean, error = pairs.mean
    return [
        f"training FLOPs: {pairs.flops[0]:.3g} for trunks and branches, each counted once, "
        f"{pairs.flops[1]:.3g} for a cosine of each length: {100 * pairs.share:.1f} %, "
        f"{word(pairs.share <= MOST_FLOPS)} {100 * MOST_FLOPS:.0f} %",
        f"final loss: {100 * mean:+.2f} % in the mean over {len(pairs.cosine)} pairs (standard "
        f"error {100 * error:.2f} %), {word(mean <= MOST_LOSS)} {100 * MOST_LOSS:.1f} %",
    ]


def answer(path: Path) -> list[str]:
    pairs = compare(path)
    return [
        f"{100 * pairs.share:.1f} % of the FLOPs, {100 * pairs.mean[0]:+.2f} % of the loss",
        *bars(pairs),
        noise(pairs),
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, curves.csv, cooldown.png, and both bars in words."""
    name = tables.name_of("cooldown", size)
    grid_of = configs or partial(runs, size)
    corpora_of = SIZES[size].corpora
    path = tables.table_of(name, store, grid_of, out, corpora_of, changed=bool(configs))
    pairs = compare(path)
    print("\n".join(describe(pairs)))
    figures_trunks.cooldown(pairs, (MOST_FLOPS, MOST_LOSS)).savefig(out / "cooldown.png")
    print(f"figure in {out}")
