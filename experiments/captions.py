"""How near does matching images with captions come to its floor, by size, by training and by the batch?

Question: on drawn letters with captions whose joint distribution is known (lab/data/glyphs.py), two towers
          learn which of n captions is an image's and which of n images a caption's (CLIP, Radford et al.
          2021): how far is InfoNCE from the least that any critic can reach, how does that fall with
          compute, and what are more pairs at once worth, all tested among 64?
Command:  python -m lab run experiments.captions   (:accelerator, :smoke)
Cost:     laptop: 24 runs, 6.3e11 FLOPs, about 3 minutes on two cores;
          accelerator: 24 runs, 2.2e15 FLOPs, about ten minutes at 2e13 FLOP/s
Answer:   expected: nobody below the floor (.03 to .07 nats a choice of 64, by captions that come twice).
          Ink, size and quadrant are learned first and letters late: with all but letters known 1.0 nats
          are left of 64 captions, and the largest runs end at .8 to 1.6, so .75 or more over the floor.
          What is over the floor falls as compute to the power of -.15 to -.5. Sixteen pairs at once are
          worth 1.2 to 3 times the compute of four, and sixty-four .7 to 1.5 times that of sixteen: four
          are told apart long before letters matter, sixty-four are not. In fonts that are held out the
          loss is .1 to .5 nats higher

The image's tower is a residual network of two layers, the caption's its words' features through one hidden
layer (experiments/own/vision.py); a window of the corpus is one batch of pairs, and 64 pairs an update
however they are parted. The floor is that of the best critic, log p(x, y) / (p(x) p(y)), on the very
drawings tested.

Refused: fonts that are held out cost nothing (1.30 beside 1.32), as no tower reads the letter yet, and
what it reads is the same in all fonts; four pairs at once end at 1.8 among 64, beyond the range.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
from scipy import special, stats

from experiments.reports import figures_images, measured, tables
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts, tree
from lab.store.store import Store
from lab.train import objectives
from lab.trained import weights

OWN = Path(__file__).parent / "own"
MODEL, PAIRS = f"{OWN / 'vision.py'}:Towers", f"{OWN / 'drawings.py'}:pairs"
OTHERS = "glyphs:2-0"  # the fonts that are held out
AMONG = 64  # captions, and images, that every run is tested among
TESTED = 4096  # drawings


@dataclass(frozen=True)
class Size:
    """One grid."""

    corpus: str
    shapes: tuple[tuple[int, int], ...]  # layers and width of the image's tower
    pairs: tuple[int, ...]  # at once
    drawings: tuple[int, ...]
    rate: float
    batch: int = 64  # drawings an update


SIZES = {
    "laptop": Size("glyphs:1-0-4200000", ((2, 8), (2, 12)), (4, 16, 64), (6_400, 12_800, 25_600), 0.008),
    "accelerator": Size(
        "glyphs:1-0-66000000", ((3, 32), (3, 64)), (64, 256, 1024), (128_000, 256_000, 512_000), 0.003, 1024
    ),
    "smoke": Size("glyphs:1-0-40000", ((1, 4), (1, 6)), (2, 4), (64, 128, 256), 0.01, 4),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    corpus = corpora.prepare(setup.corpus, quiet=True)
    sentence = parse_language(setup.corpus)[0].sentence
    shared = {"kind": MODEL, "n_head": 1, "vocab_size": max(AMONG, *setup.pairs), "settings": {"patch": 0}}
    return [
        RunConfig(
            model=ModelConfig(n_layer=layers, d_model=width, seq_len=n * sentence, **shared),
            optim=OptimConfig(learning_rate=setup.rate),
            data=corpus.data(),
            tokens=drawings * sentence,
            batch_tokens=setup.batch * sentence,
            seed=seed,
            data_seed=seed,
            objective=PAIRS,
        )
        for seed in (0, 1)
        for layers, width in setup.shapes
        for n in setup.pairs
        for drawings in setup.drawings[: 1 if seed else None]
    ]


@partial(jax.jit, static_argnums=(0, 1))
def choices(name: str, cfg: ModelConfig, params: tree.Params, tokens_BL: jax.Array) -> tuple:
    """Nats of every target of windows (B, L + 1), and its weight, (B, L) each."""
    batch = objectives.examples(name, cfg, tokens_BL, objectives.HELD_OUT)
    return tree.losses(cfg, params, batch.inputs_BL, batch.targets_BL)[0], batch.weights_BL


@cache
def drawn(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of n drawings of a corpus that no run saw, (W, n * sentence + 1), and what the best critic's
    choices cost in each, nats, (W,)."""
    language, _ = parse_language(name)
    tokens = language.documents(TESTED * language.sentence // 2048, 2048, 1)
    content = tokens.reshape(-1, n, language.sentence)[:, :, -language.length :].astype(np.uint8)
    floor = []
    for each in content:
        ratios = language.ratios(each)
        floor.append(np.mean([special.logsumexp(ratios, axis) - np.diag(ratios) for axis in (0, 1)]))
    windows = tokens.reshape(len(content), -1)
    return np.pad(windows, ((0, 0), (0, 1))), np.array(floor)  # a token more, which nobody is told


def tested(run: weights.Trained, name: str, n: int) -> tuple[float, float, float]:
    """The loss on these drawings, its floor, and the standard error of what is between, over windows."""
    windows, floor = drawn(name, n)
    cfg, nats = replace(run.config.model, seq_len=windows.shape[1] - 1), []
    for block in np.split(windows, 4):
        nats_BL, weights_BL = jax.device_get(choices(run.config.objective, cfg, run.params, block))
        nats.append((nats_BL * weights_BL).sum(1) / weights_BL.sum(1))
    gap = np.concatenate(nats) - floor
    return float(gap.mean() + floor.mean()), float(floor.mean()), float(gap.std() / len(gap) ** 0.5)


def measure(run: weights.Trained) -> Iterator[measured.Row]:
    """One row: what choices cost among as many as the run learned from, and among 64, beside the floor."""
    model, config = run.config.model, run.config
    n = model.seq_len // parse_language(config.data.corpus)[0].sentence
    row = {}
    for more, name, among in (
        ("_own", config.data.corpus, n),
        ("", config.data.corpus, AMONG),
        ("_others", OTHERS, AMONG),
    ):
        scored = zip(("loss", "floor", "error"), tested(run, name, among), strict=True)
        row |= {f"{part}{more}": round(value, 5) for part, value in scored}
    yield {
        "width": model.d_model,
        "params": counts.count_params(model).params,
        "pairs": n,
        "drawings": config.tokens * n // model.seq_len,
        "flops": counts.run_flops(config),
        "seed": config.seed,
    } | row


@dataclass(frozen=True)
class Found:
    """What was measured of a table's runs, a column each (R,), and how what is over the floor of choices
    among 64 goes with compute: a line in logarithms for every number of pairs, of one slope."""

    columns: dict[str, np.ndarray]
    coefficients: np.ndarray  # of log compute, then of each number of pairs
    covariance: np.ndarray
    freedom: int  # degrees of

    @property
    def over(self) -> np.ndarray:
        return self.columns["loss"] - self.columns["floor"]

    @property
    def pairs(self) -> np.ndarray:
        return np.unique(self.columns["pairs"])

    @property
    def exponent(self) -> tuple[float, float, float]:
        """With its 95 % interval."""
        reach = stats.t.ppf(0.975, self.freedom) * self.covariance[0, 0] ** 0.5
        return tuple(self.coefficients[0] + sign * reach for sign in (0, -1, 1))

    def worth(self, n: int, base: int) -> tuple[float, float, float]:
        """How many times the compute n pairs at once are worth beside `base`, with the 95 % interval."""
        rng = np.random.default_rng(0)
        normal = rng.multivariate_normal(np.zeros(len(self.coefficients)), self.covariance, 4000)
        drawn = self.coefficients + normal / np.sqrt(rng.chisquare(self.freedom, (4000, 1)) / self.freedom)
        at = 1 + np.searchsorted(self.pairs, [n, base])
        times = lambda of: np.exp((of[..., at[0]] - of[..., at[1]]) / of[..., 0])  # noqa: E731
        return (float(times(self.coefficients)), *np.quantile(times(drawn), [0.025, 0.975]))


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-choices.csv")


def find(path: Path) -> Found:
    lines = tables.lines_of(beside(path))
    names = [name for name in lines[0] if name not in ("run_id", "finished")]
    columns = {name: np.array([float(line[name]) for line in lines]) for name in names}
    pairs = np.unique(columns["pairs"])
    design = np.column_stack([np.log(columns["flops"]), columns["pairs"][:, None] == pairs])
    over = np.log(np.maximum(columns["loss"] - columns["floor"], 1e-6))
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ over
    freedom = len(over) - len(coefficients)
    variance = ((over - design @ coefficients) ** 2).sum() / freedom
    return Found(columns, coefficients, variance * inverse, freedom)


def answer(path: Path) -> list[str]:
    found = find(path)
    of, longest = found.columns, found.columns["drawings"] == found.columns["drawings"].max()
    lines = []
    for n in found.pairs:
        own = longest & (of["pairs"] == n) & (of["width"] == of["width"].max())
        lines.append(
            f"{n:.0f} pairs at once, largest runs: {of['loss_own'][own].mean():.3f} nats a choice where "
            f"{of['floor_own'][own].mean():.4f} is the floor; among {AMONG} {of['loss'][own].mean():.3f}, in "
            f"fonts held out {of['loss_others'][own].mean():.3f}; their floors {of['floor'][own].mean():.3f} "
            f"and {of['floor_others'][own].mean():.3f}"
        )
    slope, low, high = found.exponent
    base = found.pairs[len(found.pairs) // 2]
    worth = [
        f"{n:.0f} {value:.2f} ({a:.2f}, {b:.2f})"
        for n in found.pairs
        if n != base
        for value, a, b in [found.worth(n, base)]
    ]
    below = (found.over < -2 * of["error"]).sum()
    return [
        f"over the floor ~ C^{slope:.2f} ({low:.2f}, {high:.2f}); times the compute of {base:.0f} pairs at "
        f"once: {', '.join(worth)}",
        *lines,
        f"{below} of {len(found.over)} runs are below the floor of {AMONG} by more than two standard errors; "
        f"the nearest is {found.over.min():.3f} nats over it",
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-choices.csv (what was measured of each), captions.png, and what they say."""
    name, grid_of = tables.name_of("captions", size), configs or partial(runs, size)
    path = measured.with_table(store, name, grid_of, out, (SIZES[size].corpus,), measure, "choices")
    print("\n".join(answer(path)))
    figures_images.captions(find(path)).savefig(out / "captions.png")
    print(f"figure in {out}")
