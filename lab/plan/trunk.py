"""Trunks and branches: runs of several lengths that share the constant part of their schedule.

Under a constant rate with a cool-down, runs that differ in length alone are one run until the
first of them cools down (Hägele et al. 2024, arXiv 2405.18392). Their *trunk* is trained once, as a
chain of ordinary runs at the constant rate: each ends where a cell cools down and goes on from the
end of the one before. A cell is a *branch*: it goes on from the end of its trunk.

A branch's numbers are those of the cell trained alone, to the last bit, so `init_from` is a label:
the run_id is the same, and a cell that was finished either way is finished. Nothing of a trunk's
own end but its number of updates is part of it, so a longer grid made later goes on from it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from lab.config import RunConfig
from lab.models import counts


class TrunkError(RuntimeError):
    """A run can't go on from its trunk; says why and what to do."""


class TrunkMemoryError(MemoryError):
    """Its trunk ran out of memory, as the run itself would: it is treated alike."""


def constant_steps(config: RunConfig) -> int:
    """How many updates a run makes before its rate begins to fall; all of them where it never does.

    Update number s (from 0) is made at the peak's own rate while s <= horizon (1 - cooldown), so
    the floor is on the safe side of float32's rounding in `schedule.multiplier`.
    """
    optim = config.optim
    if optim.schedule != "constant":
        return 0
    level = config.horizon_steps * (1 - optim.cooldown_fraction)
    return min(config.steps, math.floor(round(level, 6)))


def make_trunk(config: RunConfig, steps: int) -> RunConfig:
    """The run that is `config` for so many updates at the constant rate. Equal for all runs that
    share them: how and when they cool down is not part of it."""
    optim = replace(
        config.optim,
        warmup_steps=config.warmup_steps,
        warmup_fraction=0.0,
        horizon_steps=0,
        cooldown_fraction=0.0,
        cooldown_shape="linear",
        final_fraction=0.0,
    )
    return replace(
        config, optim=optim, tokens=steps * config.batch_tokens, budget=0.0, init_from="", trunk=True
    )


def join_trunk(config: RunConfig, steps: int) -> RunConfig:
    """The run going on from its trunk's end after so many updates; 0: by itself.

    Raises:
      ValueError: they are more than it shares with a trunk.
    """
    if not steps:
        return replace(config, init_from="")
    if steps > constant_steps(config):
        raise ValueError(
            f"run {config.run_id} of {config.steps} updates has a constant rate for "
            f"{constant_steps(config)} of them: it can't go on from a trunk of {steps}"
        )
    return replace(config, init_from=f"{make_trunk(config, steps).run_id}@{steps}")


def rejoin_trunk(config: RunConfig) -> RunConfig:
    """A changed run, with the trunk that was changed likewise."""
    return join_trunk(config, config.branch_step)


def check(config: RunConfig) -> None:
    """Refuse a run whose `init_from` names anything but its own trunk: its numbers would not be
    those that its run_id stands for."""
    if config.init_from and config.init_from != (own := rejoin_trunk(config).init_from):
        raise ValueError(
            f"run {config.run_id} says init_from={config.init_from}, and its own trunk there is "
            f"{own}: make such runs with grid.branched"
        )


def plan(cells: Iterable[RunConfig]) -> list[RunConfig]:
    """The trunks of these cells, and the cells as their branches; see `grid.branched`."""
    cells = list(cells)
    points: dict[str, set[int]] = defaultdict(set)
    heads: dict[str, RunConfig] = {}
    for cell in cells:
        check_branches(cell)
        heads.setdefault(key := make_trunk(cell, 1).run_id, cell)
        points[key].add(constant_steps(cell))
    check_shared(list(heads.values()))
    trunks = []
    for key, head in heads.items():
        chain = [0, *sorted(points[key])]
        trunks += [join_trunk(make_trunk(head, end), begin) for begin, end in pairwise(chain)]
    return trunks + [join_trunk(cell, constant_steps(cell)) for cell in cells]


def check_branches(cell: RunConfig) -> None:
    if 0 < constant_steps(cell) < cell.steps:
        return
    optim = cell.optim
    why = (
        f"schedule={optim.schedule!r}"
        if optim.schedule != "constant"
        else f"cooldown_fraction={optim.cooldown_fraction:g} of {cell.steps} updates"
    )
    raise ValueError(
        f"run {cell.run_id} has no constant part and cool-down to be parted at: {why}; give its "
        "OptimConfig schedule='constant' and a cooldown_fraction between 0 and 1, such as 0.2"
    )


def check_shared(heads: Sequence[RunConfig]) -> None:
    """Refuse cells that would share a trunk but for a warm-up that depends on their length."""
    alike: dict[str, RunConfig] = {}
    for head in heads:
        same = replace(head, optim=replace(head.optim, warmup_steps=1))
        other = alike.setdefault(make_trunk(same, 1).run_id, head)
        if other.warmup_steps == head.warmup_steps or other.optim.warmup_steps:
            continue
        raise ValueError(
            f"runs {other.run_id} and {head.run_id} differ in length and warm up for "
            f"{other.warmup_steps} and {head.warmup_steps} updates, a fraction of each one's own, "
            "so they share no trunk; give OptimConfig.warmup_steps, the same for every length"
        )


def saving(configs: Iterable[RunConfig]) -> tuple[float, float]:
    """(FLOPs of trunks and branches, each counted once; FLOPs of the branches each on its own). A
    cosine for each length costs the latter too."""
    shared = [config for config in configs if config.trunk or config.init_from]
    alone = sum(counts.run_flops(config) for config in shared if not config.trunk)
    return sum(map(counts.spent_flops, shared)), alone


def families(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Runs that wait for each other together, in the order of their first; others alone."""
    by_id = {config.run_id: config for config in configs}
    groups: dict[str, list[RunConfig]] = defaultdict(list)
    for config in configs:
        first = config
        while first.trunk_id in by_id:
            first = by_id[first.trunk_id]
        groups[first.run_id].append(config)
    return list(groups.values())


def urgency(configs: Sequence[RunConfig]) -> dict[str, float]:
    """By run_id the FLOPs of the longest chain of runs that begins with it: largest first is
    longest first, and trunks before what waits for them."""
    chains: dict[str, float] = {}
    after: dict[str, float] = defaultdict(float)  # by trunk: the longest chain that waits for it
    for config in sorted(configs, key=lambda c: c.steps, reverse=True):  # who waits is the longer
        chains[config.run_id] = counts.spent_flops(config) + after[config.run_id]
        after[config.trunk_id] = max(after[config.trunk_id], chains[config.run_id])
    return chains
