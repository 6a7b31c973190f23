"""python -m bench.compare [--simulations 1000]: how often intervals of a compute multiplier are right.

Pairs of ladders are drawn from known laws: a third of arms equal to the baseline, a third with scales of
their own (one multiplier at all scales), a third with exponents of their own (it drifts). Noise is .2 to
.8 %, half of the pairs share half of its variance. Counted is how often the truth lies inside at the largest
budget and at ten times that; of equal arms how often 1 lies outside, and how often a trend is told. Writes
bench/results/compare.json and prints the rows of docs/compare.md.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.decisions.compare import compare
from analysis.decisions.ladders import join
from analysis.laws import Chinchilla
from analysis.tables import Runs, table

RESULTS = Path(__file__).parent / "results"
DESIGNS = {9: (3, 3), 16: (4, 4), 28: (4, 7)}  # cells of an arm: budgets, sizes
NOISE = (0.002, 0.004, 0.008)
KINDS = ("equal", "scale", "drift")
BASE = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)  # about what laptop grids give


def arm_law(kind: str, rng: np.random.Generator) -> Chinchilla:
    if kind == "equal":
        return BASE
    change = rng.uniform(0.9, 1.1, 2)
    law = replace(BASE, A=BASE.A * change[0], B=BASE.B * change[1])
    if kind == "scale":
        return law
    bend = rng.uniform(0.96, 1.04, 2)  # about the middle of the ladder, so that losses stay near
    alpha, beta = law.alpha * bend[0], law.beta * bend[1]
    n, d = 3e5, 5e6
    return replace(
        law, alpha=alpha, beta=beta, A=law.A * n ** (alpha - law.alpha), B=law.B * d ** (beta - law.beta)
    )


def cells(budgets: int, sizes: int) -> tuple[np.ndarray, np.ndarray]:
    """(params, tokens) of a ladder around the baseline's optima, budgets spaced by 3."""
    rows = []
    for budget in 1e12 * 3.0 ** np.arange(budgets):
        best, _ = BASE.optimum(budget)
        n = best * np.geomspace(12**-0.5, 12**0.5, sizes)
        rows.append((n, budget / 6 / n))
    return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))


def draw_pair(design: int, kind: str, noise: float, shared: float, rng) -> tuple[Runs, Runs, Chinchilla]:
    n, d = cells(*DESIGNS[design])
    law, common = arm_law(kind, rng), rng.standard_normal(len(n))
    arms = []
    for each in (BASE, law):
        luck = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(len(n))
        loss = each.loss(n, d) * np.exp(noise * luck)
        arms.append(table.from_columns("simulated", params=n, tokens=d, flops=6 * n * d, loss=loss))
    return *arms, law


def multiple(law: Chinchilla, flops: float) -> float:
    """The true κ: by bisection along the baseline's frontier."""
    loss = float(law.loss(*law.optimum(flops)))
    low, high = np.log(flops) - 10, np.log(flops) + 10
    for _ in range(100):
        middle = (low + high) / 2
        above = BASE.loss(*BASE.optimum(np.exp(middle))) > loss
        low, high = (middle, high) if above else (low, middle)
    return float(np.exp(low) / flops)


def simulate(design: int, simulations: int, draws: int = 400) -> Iterator[tuple]:
    """(kind, whether the truth lies inside at the largest budget, at ten times that, whether 1 lies outside,
    whether a trend is told, widths of both intervals in log κ) of each pair."""
    rng = np.random.default_rng(design)
    for i in range(simulations):
        kind, noise, shared = KINDS[i % 3], NOISE[i // 3 % 3], (0.0, 0.5)[i // 9 % 2]
        base, arm, law = draw_pair(design, kind, noise, shared, rng)
        top = float(base.flops.max())
        found = compare(join(base, arm, ("base", "arm")), at=[10 * top], draws=draws, seed=i)
        ends = [(b.compute.low, b.compute.high) for b in (found.answer, found.budgets[-1])]
        truth = [multiple(law, c) for c in (top, 10 * top)]
        inside = [low <= true <= high for (low, high), true in zip(ends, truth, strict=True)]
        width = [float(np.log(high / low)) if 0 < low and high < np.inf else np.inf for low, high in ends]
        told = found.trend_p is not None and found.trend_p < 0.05
        yield kind, *inside, not ends[0][0] <= 1 <= ends[0][1], told, *width


def summary(design: int, rows: list[tuple]) -> dict:
    def share(k: int, kinds=KINDS) -> float:
        return float(np.mean([row[k] for row in rows if row[0] in kinds]))

    return {
        "cells": design,
        "pairs": len(rows),
        "at_largest": share(1),
        "at_tenfold": share(2),
        **{f"at_largest_{kind}": share(1, [kind]) for kind in KINDS},
        **{f"at_tenfold_{kind}": share(2, [kind]) for kind in KINDS},
        "equal_excluded": share(3, ["equal"]),
        "false_trend": share(4, ["equal", "scale"]),
        "width": float(np.median([row[5] for row in rows])),
        "width_tenfold": float(np.median([row[6] for row in rows])),
    }


def main() -> None:
    top = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.split("\n")[0])
    top.add_argument("--simulations", type=int, default=1000, metavar="N")
    options = top.parse_args()
    found = []
    print("| cells an arm | at the largest budget | ten times beyond | equal arms told apart | false trend |")
    print("|---|---|---|---|---|")
    for design in DESIGNS:
        each = summary(design, list(simulate(design, options.simulations)))
        found.append(each)
        keys = ("at_largest", "at_tenfold", "equal_excluded", "false_trend")
        print(f"| {design} | " + " | ".join(f"{100 * each[key]:.1f} %" for key in keys) + " |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "compare.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
