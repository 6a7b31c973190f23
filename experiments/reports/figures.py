"""Figures of the experiments that `analysis` has none for. Each returns the Figure, as there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from analysis import fitting, frontiers
from analysis.figures.style import (
    FAINT,
    INK,
    METHOD_COLOURS,
    badge,
    count_axis,
    human,
    plain_axis,
    power_axis,
    sequence,
    sheet,
    styled,
    warning,
)
from analysis.laws import Chinchilla
from analysis.tables.runs import Runs

POINT = {"marker": "o", "ms": 4.5, "mew": 0}


@styled
def horizon(cosines: Any):
    """Final loss by the length of the cosine, with the noise between seeds as a band."""
    text = "Final loss of one cell whose cosine decay was set to end later than the run"
    if np.isfinite(cosines.noise):
        text += (
            f"; band: ± 2 standard deviations of a run's noise, {100 * cosines.noise:.2g} % "
            f"({cosines.source})"
        )
    fig, ax = sheet(5.6, 3.8, text + ".")
    if cosines.times:
        ax.plot(cosines.times, cosines.loss, color=METHOD_COLOURS[0], **POINT)
    if cosines.times and np.isfinite(cosines.noise):
        ends = cosines.loss[0] * np.exp([-2 * cosines.noise, 2 * cosines.noise])
        ax.axhspan(*ends, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    ax.set(
        xlabel="length of the cosine over that of the run",
        ylabel="loss (nats/token)",
        title="What too long a cosine costs",
    )
    ax.set_xscale("log")
    if cosines.times:
        ax.set_xticks(cosines.times, labels=[f"{time:.3g}" for time in cosines.times])
        ax.minorticks_off()
    return fig


@styled
def dtypes(found: Any):
    """How far each cell's loss in bfloat16 is from the float32 one, by size."""
    band = 200 * np.sqrt(2) * found.noise
    text = (
        "Points: cells of one grid trained with products of bfloat16 and of float32 numbers, "
        "equal in all else. Band: ± 2 standard deviations of the gap between two seeds, "
        f"{band:.2g} % ({found.source}). Line: the mean."
    )
    fig, ax = sheet(5.8, 3.8, text)
    ax.axhspan(-band, band, color=FAINT, alpha=0.35, lw=0)
    ax.axhline(0, color=INK, lw=0.8)
    ax.axhline(100 * found.gap.mean(), color=METHOD_COLOURS[1], lw=1.4)
    budgets = np.unique(np.round(np.log2(found.flops), 1))
    for level, colour in zip(budgets, sequence(len(budgets)), strict=True):
        at = np.isclose(np.log2(found.flops), level, atol=0.1)
        ax.plot(
            found.params[at], 100 * found.gap[at], ls="", color=colour, **POINT, label=f"{2.0**level:.2g}"
        )
    ax.set(
        xscale="log",
        xlabel="params (hidden + readout)",
        ylabel="bfloat16 over float32, %",
        title="What bfloat16 products do to the final loss",
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    ax.legend(title="FLOPs", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


@styled
def known_entropy(answers: list):
    """One panel a kind of language: E over the known floor for each seed, a bar an estimator."""
    kinds = list(dict.fromkeys(found.kind for found in answers))
    objective = next(iter(answers[0].estimates))[0]
    estimators = [one for one in answers[0].estimates if one[0] == objective]
    text = (
        f"Each row is a language of its own with a grid of {len(answers[0].runs)} trained "
        "models. Bars: the 95 % interval of the floor E of Chinchilla's law fitted to them "
        f"({objective}), by how it is made; points: E itself; line: the known entropy of "
        "the held-out windows. Arrows: the interval goes on; pale: the fit says that it is not "
        "identified. In the titles: how often the known floor is inside."
    )
    fig, axes = sheet(5.2 * len(kinds) + 1.2, 4.6, text, columns=len(kinds))
    for ax, kind in zip(np.atleast_1d(axes), kinds, strict=True):
        mine = [found for found in answers if found.kind == kind]
        off = 100 * np.array([found.estimates[estimators[0]].value / found.floor - 1 for found in mine])
        reach = np.clip(2 * np.percentile(np.abs(off), 75), 10, 110)
        for place, how in enumerate(estimators):
            for row, found in enumerate(mine):
                interval_bar(
                    ax,
                    found.estimates[how],
                    found.floor,
                    row + 0.25 * (place - 1),
                    METHOD_COLOURS[place],
                    reach,
                )
        held = (
            f"{how[1]} {sum(f.estimates[how].holds(f.floor) for f in mine)}/{len(mine)}" for how in estimators
        )
        ax.axvline(0, color=INK, lw=1.2)
        ax.set(
            xlim=(-reach, reach),
            ylim=(len(mine) - 0.5, -0.5),
            ylabel="seed",
            xlabel="E over the known floor, %",
            title=f"{kind}: {', '.join(held)}",
        )
        ax.set_yticks(range(len(mine)))
        ax.grid(visible=False, axis="y")
    handles = [
        Line2D([], [], color=METHOD_COLOURS[i], lw=2, label=how[1]) for i, how in enumerate(estimators)
    ]
    np.atleast_1d(axes)[-1].legend(
        handles=handles, title="interval", loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    return fig


def interval_bar(ax, found: Any, floor: float, y: float, colour: str, reach: float) -> None:
    """An estimate and its interval in % of the floor, cut at ±`reach` with an arrow."""
    low, value, high = (100 * (end / floor - 1) for end in (found.low, found.value, found.high))
    ends = np.clip([low, high], -reach, reach)
    faint = {"color": colour, "alpha": 0.9 if found.says else 0.35}
    ax.plot(ends, [y, y], lw=1.6, solid_capstyle="butt", **faint)
    for end, mark, cut in ((ends[0], "<", low < -reach), (ends[1], ">", high > reach)):
        if cut:
            ax.plot(end, y, marker=mark, ms=3.5, clip_on=False, mew=0, **faint)
    if abs(value) < reach:
        ax.plot(value, y, marker="o", ms=3.2, mew=0, **faint)


@styled
def floors(answers: list):
    """One panel a language: loss by tokens, a line a size, the known floor and the fitted E."""
    text = "Points: runs. Lines: the fitted law at each size. Dashed: the known floor of the "
    text += "held-out windows. Band: 95 % of the fitted E. "
    text += (
        "; ".join(
            f"{found.language}: floor {found.floor:.4f}, E = {found.fitted.law.E:.4f} [{found.fitted.status}]"
            for found in answers
        )
        + "."
    )
    fig, axes = sheet(5.0 * len(answers) + 0.8, 4.0, text, columns=len(answers))
    for ax, found in zip(np.atleast_1d(axes), answers, strict=True):
        sizes, estimate = np.unique(found.runs.params), next(iter(found.estimates.values()))
        at = np.geomspace(found.runs.tokens.min(), found.runs.tokens.max() * 1.5, 60)
        for params, colour in zip(sizes, sequence(len(sizes)), strict=True):
            rows = found.runs.params == params
            ax.plot(
                found.runs.tokens[rows],
                found.runs.loss[rows],
                ls="",
                color=colour,
                **POINT,
                label=human(float(f"{params:.3g}")),
            )
            ax.plot(at, found.fitted.law.loss(np.full_like(at, params), at), color=colour, lw=1.1)
        ends = np.clip([estimate.low, estimate.high], 0.9 * found.floor, 2 * found.runs.loss.max())
        ax.axhspan(*ends, color=METHOD_COLOURS[1], alpha=0.18, lw=0)
        ax.axhline(found.floor, color=INK, lw=1.2, ls=(0, (5, 3)))
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="tokens",
            ylabel="loss (nats/token)",
            title=found.language.rpartition("-")[0],
        )
        low = min(found.floor, max(estimate.low, 0.9 * found.floor))
        ax.set_ylim(low / 1.01, found.runs.loss.max() * 1.01)
        count_axis(ax.xaxis, *ax.get_xlim())
        plain_axis(ax.yaxis, *ax.get_ylim())
        ax.legend(title="N", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    badge(fig, warning(*(found.fitted for found in answers)))
    return fig


@styled
def walk(steps: list):
    """The exponent of N after each step from Kaplan's way to Chinchilla's, by two methods."""
    text = (
        "Exponent a of N ~ C^a with 95 % intervals, on one text and one ladder of sizes. From "
        "left to right one difference between Kaplan et al. 2020 and Hoffmann et al. 2022 is "
        "taken back after another. Dashed: what the two papers found."
    )
    if without := [step.name for step in steps if not np.isfinite(step.valley.params_exponent.value)]:
        text += f" No exponent by valleys ({', '.join(without)}): their minima are at an edge."
    fig, ax = sheet(6.4, 4.0, text)
    for number, (of, label) in enumerate((("valley", "isoFLOP valleys"), ("law", "fitted law"))):
        fronts = [getattr(step, of).params_exponent for step in steps]
        at = np.arange(len(steps)) + 0.14 * (number - 0.5)
        value = np.array([front.value for front in fronts])
        ends = np.array([[front.value - front.low, front.high - front.value] for front in fronts])
        ax.errorbar(
            at,
            value,
            np.nan_to_num(ends.T),
            color=METHOD_COLOURS[number],
            label=label,
            capsize=3,
            lw=1.2,
            **POINT,
        )
        for x, low, high in zip(at, value - ends[:, 0], value + ends[:, 1], strict=True):
            for end, mark, cut in ((-0.1, "v", low < -0.1), (1.1, "^", high > 1.1)):
                if cut:
                    ax.plot(x, end, marker=mark, ms=5, color=METHOD_COLOURS[number], mew=0)
    for level, paper in ((0.73, "Kaplan 2020"), (0.5, "Hoffmann 2022")):
        ax.axhline(level, color=INK, lw=0.8, ls=(0, (5, 3)))
        ax.annotate(
            paper,
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    names = {
        "kaplan": "Kaplan's way",
        "readout": "+ readout\ncounted",
        "warm-up": "+ short\nwarm-up",
        "decay": "+ decay to\neach run's end",
    }
    ax.set_xticks(range(len(steps)), labels=[names[step.name] for step in steps])
    ax.set(ylabel="a in N ~ C^a", title="From Kaplan's exponent to Chinchilla's", ylim=(-0.12, 1.12))
    ax.grid(visible=False, axis="x")
    ax.legend(loc="lower left")
    badge(fig, warning(*(step.law for step in steps)))
    return fig


@styled
def positions(found: Mapping):
    """Loss by position in the context, a line a model, with the noise of the text as a band."""
    text = (
        "Held-out loss of a character by how many before it the model sees; each window starts "
        "anew. Bands: ± 2 standard errors over windows, which are the same for all "
        "models."
    )
    fig, ax = sheet(5.6, 3.8, text)
    for (name, of), colour in zip(found.items(), METHOD_COLOURS, strict=False):
        at = np.arange(1, len(of.nats) + 1)
        ax.plot(at, of.nats, color=colour, lw=1.3, label=name)
        ax.fill_between(
            at, of.nats - 2 * of.nats_se, of.nats + 2 * of.nats_se, color=colour, alpha=0.15, lw=0
        )
    ax.set(
        xscale="log", xlabel="characters seen", ylabel="loss (nats/character)", title="What context is worth"
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    ax.legend()
    return fig


@styled
def widths(found: Mapping):
    """Loss against the base rate, a line a width, one panel a parameterization."""
    kinds = list(dict.fromkeys(key[0] for key in found)) or ["standard"]
    text = (
        "Final loss by the peak of the base learning rate; rings: the best rate of a width "
        "(the vertex of a parabola through three points; crosses: at an end of the rates "
        "tried). All else equal; at width 64 the two are the same model."
    )
    fig, axes = sheet(4.4 * len(kinds) + 1.0, 4.0, text, columns=len(kinds))
    every = sorted({key[1] for key in found})
    colour = dict(zip(every, sequence(len(every)), strict=True))
    for ax, kind in zip(np.atleast_1d(axes), kinds, strict=True):
        for (own, width, *_), value in sorted(found.items()):
            if own == kind:
                rate_line(ax, value, colour[width], f"{width:.0f}")
        ax.set(xscale="log", xlabel="base learning rate", title={"mup": "MUP"}.get(kind, kind))
        rate_ticks(ax, (value.rates for key, value in found.items() if key[0] == kind))
    share_height(np.atleast_1d(axes))
    handles = [Line2D([], [], color=colour[w], lw=1.2, **POINT, label=f"{w:.0f}") for w in every]
    np.atleast_1d(axes)[-1].legend(
        handles=handles, title="width", loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    return fig


def rate_line(ax, value, colour, label: str) -> None:
    """Losses by rate, and the best rate marked at the height of the lowest loss."""
    ax.plot(value.rates, value.losses, color=colour, lw=1.2, label=label, **POINT)
    if np.isfinite(value.rate):
        mark = {"marker": "x", "ms": 8} if value.status == "edge" else {"marker": "o", "ms": 9}
        ax.plot([value.rate], [np.nanmin(value.losses)], ls="", color=colour, mfc="none", mew=1.4, **mark)


def rate_ticks(ax, rates) -> None:
    """The rates tried, every one where there is room."""
    tried = sorted({float(rate) for found in rates for rate in found})
    shown = tried if len(tried) < 5 else tried[::2]
    ax.set_xticks(shown, labels=[f"{rate:.2g}" for rate in shown])
    ax.minorticks_off()


def share_height(axes) -> None:
    """The same losses in all panels, with the label once."""
    low = min(ax.get_ylim()[0] for ax in axes)
    high = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)
    axes[0].set_ylabel("loss (nats/token)")


@styled
def batches(found: Mapping):
    """Loss against rate, a line a batch, one panel a (params, tokens)."""
    places = sorted({(key[1], key[2]) for key in found})
    sizes = sorted({key[3] for key in found})
    colour = dict(zip(sizes, sequence(len(sizes)), strict=True))
    text = (
        "Final loss by peak learning rate at several batches (tokens an update); rings: the "
        "best rate, crosses: at an end of the rates tried."
    )
    fig, axes = sheet(3.0 * len(places) + 1.2, 3.8, text, columns=len(places))
    for ax, (params, tokens) in zip(np.atleast_1d(axes), places, strict=True):
        for size in sizes:
            if ("batch", params, tokens, size) in found:
                value = found["batch", params, tokens, size]
                rate_line(ax, value, colour[size], f"{size:,.0f}")
        ax.set(
            xscale="log",
            xlabel="learning rate",
            title=f"N = {human(round(params, -2))}, D = {human(round(tokens, -4))}",
        )
        rate_ticks(ax, (value.rates for key, value in found.items() if key[1] == params))
    axes = np.atleast_1d(axes)
    axes[-1].legend(title="batch", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    share_height(axes)
    return fig


@styled
def coordinates(checks: Mapping):
    """Scale of each layer's activations by width, over that at the narrowest."""
    first = next(iter(checks.values()))
    text = (
        f"Root mean square of each layer's output after {first.updates} updates, over that at "
        f"width {first.widths[0]}; means over seeds. Band: ± 10 %."
    )
    fig, axes = sheet(4.4 * len(checks) + 1.6, 3.8, text, columns=len(checks))
    axes = np.atleast_1d(axes)
    colours = sequence(len(first.scale))
    for ax, (kind, found) in zip(axes, checks.items(), strict=True):
        for (layer, scale), colour in zip(found.scale.items(), colours, strict=True):
            ax.plot(found.widths, np.array(scale) / scale[0], color=colour, lw=1.2, label=layer, **POINT)
        ax.axhspan(1 / 1.1, 1.1, color=FAINT, alpha=0.25, lw=0, zorder=0)
        ax.set(xscale="log", yscale="log", xlabel="width", title={"mup": "MUP"}.get(kind, kind))
        ax.set_xticks(found.widths, labels=[str(width) for width in found.widths])
        ax.minorticks_off()
    share_height(axes)
    low, high = axes[0].get_ylim()
    ticks = [2.0**power for power in range(-6, 12) if low <= 2.0**power <= high or power in (-1, 1)]
    for ax in axes:
        ax.set_ylim(min(low, 0.48), max(high, 2.1))
        ax.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes[0].set_ylabel("activation over that of the narrowest")
    axes[-1].legend(title="layer", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


@styled
def prediction(runs: Runs, row: Mapping[str, str], result: Mapping[str, str] | None):
    """The table's runs, the law's frontier fitted to them, the sealed prediction and, once there
    is one, the measured loss."""
    fitted = fitting.fit(Chinchilla, runs)
    fitted = fitting.intervals(fitted)
    price, used = frontiers.fit_cost(runs), runs.usable()
    text = (
        f"Sealed {row['time']} from {row['table_rows']} runs (fit: {row['status']}), "
        f"table sha256 {row['table_sha256'][:12]}, run {row['run_id']}. Bar: 95 % for one new "
        "run. Line: the law's least loss, with its 95 % band where the fit is ok."
    )
    fig, ax = sheet(6.4, 4.2, text)
    ax.scatter(used.flops, used.loss, s=12, color=FAINT, lw=0, label="runs the law was fitted to")
    flops = np.geomspace(used.flops.min(), float(row["flops"]) * 1.3, 24)

    def least(law):
        return np.log(law.loss(*law.optimum(flops, price.k, price.p)))

    if fitted.status == "ok":
        low, high = np.exp(fitted.band(least))
        ax.fill_between(flops, low, high, color=METHOD_COLOURS[0], alpha=0.15, lw=0)
    ax.plot(flops, np.exp(least(fitted.law)), color=METHOD_COLOURS[0], lw=1.3, label="law")
    said, ends = float(row["predicted"]), [float(row[name]) for name in ("low", "high")]
    ax.errorbar(
        [float(row["flops"])],
        [said],
        [[said - ends[0]], [ends[1] - said]],
        capsize=3,
        color=METHOD_COLOURS[1],
        fmt="o",
        ms=4.5,
        label="sealed prediction",
    )
    if result and result["measured"]:
        ax.plot(
            [float(row["flops"])],
            [float(result["measured"])],
            ls="",
            marker="D",
            ms=6,
            mfc="white",
            mec=INK,
            mew=1.3,
            label="measured",
            zorder=6,
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="training FLOPs",
        ylabel="loss (nats/token)",
        title=f"Predicted {float(row['beyond']):g} times beyond",
    )
    power_axis(ax.xaxis, *ax.get_xlim())
    plain_axis(ax.yaxis, *ax.get_ylim())
    ax.legend(loc="upper right")
    badge(fig, warning(fitted))
    return fig
