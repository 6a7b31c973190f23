"""A value with its 95 % interval, and the same for an array of values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.laws import Array

NOT = "not determined"


@dataclass(frozen=True, eq=False)
class Band:
    """A value with its 95 % interval: numbers, or arrays (K,). NaN ends mean no interval."""

    value: Array | float
    low: Array | float
    high: Array | float

    @classmethod
    def from_draws(cls, value, draws: Array | None, *also) -> "Band":
        """Percentiles of draws (S, ...), widened to hold the value and `also` (other methods)."""
        value = np.asarray(value, float)
        if draws is None or not np.isfinite(draws).any():
            nan = np.full_like(value, np.nan)
            return cls(value[()], nan[()], nan[()])
        low, high = np.nanpercentile(draws, [2.5, 97.5], axis=0)
        others = [value, *(np.asarray(v, float) for v in also)]
        low, high = np.fmin.reduce([low, *others]), np.fmax.reduce([high, *others])
        return cls(value[()], low[()], high[()])

    @classmethod
    def from_ends(cls, value, low, high) -> "Band":
        """Given ends, widened to hold the value; NaN ends stay so."""
        value = np.asarray(value, float)
        return cls(value[()], np.minimum(low, value)[()], np.maximum(high, value)[()])

    def __repr__(self) -> str:
        parts = (np.atleast_1d(part) for part in (self.value, self.low, self.high))
        written = [(determined(v), span(low, high)) for v, low, high in zip(*parts, strict=True)]
        return ", ".join(f"{value} {ends}".rstrip() for value, ends in written)

    def __str__(self) -> str:
        if np.ndim(self.value):
            return repr(self)
        if not np.isfinite(self.value):
            return "unknown"
        return f"{self.value:.3f} {span(self.low, self.high, '{:.3f}'.format)}".rstrip()


def determined(value: float, write: Callable[[float], str] = "{:.4g}".format) -> str:
    """A number in words; one that is none, or infinite, is not determined."""
    return write(value) if np.isfinite(value) else NOT


def span(low: float, high: float, write: Callable[[float], str] = "{:.4g}".format, to: str = ", ") -> str:
    """The ends of an interval in words, (1.2, 3.4); an infinite one is not determined. "" where there is
    none."""
    if np.isnan([low, high]).any():
        return ""
    if np.isinf([low, high]).all():
        return f"({NOT})"
    return f"({determined(low, write)}{to}{determined(high, write)})"
