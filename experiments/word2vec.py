"""Does word2vec find analogies where they are known, and what are its vectors worth beside a Transformer's?

Question: words of three attributes of four values, whose contexts tell of one attribute each: how do the loss
          of skip-gram with negative sampling, over its known floor, and the share of analogies that its
          vectors answer go with their width and with pairs? How much more compute does a Transformer's table
          of embeddings take for the same?
Command:  python -m lab run experiments.word2vec   (:accelerator, :smoke)
Cost:     laptop: 63 runs, 2.9e11 FLOPs, about 2 minutes on two cores;
          accelerator: 160 runs, 2.5e14 FLOPs
Answer:   expected: the floor is that of shifted PMI (Levy & Goldberg 2014), a matrix of rank 10 here. Below
          width 10 the loss ends at the best matrix of that width, above at the floor, and what is left falls
          as pairs to the power of -.7 to -1.1: as many weights as are asked for are told by so many pairs.
          Analogies rise with width and with pairs, as in Mikolov et al. 2013: of most pairs 95 % and more
          from width 10 on, under a third at 2, and wider vectors than 10 are no better. A Transformer's
          embeddings answer less at equal pairs, and at equal compute under a tenth: word2vec is worth 100 to
          2,000 times its compute at one half of the analogies, since it tells no context from all others

Analogies are all of those that words make that differ in one attribute: of a, b and c, the nearest to
b - a + c by cosine, those three left out, must be the word with b's value and else c's. A context's chance in
text is that of a negative, so the optimum of the loss is log P(w, c) / P(w) P(c) - log k; its loss, that of
the best matrix of each width, and each run's of its weights are computed over the whole language, not over a
sample. FLOPs are matrix products; a look into a table is none.
The Transformers (one layer, width 16) read the same pairs as text, by next token. Rates are of short runs of
another language and seed.

Refused: vectors wider than the rank are a little worse of so many pairs; below it the loss comes nearer to
the best of its width as pairs to the power of -1.1 to -1.3. And a Transformer's embeddings take more than was
expected for one half of the analogies: one seed of three has it, at more than 3,000 times the compute; the
others less than a quarter of them at the end of the ladder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from experiments.own.word2vec import GROUP, NEGATIVE
from experiments.reports import analogies, figures_pairs, measured, tables
from experiments.reports.seeds import band, ends
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.attributes import Attributes
from lab.data.languages import parse_language
from lab.models import counts, tree
from lab.plan import grid
from lab.store.store import Store
from lab.trained import weights

FILE = Path(__file__).parent / "own" / "word2vec.py"
RATES = {"word2vec": 0.1, "transformer": 0.02}


@dataclass(frozen=True)
class Size:
    """The language, the widths of vectors and the tokens that they learn from; the Transformer's."""

    language: str
    widths: tuple[int, ...]
    tokens: tuple[int, ...]
    transformer: tuple[int, int, int]
    texts: tuple[int, ...]
    batch_tokens: int
    seeds: int


SIZES = {
    "laptop": Size(
        "attributes:4-3-16-0-2000000",
        (2, 4, 6, 8, 10, 16),
        (125_000, 500_000, 2_000_000),
        (1, 16, 1),
        (125_000, 500_000, 2_000_000),
        2048,
        3,
    ),
    "accelerator": Size(
        "attributes:8-3-64-0-64000000",
        (4, 8, 16, 24, 32, 64, 128),
        (1_000_000, 4_000_000, 16_000_000, 64_000_000),
        (1, 64, 2),
        (1_000_000, 4_000_000, 16_000_000, 64_000_000),
        16_384,
        5,
    ),
    "smoke": Size("attributes:3-2-6-0-20000", (2, 5), (4_000, 16_000), (1, 8, 1), (16_000,), 256, 2),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    corpus = corpora.prepare(setup.language, quiet=True)
    shared = {"vocab_size": corpus.vocab_size, "seq_len": 64}
    layers, width, heads = setup.transformer
    grids = [
        (ModelConfig(kind=f"{FILE}:Net", n_layer=1, d_model=width, n_head=1, **shared), setup.tokens)
        for width in setup.widths
    ]
    grids.append((ModelConfig(n_layer=layers, d_model=width, n_head=heads, **shared), setup.texts))
    out = []
    for model, lengths in grids:
        own = model.kind != "transformer"
        config = RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=RATES["word2vec" if own else "transformer"], weight_decay=0.0),
            data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
            tokens=lengths[0],
            batch_tokens=setup.batch_tokens,
            objective=f"{FILE}:pairs" if own else "next_token",
        )
        for cell in grid.product(config, tokens=lengths):
            out += [grid.with_fields(cell, {"seed": s, "data_seed": s}) for s in range(setup.seeds)]
    return out


@cache
def sums_of(language: Attributes) -> analogies.NegativeSampling:
    return analogies.NegativeSampling(language.joint, NEGATIVE)


@cache
def best(language: Attributes, width: int) -> float:
    return sums_of(language).best(width)


def measure(run: weights.Trained) -> Iterator[measured.Row]:
    """One row: what a run's vectors of words answer and, of word2vec, their loss over the whole language."""
    language, _ = parse_language(run.config.data.corpus)
    own = run.config.model.kind != "transformer"
    W, params = language.words, run.params
    vectors = np.asarray(params["words"] if own else table_of_words(run), np.float64)[:W]
    numbers = dict.fromkeys(("loss", "floor", "best"), "")
    if own:
        contexts, sums = np.asarray(params["contexts"], np.float64)[W:], sums_of(language)
        numbers["loss"] = sums.loss(vectors @ contexts.T)
        numbers |= {"floor": sums.floor, "best": best(language, run.config.model.d_model)}
    numbers["analogies"] = analogies.right(language.values_WA, vectors)
    yield {
        "kind": "word2vec" if own else "transformer",
        "width": run.config.model.d_model,
        "tokens": run.config.tokens,
        "pairs": run.config.tokens // (GROUP if own else language.sentence),
        "flops": counts.run_flops(run.config),
        "seed": run.config.seed,
        **{name: f"{value:.7g}" if value != "" else "" for name, value in numbers.items()},
    }


def table_of_words(run: weights.Trained) -> np.ndarray:
    """What a Transformer looks its tokens up in, (V, D)."""
    (table,) = (each for each in tree.describe(run.config.model) if each.role == "embed")
    leaf = run.params
    for name in table.path:
        leaf = leaf[name]
    return leaf


@dataclass(frozen=True)
class Curve:
    """Runs of one kind and width by their tokens; of each seed the rest, (tokens, seeds)."""

    pairs: np.ndarray
    flops: np.ndarray
    excess: np.ndarray  # nats a target over the floor; nan of a Transformer
    over_best: np.ndarray  # ... over the best of the width
    right: np.ndarray  # share of the analogies

    @property
    def slopes(self) -> np.ndarray:
        """Of each seed, the power of the pairs with which the loss over the best of its width falls."""
        return np.polyfit(np.log(self.pairs), np.log(self.over_best), 1)[0]

    def flops_at(self, share: float) -> np.ndarray:
        """Of each seed the FLOPs from which on it answers a share of the analogies, by straight lines over
        the logarithm of FLOPs; infinite where it never does."""
        found = []
        for right in self.right.T:
            above = np.flatnonzero(right >= share)
            if not len(above) or above[0] == 0:
                found.append(np.inf if not len(above) else self.flops[0])
                continue
            ends = slice(above[0] - 1, above[0] + 1)
            found.append(np.exp(np.interp(share, right[ends], np.log(self.flops[ends]))))
        return np.array(found)


def curves(path: Path) -> dict[tuple[str, int], Curve]:
    found, lines = {}, tables.lines_of(beside(path))
    for cell in dict.fromkeys((line["kind"], int(line["width"])) for line in lines):
        own = [line for line in lines if (line["kind"], int(line["width"])) == cell]
        own.sort(key=lambda line: (int(line["tokens"]), int(line["seed"])))
        names = ("pairs", "flops", "loss", "floor", "best", "analogies")
        shape = len({line["tokens"] for line in own}), -1
        of = {name: np.reshape([float(line[name] or "nan") for line in own], shape) for name in names}
        over = of["loss"] - of["floor"], of["loss"] - of["best"]
        found[cell] = Curve(of["pairs"][:, 0], of["flops"][:, 0], *over, of["analogies"])
    return found


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-vectors.csv")


def best_over_floor(path: Path) -> dict[int, float]:
    """What the best vectors of a width miss of the floor, nats a target."""
    lines = [line for line in tables.lines_of(beside(path)) if line["best"]]
    return {int(line["width"]): float(line["best"]) - float(line["floor"]) for line in lines}


def answer(path: Path) -> list[str]:
    found, least = curves(path), best_over_floor(path)
    (other,) = (curve for (kind, _), curve in found.items() if kind == "transformer")
    own = {width: curve for (kind, width), curve in found.items() if kind == "word2vec"}
    enough = [width for width in own if least[width] < 1e-6] or [max(own)]
    share, lines = 0.5, []
    for width, curve in own.items():
        lines.append(
            f"width {width}: the best is {least[width]:.2g} nats over the floor; runs end "
            f"{curve.excess[-1].mean():.2g} over it and fall to the best as pairs^{ends(curve.slopes)}; "
            f"analogies {shares(curve)}"
        )
    reached, least_flops = (curve.flops_at(share) for curve in (other, own[enough[0]]))
    lines.append(
        f"a Transformer's embeddings, of {', '.join(f'{each:.2g}' for each in other.flops)} FLOPs: analogies "
        f"{shares(other)}"
    )
    top, which = own[enough[0]], np.isfinite(reached)
    if which.all():
        worth = np.exp(band(np.log(reached / least_flops)))
        said = "half at 1/{:.3g} ({:.3g} to {:.3g}) of a Transformer's compute".format(*worth)
    else:
        said = (
            f"half at {least_flops.mean():.2g} FLOPs, which {which.sum()} of {len(which)} Transformers reach"
        )
        said += f", from {reached.min():.2g} on" * bool(which.any())
        more = other.flops[-1] / least_flops
        lines.append(
            f"half the analogies: Transformers that have them take "
            f"{', '.join(f'{each:,.0f}' for each in (reached / least_flops)[which])} times the compute; the "
            f"others have them not at {more.min():,.0f} times"
        )
    return [f"analogies {ends(top.right[-1], 3)} right at width {enough[0]}; {said}", *lines]


def shares(curve: Curve) -> str:
    return f"{', '.join(f'{each:.2f}' for each in curve.right.mean(1))}, at last {ends(curve.right[-1], 3)}"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-vectors.csv (loss and analogies of each), word2vec.png, and what they say."""
    name, setup = tables.name_of("word2vec", size), SIZES[size]
    grid_of = configs or partial(runs, size)
    path = measured.with_table(store, name, grid_of, out, (setup.language,), measure, "vectors")
    print("\n".join(answer(path)))
    found = curves(path)
    own = {width: curve for (kind, width), curve in found.items() if kind == "word2vec"}
    (other,) = (curve for (kind, _), curve in found.items() if kind == "transformer")
    rank = parse_language(setup.language)[0].rank
    figures_pairs.word2vec(own, other, best_over_floor(path), rank).savefig(out / "word2vec.png")
    print(f"figure in {out}")
