"""Figures for a paper: one function a figure, each returns the Figure and never shows or saves it.

Captions are made from the same objects as the curves, so that they cannot say something else.
"""

import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.style import (
    FAINT,
    INK,
    MARKERS,
    METHOD_COLOURS,
    STYLE,
    badge,
    count_axis,
    human,
    plain,
    plain_axis,
    power,
    power_axis,
    ramp,
    sequence,
    sheet,
    styled,
)
from analysis.fitting.fit import Fit
from analysis.frontiers.frontier import Frontier
from analysis.frontiers.isoflop import Isoflop, Profile
from analysis.frontiers.minima import akima
from analysis.laws import Array, Chinchilla

__all__ = [
    "FAINT",
    "INK",
    "METHOD_COLOURS",
    "STYLE",
    "count_axis",
    "frontier",
    "human",
    "isoflop",
    "law",
    "plain_axis",
    "power",
    "power_axis",
    "ramp",
    "sequence",
    "sheet",
    "styled",
]


@styled
def isoflop(
    iso: Isoflop,
    front: Frontier | None = None,
    references: Mapping[str, float] | None = None,
    title: str = "Loss against model size at equal compute",
    verdict: str = "",
) -> Figure:
    """Valleys: every run's loss over params, the curve through each budget, and its minimum with
    the 95 % interval.

    Runs that saw a token more than once are open markers (column `epochs`). `references` are
    horizontal lines: label -> loss in nats/token. `verdict` is what an audit says of the table, in
    red on top; without one the frontier's own status stands there when it is not ok.
    """
    references = dict(references or {})
    fig, ax = sheet(7.4, 5.2, isoflop_caption(iso, front))
    colours = sequence(len(iso.profiles))
    repeated = False
    for profile, colour in zip(iso.profiles, colours, strict=True):
        repeated |= draw_points(ax, profile, colour)
        draw_valley(ax, iso, profile, colour)
    for profile, colour in zip(iso.profiles, colours, strict=True):
        draw_minimum(ax, profile, colour, np.isfinite(iso.sigma))
    low = min(p.runs.loss.min() for p in iso.profiles)
    high = max(p.runs.loss.max() for p in iso.profiles)
    room = max((high / low) ** 0.07, 1.001)
    ax.set(xscale="log", yscale="log", ylim=(low / room, high * room))
    ax.set(xlabel="parameters", ylabel=loss_label(iso.runs), title=plain(title))
    count_axis(ax.xaxis, *ax.get_xlim())
    plain_axis(ax.yaxis, *ax.get_ylim())
    reference_lines(ax, references)
    budget_legend(fig, ax, iso, colours, repeated)
    badge(fig, verdict or not_ok(front))
    return fig


def not_ok(*found: Frontier | Fit | None) -> str:
    """What the figure's own fits and frontiers say against it, in short, as the caption has the
    whole message; "" when all are ok."""
    bad = [each for each in found if each is not None and each.status != "ok"]
    said = "; ".join(dict.fromkeys(re.split("[;,] ", each.message)[0] for each in bad))
    hopeless = any(each.status in ("unidentified", "failed") for each in bad)
    return said and ("NOT TO BE TRUSTED: " if hopeless else "WITH CARE: ") + said


def reference_lines(ax, references: Mapping[str, float]) -> None:
    """Horizontal lines: inside the axes where they lie among the runs or near them, else in a strip
    above with a scale of its own, so that distant lines do not flatten the valleys. One that lies
    far below is named at the foot."""
    low, high = ax.get_ylim()
    reach = np.sqrt(high / low)
    above = {name: level for name, level in references.items() if level > high * reach}
    below = {name: level for name, level in references.items() if level < low / reach}
    near = {name: level for name, level in references.items() if name not in above | below}
    if near:
        ends = np.array([min(near.values()) / 1.01, max(near.values()) * 1.02])
        low, high = min(low, ends[0]), max(high, ends[1])
        ax.set_ylim(low, high)
        plain_axis(ax.yaxis, low, high)
    named_lines(ax, near)
    for place, (name, level) in enumerate(below.items()):
        ax.annotate(
            plain(f"{name}  {level:.2f}, below"),
            (1.0, 0.0),
            (0, 3 + 10 * place),
            xycoords="axes fraction",
            ha="right",
            textcoords="offset points",
            fontsize=8,
            color="#666666",
        )
    if above:
        named_lines(strip_above(ax, list(above.values())), above)


def strip_above(ax, levels: Sequence[float]):
    """Axes for lines far above, on top of the others, behind a mark that the scale is broken."""
    share, (low, high) = 0.14, ax.get_ylim()
    ax.set_ylim(low, low * (high / low) ** (1 / (1 - share)))
    ax.yaxis.set_ticks([tick for tick in ax.get_yticks() if tick < high])
    place = ax.inset_axes([0, 1 - share, 1, share], zorder=7)
    margin = (max(levels) / min(levels)) ** 0.9 * 1.01
    place.set(
        xscale="log", yscale="log", xlim=ax.get_xlim(), ylim=(min(levels) / margin**0.6, max(levels) * margin)
    )
    place.minorticks_off()
    place.set_xticks([])
    place.set_yticks([])
    place.grid(False)
    place.spines[["bottom", "top", "right"]].set_visible(False)
    slant = {"marker": [(-1, -0.5), (1, 0.5)], "ms": 7, "color": INK, "clip_on": False, "ls": ""}
    place.plot([0, 0], [0, 0.12], transform=place.transAxes, **slant)
    return place


def named_lines(ax, levels: Mapping[str, float]) -> None:
    for label, level in levels.items():
        ax.axhline(level, color=FAINT, lw=1.0, ls=(0, (5, 3)), zorder=1)
        text = plain(f"{label}  {level:.2f}")
        ax.annotate(
            text,
            (1.0, level),
            (0, 2),
            xycoords=("axes fraction", "data"),
            ha="right",
            textcoords="offset points",
            fontsize=8,
            color="#666666",
        )


def draw_points(ax, profile: Profile, colour) -> bool:
    """The runs of a budget; open where data was repeated. Returns whether any was."""
    runs = profile.runs
    again = np.zeros(len(runs), bool)
    if runs.has("epochs") and runs.column("epochs").dtype != object:
        again = np.nan_to_num(runs.column("epochs")) > 1.005
    style = {"s": 22, "linewidths": 1.1, "zorder": 4}
    ax.scatter(runs.params[~again], runs.loss[~again], color=colour, **style)
    ax.scatter(runs.params[again], runs.loss[again], facecolors="white", edgecolors=[colour], **style)
    return bool(again.any())


def draw_valley(ax, iso: Isoflop, profile: Profile, colour) -> None:
    """The method's own curve, over the sizes it uses."""
    x, y = profile.log_params, profile.log_loss
    if iso.method == "interpolate":
        if len(x) >= 4:
            at = np.linspace(x[0], x[-1], 300)
            ax.plot(np.exp(at), np.exp(akima(x, y, at)), color=colour, lw=1.3, zorder=3)
        return
    degree, reach = (2, iso.window) if iso.method == "parabola" else (3, 1.5 * iso.window)
    centre = x[np.argmin(y)]
    near = np.abs(x - centre) <= reach + 1e-9
    if near.sum() > degree:
        u = x[near] - centre
        at = np.linspace(u.min(), u.max(), 200)
        curve = np.polyval(np.polyfit(u, y[near], degree), at)
        ax.plot(np.exp(at + centre), np.exp(curve), color=colour, lw=1.3, zorder=3)


def draw_minimum(ax, profile: Profile, colour, known: bool) -> None:
    if profile.status == "few":
        return
    inside = profile.status in ("ok", "flat")
    if inside and known:
        ax.plot(
            [profile.low, profile.high],
            [profile.loss] * 2,
            color=INK,
            lw=1.6,
            zorder=5,
            solid_capstyle="butt",
        )
        ax.plot([profile.low, profile.high], [profile.loss] * 2, ls="", marker="|", ms=7, color=INK, zorder=5)
    marker = {"marker": "D", "ms": 6} if inside else {"marker": "X", "ms": 7}
    ax.plot([profile.params], [profile.loss], ls="", color=colour, mec=INK, mew=1.0, zorder=6, **marker)


def budget_legend(fig, ax, iso: Isoflop, colours, repeated: bool) -> None:
    """Budgets from largest to smallest, then what the marks mean, beside the axes."""
    handles = [
        Line2D([], [], color=c, marker="o", ms=4.5, lw=1.3, label=power(p.budget))
        for p, c in zip(iso.profiles, colours, strict=True)
    ][::-1]
    first = ax.legend(
        handles=handles,
        title="budget (FLOPs)",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        alignment="left",
    )
    ax.add_artist(first)
    known = np.isfinite(iso.sigma)
    marks = [
        Line2D(
            [],
            [],
            ls="-" if known else "",
            color=INK,
            marker="D",
            mfc="#cccccc",
            ms=5.5,
            label="minimum, 95 %" if known else "minimum",
        )
    ]
    if any(p.status == "edge" for p in iso.profiles):
        marks.append(
            Line2D([], [], ls="", color="#cccccc", marker="X", mec=INK, ms=6.5, label="at an edge: not used")
        )
    if repeated:
        marks.append(
            Line2D([], [], ls="", color="#555555", marker="o", mfc="white", ms=5, label="more than 1 epoch")
        )
    ax.legend(handles=marks, loc="lower left", bbox_to_anchor=(1.01, -0.02), alignment="left")


def isoflop_caption(iso: Isoflop, front: Frontier | None) -> str:
    runs = iso.runs
    used = sum(len(p.runs) for p in iso.profiles)
    out = len(runs.dropped())
    text = f"{used} runs at {len(iso.profiles)} budgets" + (f" ({out} more flagged)" if out else "")
    text += f"; minima by {METHOD_WORDS[iso.method]}"
    if np.isfinite(iso.sigma):
        text += f", intervals from noise of {100 * iso.sigma:.2g} % ({iso.sigma_source})"
        text += f" and from the {iso.other} method" + sunk(iso)
    else:
        text += f"; {iso.sigma_source}"
    if front is not None:
        text += f". params ∝ FLOPs^a with a = {front.params_exponent}. Status {front.status}: "
        text += f"{front.message}. Cost: {front.cost}"
        text += bias_words(front)
    return text + "." + careful(iso.runs.cautions)


def sunk(iso: Isoflop) -> str:
    """How far noise draws the minima down, which the loss's intervals allow for."""
    kept = [p.sunk for p in iso.profiles if p.status in ("ok", "flat") and p.sunk > 0]
    if not kept:
        return ""
    return (
        f"; noise draws a minimum down, here by about {100 * np.mean(kept):.2g} % of loss: it is "
        "drawn where it was seen, and the loss's intervals are moved up"
    )


def careful(cautions: Sequence[str]) -> str:
    """What looks wrong in the table, for the end of a caption; "" where nothing does."""
    return "".join(f" CAUTION: {caution}." for caution in cautions)


def bias_words(front: Frontier) -> str:
    """What the method would return without noise, in short; "" for other methods."""
    check = front.bias_check
    if check is None:
        return ""
    if check.status != "ok":
        return f". Bias of {front.method} not checked: {check.message}"
    off = 100 * (check.params_ratio - 1)
    return (
        f". Bias of {front.method} on noise-free data of the fitted law: a {check.shift:+.3f}, "
        f"best params {off:+.1f} % at {check.flops:.3g} FLOPs"
    )


METHOD_WORDS = {
    "interpolate": "Akima interpolation of log loss over log params",
    "parabola": "a parabola near the best size",
    "cubic": "a cubic near the best size",
}


@styled
def frontier(
    fronts: Sequence[Frontier] | Frontier, title: str = "", at: Sequence[float] = (), verdict: str = ""
) -> Figure:
    """Optimal params, tokens and loss against compute, all methods together, with 95 % bands.

    `at` extends the bands to further budgets, with an open mark at each; `verdict` as in `isoflop`.
    """
    fronts = [fronts] if isinstance(fronts, Frontier) else list(fronts)
    fig, axes = sheet(10.4, 4.1, frontier_caption(fronts, at), columns=3, title=title, wspace=0.06)
    low = min([f.flops.min() for f in fronts] + list(at))
    high = max([f.flops.max() for f in fronts] + list(at))
    room = (high / low) ** 0.08 if high > low else 2.0
    span = np.geomspace(low / room, high * room, 32)
    for i, front in enumerate(fronts):
        colour, marker = METHOD_COLOURS[i % 4], MARKERS[i % 4]
        exponents = (f"a = {front.params_exponent}", f"b = {front.tokens_exponent}", "")
        try:
            bands = front.at(span)
        except ValueError:
            bands = (None,) * 3
        points = (front.params, front.tokens, front.loss)
        for ax, band, point, exponent in zip(axes, bands, points, exponents, strict=True):
            label = exponent or front.method
            draw_band(ax, span, band, colour, label)
            if front.method.startswith("isoflop"):
                draw_optima(ax, front, point, colour, marker)
        if len(at) and bands[0] is not None:
            for ax, band in zip(axes, front.at(at), strict=True):
                draw_asked(ax, np.asarray(at), band, colour, marker)
    names = (
        ("Optimal parameters  ∝ FLOPs$^a$", count_axis),
        ("Optimal tokens  ∝ FLOPs$^b$", count_axis),
        ("Loss at the optimum (nats/token)", plain_axis),
    )
    for ax, (name, axis) in zip(axes, names, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="training compute (FLOPs)", title=name)
        power_axis(ax.xaxis, *ax.get_xlim())
        axis(ax.yaxis, *ax.get_ylim())
        ax.legend(loc="lower left" if ax is axes[2] else "upper left", handlelength=1.5)
    badge(fig, verdict or not_ok(*fronts))
    return fig


def draw_band(ax, span: Array, band, colour, label: str) -> None:
    if band is None:
        ax.plot([], [], color=colour, label=label)
        return
    ax.plot(span, band.value, color=colour, lw=1.6, label=label, zorder=3)
    if np.isfinite(band.low).all():
        ax.fill_between(span, band.low, band.high, color=colour, alpha=0.16, lw=0, zorder=2)


def draw_optima(ax, front: Frontier, band, colour, marker: str) -> None:
    used = np.array([s in ("ok", "flat") for s in front.point_status])
    if np.isfinite(band.low[used]).all():
        arms = np.abs([band.value - band.low, band.high - band.value])
        ax.errorbar(
            front.flops[used],
            band.value[used],
            yerr=arms[:, used],
            fmt=marker,
            ms=5,
            color=colour,
            mec="white",
            mew=0.6,
            elinewidth=1.1,
            capsize=2.5,
            zorder=5,
        )
    else:
        ax.plot(front.flops[used], band.value[used], marker, ms=5, color=colour, zorder=5)
    edge = np.array([s == "edge" for s in front.point_status])
    ax.plot(front.flops[edge], band.value[edge], "x", ms=6, color=colour, zorder=5)


def draw_asked(ax, flops: Array, band, colour, marker: str) -> None:
    """The answers at the budgets asked for: open marks, with their intervals."""
    if np.isfinite([band.low, band.high]).all():
        ax.vlines(flops, band.low, band.high, color=colour, lw=1.1, zorder=4)
    ax.plot(flops, band.value, marker, ms=6.5, mfc="white", mec=colour, mew=1.3, zorder=6)


def frontier_caption(fronts: Sequence[Frontier], at: Sequence[float] = ()) -> str:
    parts = [f"{f.method}: {f.runs} runs, status {f.status} ({f.message})" for f in fronts]
    same = {str(f.cost) for f in fronts}
    text = "; ".join(parts) + ". Cost: " + " | ".join(sorted(same))
    shown = [f for f in fronts if f.method.startswith("isoflop")]
    if any(s == "edge" for f in shown for s in f.point_status):
        text += ". Crosses: minima at an edge, not used"
    if len(at):
        text += ". Open marks: at the budgets asked for"
    if shown:
        text += ". Loss bars of isoflop reach further up, as noise draws a minimum down"
    text += "".join(bias_words(f) for f in fronts)
    said = dict.fromkeys(caution for front in fronts for caution in front.cautions)
    return text + ". Bands and bars: 95 %." + careful(list(said))


@styled
def law(fitted: Fit, title: str = "", verdict: str = "") -> Figure:
    """A fitted law over its runs, and the residuals beside it; `verdict` as in `isoflop`."""
    fig, axes = sheet(9.6, 4.4, law_caption(fitted), columns=2, widths=(1.25, 1))
    runs, x_name = fitted.runs, fitted.inputs[-1]
    x = runs.column(x_name)
    if isinstance(fitted.law, Chinchilla):
        first = runs.column(fitted.inputs[0])
        norm = matplotlib.colors.LogNorm(first.min() / 1.05, first.max() * 1.05)
        cmap = ramp()
        draw_sizes(axes[0], fitted, norm, cmap)
        points = {"c": first, "cmap": cmap, "norm": norm}
        across = runs.flops
    else:
        span = np.geomspace(x.min(), x.max(), 200)
        axes[0].plot(span, fitted.law.loss(span), color=METHOD_COLOURS[0], lw=1.5, zorder=2)
        if fitted.intervals != "none":
            low, high = fitted.band(lambda found: found.loss(span))
            axes[0].fill_between(span, low, high, color=METHOD_COLOURS[0], alpha=0.16, lw=0)
        points, across = {"color": METHOD_COLOURS[0]}, x
    style = {"s": 20, "edgecolors": "white", "linewidths": 0.4, "zorder": 4}
    dots = axes[0].scatter(x, runs.column(fitted.output), **points, **style)
    percent = 100 * np.expm1(-fitted.residuals)
    axes[1].axhline(0, color=INK, lw=0.9)
    axes[1].scatter(across, percent, **points, **style)
    reach = 1.15 * np.abs(percent).max() + 1e-9
    axes[1].set(ylim=(-reach, reach), xscale="log", title="Observed above the fit (%)")
    what = loss_label(runs) if fitted.output == "loss" else plain(fitted.output)
    axes[0].set(
        xscale="log", yscale="log", xlabel=plain(x_name), ylabel=what, title=plain(title) or formula(fitted)
    )
    (count_axis if x_name in ("params", "tokens") else power_axis)(axes[0].xaxis, x.min(), x.max())
    (plain_axis if fitted.output == "loss" else power_axis)(axes[0].yaxis, *axes[0].get_ylim())
    two = isinstance(fitted.law, Chinchilla)
    axes[1].set_xlabel("training compute (FLOPs)" if two else plain(x_name))
    power_axis(axes[1].xaxis, *axes[1].get_xlim())
    if two:
        bar = fig.colorbar(dots, ax=list(axes), pad=0.01, aspect=35, label=plain(fitted.inputs[0]))
        bar.outline.set_visible(False)
        count_axis(bar.ax.yaxis, norm.vmin, norm.vmax)
    badge(fig, verdict or not_ok(fitted))
    return fig


def draw_sizes(ax, fitted: Fit, norm, cmap) -> None:
    """The fitted curve over tokens at up to twelve sizes of the table."""
    params, tokens = (fitted.runs.column(name) for name in fitted.inputs)
    sizes = np.unique(params)
    if len(sizes) > 12:
        wanted = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), 12)
        sizes = np.unique([sizes[np.argmin(np.abs(np.log(sizes) - w))] for w in wanted])
    span = np.geomspace(tokens.min(), tokens.max(), 200)
    for size in sizes:
        near = tokens[np.abs(np.log(params / size)) < 0.2]
        part = span[(span >= near.min() / 1.15) & (span <= near.max() * 1.15)]
        ax.plot(part, fitted.law.loss(size, part), color=cmap(norm(size)), lw=1.3, zorder=2)


def formula(fitted: Fit) -> str:
    p = fitted.parameters
    if isinstance(fitted.law, Chinchilla):
        return (
            f"$L = {p['E']:.3f} + {p['A']:.4g}/N^{{{p['alpha']:.3f}}} + {p['B']:.4g}/D^{{{p['beta']:.3f}}}$"
        )
    if not set(p) <= {"E", "A", "alpha"}:
        return written(fitted)
    floor = f"{p['E']:.4g} + " if p.get("E") else ""
    return f"$y = {floor}{p['A']:.4g}\\,x^{{{-p['alpha']:.4f}}}$"


def written(fitted: Fit) -> str:
    """A law as its docstring writes it, without what is said about it."""
    line = (type(fitted.law).__doc__ or "").split("\n")[0]
    return re.split(r"\s\s+\(|; |, (?=[a-z])|: ", line)[0].strip(" .")[:70]


def loss_label(runs) -> str:
    unit = runs.loss_unit.removesuffix(" as in the table").replace("/", " per ")
    return plain(f"loss ({unit})")


def law_caption(fitted: Fit) -> str:
    objective = fitted.objective
    delta = f", delta {objective.delta:g}" if objective.delta else ""
    text = f"{len(fitted.runs)} runs" + (f" ({len(fitted.dropped)} more flagged)" * bool(fitted.dropped))
    text += f"; {objective.name}{delta}, sum {objective.value:.4g}; rms log residual {fitted.rmse:.2g}"
    ends = []
    for name in fitted.law.names():
        low, high = fitted.interval(name)
        if low is not None and name not in fitted.fixed:
            ends.append(f"{name} ({low:.4g}, {high:.4g})")
    text += f". 95 %: {', '.join(ends)}" if ends else ""
    return text + f". Status {fitted.status}: {fitted.message}." + careful(fitted.runs.cautions)
