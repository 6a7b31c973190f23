"""The audit's figure: forecasts of held-out scales, and the profiles of alpha, beta and E."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.audit.audit import Audit
from analysis.audit.forecast import Step, together
from analysis.figures.style import FAINT, INK, METHOD_COLOURS, badge, plain_axis, sequence, sheet, styled
from analysis.fitting.profile import Profile, crossings

TALL = 3.0  # times the 95 % point at which profiles are cut off
LABELS = {
    "alpha": "α, exponent of params",
    "beta": "β, exponent of tokens",
    "E": "E, the floor (nats per token)",
}


@styled
def audit(found: Audit, title: str = "") -> Figure:
    """Predicted against observed loss of held-out levels, their error in rising order of compute,
    and the profiles; the parts that the audit has. The headline stands on top when not ok."""
    panels = 2 * bool(found.steps) + len(found.profiles)
    if not panels:
        raise ValueError("this audit has neither forecasts nor profiles to draw")
    first = 2 * bool(found.steps)
    widths = [1.25] * first + [0.85] * len(found.profiles)
    fig, axes = sheet(2.75 * sum(widths) + 0.4, 3.5, caption(found), panels, widths, title, wspace=0.05)
    axes = np.atleast_1d(axes)
    if first:
        colours = sequence(len(found.steps))
        forecasts(axes[0], found.steps, colours)
        errors(axes[1], found.steps, colours)
    for ax, (name, one) in zip(axes[first:], found.profiles.items(), strict=True):
        draw_profile(ax, name, one)
        if ax is axes[first]:
            ax.set_ylabel("likelihood ratio, 2 Δ log likelihood")
    badge(fig, found.badge())
    return fig


def forecasts(ax, steps: tuple[Step, ...], colours) -> None:
    for step, colour in zip(steps, colours, strict=True):
        ax.scatter(
            step.observed, step.predicted, s=20, color=colour, edgecolors="white", linewidths=0.4, zorder=4
        )
    every = np.concatenate([part for s in steps for part in (s.observed, s.predicted)])
    room = (every.max() / every.min()) ** 0.06 + 1e-9
    ends = (every.min() / room, every.max() * room)
    ax.plot(ends, ends, color=INK, lw=0.9, zorder=2)
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title="Held-out levels of compute")
    ax.set(xlabel="observed loss (nats per token)", ylabel="predicted from smaller runs")
    plain_axis(ax.xaxis, *ends)
    plain_axis(ax.yaxis, *ends)


def errors(ax, steps: tuple[Step, ...], colours) -> None:
    """Each held-out run's error, each level's bias with two standard errors, and the noise; levels
    side by side in rising order of compute."""
    for i, (step, colour) in enumerate(zip(steps, colours, strict=True)):
        gap = 100 * (step.predicted / step.observed - 1)
        wide = 200 * step.noise
        ax.fill_between([i - 0.42, i + 0.42], -wide, wide, color=FAINT, alpha=0.18, lw=0, zorder=1)
        ax.scatter(np.full(len(gap), i - 0.15), gap, s=13, color=colour, alpha=0.7, linewidths=0)
        ax.errorbar(
            [i + 0.15],
            [100 * step.bias],
            yerr=[200 * step.doubt],
            fmt="D",
            ms=5.5,
            color=colour,
            mec=INK,
            mew=0.9,
            ecolor=INK,
            elinewidth=1.1,
            capsize=2.5,
            zorder=5,
        )
    ax.axhline(0, color=INK, lw=0.9, zorder=2)
    ax.set_xticks(range(len(steps)), [f"{step.flops:.2g}".replace("e+", "e") for step in steps], fontsize=8)
    ax.grid(False, axis="x")
    ax.set(xlabel="training compute of the level (FLOPs)", title="Predicted above observed (%)")
    ax.set_xlim(-0.6, len(steps) - 0.4)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))
    handles = [
        Line2D(
            [], [], ls="-", marker="D", color=INK, mfc="#cccccc", ms=5, lw=1.1, label="level: median ± 2 SE"
        ),
        Line2D([], [], ls="-", lw=6, color=FAINT, alpha=0.3, label="±2 × scatter trained on"),
    ]
    ax.legend(handles=handles, loc="upper left", borderaxespad=0.2)


def draw_profile(ax, name: str, one: Profile) -> None:
    """The square of the signed root, which is near a line and so is joined by lines."""
    known = np.isfinite(one.values) & np.isfinite(one.roots)
    values, roots = np.append(one.values[known], one.value), np.append(one.roots[known], 0.0)
    order = np.argsort(values, kind="stable")
    values, roots = values[order], roots[order]
    top, line = TALL * one.limit**2, one.limit**2
    tops = np.array(crossings(one.value, values, roots, np.sqrt(top)))
    left, right = np.where(np.isfinite(tops), tops, (values[0], values[-1]))
    shown = np.linspace(left, right, 400)
    room = 0.06 * max(right - left, 1e-9 * abs(one.value))
    ax.plot(shown, np.interp(shown, values, roots) ** 2, color=METHOD_COLOURS[0], lw=1.5)
    ax.axhline(line, color=FAINT, lw=1, ls=(0, (5, 3)))
    for end in (one.low, one.high):
        if np.isfinite(end):
            ax.plot([end, end], [0, line], color=INK, lw=1.1)
    ax.plot([one.value], [0], "D", ms=5.5, color=METHOD_COLOURS[0], mec=INK, clip_on=False, zorder=5)
    ax.set(ylim=(0, top), xlim=(left - room, right + room), xlabel=LABELS[name])
    low, high = (f"{v:.3g}" if np.isfinite(v) else "open" for v in (one.low, one.high))
    ax.set_title(f"{LABELS[name][0]} = {one.value:.3g}  ({low}, {high})")
    ax.annotate(
        "95 %",
        (1.0, line),
        (0, 2),
        xycoords=("axes fraction", "data"),
        ha="right",
        textcoords="offset points",
        fontsize=8,
        color="#666666",
    )
    ax.locator_params(axis="x", nbins=4)


def caption(found: Audit) -> str:
    fitted = found.fitted
    text = f"{len(fitted.runs)} runs"
    if found.steps:
        last = found.steps[-1]
        text += (
            f"; each level of compute is forecast by Chinchilla's law fitted to all smaller "
            f"ones ({fitted.objective.name}); the last, {last.factor:.2g} × beyond, by "
            f"{last.trained} runs: {100 * last.bias:+.2g} %, {abs(last.z):.2g} standard "
            f"errors; all together {together(found.steps):+.2g}"
        )
    if found.profiles:
        text += (
            "; profiles: one parameter held, the others refitted, likelihood ratio of the "
            "objective with its noise estimated; dashes: 95 %"
        )
    return text + f". Fit status {fitted.status}: {fitted.message}."
