"""What is a teacher worth to a small model, and does it pay for itself?

Question: a Transformer of width 12 on Shakespeare learns from the text, or half from the text and half from
          what teachers of widths 20 and 32 foretell of it: how much text is the teacher worth, in the
          student's own FLOPs, with the teacher's forward passes, and with its training on top?
Command:  python -m lab run experiments.distillation   (:accelerator, :smoke)
Cost:     laptop: 10 runs, 1.16e12 FLOPs, about 2 minutes on two cores;
          accelerator: 15 runs, 1e15 FLOPs
Answer:   expected: at equal tokens the taught student ends .3 to 2 % lower, as after 1.1 to 1.8 times the
          text and more so of the larger teacher. Its forward passes (.8 and 1.7 of the student's FLOPs) eat
          that: worth .5 to 1 times the compute; with the teacher's training counted under .4, so that a
          student alone is better served by data, as Busbridge et al. 2025 (arXiv 2502.08606) find, unless a
          teacher exists or serves many

Students and teachers of text alone are runs, those of experiments.after among them; taught students are made
of the same text in the same order from the same first weights, and only the loss differs. What a loss is
worth in tokens is read off the student's own losses at three lengths, a power law between neighbours and
beyond the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from experiments import quickstart
from experiments.reports import figures_after, measured, shakespeare, tables
from lab.config import RunConfig
from lab.models import counts
from lab.store.failures import trained_as
from lab.store.store import Store
from lab.train.evaluate import Evaluator, window_nats
from lab.trained import again, weights

SHARE = 0.5  # of the loss that is the teacher's


@dataclass(frozen=True)
class Size:
    """A student's width and tokens, of which the last but one are its teachers', and theirs."""

    student: int
    teachers: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int


SIZES = {
    "laptop": Size(12, (20, 32), (250_000, 1_000_000, 4_000_000), 2),
    "accelerator": Size(64, (128, 256), (5_000_000, 20_000_000, 80_000_000), 3),
    "smoke": Size(8, (12,), (10_000, 20_000, 40_000), 1),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup, data = SIZES[size], shakespeare.text(max_epochs=20)
    student, *teachers = quickstart.models((setup.student, *setup.teachers))
    cells = [(student, tokens) for tokens in setup.tokens] + [(model, setup.tokens[-2]) for model in teachers]
    return [
        RunConfig(
            model=model,
            optim=quickstart.optim(model, tokens),
            data=data,
            tokens=tokens,
            batch_tokens=shakespeare.BATCH_TOKENS,
            seed=seed,
            data_seed=seed,
        )
        for seed in range(setup.seeds)
        for model, tokens in cells
    ]
