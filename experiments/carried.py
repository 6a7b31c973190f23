"""Does the learning rate that `lab rates` carries up hold at four times the size and length?

Question: on Shakespeare as bytes, `lab rates` tunes three small sizes at two lengths and carries the rule to
          four times the largest size and the longest length: how far from the best of a fresh sweep there
          does its rate end?
Command:  python -m lab rates experiments.carried:grid   (the rule)
          python -m lab run experiments.carried   (the rule and the sweep)
Cost:     42 runs, 1.2e13 FLOPs, about 5 minutes on two cores; the rule alone is 30 runs, 8e11 FLOPs
Answer:   expected: within .3 %, the bar, about .1 %: a rate off by a factor 1.5 costs no more there. The
          rule's rate within a factor 1.6 of the best, with an exponent of size from -.3 to -.6 and one of
          tokens that is not told from 0

Before the sweep was trained its rule was mended: through skewed valleys it said .0053 (.0016, .018); through
parabolas, by which public runs are carried better (bench.rates), it says .0199 (.0062, .064). The sweep holds
both. The quickstart's model and batch; seeds of its own, the same at every rate, so that rates are compared
by pairs of equal first weights and data.

Refused: nothing of the price; the exponent of size, -.7, is steeper than expected. That the parabola's lowest
has no upper end: with three seeds four rates, 2 x apart, do not always bend.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.fitting.band import Band
from analysis.frontiers.rates import Rates, best_rates
from analysis.tables import table
from analysis.tables.runs import Runs
from experiments import quickstart
from experiments.reports import tables
from experiments.reports.shakespeare import CORPORA, text
from lab.config import RunConfig
from lab.plan import grid, tuning
from lab.store.store import Store

WIDTHS, FAR = (8, 12, 16), 38  # the last has four times the parameters
TOKENS, TIMES = 204_800, 16  # the shortest length; the far one is four times the longest tuned
FIRST = 0.00529  # the far rate by the rule of skewed valleys, about which the sweep was set
FACTORS = (0, 2, 1, 3)  # powers of 2 on it that the sweep tries
SEEDS = (100, 101, 102)
WITHIN = 0.3  # per cent: the bar
DRAWS = 10_000


def cells() -> list[RunConfig]:
    """What `lab rates` tunes: the small sizes at the shortest length, and the far run."""
    *small, far = quickstart.models([*WIDTHS, FAR])
    data = text()
    runs = [quickstart.run_of(model, TOKENS, data, seed) for seed, model in enumerate(small)]
    return [*runs, quickstart.run_of(far, TIMES * TOKENS, data, len(small))]


def swept() -> list[RunConfig]:
    """The runs of the rule, and the sweep at the far place."""
    own = cells()
    rates = [FIRST * 2.0**power for power in FACTORS]
    far = [tuning.at_rate(replace(own[-1], seed=s, data_seed=s), rate) for rate in rates for s in SEEDS]
    return grid.unique([*tuning.rate_design(own), *far])


SIZES = {"laptop": swept, "grid": cells}


def runs(size: str = "laptop") -> list[RunConfig]:
    return SIZES[size]()


@dataclass(frozen=True)
class Price:
    """By how many per cent the rule's rate ends above the best of the sweep, with 95 %: above the best rate
    tried, by pairs of equal seeds; and above the lowest of the parabola through all, at `best` times it."""

    tried: Band
    factor: float
    parabola: Band
    best: float
    noise: float


def price(rates: Sequence[float], losses: np.ndarray) -> Price:
    """Of a sweep: `rates` (K,) as factors on the rule's, `losses` (S, K) by seed."""
    from scipy.special import stdtrit

    logs, x = np.log(losses), np.log(rates)
    own, best = int(np.argmin(abs(x))), int(np.argmin(logs.mean(0)))
    gaps, count = 100 * (logs[:, own] - logs[:, best]), len(logs)
    reach = stdtrit(count - 1, 0.975) * gaps.std(ddof=1) / np.sqrt(count)
    tried = Band(float(gaps.mean()), float(gaps.mean() - reach), float(gaps.mean() + reach))
    design = np.stack([x, x**2], 1) - np.stack([x, x**2], 1).mean(0)  # a seed's height is its mean
    design, y = np.tile(design, (count, 1)), (logs - logs.mean(1, keepdims=True)).ravel()
    inverse = np.linalg.inv(design.T @ design)
    slope, bend = inverse @ design.T @ y
    freedom = logs.size - count - 2
    noise = np.sqrt(((y - design @ (slope, bend)) ** 2).sum() / freedom)
    drawn = np.random.default_rng(0)
    spread = noise / np.sqrt(drawn.chisquare(freedom, DRAWS) / freedom)
    root = np.linalg.cholesky(inverse)
    slopes, bends = np.array([[slope], [bend]]) + root @ drawn.standard_normal((2, DRAWS)) * spread
    heights = np.where(bends > 0, slopes**2 / (4 * np.maximum(bends, 1e-12)), np.inf)
    low, high = np.quantile(heights, [0.025, 0.975], method="nearest")
    parabola = Band(*(100 * float(each) for each in (slope**2 / (4 * bend), low, high)))
    return Price(tried, float(rates[best]), parabola, float(np.exp(-slope / (2 * bend))), 100 * float(noise))


def judged(runs: Runs) -> tuple[Rates, Band, Price, Price]:
    """The rule of the small runs, its rate at the far place, and what that and the first one cost there."""
    is_far = runs.params == runs.params.max()
    far = runs.select(is_far)
    place = {"params": far.params[0], "tokens": far.tokens[0], "batch_tokens": far.column("batch_tokens")[0]}
    rates, seeds = far.column("learning_rate"), far.column("seed")
    tried = np.unique(rates)
    losses = [[far.loss[(rates == rate) & (seeds == seed)][0] for rate in tried] for seed in np.unique(seeds)]
    found = best_rates(runs.select(~is_far))
    band = found.rule.at(place)
    return found, band, *(price(tried / rate, np.array(losses)) for rate in (band.value, FIRST))


def answer(path: Path) -> list[str]:
    found, band, cost, first = judged(table.read(path))
    powers = ", ".join(
        f"{name}^{each.value:.2f} ({each.low:.2f}, {each.high:.2f})"
        for name, each in found.rule.exponents().items()
    )
    yes = max(cost.tried.value, cost.parabola.value) <= WITHIN
    return [
        f"{'yes' if yes else 'NO'}: the rule's rate ends {shown(cost.tried)} above the best of those tried, "
        f"{shown(cost.parabola)} above the lowest of their parabola",
        f"rule's rate {band.value:.3g} ({band.low:.2g}, {band.high:.2g}), {powers}; {found.message}",
        f"best rate tried {cost.factor:.2g} times it, the parabola's {cost.best:.2g} times; losses "
        f"scatter by {cost.noise:.2g} % about it",
        f"the rule of skewed valleys, {FIRST:.3g}: {shown(first.tried)} above the best of those tried",
    ]


def shown(band: Band) -> str:
    return f"{band.value:.2f} % ({band.low:.2f}, {band.high:.2f})"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    path = tables.table_of("carried", store, configs or SIZES[size], out, CORPORA, changed=bool(configs))
    print("\n".join(answer(path)))
