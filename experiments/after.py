"""What do fewer bits a weight, or fewer weights, cost after training, by size and by tokens?

Question: Transformers of five sizes on Shakespeare, of two lengths each: how does the held-out loss rise when
          their matrices are rounded to 2 to 8 bits, or lose 10 to 90 % of their entries, how does that go
          with size and tokens, and what does training with rounded weights from the start save?
Command:  python -m lab run experiments.after   (:accelerator, :smoke)
Cost:     laptop: 20 runs, 1.51e12 FLOPs, about 2 minutes on two cores;
          accelerator: 24 runs, 1.07e16 FLOPs
Answer:   expected: 8 bits free (the excess loss below the noise between seeds), 3 bits not (over ten times
          it). Each bit less makes the error of a weight twice as large and the excess 4 times, since the loss
          is quadratic about its minimum: 3.5 to 4.5 between 8 and 4 bits. Excess grows with tokens at a given
          size and falls with size at given tokens (Kumar et al. 2024, arXiv 2411.04330): exponents of D from
          .1 to .6, of N from -.6 to 0. Trained with 3 bits a model keeps under a third of the excess of
          rounding afterwards, at 4 bits under a half. Pruning: the entries that fall are the smallest, so the
          excess goes with the third power of their share, 2.5 to 3.5, up to 50 %; 30 % costs under 1 % of the
          loss, 80 % over 20 %; larger models lose less at each share

One depth, one head, the quickstart's Transformer; every matrix is rounded, embedding and readout too, each
channel with its own scale. Training with rounded weights costs as much as the run again (.13e12 FLOPs in all,
on top).

Refused: 30 % of the entries are not free at these sizes (they cost 9 % of the loss), and rounding throughout
training keeps .6 and not a third of the excess at 3 bits, and more than all of it at 4: it pays for the
fewest bits alone. A bit is worth a factor of 4.5, a little more than the 4 of a quadratic loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
from scipy import stats

from experiments import quickstart
from experiments.reports import figures_after, measured, shakespeare, tables
from lab.config import ModelConfig, RunConfig
from lab.models import counts, tree
from lab.store.store import Store
from lab.train import step
from lab.train.evaluate import Evaluator, window_nats
from lab.trained import again, smaller, weights

BITS = (2, 3, 4, 5, 6, 7, 8)
SPARSITIES = tuple(tenth / 10 for tenth in range(1, 10))
AWARE = (2, 3, 4)  # bits that runs are trained with
BLOCK = 128  # windows scored at once


@dataclass(frozen=True)
class Size:
    """One grid: widths, tokens of each, and which width is trained with rounded weights at the fewest."""

    widths: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int
    aware: int
    scored: int = 65_536  # held-out tokens


SIZES = {
    "laptop": Size((12, 16, 20, 26, 32), (250_000, 1_000_000), 2, 20),
    "accelerator": Size((64, 128, 256, 384), (20_000_000, 80_000_000), 3, 128),
    "smoke": Size((8, 12), (20_000, 40_000), 1, 8, 2048),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, data = SIZES[size], shakespeare.text(max_epochs=20 if size == "accelerator" else 4)
    return [
        quickstart.run_of(model, tokens, data, seed)
        for seed in range(setup.seeds)
        for model in quickstart.models(setup.widths)
        for tokens in setup.tokens
    ]


def measure(run: weights.Trained, setup: Size) -> Iterator[measured.Row]:
    """The loss on the same held-out windows of the weights as they are, at every number of bits and sparsity,
    and of those trained with rounded weights."""
    corpus, config, cfg = run.corpus(), run.config, run.config.model
    held_out = Evaluator.from_corpus(corpus, cfg.seq_len, setup.scored)
    score = partial(window_nats, cfg)
    loss = lambda params: held_out.loss(held_out.nats(score, params, BLOCK))[0]  # noqa: E731
    params = jax.device_put(run.params)
    at = {"params": counts.count_params(cfg).params, "tokens": config.tokens, "seed": config.seed}

    def row(how: str, level: float, params: tree.Params) -> measured.Row:
        return at | {"how": how, "level": level, "loss": round(loss(params), 6)}

    yield row("whole", 32, params)
    for bits in BITS:
        yield row("bits", bits, smaller.quantised(cfg, params, bits))
    for share in SPARSITIES:
        yield row("pruned", share, smaller.pruned(cfg, params, share))
    if cfg.d_model == setup.aware and config.tokens == min(setup.tokens):
        for bits in AWARE:
            made = again.train(config, corpus, partial(rounded_nats, cfg, bits))
            yield row("aware", bits, smaller.quantised(cfg, jax.device_put(made), bits))


def rounded_nats(cfg: ModelConfig, bits: int, params: tree.Params, tokens_BL: jax.Array) -> jax.Array:
    """The loss of the weights as they are rounded, whose gradient is that of the weights."""
    round_to = lambda params: smaller.quantised(cfg, params, bits)  # noqa: E731
    return step.mean_nats(cfg, smaller.straight_through(round_to, params), tokens_BL)


@dataclass(frozen=True)
class Excess:
    """What every run lost, one row a run and level."""

    how: np.ndarray  # bits, pruned or aware
    level: np.ndarray
    params: np.ndarray
    tokens: np.ndarray
    seed: np.ndarray
    nats: np.ndarray  # over the weights as they were, on the same windows
    share: np.ndarray  # of that loss
    noise: float  # standard deviation of the loss of whole weights between seeds, nats/token

    def select(self, how: str, low: float, high: float) -> np.ndarray:
        return (self.how == how) & (self.level > low - 1e-9) & (self.level < high + 1e-9)

    def mean(self, how: str, level: float) -> float:
        return float(self.nats[self.select(how, level, level)].mean())

    def percent(self, how: str, level: float) -> float:
        """Of the loss."""
        return 100 * float(self.share[self.select(how, level, level)].mean())


def excess_of(path: Path) -> Excess:
    lines = tables.lines_of(path)
    whole = {line["run_id"]: float(line["loss"]) for line in lines if line["how"] == "whole"}
    cells: dict[tuple, list[float]] = {}
    for line in lines:
        if line["how"] == "whole":
            cells.setdefault((line["params"], line["tokens"]), []).append(float(line["loss"]))
    spread = [np.var(losses, ddof=1) for losses in cells.values() if len(losses) > 1]
    own = [line for line in lines if line["how"] != "whole"]
    column = lambda name: np.array([float(line[name]) for line in own])  # noqa: E731
    base = np.array([whole[line["run_id"]] for line in own])
    nats = column("loss") - base
    how = np.array([line["how"] for line in own])
    numbers = (column(name) for name in ("level", "params", "tokens", "seed"))
    return Excess(how, *numbers, nats, nats / base, float(np.sqrt(np.mean(spread))) if spread else np.nan)


@dataclass(frozen=True)
class Law:
    """log excess = a + slope x + log-linear in N and D, by least squares; 95 % intervals by Student's t over
    runs, whose levels share a residual."""

    slope: tuple[float, float, float]  # value, low, high
    of_params: tuple[float, float, float]
    of_tokens: tuple[float, float, float]
    rms: float  # of the residuals, as a share

    def words(self, name: str) -> str:
        slope, N, D = (
            f"{v:.3g} ({low:.3g}, {high:.3g})"
            for v, low, high in (self.slope, self.of_params, self.of_tokens)
        )
        return f"{name} {slope}, N^{N}, D^{D}, residuals {100 * self.rms:.0f} %"


def law(excess: Excess, which: np.ndarray, x: np.ndarray) -> Law:
    """Of the rows chosen that lost anything. Standard errors are clustered by run (Liang & Zeger 1986), of
    which there are few: t has as many degrees of freedom as runs less four."""
    which = which & (excess.nats > 0)
    N, D, seed = excess.params[which], excess.tokens[which], excess.seed[which]
    rows, y = np.column_stack([np.ones(len(N)), x[which], np.log(N), np.log(D)]), np.log(excess.nats[which])
    theta, *_ = np.linalg.lstsq(rows, y, rcond=None)
    left, bread = y - rows @ theta, np.linalg.inv(rows.T @ rows)
    run = np.unique(np.stack([N, D, seed]), axis=1, return_inverse=True)[1].ravel()
    scores = np.array([rows[run == each].T @ left[run == each] for each in np.unique(run)])
    n = len(scores)
    errors = np.sqrt(np.diag(bread @ scores.T @ scores @ bread) * n)
    half = stats.t.ppf(0.975, n - 4) * errors / np.sqrt(n - 4) if n > 4 else np.full(4, np.inf)
    bands = [(float(v), float(v - h), float(v + h)) for v, h in zip(theta, half, strict=True)]
    return Law(bands[1], bands[2], bands[3], float(np.sqrt(np.mean(left**2))))


def laws(excess: Excess) -> tuple[Law, Law]:
    """Of bits from 4 to 6, beyond which differences drown, and of sparsity up to a half."""
    bits, few = excess.select("bits", 4, 6), excess.select("pruned", 0.2, 0.5)
    return law(excess, bits, -excess.level * np.log(2)), law(excess, few, np.log(excess.level))


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-levels.csv")


def answer(path: Path) -> list[str]:
    excess = excess_of(beside(path))
    bits, few = laws(excess)
    free = excess.mean("bits", 8) / excess.noise
    levels = ", ".join(f"{b}: {excess.mean('bits', b):.2g}" for b in BITS)
    pruned = ", ".join(f"{100 * s:.0f} %: {excess.percent('pruned', s):.2g} %" for s in SPARSITIES)
    lines = [
        f"8 bits cost {free:.2g} of the noise between seeds, 4 bits {excess.percent('bits', 4):.2g} % of the "
        f"loss, 3 bits {excess.percent('bits', 3):.2g} %; excess ~ 2^(-{bits.slope[0]:.2g} bits) and "
        f"sparsity^{few.slope[0]:.2g}",
        f"excess by bits, nats/token: {levels}; noise between seeds {excess.noise:.2g}",
        f"by bits from 4 to 6: {bits.words('a power of 2 a bit of')}",
        f"excess by share pruned: {pruned}",
        f"by shares of .2 to .5: {few.words('sparsity to the')}",
    ]
    return [*lines, *aware(excess)]


def aware(excess: Excess) -> list[str]:
    """What training with rounded weights leaves of the excess of rounding afterwards, on the same runs."""
    own = excess.how == "aware"
    if not own.any():
        return []
    N, D = excess.params[own][0], excess.tokens[own][0]
    said = []
    for bits in np.unique(excess.level[own]):
        here = (excess.level == bits) & (excess.params == N) & (excess.tokens == D)
        during, after = (excess.nats[here & (excess.how == how)] for how in ("aware", "bits"))
        said.append(f"{bits:.0f} bits {during.mean():+.3g} nats/token against {after.mean():+.3g}")
    return [f"trained with rounded weights against rounded afterwards, N={N:,.0f}: {', '.join(said)}"]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-levels.csv (the loss of each run at each level), after.png, and what they say."""
    name, setup = tables.name_of("after", size), SIZES[size]
    of = partial(measure, setup=setup)
    grid_of, names = configs or partial(runs, size), shakespeare.CORPORA
    path = measured.with_table(store, name, grid_of, out, names, of, "levels")
    print("\n".join(answer(path)))
    figures_after.after(excess_of(beside(path))).savefig(out / "after.png")
    print(f"figure in {out}")
