"""Is the floor E of a fitted scaling law the entropy of the data, where that is known?

Question: on two synthetic languages whose entropy rate is computed (a Markov source; a grammar with
          a hierarchy of rules), does the 95 % interval of the fitted E hold the known floor, and
          does any run end below it?
Command:  python -m lab run experiments.known_entropy   (:accelerator, :smoke)
Cost:     laptop: 40 runs, 4.7e13 FLOPs, 10 minutes on two cores as `lab plan` prices it;
          accelerator: 40 runs, 3.0e16 FLOPs, about half an hour
Answer:   expected: no run below the floor by more than the evaluation's noise. For the Markov
          source, which the larger models all but learn, E within 2 % of the floor and its interval
          holding it. For the grammar, whose upper levels are learned late, E too HIGH and its
          interval too narrow: a law fitted before a level is learned takes that level's entropy
          for part of the floor.

Each language: four sizes by four lengths, and two more seeds of two cells. Losses are compared with
the floor of the very held-out windows: the entropy rate, the first targets of a window whose
context is cut, and how far the held-out text happens to lie from the mean.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis import fit, table, uncertainty
from analysis.laws import Chinchilla
from experiments import figures, tables
from lab import corpora, counts, grid
from lab.config import DataConfig, OptimConfig, RunConfig
from lab.languages import parse_language
from lab.store import Store


@dataclass(frozen=True)
class Size:
    """One grid: languages, models, and tokens."""

    languages: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    tokens: tuple[int, ...]
    batch_tokens: int
    seq_len: int
    replicated: tuple[tuple[int, int], ...]  # (shape, tokens) with two more seeds


SIZES = {
    "laptop": Size(
        ("markov:40-2-6-0-8000000", "grammar:32-8-2-5-0-8000000"),
        ((2, 16, 1), (2, 32, 2), (2, 64, 4), (3, 96, 6)),
        (500_000, 1_000_000, 2_000_000, 4_000_000), 1024, 64, ((1, 0), (1, 1)),
    ),
    "accelerator": Size(
        ("markov:44-2-12-0-64000000", "grammar:64-16-2-6-0-64000000"),
        ((4, 64, 2), (4, 128, 2), (6, 256, 4), (8, 384, 6)),
        (8_000_000, 16_000_000, 32_000_000, 64_000_000), 8192, 128, ((1, 0), (1, 1)),
    ),
    "smoke": Size(
        ("markov:8-2-3-0-50000", "grammar:8-3-2-3-0-50000"),
        ((1, 8, 1), (1, 16, 1), (1, 32, 1)),
        (10_000, 20_000, 40_000), 256, 16, ((0, 0),),
    ),
}  # fmt: skip


def runs(size: str = "laptop") -> list[RunConfig]:
    return [config for name in SIZES[size].languages for config in of_language(SIZES[size], name)]


def of_language(size: Size, name: str) -> list[RunConfig]:
    corpus = corpora.prepare(name, quiet=True)
    data = DataConfig(sha256=corpus.sha256, corpus=name, train_tokens=corpus.n_train)
    ladder = grid.ladder(size.shapes, vocab_size=corpus.vocab_size, seq_len=size.seq_len)
    cells = [
        RunConfig(
            model=model, optim=OptimConfig(learning_rate=rate(counts.count_params(model).params)),
            data=data, tokens=tokens, batch_tokens=size.batch_tokens,
        )
        for model in ladder
        for tokens in size.tokens
    ]  # fmt: skip
    at = [cells[i * len(size.tokens) + j] for i, j in size.replicated]
    return cells + [replace(cell, seed=seed, data_seed=seed) for cell in at for seed in (1, 2)]


def rate(params: int) -> float:
    """The quickstart's rule (experiments/rates.py), held at its value for 5,000 weights below."""
    return 0.013 * (max(params, 5_000) / 2e4) ** -0.42


@dataclass(frozen=True)
class Answer:
    """A language's law beside its known floor; losses in nats per token."""

    language: str
    runs: table.Runs
    fitted: fit.Fit
    floor: float  # of the held-out windows
    entropy_rate: float
    low: float  # 95 % of the fitted E
    high: float
    excess: float  # the least loss of any run over the floor
    noise: float  # standard error of that, from the held-out text

    @property
    def said(self) -> str:
        law, inside = self.fitted.law, self.low <= self.floor <= self.high
        verdict = "holds it" if inside else "does NOT hold it"
        if self.fitted.status in ("unidentified", "failed"):
            verdict = "and says nothing"
        said = (
            f"{self.language}: known floor {self.floor:.4f} nats/token (entropy rate "
            f"{self.entropy_rate:.4f}); fitted E = {law.E:.4f} ({self.low:.4f}, {self.high:.4f}) "
            f"{verdict} [{self.fitted.status}]; the best run ends {self.excess:+.4f} from the floor"
        )
        below = self.excess < -2 * self.noise
        return said + (", BELOW it: something leaks" if below else "")


def answer(runs: table.Runs, name: str, seq_len: int) -> Answer:
    """What the rows of one language say.

    The floor is that of the windows, plus how much the held-out text is more surprising to the
    source itself than its mean.
    """
    corpus = corpora.prepare(name, quiet=True)
    language, (source, mean) = (
        parse_language(name)[0],
        (corpus.baselines[key]["nats_per_token"] for key in ("source", "entropy_rate")),
    )
    floor = language.floor(seq_len) + source - mean
    fitted = uncertainty.intervals(fit.fit(Chinchilla, runs))
    low, high = fitted.interval("E")
    used = runs.usable()
    best = int(np.argmin(used.loss))
    noise = float(used.column("loss_se")[best])
    return Answer(name, used, fitted, floor, mean, low, high, float(used.loss[best]) - floor, noise)


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, known_entropy.png and a sentence a language."""
    name = "known_entropy" if size == "laptop" else f"known_entropy-{size}"
    path = tables.table_of(name, store, runs(size), out)
    found = table.read(path).by("corpus")
    answers = []
    for language, rows in found.items():
        if len(rows.usable()) < 6:
            print(f"{language}: fewer than six runs are done, no law yet")
            continue
        answers.append(answer(rows, language, SIZES[size].seq_len))
        print(answers[-1].said)
        if answers[-1].fitted.status != "ok":
            print(f"  {answers[-1].fitted.message}")
    if answers:
        figures.known_entropy(answers).savefig(out / "known_entropy.png")
        print(f"figure in {out}")
