"""Whether the exponents of two methods agree within their intervals."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from analysis.fitting.band import Band
from analysis.frontiers.frontier import Frontier

WORDS = {  # of an agreement: how several pairs are said to stand
    "agree": "agree",
    "in part": "agree in part",
    "disagree": "DISAGREE",
    "bare": "have no interval to compare",
    "none": "lack an exponent",
    "costs": "are under different costs",
}


def compare_bands(a: Band, b: Band) -> str:
    """agree (each value inside the other's 95 % interval), in part (these overlap) or disagree;
    bare where one has no interval, none where one has no value."""
    if not np.isfinite([a.value, b.value]).all():
        return "none"
    if not np.isfinite([a.low, b.low]).all():
        return "bare"
    if a.low <= b.value <= a.high and b.low <= a.value <= b.high:
        return "agree"
    return "in part" if a.low <= b.high and b.low <= a.high else "disagree"


def agreement(first: Frontier, second: Frontier) -> str:
    """`compare_bands` of their params exponents; costs where they minimise under different ones."""
    word = compare_bands(first.params_exponent, second.params_exponent)
    return "costs" if first.cost != second.cost and word != "none" else word


def describe_agreement(first: Frontier, second: Frontier) -> str:
    """Whether two frontiers' exponents agree within their intervals, as a sentence."""
    a, b = first.params_exponent, second.params_exponent
    gap = f"params ∝ FLOPs^a: a = {a} by {first.method}, a = {b} by {second.method}"
    return {
        "none": "One of the two methods has no exponent, so they cannot be compared.",
        "costs": f"Not comparable: the two minimise under different costs. {gap}.",
        "bare": f"{gap}; they differ by {abs(a.value - b.value):.3f}, and one has no interval.",
        "agree": f"The two methods agree: each exponent lies inside the other's 95 % interval. {gap}.",
        "in part": f"The two methods agree in part: their 95 % intervals overlap. {gap}.",
        "disagree": f"The two methods DISAGREE: their 95 % intervals do not overlap. {gap}.",
    }[agreement(first, second)]


def describe_agreements(fronts: Sequence[Frontier]) -> list[str]:
    """`describe_agreement` of two frontiers; of three and more, how many pairs agree, which those
    are where not all do the same, and the exponents, each said once."""
    pairs = list(combinations(fronts, 2))
    if len(pairs) < 2:
        return [describe_agreement(*pair) for pair in pairs]
    names: dict[str, list[str]] = {word: [] for word in WORDS}
    for a, b in pairs:
        names[agreement(a, b)].append(f"{a.method} with {b.method}")
    names = {word: listed for word, listed in names.items() if listed}
    counts = ", ".join(f"{len(listed)} {WORDS[word]}" for word, listed in names.items())
    lines = [f"{len(pairs)} pairs of methods: {counts}."]
    if len(names) > 1:
        lines += [
            f"{WORDS[word][0].upper()}{WORDS[word][1:]}: {'; '.join(listed)}."
            for word, listed in names.items()
        ]
    exponents = ", ".join(f"{front.params_exponent} by {front.method}" for front in fronts)
    return [*lines, f"params ∝ FLOPs^a: a = {exponents}."]
