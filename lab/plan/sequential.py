"""A sequential design, rounds of runs until a number is known: how it begins, chooses, ends."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lab.config import RunConfig
from lab.models import counts
from lab.plan import grid, tuning

FIRST = 9  # runs of the first round, at least
LEVELS = 3  # of sizes and of lengths among them, as few as show a law
LENGTHS = 9  # to choose from, between the grid's shortest and its longest
NO_HELP = 0.95  # of the half width, at least, left by all that may still be spent: not worth it
REST = 0.02  # of the FLOPs spent: the smallest round
STUCK = 2  # rounds that each left the interval as wide as it was
SHRINKS = 0.97  # of the half width: what is more is as wide as it was

SIGN = r"(?:±|\+-|\+/-)"
NUMBER = r"(\d*\.?\d+(?:e[+-]?\d+)?)"
EXPONENT = re.compile(rf"(?:params_)?exponent{SIGN}{NUMBER}")
LOSS = re.compile(rf"loss@{NUMBER}{SIGN}{NUMBER}%")


@dataclass(frozen=True)
class Goal:
    """What shall be known: the exponent of params against compute, or the least loss at `flops`, and the
    `half` width of its 95 % interval (of a loss as a share of it) that is narrow enough."""

    half: float
    flops: float = 0.0  # 0 of an exponent

    def __str__(self) -> str:
        return f"{self.name} {self.width(self.half)}"

    @property
    def name(self) -> str:
        """As `analysis suggest --for` takes it."""
        return f"loss@{self.flops:g}" if self.flops else "exponent"

    def width(self, half: float) -> str:
        if not np.isfinite(half):
            return "not known yet"
        return f"±{100 * half:.3g} %" if self.flops else f"±{half:.3g}"


def read_goal(text: str) -> Goal:
    """Read "params_exponent±0.05" or "loss@1e15±0.5%"; +- stands for ±.

    Raises:
      ValueError: it is neither.
    """
    words = text.replace(" ", "")
    if (match := EXPONENT.fullmatch(words)) and float(match[1]) > 0:
        return Goal(float(match[1]))
    if (match := LOSS.fullmatch(words)) and float(match[1]) > 0 and float(match[2]) > 0:
        return Goal(float(match[2]) / 100, float(match[1]))
    raise ValueError(f"{text!r}: write params_exponent±0.05, or loss@1e15±0.5% (+- for ±)")


def first_round(cells: Iterable[RunConfig]) -> list[RunConfig]:
    """The grid's cheapest runs that may show a law: `FIRST`, and `LEVELS` sizes and lengths among them; all
    where it has no more."""
    order = sorted(cells, key=counts.run_flops)
    for n in range(FIRST, len(order)):
        part = order[:n]
        sizes, lengths = {tuning.params(c.model) for c in part}, {c.tokens for c in part}
        if min(len(sizes), len(lengths)) >= LEVELS:
            return part
    return order


def candidates(cells: Sequence[RunConfig]) -> list[RunConfig]:
    """What may be trained: the grid's own runs, and each of its models at lengths between its shortest and
    its longest, all else as in the run that is nearest to it; none cheaper than the grid's cheapest or
    dearer than its dearest, none that its corpus does not hold."""
    flops = [counts.run_flops(cell) for cell in cells]
    lengths = np.geomspace(min(c.tokens for c in cells), max(c.tokens for c in cells), LENGTHS)
    places = {}
    for cell in cells:
        places.setdefault(place(cell), cell)
    for model in dict.fromkeys(cell.model for cell in cells):
        for tokens in lengths:
            like = tuning.nearest(cells, model, tokens)
            steps = max(1, round(tokens / like.batch_tokens))
            cell = replace(like, model=model, tokens=steps * like.batch_tokens, budget=0.0)
            if min(flops) <= counts.run_flops(cell) <= max(flops) and tuning.fits(cell):
                places.setdefault(place(cell), cell)
    return list(places.values())


def place(cell: RunConfig) -> tuple[int, int]:
    """(params, tokens), the two numbers by which a table's row is told from another cell's."""
    return tuning.params(cell.model), cell.steps * cell.batch_tokens


def next_round(
    asked: Iterable[dict], among: Sequence[RunConfig], cells: Sequence[RunConfig], before: Sequence[RunConfig]
) -> list[RunConfig]:
    """The runs that `analysis suggest` asked for, none of them trained before: the grid's own run of a cell
    first, then each with a seed and an order of data that no other run has.

    Args:
      asked: `params`, `tokens` and `seeds` (how many runs) of each cell.
      among: the candidates; cells: the grid; before: the runs of earlier rounds.
    """
    like, own = {place(cell): cell for cell in among}, {place(cell): cell for cell in cells}
    taken = {run.run_id for run in before}
    seed = 1 + max(max(run.seed, run.data_seed) for run in (*cells, *before))
    runs = []
    for each in asked:
        key = round(each["params"]), round(each["tokens"])
        for _ in range(each["seeds"]):
            run = own.get(key)
            if run is None or run.run_id in taken:
                run, seed = replace(like[key], seed=seed, data_seed=seed), seed + 1
            taken.add(run.run_id)
            runs.append(run)
    return grid.unique(runs)


def stop_reason(goal: Goal, halves: Sequence[float], best: float | None, left: float, least: float) -> str:
    """Why no further round is begun; "" where one is.

    Args:
      halves: the half width after each round so far, infinite where no interval could be trusted.
      best: what is expected of all that may still be spent, over what is expected of nothing more; None
        where it was not asked.
      left: FLOPs that may still be spent; least: those of the smallest round worth its fit.
    """
    if left < least:
        return f"the budget is spent: {max(left, 0):.3g} FLOPs are left, and a round takes {least:.3g}"
    last = np.array(halves[-1 - STUCK :])
    if len(last) > STUCK and np.isfinite(last).all() and (last[1:] > SHRINKS * last[:-1]).all():
        return (
            f"{STUCK} rounds, each as dear as all before it, left the interval as wide as it was "
            f"({goal.width(halves[-1])}): it is not noise that more such runs average out"
        )
    if best is not None and best > NO_HELP:
        return (
            f"all of the {left:.3g} FLOPs left would take {100 * (1 - best):.2g} % off the interval: these "
            "sizes and lengths tell no more; a grid of larger ones would"
        )
    return ""


def coverage(forecasts: Iterable[dict]) -> tuple[int, int]:
    """(how many sealed intervals held their loss, of how many): forecasts of runs that came to an end."""
    inside = [each["inside"] for each in forecasts if each["inside"] is not None]
    return sum(inside), len(inside)


def score(forecast: dict, loss: float | None) -> dict:
    """A sealed forecast beside what became of it; `inside` is None of a run without a forecast or a loss."""
    both = loss is not None and forecast["low"] is not None
    inside = forecast["low"] <= loss <= forecast["high"] if both else None
    return {**forecast, "loss": loss, "inside": inside}
