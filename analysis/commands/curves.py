"""`python -m analysis curves CURVES`: laws of whole training curves under known learning rates.

What the first part of each run says of its rest, and how alike normalised curves are.
"""

import argparse

import numpy as np

from analysis.commands import shared
from analysis.commands.arguments import add_options, command
from analysis.figures.whole import plot_whole
from analysis.fitting.whole import Curve, Rest, fit_curves, forecast_rest, gains
from analysis.laws.whole import CURVE_LAWS
from analysis.tables import table
from analysis.tables.curves import run_names
from analysis.tables.learning import rates_of

SHOWN = 40  # runs printed; the JSON file holds all
SHARES = np.geomspace(0.1, 1.0, 12)  # of a run's updates, at which curves are compared
LEAST = 4  # points of a run: one more than a law has coefficients
OFF = 3.0  # robust standard deviations from which a curve stands apart


def share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def add(commands) -> None:
    sub = command(commands, "curves", run, what="training curves, with a column step")
    sub.add_argument("--runs", metavar="RUNTABLE", help="run table: schedules and peak learning rates")
    sub.add_argument("--run-id", metavar="COL", help="the column that names a row's run")
    laws = {
        "choices": tuple(CURVE_LAWS),
        "default": "multi-power",
        "dest": "curve_law",
    }  # no law of a run table
    sub.add_argument("--law", help="of a curve (multi-power)", **laws)
    sub.add_argument("--part", type=share, default=0.5, help="of each run's updates that is fitted (0.5)")
    add_options(sub, "--figure")
    sub.set_defaults(needs={"loss"})


def run(options) -> int:
    runs = table.read(options.runs, needs=set()) if options.runs else None
    kind = CURVE_LAWS[options.curve_law]

    def answer(group, rows):
        curves, left = read_curves(rows, runs, options.run_id)
        laws = [(curve, fit_curves(kind, [curve])) for curve in curves]
        rests = [forecast_rest(kind, curve, options.part, gains(laws, curve.run)) for curve in curves]
        rests = [rest for rest in rests if rest]
        distances = standing_apart(curves)
        show(options, curves, left, rests, gains(laws), distances)
        return as_json(laws, rests, distances), lambda: plot_whole(curves, rests, normalised(curves))

    return shared.each_group(options, answer)


def read_curves(rows, runs, column: str | None) -> tuple[list[Curve], str]:
    """The curves of a table, one a run, and what of it is left out, in words.

    Raises:
      ValueError: no column step, no run of enough points, or one whose learning rates are not known.
    """
    if not rows.has("step"):
        raise ValueError(f"{rows.source}: no column step: the update after which each loss was measured")
    rows = rows.usable()
    updated = rows.column("step") >= 1  # NaN is no update either
    before, rows = int((~updated).sum()), rows.select(updated)
    names, known = run_names(rows, column), None if runs is None else run_names(runs, column)
    out, every = [], dict.fromkeys(names.tolist())
    for name in every:
        points = rows.select(names == name)
        if len(points) < LEAST:
            continue
        row = None if known is None or name not in known else runs.select(known == name)
        order = np.argsort(points.column("step"), kind="stable")
        steps = points.column("step")[order].astype(int)
        params = points.params[0] if points.has("params") else np.nan
        out.append(Curve(name, float(params), rates_of(points, row), steps, points.loss[order]))
    if not out:
        raise ValueError(f"{rows.source}: no run has {LEAST} points after its first update")
    left = {"rows of step 0 or of none": before, f"runs of under {LEAST} points": len(every) - len(out)}
    return out, ", ".join(f"{what} ({count})" for what, count in left.items() if count)


def normalised(curves: list[Curve]) -> np.ndarray:
    """Loss over the last (R, K) at shares of each run's updates, NaN before its first point."""
    out = np.full((len(curves), len(SHARES)), np.nan)
    for row, curve in zip(out, curves, strict=True):
        at = curve.steps / curve.steps[-1]
        with np.errstate(all="ignore"):
            row[:] = np.exp(np.interp(np.log(SHARES), np.log(at), np.log(curve.losses), left=np.nan))
        row /= curve.losses[-1]
    return out


def standing_apart(curves: list[Curve]) -> dict[str, float]:
    """By run, how far its normalised curve lies from the median of all: rms of logs, in robust standard
    deviations of all runs' (0 where there are under four)."""
    logs = np.log(normalised(curves))
    if len(curves) < 4:
        return {curve.run: 0.0 for curve in curves}
    logs = logs[:, ~np.isnan(logs).all(0)]
    gap = np.sqrt(np.nanmean((logs - np.nanmedian(logs, 0)) ** 2, 1))
    middle = np.median(gap)
    spread = max(1.4826 * float(np.median(np.abs(gap - middle))), 1e-4)
    return {curve.run: float((g - middle) / spread) for curve, g in zip(curves, gap, strict=True)}


def summary(rests: list[Rest]) -> dict[str, float]:
    """Medians over runs of the size of the error at the last point and of all points, in percent."""
    if not rests:
        return {}
    ends = {
        "last": [r.errors(r.predicted)[-1] for r in rests],
        "steady_last": [r.errors(r.steady)[-1] for r in rests],
    }
    alls = {"rest": [np.mean(np.abs(r.errors(r.predicted))) for r in rests]}
    return {name: float(np.median(np.abs(values))) for name, values in (ends | alls).items()}


def show(options, curves, left: str, rests: list[Rest], gain: dict[str, float], distances) -> None:
    falling = sum(curve.falls_at <= curve.steps[-1] for curve in curves)
    print(f"{len(curves)} curves; the learning rate falls along {falling} of them.")
    if left:
        print(f"Left out: {left}.")
    if rests:
        medians = summary(rests)
        print(
            f"From the first {100 * options.part:g} % of {len(rests)} runs the last loss is forecast within "
            f"{medians['last']:.2g} % (median; without a term of the falling rate within "
            f"{medians['steady_last']:.2g} %), all points beyond within {medians['rest']:.2g} %."
        )
    else:
        print("No run has five points before the cut and one beyond.")
    if not gain:
        print(
            "No whole curve shows a falling rate, so what a fall gains is not known: believe nothing of a "
            "cool-down."
        )
    print(
        f"\n  {'run':<16}{'params':>10}{'updates':>9}{'fitted to':>10}{'last loss':>10}{'said':>9}"
        f"{'error':>9}"
    )
    for rest in rests[:SHOWN]:
        curve, error = rest.curve, rest.errors(rest.predicted)[-1]
        print(
            f"  {curve.run[:15]:<16}{curve.params:>10.4g}{len(curve.rates):>9}{rest.cut:>10}"
            f"{curve.losses[-1]:>10.4f}{rest.predicted[-1]:>9.4f}{error:>+8.2f} %"
        )
    if len(rests) > SHOWN:
        print(f"  and {len(rests) - SHOWN} more, in --json")
    if far := [name for name, z in distances.items() if z > OFF]:
        print(
            f"\n{len(far)} normalised curves stand apart from the others by over {OFF:g} standard "
            f"deviations: {', '.join(far[:8])}. Look at their rate, batch and schedule."
        )
    print()


def as_json(laws, rests: list[Rest], distances: dict[str, float]) -> dict:
    by_run = {rest.curve.run: rest for rest in rests}
    rows = []
    for curve, law in laws:
        row = {
            "run": curve.run,
            "params": curve.params,
            "parameters": vars(law),
            "apart": distances[curve.run],
        }
        if rest := by_run.get(curve.run):
            row |= {
                "cut": rest.cut,
                "predicted": float(rest.predicted[-1]),
                "measured": float(curve.losses[-1]),
            }
            row |= {"error": float(rest.errors(rest.predicted)[-1]), "steady": float(rest.steady[-1])}
        rows.append(row)
    return {"law": type(laws[0][1]).__name__, "median": summary(rests), "runs": rows}
