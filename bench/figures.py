"""The bench's figures, drawn from what its parts left in bench/results."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis.figures_style import METHOD_COLOURS, count_axis, human, styled

BLUE, RED = METHOD_COLOURS[:2]


@styled
def growth(found: dict[str, Any], results: Path) -> Figure:
    """Speed over model size and context, and the cost of a run in grids of many."""
    fig = Figure(figsize=(10.5, 3.6), layout="constrained", dpi=200)
    left, middle, right = fig.subplots(1, 3)
    peak = one_core_peak(results)
    speed(left, [one for one in found["sizes"] if "rate" in one], "params_all", peak)
    left.set(
        title="Model size (context 128)", xlabel="all weights", ylabel="tokens / s of one core"
    )
    speed(middle, [one for one in found["contexts"] if "rate" in one], "context", peak)
    middle.set(title="Context (5 x 128, 4096 tokens a step)", xlabel="tokens of context",
               ylabel="tokens / s of one core")  # fmt: skip
    grids = found["grids"]
    right.plot([g["runs"] for g in grids], [g["seconds_a_run"] for g in grids], "o-", color=BLUE)
    right.set(title="lab run of runs of 4 updates", xlabel="runs in the grid",
              ylabel="seconds a run, start included", xscale="log", yscale="log")  # fmt: skip
    return fig


def speed(axes, rows: list[dict[str, Any]], x: str, peak: float | None) -> None:
    """Tokens a second, and beside it FLOPs a second or the share of the peak that they are."""
    at = [one[x] if x in one else one["shape"][x] for one in rows]
    axes.plot(at, [one["rate"] for one in rows], "o-", color=BLUE)
    axes.set(xscale="log", yscale="log")
    axes.yaxis.label.set_color(BLUE)
    beside = axes.twinx()
    share = [one["rate"] * one["flops_per_token"] / (peak or 1e9) * (100 if peak else 1)
             for one in rows]  # fmt: skip
    beside.plot(at, share, "s--", color=RED)
    beside.set_ylim(0, max(share) * 1.15)
    beside.set_ylabel("% of the fastest product" if peak else "GFLOP / s", color=RED)
    beside.grid(False)
    beside.spines["right"].set_visible(True)
    count_axis(axes.xaxis, min(at), max(at))
    axes.yaxis.set_major_formatter(lambda value, _: human(value))


def one_core_peak(results: Path) -> float | None:
    """The fastest float32 product on one core of the part `peak`, FLOPs a second."""
    path = results / "peak.json"
    if not path.exists():
        return None
    rates = [
        one["rate"] for one in json.loads(path.read_text())["results"]
        if one.get("dtype") == "float32" and one["processes"] == 1 and "rate" in one
    ]  # fmt: skip
    return max(rates, default=None)
