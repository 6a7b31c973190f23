"""`analysis compare` of single curves: what each arm needs to equal loss, along the curve."""

import numpy as np

from analysis import frontiers
from analysis.commands import answers, shared
from analysis.commands.speedup import as_json, show
from analysis.frontiers.speedup import STEPS
from analysis.tables import Runs, table
from analysis.tables.headers import find

ONE = "a curve an arm: no second run tells how far luck moves it, so there is no interval"


def answer_curves(options, arms: dict[str, Runs], baseline: str) -> int:
    """Print and write what `analysis speedup` says of the arms' curves."""
    asked = [f"--{name}" for name in ("figure", "output", "at", "fix", "caution") if getattr(options, name)]
    if asked:
        raise ValueError(
            f"{' and '.join(asked)}: for ladders of runs; these are single curves, "
            "which `analysis envelope` draws"
        )
    speedups = frontiers.speedups(joined(arms), baseline)
    best = {each.run: each for each in speedups}  # the last axis an arm has: flops, else tokens, else steps
    results = []
    for name, each in best.items():
        print(f"{name} reaches {baseline}'s losses {each.ratio[-1]:.3g} times as fast in {each.axis}; {ONE}")
        rows = zip(each.needs, each.ratio, strict=True)
        budgets = [{each.axis: at, "multiplier": ratio, "low": None, "high": None} for at, ratio in rows]
        axes = [as_json(axis) for axis in speedups if axis.run == name]
        results.append(
            {
                "arm": name,
                "baseline": baseline,
                "budgets": budgets,
                "trend": {"per_decade": slope(each), "low": None, "high": None, "p": None},
                "shared": None,
                "status": "few",
                "message": ONE,
                "curves": axes,
            }
        )
    for each in speedups:
        show(each)
    if options.json:
        shared.dump(options.json, results if len(results) > 1 else results[0])
    counted = all(runs.has("params") for runs in arms.values())  # without it no envelope has sizes
    following = "envelope" if counted else "speedup"
    print(f"Next: {answers.command(options, following, drop=('arm', 'baseline'))}")
    return 0


def slope(each: frontiers.Speedup) -> float:
    """Factor of the ratio per decade of what the arm needs."""
    return float(10 ** np.polyfit(np.log10(each.needs), np.log10(each.ratio), 1)[0])


def joined(arms: dict[str, Runs]) -> Runs:
    """The rows of all arms as curves of runs that are called as they are."""
    used = {name: runs.usable() for name, runs in arms.items()}
    columns: dict[str, list] = {"run": [], "loss": []}
    steps = {name: find(runs.columns, STEPS) for name, runs in used.items()}
    axes = {"step": all(steps.values())}
    axes |= {axis: all(runs.has(axis) for runs in used.values()) for axis in ("tokens", "flops")}
    for name, runs in used.items():
        columns["run"] += [name] * len(runs)
        columns["loss"] += runs.loss.tolist()
        for axis in (axis for axis, held in axes.items() if held):
            column = runs.column(steps[name] if axis == "step" else axis)
            columns.setdefault(axis, []).extend(column.tolist())
    return table.from_columns(", ".join(used), **columns)
