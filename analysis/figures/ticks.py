"""Round ticks of a logarithmic axis, as close as their words have room. (Imports matplotlib.)"""

import re
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.ticker import Locator, MaxNLocator

from analysis.laws import Array

MOST = 9
CHOICES = ((0.9, (1, 2, 3, 5, 7)), (2.2, (1, 2, 5)), (3.2, (1, 3)))  # below so many decades
CHARACTER, BETWEEN, LINE = 0.6, 0.8, 1.6  # room of words and lines, in their font's size


class RoundTicks(Locator):
    """The closest of 1-2-3-5-7, 1-2-5, 1-3, powers of ten and every few of them whose words stand clear of
    each other at the size in which the axis is drawn; even steps where that leaves fewer than two ticks, at
    last two of them."""

    def __init__(self, write: Callable[[float], str]):
        self.write = write

    def __call__(self) -> Array:
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Array:
        low, high = sorted((vmin, vmax))
        two = low, high
        for ticks in candidates(low, high):
            seen = ticks[(ticks >= low * 0.999) & (ticks <= high * 1.001)]
            if len(seen) > 1:
                two = seen
                if self.are_clear(seen, np.log(seen / low) / np.log(high / low)):
                    return seen
        return np.asarray(two)[[0, -1]]

    def are_clear(self, ticks: Array, places: Array) -> bool:
        """Whether the words of these ticks, at these parts of the axis, do not touch."""
        box, em = self.axis.axes.get_window_extent(), self.axis.get_major_ticks(1)[0].label1.get_fontsize()
        em *= self.axis.get_figure(root=True).dpi / 72  # pixels
        if self.axis.axis_name == "y":
            return bool(np.diff(places).min() * box.height >= LINE * em)
        words = [re.sub(r"[${}^]", "", self.write(tick).replace(r"\times", "×")) for tick in ticks]
        wide = (np.array([len(word) for word in words]) * CHARACTER + BETWEEN) * em
        return bool((np.diff(places) * box.width >= (wide[1:] + wide[:-1]) / 2).all())


def candidates(low: float, high: float) -> Iterator[Array]:
    """Ticks over all decades from end to end, closest first."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    decades = np.log10(high / low)
    powers = 10.0 ** np.arange(first, last + 1)
    for most, digits in CHOICES:
        if decades < most:
            yield np.outer(powers, digits).ravel()
    for step in range(1, last - first + 1):
        if decades / step <= MOST:
            yield 10.0 ** np.arange(-(-first // step) * step, last + 1, step)
    if decades < 1:
        for count in (5, 4, 3, 2):
            yield MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
