"""The figure of approach 2: valleys of loss at equal compute, and their minima."""

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.figures.axes import count_axis, log_axes, plain_axis
from analysis.figures.style import DASHED, INK, NOTE, badge, key, sequence, sheet, styled
from analysis.figures.words import caution_words, loss_label, plain, power, warning
from analysis.frontiers import Frontier, Isoflop, Valley
from analysis.frontiers.minima import akima
from analysis.tables.runs import Runs

METHOD_WORDS = {
    "interpolate": "Akima interpolation of log loss over log params",
    "parabola": "a parabola near the best size",
    "cubic": "a cubic near the best size",
    "joint": "one curve through all valleys, moving as a power of compute",
}


@styled
def plot_isoflop(
    iso: Isoflop,
    front: Frontier | None = None,
    references: Mapping[str, float] | None = None,
    title: str = "Loss against model size at equal compute",
    verdict: str = "",
):
    """Valleys: every run's loss over params, the curve through each budget, and its minimum with
    the 95 % interval.

    Runs that saw a token more than once are open markers (column `epochs`). `references` are
    horizontal lines: label -> loss in nats/token. `verdict` is what an audit says of the table, in
    red on top; without one the frontier's own status stands there when it is not ok.
    """
    fig, ax = sheet(7.4, 5.2, caption(iso, front))
    colours = sequence(len(iso.valleys))
    again = False
    for k, (valley, colour) in enumerate(zip(iso.valleys, colours, strict=True)):
        again |= draw_points(ax, valley, colour)
        draw_valley(ax, iso, k, colour)
        draw_minimum(ax, valley, colour, np.isfinite(iso.noise.sigma))
    low = min(valley.runs.loss.min() for valley in iso.valleys)
    high = max(valley.runs.loss.max() for valley in iso.valleys)
    room = max((high / low) ** 0.07, 1.001)
    labels = {"xlabel": "parameters", "ylabel": loss_label(iso.runs), "title": plain(title)}
    log_axes(ax, count_axis, plain_axis, ylim=(low / room, high * room), **labels)
    draw_references(ax, references or {})
    add_legends(ax, iso, colours, again)
    badge(fig, verdict or warning(front))
    return fig


def repeated(runs: Runs) -> np.ndarray:
    """Which runs saw a token more than once (column `epochs`)."""
    if not runs.has("epochs") or runs.column("epochs").dtype == object:
        return np.zeros(len(runs), bool)
    return np.nan_to_num(runs.column("epochs")) > 1.005


def draw_points(ax, valley: Valley, colour) -> bool:
    """The runs of a budget; open where data was repeated. Returns whether any was."""
    runs, again = valley.runs, repeated(valley.runs)
    style = {"s": 22, "linewidths": 1.1, "zorder": 4}
    ax.scatter(runs.params[~again], runs.loss[~again], color=colour, **style)
    ax.scatter(runs.params[again], runs.loss[again], facecolors="white", edgecolors=[colour], **style)
    return bool(again.any())


def draw_valley(ax, iso: Isoflop, budget: int, colour) -> None:
    params, losses = valley_curve(iso, budget, 300)
    if len(params):
        ax.plot(params, losses, color=colour, lw=1.3, zorder=3)


def valley_curve(iso: Isoflop, budget: int, points: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """The method's own curve, over the sizes it uses: params and losses, none where there are too few."""
    x, y = iso.valleys[budget].log_params, iso.valleys[budget].log_loss
    at, curve = np.linspace(x[0], x[-1], points), None
    if iso.method == "joint":
        curve = iso.joint.log_loss(budget, at) if iso.joint else None
    elif iso.method == "interpolate":
        curve = akima(x, y, at) if len(x) >= 4 else None
    else:
        degree, reach = (2, iso.window) if iso.method == "parabola" else (3, 1.5 * iso.window)
        centre = x[np.argmin(y)]
        near = np.abs(x - centre) <= reach + 1e-9
        if near.sum() > degree:
            u = x[near] - centre
            at = np.linspace(u.min(), u.max(), points)
            curve, at = np.polyval(np.polyfit(u, y[near], degree), at), at + centre
    return (np.exp(at), np.exp(curve)) if curve is not None else (np.empty(0), np.empty(0))


def draw_minimum(ax, valley: Valley, colour, known: bool) -> None:
    """Where a valley is lowest, with its interval where the noise is known; a cross at an edge."""
    if valley.status == "few":
        return
    inside = valley.status in ("ok", "flat")
    if inside and known:
        ends, level, style = [valley.low, valley.high], [valley.loss] * 2, {"color": INK, "zorder": 5}
        ax.plot(ends, level, lw=1.6, solid_capstyle="butt", **style)
        ax.plot(ends, level, ls="", marker="|", ms=7, **style)
    marker = {"marker": "D", "ms": 6} if inside else {"marker": "X", "ms": 7}
    ax.plot([valley.params], [valley.loss], ls="", color=colour, mec=INK, mew=1.0, zorder=6, **marker)


def draw_references(ax, references: Mapping[str, float]) -> None:
    """Horizontal lines: inside the axes where they lie among the runs or near them, else in a strip
    above with a scale of its own, so that distant lines do not flatten the valleys. One that lies
    far below is named at the foot."""
    low, high = ax.get_ylim()
    reach = np.cbrt(high / low)
    above = {name: level for name, level in references.items() if level > high * reach}
    below = {name: level for name, level in references.items() if level < low / reach}
    near = {name: level for name, level in references.items() if name not in above | below}
    if near:
        ax.set_ylim(min(low, min(near.values()) / 1.01), max(high, max(near.values()) * 1.02))
        plain_axis(ax.yaxis)
    draw_levels(ax, near)
    for place, (name, level) in enumerate(below.items()):
        text, at = plain(f"{name}  {level:.2f}, below"), (0, 3 + 10 * place)
        ax.annotate(text, (1.0, 0.0), at, xycoords="axes fraction", ha="right", **NOTE)
    if above:
        draw_levels(strip_above(ax, list(above.values())), above)


def strip_above(ax, levels: Sequence[float]):
    """Axes for lines far above, on top of the others, behind a mark that the scale is broken."""
    share, (low, high) = 0.14, ax.get_ylim()
    ax.set_ylim(low, low * (high / low) ** (1 / (1 - share)))
    ax.yaxis.set_ticks([tick for tick in ax.get_yticks() if tick < high])
    strip = ax.inset_axes([0, 1 - share, 1, share], zorder=7)
    margin = (max(levels) / min(levels)) ** 0.9 * 1.01
    ends = (min(levels) / margin**0.6, max(levels) * margin)
    strip.set(xscale="log", yscale="log", xlim=ax.get_xlim(), ylim=ends)
    strip.minorticks_off()
    strip.set(xticks=[], yticks=[])
    strip.grid(False)
    strip.spines[["bottom", "top", "right"]].set_visible(False)
    slant = {"marker": [(-1, -0.5), (1, 0.5)], "ms": 7, "color": INK, "clip_on": False, "ls": ""}
    strip.plot([0, 0], [0, 0.12], transform=strip.transAxes, **slant)
    return strip


def draw_levels(ax, levels: Mapping[str, float]) -> None:
    for name, level in levels.items():
        ax.axhline(level, **DASHED)
        text, across = plain(f"{name}  {level:.2f}"), ("axes fraction", "data")
        ax.annotate(text, (1.0, level), (0, 2), xycoords=across, ha="right", **NOTE)


def add_legends(ax, iso: Isoflop, colours, repeated: bool) -> None:
    """Budgets from largest to smallest, then what the marks mean, beside the axes."""
    budgets = [
        key(color=colour, marker="o", ms=4.5, lw=1.3, label=power(valley.budget))
        for valley, colour in zip(iso.valleys, colours, strict=True)
    ]
    side = {"bbox_to_anchor": (1.01, 1.02), "alignment": "left"}
    ax.add_artist(ax.legend(handles=budgets[::-1], title="budget (FLOPs)", loc="upper left", **side))
    line, label = ("-", "minimum, 95 %") if np.isfinite(iso.noise.sigma) else ("", "minimum")
    marks = [key(ls=line, color=INK, marker="D", mfc="#cccccc", ms=5.5, label=label)]
    if any(valley.status == "edge" for valley in iso.valleys):
        marks.append(key(ls="", color="#cccccc", marker="X", mec=INK, ms=6.5, label="at an edge: not used"))
    if repeated:
        marks.append(key(ls="", color="#555555", marker="o", mfc="white", ms=5, label="more than 1 epoch"))
    ax.legend(handles=marks, loc="lower left", bbox_to_anchor=(1.01, -0.02), alignment="left")


def caption(iso: Isoflop, front: Frontier | None) -> str:
    used, flagged = sum(len(valley.runs) for valley in iso.valleys), len(iso.runs.dropped())
    text = f"{used} runs at {len(iso.valleys)} budgets" + f" ({flagged} more flagged)" * bool(flagged)
    text += f"; minima by {METHOD_WORDS[iso.method]}"
    if np.isfinite(iso.noise.sigma):
        text += f", intervals from noise of {100 * iso.noise.sigma:.2g} % ({iso.noise.source})"
        text += f" and from the {iso.other} method" * bool(iso.other) + sunk_words(iso)
    else:
        text += f"; {iso.noise.source}"
    if front is not None:
        text += f". params ∝ FLOPs^a with a = {front.params_exponent}. Status {front.status}: "
        text += f"{front.message}. Cost: {front.cost}{bias_words(front)}"
    return text + "." + caution_words(iso.runs.cautions)


def sunk_words(iso: Isoflop) -> str:
    """How far noise draws the minima down, which the loss's intervals allow for."""
    sunk = [v.sunk for v in iso.valleys if v.status in ("ok", "flat") and v.sunk > 0]
    if not sunk:
        return ""
    return (
        f"; noise draws a minimum down, here by about {100 * np.mean(sunk):.2g} % of loss: it is "
        "drawn where it was seen, and the loss's intervals are moved up"
    )


def bias_words(front: Frontier) -> str:
    """What the method would return without noise, in short; "" for other methods."""
    check = front.bias_check
    if check is None:
        return ""
    if check.status != "ok":
        return f". Bias of {front.method} not checked: {check.message}"
    return (
        f". Bias of {front.method} on noise-free data of the fitted law: a {check.shift:+.3f}, "
        f"best params {100 * (check.params_ratio - 1):+.1f} % at {check.flops:.3g} FLOPs"
    )
