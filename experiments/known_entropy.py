"""Is the floor E of a fitted scaling law the entropy of the data, where that is known?

Question: on synthetic languages whose entropy rate is computed (Markov sources; grammars with a
          hierarchy of rules), does the 95 % interval of the fitted E hold the known floor, as often
          as it says, by which estimator, and does any run end below it?
Command:  python -m lab run experiments.known_entropy   (:accelerator, :smoke)
Cost:     laptop: 320 runs, 5.4e13 FLOPs, 11 minutes on two cores as `lab plan` prices it;
          accelerator: 320 runs, 1.5e17 FLOPs, about an hour at 6e13 FLOP/s
Answer:   expected: no run below the floor by more than the evaluation's noise. For the Markov
          sources, which the larger models all but learn, E within 2 % of the floor and the interval
          holding it for at least 8 of 10 seeds. For the grammars, whose upper levels are learned
          late, E too HIGH or not identified: a law fitted before a level is learned takes that
          level's entropy for part of the floor.

Ten languages of each kind: each seed draws a language, the initial weights and the order of the
data, and trains every size at every length once; the law is fitted to each seed alone, as someone
with one grid would. Losses are compared with the floor of the very held-out windows: the entropy
rate, the first targets of a window whose context is cut, and how far the held-out text happens to
lie from the mean.

The languages and the batch were chosen by six pilot grids of one seed each (16 runs a grid):
with batches of 1,024 tokens the shortest runs of the smallest model had not left the plateau before
the first context is learned, where no power law holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.laws import Chinchilla
from analysis.tables import table
from experiments.reports import figures_floors, tables
from lab.config import DataConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

ESTIMATORS = tuple(  # (objective, kind of interval); the first is what `analysis fit` does alone
    (objective, kind) for objective in ("huber-log", "ls-log") for kind in ("profile", "pairs", "wild")
)
RESAMPLES = 400


@dataclass(frozen=True)
class Size:
    """One grid: languages, models, and tokens."""

    languages: tuple[str, ...]  # names, for each seed
    shapes: tuple[tuple[int, int, int], ...]
    tokens: tuple[int, ...]
    batch_tokens: int
    seq_len: int
    seeds: int


SIZES = {
    "laptop": Size(
        ("markov:12-2-3-{seed}-2000000", "grammar:12-3-2-3-{seed}-2000000"),
        ((2, 16, 1), (2, 24, 1), (2, 32, 2), (2, 48, 3)),
        (250_000, 500_000, 1_000_000, 2_000_000),
        512,
        64,
        10,
    ),
    "accelerator": Size(
        ("markov:44-2-12-{seed}-32000000", "grammar:64-16-2-6-{seed}-32000000"),
        ((4, 64, 2), (4, 128, 2), (6, 256, 4), (8, 384, 6)),
        (4_000_000, 8_000_000, 16_000_000, 32_000_000),
        8192,
        128,
        10,
    ),
    "smoke": Size(
        ("markov:8-2-3-{seed}-50000", "grammar:8-3-2-3-{seed}-50000"),
        ((1, 8, 1), (1, 16, 1), (1, 32, 1)),
        (10_000, 20_000, 40_000),
        256,
        16,
        2,
    ),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    return [
        config
        for name in setup.languages
        for seed in range(setup.seeds)
        for config in configs_of(setup, name.format(seed=seed), seed)
    ]


def configs_of(size: Size, name: str, seed: int) -> list[RunConfig]:
    corpus = corpora.prepare(name, quiet=True)
    data = DataConfig(sha256=corpus.sha256, corpus=name, train_tokens=corpus.n_train)
    ladder = grid.ladder(size.shapes, vocab_size=corpus.vocab_size, seq_len=size.seq_len)
    return [
        RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=rate(counts.count_params(model).params)),
            data=data,
            tokens=tokens,
            batch_tokens=size.batch_tokens,
            seed=seed,
            data_seed=seed,
        )
        for model in ladder
        for tokens in size.tokens
    ]


def rate(params: int) -> float:
    """The plain grid's rule (experiments/rates.py), held at its value for 5,000 weights below."""
    return 0.013 * (max(params, 5_000) / 2e4) ** -0.42


@dataclass(frozen=True)
class Estimate:
    """E by one estimator, nats per token, with its 95 % interval."""

    value: float
    low: float
    high: float
    status: str
    says: bool  # whether the fit is one optimum, and so claims anything

    def holds(self, floor: float) -> bool:
        return self.low <= floor <= self.high


@dataclass(frozen=True)
class Answer:
    """A language's law beside its known floor; losses in nats per token."""

    language: str
    runs: table.Runs
    fitted: fitting.Fit  # by the first estimator
    estimates: dict[tuple[str, str], Estimate]
    floor: float  # of the held-out windows
    entropy_rate: float
    excess: float  # the least loss of any run over the floor
    noise: float  # standard error of that, from the held-out text

    @property
    def kind(self) -> str:
        return self.language.partition(":")[0]

    @property
    def below(self) -> bool:
        """Whether a run ends below the floor by more than the held-out text's noise."""
        return self.excess < -2 * self.noise

    @property
    def summary(self) -> str:
        estimate = self.estimates[ESTIMATORS[0]]
        verdict = "holds it" if estimate.holds(self.floor) else "does NOT hold it"
        if not estimate.says:
            verdict = "and says nothing"
        summary = (
            f"{self.language}: known floor {self.floor:.4f} nats/token (entropy rate "
            f"{self.entropy_rate:.4f}); fitted E = {estimate.value:.4f} ({estimate.low:.4f}, "
            f"{estimate.high:.4f}) {verdict} [{estimate.status}]; the best run ends {self.excess:+.4f} "
            "from the floor"
        )
        return summary + ", BELOW it: something leaks" * self.below


def analyse(runs: table.Runs, name: str, seq_len: int, estimators=ESTIMATORS) -> Answer:
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
    estimates, first = {}, None
    for objective in dict.fromkeys(objective for objective, _ in estimators):
        fitted = fitting.fit(Chinchilla, runs, objective=objective)
        for kind in (kind for own, kind in estimators if own == objective):
            banded = fitting.intervals(fitted, kind, RESAMPLES)
            first = first or banded
            ends = banded.interval("E")
            estimates[objective, kind] = Estimate(banded.law.E, *ends, banded.status, banded.regular)
    used = runs.usable()
    best = int(np.argmin(used.loss))
    noise = float(used.column("loss_se")[best])
    excess = float(used.loss[best]) - floor
    return Answer(name, used, first, estimates, floor, mean, excess, noise)


def coverage(answers: Sequence[Answer]) -> list[str]:
    """For each kind of language and estimator: how often the interval held the floor, how far E was
    from it."""
    lines = []
    for kind in dict.fromkeys(answer.kind for answer in answers):
        own = [answer for answer in answers if answer.kind == kind]
        for estimator in own[0].estimates:
            pairs = [(answer.estimates[estimator], answer.floor) for answer in own]
            held = sum(estimate.holds(floor) for estimate, floor in pairs)
            off = np.array([estimate.value / floor - 1 for estimate, floor in pairs])
            wide = 100 * np.median([(estimate.high - estimate.low) / floor for estimate, floor in pairs])
            silent = sum(not estimate.says for estimate, _ in pairs)
            lines.append(
                f"{kind}, {' with '.join(estimator)} intervals: the floor is inside {held} of "
                f"{len(pairs)}; E is off by {100 * np.median(off):+.2f} % in the middle, at most "
                f"{100 * np.abs(off).max():.2f} %; median width "
                + (f"{wide:.2f} % of the floor" if np.isfinite(wide) else "without end")
                + (f"; {silent} fits say that they are not identified" if silent else "")
            )
    return lines


def analyse_all(path: Path, size: str, estimators=ESTIMATORS) -> list[Answer]:
    """The languages of a table that have runs enough."""
    languages = table.read(path).by("corpus").items()
    return [
        analyse(rows, language, SIZES[size].seq_len, estimators)
        for language, rows in languages
        if len(rows.usable()) >= 6
    ]


def answer(path: Path) -> list[str]:
    """The coverage of the default estimator and of its bootstrap, by kind of language."""
    profile, pairs = ESTIMATORS[:2]
    answers = analyse_all(path, "laptop", (profile, pairs))
    held = {each: sum(a.estimates[each].holds(a.floor) for a in answers) for each in (profile, pairs)}
    silent = sum(not a.estimates[profile].says for a in answers)
    return [
        f"the floor is inside {held[profile]} of {len(answers)} profile intervals and {held[pairs]} "
        f"resampled ones; {silent} fits are not identified",
        *coverage(answers),
        f"{sum(a.below for a in answers)} of {len(answers)} grids have a run below the floor",
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, known_entropy.png, floors.png, a sentence a language and one an estimator."""
    name = tables.name_of("known_entropy", size)
    path = tables.table_of(name, store, configs or partial(runs, size), out, changed=bool(configs))
    answers = analyse_all(path, size)
    for answer in answers:
        print(answer.summary)
        if answer.fitted.status != "ok":
            print(f"  {answer.fitted.message}")
    if not answers:
        print("fewer than six runs of each language are done: no law yet")
    else:
        print("\n".join(coverage(answers)))
        figures_floors.known_entropy(answers).savefig(out / "known_entropy.png")
        first = {answer.kind: answer for answer in reversed(answers)}
        figures_floors.floors(list(first.values())[::-1]).savefig(out / "floors.png")
        print(f"figures in {out}")
