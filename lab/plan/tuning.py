"""A small design that tells the best learning rate of a grid: rates by sizes, lengths and batches."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lab.config import ModelConfig, RunConfig
from lab.models import counts
from lab.plan import grid

APART = 1.5  # times the params, at least, between neighbouring sizes
LONGER = 4  # times the tokens, and the batch, between neighbours
STEP = 2.0  # between neighbouring rates


def rate_design(
    configs: Sequence[RunConfig], sizes: int = 3, lengths: int = 2, batches: int = 1, rates: int = 5
) -> list[RunConfig]:
    """Runs that tune a grid where it is cheap: its smallest sizes, from its shortest length on, each with all
    else as in the grid's run that is nearest to it, at rates around that run's own.

    Args:
      configs: the grid.
      sizes, lengths, batches, rates: how many of each; lengths and batches rise from the grid's smallest
        by `LONGER`, rates by `STEP`. A length over what the corpus allows is left out.

    Raises:
      ValueError: fewer than one of any, or than three rates.
    """
    if min(sizes, lengths, batches) < 1 or rates < 3:
        raise ValueError("a design has one size, length and batch at least, and three rates")
    # a branch's rate is its trunk's, which has another length
    cells = [replace(config, init_from="", budget=0.0) for config in configs if not config.trunk]
    shortest, batch = min(c.tokens for c in cells), min(c.batch_tokens for c in cells)
    design = []
    for model in smallest(cells, sizes):
        for i in range(lengths):
            for k in range(batches):
                cell = replace(nearest(cells, model, shortest * LONGER**i), model=model)
                wide = batch * LONGER**k
                tokens = max(1, round(shortest * LONGER**i / wide)) * wide
                cell = replace(cell, tokens=tokens, batch_tokens=wide, micro_batch=0)
                design += around(cell, rates) if fits(cell) else []
    if not design:
        raise ValueError("no run of the grid's shortest length can be trained on its corpus")
    return grid.unique(design)


def around(cell: RunConfig, rates: int) -> list[RunConfig]:
    """A run at several rates about its own."""
    return [at_rate(cell, cell.optim.learning_rate * factor) for factor in factors(rates)]


def factors(rates: int) -> list[float]:
    """So many factors on a rate, `STEP` apart about 1, one more above than below where they are even."""
    return [STEP ** math.ceil(i - (rates - 1) / 2) for i in range(rates)]


def at_rate(config: RunConfig, rate: float) -> RunConfig:
    return replace(config, optim=replace(config.optim, learning_rate=float(f"{rate:.6g}")))


def smallest(configs: Sequence[RunConfig], sizes: int) -> list[ModelConfig]:
    """The smallest models, each `APART` from the one before."""
    models, last = [], 0.0
    for model in sorted(dict.fromkeys(c.model for c in configs), key=params):
        if params(model) >= last * APART and len(models) < sizes:
            models.append(model)
            last = params(model)
    return models


def params(model: ModelConfig) -> int:
    return counts.count_params(model).params


def nearest(configs: Sequence[RunConfig], model: ModelConfig, tokens: float) -> RunConfig:
    """The run whose size and length are nearest to these, by their logarithms; size first."""

    def distance(config: RunConfig) -> tuple[float, float]:
        size = abs(math.log(params(config.model) / params(model)))
        return size, abs(math.log(config.tokens / tokens))

    return min(configs, key=distance)


def fits(config: RunConfig) -> bool:
    """Whether its corpus holds its tokens, as often as it allows."""
    try:
        grid.check_data(config)
    except ValueError:
        return False
    return True


def wider(configs: Sequence[RunConfig], edges: Sequence[dict[str, float]]) -> list[RunConfig]:
    """One rate more for every cell whose best lies outside those tried.

    Args:
      configs: what was tried.
      edges: cells by `params`, `tokens` and `batch_tokens`, with the `best` rate.
    """
    more = []
    for edge in edges:
        own = [c for c in configs if is_of(c, edge)]
        if own:
            tried = sorted(c.optim.learning_rate for c in own)
            more.append(at_rate(own[0], tried[-1] * STEP if edge["best"] > tried[-1] else tried[0] / STEP))
    return more


def is_of(config: RunConfig, cell: dict[str, float]) -> bool:
    """Whether a run is of a cell; tokens of a table may be whole updates."""
    return (
        params(config.model) == cell["params"]
        and abs(math.log(config.steps * config.batch_tokens / cell["tokens"])) < 0.01
        and config.batch_tokens == cell.get("batch_tokens", config.batch_tokens)
    )
