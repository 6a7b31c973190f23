"""The figure of the convention ledger: one row a counting, a dot with its interval an approach."""

from collections.abc import Sequence

import numpy as np

from analysis.figures import figures
from analysis.figures.figures import FAINT, INK, MARKERS, METHOD_COLOURS
from analysis.frontiers.ledger import NAMES, Entry, summary
from analysis.laws import published


@figures.styled
def ledger(entries: Sequence[Entry]):
    """Exponents a of params ∝ flops^a with 95 % intervals. Open: not to be trusted by its status;
    dashed: the published exponents that started the argument."""
    conventions = list({id(e.convention): e.convention for e in entries}.values())
    approaches = list(dict.fromkeys(e.approach for e in entries))
    place = {id(c): i for i, c in enumerate(conventions)}
    fig, ax = figures.sheet(8.2, 1.5 + 0.42 * len(conventions), caption(entries))
    seen = []
    for k, approach in enumerate(approaches):
        which = list(NAMES).index(approach)
        colour, marker = METHOD_COLOURS[which], MARKERS[which]
        ax.plot([], [], marker, color=colour, ms=6, label=NAMES[approach])
        for each in (e for e in entries if e.approach == approach):
            band, y = each.exponent, place[id(each.convention)]
            y += 0.16 * (k - (len(approaches) - 1) / 2) * 2
            if not np.isfinite(band.value):
                ax.annotate(
                    "no exponent",
                    (0.012, y),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8,
                    color=colour,
                )
                continue
            good = each.frontier.status in ("ok", "flat", "edge")
            if np.isfinite(band.low):
                ax.plot(
                    [band.low, band.high], [y, y], color=colour, lw=1.5, zorder=3, alpha=1 if good else 0.4
                )
            ax.plot([band.value], [y], marker, color=colour, ms=6, zorder=4, mfc=colour if good else "white")
            seen += [band.value] if not good else [band.value, band.low, band.high]
        first = next((e for e in entries if e.approach == approach), None)
        if first is not None and np.isfinite(first.exponent.value):
            ax.axvline(first.exponent.value, color=colour, lw=0.9, alpha=0.5, zorder=1)
    seen = np.array([v for v in seen if np.isfinite(v)] or [0.5])
    low, high = max(seen.min() - 0.06, -0.5), min(seen.max() + 0.06, 1.8)
    ax.set(
        xlim=(low, high),
        ylim=(len(conventions) - 0.4, -0.9),
        xlabel="a in params ∝ FLOPs$^a$",
        title="The exponent under every convention",
    )
    levels = {
        "Kaplan 2020": published.KAPLAN_OPT["N"].value,
        "Hoffmann 2022": published.HOFFMANN_EXPONENTS[1, "a"].value,
    }
    for (name, level), room in zip(levels.items(), (0.75, 0.3), strict=True):
        if low < level < high:  # Kaplan's is the larger: labels away from each other, but inside
            side, gap = ("right", -3) if (level - low) / (high - low) > room else ("left", 3)
            ax.axvline(level, color=FAINT, lw=1, ls=(0, (5, 3)), zorder=1)
            ax.annotate(
                f"{name}  {level:.2f}",
                (level, -0.88),
                (gap, -2),
                fontsize=8,
                va="top",
                ha=side,
                textcoords="offset points",
                color="#666666",
            )
    labels = [str(c).replace(", C = ", "\nC = ") for c in conventions]
    ax.set_yticks(range(len(conventions)), labels=labels, fontsize=8.5, color=INK)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower left", bbox_to_anchor=(1.0, 0.0))
    return fig


def caption(entries: Sequence[Entry]) -> str:
    runs = sorted({len(e.convention.runs.usable()) for e in entries})
    text = " to ".join(str(n) for n in dict.fromkeys((runs[0], runs[-1]))) + " runs a counting. "
    text += " ".join(summary(entries))
    return text + " Bars: 95 %. Open: not to be trusted by its status. Thin lines: the first row."
