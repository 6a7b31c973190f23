"""What to train that would narrow an answer most."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.words import STEP
from analysis.figures.words import typed as power
from analysis.frontiers import Frontier

KNOWN = 1.05  # how many times the low end of growth the high end is, below which it is known
WIDE = 30.0  # largest budget over smallest, below which a wider range is the first thing to ask for


def what_narrows(front: Frontier, others: Sequence[Frontier]) -> str:
    """What would narrow most what a frontier says, by what it and the others of its table lack."""
    valleys = next((each for each in (front, *others) if each.kind == "valleys"), None)
    if valleys is not None and (lacking := what_is_missing(valleys)):
        return lacking
    flops = front.flops
    if flops.max() < WIDE * flops.min():
        spread = f"those here span a factor {flops.max() / flops.min():.2g}"
        return f"a budget of {power(STEP * flops.max())} FLOPs ({spread})"
    if valleys is None:
        return "sizes at equal compute, by which a second method can agree or not"
    if front.params_exponent.high - front.params_exponent.low < np.log10(KNOWN):
        inside = f"nothing inside {power(flops.min())} to {power(flops.max())} FLOPs"
        return f"{inside}; to go beyond, a budget of {power(STEP * flops.max())}"
    return "more seeds of the runs nearest the minima"


def what_is_missing(valleys: Frontier) -> str:
    """Which sizes would give the largest budgets that lack one a minimum; "" where all have it."""

    def at(words: Sequence[str], wanted: str) -> str:
        bad = [power(flops) for flops, word in zip(valleys.flops, words, strict=True) if word == wanted]
        return ", ".join(bad[-3:])

    further = [
        f"{sizes} sizes at {where} FLOPs (the {end} is best now)"
        for end, sizes in (("smallest", "smaller"), ("largest", "larger"))
        if valleys.ends and (where := at(valleys.ends, end))
    ]
    if further:
        return " and ".join(further)
    for status, what, now in (
        ("few", "more sizes", "too few now"),
        ("flat", "sizes further from the minimum, or more seeds,", "no clear minimum now"),
    ):
        if where := at(valleys.point_status, status):
            return f"{what} at {where} FLOPs ({now})"
    return ""
