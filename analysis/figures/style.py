"""How a figure looks: paper, colours, ticks, the caption below and the warning on top."""

import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, FAINT, WARNING = "#222222", "#8a8a8a", "#b3261e"
METHOD_COLOURS = ("#1b6ca8", "#c8553d", "#5b8c5a", "#7b5ea7")
MARKERS = ("o", "s", "^", "D")
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

    def draw(*args, **kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    draw.__doc__, draw.__name__ = function.__doc__, function.__name__
    return draw


def plain(text: str) -> str:
    """A name from outside as it stands: a dollar sign in it begins no formula."""
    return text.replace("$", r"\$")


def sheet(
    width: float, height: float, caption: str, columns: int = 1, widths=None, title: str = "", wspace=None
):
    """(figure, axes): panels side by side, room for the caption below them and a title above."""
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


def badge(fig: Figure, said: str) -> None:
    """A strip on top of a finished sheet with what keeps its numbers from being trusted, coloured,
    at the right. The sheet grows by the strip; nothing on it moves."""
    if not said:
        return
    width, height = fig.get_size_inches()
    lines = textwrap.wrap(said, int(width * 13.5))
    if 1 < len(lines) <= 2:  # two lines of about one length
        lines = textwrap.wrap(said, min(int(width * 13.5), len(said) // 2 + 12))
    lines = [*lines[:2], "..."] if len(lines) > 2 else lines
    drop = 0.16 * len(lines) + 0.12
    share = height / (height + drop)
    left, low, wide, tall = fig.get_layout_engine().get()["rect"]
    fig.set_size_inches(width, height + drop)
    fig.get_layout_engine().set(rect=(left, low * share, wide, tall * share))
    for text in fig.texts:
        text.set_y(text.get_position()[1] * share)
    fig.text(
        0.99,
        1 - 0.05 / (height + drop),
        plain("\n".join(lines)),
        fontsize=8.5,
        weight="bold",
        color=WARNING,
        ha="right",
        va="top",
        linespacing=1.25,
    )


def ramp():
    """viridis without its palest yellow, which white paper swallows."""
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


def no_ticks(axis) -> None:
    """An axis on which nothing was drawn; a log locator would refuse it."""
    axis.set_ticks([])
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def log_ticks(axis, low: float, high: float, write) -> None:
    """As many labelled ticks as a log axis has room for: 1-2-5 over few decades, else powers."""
    if not high > low > 0:
        return no_ticks(axis)
    decades = np.log10(high / low)
    choices = ((0.9, (1.0, 2.0, 3.0, 5.0, 7.0)), (2.2, (1.0, 2.0, 5.0)), (3.2, (1.0, 3.0)))
    subs = next((subs for most, subs in choices if decades < most), (1.0,))
    axis.set_major_locator(LogLocator(10, subs=subs, numticks=9 if decades >= 3.2 else 30))
    axis.set_minor_locator(LogLocator(10, subs=np.arange(1.0, 10.0), numticks=200))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())


def count_axis(axis, low: float, high: float) -> None:
    log_ticks(axis, low, high, human)


def power_axis(axis, low: float, high: float) -> None:
    log_ticks(axis, low, high, power)
    if high > low > 0 and 0.9 > np.log10(high / low):  # powers of ten are wide words: fewer of them
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=30))


def plain_axis(axis, low: float, high: float) -> None:
    """A log axis over a small ratio, with round plain numbers."""
    if not high > low > 0:
        return no_ticks(axis)
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
        ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        if len(ticks) <= 9:
            break
    axis.set_ticks(ticks, labels=[f"{t:.2f}" if step < 0.1 else f"{t:.1f}" for t in ticks])
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
