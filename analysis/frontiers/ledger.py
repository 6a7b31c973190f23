"""The convention ledger: the same runs under every counting of parameters and FLOPs.

What counts as N and as C moves the exponent of params ∝ flops^a more than most noise: embedding and
readout are most of a small model. Porian et al. 2024 (arXiv 2406.19146) and Pearce & Song 2024
(arXiv 2406.12907) trace much of the way from Kaplan's 0.73 to Hoffmann's 0.50 to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial

import numpy as np

from analysis.fitting.band import Band
from analysis.fitting.bootstrap import intervals, resample
from analysis.fitting.regression import Fit, fit
from analysis.frontiers.comparison import compare_bands
from analysis.frontiers.conventions import EMBED, HIDDEN, READOUT, Convention
from analysis.frontiers.costs import Cost, fit_cost
from analysis.frontiers.frontier import Frontier, from_fit, from_isoflop
from analysis.frontiers.heights import common_span, size_heights, split_curves
from analysis.frontiers.isoflop import Isoflop, find_optima
from analysis.frontiers.optima import growths
from analysis.laws import Array, Chinchilla
from analysis.tables.runs import Runs
from analysis.tables.table import from_columns

OFF = 0.05  # deviation of a cost function from its flops that is worth a word
LEVEL = 1.1  # flops of one budget may differ by this factor, else sizes are interpolated to it
NAMES = {"isoflop": "approach 2 (isoFLOP)", "fit": "approach 3 (fitted law)"}
NONE = Band(np.nan, np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Entry:
    """One approach under one convention. `moved` is its params exponent minus that of the same
    approach in the first row; of fits to the same rows, with a paired bootstrap's interval.
    `agreement` is `compare_bands` with that row; `frontier` is None where none could be made."""

    convention: Convention
    approach: str  # isoflop | fit
    frontier: Frontier | None
    moved: Band
    agreement: str
    message: str

    @property
    def exponent(self) -> Band:
        return self.frontier.params_exponent if self.frontier else NONE


def make_ledger(
    conventions: Sequence[Convention],
    *,
    methods: Sequence[str] = ("isoflop", "fit"),
    valley: str = "interpolate",
    window: float = 1.0,
    objective: str = "huber-log",
    delta: float = 1e-3,
    add_intervals: Callable[[Fit], Fit] = intervals,
    resamples: int = 1000,
    seed: int = 0,
    known: Fit | None = None,
) -> list[Entry]:
    """Every approach under every convention, in their order, approach by approach.

    Args:
      conventions: from `by_columns` or `by_value`.
      methods: isoflop (approach 2) and fit (approach 3).
      valley, window: of approach 2.
      objective, delta: of approach 3.
      add_intervals: gives a fit its intervals.
      resamples, seed: of the pairs bootstrap that `moved` comes from where `add_intervals`
        resamples nothing. Equal seeds draw equal rows, so exponents are compared one by one.
      known: a fit with its intervals, as `add_intervals` gives them, of one of the countings.
    """
    entries: list[Entry] = []
    for method in methods:
        first: tuple[Frontier, Array | None] | None = None
        laws = fit_laws(conventions, known, objective, delta, add_intervals) if method == "fit" else []
        optima = cache(partial(find_optima, method=valley, window=window, seed=seed))  # one table comes again
        for number, convention in enumerate(conventions):
            draws, front = None, None
            try:
                if method == "isoflop":
                    front, message = valleys(convention.runs, conventions[0].runs, optima)
                else:
                    front, message = of_law(laws[number], convention)
                    draws = laws[number].exponents(front.cost.p, resamples, seed)
            except ValueError as error:
                message = str(error)
            if number == 0 and front is not None:
                first = (front, draws)
            moved, word = compare_with(first, convention, front, draws, number)
            entries.append(Entry(convention, method, front, moved, word, message))
    return entries


def compare_with(first, convention: Convention, front, draws, number: int) -> tuple[Band, str]:
    """How far a frontier's exponent lies from the first row's, and whether the two agree."""
    if front is None or first is None:
        return NONE, "none"
    if number == 0:
        return Band(0.0, np.nan, np.nan), "first"
    gap = front.params_exponent.value - first[0].params_exponent.value
    both = draws is not None and first[1] is not None
    # a table split by a column holds other rows under each value: no pairs to compare
    paired = both and len(draws) == len(first[1]) and front.runs == first[0].runs and convention.flops
    moved = Band.from_draws(gap, draws - first[1] if paired else None)
    return moved, compare_bands(front.params_exponent, first[0].params_exponent)


@dataclass
class Made:
    """A fit with its intervals, its exponent under every cost that it is asked for, and its resamples once
    they were asked for: where only C is counted otherwise all stay as they are."""

    fitted: Fit
    costs: list[Cost] = field(default_factory=list)
    resampled: Fit | None = None

    @cached_property
    def growth(self) -> dict[Cost, Band]:
        return dict(zip(self.costs, growths(self.fitted, self.costs), strict=True))

    def exponents(self, p: float, resamples: int, seed: int) -> Array | None:
        """The params exponent of every resample (S,); None for a fit without intervals."""
        if self.fitted.intervals == "none":
            return None
        if self.resampled is None:
            drawn = self.fitted.draws is not None
            self.resampled = self.fitted if drawn else resample(self.fitted, resamples, seed)
        return self.resampled.law_draws().exponents(p)[0][:, 0]


def fit_laws(conventions, known: Fit | None, objective, delta, add_intervals) -> list[Made | ValueError]:
    """The Chinchilla fit of each convention, or why there is none."""
    fits, laws = [Made(known)] if known else [], []
    for convention in conventions:
        try:
            made = fit_once(convention.runs, fits, objective, delta, add_intervals)
            made.costs.append(fit_cost(convention.runs))
            laws.append(made)
        except ValueError as error:
            laws.append(error)
    return laws


def of_law(made: Made | ValueError, convention: Convention) -> tuple[Frontier, str]:
    """Approach 3 under a recount, and what to know of it; an error is raised."""
    if isinstance(made, ValueError):
        raise made
    cost, fitted = fit_cost(convention.runs), replace(made.fitted, runs=convention.runs.usable())
    front = from_fit(fitted, cost, fitted.runs.flops[:0], made.growth[cost])
    if cost.deviation < OFF:
        return front, front.message
    off = f"flops/tokens is no power of N by this count: off by {100 * cost.deviation:.0f} %"
    return front, f"{front.message}; {off}"


def fit_once(runs: Runs, fits: list[Made], objective, delta, add_intervals) -> Made:
    """The Chinchilla fit; one made before where only C is counted differently."""
    used = runs.usable()
    for made in fits:
        both = [(table.rows, table.params, table.tokens) for table in (made.fitted.runs, used)]
        if all(map(np.array_equal, *both)):
            return made
    fits.append(Made(add_intervals(fit(Chinchilla, runs, objective=objective, delta=delta))))
    return fits[-1]


def valleys(runs: Runs, own: Runs, optima: Callable[..., Isoflop]) -> tuple[Frontier, str]:
    """Approach 2 under a recount, and what to know of it.

    A budget's runs keep their place while their flops differ by less than 10 %. Otherwise the loss
    of each size is interpolated, along its runs at several budgets, to new budgets of equal flops.
    """
    spread = 1.0 if runs is own else budget_spread(runs)
    if spread <= LEVEL:
        front = from_isoflop(optima(runs), fit_cost(runs))
        return front, front.message
    measured = optima(own)
    words = f"flops of one budget differ by a factor {spread:.3g} by this count"
    try:
        grid = interpolate_budgets(runs, len(measured.valleys))
    except ValueError as error:
        raise ValueError(
            f"{words}, and there are too few sizes at two budgets or more to interpolate: {error}"
        ) from None
    front = from_isoflop(optima(grid, noise=measured.noise), fit_cost(runs))
    return front, f"{words}: each size's loss is interpolated to new budgets; {front.message}"


def budget_spread(runs: Runs) -> float:
    """The largest ratio of flops within a budget; 1 without budgets."""
    if not runs.has("budget"):
        return 1.0
    known = runs.select(np.isfinite(runs.budget))
    parts = [known.flops[known.budget == b] for b in np.unique(known.budget)]
    return max((float(part.max() / part.min()) for part in parts), default=1.0)


def interpolate_budgets(runs: Runs, budgets: int) -> Runs:
    """Rows of every size that reaches each of some new budgets, between its own runs."""
    used = runs.usable()
    curves = split_curves(used, np.array([str(row) for row in used.rows], object), 0.0)
    sizes = np.unique([curve.params for curve in curves])
    at = np.linspace(*common_span(curves, "final", runs.source), max(budgets, 3))
    heights, everyone = size_heights(curves, at), np.ones(len(curves), bool)
    loss, tokens = (heights(everyone, what) for what in ("log_loss", "log_tokens"))
    size, level = np.nonzero(np.isfinite(loss))
    return from_columns(
        runs.source,
        budget=np.exp(at[level]),
        params=sizes[size],
        flops=np.exp(at[level]),
        tokens=np.exp(tokens[size, level]),
        loss=np.exp(loss[size, level]),
    )


def summarize(entries: Sequence[Entry]) -> list[str]:
    """What the counting does to each approach's exponent, a sentence each; of exponents that are
    not to be trusted, only how many there are."""
    if len({id(entry.convention) for entry in entries}) < 2:
        return [
            "Only one counting of parameters and FLOPs can be made from this table, so nothing "
            f"could be compared. More come of columns {HIDDEN[0]}, {READOUT[0]} and {EMBED[0]}, of "
            "flops other than 6·N·D, or of a column whose values are countings (--convention COL)."
        ]
    methods = dict.fromkeys(entry.approach for entry in entries)
    return [describe_span([e for e in entries if e.approach == method], NAMES[method]) for method in methods]


def describe_span(entries: Sequence[Entry], name: str) -> str:
    """From where to where one approach's exponent runs, in a sentence."""
    rows = [e for e in entries if e.frontier and e.frontier.status in ("ok", "flat", "edge")]
    rows = [e for e in rows if np.isfinite(e.exponent.value)]
    left = len(entries) - len(rows)
    note = f" ({left} of {len(entries)} not to be trusted: see its status)" if left else ""
    if len(rows) < 2:
        return f"By {name}: fewer than two exponents to compare{note}."
    low, high = (end(rows, key=lambda entry: entry.exponent.value) for end in (min, max))
    a, b = low.exponent.value, high.exponent.value
    text = f"By {name}, a runs from {a:.3f} ({low.convention}) to {b:.3f} ({high.convention})"
    first = entries[0].exponent
    width = first.high - first.low
    if entries[0] in rows and np.isfinite(width) and width > 0:
        text += f", {(b - a) / width:.2g} times the width of the first row's 95 % interval"
    return f"{text}{note}."
