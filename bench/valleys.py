"""python -m bench.valleys [--simulations 500] [--only NAME]: how often valleys' intervals hold the exponent.

Tables are drawn from a known law on a fixed design, and a of N ~ C^a is found by every way of finding
valleys, and by the one that `frontiers.choose_valleys` chooses, with the interval that holds all defensible
ways. Counted are how often the truth lies inside, the median half-width, the mean error of a (bias) and its
root mean square; and how far the best size of a held-out budget, 4 times the largest, is off, in ln params
(root mean square). Five minutes of one core; writes bench/results/valleys.json and prints the rows of
docs/coverage.md.
"""

import argparse
import json
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from analysis import frontiers
from analysis.fitting.band import Band
from analysis.frontiers.choice import WAYS, favour
from analysis.frontiers.lines import fit_line
from analysis.laws import Chinchilla
from analysis.tables import table

RESULTS = Path(__file__).parent / "results" / "valleys.json"
SMALL = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)  # about what laptop grids give
LOPSIDED = Chinchilla(E=1.2, A=12.0, B=400.0, alpha=0.3, beta=0.5)  # a = 0.625, valleys that lean
FAR = 4.0  # times the largest budget
COLUMNS = ("inside", "half-width", "bias", "error", "size")


def design(budgets: Iterable[float], law: Chinchilla, sizes: int, step: float, centre: float = 1.0) -> dict:
    """Columns of a grid: at each budget `sizes` sizes, each `step` times the one before, about `centre` times
    the best one."""
    rows = []
    for c in budgets:
        best = float(law.optimum(np.array([c]))[0][0]) * centre
        rows += [(c, n, c / 6 / n) for n in best * step ** (np.arange(sizes) - (sizes - 1) / 2)]
    budget, params, tokens = np.array(rows).T
    return {"budget": budget, "params": params, "tokens": tokens, "flops": 6 * params * tokens}


DESIGNS = {  # name: (law, columns, noise in log loss)
    "quickstart": (SMALL, design(1e11 * 2.0 ** np.arange(6), SMALL, 6, 1.5), 0.003),
    "plain": (SMALL, design(4.5e11 * 2.0 ** np.arange(4), SMALL, 6, 1.5), 0.006),
    "lopsided": (LOPSIDED, design(1e18 * 3.0 ** np.arange(6), LOPSIDED, 8, 1.5), 0.003),
    "off-centre": (SMALL, design(1e11 * 2.0 ** np.arange(6), SMALL, 7, 1.6, 1.6), 0.003),
    "quiet": (LOPSIDED, design(1e18 * 3.0 ** np.arange(6), LOPSIDED, 9, 1.4), 0.0005),
}


def measure(name: str, simulations: int, draws: int) -> dict:
    """{way: {column: value}} over simulated tables of a design; "chosen" is what the rule takes, with the
    bias of each way taken from the true law (a user's is from the fitted one)."""
    law, columns, noise = DESIGNS[name]
    rng, truth = np.random.default_rng(2026), float(law.exponents()[0])
    far = np.log(FAR * columns["flops"].max())
    size = np.log(law.optimum(np.exp([far]))[0][0])
    exact = law.loss(columns["params"], columns["tokens"])
    biases = {way: find(way, columns, exact, 2, 0, far)[0].value - truth for way in WAYS}
    seen: dict[str, list] = {way: [] for way in (*WAYS, "chosen")}
    picked: list[str] = []
    for number in range(simulations):
        loss = exact * np.exp(noise * rng.standard_normal(len(exact)))
        said = {way: found for way in WAYS if (found := find(way, columns, loss, draws, number, far))}
        errors = {way: float(np.hypot(biases[way], spread)) for way, (_, spread, _) in said.items()}
        chosen, defensible = favour(errors)
        a, _, place = said[chosen]
        values = [said[way][0].value for way in defensible] + [
            a.low - biases[chosen],
            a.high - biases[chosen],
        ]
        picked.append(chosen)
        held = Band.from_ends(a.value, min(a.low, *values), max(a.high, *values))
        for way, (a, _, there) in (said | {"chosen": (held, 0.0, place)}).items():
            gap = a.value - truth
            seen[way].append(
                (a.low <= truth <= a.high, (a.high - a.low) / 2, gap, gap**2, (there - size) ** 2)
            )
    out = {}
    for way, rows in seen.items():
        held, width, bias, square, gap = np.array(rows, float).T
        values = (held.mean(), np.median(width), bias.mean(), np.sqrt(square.mean()), np.sqrt(gap.mean()))
        out[way] = dict(zip(COLUMNS, map(float, values), strict=True)) | {
            "with a value": len(rows) / simulations
        }
    out["chosen"]["picked"] = {way: picked.count(way) / simulations for way in WAYS}
    return out


def find(
    way: str, columns: dict, loss: np.ndarray, draws: int, seed: int, far: float
) -> tuple[Band, float, float] | None:
    """(a with its interval, its noise, ln params at ln flops `far`), as `from_isoflop` has them."""
    runs = table.from_columns("simulated", loss=loss, **columns)
    iso = frontiers.find_optima(runs, method=way, draws=draws, seed=seed)
    inside = [valley for valley in iso.valleys if valley.inside]
    if len(inside) < 2:
        return None
    flops, params, other = (
        np.array([getattr(v, name) for v in inside]) for name in ("flops", "params", "other_params")
    )
    line = fit_line(flops, params, np.array([v.draws for v in inside]), other)
    a = Band.from_draws(line.slopes[0], line.slopes[2:], line.slopes[1])
    return a, float(line.slopes[2:].std()), float(line.heights[0] + a.value * (far - line.middle))


def lines(name: str, kept: dict) -> list[str]:
    """One design's rows of the table, in markdown."""
    out = []
    for way, row in kept["ways"].items():
        share = ", ".join(f"{100 * v:.0f} % {k}" for k, v in row.get("picked", {}).items() if v)
        cells = f"{100 * row['inside']:.1f} | " + " | ".join(f"{row[c]:.3f}" for c in COLUMNS[1:])
        out.append(f"| {name} | {way}{f' ({share})' * bool(share)} | {cells} |")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--only", choices=DESIGNS, action="append")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.only or DESIGNS:
        ways = measure(name, options.simulations, options.draws)
        kept = json.loads(options.json.read_text()) if options.json.exists() else {}
        kept[name] = {"simulations": options.simulations, "draws": options.draws, "ways": ways}
        options.json.write_text(json.dumps(kept, indent=1) + "\n")
        print("\n".join(lines(name, kept[name])), flush=True)


if __name__ == "__main__":
    main()
