"""How a figure looks: paper, colours, the caption below and the warning on top.

matplotlib is imported where something is drawn, so that a command without a figure starts fast.
"""

import textwrap
from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from analysis.figures.axes import count_axis
from analysis.figures.words import plain
from analysis.laws import Array

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


def sheet(
    width: float,
    height: float,
    caption: str,
    columns: int = 1,
    widths=None,
    title: str = "",
    wspace=None,
    rows: int = 1,
):
    """(figure, axes): panels side by side and in rows, room for the caption below them and a title above."""
    from matplotlib.figure import Figure

    lines = textwrap.wrap(caption, int(width * 16.5))
    foot = 0.155 * len(lines) + 0.12
    head, tall = 0.3 * bool(title), height + foot
    fig = Figure(figsize=(width, tall), layout="constrained", dpi=200)
    axes = fig.subplots(rows, columns, gridspec_kw={"width_ratios": widths} if widths else None)
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
    width, _ = fig.get_size_inches()
    lines = textwrap.wrap(words, int(width * 13.5))
    if len(lines) == 2:  # of about one length
        lines = textwrap.wrap(words, min(int(width * 13.5), len(words) // 2 + 12))
    lines = [*lines[:2], "..."] if len(lines) > 2 else lines
    add_strip(fig, lines, 0.99, ha="right", color=WARNING)


def name_group(fig: "Figure", words: str) -> None:
    """A strip on top of a finished sheet that says which of several groups it is of, at the left."""
    add_strip(fig, [textwrap.shorten(words, int(fig.get_size_inches()[0] * 12), placeholder="…")], 0.01)


def add_strip(fig: "Figure", lines: list[str], x: float, **style) -> None:
    """Lines of text above all that a sheet holds, which grows by them."""
    width, height = fig.get_size_inches()
    strip = 0.16 * len(lines) + 0.12
    share, engine = height / (height + strip), fig.get_layout_engine()
    left, low, wide, tall = engine.get()["rect"]
    fig.set_size_inches(width, height + strip)
    engine.set(rect=(left, low * share, wide, tall * share))
    for text in fig.texts:
        text.set_y(text.get_position()[1] * share)
    top, text = 1 - 0.05 / (height + strip), plain("\n".join(lines))
    fig.text(x, top, text, va="top", fontsize=8.5, weight="bold", linespacing=1.25, **style)


def ramp():
    """plasma up to where it stands out from white paper by 3 : 1 (WCAG 2.2, 1.4.11)."""
    import matplotlib

    colours = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.64, 256))
    return matplotlib.colors.ListedColormap(colours)


def sequence(count: int):
    return [ramp()(v) for v in (np.linspace(0, 1, count) if count > 1 else [0.3])]


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
