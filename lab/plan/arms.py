"""Two arms of one ladder: the same sizes, compute, data order and seeds, tuned alike."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from lab.config import RunConfig
from lab.models import counts
from lab.plan import grid, tuning

SAME = 1.15  # times apart, at most, that the FLOPs of one budget's runs are
SIZES = 2  # sizes of the least budget at which rates are tried


def at_equal_compute(base: RunConfig, arm: RunConfig) -> RunConfig:
    """The arm on as many whole updates as cost what its baseline costs."""
    each = counts.flops_exact(arm.model) * arm.batch_tokens
    steps = max(1, round(counts.run_flops(base) / each))
    return arm if steps == base.steps else replace(arm, tokens=steps * arm.batch_tokens)


def pair(cells: Sequence[RunConfig], change: Callable[[RunConfig], RunConfig]) -> list[RunConfig]:
    """The arm's run beside each of the baseline's, at its compute.

    Raises:
      ValueError: the change changes nothing, or a run can't be.
    """
    arms = [at_equal_compute(cell, change(cell)) for cell in cells]
    if all(cell.numbers == arm.numbers for cell, arm in zip(cells, arms, strict=True)):
        raise ValueError("the arm's runs are the baseline's: the change changes no number")
    for arm in arms:
        grid.check_data(arm)
    return arms


def own_cells(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """The runs of a grid, each trained on its own, without trunks."""
    return grid.unique(replace(config, init_from="") for config in configs if not config.trunk)


def budgets(cells: Sequence[RunConfig]) -> list[list[int]]:
    """Indices of the runs of each budget, the least first."""
    order = sorted(range(len(cells)), key=lambda i: counts.run_flops(cells[i]))
    groups: list[list[int]] = []
    for i in order:
        if groups and counts.run_flops(cells[i]) <= SAME * counts.run_flops(cells[groups[-1][0]]):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def affordable(cells: Sequence[RunConfig], fits: Callable[[list[int]], bool]) -> list[int]:
    """Indices of the runs of as many budgets, from the least on, as fit together; in the grid's order."""
    groups = budgets(cells)
    while groups and not fits(sorted(i for group in groups for i in group)):
        groups.pop()
    return sorted(i for group in groups for i in group)


def at_rates(cells: Sequence[RunConfig], rates: int) -> list[RunConfig]:
    """Runs that tune an arm: sizes in the middle of the least budget, each at `rates` rates about its own."""
    of_size: dict[int, RunConfig] = {}
    for i in budgets(cells)[0]:
        of_size.setdefault(tuning.params(cells[i].model), cells[i])
    least = [of_size[size] for size in sorted(of_size)]
    first = max(0, (len(least) - SIZES) // 2)
    return [
        run for factor in tuning.factors(rates) for run in with_factor(least[first : first + SIZES], factor)
    ]


def best_factor(
    cells: Sequence[RunConfig], tuned: Sequence[tuple[RunConfig, float]]
) -> tuple[float, float | None]:
    """The factor on a grid's own rates at which its tuning runs, each with its loss, are best together (mean
    log loss over sizes; a run without a loss rules its factor out); and the factor to try next, where the
    best is at an end of those tried.

    Raises:
      ValueError: no factor has a loss of every size.
    """
    dearest_first = reversed(sorted(cells, key=counts.run_flops))  # so that of each size the cheapest stays
    own = {tuning.params(cell.model): cell.optim.learning_rate for cell in dearest_first}
    losses: dict[int, list[float]] = defaultdict(list)
    for run, loss in tuned:
        power = round(math.log2(run.optim.learning_rate / own[tuning.params(run.model)]))
        losses[power].append(math.log(loss) if loss > 0 else math.inf)
    means = {power: sum(each) / len(each) for power, each in losses.items()}
    best = min(means, key=means.get)
    if means[best] == math.inf:
        lost = sum(not loss > 0 for _, loss in tuned)
        raise ValueError(
            f"no learning rate tried has a loss of every size, so none is the best: of {len(tuned)} runs "
            f"that tune an arm {lost} failed or diverged; try those that failed again (--retry failed), else "
            "more rates (--rates)"
        )
    ends = {min(means): best - 1, max(means): best + 1} if len(means) > 1 else {}
    return 2.0**best, 2.0 ** ends[best] if best in ends else None


def with_factor(cells: Sequence[RunConfig], factor: float) -> list[RunConfig]:
    """The grid at its own rates times a factor; the same runs where that is 1."""
    if factor == 1:
        return list(cells)
    return [tuning.at_rate(cell, cell.optim.learning_rate * factor) for cell in cells]
