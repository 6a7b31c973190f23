"""Is there a sentiment neuron, and how does it grow?

Question: byte LSTMs and Transformers of four sizes learn to foretell film reviews and are told no label
          (Radford et al. 2017, Learning to Generate Reviews and Discovering Sentiment): how often does a
          linear probe of their states tell a good review from a bad one, how often the single best unit,
          and how does either move with the loss and the size?
Command:  python -m lab run experiments.sentiment   (:accelerator has an LSTM of 1,024 units; :smoke)
Cost:     laptop: 16 runs, 6.5e12 FLOPs, about 5 minutes on two cores, and as long to measure;
          accelerator: 16 runs, 2.7e16 FLOPs, some hours
Answer:   expected: the linear probe rises with every rung, from some 60 to some 68 %, along one line against
          the loss for both kinds, always ahead of the same probe of byte counts and of untrained weights; the
          single best unit stays under 62 %: no sentiment neuron at this size, which in the paper took 4,096
          units and 82 million reviews; all far behind word counts, some 85 %

A review is read in windows of the length trained, each from zero, and a unit's value is its mean over all
bytes of the review. The probe is a logistic regression with an L1 penalty, as in the paper, whose strength is
chosen on a fifth of the labelled reviews. It is tested on reviews of which no run of the grid read a
window, the held-out ones among them. All runs see one order of the data; seeds differ in the weights that
they begin with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments.reports import figures_probe, reviews, shakespeare, tables
from experiments.reports.reviews import Labelled, percent, share
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts
from lab.plan import grid
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.store import Store

TIMES = {"lstm": 3.0, "transformer": 2.0}  # over the plain grid's rule, as in architectures


COLOURS = (
    "Blue: the unit above its mean over reviews, red: below. Neither review was read by any run. At a "
    "character the unit has seen the window so far, which begins anew every 128 bytes."
)
SHOWN = 640  # bytes of a review in colours


@dataclass(frozen=True)
class Size:
    """Rungs of an LSTM's (layers, width), a Transformer's (layers, width, heads) of about its price a token,
    and the training FLOPs of either."""

    rungs: tuple[tuple[tuple[int, int], tuple[int, int, int], float], ...]
    seq_len: int
    batch_tokens: int
    seeds: int = 2
    labelled: int = 2000  # reviews that the probe learns from
    tested: int = 1000  # at most
    corpus: str = "movie-reviews"


SIZES = {
    "laptop": Size(
        (
            ((1, 24), (1, 16, 1), 4e10),
            ((1, 40), (2, 24, 1), 1.2e11),
            ((1, 64), (2, 36, 1), 3.6e11),
            ((1, 96), (2, 56, 2), 1.1e12),
        ),
        seq_len=128,
        batch_tokens=2048,
    ),
    "accelerator": Size(
        (
            ((1, 128), (2, 72, 2), 5e13),
            ((1, 256), (3, 120, 3), 2.5e14),
            ((1, 512), (4, 208, 4), 1.2e15),
            ((1, 1024), (6, 336, 6), 5.2e15),
        ),
        seq_len=256,
        batch_tokens=16_384,
        labelled=10_000,
    ),
    "smoke": Size(
        (((1, 8), (1, 8, 1), 1e7), ((1, 12), (1, 12, 1), 2e7)),
        seq_len=16,
        batch_tokens=128,
        labelled=40,
        tested=40,
    ),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, cells = SIZES[size], []
    data = corpora.prepare(setup.corpus).data(max_epochs=4.0)
    for (layers, width), transformer, budget in setup.rungs:
        for kind, shape in (("lstm", (layers, width, 1)), ("transformer", transformer)):
            (model,) = grid.ladder([shape], vocab_size=256, seq_len=setup.seq_len, kind=kind)
            cells += grid.isoflop({budget: [model]}, data=data, optim=optim, batch_tokens=setup.batch_tokens)
    return [config for cell in cells for config in grid.product(cell, seed=range(setup.seeds))]


def optim(model: ModelConfig, tokens: int) -> OptimConfig:
    return OptimConfig(learning_rate=TIMES[model.kind] * shakespeare.rule(counts.count_params(model).params))


@dataclass(frozen=True)
class Rung:
    """Runs of one kind and size: what they reached, and which of the reviews (seeds, reviews) a probe and a
    unit of theirs tell right, and a probe of the weights that the first began with."""

    kind: str
    params: int
    budget: float
    bits: float
    linear: np.ndarray
    unit: np.ndarray
    untrained: np.ndarray


def rungs(path: Path, lines: Sequence[dict[str, str]]) -> list[Rung]:
    """Of a run table and its probes, by kind and rising size."""
    runs, out = table.read(path).usable(), []
    told = {(line["run_id"], line["features"]): line for line in lines}
    for kind in TIMES:
        own = runs.select(runs.column("kind") == kind)
        for budget, of in sorted((float(key), of) for key, of in own.by("budget").items()):
            ids = [run_id for run_id in of.column("run_id") if (run_id, "trained") in told]
            right = lambda name, ids=ids: np.array([reviews.bits(told[i, "trained"], name) for i in ids])  # noqa: E731
            begun = [reviews.bits(told[i, "untrained"], "linear") for i in ids if (i, "untrained") in told]
            params, bits = of.column("params")[0], of.column("bits_per_byte").astype(float).mean()
            out.append(Rung(kind, int(params), budget, bits, right("linear"), right("unit"), np.array(begun)))
    return out


def probes_of(path: Path) -> list[dict[str, str]]:
    """The probes beside a report's table, or those that were committed."""
    beside = path.with_name("probe.csv")
    return tables.lines_of(beside if beside.exists() else tables.kept("sentiment-probe"))


def counted(lines: Sequence[dict[str, str]]) -> dict[str, np.ndarray]:
    """Which reviews a probe of byte counts and one of word counts tell right, (1, reviews)."""
    of = {line["features"]: reviews.bits(line, "linear")[None] for line in lines}
    return {name: of[name] for name in ("bytes", "words")}


def answer(path: Path) -> list[str]:
    lines = probes_of(path)
    every, counts_of = rungs(path, lines), counted(lines)
    words, out = [], []
    for kind in TIMES:
        own = [rung for rung in every if rung.kind == kind]
        ends = [100 * rung.linear.mean() for rung in (own[0], own[-1])]
        words.append(f"{kind} {ends[0]:.0f} to {ends[1]:.0f} %")
        out += [
            f"{kind} of {rung.params:,} params, {rung.bits:.3f} bits a byte: probe "
            f"{percent(share(rung.linear))}, best unit {percent(share(rung.unit))}, untrained "
            f"{percent(share(rung.untrained))}"
            for rung in own
        ]
        more = percent(share(own[-1].linear, counts_of["bytes"]))
        grown = percent(share(own[-1].linear, own[0].linear))
        out.append(f"{kind}, largest: {more} over byte counts, {grown} over the smallest")
    first, second = ([rung for rung in every if rung.kind == kind][-1] for kind in TIMES)
    out.append(
        f"the largest LSTM's probe over the Transformer's: {percent(share(first.linear, second.linear))}"
    )
    known = {name: percent(share(right)) for name, right in counts_of.items()}
    out.append(f"a probe of byte counts {known['bytes']}, of which words a review has {known['words']}")
    unit = max(100 * rung.unit.mean() for rung in every)
    head = f"told right by a probe, smallest to largest: {', '.join(words)}; by one unit {unit:.0f} % at most"
    return [f"{head}; by words {100 * counts_of['words'].mean():.0f} %", *out]


def measure(store: Store, configs: Sequence[RunConfig], size: Size, out: Path) -> None:
    """probe.csv: what probes of every run's states tell right, of the weights it began with, and of counts of
    bytes and words, which stand under the first run; and text.png, of the LSTM of least loss."""
    from lab.train.step import initial_state
    from lab.trained import probe, weights

    trained = [weights.read(store, trained_as(store, config).run_id) for config in configs]
    learn, test = reviews.reviews(trained[0].corpus(), configs, size.labelled, size.tested)
    rows = []

    def add(run_id: str, name: str, features: Callable) -> tuple[np.ndarray, reviews.Probed]:
        known = features(learn.texts)
        found = reviews.probed(known, features(test.texts), learn, test)
        rows.append({"run_id": run_id, "features": name, **found.row()})
        return known, found

    add(configs[0].run_id, "bytes", reviews.byte_counts)
    vocabulary = reviews.frequent(learn.texts)
    add(configs[0].run_id, "words", lambda texts: reviews.word_counts(texts, vocabulary))
    best = min((r for r in trained if r.config.model.kind == "lstm"), key=lambda r: r.record["loss"])
    for config, run in zip(configs, trained, strict=True):
        known, found = add(config.run_id, "trained", partial(probe.pooled, config.model, run.params))
        if run is best:
            shown = coloured(run, known, found, test)
            figures_probe.text(shown, COLOURS).savefig(out / "text.png")
        if not config.seed:
            begun = initial_state(config).params
            add(config.run_id, "untrained", partial(probe.pooled, config.model, begun))
    tables.write_lines(out / "probe.csv", rows)


def coloured(
    run, known: np.ndarray, found: reviews.Probed, test: Labelled
) -> list[tuple[str, str, np.ndarray]]:
    """The first review of either kind, and the best unit at each byte, less its mean over reviews."""
    from lab.trained import probe

    out = []
    for label, name in ((1, "a good review"), (0, "a bad one")):
        text = test.texts[int(np.argmax(test.labels == label))][:SHOWN]
        unit = probe.by_token(run.config.model, run.params, text)[:, found.index]
        letters = bytes(text[:-1].astype(np.uint8)).decode("latin-1")
        out.append((name, letters, unit - known[:, found.index].mean()))
    return out


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, probe.csv, sentiment.png (told right by loss and by size), text.png, and what they say."""
    setup, name = SIZES[size], tables.name_of("sentiment", size)
    path = tables.table_of(name, store, partial(runs, size), out, (setup.corpus,))
    if contents.learned_from(store, (setup.corpus,)):
        done = set(table.read(path).column("run_id"))
        configs = [config for config in runs(size) if trained_as(store, config).run_id in done]
        measure(store, configs, setup, out)
    print("\n".join(answer(path)))
    lines = probes_of(path)
    figures_probe.sentiment(rungs(path, lines), counted(lines)).savefig(out / "sentiment.png")
    print(f"figure in {out}")
