"""What a comparison says first: the multiplier, how sure it is, and what would make it surer."""

import numpy as np

from analysis import headline
from analysis.decisions.compare import Comparison, number
from analysis.fitting import Band
from analysis.report.words import SURE


def said(comparisons: list[Comparison], arms: int) -> list[str]:
    """The answers, how sure they are, and of a single one what would make it surer."""
    if not comparisons:
        return []
    lines = [*(each.headline for each in comparisons), how_sure(comparisons, arms)]
    return lines + [f"Surer with: {surer(each)}." for each in comparisons if len(comparisons) == 1]


def how_sure(comparisons: list[Comparison], arms: int) -> str:
    """What the answers rest on, in a sentence."""
    parts = [runs for each in comparisons for runs in each.ladders.runs]
    least, most = min(runs.flops.min() for runs in parts), max(runs.flops.max() for runs in parts)
    counts = sorted({len(runs) for runs in parts})
    runs = f"{counts[0]} runs an arm" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs an arm"
    ends = f"{headline.power(least)} to {headline.power(most)} FLOPs"
    how = f"{percent(comparisons[0], arms)} intervals, corrected for {arms} arms"
    if len(comparisons) == 1:
        (each,) = comparisons
        best = each.answer.compute
        ratio = best.high / best.low
        seen = "no difference is clear" if is_open(best) else "the difference is clear"
        how = f"{grade(each)}: {seen}, its size uncertain by a factor {number(ratio)}"
        how += said_by_models(each) + read_beyond(each)
    held = sum(len(one.notes) for one in comparisons)
    cautions = f"; {held} caution{'s' * (held > 1)} below" * bool(held)
    return f"{SURE}{how}; {runs}, {ends}{cautions}."


def percent(each: Comparison, arms: int) -> str:
    """The level of all arms' intervals together."""
    return f"{100 - 100 * arms * (1 - each.level):.3g} %"


def is_open(kappa: Band) -> bool:
    return kappa.low <= 1 <= kappa.high


def grade(each: Comparison) -> str:
    """strong: a clear difference known within a factor 1.5, the baseline's curve read inside its runs;
    moderate: within a factor 4; weak: all else, and where the fit is not ok."""
    best = each.answer.compute
    ratio = best.high / best.low
    if each.status != "ok" or is_open(best) or not ratio <= headline.FAIR:
        return "weak"
    return "strong" if ratio <= headline.SHARP and not read_beyond(each) else "moderate"


def surer(each: Comparison) -> str:
    """What to train that would narrow the answer most."""
    best = each.answer
    if read_beyond(each):
        at = headline.power(best.compute.value * best.flops)
        return f"runs of {each.baseline} at {at} FLOPs, where its curve is only guessed now"
    if is_open(best.compute) and np.isfinite(each.seeds) and each.seeds < 1000:
        return (
            f"{each.seeds:.0f} times these runs, if the difference is the {number(best.compute.value)} seen"
        )
    if each.trend_p is None:
        return "more budgets in both arms: with these no change with scale can be seen"
    return "more seeds of both arms at the largest budget, or a larger one"


def read_beyond(each: Comparison) -> str:
    """How far beyond its runs the baseline's curve is read for the answer; "" where it is inside."""
    beyond = each.answer.compute.value * each.answer.flops / each.ladders.runs[0].flops.max()
    said = f"; {each.baseline}'s curve is read {beyond:.2g} × beyond its largest run"
    return said if np.isfinite(beyond) and beyond > 1.05 else ""


def said_by_models(each: Comparison) -> str:
    """From where to where the multiplier goes with what the arms are taken to share; "" of one model."""
    values = sorted(band.value for band in each.models.values())
    said = f"; {number(values[0])} to {number(values[-1])} times, by what the arms are taken to share"
    return said if len(values) > 1 and values[-1] > 1.05 * values[0] else ""
