"""python -m bench.bend [--draws 80] [--first 0]: is a forecast that misses refused, and one that holds not?

Tables of six budgets over a factor 200 are drawn from laws that hold (Chinchilla's form), and from laws that
bend inside the table: broken power laws (Caballero et al. 2023, arXiv 2210.14891), plateaus that an ability
learned at an onset ends, and floors that show late. With `--trained`, of trained tables instead: those of
experiments/results and the published ones, asked for their largest compute by the runs below a cut of it.
"""

import argparse
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis import decisions, fitting
from analysis.audit.bend import WITHIN, find_bend
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs
from bench import forecasts

TOP, SPAN = 1e19, 200.0  # the largest compute of a table, and what it spans
LEAST, LEVELS = 12, 3.5  # runs, and what their compute spans, below a cut
RESULTS = Path("experiments/results")
COMMITTED = {  # by name, and the column that parts recipes
    **dict.fromkeys(("quickstart", "chinchilla2022", "images", "seals", "seals-linux", "seals-reviews"), ""),
    **dict.fromkeys(("seals-linux-bpe", "seals-reviews-bpe", "seals-fine-linux-bpe"), ""),
    **{"known_entropy": "corpus", "incontext": "corpus"},
}
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
    return miss, bool(bend.forbids(WITHIN)[0])


def recipes(folder: Path) -> Iterator[tuple[str, Runs]]:
    """Trained tables of one recipe each: those committed here, then the published ones."""
    for name, column in COMMITTED.items():
        whole = table.read(RESULTS / f"{name}.csv").usable()
        for label, runs in whole.by(column).items() if column else [("", whole)]:
            yield f"{name} {label}".strip(), runs
    yield from forecasts.tables(folder)


@dataclass(frozen=True)
class Forecast:
    """Of a table's largest compute by a law of its runs below a cut: by what share it `missed` (the middle of
    the runs within 15 % of the best), whether `bend` alone refuses it, and all `doubts` together."""

    missed: float
    bend: bool
    doubts: bool


def trained(runs: Runs, cut: float) -> dict[str, Forecast]:
    """By Chinchilla's form and by `auto`; none where too few runs lie below the cut."""
    small, large = forecasts.split(runs, cut)
    if len(small) < LEAST or small.flops.max() < LEVELS * small.flops.min():
        return {}
    top = large.select(large.flops * 1.5 > large.flops.max())
    top = top.select(top.loss <= 1.15 * top.loss.min())
    at = top.select([int(np.argmin(top.loss))])
    params, tokens = float(at.params[0]), float(at.tokens[0])
    auto = fitting.fit("auto", small)
    laws = {"chinchilla": fitting.fit(Chinchilla, small), "auto": auto}
    out = {}
    for name, fitted in laws.items():
        said = fitting.predict(fitted, **{each: top.column(each) for each in fitted.inputs}).value
        missed = float(abs(np.median(np.log(said / top.loss))))
        bend = find_bend(fitted, at.flops, [at.column(each) for each in fitted.inputs])
        refused = bend is not None and bool(bend.forbids(WITHIN)[0])
        doubts = decisions.doubts(replace(fitted, forms=auto.forms), params, tokens, WITHIN)
        out[name] = Forecast(missed, refused, bool(doubts))
    return out


def counts(found: Sequence[Forecast]) -> str:
    """How many of those that miss, and of those that hold, are refused."""
    parts = []
    for name, far in (("miss", True), ("hold", False)):
        own = [each for each in found if (each.missed > WITHIN) == far]
        bend, doubts = sum(each.bend for each in own), sum(each.doubts for each in own)
        parts.append(f"{len(own)} {name}: {bend} refused by the bend, {doubts} by any doubt")
    return "; ".join(parts)


def judge_trained(folder: Path, cuts: Sequence[float]) -> None:
    every: dict[str, list[Forecast]] = {}
    for name, runs in recipes(folder):
        for cut in cuts:
            found = trained(runs, cut)
            words = [
                f"{law} {100 * each.missed:5.1f} %{' bend' * each.bend}{' doubts' * each.doubts}"
                for law, each in found.items()
            ]
            for law, each in found.items():
                every.setdefault(law, []).append(each)
            if found:
                print(f"{name:<36} below 1/{cut:<3g} " + "; ".join(words), flush=True)
    for law, found in every.items():
        print(f"{law}: {counts(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, default=80, help="tables of each kind (80)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (0)")
    parser.add_argument("--trained", action="store_true", help="trained tables; some minutes")
    help = "cuts of a trained table: its largest compute over each is fitted (8)"
    parser.add_argument("--below", type=float, nargs="+", default=[8.0], help=help)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.trained:
        return judge_trained(Path(os.environ["SCALING_DATA"]), options.below)
    missed, others = [], []
    for kind in KINDS:
        seeds = range(options.first, options.first + options.draws)
        miss, refused = np.array([judge(kind, seed) for seed in seeds]).T
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


if __name__ == "__main__":
    main()
