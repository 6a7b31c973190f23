"""python -m bench.ladders [--tables 50] [--seed 31]: are the intervals of small tables that are `ok` honest?

Ladders, grids and isoFLOP tables of 15 to 40 runs are drawn from three laws with four sizes of noise, and
fitted. Counted is, of those that are `ok`, how many of E, A, B, alpha and beta lie outside their 95 %
intervals. Prints the rows of docs/coverage.md, a percentage and how many were `ok`; writes nothing.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np

from analysis import fitting
from analysis.laws import Array, Chinchilla
from analysis.tables import table

LAWS = (
    Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28),
    Chinchilla(E=1.82, A=482.0, B=2085.0, alpha=0.348, beta=0.366),
    Chinchilla(E=1.5, A=180.0, B=900.0, alpha=0.30, beta=0.34),
)
NOISES = (0.001, 0.003, 0.005, 0.01)  # of log loss
RATIOS = (5, 15, 45, 135, 400)  # tokens a parameter
Places = tuple[Array, Array]


def crossed(sizes: Array, ratios) -> Places:
    params, ratio = (each.ravel() for each in np.meshgrid(sizes, ratios, indexing="ij"))
    return params, params * ratio


def valleys(law: Chinchilla, budgets: Array, sizes: int, wide: float) -> Places:
    best = law.optimum(budgets)[0]
    params = (best[:, None] * np.geomspace(1 / wide, wide, sizes)).ravel()
    return params, np.repeat(budgets, sizes) / 6 / params


DESIGNS: dict[str, Callable[[Chinchilla], Places]] = {
    "4x4": lambda law: crossed(np.geomspace(190e6, 1.3e9, 4), (20, 40, 100, 200)),
    "4x4w": lambda law: crossed(np.geomspace(2e7, 1.3e9, 4), (5, 20, 80, 320)),
    "3x5": lambda law: crossed(np.geomspace(5e7, 1.5e9, 3), RATIOS),
    "5x5": lambda law: crossed(np.geomspace(5e7, 1.5e9, 5), RATIOS),
    "6x6": lambda law: crossed(np.geomspace(5e7, 1.5e9, 6), np.geomspace(5, 400, 6)),
    "iso20": lambda law: valleys(law, np.geomspace(1e18, 1e20, 4), 5, 3),
    "iso28": lambda law: valleys(law, np.geomspace(1e18, 1e20, 4), 7, 4),
    "iso40": lambda law: valleys(law, np.geomspace(1e18, 3e20, 5), 8, 4),
}


def outside(design: str, noise: int, number: int, seed: int) -> list[bool] | None:
    """Which parameters of one table lie outside of their intervals; None where its fit is not `ok`."""
    law = LAWS[-(number + noise) % 3]
    params, tokens = DESIGNS[design](law)
    rng = np.random.default_rng([seed, number, sum(design.encode()), noise])
    loss = law.loss(params, tokens) * np.exp(NOISES[noise] * rng.standard_normal(params.size))
    fitted = fitting.fit(Chinchilla, table.from_columns(params=params, tokens=tokens, loss=loss))
    if fitted.status != "ok":
        return None
    fitted = fitting.intervals(fitted, "profile")
    ends = {name: fitted.interval(name) for name in law.names()}
    return [not low <= getattr(law, name) <= high for name, (low, high) in ends.items()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ladders", description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=50, metavar="N", help="of each design and noise")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--only", choices=DESIGNS, action="append")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for design in options.only or DESIGNS:
        cells = []
        for noise in range(len(NOISES)):
            drawn = [outside(design, noise, number, options.seed) for number in range(options.tables)]
            ok = [each for each in drawn if each is not None]
            cells.append(f"{100 * np.mean(ok):.1f} of {len(ok)}" if ok else "none ok")
        print(f"| {design} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
