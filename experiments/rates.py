"""Is the quickstart's learning rate within a factor 2 of the best, at both ends of its ladder?

Question: the best peak rate of the smallest and largest model at the smallest and largest budget.
Command:  python -m lab run experiments.rates
Cost:     16 runs, 3.6e13 FLOPs, about 10 minutes on two cores
"""

from dataclasses import replace

from experiments import quickstart
from lab import grid
from lab.config import RunConfig

RATES = (0.004, 0.008, 0.016, 0.032)


def runs() -> list[RunConfig]:
    sizes, budgets, n = quickstart.models(), quickstart.BUDGETS, quickstart.SIZES
    last = len(budgets) - 1
    corners = grid.isoflop(
        {budgets[0]: [sizes[0], sizes[n - 1]], budgets[-1]: [sizes[last], sizes[last + n - 1]]},
        data=quickstart.text(), optim=quickstart.optim, batch_tokens=quickstart.BATCH_TOKENS,
    )  # fmt: skip
    return [
        replace(corner, optim=replace(corner.optim, learning_rate=value))
        for corner in corners
        for value in RATES
    ]
