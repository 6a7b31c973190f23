"""The figure of the convention ledger: one row a counting, a dot with its interval an approach."""

from collections.abc import Sequence

import numpy as np

from analysis.figures.style import DASHED, INK, MARKERS, METHOD_COLOURS, NOTE, sheet, styled
from analysis.frontiers.ledger import NAMES, Entry, summarize
from analysis.laws import published


@styled
def plot_ledger(entries: Sequence[Entry]):
    """Exponents a of params ∝ flops^a with 95 % intervals. Open: not to be trusted by its status;
    dashed: the published exponents that started the argument."""
    rows = list({id(entry.convention): entry.convention for entry in entries}.values())
    row_of = {id(convention): row for row, convention in enumerate(rows)}
    fig, ax = sheet(8.2, 1.5 + 0.42 * len(rows), caption(entries))
    approaches, ends = list(dict.fromkeys(entry.approach for entry in entries)), []
    for k, approach in enumerate(approaches):
        which = list(NAMES).index(approach)
        colour, marker = METHOD_COLOURS[which], MARKERS[which]
        mine = [entry for entry in entries if entry.approach == approach]
        ax.plot([], [], marker, color=colour, ms=6, label=NAMES[approach])
        for entry in mine:
            y = row_of[id(entry.convention)] + 0.16 * (k - (len(approaches) - 1) / 2) * 2
            ends += draw_entry(ax, entry, y, colour, marker)
        if np.isfinite(mine[0].exponent.value):
            ax.axvline(mine[0].exponent.value, color=colour, lw=0.9, alpha=0.5, zorder=1)
    ends = np.array([end for end in ends if np.isfinite(end)] or [0.5])
    low, high = max(ends.min() - 0.06, -0.5), min(ends.max() + 0.06, 1.8)
    ax.set(xlim=(low, high), ylim=(len(rows) - 0.4, -0.9), title="The exponent under every convention")
    ax.set_xlabel("a in params ∝ FLOPs$^a$")
    draw_published(ax, low, high)
    labels = [str(convention).replace(", C = ", "\nC = ") for convention in rows]
    ax.set_yticks(range(len(rows)), labels=labels, fontsize=8.5, color=INK)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0))
    return fig


def draw_entry(ax, entry: Entry, y: float, colour, marker: str) -> list[float]:
    """An exponent with its interval, where there is one; returns what the axes are to hold of it."""
    band = entry.exponent
    if not np.isfinite(band.value):
        style = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8, "color": colour}
        ax.annotate("no exponent", (0.012, y), **style)
        return []
    good = entry.frontier.status in ("ok", "flat", "edge")
    if np.isfinite(band.low):
        ax.plot([band.low, band.high], [y, y], color=colour, lw=1.5, zorder=3, alpha=1 if good else 0.4)
    ax.plot([band.value], [y], marker, color=colour, ms=6, zorder=4, mfc=colour if good else "white")
    return [band.value, band.low, band.high] if good else [band.value]


def draw_published(ax, low: float, high: float) -> None:
    """Kaplan's exponent and Hoffmann's, where they lie inside."""
    for (name, level), room in zip(published.DISPUTED_EXPONENTS.items(), (0.75, 0.3), strict=True):
        if low < level < high:  # Kaplan's is the larger: labels away from each other, but inside
            side, gap = ("right", -3) if (level - low) / (high - low) > room else ("left", 3)
            ax.axvline(level, **DASHED)
            ax.annotate(f"{name}  {level:.2f}", (level, -0.88), (gap, -2), va="top", ha=side, **NOTE)


def caption(entries: Sequence[Entry]) -> str:
    runs = sorted({len(entry.convention.runs.usable()) for entry in entries})
    text = " to ".join(str(n) for n in dict.fromkeys((runs[0], runs[-1]))) + " runs a counting. "
    text += " ".join(summarize(entries))
    return text + " Bars: 95 %. Open: not to be trusted by its status. Thin lines: the first row."
