"""Figures of the experiments that `analysis` has none for, each returned as there. Here: a longer
cosine, another dtype, the walk between two papers, a sealed prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis import fitting, frontiers
from analysis.figures.axes import count_axis, plain_axis, power_axis
from analysis.figures.style import DASHED, FAINT, INK, METHOD_COLOURS, badge, sequence, sheet, styled
from analysis.figures.words import warning
from analysis.laws import Chinchilla
from analysis.tables.runs import Runs

POINT = {"marker": "o", "ms": 4.5, "mew": 0}


def legend_beside(ax, title: str, **more) -> None:
    """To the right of a panel."""
    ax.legend(title=title, loc="upper left", bbox_to_anchor=(1.0, 1.0), **more)


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
def dtypes(compared: Any):
    """How far each cell's loss in bfloat16 is from the float32 one, by size."""
    band = 200 * np.sqrt(2) * compared.noise
    text = (
        "Points: cells of one grid trained with products of bfloat16 and of float32 numbers, "
        "equal in all else. Band: ± 2 standard deviations of the gap between two seeds, "
        f"{band:.2g} % ({compared.source}). Line: the mean."
    )
    fig, ax = sheet(5.8, 3.8, text)
    ax.axhspan(-band, band, color=FAINT, alpha=0.35, lw=0)
    ax.axhline(0, color=INK, lw=0.8)
    ax.axhline(100 * compared.gap.mean(), color=METHOD_COLOURS[1], lw=1.4)
    budgets = np.unique(np.round(np.log2(compared.flops), 1))
    for level, colour in zip(budgets, sequence(len(budgets)), strict=True):
        at = np.isclose(np.log2(compared.flops), level, atol=0.1)
        ax.plot(
            compared.params[at],
            100 * compared.gap[at],
            ls="",
            color=colour,
            **POINT,
            label=f"{2.0**level:.2g}",
        )
    ax.set(
        xscale="log",
        xlabel="params (hidden + readout)",
        ylabel="bfloat16 over float32, %",
        title="What bfloat16 products do to the final loss",
    )
    count_axis(ax.xaxis, *ax.get_xlim())
    legend_beside(ax, "FLOPs")
    return fig


@styled
def arms(comparisons: Any):
    """The loss of each arm over the baseline's on each rung."""
    base = comparisons[0].baseline
    text = (
        f"Each architecture at its best of the rates tried on a rung, mean of its seeds, over the {base}'s."
    )
    fig, ax = sheet(6.6, 3.9, text)
    ax.axhline(0, label=base, **DASHED)
    mean = lambda runs, flops: np.log(runs.loss[np.isclose(runs.flops, flops, rtol=0.03)]).mean()  # noqa: E731
    for each, colour in zip(comparisons, sequence(len(comparisons)), strict=True):
        rungs = each.ladders.budgets
        gaps = [100 * (mean(each.ladders.runs[1], f) - mean(each.ladders.runs[0], f)) for f in rungs]
        ax.plot(rungs, gaps, label=each.arm, color=colour, **POINT)
    ax.set(ylabel=f"loss over the {base}'s (%)", xlabel="training compute (FLOPs)", xscale="log")
    power_axis(ax.xaxis)
    legend_beside(ax, "")
    return fig


@styled
def multipliers(sets: Any):
    """The compute multiplier of each change by every set of seeds, and last by all together."""
    first = next(iter(sets[-1].values()))
    text = (
        f"What each change is worth at {first.answer.flops:.2g} FLOPs, with 95 % intervals, by two sets of "
        "seeds that share no run, and by both."
    )
    fig, ax = sheet(6.6, 3.6, text)
    ax.axvline(1, **DASHED)
    for number, (part, colour) in enumerate(zip(sets, [*METHOD_COLOURS[:2], INK], strict=True)):
        bands = [part[name].answer.compute for name in sets[-1]]
        value = np.array([band.value for band in bands])
        ends = [value - [band.low for band in bands], [band.high for band in bands] - value]
        at = np.arange(len(value)) + 0.2 * (number - 1)
        label = f"seeds {'AB'[number]}" if number < 2 else "all seeds"
        ax.errorbar(value, at, xerr=ends, ls="", color=colour, label=label, capsize=3, lw=1.2, **POINT)
    ax.set(xscale="log", xlabel=f"times the compute of the {first.baseline}", yticks=range(len(sets[-1])))
    ax.set_yticklabels(sets[-1])
    ax.invert_yaxis()
    plain_axis(ax.xaxis)
    legend_beside(ax, "")
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
    for number, (method, label) in enumerate((("valley", "isoFLOP valleys"), ("law", "fitted law"))):
        fronts = [getattr(step, method).params_exponent for step in steps]
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
def predictions(results: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]):
    """Each sealed prediction's interval and what was measured, both over what was predicted."""
    far = ", ".join(f"{each:g}" for each in sorted({float(row["beyond"]) for row, _ in results}))
    text = f"Each sealed at {far} × its table's largest compute before its run was. Bar: 95 % for one run."
    fig, ax = sheet(6.4, 0.8 + 0.3 * len(results), text)
    names = []
    for y, (row, result) in enumerate(reversed(results)):
        over = [100 * (float(end) / float(row["predicted"]) - 1) for end in (row["low"], row["high"])]
        ax.plot(over, [y, y], color=FAINT, alpha=0.5, lw=5, solid_capstyle="butt")
        colour = METHOD_COLOURS[0 if result["inside"] == "yes" else 1]
        if result["error"]:
            ax.plot(100 * float(result["error"]), y, color=colour, **POINT)
        names.append(row["experiment"].partition(":")[2])
    ax.axvline(0, **DASHED)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="loss over the predicted one (%)", title="Measured (red: outside) beside what was sealed")
    ax.grid(axis="y", visible=False)
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
    ax.plot(flops, np.exp(least(fitted.law)), color=METHOD_COLOURS[0], lw=1.3, label="Chinchilla's law")
    predicted, ends = float(row["predicted"]), [float(row[name]) for name in ("low", "high")]
    ax.errorbar(
        [float(row["flops"])],
        [predicted],
        [[predicted - ends[0]], [ends[1] - predicted]],
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


@styled
def classics(best: Mapping[str, Runs], grams: Mapping[int, float]):
    """The best runs of each architecture against compute, and n-grams as levels."""
    least = min(grams, key=grams.get)
    text = (
        "Points: the best of the rates tried by each architecture on a rung, one a seed; lines: their mean. "
        f"Dashed: interpolated Kneser-Ney n-grams of 2 to {least} bytes, which cost no products."
    )
    fig, ax = sheet(6.6, 4.2, text)
    for (name, runs), colour in zip(best.items(), METHOD_COLOURS, strict=False):
        order = np.argsort(runs.flops)
        flops, loss = runs.flops[order], runs.loss[order]
        parts = np.split(np.arange(len(flops)), np.flatnonzero(np.diff(np.log(flops)) > 0.3) + 1)
        ax.plot(flops, loss, ls="", color=colour, **POINT)
        ends = [(np.exp(np.log(flops[part]).mean()), loss[part].mean()) for part in parts]
        ax.plot(*zip(*ends, strict=True), color=colour, lw=1.3, label=name)
    for order in range(2, least + 1):
        ax.axhline(grams[order], **DASHED | {"lw": 0.8})
        at = {"xytext": (4, -3), "textcoords": "offset points", "fontsize": 8}
        ax.annotate(f"{order}", (1.0, grams[order]), xycoords=("axes fraction", "data"), **at)
    ax.set(ylabel="loss (nats/byte)", xlabel="training compute (FLOPs)", xscale="log")
    power_axis(ax.xaxis)
    ax.legend(loc="center right", bbox_to_anchor=(1.0, 0.75))
    return fig
