"""What do fewer bits a weight, or fewer weights, cost after training, by size and by tokens?

Question: Transformers of five sizes on Shakespeare, of two lengths each: how does the held-out loss rise when
          their matrices are rounded to 2 to 8 bits, or lose 10 to 90 % of their entries, how does that go with
          size and tokens, and what does training with rounded weights from the start save?
Command:  python -m lab run experiments.after   (:accelerator, :smoke)
Cost:     laptop: 20 runs, 1.51e12 FLOPs, about 2 minutes on two cores;
          accelerator: 24 runs, 1.07e16 FLOPs
Answer:   expected: 8 bits free (the excess loss below the noise between seeds), 3 bits not (over ten times it).
          Each bit less makes the error of a weight twice as large and the excess 4 times, since the loss is
          quadratic about its minimum: 3.5 to 4.5 between 8 and 4 bits. Excess grows with tokens at a given
          size and falls with size at given tokens (Kumar et al. 2024, arXiv 2411.04330): exponents of D from .1
          to .6, of N from -.6 to 0. Trained with 3 bits a model keeps under a third of the excess of rounding
          afterwards, at 4 bits under a half. Pruning: the entries that fall are the smallest, so the excess goes
          with the third power of their share, 2.5 to 3.5, up to 50 %; 30 % costs under 1 % of the loss, 80 %
          over 20 %; larger models lose less at each share

"""

from dataclasses import dataclass, replace

from experiments import quickstart
from experiments.reports import shakespeare
from lab.config import RunConfig

BITS = (2, 3, 4, 5, 6, 7, 8)
SPARSITIES = tuple(tenth / 10 for tenth in range(1, 10))
AWARE = (2, 3, 4)  # bits that runs are trained with


@dataclass(frozen=True)
class Size:
    """One grid: widths, tokens of each, and which width is trained with rounded weights at the fewest."""

    widths: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int
    aware: int
    scored: int = 65_536  # held-out tokens


SIZES = {
    "laptop": Size((12, 16, 20, 26, 32), (250_000, 1_000_000), 2, 20),
    "accelerator": Size((64, 128, 256, 384), (20_000_000, 80_000_000), 3, 128),
    "smoke": Size((8, 12), (20_000, 40_000), 1, 8, 2048),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, data = SIZES[size], shakespeare.text(max_epochs=20 if size == "accelerator" else 4)
    cells = [
        RunConfig(
            model=model,
            optim=quickstart.optim(model, tokens),
            data=data,
            tokens=tokens,
            batch_tokens=shakespeare.BATCH_TOKENS,
        )
        for model in quickstart.models(setup.widths)
        for tokens in setup.tokens
    ]
    return [replace(cell, seed=seed, data_seed=seed) for seed in range(setup.seeds) for cell in cells]
