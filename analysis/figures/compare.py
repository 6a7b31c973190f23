"""The figure of a comparison: both arms' loss against compute, with the arrow that the multiplier is, and the
multiplier against compute."""

import numpy as np

from analysis.decisions.compare import FAR, Comparison, band
from analysis.decisions.ladders import best_rows
from analysis.decisions.multiples import frontier_loss, log_multiple, log_multiple_draws
from analysis.figures.axes import log_axes, plain_axis, power_axis
from analysis.figures.style import DASHED, INK, METHOD_COLOURS, NOTE, badge, draw_band, sheet, styled
from analysis.figures.words import loss_label, plain

COMPUTE = "training compute (FLOPs)"
POINTS = 60


@styled
def plot_comparison(each: Comparison, captioned: bool = True):
    """Left: the runs, the fitted frontiers and the arrow from the arm to the baseline at equal loss; right:
    the multiplier against compute with its band. A page that says the `caption` as text leaves it out."""
    fig, axes = sheet(9.6, 4.1, caption(each) if captioned else "", columns=2, widths=(1.15, 1))
    low = min(runs.flops.min() for runs in each.ladders.runs)
    high = max(*(runs.flops.max() for runs in each.ladders.runs), each.budgets[-1].flops)
    draw_losses(axes[0], each, low, high)
    draw_multiplier(axes[1], each, low, high)
    if each.status != "ok":
        badge(fig, f"{each.status.upper()}: {each.message}")
    return fig


def draw_losses(ax, each: Comparison, low: float, high: float) -> None:
    best, colours = each.answer, METHOD_COLOURS
    reach = best.flops * best.compute.value
    end = max(high, reach if np.isfinite(reach) and reach < high * FAR else high) * 1.3
    span = np.geomspace(min(low, reach) / 1.2 if reach > low / FAR else low, end, POINTS)
    for arm, name in enumerate((each.baseline, each.arm)):
        runs = each.ladders.runs[arm]
        kept = best_rows(runs)
        ax.plot(runs.flops[~kept], runs.loss[~kept], "o", ms=2.5, color=colours[arm], alpha=0.3, zorder=2)
        ax.plot(runs.flops[kept], runs.loss[kept], "o", ms=4.5, color=colours[arm], zorder=4)
        ax.plot(span, frontier_loss(each.fit, each.ladders, arm, span), color=colours[arm], label=plain(name))
    if np.isfinite(reach):
        arrow = {"arrowstyle": "->", "color": INK, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (reach, best.loss), (best.flops, best.loss), arrowprops=arrow, zorder=5)
        words = f"× {best.compute.value:.3g}"
        middle = np.sqrt(reach * best.flops)
        ax.annotate(
            words, (middle, best.loss), (0, -12), ha="center", **{**NOTE, "fontsize": 9, "color": INK}
        )
    shown = np.concatenate([runs.loss for runs in each.ladders.runs])
    bottom = min(shown.min(), best.loss, *frontier_loss(each.fit, each.ladders, 1, span[-1:]))
    log_axes(
        ax,
        power_axis,
        plain_axis,
        ylim=(bottom / 1.01, np.quantile(shown, 0.97) * 1.01),
        xlim=(span[0], span[-1]),
        xlabel=COMPUTE,
        ylabel=loss_label(each.ladders.runs[0]),
        title="Loss at equal compute",
    )
    ax.legend(loc="upper right")


def draw_multiplier(ax, each: Comparison, low: float, high: float) -> None:
    span = np.geomspace(low, high, POINTS)
    drawn = log_multiple_draws(each.fit, each.draws, each.ladders, span)
    whole = band(log_multiple(each.fit, each.ladders, span), drawn, each.level)
    ax.axhline(1, **DASHED)
    draw_band(ax, span, whole, METHOD_COLOURS[1])
    for row in each.budgets:
        ends = np.clip([row.compute.low, row.compute.high], 1e-9, 1e9)
        ax.plot([row.flops] * 2, ends, color=METHOD_COLOURS[1], lw=1.2, zorder=3)
        hollow = {"mfc": "white"} if row.extrapolated else {}
        ax.plot(row.flops, row.compute.value, "o", ms=5, color=METHOD_COLOURS[1], zorder=4, **hollow)
    ends = np.concatenate([[row.compute.low, row.compute.high] for row in each.budgets])
    ends = np.clip(ends[np.isfinite(ends) & (ends > 0)], 0.02, 50)
    least, most = min(ends.min(initial=1), 1) / 1.1, max(ends.max(initial=1), 1) * 1.1
    title = f"Compute multiplier of {plain(each.arm)[:40]}"
    log_axes(
        ax,
        power_axis,
        plain_axis,
        ylim=(least, most),
        xlabel=COMPUTE,
        ylabel=f"times the compute of {plain(each.baseline)[:30]}",
        title=title,
    )
    ax.axvline(each.ladders.top, **{**DASHED, "ls": ":"})


def caption(each: Comparison, cautions: bool = True) -> str:
    best, at = each.answer.compute, f"{each.answer.flops:.3g}"
    text = f"{each.arm} at {at} FLOPs: {best.value:.3g} times the compute of {each.baseline} "
    text += f"({100 * each.level:.3g} %: "
    text += f"{best.low:.3g} to {best.high:.3g}). Small points: sizes that are not the best of their budget. "
    text += f"Dotted: the largest run. Status {each.status}: {each.message}."
    if each.shared and all(each.shared.values()):
        text += " The line on the right is level because both arms are taken to have one exponent, as these "
        text += "runs do not tell two apart; its band lets each arm have its own."
    return text + "".join(f" CAUTION: {note}." for note in each.notes if cautions)
