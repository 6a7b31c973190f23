"""The bench's figures, drawn from what its parts left in bench/results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.figures.style import METHOD_COLOURS, styled
from analysis.figures.words import human

BLUE, RED = METHOD_COLOURS[:2]


@styled
def growth(results: dict[str, Any], folder: Path) -> Figure:
    """Speed over model size, context and, where the part `many` left them, packed runs; and the
    cost of a run in grids of many."""
    packed = packs(folder)
    fig = Figure(figsize=(9.6, 5.8), layout="constrained", dpi=170)
    (left, middle, *between), (left_share, middle_share, right) = fig.subplots(2, 3)
    peak = one_core_peak(folder)
    for axes in between if not packed else ():
        axes.set_visible(False)
    sizes = [row for row in results["sizes"] if "rate" in row]
    weights = [row["params_all"] for row in sizes]
    speed(left, left_share, sizes, weights, peak)
    left.set(title="Size (context 128)", yscale="log")
    left_share.set(xlabel="all weights")
    decades = range(int(np.ceil(np.log10(min(weights)))), int(np.log10(max(weights))) + 1)
    for axes in (left, left_share):
        ticks(axes.xaxis, [10.0**n for n in decades])
    contexts = [row for row in results["contexts"] if "rate" in row]
    lengths = [row["shape"]["context"] for row in contexts]
    speed(middle, middle_share, contexts, lengths, peak)
    middle.set(title="Context (5 x 128, 4096 tokens a step)")
    middle_share.set(xlabel="tokens of context")
    middle.set_ylim(bottom=0)
    for axes in (middle, middle_share):
        ticks(axes.xaxis, lengths)
    for axes in between if packed else ():
        for (shape, rows), colour in zip(packed.items(), METHOD_COLOURS, strict=False):
            axes.plot(*zip(*rows, strict=True), "o-", label=shape, color=colour)
        axes.set(
            title="Runs packed on one device",
            xlabel="runs",
            xscale="log",
            ylabel="tokens / s over those of one run",
        )
        axes.set_ylim(0, 1.1 * max(1.0, *(speed for rows in packed.values() for _, speed in rows)))
        axes.legend()
        ticks(axes.xaxis, sorted({runs for rows in packed.values() for runs, _ in rows}))
    grids = results["grids"]
    runs, each = [row["runs"] for row in grids], [row["seconds_a_run"] for row in grids]
    right.plot(runs, each, "o-", color=BLUE)
    right.set(
        title="lab run of runs of 4 updates",
        xlabel="runs in the grid",
        ylabel="seconds a run, start included",
        xscale="log",
        yscale="log",
    )
    ticks(right.xaxis, runs)
    left.yaxis.set_major_formatter(lambda value, _: human(value))
    right.yaxis.set_minor_locator(NullLocator())
    ticks(right.yaxis, [x for x in (0.1, 0.2, 0.5, 1, 2, 5, 10) if min(each) / 1.5 < x < max(each) * 1.5])
    return fig


def speed(axes, below, rows: list[dict[str, Any]], at: list[float], peak: float | None) -> None:
    """Tokens a second, and below what share of the peak (or how many FLOPs a second) that is."""
    axes.plot(at, [row["rate"] for row in rows], "o-", color=BLUE)
    axes.set(xscale="log", ylabel="tokens / s of one core")
    unit = peak / 100 if peak else 1e9
    share = [row["rate"] * row["flops_per_token"] / unit for row in rows]
    below.plot(at, share, "s-", color=RED)
    below.set(xscale="log", ylim=(0, max(share) * 1.15))
    below.set_ylabel("% of the fastest product" if peak else "GFLOP / s")
    axes.yaxis.set_major_formatter(lambda value, _: human(value))


def packs(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(runs packed on one device, speed over that of one run alone) by shape."""
    path = folder / "many.json"
    if not path.exists():
        return {}
    results = {
        race["shape"]: sorted(
            (row["runs"], row["over_one_device"]["median"])
            for row in race["results"]
            if row["way"] == "pack" and row["devices"] == 1 and "over_one_device" in row
        )
        for race in json.loads(path.read_text())["races"]
    }
    return {shape: rows for shape, rows in results.items() if rows}


def ticks(axis, at: list[float]) -> None:
    axis.set_ticks(at, labels=[f"{x:g}" if x < 10_000 else human(x) for x in at])
    axis.set_minor_locator(NullLocator())


def one_core_peak(folder: Path) -> float | None:
    """The fastest float32 product on one core of the part `peak`, FLOPs a second."""
    path = folder / "peak.json"
    if not path.exists():
        return None
    rates = [
        row["rate"]
        for row in json.loads(path.read_text())["results"]
        if row.get("dtype") == "float32" and row["processes"] == 1 and "rate" in row
    ]
    return max(rates, default=None)
