"""python -m bench.bend [--draws 80]: how often a forecast that misses is refused, and one that holds is not.

Tables of six budgets over a factor 200 are drawn from laws that hold (Chinchilla's form), and from laws that
bend inside the table: broken power laws (Caballero et al. 2023, arXiv 2210.14891), plateaus that an ability
learned at an onset ends, and floors that show late.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.audit.bend import WITHIN, find_bend
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs
from bench import forecasts

TOP, SPAN = 1e19, 200.0  # the largest compute of a table, and what it spans
Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def clean(rng: np.random.Generator) -> Chinchilla:
    """A law of Chinchilla's form whose optimum at 1e18 FLOPs has about 20 tokens a parameter."""
    E, alpha, beta = rng.uniform(0.8, 2.0), rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.5)
    params = np.sqrt(1e18 / 120)
    part = rng.uniform(0.3, 1.0)  # nats/token of either term there
    return Chinchilla(E, part * beta / alpha * params**alpha, part * (20 * params) ** beta, alpha, beta)


def broken(rng: np.random.Generator, law: Chinchilla) -> Truth:
    """Above a compute inside the table the reducible loss falls with another exponent."""
    at = TOP / np.exp(rng.uniform(np.log(1.5), np.log(30)))
    change, sharp = rng.choice([-1, 1]) * rng.uniform(0.03, 0.15), rng.uniform(0.1, 0.5)

    def loss(params, tokens):
        factor = (1 + (6 * params * tokens / at) ** (1 / sharp)) ** (-change * sharp)
        return law.E + (law.loss(params, tokens) - law.E) * factor

    return loss


def plateau(rng: np.random.Generator, law: Chinchilla) -> Truth:
    """Above an onset an ability is learned, within a factor of compute, that lowers the loss by a share."""
    at = TOP / np.exp(rng.uniform(np.log(0.7), np.log(10)))
    share, width = rng.uniform(0.03, 0.15), rng.uniform(0.3, 1.0)

    def loss(params, tokens):
        return law.loss(params, tokens) * (1 - share / (1 + (6 * params * tokens / at) ** (-1 / width)))

    return loss


def late_floor(rng: np.random.Generator, law: Chinchilla) -> Truth:
    """A floor that hardly shows until the loss is near it."""
    at = TOP / np.exp(rng.uniform(0, np.log(10)))
    floor = float(law.loss(*law.optimum(at)))
    power = rng.uniform(8, 20)
    return lambda params, tokens: (law.loss(params, tokens) ** power + floor**power) ** (1 / power)


KINDS = {"clean": clean, "broken": broken, "plateau": plateau, "late floor": late_floor}


def draw(truth: Truth, law: Chinchilla, top: float, rng: np.random.Generator) -> Runs:
    """A table of six budgets of seven sizes each about the law's optimum; noise of .2 or .5 %."""
    flops = np.repeat(np.geomspace(top / SPAN, top, 6), 7)
    params = law.optimum(flops)[0] * np.tile(np.geomspace(0.3, 3, 7), 6)
    tokens = flops / 6 / params
    noise = rng.choice([0.002, 0.005]) * rng.standard_normal(len(flops))
    loss = truth(params, tokens) * np.exp(noise)
    return table.from_columns("simulated", params=params, tokens=tokens, flops=flops, loss=loss)


def judge(kind: str, seed: int) -> tuple[float, bool]:
    """Of one table: by what share the forecast of Chinchilla's form misses, at its own optimum of 4 to 16
    times the table's compute, and whether it is refused."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    law = clean(rng)
    truth = law.loss if kind == "clean" else KINDS[kind](rng, law)
    fitted = fitting.fit(Chinchilla, draw(truth, law, TOP, rng))
    flops = TOP * np.exp(rng.uniform(np.log(4), np.log(16), 1))
    with np.errstate(all="ignore"):
        places = fitted.law.optimum(flops)
    if not np.isfinite(places).all():
        places = law.optimum(flops)
    bend = find_bend(fitted, flops, places)
    miss = float(abs(fitted.law.loss(*places) / truth(*places) - 1)[0])
    return miss, bool(bend.speaks_against(WITHIN)[0])


def published(folder: Path) -> None:
    """The same of the published tables, the law fitted below an eighth of the compute."""
    for name, runs in forecasts.tables(folder):
        small, large = forecasts.split(runs, 8.0)
        fitted = fitting.fit(Chinchilla, small)
        error = fitted.law.loss(large.params, large.tokens) / large.loss - 1
        at = int(np.argmin(large.loss))
        places = [np.array([large.column(each)[at]]) for each in fitted.inputs]
        bend = find_bend(fitted, large.flops[[at]], places)
        refused = bend is not None and bend.speaks_against(WITHIN)[0]
        print(f"{name:<36} misses by {100 * np.mean(abs(error)):5.2f} %  {'refused' if refused else ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=80, help="tables of each kind (80)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    missed, others = [], []
    for kind in KINDS:
        miss, refused = np.array([judge(kind, seed) for seed in range(options.draws)]).T
        far, refused = miss > WITHIN, refused.astype(bool)
        print(
            f"{kind:<12} {far.sum():3d} of {len(far)} miss by over {100 * WITHIN:g} %: {refused[far].sum()} "
            f"refused; of the others {refused[~far].sum()} of {(~far).sum()}",
            flush=True,
        )
        if kind != "clean":
            missed, others = [*missed, *refused[far]], [*others, *refused[~far]]
    print(
        f"of {len(missed)} that miss {100 * np.mean(missed):.0f} % refused; of {len(others)} bent ones that "
        f"do not, {100 * np.mean(others):.0f} %"
    )
    if "SCALING_DATA" in os.environ:
        published(Path(os.environ["SCALING_DATA"]))


if __name__ == "__main__":
    main()
