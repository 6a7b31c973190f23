"""Figures of decisions: what other sizes cost, with the answer's own words below."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.decisions import plans as decide
from analysis.decisions.answer import Answer, laws_of
from analysis.decisions.questions import WASTE, WASTED
from analysis.figures.figures import (
    FAINT,
    INK,
    METHOD_COLOURS,
    count_axis,
    human,
    plain_axis,
    power,
    power_axis,
    sheet,
    styled,
)
from analysis.fitting.band import Band
from analysis.fitting.fit import Fit
from analysis.frontiers.costs import Cost
from analysis.laws import Array

MAIN, OTHER, WARN = METHOD_COLOURS[0], METHOD_COLOURS[1], "#b3261e"
BACK = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5}
LEGEND = {"loc": "upper center", "frameon": True, "edgecolor": "none", "framealpha": 0.85}
ABOVE, LEFT, RIGHT = (
    {"xytext": at, "ha": ha} for at, ha in (((0, 4), "center"), ((-6, -9), "right"), ((7, -9), "left"))
)
REACH = 12.0  # sizes drawn on either side of the answer's


@styled
def decision(fitted: Fit, cost: Cost, found: Answer) -> Figure:
    """The loss (or compute, for a target) of every size about the answer's, with 95 % bands over
    the fit's draws; and the compute that other sizes waste."""
    draw = {"target_loss": reaching, "data_cap": limited}
    make = next((each for key, each in draw.items() if key in found.asked), valley)
    return make(fitted, cost, found)


def valley(fitted: Fit, cost: Cost, found: Answer) -> Figure:
    """Loss against params at a budget, and the share of the compute wasted."""
    fig, axes = sheet(9.8, 4.3, caption(fitted, found), columns=2, wspace=0.05)
    laws, serve, plan = laws_of(fitted), found.asked.get("serve", 0.0), found.plan
    flops = plan.get("total_flops", plan["flops"]).value
    best = found.alternatives[0][1]["params"] if "run" in found.asked else plan["params"]
    most = (3 * flops / (cost.k * serve)) ** (1 / cost.p) if serve else np.inf
    wide, few = spans(best, plan["params"].value, most)
    line = decide.of_size(laws[0], cost, flops, wide, serve)
    spread = decide.of_size(laws[1], cost, flops, few, serve)
    waste = [decide.wasted(law, cost, plans, serve) for law, plans in zip(laws, (line, spread), strict=True)]
    for ax, value, draws in ((axes[0], line.loss, spread.loss), (axes[1], *waste)):
        ax.plot(wide, value, color=MAIN, lw=1.7, zorder=3)
        shade(ax, few, draws, MAIN)
        ax.set(xscale="log", xlabel="parameters", xlim=(wide[0], wide[-1]))
        count_axis(ax.xaxis, *ax.get_xlim())
    interval(axes[0], best)
    least = np.nanmin(line.loss)
    fit_y(axes[0], spread.loss, least + 1.6 * (line.loss[0] - least), least)
    axes[0].set(yscale="log", ylabel="loss (nats per token)")
    axes[0].set_title(f"Loss at {power(flops)} FLOPs" + " with serving" * bool(serve))
    loss_axis(axes[0])
    axes[1].set(ylim=(-0.02, 1.0), title="Compute wasted")
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    mark(axes, found, best)
    near_enough(axes[1], found)
    warn(fig, found)
    return fig


def near_enough(ax, found: Answer) -> None:
    """The range of sizes that waste next to nothing."""
    word = f"within {100 * WASTE:g} % waste"
    ends = [bands["params"].value for name, bands in found.alternatives if word in name]
    if ends:
        label = f"waste under {100 * WASTE:g} %:\n{human(ends[0])} to {human(ends[1])}"
        ax.axvspan(*ends, color=FAINT, alpha=0.2, lw=0, zorder=1, label=label)
        ax.legend(**LEGEND)


def mark(axes, found: Answer, best: Band) -> None:
    """The optimum, and either multiples of it or the run asked about, with what they waste."""
    rows = dict(found.alternatives)
    asked = "run" in found.asked
    least = rows["best at the same compute"] if asked else found.plan
    axes[0].plot(
        best.value,
        least["loss"].value,
        "D",
        color=MAIN,
        mec=INK,
        ms=6,
        zorder=6,
        label=f"optimum, {human(best.value)}",
    )
    spots = (
        {"the run": found.plan}
        if asked
        else {
            f"×{name.split()[-1]}": bands
            for name, bands in rows.items()
            if name.startswith("size ×") and "loss" in bands
        }
    )
    for name, bands in spots.items():
        size, waste = bands["params"].value, bands["wasted_compute"]
        if asked or size != best.value:
            axes[0].plot(
                size,
                bands["loss"].value,
                "o",
                color=INK,
                ms=4.5,
                zorder=6,
                ls="",
                label=f"the run, {human(size)}" if asked else None,
            )
        top = waste.high if np.isfinite(waste.high) else waste.value
        bottom = waste.low if np.isfinite(waste.low) else waste.value
        axes[1].errorbar(
            size,
            waste.value,
            yerr=[[waste.value - bottom], [top - waste.value]],
            fmt="o",
            ms=5,
            color=INK,
            capsize=3,
            elinewidth=1.1,
            zorder=6,
        )
        place, at = (LEFT if size < best.value else RIGHT), waste.value
        text = f"{name}: {100 * waste.value:.3g} %"
        if size == best.value:
            text = f"{name}: 0 to {100 * top:.2g} %" if top > 1e-4 else f"{name}: 0 %"
            place, at = ABOVE, top
        axes[1].annotate(
            text, (size, at), textcoords="offset points", fontsize=8, zorder=7, bbox=BACK, **place
        )
    axes[0].legend(**LEGEND)


def reaching(fitted: Fit, cost: Cost, found: Answer) -> Figure:
    """The compute that each size needs for a loss."""
    fig, ax = sheet(7.4, 4.6, caption(fitted, found))
    laws, serve = laws_of(fitted), found.asked.get("serve", 0.0)
    loss, plan, rows = found.asked["target_loss"], found.plan, dict(found.alternatives)
    smallest = rows["smallest, with endless tokens"]["params"]
    wide, few = spans(plan["params"], smallest.value)
    line = decide.to_loss(laws[0], cost, loss, wide, serve)
    spread = decide.to_loss(laws[1], cost, loss, few, serve).total
    least = plan.get("total_flops", plan["flops"])
    shown = np.isfinite(line.total)
    ax.plot(
        wide[shown],
        line.total[shown],
        color=MAIN,
        lw=1.7,
        zorder=3,
        label="training and serving" if serve else "training",
    )
    shade(ax, few, spread, MAIN, label=True)
    if serve:
        ax.plot(wide[shown], line.flops[shown], color=OTHER, lw=1.3, ls="--", label="training alone")
    ax.plot(
        plan["params"].value,
        least.value,
        "D",
        color=MAIN,
        mec=INK,
        ms=6,
        zorder=6,
        label=f"least, at {human(plan['params'].value)}",
    )
    overhead = found.asked["overhead"]
    ends = [bands["params"].value for name, bands in rows.items() if "× the compute" in name]
    ax.plot(
        ends,
        [overhead * least.value] * 2,
        "|-",
        color=INK,
        lw=1.2,
        ms=9,
        zorder=5,
        label=f"{overhead:g} × that: {human(ends[0])} to {human(ends[1])}",
    )
    ax.axvline(
        smallest.value,
        color=FAINT,
        lw=1.1,
        ls=(0, (5, 3)),
        zorder=1,
        label=f"no smaller model can: {human(smallest.value)}",
    )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="parameters",
        ylabel="compute (FLOPs)",
        title=f"Compute that reaches {loss:g} nats per token",
        xlim=(wide[0], wide[-1]),
        ylim=(least.value / 8, least.value * 60),
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    power_axis(ax.yaxis, *ax.get_ylim())
    ax.legend(**LEGEND | {"loc": "upper right"})
    warn(fig, found)
    return fig


def limited(fitted: Fit, cost: Cost, found: Answer) -> Figure:
    """Loss against params at a budget, with all the data one likes and with what there is."""
    fig, ax = sheet(7.4, 4.6, caption(fitted, found))
    laws, plan = laws_of(fitted), found.plan
    flops, unique, decay = (found.asked[key] for key in ("budget", "data_cap", "repeat_decay"))
    free = found.alternatives[0][1]
    wide, few = spans(plan["params"], free["params"].value)

    def capped(law, sizes: Array) -> Array:
        tokens = cost.tokens(sizes, flops)
        fresh = tokens <= unique
        worn = decide.capped_loss(law, cost, sizes, tokens, unique, tuple(decay))
        return np.where(fresh & (plan["epochs"].value <= 1), law.loss(sizes, tokens), worn)

    losses = (
        (lambda law, sizes: decide.of_size(law, cost, flops, sizes).loss, OTHER, free, "unlimited data"),
        (capped, MAIN, plan, f"{human(unique)} unique tokens, {plan['epochs'].value:.3g} epochs"),
    )
    for loss, colour, best, label in losses:
        ax.plot(wide, loss(laws[0], wide), color=colour, lw=1.7, zorder=3, label=label)
        shade(ax, few, loss(laws[1], few), colour)
        ax.plot(
            best["params"].value,
            best["loss"].value,
            "D",
            color=colour,
            mec=INK,
            ms=6,
            zorder=6,
            label=f"best, {human(best['params'].value)}",
        )
    low = free["loss"].value
    worst = max(capped(laws[0], wide)[[0, -1]].min(), plan["loss"].value)
    fit_y(ax, losses[0][0](laws[1], few), low + 1.6 * (worst - low), low)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="parameters",
        ylabel="loss (nats per token)",
        xlim=(wide[0], wide[-1]),
    )
    ax.set_title(f"Loss at {power(flops)} FLOPs when data is limited")
    count_axis(ax.xaxis, *ax.get_xlim())
    loss_axis(ax)
    ax.legend(**LEGEND)
    warn(fig, found)
    return fig


def spans(best: Band, other: float, most: float = np.inf) -> tuple[Array, Array]:
    """Sizes about the best that hold another, little beyond `most`: many for a line, fewer for a
    band of draws."""
    low, high = best.value / REACH, best.value * REACH
    ends = min(low, other / 1.5), min(max(high, other * 1.5), most * 1.15)
    return np.geomspace(*ends, 400), np.geomspace(*ends, 61)


def shade(ax, sizes: Array, draws: Array, colour, label: bool = False) -> None:
    """The 95 % band of draws (S, K) over sizes (K,); an end out of reach leaves the sheet."""
    known = draws[~np.isnan(draws).any(1)]
    if not len(known):
        return
    ordered = np.sort(known, 0)
    low, high = (ordered[round(q * (len(known) - 1))] for q in (0.025, 0.975))
    high = np.where(np.isfinite(high), high, 1e60)
    shown = np.isfinite(low)
    ax.fill_between(
        sizes[shown],
        low[shown],
        high[shown],
        color=colour,
        alpha=0.15,
        lw=0,
        zorder=2,
        label="95 % of draws" if label else None,
    )


def interval(ax, best: Band) -> None:
    """The optimum's 95 % interval, as a bar at the foot of the axes."""
    if np.isfinite(best.low):
        across = ax.get_xaxis_transform()
        ax.plot(
            [best.low, best.high],
            [0.025] * 2,
            "|-",
            color=INK,
            lw=1.5,
            ms=7,
            transform=across,
            zorder=5,
            label="optimum's size, 95 %",
        )


def loss_axis(ax) -> None:
    """Plain numbers where losses lie close together, as they nearly always do."""
    low, high = ax.get_ylim()
    (plain_axis if high < 4 * low else count_axis)(ax.yaxis, low, high)


def fit_y(ax, draws: Array, top: float, low: float | None = None) -> None:
    """Axes from the lowest of the band to `top`, which keeps the valley in sight."""
    known = draws[~np.isnan(draws).any(1)]
    floor = np.percentile(known.min(1), 2.5) if len(known) else (low or ax.get_ylim()[0])
    floor = min(floor, low) if low else floor
    ax.set_ylim(max(floor - 0.06 * (top - floor), 0.9 * floor), top)


def warn(fig, found: Answer) -> None:
    """A line across the top where the answer is a guess."""
    if found.status != "ok":
        fig.suptitle(f"A GUESS: the fit is {found.status}", color=WARN, fontsize=10.5)


def caption(fitted: Fit, found: Answer) -> str:
    plan = found.plan
    ends = [
        f"{name} {form.format(plan[name].low)} to {form.format(plan[name].high)}"
        for name, form in (("params", "{:.3g}"), ("tokens", "{:.3g}"), ("loss", "{:.4f}"))
        if plan[name].high - plan[name].low > 1e-9 * plan[name].value
    ]
    text = f"{found.question[0].upper()}{found.question[1:]}: {found.verdict}"
    text += f". 95 %: {', '.join(ends)}" if ends else ""
    text += f". {len(fitted.runs)} runs; fit status {found.status}: {found.message}. "
    said = found.assumptions[:1] + [WASTED] * (WASTED in found.assumptions)
    return text + " ".join(f"{line[0].upper()}{line[1:]}." for line in said)
