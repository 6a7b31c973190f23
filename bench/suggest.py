"""python -m bench.suggest: what `analysis suggest` saves, replayed on tables that were trained whole.

From a table's cheapest runs that a law can be fitted to, others are added for a share of its FLOPs, chosen
without their losses: by `suggest`, at random (median of 20), and by a plain grid (rows spread evenly over the
logarithms of params and tokens). Then their losses are read, the law is fitted, and the width of the asked
interval (profile) is compared with the whole table's. `at best` is the least that any choice of rows could
expect, with the whole table's law known. Prints the rows of docs/compare.md.
"""

import os
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.decisions.suggest import Target, suggest
from analysis.fitting import Fit
from analysis.fitting.solve import slopes
from analysis.frontiers import fit_cost
from analysis.laws import Chinchilla
from analysis.tables import Runs, table

RESULTS = Path(__file__).parents[1] / "experiments" / "results"
TABLES = {
    "chinchilla_fig4": ("chinchilla_fig4.csv", "outlier == 0"),
    "chinchilla2022": (RESULTS / "chinchilla2022.csv", None),
    "chinchilla2022-reviews": (RESULTS / "chinchilla2022-reviews.csv", None),
    "plain": (RESULTS / "plain.csv", None),
}
SHARES = (0.1, 0.25)
FIRST = 7  # runs to begin with
RANDOM = 20
ROUNDS = 2000  # of the program behind `at best`
STEPS = tuple(0.7**i for i in range(1, 24))  # of a round, the best of which is taken


def read(name: str) -> Runs:
    path, where = TABLES[name]
    path = path if isinstance(path, Path) else Path(os.environ["SCALING_DATA"]) / path
    return table.read(path, where=where).usable()


def width(runs: Runs, target: Target) -> float:
    """Of the asked number's 95 % interval by profile, the loss's in its logarithm."""
    fitted = fitting.intervals(fitting.fit(Chinchilla, runs), "profile")
    cost = fit_cost(runs)

    def number(law):
        if target.name == "exponent":
            return np.atleast_1d(law.exponents(cost.p)[0])
        at = np.atleast_1d(target.flops)
        return np.log(law.loss(*law.optimum(at, cost.k, cost.p)))

    low, high = fitted.band(number)
    return float(high[0] - low[0])


def spread_rows(runs: Runs, rest: np.ndarray, flops: float) -> np.ndarray:
    """A plain grid: rows one after another, each the furthest from those before that can be paid."""
    x = np.log([runs.params, runs.tokens]).T
    x = (x - x.mean(0)) / x.std(0)
    chosen, spent = [], 0.0
    left = list(rest)
    while left:
        payable = [i for i in left if spent + runs.flops[i] <= flops]
        if not payable:
            break
        known = x[chosen] if chosen else x.mean(0, keepdims=True)
        best = max(payable, key=lambda i: np.linalg.norm(known - x[i], axis=1).min())
        chosen.append(best)
        left.remove(best)
        spent += runs.flops[best]
    return np.array(chosen, int)


def random_rows(runs: Runs, rest: np.ndarray, flops: float, rng) -> np.ndarray:
    order, spent, chosen = rng.permutation(rest), 0.0, []
    for i in order:
        if spent + runs.flops[i] <= flops:
            chosen.append(i)
            spent += runs.flops[i]
    return np.array(chosen, int)


def suggested(runs: Runs, first: np.ndarray, rest: np.ndarray, target: Target, flops: float) -> np.ndarray:
    """Rows that `suggest` takes, planned anew after each third of the FLOPs, as one would train them."""
    have, spent = list(first), 0.0
    for part in (1 / 3, 2 / 3, 1):
        left = np.setdiff1d(rest, have)
        fitted: Fit = fitting.fit(Chinchilla, runs.select(np.sort(have)))
        try:
            found = suggest(fitted, target, part * flops - spent, (runs.params[left], runs.tokens[left]), 1)
        except ValueError:
            continue
        taken = [
            int(
                left[np.argmin(np.abs(np.log(runs.params[left] / n)) + np.abs(np.log(runs.tokens[left] / d)))]
            )
            for n, d in zip(found.params, found.tokens, strict=True)
        ]
        taken = [i for i in dict.fromkeys(taken) if i not in have]
        have += taken
        spent += float(runs.flops[taken].sum())
    return np.array([i for i in have if i not in set(first.tolist())], int)


def at_best(runs: Runs, first: np.ndarray, target: Target, flops: float) -> float:
    """Of the widths over the whole table's that `first` and rows for `flops` more may expect, the least: the
    variance of the asked number by slopes of the whole table's law, least over rows that may be taken in
    part, less what is left of its convex program's duality gap (Frank and Wolfe)."""
    law, cost = fitting.fit(Chinchilla, runs).law, fit_cost(runs)
    logs = np.log([runs.params, runs.tokens])
    centre = logs.mean(1)
    theta = np.array([np.log(max(law.E, 1e-3)), np.log(law.A), np.log(law.B), law.alpha, law.beta])
    theta[1:3] -= theta[3:] * centre
    slope = Chinchilla.log_predict(theta[None], logs - centre[:, None])[1][0]
    asked = slopes(target.numbers(cost, centre), theta[None], np.arange(5))[0, :, 0]
    rest = np.setdiff1d(np.arange(len(runs)), first)
    weights = np.full(len(runs), min(1.0, flops / runs.flops[rest].sum()))
    weights[first], least = 1.0, 0.0

    def variance(weights: np.ndarray) -> float:
        return float(asked @ np.linalg.solve((slope * weights) @ slope.T, asked))

    for _ in range(ROUNDS):
        gain = (np.linalg.solve((slope * weights) @ slope.T, asked) @ slope) ** 2
        order = rest[np.argsort(-gain[rest] / runs.flops[rest])]
        before = np.append(0.0, np.cumsum(runs.flops[order])[:-1])
        toward = np.zeros(len(runs))
        toward[first] = 1.0
        toward[order] = np.clip((flops - before) / runs.flops[order], 0.0, 1.0)
        here = variance(weights)
        least = max(least, here - float(gain @ (toward - weights)))
        steps = [weights + step * (toward - weights) for step in STEPS]
        weights = min(steps, key=variance)
    return float(np.sqrt(least / variance(np.ones(len(runs)))))


def replay(name: str, target_name: str, share: float) -> dict[str, float]:
    runs, rng = read(name), np.random.default_rng(0)
    target = Target(target_name, 10 * float(runs.flops.max()))
    whole, flops = width(runs, target), share * float(runs.flops.sum())
    order = np.argsort(runs.flops)
    first, rest = order[:FIRST], order[FIRST:]
    flops -= float(runs.flops[first].sum())
    rows = {"suggest": [suggested(runs, first, rest, target, flops)]}
    rows["plain grid"] = [spread_rows(runs, rest, flops)]
    rows["random"] = [random_rows(runs, rest, flops, rng) for _ in range(RANDOM)]
    out = {"at best": at_best(runs, first, target, flops)}
    for way, choices in rows.items():
        widths = [width(runs.select(np.sort(np.append(first, each))), target) / whole for each in choices]
        out[way] = float(np.median(widths))
        out[f"{way} runs"] = float(np.median([len(each) for each in choices])) + FIRST
    return out


def main() -> None:
    print("| table | asked | FLOPs | at best | suggest | plain grid | random |")
    print("|---|---|---|---|---|---|---|")
    for name in TABLES:
        for asked in ("exponent", "loss"):
            for share in SHARES:
                found = replay(name, asked, share)
                cells = [
                    f"{found[w]:.2f} ({found[w + ' runs']:.0f} runs)"
                    for w in ("suggest", "plain grid", "random")
                ]
                label = asked if asked == "exponent" else "loss, 10 × beyond"
                words = name, label, f"{100 * share:.0f} %", f"{found['at best']:.2f}", *cells
                print(f"| {' | '.join(words)} |", flush=True)


if __name__ == "__main__":
    main()
