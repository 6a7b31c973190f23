"""Axes of the page's own figures: their ends, ticks and the words of ticks. `axes.js` ticks alike."""

from dataclasses import dataclass

import numpy as np

from analysis.figures.words import human
from analysis.laws import Array

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SUBS = ((0.9, (1, 2, 3, 5, 7)), (2.2, (1, 2, 5)), (3.2, (1, 3)))  # of axes over at most so many decades
SMALL = 4.0  # times its low end, below which an axis has evenly spaced ticks


@dataclass(frozen=True)
class Axis:
    """One axis. `name` is the column of runs it shows, by which another may stand in for it; "" for none."""

    label: str
    low: float
    high: float
    log: bool = True
    kind: str = "plain"  # of its numbers: plain | count | power
    name: str = ""

    def share(self, values: Array) -> Array:
        """Where values lie between the ends, 0 to 1."""
        ends = np.array([self.low, self.high])
        if self.log:
            with np.errstate(all="ignore"):
                values, ends = np.log(values), np.log(ends)
        return (values - ends[0]) / (ends[1] - ends[0])

    def ticks(self) -> list[float]:
        """Round numbers between the ends: 1-2-5 of a few decades, else powers; evenly spaced ones of a
        linear axis and of a small ratio."""
        if not self.log or self.high < SMALL * self.low:
            return even(self.low, self.high)
        decades = np.log10(self.high / self.low)
        subs = next((subs for most, subs in SUBS if decades < most), (1,))
        every = max(1, int(np.ceil(decades / 7)))
        powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1, every)
        all_ticks = (float(f"{sub}e{power}") for power in powers for sub in subs)
        return [tick for tick in all_ticks if self.low <= tick <= self.high]

    def write(self, value: float) -> str:
        if self.kind == "power" and value > 0:
            return power(value)
        return human(value) if self.kind == "count" else f"{value:.6g}"


def even(low: float, high: float, most: int = 6) -> list[float]:
    raw = (high - low) / most
    size = 10.0 ** np.floor(np.log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw * 0.999)
    return [float(f"{step * k:.9g}") for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def power(value: float) -> str:
    """1.25e16 as 1.25×10¹⁶."""
    mantissa, exponent = f"{value:.2e}".split("e")
    ten = "10" + str(int(exponent)).translate(RAISED)
    return ten if float(mantissa) == 1 else f"{float(mantissa):g}×{ten}"


def span(*values: Array, room: float = 0.05, log: bool = True) -> tuple[float, float]:
    """Ends that hold all finite values (above zero where log), and some room."""
    known = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    known = known[np.isfinite(known) & ((known > 0) | (not log))]
    if not len(known):
        return (1.0, 10.0)
    low, high = known.min(), known.max()
    if log:
        wide = max((high / low) ** room, 1.002)
        return low / wide, high * wide
    wide = room * (high - low) or 1.0
    return low - wide, high + wide
