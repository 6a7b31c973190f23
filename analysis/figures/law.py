"""A fit of any law: its curve over the runs, or what was observed against what it says; and what is
left."""

import re

import numpy as np

from analysis.figures.axes import count_axis, log_axes, plain_axis, power_axis
from analysis.figures.style import INK, METHOD_COLOURS, badge, colour_bar, ramp, sheet, size_colours, styled
from analysis.figures.words import caution_words, loss_label, plain, warning
from analysis.fitting import Fit
from analysis.fitting.band import span
from analysis.laws import Array

COUNTS = ("params", "tokens", "unique_tokens", "batch_tokens", "steps")
ABOVE = "Observed above the fit"
DOTS = {"s": 20, "edgecolors": "white", "linewidths": 0.4, "zorder": 4}


def sized(fitted: Fit) -> bool:
    """Whether a law is of params and tokens alone, and so is a curve over tokens at every size."""
    return type(fitted.law).inputs == ("params", "tokens") and hasattr(fitted.law, "exponents")


def plot_fit(fitted: Fit, verdict: str = ""):
    """The law's curve over its runs where it has one to draw, else predicted against observed."""
    curve = sized(fitted) or len(fitted.inputs) == 1
    return plot_law(fitted, verdict=verdict) if curve else plot_predicted(fitted)


@styled
def plot_law(fitted: Fit, title: str = "", verdict: str = ""):
    """A fitted law over its runs, and the residuals beside it. `verdict` is what an audit says of
    the table, in red on top in place of the fit's own status."""
    fig, axes = sheet(9.6, 4.4, caption(fitted), columns=2, widths=(1.25, 1))
    runs, name = fitted.runs, fitted.inputs[-1]
    x, colour = runs.column(name), METHOD_COLOURS[0]
    if sized(fitted):
        sizes = runs.column(fitted.inputs[0])
        norm = size_colours(sizes)
        draw_sizes(axes[0], fitted, norm)
        colour_bar(fig, axes, norm, fitted.inputs[0])
        dots = {"c": sizes, "cmap": ramp(), "norm": norm}
        across, label = runs.flops, "training compute (FLOPs)"
    else:
        span = np.geomspace(x.min(), x.max(), 200)
        axes[0].plot(span, said(fitted, span), color=colour, lw=1.5, zorder=2)
        if fitted.intervals != "none":
            low, high = (end - fitted.offset for end in fitted.band(lambda law: law.loss(span)))
            axes[0].fill_between(span, low, high, color=colour, alpha=0.16, lw=0)
        dots, across, label = {"color": colour}, x, plain(name)
    axes[0].scatter(x, seen(fitted), **dots, **DOTS)
    labels = {"xlabel": plain(name), "ylabel": output_label(fitted), "title": plain(title) or formula(fitted)}
    log_axes(axes[0], y=output_axis(fitted), xscale="log", **labels)
    (count_axis if name in ("params", "tokens") else power_axis)(axes[0].xaxis, x.min(), x.max())
    draw_residuals(axes[1], fitted, across, dots)
    log_axes(axes[1], power_axis, xlabel=label)
    badge(fig, verdict or warning(fitted))
    return fig


@styled
def plot_predicted(fitted: Fit, title: str = ""):
    """Observed against predicted output over the line where they are equal, and the residuals over
    the law's first input; coloured by the last input where it varies."""
    fig, axes = sheet(9.6, 4.4, caption(fitted), columns=2, widths=(1, 1.1))
    runs = fitted.runs
    observed, predicted = seen(fitted), foretold(fitted)
    first, last = (runs.column(fitted.inputs[i]) for i in (0, -1))
    dots = {"color": METHOD_COLOURS[0]}
    if len(fitted.inputs) > 1 and last.max() > last.min():
        norm = size_colours(last)
        dots = {"c": last, "cmap": ramp(), "norm": norm}
        colour_bar(fig, axes, norm, fitted.inputs[-1])
    low, high = min(observed.min(), predicted.min()), max(observed.max(), predicted.max())
    kind, ends = None, (low - 0.05 * (high - low), high + 0.05 * (high - low))
    if not fitted.offset:
        room = max((high / low) ** 0.05, 1.001)
        kind = plain_axis if high / low < 100 and 0.1 < low < 1e3 else power_axis
        ends = low / room, high * room
    axes[0].plot(ends, ends, color=INK, lw=0.9, zorder=2)
    axes[0].scatter(predicted, observed, **dots, **DOTS)
    what = output_label(fitted)
    labels = {"xlabel": f"predicted {what}", "ylabel": f"observed {what}"}
    log_axes(axes[0], kind, kind, xlim=ends, ylim=ends, **labels)
    name = plain(title) or written(fitted)
    axes[0].set_title(name, fontsize=min(10.5, 540 / len(name)))  # of one panel's width
    draw_residuals(axes[1], fitted, first, dots)
    kind = count_axis if fitted.inputs[0] in COUNTS else power_axis
    log_axes(axes[1], kind, xlabel=plain(fitted.inputs[0]))
    badge(fig, warning(fitted))
    return fig


def draw_residuals(ax, fitted: Fit, across: Array, dots: dict) -> None:
    gap, unit = left_over(fitted)
    reach = 1.15 * np.abs(gap).max() + 1e-9
    ax.axhline(0, color=INK, lw=0.9)
    ax.scatter(across, gap, **dots, **DOTS)
    ax.set(ylim=(-reach, reach), title=f"{ABOVE} ({unit})" if unit else ABOVE)


def draw_sizes(ax, fitted: Fit, norm) -> None:
    """The fitted curve over tokens at up to twelve sizes of the table."""
    for size in shown_sizes(fitted.runs.column(fitted.inputs[0])):
        ax.plot(*size_curve(fitted, size, 200), color=ramp()(norm(size)), lw=1.3, zorder=2)


def shown_sizes(params: Array) -> Array:
    """Up to twelve of the sizes there are, spread evenly."""
    sizes = np.unique(params)
    if len(sizes) > 12:
        even = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), 12)
        sizes = np.unique([sizes[np.argmin(np.abs(np.log(sizes) - size))] for size in even])
    return sizes


def size_curve(fitted: Fit, size: float, points: int = 60) -> tuple[Array, Array]:
    """Tokens and the law's loss at a size, over the tokens that runs of about that size saw."""
    params, tokens = (fitted.runs.column(name) for name in fitted.inputs)
    near = tokens[np.abs(np.log(params / size)) < 0.2]
    low, high = max(tokens.min(), near.min() / 1.15), min(tokens.max(), near.max() * 1.15)
    span = np.geomspace(low, high, points)
    return span, said(fitted, size, span)


def said(fitted: Fit, *inputs: Array | float) -> Array:
    """What the law says of the output as it is in the table: without what that was lifted by."""
    return fitted.law.loss(*inputs) - fitted.offset


def seen(fitted: Fit) -> Array:
    """The output of the runs as it is in the table."""
    return fitted.runs.column(fitted.output) - fitted.offset


def foretold(fitted: Fit) -> Array:
    """What the law says of each run, as `said`."""
    return fitted.runs.column(fitted.output) * np.exp(fitted.residuals) - fitted.offset


def left_over(fitted: Fit) -> tuple[Array, str]:
    """How far each run lies above the fit, in percent, or as the output is where its zero says nothing."""
    if fitted.offset:
        return seen(fitted) - foretold(fitted), ""
    return 100 * np.expm1(-fitted.residuals), "%"


def output_axis(fitted: Fit):
    """The kind of axis of the output: logarithmic, or none where it goes below zero."""
    if fitted.offset:
        return None
    return plain_axis if fitted.output == "loss" else power_axis


def output_label(fitted: Fit) -> str:
    return loss_label(fitted.runs) if fitted.output == "loss" else plain(fitted.output)


def formula(fitted: Fit) -> str:
    """A law with its fitted numbers, where that is short."""
    p = fitted.parameters
    if set(p) == {"E", "A", "B", "alpha", "beta"} and sized(fitted):
        size = f"{p['A']:.4g}/N^{{{p['alpha']:.3f}}}"
        return f"$L = {p['E']:.3f} + {size} + {p['B']:.4g}/D^{{{p['beta']:.3f}}}$"
    if not set(p) <= {"E", "A", "alpha"}:
        return written(fitted)
    floor = f"{p['E']:.4g} + " if p.get("E") else ""
    return f"$y = {floor}{p['A']:.4g}\\,x^{{{-p['alpha']:.4f}}}$"


def written(fitted: Fit) -> str:
    """A law as its docstring writes it, without what is said about it."""
    line = (type(fitted.law).__doc__ or "").split("\n")[0]
    return re.split(r"\s\s+\(|; |, (?=[a-z])|: ", line)[0].strip(" .")[:70]


def caption(fitted: Fit) -> str:
    objective = fitted.objective
    delta = f", delta {objective.delta:g}" if objective.delta else ""
    text = f"{len(fitted.runs)} runs" + (f" ({len(fitted.dropped)} more flagged)" * bool(fitted.dropped))
    text += f"; {objective.name}{delta}, sum {objective.value:.4g}; rms log residual {fitted.rmse:.2g}"
    intervals = {name: fitted.interval(name) for name in fitted.law.names() if name not in fitted.fixed}
    ends = [f"{name} {span(low, high)}" for name, (low, high) in intervals.items() if low is not None]
    text += f". 95 %: {', '.join(ends)}" if ends else ""
    return text + f". Status {fitted.status}: {fitted.message}." + caution_words(fitted.cautions)
