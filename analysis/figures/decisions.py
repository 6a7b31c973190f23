"""Figures of decisions: what other sizes cost, with the answer's own words below."""

import numpy as np

from analysis.decisions.answer import Answer
from analysis.decisions.counted import law_with_draws, middle
from analysis.decisions.plans import capped_loss, plan_at_size, plan_to_loss, wasted_share
from analysis.decisions.questions import WASTE, WASTED
from analysis.figures.axes import count_axis, log_axes, percent_axis, plain_axis, power_axis
from analysis.figures.style import DASHED, FAINT, INK, METHOD_COLOURS, WARNING, sheet, styled
from analysis.figures.words import human, loss_label, power
from analysis.fitting import Band, Fit
from analysis.fitting.band import span
from analysis.frontiers import Cost
from analysis.laws import Array, Chinchilla

MAIN, OTHER = METHOD_COLOURS[:2]
LINE = {"color": MAIN, "lw": 1.7, "zorder": 3}
BEST = {"color": MAIN, "mec": INK, "ms": 6, "zorder": 6}
BACK = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5}
LEGEND = {"loc": "upper center", "frameon": True, "edgecolor": "none", "framealpha": 0.85}
ABOVE, LEFT, RIGHT = (
    {"xytext": at, "ha": ha} for at, ha in (((0, 4), "center"), ((-6, -9), "right"), ((7, -9), "left"))
)
REACH = 12.0  # sizes drawn on either side of the answer's


@styled
def plot_decision(fitted: Fit, cost: Cost, answer: Answer):
    """The loss (or compute, for a target) of every size about the answer's, with 95 % bands over
    the fit's draws; and the compute that other sizes waste."""
    plot = {"target_loss": plot_target, "data_cap": plot_capped}
    make = next((plot[name] for name in plot if name in answer.given), plot_budget)
    fig = make(fitted, cost, answer)
    if answer.status != "ok":
        fig.suptitle(f"A GUESS: the fit is {answer.status}", color=WARNING, fontsize=10.5)
    return fig


def plot_budget(fitted: Fit, cost: Cost, answer: Answer):
    """Loss against params at a budget, and the share of the compute wasted."""
    fig, axes = sheet(9.8, 4.3, caption(fitted, answer), columns=2, wspace=0.05)
    serve, plan = answer.given.get("serve", 0.0), answer.plan
    flops = plan.get("total_flops", plan["flops"]).value
    best = answer.alternatives[0][1]["params"] if "run" in answer.given else plan["params"]
    most = (3 * flops / (cost.k * serve)) ** (1 / cost.p) if serve else np.inf
    many, few = sizes_about(best, plan["params"].value, most)
    unique = answer.given.get("unique_tokens", np.inf)
    law, draws = middle(fitted, unique), law_with_draws(fitted, unique)
    line = plan_at_size(law, cost, flops, many, serve)
    spread = plan_at_size(draws, cost, flops, few, serve)
    waste = wasted_share(law, cost, line, serve), wasted_share(draws, cost, spread, serve)
    for ax, values, band in ((axes[0], line.loss, spread.loss), (axes[1], *waste)):
        ax.plot(many, values, **LINE)
        draw_spread(ax, few, band, MAIN)
        log_axes(ax, count_axis, xlabel="parameters", xlim=(many[0], many[-1]))
    if np.isfinite(best.low):  # the optimum's interval, as a bar at the foot
        bar = {"color": INK, "lw": 1.5, "ms": 7, "transform": axes[0].get_xaxis_transform(), "zorder": 5}
        axes[0].plot([best.low, best.high], [0.025] * 2, "|-", label="optimum's size, 95 %", **bar)
    least = np.nanmin(line.loss)
    title = f"Loss at {power(flops)} FLOPs" + " with serving" * bool(serve)
    loss_axes(
        axes[0], spread.loss, least + 1.6 * (line.loss[0] - least), least, title, loss_label(fitted.runs)
    )
    axes[1].set(ylim=(-0.02, 1.0), title="Compute wasted")
    percent_axis(axes[1].yaxis)
    mark_plans(axes, answer, best)
    mark_near_enough(axes[1], answer)
    return fig


def mark_near_enough(ax, answer: Answer) -> None:
    """The range of sizes that waste next to nothing."""
    within = f"within {100 * WASTE:g} % waste"
    ends = [bands["params"].value for name, bands in answer.alternatives if within in name]
    if ends:
        label = f"waste under {100 * WASTE:g} %:\n{human(ends[0])} to {human(ends[1])}"
        ax.axvspan(*ends, color=FAINT, alpha=0.2, lw=0, zorder=1, label=label)
        ax.legend(**LEGEND)


def mark_plans(axes, answer: Answer, best: Band) -> None:
    """The optimum, and either multiples of it or the run asked about, with what they waste."""
    rows = dict(answer.alternatives)
    is_run = "run" in answer.given
    least = rows["best at the same compute"] if is_run else answer.plan
    axes[0].plot(best.value, least["loss"].value, "D", label=f"optimum, {human(best.value)}", **BEST)
    multiples = {
        f"×{name.split()[-1]}": bands
        for name, bands in rows.items()
        if name.startswith("size ×") and "loss" in bands
    }
    for name, bands in ({"the run": answer.plan} if is_run else multiples).items():
        size, waste = bands["params"].value, bands["wasted_compute"]
        if is_run or size != best.value:
            label = f"the run, {human(size)}" if is_run else None
            axes[0].plot(size, bands["loss"].value, "o", color=INK, ms=4.5, zorder=6, ls="", label=label)
        low, high = (end if np.isfinite(end) else waste.value for end in (waste.low, waste.high))
        style = {"fmt": "o", "ms": 5, "color": INK, "capsize": 3, "elinewidth": 1.1, "zorder": 6}
        axes[1].errorbar(size, waste.value, yerr=[[waste.value - low], [high - waste.value]], **style)
        place, at, text = LEFT if size < best.value else RIGHT, waste.value, f"{100 * waste.value:.3g} %"
        if size == best.value:
            place, at, text = ABOVE, high, f"0 to {100 * high:.2g} %" if high > 1e-4 else "0 %"
        style = {"textcoords": "offset points", "fontsize": 8, "zorder": 7, "bbox": BACK, **place}
        axes[1].annotate(f"{name}: {text}", (size, at), **style)
    axes[0].legend(**LEGEND)


def plot_target(fitted: Fit, cost: Cost, answer: Answer):
    """The compute that each size needs for a loss."""
    fig, ax = sheet(7.4, 4.6, caption(fitted, answer))
    serve, loss, plan = answer.given.get("serve", 0.0), answer.given["target_loss"], answer.plan
    rows, best = dict(answer.alternatives), plan["params"]
    smallest = rows["smallest, with endless tokens"]["params"].value
    many, few = sizes_about(best, smallest)
    line = plan_to_loss(middle(fitted), cost, loss, many, serve)
    spread = plan_to_loss(law_with_draws(fitted), cost, loss, few, serve).total
    least = plan.get("total_flops", plan["flops"]).value
    reached = np.isfinite(line.total)
    ax.plot(many[reached], line.total[reached], label="training and serving" if serve else "training", **LINE)
    draw_spread(ax, few, spread, MAIN, label="95 % of draws")
    if serve:
        ax.plot(many[reached], line.flops[reached], color=OTHER, lw=1.3, ls="--", label="training alone")
    ax.plot(best.value, least, "D", label=f"least, at {human(best.value)}", **BEST)
    overhead = answer.given["overhead"]
    ends = [bands["params"].value for name, bands in rows.items() if "× the compute" in name]
    label = f"{overhead:g} × that: {human(ends[0])} to {human(ends[1])}"
    ax.plot(ends, [overhead * least] * 2, "|-", color=INK, lw=1.2, ms=9, zorder=5, label=label)
    ax.axvline(smallest, label=f"no smaller model can: {human(smallest)}", **DASHED | {"lw": 1.1})
    limits = {"xlim": (many[0], many[-1]), "ylim": (least / 8, least * 60)}
    labels = {"xlabel": "parameters", "ylabel": "compute (FLOPs)"}
    title = f"Compute that reaches a loss of {loss:g}"
    log_axes(ax, count_axis, power_axis, title=title, **labels, **limits)
    ax.legend(**LEGEND | {"loc": "upper right"})
    return fig


def plot_capped(fitted: Fit, cost: Cost, answer: Answer):
    """Loss against params at a budget, with all the data one likes and with what there is."""
    fig, ax = sheet(7.4, 4.6, caption(fitted, answer))
    plan, free = answer.plan, answer.alternatives[0][1]
    flops, unique, decay = (answer.given[name] for name in ("budget", "data_cap", "repeat_decay"))
    many, few = sizes_about(plan["params"], free["params"].value)

    def capped(law: Chinchilla, sizes: Array) -> Array:
        tokens = cost.tokens(sizes, flops)
        fresh = (tokens <= unique) & (plan["epochs"].value <= 1)
        worn = capped_loss(law, cost, sizes, tokens, unique, tuple(decay))
        return np.where(fresh, law.loss(sizes, tokens), worn)

    def unlimited(law: Chinchilla, sizes: Array) -> Array:
        return plan_at_size(law, cost, flops, sizes).loss

    law, draws = fitted.law, law_with_draws(fitted)
    label = f"{human(unique)} unique tokens, {plan['epochs'].value:.3g} epochs"
    for loss, colour, best, what in ((unlimited, OTHER, free, "unlimited data"), (capped, MAIN, plan, label)):
        ax.plot(many, loss(law, many), **LINE | {"color": colour}, label=what)
        draw_spread(ax, few, loss(draws, few), colour)
        size = best["params"].value
        mark = BEST | {"color": colour, "label": f"best, {human(size)}"}
        ax.plot(size, best["loss"].value, "D", **mark)
    low = free["loss"].value
    worst = max(capped(law, many)[[0, -1]].min(), plan["loss"].value)
    title = f"Loss at {power(flops)} FLOPs when data is limited"
    loss_axes(ax, unlimited(draws, few), low + 1.6 * (worst - low), low, title, loss_label(fitted.runs))
    log_axes(ax, count_axis, xlabel="parameters", xlim=(many[0], many[-1]))
    ax.legend(**LEGEND)
    return fig


def sizes_about(best: Band, other: float, most: float = np.inf) -> tuple[Array, Array]:
    """Sizes about the best that hold another, little beyond `most`: many for a line, fewer for a
    band of draws."""
    low, high = best.value / REACH, best.value * REACH
    ends = min(low, other / 1.5), min(max(high, other * 1.5), most * 1.15)
    return np.geomspace(*ends, 400), np.geomspace(*ends, 61)


def without_nan(values: Array) -> Array:
    """Of values (1 + S, K) the draws, all but the first row, that have an answer at every size."""
    return values[1:][~np.isnan(values[1:]).any(1)]


def draw_spread(ax, sizes: Array, values: Array, colour, label: str | None = None) -> None:
    """The 95 % band of the draws in values (1 + S, K) over sizes (K,); an end out of reach leaves
    the sheet."""
    draws = np.sort(without_nan(values), 0)
    if not len(draws):
        return
    low, high = (draws[round(q * (len(draws) - 1))] for q in (0.025, 0.975))
    high = np.where(np.isfinite(high), high, 1e60)
    known = np.isfinite(low)
    style = {"color": colour, "alpha": 0.15, "lw": 0, "zorder": 2, "label": label}
    ax.fill_between(sizes[known], low[known], high[known], **style)


def loss_axes(ax, values: Array, top: float, low: float, title: str, label: str) -> None:
    """From the lowest of the draws in values (1 + S, K) to `top`, which keeps the valley in sight;
    plain numbers where losses lie close together, as they nearly always do."""
    draws = without_nan(values)
    floor = min(np.percentile(draws.min(1), 2.5), low) if len(draws) else low
    bottom = max(floor - 0.06 * (top - floor), 0.9 * floor)
    kind = plain_axis if top < 4 * bottom else count_axis
    log_axes(ax, y=kind, ylim=(bottom, top), ylabel=label, title=title)


def caption(fitted: Fit, answer: Answer) -> str:
    plan = answer.plan
    ends = [
        f"{name} {span(plan[name].low, plan[name].high, form.format, ' to ')[1:-1]}"
        for name, form in (("params", "{:.3g}"), ("tokens", "{:.3g}"), ("loss", "{:.4f}"))
        if plan[name].high - plan[name].low > 1e-9 * plan[name].value
    ]
    text = f"{answer.question[0].upper()}{answer.question[1:]}: {answer.headline}"
    text += f". 95 %: {', '.join(ends)}" if ends else ""
    text += f". {len(fitted.runs)} runs; fit status {answer.status}: {answer.message}. "
    lines = answer.assumptions[:1] + [WASTED] * (WASTED in answer.assumptions)
    return text + " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)
