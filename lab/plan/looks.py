"""Looks at a comparison of two arms before its end: the pairs each is of, and how sure it must be to stop.

Group-sequential, by repeated intervals (Jennison and Turnbull 1989): that of each look is so wide that all
looks together miss the truth `ERROR` of times at most, whatever stops them. An early look takes `EARLY` of
that and the last the rest, by Šidák's inequality, which takes no correlation between looks. Every look asks
for the multiplier at the largest budget planned, however little is trained: what is better when small alone
is told apart from 1 below it, and not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.config import RunConfig
from lab.models import counts
from lab.plan import arms, tuning

ERROR = 0.05  # of all looks together
EARLY = 0.01  # of each before the last: equal shares stop hardly earlier, and cost the last a tenth of width
MOST = 3  # looks, the last of all pairs
LEAST = 5  # pairs, and
SIZES = 3  # sizes that show a law at two budgets


@dataclass(frozen=True)
class Look:
    """The `number`-th of `of`, after the `pairs` (indices of cells); `share` of the ladder's FLOPs."""

    number: int
    of: int
    pairs: list[int]
    share: float

    @property
    def level(self) -> float:
        """Of its interval."""
        return (1 - ERROR) / (1 - EARLY) ** (self.of - 1) if self.last else 1 - EARLY

    @property
    def last(self) -> bool:
        return self.number == self.of

    def __str__(self) -> str:
        return f"look {self.number} of {self.of}"


def plan(cells: Sequence[RunConfig]) -> list[Look]:
    """After each of the last budgets, from two on, the cheapest first; one at the end where a ladder is too
    small to be looked at before."""
    groups = arms.budgets(cells)
    parts = [sorted(i for group in groups[:n] for i in group) for n in range(2, len(groups))]
    parts = [part for part in parts if shows_a_law([cells[i] for i in part])][1 - MOST :]
    parts.append(list(range(len(cells))))
    flops = [counts.run_flops(cell) for cell in cells]
    return [
        Look(n, len(parts), part, sum(flops[i] for i in part) / sum(flops)) for n, part in enumerate(parts, 1)
    ]


def whole(cells: Sequence[RunConfig]) -> Look:
    """All pairs at once, without a look before."""
    return Look(1, 1, list(range(len(cells))), 1.0)


def shows_a_law(cells: Sequence[RunConfig]) -> bool:
    return len(cells) >= LEAST and len({tuning.params(cell.model) for cell in cells}) >= SIZES


def asked(cells: Sequence[RunConfig]) -> float:
    """FLOPs of the largest budget planned."""
    top = arms.budgets(cells)[-1]
    return sum(counts.run_flops(cells[i]) for i in top) / len(top)


def stop_reason(found: dict, narrow: float | None, clear: bool = True) -> str:
    """Why a look ends the comparison; "" where it goes on, as it does where the interval at the largest
    budget trained does not lie on the same side of 1: then the form alone would tell.

    Args:
      found: what `analysis compare` says, its last budget being the largest planned.
      narrow: the factor that the interval may span, at most; None to stop where 1 lies outside alone.
      clear: whether it stops where 1 lies outside.
    """
    row, seen = found["budgets"][-1], [each for each in found["budgets"] if not each["extrapolated"]][-1]
    low, high = row["low"], row["high"]
    if found["status"] != "ok" or None in (low, high, seen["low"], seen["high"]):
        return ""
    if clear and (min(low, seen["low"]) > 1 or max(high, seen["high"]) < 1):
        return "that interval leaves out 1"
    if narrow is not None and high <= narrow * low:
        return f"that interval spans no more than a factor {narrow:g}"
    return ""
