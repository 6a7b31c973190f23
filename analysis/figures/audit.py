"""The audit's figure: forecasts of held-out scales, and the profiles of alpha, beta and E."""

from collections.abc import Sequence

import numpy as np

from analysis.audit.audit import Audit
from analysis.audit.forecast import Step, pooled_score
from analysis.figures.axes import log_axes, plain_axis
from analysis.figures.style import (
    DASHED,
    FAINT,
    INK,
    METHOD_COLOURS,
    NOTE,
    badge,
    key,
    sequence,
    sheet,
    styled,
)
from analysis.figures.words import loss_label
from analysis.fitting.profile import Profile, crossings

TALL = 3.0  # times the 95 % point at which profiles are cut off
LABELS = {"alpha": "α, exponent of params", "beta": "β, exponent of tokens", "E": "E, the floor"}


@styled
def plot_audit(audit: Audit, title: str = ""):
    """Predicted against observed loss of held-out levels, their error in rising order of compute,
    and the profiles; the parts that the audit has. The headline stands on top when not ok."""
    first = 2 * bool(audit.steps)
    panels = first + len(audit.profiles)
    if not panels:
        raise ValueError("this audit has neither forecasts nor profiles to draw")
    widths = [1.25] * first + [0.85] * len(audit.profiles)
    width = 2.75 * sum(widths) + 0.4
    fig, axes = sheet(width, 3.5, caption(audit), panels, widths, title, wspace=0.05)
    axes = np.atleast_1d(axes)
    if audit.steps:
        colours = sequence(len(audit.steps))
        draw_forecasts(axes[0], audit.steps, colours, loss_label(audit.runs))
        draw_errors(axes[1], audit.steps, colours)
    for ax, (name, profile) in zip(axes[first:], audit.profiles.items(), strict=True):
        draw_profile(ax, name, profile)
    if audit.profiles:
        axes[first].set_ylabel("likelihood ratio, 2 Δ log likelihood")
    badge(fig, audit.badge())
    return fig


def draw_forecasts(ax, steps: Sequence[Step], colours, label: str) -> None:
    style = {"s": 20, "edgecolors": "white", "linewidths": 0.4, "zorder": 4}
    for step, colour in zip(steps, colours, strict=True):
        ax.scatter(step.observed, step.predicted, color=colour, **style)
    losses = np.concatenate([part for step in steps for part in (step.observed, step.predicted)])
    room = (losses.max() / losses.min()) ** 0.06 + 1e-9
    ends = (losses.min() / room, losses.max() * room)
    ax.plot(ends, ends, color=INK, lw=0.9, zorder=2)
    labels = {"xlabel": f"observed {label}", "ylabel": "predicted from smaller runs"}
    log_axes(ax, plain_axis, plain_axis, xlim=ends, ylim=ends, title="Held-out levels of compute", **labels)


def draw_errors(ax, steps: Sequence[Step], colours) -> None:
    """Each held-out run's error, each level's bias with two standard errors, and the noise; levels
    side by side in rising order of compute."""
    style = {"mec": INK, "mew": 0.9, "ecolor": INK, "elinewidth": 1.1, "capsize": 2.5, "zorder": 5}
    for i, (step, colour) in enumerate(zip(steps, colours, strict=True)):
        gap, wide = 100 * (step.predicted / step.observed - 1), 200 * step.noise
        ax.fill_between([i - 0.42, i + 0.42], -wide, wide, color=FAINT, alpha=0.18, lw=0, zorder=1)
        ax.scatter(np.full(len(gap), i - 0.15), gap, s=13, color=colour, alpha=0.7, linewidths=0)
        bias, arm = [100 * step.bias], [200 * step.doubt]
        ax.errorbar([i + 0.15], bias, yerr=arm, fmt="D", ms=5.5, color=colour, **style)
    ax.axhline(0, color=INK, lw=0.9, zorder=2)
    ax.set_xticks(range(len(steps)), [f"{step.flops:.2g}".replace("e+", "e") for step in steps], fontsize=8)
    ax.grid(False, axis="x")
    ax.set(xlabel="training compute of the level (FLOPs)", title="Predicted above observed (%)")
    ax.set_xlim(-0.6, len(steps) - 0.4)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))
    level = {"marker": "D", "color": INK, "mfc": "#cccccc", "ms": 5, "lw": 1.1}
    handles = [
        key(ls="-", label="level: median ± 2 SE", **level),
        key(ls="-", lw=6, color=FAINT, alpha=0.3, label="±2 × scatter trained on"),
    ]
    ax.legend(handles=handles, loc="upper left", borderaxespad=0.2)


def draw_profile(ax, name: str, profile: Profile) -> None:
    """The square of the signed root, which is near a line and so is joined by lines."""
    best, limit = profile.value, profile.limit**2
    known = np.isfinite(profile.values) & np.isfinite(profile.roots)
    values, roots = np.append(profile.values[known], best), np.append(profile.roots[known], 0.0)
    order = np.argsort(values, kind="stable")
    values, roots = values[order], roots[order]
    tops = np.array(crossings(best, values, roots, np.sqrt(TALL * limit)))
    left, right = np.where(np.isfinite(tops), tops, (values[0], values[-1]))
    span = np.linspace(left, right, 400)
    room = 0.06 * max(right - left, 1e-9 * abs(best))
    ax.plot(span, np.interp(span, values, roots) ** 2, color=METHOD_COLOURS[0], lw=1.5)
    ax.axhline(limit, **DASHED | {"zorder": 2})
    for end in (profile.low, profile.high):
        if np.isfinite(end):
            ax.plot([end, end], [0, limit], color=INK, lw=1.1)
    ax.plot([best], [0], "D", ms=5.5, color=METHOD_COLOURS[0], mec=INK, clip_on=False, zorder=5)
    ax.set(ylim=(0, TALL * limit), xlim=(left - room, right + room), xlabel=LABELS[name])
    low, high = (f"{v:.3g}" if np.isfinite(v) else "open" for v in (profile.low, profile.high))
    ax.set_title(f"{LABELS[name][0]} = {best:.3g}  ({low}, {high})")
    ax.annotate("95 %", (1.0, limit), (0, 2), xycoords=("axes fraction", "data"), ha="right", **NOTE)
    ax.locator_params(axis="x", nbins=4)


def caption(audit: Audit) -> str:
    fitted = audit.fitted
    text = f"{len(fitted.runs)} runs"
    if audit.steps:
        last = audit.steps[-1]
        text += (
            f"; each level of compute is forecast by Chinchilla's law fitted to all smaller "
            f"ones ({fitted.objective.name}); the last, {last.factor:.2g} × beyond, by "
            f"{last.trained} runs: {100 * last.bias:+.2g} %, {abs(last.z):.2g} standard "
            f"errors; all together {pooled_score(audit.steps):+.2g}"
        )
    if audit.profiles:
        text += (
            "; profiles: one parameter held, the others refitted, likelihood ratio of the "
            "objective with its noise estimated; dashes: 95 %"
        )
    return text + f". Fit status {fitted.status}: {fitted.message}."
