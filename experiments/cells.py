"""Which units of a byte LSTM keep track of quotes, brackets and lines, and how does its writing come about?

Question: an LSTM learns the kernel's C byte by byte (Karpathy 2015, The Unreasonable Effectiveness of
          Recurrent Neural Networks): how well does its best single unit follow whether a byte is in a string
          or a comment, how deep it stands in brackets and how far in its line, and all units together; before
          training, after a sixteenth and a quarter of it, and at its end?
Command:  python -m lab run experiments.cells   (:accelerator has 3 layers of 512; :smoke)
Cost:     laptop: 6 runs, 2.5e12 FLOPs, about 2 minutes on two cores;
          accelerator: 6 runs, 3.2e16 FLOPs, some hours
Answer:   expected: at the end one unit follows the place in the line with a correlation above .6 and brackets
          and strings above .4, which no unit does before training (below .3); comments, which are longer than
          a window, below .4; all units together .1 to .3 above the best one, and ahead of it before training
          already; each grows with training. Samples turn from noise to indented lines with matched brackets

Each length is trained as a run of its own, with its own decay; two seeds. States are read in windows of 128
bytes, each from zero, over 100,000 bytes of held-out files; the unit, and the line through all units, are
chosen on the first half and measured on the second. Samples begin with a line break.
"""

from dataclasses import dataclass

from experiments.reports import shakespeare
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts

RATE = 3.0  # over the plain grid's rule, as in experiments.sentiment


@dataclass(frozen=True)
class Size:
    """An LSTM (layers, width) and how long it trains, the longest last."""

    shape: tuple[int, int]
    tokens: tuple[int, ...]
    seq_len: int
    batch_tokens: int
    read: int = 100_000  # held-out bytes whose states are looked at
    seeds: int = 2
    corpus: str = "linux-6.1"


SIZES = {
    "laptop": Size((1, 96), (100_000, 400_000, 1_600_000), seq_len=128, batch_tokens=2048),
    "accelerator": Size((3, 512), (20_000_000, 80_000_000, 320_000_000), seq_len=256, batch_tokens=16_384),
    "smoke": Size((1, 8), (1_000, 2_000), seq_len=16, batch_tokens=128, read=2_000),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    layers, width = setup.shape
    model = ModelConfig(
        kind="lstm", n_layer=layers, d_model=width, n_head=1, vocab_size=256, seq_len=setup.seq_len
    )
    rate = RATE * shakespeare.rule(counts.count_params(model).params)
    return [
        RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=rate),
            data=corpora.prepare(setup.corpus).data(max_epochs=8.0),
            tokens=tokens,
            batch_tokens=setup.batch_tokens,
            seed=seed,
            data_seed=seed,
        )
        for tokens in setup.tokens
        for seed in range(setup.seeds)
    ]
