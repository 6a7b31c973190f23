"""Logarithmic axes with round ticks."""

import numpy as np

from analysis.figures.words import human, power


def log_axes(ax, x=None, y=None, **settings) -> None:
    """Make axes logarithmic with ticks of a kind (`count_axis`, `power_axis`, `plain_axis`), after
    what `ax.set` takes."""
    kinds = {name: kind for name, kind in (("x", x), ("y", y)) if kind}
    ax.set(**{f"{name}scale": "log" for name in kinds}, **settings)
    for name, kind in kinds.items():
        kind(getattr(ax, f"{name}axis"))


def clear_ticks(axis) -> None:
    """An axis on which nothing was drawn; a log locator would refuse it."""
    from matplotlib.ticker import NullLocator

    axis.set_ticks([])
    axis.set_minor_locator(NullLocator())


def log_ticks(axis, write, ends=()) -> None:
    """As many labelled ticks as a log axis from end to end (its own, or those given) has room for:
    1-2-5 over few decades, else powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from analysis.figures.ticks import RoundTicks

    low, high = ends or axis.get_view_interval()
    if not high > low > 0:
        return clear_ticks(axis)
    axis.set_major_locator(RoundTicks(write))
    axis.set_minor_locator(LogLocator(10, subs=np.arange(1.0, 10.0), numticks=200))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())


def count_axis(axis, *ends: float) -> None:
    log_ticks(axis, human, ends)


def power_axis(axis, *ends: float) -> None:
    log_ticks(axis, power, ends)


def percent_axis(axis) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def plain_axis(axis, *ends: float) -> None:
    """A log axis over a small ratio, with round plain numbers."""
    low, high = ends or axis.get_view_interval()
    if not high > low > 0:
        return clear_ticks(axis)
    from matplotlib.ticker import NullLocator

    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
        ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        if len(ticks) <= 9:
            break
    axis.set_ticks(ticks, labels=[f"{t:.2f}" if step < 0.1 else f"{t:.1f}" for t in ticks])
    axis.set_minor_locator(NullLocator())
