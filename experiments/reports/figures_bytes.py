"""Figures of bytes that are no text."""

import numpy as np

from analysis.figures.axes import count_axis
from analysis.figures.style import DASHED, FAINT, METHOD_COLOURS, NOTE, sheet, styled
from experiments.reports.figures import POINT


@styled
def modalities(cells: dict):
    """Bits a byte of each sample over N, beside other compressors."""
    text = (
        "What models of Shakespeare need for 16,384 bytes of each kind, a point a run; the interval is over "
        "windows. Squares: each byte halved, its last bit sent as it is. Levels: compressors of the same "
        "bytes; dashed: as they are."
    )
    names = list(dict.fromkeys(name for name, _ in cells))
    fig, axes = sheet(11.0, 3.2, text, columns=len(names))
    for ax, name in zip(axes, names, strict=True):
        for how, colour, marker in (("whole", METHOD_COLOURS[0], "o"), ("halved", METHOD_COLOURS[1], "s")):
            lines = cells.get((name, how), [])
            params, bits, error = (
                np.array([float(line[key]) for line in lines]) for key in ("params", "bits", "error")
            )
            ax.errorbar(params, bits, 1.96 * error, ls="", color=colour, **(POINT | {"marker": marker}))
        first = cells[name, "whole"][0]
        levels = {other.split()[0]: float(first[other]) for other in ("gzip -9", "xz -9e")}
        for level in levels.values():
            ax.axhline(level, color=FAINT, lw=0.9)
        below = min(float(line["bits"]) for line in cells[name, "whole"]) > max(levels.values())
        at = (0.98, min(levels.values()) if below else max(levels.values()))
        where = {"xycoords": ("axes fraction", "data"), "xytext": (0, -11 if below else 3), "ha": "right"}
        ax.annotate("gzip, xz", at, **NOTE, **where)
        ax.axhline(8, **DASHED)
        ax.set(xscale="log", title=name, xlabel="N", ylim=(0, None))
        count_axis(ax.xaxis)
    axes[0].set_ylabel("bits a byte")
    return fig
