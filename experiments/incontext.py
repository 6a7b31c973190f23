"""Does an ability that is learned in context emerge at a size, or does the metric make it so?

Question: four tasks whose answers stand in the sentence alone (a word copied, keys and their values, sums
          modulo 8 digit by digit, walks on a Markov chain of the sentence's own), six sizes: how do the
          likelihood of an answer's token, its accuracy and the exact match of whole answers of the same runs
          rise with size and compute, and how does the loss fall by position?
Command:  python -m lab run experiments.incontext   (:accelerator)
Cost:     laptop: 144 runs, 1.46e12 FLOPs, about 2 minutes on two cores;
          accelerator: 240 runs, 5.7e16 FLOPs, about a quarter of an hour at 6e13 FLOP/s
Answer:   expected: exact match is near accuracy to the power of the answer's tokens (Schaeffer et al. 2023,
          arXiv 2304.15004), so wherever accuracy passes .7 to .9 it jumps. Of the whole gain from the
          smallest to the largest size, the largest step between neighbours holds over half in exact match on
          copying, recall and sums; in nats it does so on copying and recall, whose circuit (an induction
          head, Olsson et al. 2022) is there or not, so that this emergence is not the metric's; on sums it
          holds less than half, so that one is. On walks nothing jumps: nats fall with size and with every
          doubling of the position, and the largest model ends within .02 nats of the Bayes mixture

Transformers of two layers and one head with the quickstart's token shift, which gives each position its
predecessor: without it, as six short runs of other seeds found, models of these sizes learn copying alone,
and whether they learn it is luck. Other short runs chose the sizes, since width 32 learned every task. A
sentence fills a window, so no answer stands in another's context; exact match is that of the whole answer
when the likeliest token is taken each time.

Two things came out otherwise. Sums jump in likelihood as in exact match: of no task is the emergence the
metric's, and what rises smoothly with size is the share of seeds that have learned it. A wider model may do
worse (sums), so steps are of the range over sizes. And walks have their step, too, from the smallest size to
the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from experiments.known_entropy import rate
from experiments.quickstart import SETTINGS
from experiments.reports import figures_tasks, measured, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts
from lab.store.store import Store
from lab.trained import answers, weights


@dataclass(frozen=True)
class Size:
    """One grid: tasks, models, and tokens."""

    tasks: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    tokens: tuple[int, ...]
    batch_tokens: int
    seeds: int


SIZES = {
    "laptop": Size(
        ("copy:16-15-0-1000000", "recall:8-4-3-0-1000000", "sums:8-5-0-1000000", "bigrams:4-63-0-1000000"),
        ((2, 4, 1), (2, 6, 1), (2, 8, 1), (2, 12, 1), (2, 16, 1), (2, 24, 1)),
        (125_000, 500_000),
        512,
        3,
    ),
    "accelerator": Size(
        (
            "copy:256-127-0-16000000",
            "recall:128-32-31-0-16000000",
            "sums:64-21-0-16000000",
            "bigrams:16-511-0-16000000",
        ),
        ((2, 16, 1), (2, 32, 1), (2, 64, 2), (2, 128, 4), (4, 256, 8), (6, 512, 8)),
        (4_000_000, 16_000_000),
        8192,
        5,
    ),
    "smoke": Size(("copy:4-3-0-20000",), ((2, 4, 1), (2, 8, 1)), (8_000,), 128, 2),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    return [
        RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=rate(counts.count_params(model).params)),
            data=DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train),
            tokens=tokens,
            batch_tokens=setup.batch_tokens,
            seed=seed,
            data_seed=seed,
        )
        for corpus in (corpora.prepare(task, quiet=True) for task in setup.tasks)
        for model in models(setup, corpus)
        for tokens in setup.tokens
        for seed in range(setup.seeds)
    ]


def models(size: Size, corpus: corpora.Corpus) -> list[ModelConfig]:
    task, _ = parse_language(corpus.name)
    shared = {"vocab_size": task.n_symbols, "seq_len": task.sentence, "settings": SETTINGS}
    return [ModelConfig(n_layer=n, d_model=width, n_head=heads, **shared) for n, width, heads in size.shapes]


def measure(run: weights.Trained) -> Iterator[measured.Row]:
    """One row: what its held-out sentences' answers cost, and how often they are right."""
    corpus, config = run.corpus(), run.config
    task, _ = parse_language(corpus.name)
    sentences_SL = np.asarray(corpus.held_out).reshape(-1, task.sentence)
    scored = answers.answers(config.model, run.params, sentences_SL, task.asked)
    marks = task.sentence - task.length
    known_L = np.concatenate([scored.nats_L[marks:], np.zeros(1)])[: task.length]
    octaves = [known_L[end // 2 : end].mean() for end in 2 ** np.arange(task.length.bit_length() + 1)]
    yield {
        "task": corpus.name.partition(":")[0],
        "width": config.model.d_model,
        "params": counts.count_params(config.model).params,
        "tokens": config.tokens,
        "flops": counts.run_flops(config),
        "seed": config.seed,
        "told": int(task.asked.sum()),
        "choices": task.choices,
        "nats": round(scored.nats, 6),
        "floor": round(float(-task.log_probs(sentences_SL)[:, task.asked].mean()), 6),
        "accuracy": round(scored.accuracy, 6),
        "exact": round(scored.exact, 6),
        "by_octave": " ".join(f"{nats:.4f}" for nats in octaves if nats == nats),
    }


@dataclass(frozen=True)
class Rise:
    """A metric of one task by size and seed at one length, (sizes, seeds), from chance (0) to perfect (1)."""

    params: np.ndarray
    share: np.ndarray

    @property
    def jump(self) -> np.ndarray:
        """Of each seed, how much of the range over sizes the largest step up between neighbours is."""
        return np.diff(self.share, axis=0).max(0) / np.ptp(self.share, axis=0)

    @property
    def between(self) -> int:
        """Runs that are neither near chance nor near perfect."""
        return int(((self.share > 0.2) & (self.share < 0.8)).sum())


METRICS = ("nats", "accuracy", "exact")


def rises(path: Path) -> dict[str, dict[int, dict[str, Rise]]]:
    """By task, tokens and metric."""
    found: dict = {}
    lines = tables.lines_of(beside(path))
    for task, tokens in dict.fromkeys((line["task"], int(line["tokens"])) for line in lines):
        own = [line for line in lines if (line["task"], int(line["tokens"])) == (task, tokens)]
        params = np.unique([int(line["params"]) for line in own])
        of = {metric: np.array([row_of(own, N, metric) for N in params]) for metric in METRICS}
        found.setdefault(task, {})[tokens] = {name: Rise(params, share) for name, share in of.items()}
    return found


def row_of(lines: list[dict[str, str]], params: int, metric: str) -> list[float]:
    """A metric on its way from chance to perfect, of each seed."""
    own = [line for line in lines if int(line["params"]) == params]
    own.sort(key=lambda line: int(line["seed"]))
    number = lambda line, name: float(line[name])  # noqa: E731
    if metric == "nats":
        top = np.log(number(own[0], "choices"))
        return [(top - number(line, "nats")) / (top - number(line, "floor")) for line in own]
    chance = 1 / number(own[0], "choices") if metric == "accuracy" else 0.0
    return [(number(line, metric) - chance) / (1 - chance) for line in own]


def beside(path: Path) -> Path:
    """Where what was measured of a table's runs lies."""
    return path.with_name(f"{path.stem}-answers.csv")


def answer(path: Path) -> list[str]:
    found, lines, jumps = rises(path), [], {}
    for task, by_tokens in found.items():
        words = []
        for metric, rise in by_tokens[max(by_tokens)].items():
            if task == "bigrams" and metric != "nats":
                continue
            way = ", ".join(f"{value:.2f}" for value in rise.share.mean(1))
            jumps[task, metric] = f"{rise.jump.mean():.2f}"
            ends = f"{rise.jump.min():.2f} to {rise.jump.max():.2f}"
            words.append(f"{metric} {way}, largest step {jumps[task, metric]} ({ends})")
        nats = by_tokens[max(by_tokens)]["nats"]
        lines.append(
            f"{task}, from chance (0) to perfect (1) by size: {'; '.join(words)}; {nats.between} of "
            f"{nats.share.size} runs are between .2 and .8 of the way in nats"
        )
    asked = [task for task in found if task != "bigrams"]
    head = ", ".join(f"{task} {jumps[task, 'exact']} / {jumps[task, 'nats']}" for task in asked)
    return [f"largest step between sizes, of the range, exact match / nats: {head}", *lines, *more(path)]


def more(path: Path) -> list[str]:
    """Exact match beside a power of accuracy; walks beside Bayes, and their loss by position."""
    lines = tables.lines_of(beside(path))
    own = [line for line in lines if line["task"] != "bigrams"]
    gap = [float(line["exact"]) - float(line["accuracy"]) ** int(line["told"]) for line in own]
    said = [
        f"exact match over accuracy to the power of the answer's tokens: {np.mean(gap):+.3f} in the mean of "
        f"{len(own)} runs, {min(gap):+.3f} to {max(gap):+.3f}"
    ]
    walks = [line for line in lines if line["task"] == "bigrams"]
    if walks:
        best = min(walks, key=lambda line: float(line["nats"]))
        over = float(best["nats"]) - float(best["floor"])
        said.append(
            f"walks: the best run (N={int(best['params']):,}) ends {over:+.4f} nats from the Bayes mixture; "
            f"its loss at positions 1, 2, 3-4, 5-8, ...: {', '.join(best['by_octave'].split())}"
        )
    return said


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, runs-answers.csv (what was measured of each), incontext.png, and what they say."""
    name, grid_of = tables.name_of("incontext", size), configs or partial(runs, size)
    path = measured.with_table(store, name, grid_of, out, SIZES[size].tasks, measure, "answers")
    print("\n".join(answer(path)))
    figures_tasks.incontext(rises(path), tables.lines_of(beside(path))).savefig(out / "incontext.png")
    print(f"figure in {out}")
