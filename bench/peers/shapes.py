"""The shapes that are raced, and the batches everybody gets. Imports only the standard library
and numpy, since peers may live in an environment of their own."""

from dataclasses import dataclass
from typing import Any

import numpy as np

BATCHES = 8  # of random tokens, used in turn
LEARNING_RATE, WEIGHT_DECAY, BETAS, CLIP = 1e-3, 0.1, (0.9, 0.99), 1.0


@dataclass(frozen=True)
class Shape:
    """GPT-2's arrangement: GELU, learned positions, LayerNorm, tied readout, no dropout."""

    layers: int
    width: int
    heads: int
    vocab: int = 256
    context: int = 128
    batch: int = 32

    @property
    def tokens(self) -> int:
        """Of one update."""
        return self.batch * self.context


SHAPES = {"S": Shape(2, 64, 2), "M": Shape(5, 128, 4), "L": Shape(6, 384, 6)}
SHAPES["tiny"] = Shape(1, 16, 1, vocab=64, context=16, batch=4)  # of --quick


def shape_of(task: dict[str, Any]) -> Shape:
    return SHAPES[task["shape"]] if isinstance(task["shape"], str) else Shape(**task["shape"])


def batches(shape: Shape, seed: int = 0, n: int = BATCHES) -> np.ndarray:
    """(n, batch, context + 1) int32."""
    size = (n, shape.batch, shape.context + 1)
    return np.random.default_rng(seed).integers(1, shape.vocab, size, np.int32)
