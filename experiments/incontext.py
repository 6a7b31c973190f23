"""Does an ability that is learned in context emerge at a size, or does the metric make it so?

Question: four tasks whose answers stand in the sentence alone (a word copied, keys and their values, sums modulo
          8 digit by digit, walks on a Markov chain of the sentence's own), five sizes: how do the likelihood of
          an answer's token, its accuracy and the exact match of whole answers of the same runs rise with size
          and compute, and how does the loss fall by position?
Command:  python -m lab run experiments.incontext   (:accelerator)
Cost:     laptop: 0 runs, 0 FLOPs, 0 minutes on two cores as `lab plan` prices it;
          accelerator: 0 runs, 0 FLOPs
Answer:   expected: exact match is near accuracy to the power of the answer's tokens (Schaeffer et al. 2023, arXiv
          2304.15004), so wherever accuracy passes .7 to .9 it jumps. Of the whole gain from the smallest to the
          largest size, the largest step between neighbours holds over half in exact match on copying, recall and
          sums; in nats it does so on copying and recall, whose circuit (an induction head, Olsson et al. 2022) is
          there or not, so that this emergence is not the metric's; on sums it holds less than half, so that one
          is. On walks nothing jumps: nats fall with size and with every doubling of the position, and the largest
          model ends within .02 nats of the Bayes mixture

"""

from dataclasses import dataclass
from pathlib import Path

from experiments.known_entropy import rate
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
        ("copy:16-15-0-1000000", "recall:16-8-7-0-1000000", "sums:8-10-0-1000000", "bigrams:4-63-0-1000000"),
        ((2, 8, 2), (2, 12, 2), (2, 16, 2), (2, 24, 2), (2, 32, 2)),
        (500_000,),
        512,
        3,
    ),
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
    shared = {"vocab_size": task.n_symbols, "seq_len": task.sentence}
    return [ModelConfig(n_layer=n, d_model=width, n_head=heads, **shared) for n, width, heads in size.shapes]
