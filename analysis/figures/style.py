"""How a figure looks: paper, colours, ticks, the caption below and the warning on top.

matplotlib is imported where something is drawn, so that a command without a figure starts fast.
"""

import re
import textwrap
from collections.abc import Sequence
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from analysis.fitting import Fit
from analysis.frontiers import Frontier
from analysis.laws import Array
from analysis.tables.units import UNSTATED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, WARNING = "#222222", "#8a8a8a", "#b3261e"
METHOD_COLOURS = ("#1b6ca8", "#c8553d", "#5b8c5a", "#7b5ea7")
MARKERS = ("o", "s", "^", "D")
DASHED = {"color": FAINT, "lw": 1, "ls": (0, (5, 3)), "zorder": 1}  # a level to compare with
NOTE = {"textcoords": "offset points", "fontsize": 8, "color": "#666666"}  # its name
STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 9.5,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "text.color": INK,
    "svg.hashsalt": "lab",
}


def styled(function):
    """Draw under the house style without touching the caller's."""

    @wraps(function)
    def draw(*args, **kwargs) -> "Figure":
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return draw


def plain(text: str) -> str:
    """A name from outside as it stands: a dollar sign in it begins no formula."""
    return text.replace("$", r"\$")


def sheet(
    width: float, height: float, caption: str, columns: int = 1, widths=None, title: str = "", wspace=None
):
    """(figure, axes): panels side by side, room for the caption below them and a title above."""
    from matplotlib.figure import Figure

    lines = textwrap.wrap(caption, int(width * 16.5))
    foot = 0.155 * len(lines) + 0.12
    head, tall = 0.3 * bool(title), height + foot
    fig = Figure(figsize=(width, tall), layout="constrained", dpi=200)
    axes = fig.subplots(1, columns, gridspec_kw={"width_ratios": widths} if widths else None)
    if title:
        fig.suptitle(plain(title), fontsize=11.5, x=0.01, y=0.985, ha="left")
    text = plain("\n".join(lines))
    fig.text(0.01, 0.06 / tall, text, fontsize=8, color="#555555", va="bottom", linespacing=1.3)
    fig.get_layout_engine().set(rect=(0, foot / tall, 1, 1 - foot / tall - head / tall), wspace=wspace)
    return fig, axes


def badge(fig: "Figure", words: str) -> None:
    """A strip on top of a finished sheet with what keeps its numbers from being trusted, coloured,
    at the right. The sheet grows by the strip; nothing on it moves."""
    if not words:
        return
    width, height = fig.get_size_inches()
    lines = textwrap.wrap(words, int(width * 13.5))
    if len(lines) == 2:  # of about one length
        lines = textwrap.wrap(words, min(int(width * 13.5), len(words) // 2 + 12))
    lines = [*lines[:2], "..."] if len(lines) > 2 else lines
    strip = 0.16 * len(lines) + 0.12
    share, engine = height / (height + strip), fig.get_layout_engine()
    left, low, wide, tall = engine.get()["rect"]
    fig.set_size_inches(width, height + strip)
    engine.set(rect=(left, low * share, wide, tall * share))
    for text in fig.texts:
        text.set_y(text.get_position()[1] * share)
    style = {"fontsize": 8.5, "weight": "bold", "color": WARNING, "linespacing": 1.25}
    top, text = 1 - 0.05 / (height + strip), plain("\n".join(lines))
    fig.text(0.99, top, text, ha="right", va="top", **style)


def warning(*answers: Frontier | Fit | None) -> str:
    """What fits and frontiers say against themselves, in short, for a badge, as the caption has the
    whole message; "" when all are ok."""
    bad = [each for each in answers if each is not None and each.status != "ok"]
    reasons = "; ".join(dict.fromkeys(re.split("[;,] ", each.message)[0] for each in bad))
    hopeless = any(each.status in ("unidentified", "failed") for each in bad)
    return reasons and ("NOT TO BE TRUSTED: " if hopeless else "WITH CARE: ") + reasons


def caution_words(cautions: Sequence[str]) -> str:
    """What looks wrong in the table, for the end of a caption; "" where nothing does."""
    return "".join(f" CAUTION: {caution}." for caution in cautions)


def loss_label(runs) -> str:
    unit = runs.loss_unit.partition(",")[0].replace("/", " per ")
    return "loss" if runs.loss_unit == UNSTATED else plain(f"loss ({unit})")


def ramp():
    """viridis without its palest yellow, which white paper swallows."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.88, 256))
    return matplotlib.colors.ListedColormap(colours)


def sequence(count: int):
    return [ramp()(v) for v in (np.linspace(0, 1, count) if count > 1 else [0.3])]


def power(value: float) -> str:
    """1.25e16 as a paper writes it."""
    if not value > 0:
        return "0"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10**exponent
    if abs(mantissa - 1) < 0.005:
        return f"$10^{{{exponent}}}$"
    return f"${mantissa:.3g}\\times10^{{{exponent}}}$"


def human(value: float) -> str:
    """50000 as 50k."""
    for unit, word in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9999:
            return f"{value / unit:.4g}{word}"
    return f"{value:.4g}"


def size_colours(values: Array):
    """A logarithmic norm over positive values, a little wider than they are."""
    from matplotlib.colors import LogNorm

    return LogNorm(values.min() / 1.05, values.max() * 1.05)


def colour_bar(fig, axes, norm, label: str) -> None:
    """Beside all axes: what `ramp()` stands for under a norm."""
    from matplotlib.cm import ScalarMappable

    bar = fig.colorbar(ScalarMappable(norm, ramp()), ax=list(axes), pad=0.01, aspect=35, label=plain(label))
    bar.outline.set_visible(False)
    count_axis(bar.ax.yaxis)


def key(**style):
    """An entry of a legend that stands for no artist of the axes."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **style)


def draw_band(ax, span: Array, band, colour, label: str = "") -> None:
    """A line over its 95 % band; with no band only the label."""
    if band is None:
        ax.plot([], [], color=colour, label=label)
        return
    ax.plot(span, band.value, color=colour, lw=1.6, label=label, zorder=3)
    if np.isfinite(band.low).all():
        ax.fill_between(span, band.low, band.high, color=colour, alpha=0.16, lw=0, zorder=2)


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


def log_ticks(axis, write, ends=()) -> float:
    """As many labelled ticks as a log axis from end to end (its own, or those given) has room for:
    1-2-5 over few decades, else powers. Returns the decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = ends or axis.get_view_interval()
    if not high > low > 0:
        clear_ticks(axis)
        return np.inf
    decades = np.log10(high / low)
    choices = ((0.9, (1.0, 2.0, 3.0, 5.0, 7.0)), (2.2, (1.0, 2.0, 5.0)), (3.2, (1.0, 3.0)))
    subs = next((subs for most, subs in choices if decades < most), (1.0,))
    axis.set_major_locator(LogLocator(10, subs=subs, numticks=9 if decades >= 3.2 else 30))
    axis.set_minor_locator(LogLocator(10, subs=np.arange(1.0, 10.0), numticks=200))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())
    return decades


def count_axis(axis, *ends: float) -> None:
    log_ticks(axis, human, ends)


def power_axis(axis, *ends: float) -> None:
    from matplotlib.ticker import LogLocator

    if log_ticks(axis, power, ends) < 0.9:  # powers of ten are wide words: fewer of them
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=30))


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
