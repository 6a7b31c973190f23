"""Who reads drawings better, patches or convolutions, by compute and by drawings?

Question: on drawn letters with captions of known entropy (lab/data/glyphs.py) a vision Transformer
          (Dosovitskiy et al. 2020) and a residual network (He et al. 2015) tell a caption's four words from
          the image alone: what are convolutions worth in compute and in drawings, does the gap close with
          scale, and how often is the letter told right, in fonts that were learned from and in others?
Command:  python -m lab run experiments.vision   (:accelerator, :smoke)
Cost:     laptop: 52 runs, 4.4e12 FLOPs, about 7 minutes on two cores;
          accelerator: 52 runs, 4.5e14 FLOPs, about eight minutes at 1e12 FLOP/s
Answer:   expected: convolutions are ahead at every compute and every number of drawings (Dosovitskiy et al.
          2020 find them ahead where data are few), worth 2 to 4 times the drawings and 1.7 to 4 times the
          compute of patches. The gap does not close within these two decades: a factor of .7 to 2.5 a decade
          for either multiplier. After 51,200 drawings convolutions end at .2 to .6 nats a caption and tell
          85 to 97 % of letters in fonts learned from, 3 to 10 points less in others; patches after 102,400
          at .5 to 1.2 nats and 65 to 90 %, 3 to 10 points less in others

Inks, sizes and quadrants are asked with the letter, since with letters alone both stay at chance for some
24,000 drawings; and hidden matrices move by Muon, with which both leave it sooner than with AdamW.
Convolutions are written as products (experiments/own/readers.py). A width of patches and one of convolutions
stand side by side at nearly equal FLOPs a drawing, so that a comparison is at equal compute and equal
drawings. Patches learn from twice as many drawings, so that what convolutions reach is reached by both.
160,000 drawings can be drawn, so half of those that are tested may be among those learned from; of fonts held
out none is. Twenty short runs of other sizes and another corpus chose the rates, and told the expected
losses.

The two multipliers are read off between neighbouring runs of patches, at equal FLOPs a drawing. Laws of
powers over all widths, which were tried first, gave 6 (3, 16) at the most compute, since the narrow widths'
runs end at 102,400 drawings, where wide ones stand in for them, and learning curves bend. Intervals hold the
noise between seeds, and no more.

What was expected holds at the best widths; the narrowest convolutions end higher, at 1.0 nats and 68 % of
letters. That the gap closes where data are many, as Dosovitskiy et al. find, is not seen here, as was
expected: below 51,200 drawings it may as well grow, and it is 2.1 at the narrowest width and 2.9 at the
widest, with intervals that meet. In this range both still learn to read at all, where theirs is millions of
images. Convolutions' best rate may lie above those that were tried, which would widen the gap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import optax

from experiments.own.drawings import CAPTION
from experiments.reports import figures_images, learning, measured, tables
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts, tree
from lab.store.store import Store
from lab.trained import weights

OWN = Path(__file__).parent / "own" / "readers.py"
OTHERS = "glyphs:2-0"  # the fonts that are held out
TESTED = 4096  # drawings
PATCH = 3  # pixels
ARMS = "patches", "convolutions"


@dataclass(frozen=True)
class Size:
    """One grid: widths of patches, and of convolutions of as many FLOPs; each arm's rate; the fewest drawings
    that each learns from, which are doubled so many times."""

    corpus: str
    widths: tuple[tuple[int, int], ...]
    rates: tuple[float, float]
    fewest: tuple[int, int]
    doubled: int = 3
    batch: int = 32  # drawings an update
    heads: int = 2


SIZES = {
    "laptop": Size("glyphs:1-0-14000000", ((20, 14), (28, 20), (40, 28)), (0.015, 0.03), (12_800, 6_400)),
    "accelerator": Size(
        "glyphs:1-0-66000000", ((96, 68), (128, 92), (192, 136)), (0.005, 0.01), (64_000, 32_000), batch=256
    ),
    "smoke": Size("glyphs:1-0-40000", ((8, 6), (12, 8)), (0.015, 0.03), (64, 64), 2, batch=8),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    """Every width at every number of drawings by two seeds, and at the middle of both each arm at half and
    twice its rate."""
    setup = SIZES[size]
    corpus = corpora.prepare(setup.corpus, quiet=True)
    sentence = parse_language(setup.corpus)[0].sentence
    shared = {"kind": f"{OWN}:Reader", "n_layer": 2, "vocab_size": corpus.vocab_size, "seq_len": sentence}

    def run(arm: int, rung: int, drawings: int, seed: int, times: float = 1) -> RunConfig:
        own = {"n_head": 1} if arm else {"n_head": setup.heads, "settings": {"patch": PATCH}}
        return RunConfig(
            model=ModelConfig(d_model=setup.widths[rung][arm], **shared, **own),
            optim=OptimConfig(learning_rate=times * setup.rates[arm], optimizer="muon"),
            data=corpus.data(),
            tokens=drawings * sentence,
            batch_tokens=setup.batch * sentence,
            seed=seed,
            data_seed=seed,
            objective=f"{OWN}:words",
        )

    cells = [
        (arm, rung, setup.fewest[arm] << double)
        for arm in (0, 1)
        for rung in range(len(setup.widths))
        for double in range(setup.doubled + 1)
    ]
    middle = [(arm, len(setup.widths) // 2, setup.fewest[arm] << setup.doubled // 2) for arm in (0, 1)]
    return [
        *(run(*cell, seed) for seed in (0, 1) for cell in cells),
        *(run(*cell, 0, times) for cell in middle for times in (0.5, 2.0)),
    ]


@cache
def drawn(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Drawings of a corpus that are drawn apart from those learned from, (S, sentence), and the nats of each
    word of the caption that the image leaves, mean, (words,)."""
    language, _ = parse_language(name)
    tokens = language.documents(TESTED * language.sentence // 2048, 2048, 1)
    drawings = tokens.reshape(-1, language.sentence)
    return drawings, -language.log_probs(drawings)[:, CAPTION:].mean(0)


@partial(jax.jit, static_argnums=0)
def read(cfg: ModelConfig, params: tree.Params, drawings: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Nats of each word of captions, and whether it is the likeliest, (S, words) each."""
    logits, words = tree.apply(cfg, params, drawings)[:, CAPTION:], drawings[:, CAPTION:]
    return optax.softmax_cross_entropy_with_integer_labels(logits, words), logits.argmax(-1) == words


def measure(run: weights.Trained) -> Iterator[measured.Row]:
    """One row: nats of captions and of their letters, and how often a letter is told right."""
    model, config, row = run.config.model, run.config, {}
    for more, name in (("", config.data.corpus), ("_others", OTHERS)):
        drawings, floor = drawn(name)
        blocks = [read(model, run.params, block) for block in np.split(drawings, 4)]
        nats, right = (np.concatenate(each).mean(0) for each in zip(*jax.device_get(blocks), strict=True))
        scored = {"caption": nats.sum(), "caption_floor": floor.sum(), "letter": nats[0], "right": right[0]}
        row |= {f"{part}{more}": round(float(value), 5) for part, value in scored.items()}
    yield {
        "arm": ARMS[not model.settings],
        "width": model.d_model,
        "params": counts.count_params(model).params,
        "drawings": config.tokens // model.seq_len,
        "flops": counts.run_flops(config),
        "rate": config.optim.learning_rate,
        "seed": config.seed,
    } | row


@dataclass(frozen=True)
class Found:
    """What was measured of a table's runs, a column each (R,), and how many times the drawings patches of as
    many FLOPs a drawing need for what convolutions reach, at K points within the runs of both."""

    columns: dict[str, np.ndarray]
    own_rate: np.ndarray  # whether a run's rate is its arm's, (R,)
    rung: np.ndarray  # of the widths, from the narrowest, (K,)
    drawings: np.ndarray  # that convolutions learned from, (K,)
    times: np.ndarray  # in drawings, (K,)
    draws: np.ndarray  # its logarithm by the noise between seeds, (draws, K)
    dearer: np.ndarray  # FLOPs a drawing of patches over those of convolutions, (K,)

    def mean(self, rows: np.ndarray | slice = slice(None), flops: bool = False) -> str:
        """The geometric mean of points with its 95 % interval, in drawings or in FLOPs."""
        more = np.log(self.dearer[rows]).mean() if flops else 0.0
        ends = np.quantile(self.draws[:, rows].mean(1), [0.025, 0.975])
        value, low, high = np.exp(more + np.array([np.log(self.times[rows]).mean(), *ends]))
        return f"{value:.2f} ({low:.2f}, {high:.2f})"

    @property
    def trend(self) -> str:
        """By what factor it changes with ten times the drawings, at one width, with its 95 % interval."""
        x = np.log10(self.drawings)
        x = x - np.array([x[self.rung == rung].mean() for rung in self.rung])
        value, draws = (of @ x / (x @ x) for of in (np.log(self.times), self.draws))
        low, high = np.quantile(draws, [0.025, 0.975])
        return f"{np.exp(value):.2f} ({np.exp(low):.2f}, {np.exp(high):.2f})"


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-words.csv")


def find(path: Path) -> Found:
    lines = tables.lines_of(beside(path))
    of = {
        name: np.array([line[name] for line in lines])
        for name in lines[0]
        if name not in ("run_id", "finished")
    }
    of = {name: column if name == "arm" else column.astype(float) for name, column in of.items()}
    own_rate = np.zeros(len(lines), bool)
    for arm in ARMS:
        rates, counted = np.unique(of["rate"][of["arm"] == arm], return_counts=True)
        own_rate |= (of["arm"] == arm) & (of["rate"] == rates[counted.argmax()])
    return Found(of, own_rate, *learning.crossings(of, own_rate, ARMS))


def answer(path: Path) -> list[str]:
    found = find(path)
    of, lines = found.columns, []
    for drawings in np.unique(of["drawings"]):
        words = []
        for arm in ARMS:
            at = found.own_rate & (of["arm"] == arm) & (of["drawings"] == drawings)
            if not at.any():
                continue
            widths = np.unique(of["width"][at])
            mean = {w: of["caption"][at & (of["width"] == w)].mean() for w in widths}
            best = at & (of["width"] == min(mean, key=mean.get))
            told = {name: of[name][best].mean() for name in ("caption", "right", "right_others")}
            words.append(
                f"{arm} of width {of['width'][best][0]:.0f} {told['caption']:.2f} nats a caption, letters "
                f"{100 * told['right']:.0f} % and in other fonts {100 * told['right_others']:.0f} %"
            )
        lines.append(f"{drawings:,.0f} drawings: {'; '.join(words)}")
    floors = ", ".join(f"{of['caption_floor' + more][0]:.3f}" for more in ("", "_others"))
    by_width = ", ".join(found.mean(found.rung == rung) for rung in np.unique(found.rung))
    points = zip(found.rung, found.drawings, found.times, strict=True)
    widths = np.unique(of["width"][of["arm"] == ARMS[1]])
    read = ", ".join(f"{n:,.0f} at width {widths[int(rung)]:.0f} {times:.2f}" for rung, n, times in points)
    return [
        f"patches need {found.mean()} times convolutions' drawings, {found.mean(flops=True)} times their "
        f"FLOPs; per decade times {found.trend}",
        f"times the drawings, from the narrowest width to the widest: {by_width}; 'per decade' is by "
        "how much they change with ten times the drawings at one width",
        f"convolutions' drawings and how many times as many patches need: {read}",
        *lines,
        f"nats that an image leaves of its caption, fonts learned from and others: {floors}",
        f"rates at half, once and twice the arm's: {'; '.join(tried(found, arm) for arm in ARMS)}",
    ]


def tried(found: Found, arm: str) -> str:
    """Nats a caption at each rate, of the shape that was tried at several."""
    of = found.columns
    at = of["arm"] == arm
    odd = np.flatnonzero(at & ~found.own_rate)
    if not len(odd):
        return f"{arm} none"
    same = at & np.all([of[name] == of[name][odd[0]] for name in ("width", "drawings", "seed")], 0)
    order = np.argsort(of["rate"][same])
    pairs = zip(of["rate"][same][order], of["caption"][same][order], strict=True)
    return f"{arm} {', '.join(f'{rate:g}: {nats:.2f}' for rate, nats in pairs)}"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-words.csv (what was measured of each), vision.png, and what they say."""
    name, grid_of = tables.name_of("vision", size), configs or partial(runs, size)
    path = measured.with_table(store, name, grid_of, out, (SIZES[size].corpus,), measure, "words")
    print("\n".join(answer(path)))
    figures_images.reading(find(path)).savefig(out / "vision.png")
    print(f"figure in {out}")
