"""Does an ability that is learned in context emerge at a size, or does the metric make it so?

Question: four tasks whose answers stand in the sentence alone (a word copied, keys and their values, sums modulo
          8 digit by digit, walks on a Markov chain of the sentence's own), five sizes: how do the likelihood of
          an answer's token, its accuracy and the exact match of whole answers of the same runs rise with size
          and compute, and how does the loss fall by position?
Command:  python -m lab run experiments.incontext   (:accelerator)
Cost:     laptop: 144 runs, 1.46e12 FLOPs, about 2 minutes on two cores;
          accelerator: 240 runs, 5.7e16 FLOPs, about a quarter of an hour at 6e13 FLOP/s
Answer:   expected: exact match is near accuracy to the power of the answer's tokens (Schaeffer et al. 2023, arXiv
          2304.15004), so wherever accuracy passes .7 to .9 it jumps. Of the whole gain from the smallest to the
          largest size, the largest step between neighbours holds over half in exact match on copying, recall and
          sums; in nats it does so on copying and recall, whose circuit (an induction head, Olsson et al. 2022) is
          there or not, so that this emergence is not the metric's; on sums it holds less than half, so that one
          is. On walks nothing jumps: nats fall with size and with every doubling of the position, and the largest
          model ends within .02 nats of the Bayes mixture

Transformers of two layers and one head with the quickstart's token shift, which gives each position its
predecessor: without it, as six short runs of other seeds found, models of these sizes learn copying alone, and
whether they learn it is luck. Other short runs chose the sizes, since width 32 learned every task. A sentence
fills a window, so no answer stands in another's context; exact match is that of the whole answer when the
likeliest token is taken each time.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments.known_entropy import rate
from experiments.quickstart import SETTINGS
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.languages import parse_language
from lab.models import counts


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
            data=corpus.data(),
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
