"""python -m bench.coverage [--simulations 500] [--only NAME]: how often 95 % intervals are right.

Tables are drawn from a known law on a fixed design, fitted, and asked for intervals by every
method. Counted is how often the truth lies inside: the exponent a of N ~ C^a, E, the loss at the
optimum of 4 times the largest run, and one new run there. About an hour of one core at 500
simulations; writes bench/results/coverage.json and prints the rows of docs/coverage.md.
"""

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs

SMALL = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)  # about what laptop grids give
COUNTS = (8, 7, 5, 4, 3, 2, 2)  # runs of each size in the lopsided design
QUANTITIES = ("a", "E", "loss", "new run")


@dataclass(frozen=True)
class Design:
    """Where runs are, the law they follow, and their noise in log loss."""

    params: np.ndarray
    tokens: np.ndarray
    law: Chinchilla
    noise: Callable[[np.random.Generator], np.ndarray]  # -> (R,)
    run_id: np.ndarray | None = None

    def runs(self, rng: np.random.Generator) -> Runs:
        loss = self.law.loss(self.params, self.tokens) * np.exp(self.noise(rng))
        extra = {} if self.run_id is None else {"run_id": self.run_id}
        return table.from_columns("simulated", params=self.params, tokens=self.tokens, loss=loss, **extra)

    @property
    def budget(self) -> float:
        return 4 * 6 * float((self.params * self.tokens).max())


def chinchilla() -> Design:
    """The 240 points of Hoffmann's figure 4, with their own residuals as noise (heavy tails)."""
    path = Path(os.environ["SCALING_DATA"]) / "chinchilla_fig4.csv"
    runs = table.read(path, where="outlier == 0")
    fitted = fitting.fit(Chinchilla, runs)
    residuals = -fitted.residuals - np.median(-fitted.residuals)
    return Design(runs.params, runs.tokens, fitted.law, lambda rng: rng.choice(residuals, 240))


def grid() -> Design:
    """5 sizes x 5 token counts, noise of 0.5 % as between seeds of small models."""
    n, d = np.meshgrid(np.geomspace(2e4, 8e5, 5), np.geomspace(1e6, 4e7, 5), indexing="ij")
    return Design(n.ravel(), d.ravel(), SMALL, lambda rng: 0.005 * rng.standard_normal(25))


def lopsided() -> Design:
    """31 runs, most of them small; large ones saw few tokens per parameter; heavy tails."""
    n, d = [], []
    for i, (size, count) in enumerate(zip(np.geomspace(2e4, 2e6, 7), COUNTS, strict=True)):
        n += [size] * count
        d += list(size * np.geomspace(200 / (i + 1), 3000 / (i + 1) ** 2, count))
    size = len(n)
    return Design(np.array(n), np.array(d), SMALL, lambda rng: 0.004 * rng.standard_t(4, size) / np.sqrt(2))


def uneven() -> Design:
    """The 5 x 5 grid with noise of 1 % at the fewest tokens falling to 0.2 % at the most."""
    even = grid()
    spread = np.tile(np.geomspace(0.01, 0.002, 5), 5)
    return Design(even.params, even.tokens, SMALL, lambda rng: spread * rng.standard_normal(25))


def curves() -> Design:
    """20 runs of 6 rows: rows of a run share its luck (0.5 %), and have 0.1 % of their own."""
    sizes = np.repeat(np.geomspace(2e4, 2e6, 20), 6)
    d = np.tile(np.geomspace(1e6, 4e7, 6), 20)
    label = np.repeat(np.arange(20), 6)
    ids = np.array([f"run{i:02d}" for i in label], object)

    def noise(rng):
        return 0.005 * rng.standard_normal(20)[label] + 0.001 * rng.standard_normal(120)

    return Design(sizes, d, SMALL, noise, ids)


DESIGNS = {f.__name__: f for f in (chinchilla, grid, lopsided, uneven, curves)}
METHODS = {"huber-log": ("pairs", "wild", "profile"), "ls-log": ("pairs", "wild", "profile")}


def questions(law: Chinchilla, budget: float) -> np.ndarray:
    """(a, E, log loss at the budget's optimum), (3,) of a law, (S, 3) of columns."""
    a = np.atleast_1d(law.exponents()[0])
    loss = law.loss(*law.optimum(np.array([budget])))
    return np.concatenate([a, np.atleast_1d(law.E), np.log(loss)], -1)


def measure(design: Design, simulations: int, resamples: int) -> dict:
    """{objective, method: shares inside, median widths, seconds} over simulated tables."""
    rng = np.random.default_rng(2026)
    truth = questions(design.law, design.budget)
    place = design.law.optimum(np.array([design.budget]))
    inside: dict[tuple, list] = {}
    for number in range(simulations):
        runs = design.runs(rng)
        new = design.law.loss(*place) * np.exp(design.noise(rng)[-1])
        for objective, methods in METHODS.items():
            fitted = fitting.fit(Chinchilla, runs, objective=objective)
            for method in methods + (("cluster",) if design.run_id is not None else ()):
                start = time.perf_counter()
                with_ends = fitting.intervals(fitted, method, resamples, seed=number)
                low, high = with_ends.band(lambda law: questions(law, design.budget))
                ahead = fitting.predict(with_ends, params=place[0], tokens=place[1])
                held = [
                    *((low <= truth) & (truth <= high)),
                    bool(ahead.run_low[0] <= new[0] <= ahead.run_high[0]),
                ]
                width = [*(high - low), np.log(ahead.run_high[0] / ahead.run_low[0])]
                row = (held, width, time.perf_counter() - start, fitted.status == "ok")
                inside.setdefault((objective, method), []).append(row)
    return {
        f"{objective} {method}": {
            "inside": named(np.mean([r[0] for r in rows], 0)),
            "width": named(np.median([r[1] for r in rows], 0)),
            "seconds": float(np.median([r[2] for r in rows])),
            "ok": float(np.mean([r[3] for r in rows])),
        }
        for (objective, method), rows in inside.items()
    }


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(QUANTITIES, values.tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--only", choices=DESIGNS, action="append")
    parser.add_argument("--json", type=Path, default=Path("bench/results/coverage.json"))
    parser.add_argument("--show", action="store_true", help="print what is kept, measure nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.show:
        for name, result in json.loads(options.json.read_text()).items():
            print("\n".join(lines(name, result)))
        return
    for name in options.only or DESIGNS:
        methods = measure(DESIGNS[name](), options.simulations, options.resamples)
        options.json.parent.mkdir(exist_ok=True)
        kept = json.loads(options.json.read_text()) if options.json.exists() else {}
        kept[name] = {"simulations": options.simulations, "resamples": options.resamples, "methods": methods}
        options.json.write_text(json.dumps(kept, indent=1) + "\n")
        print("\n".join(lines(name, kept[name])))


def lines(name: str, result: dict) -> list[str]:
    """One design's rows of the table, in markdown."""
    out = []
    for method, row in result["methods"].items():
        shares = " | ".join(f"{100 * row['inside'][q]:.1f}" for q in QUANTITIES)
        widths = " | ".join(f"{row['width'][q]:.3g}" for q in QUANTITIES)
        out.append(f"| {name} | {method} | {shares} | {widths} |")
    return out


if __name__ == "__main__":
    main()
