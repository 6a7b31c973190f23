"""The convention ledger: the same runs under every counting of parameters and FLOPs.

What counts as N and as C moves the exponent of params ∝ flops^a more than most noise: embedding and
readout are most of a small model. Porian et al. 2024 (arXiv 2406.19146) and Pearce & Song 2024
(arXiv 2406.12907) trace much of the way from Kaplan's 0.73 to Hoffmann's 0.50 to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting import bootstrap
from analysis.fitting.band import Band
from analysis.fitting.fit import Fit, fit
from analysis.frontiers import costs, envelope, frontier, isoflop
from analysis.frontiers.frontier import Frontier
from analysis.laws import Array, Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs

HIDDEN = ("params_hidden", "params_non_embedding", "non_embedding_params")
READOUT = ("params_readout", "params_head", "params_lm_head")
EMBED = ("params_embed", "params_embedding")
SHAPE = ("n_layer", "d_model", "seq_len")
SAME = 0.01  # countings this close in every row are one
OFF = 0.05  # deviation of a cost function from its flops that is worth a word
LEVEL = 1.1  # flops of one budget may differ by this factor, else sizes are interpolated to it
NAMES = {"isoflop": "approach 2 (isoFLOP)", "fit": "approach 3 (fitted law)"}
NONE = Band(np.nan, np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Convention:
    """A counting: what N and C are, and the runs so counted. `flops` is "" where a column's value
    names both."""

    params: str
    flops: str
    runs: Runs

    def __str__(self) -> str:
        return f"N = {self.params}, C = {self.flops}" if self.flops else self.params


@dataclass(frozen=True, eq=False)
class Entry:
    """One approach under one convention. `moved` is its params exponent minus that of the same
    approach in the first row; of fits to the same rows, with a paired bootstrap's interval.
    `verdict` is `frontier.compare` with that row; `frontier` is None where none could be made."""

    convention: Convention
    approach: str  # isoflop | fit
    frontier: Frontier | None
    moved: Band
    verdict: str
    message: str

    @property
    def exponent(self) -> Band:
        return self.frontier.params_exponent if self.frontier else NONE


def by_columns(runs: Runs) -> list[Convention]:
    """The countings that a table's columns allow; the table's own first.

    N: the table's params; hidden; hidden + readout; and these + embedding. C with each: the table's
    flops, and 6·N·D; with the table's N also its flops without attention, where the shape is there
    (3 · 4 · n_layer · d_model · (seq_len + 1)/2 a token, causal). Countings that lie within 1 % of
    one before in every row are not repeated.
    """
    used = runs.usable()
    out: list[Convention] = []
    for i, (name, params) in enumerate(counts(used).items()):
        choices = {"table's flops": used.flops, "6·N·D": 6 * params * used.tokens}
        if i == 0 and (bare := without_attention(used)) is not None:
            choices["table's without attention"] = bare
        for words, flops in choices.items():
            if any(close(c.runs.params, params) and close(c.runs.flops, flops) for c in out):
                continue
            recounted = used.with_column("params", params, name) if i else used
            if words != "table's flops":
                recounted = recounted.with_column("flops", flops, words.replace("N", name))
            out.append(Convention(name, words, recounted))
    return out


def counts(runs: Runs) -> dict[str, Array]:
    """Name -> params (R,) of each counting, the table's first."""
    hidden, readout, embed = (first_of(runs, names) for names in (HIDDEN, READOUT, EMBED))
    named = {}
    if hidden is not None:
        named["hidden"] = hidden
        if readout is not None:
            named["hidden + readout"] = hidden + readout
        if embed is not None:
            base = hidden if readout is None else hidden + readout
            name = "hidden + embedding" if readout is None else "hidden + readout + embedding"
            named[name] = base + embed
    named = {name: n for name, n in named.items() if (np.isfinite(n) & (n > 0)).all()}
    own = next((name for name, n in named.items() if close(n, runs.params)), "table's params")
    return {own: runs.params} | {name: n for name, n in named.items() if name != own}


def first_of(runs: Runs, names: Sequence[str]) -> Array | None:
    found = next((name for name in names if name in runs.columns), None)
    if found is None or runs.columns[found].dtype == object:
        return None
    return runs.columns[found]


def without_attention(runs: Runs) -> Array | None:
    """Flops less those of causal attention scores and values; None without the model's shape."""
    if not all(name in runs.columns and runs.columns[name].dtype != object for name in SHAPE):
        return None
    layers, width, length = (runs.columns[name] for name in SHAPE)
    flops = runs.flops - 3 * 4 * layers * width * (length + 1) / 2 * runs.tokens
    return flops if (flops > 0.2 * runs.flops).all() else None


def close(a: Array, b: Array) -> bool:
    return bool(np.abs(a / b - 1).max() < SAME)


def by_value(runs: Runs, column: str) -> list[Convention]:
    """One convention a value of a column, in order of first appearance: tables that hold the same
    study counted in several ways."""
    return [Convention(value, "", part) for value, part in runs.by(column).items()]


def refit(
    conventions: Sequence[Convention],
    *,
    methods: Sequence[str] = ("isoflop", "fit"),
    valley: str = "interpolate",
    window: float = 1.0,
    objective: str = "huber-log",
    delta: float = 1e-3,
    intervals: Callable[[Fit], Fit] = bootstrap.intervals,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Entry]:
    """Every approach under every convention, in their order, approach by approach.

    Args:
      conventions: from `by_columns` or `by_value`.
      methods: isoflop (approach 2) and fit (approach 3).
      valley, window: of approach 2.
      objective, delta: of approach 3.
      intervals: gives a fit its intervals.
      resamples, seed: of the pairs bootstrap that `moved` comes from where `intervals` resamples
        nothing. Equal seeds draw equal rows, so exponents are compared resample by resample.
    """
    out: list[Entry] = []
    for method in methods:
        first: tuple[Frontier, Array | None] | None = None
        fits: list[Fit] = []
        for number, each in enumerate(conventions):
            drawn, front = None, None
            try:
                if method == "isoflop":
                    front, message = valleys(each.runs, conventions[0].runs, valley, window, seed)
                else:
                    fitted = parametric(each.runs, fits, objective, delta, intervals)
                    front = frontier.from_fit(fitted, costs.of(each.runs))
                    message = off_cost(front)
                    drawn = exponents(fitted, front.cost.p, resamples, seed)
            except ValueError as error:
                message = str(error)
            if number == 0 and front is not None:
                first = (front, drawn)
            out.append(entry(each, method, front, drawn, first, message, number))
    return out


def entry(each: Convention, method: str, front, drawn, first, message: str, number: int) -> Entry:
    """How far a frontier's exponent lies from the first row's."""
    if front is None or first is None:
        return Entry(each, method, front, NONE, "none", message)
    if number == 0:
        return Entry(each, method, front, Band(0.0, np.nan, np.nan), "first", message)
    gap = front.params_exponent.value - first[0].params_exponent.value
    both = drawn is not None and first[1] is not None
    # a table split by a column holds other rows under each value: no pairs to compare
    paired = both and len(drawn) == len(first[1]) and front.runs == first[0].runs and each.flops
    moved = Band.of(gap, drawn - first[1] if paired else None)
    verdict = frontier.compare(front.params_exponent, first[0].params_exponent)
    return Entry(each, method, front, moved, verdict, message)


def parametric(runs: Runs, fits: list[Fit], objective, delta, intervals) -> Fit:
    """The Chinchilla fit; one made before where only C is counted differently."""
    for made in fits:
        both = [(one.rows, one.params, one.tokens) for one in (made.runs, runs.usable())]
        if all(map(np.array_equal, *both)):
            return replace(made, runs=runs.usable())
    fits.append(intervals(fit(Chinchilla, runs, objective=objective, delta=delta)))
    return fits[-1]


def exponents(fitted: Fit, p: float, resamples: int, seed: int) -> Array | None:
    """The params exponent of every resample (S,); None for a fit without intervals."""
    if fitted.intervals == "none":
        return None
    if fitted.draws is None:
        fitted = bootstrap.pairs(fitted, resamples, seed)
    return fitted.law_draws().exponents(p)[0][:, 0]


def off_cost(front: Frontier) -> str:
    """A fit's message, and whether its cost function is far from the flops it stands for."""
    off = front.cost.deviation
    if off < OFF:
        return front.message
    return f"{front.message}; flops/tokens is no power of N by this count: off by {100 * off:.0f} %"


def valleys(runs: Runs, own: Runs, method: str, window: float, seed: int) -> tuple[Frontier, str]:
    """Approach 2 under a recount, and what to know of it.

    A budget's runs keep their place while their flops differ by less than 10 %. Otherwise the loss
    of each size is interpolated, along its runs at several budgets, to new budgets of equal flops.
    """
    keys = {"method": method, "window": window, "seed": seed}
    spread = 1.0 if runs is own else unequal(runs)
    if spread <= LEVEL:
        front = frontier.from_isoflop(isoflop.optima(runs, **keys), costs.of(runs))
        return front, front.message
    measured = isoflop.optima(own, **keys)
    known = (measured.sigma, measured.freedom, measured.sigma_source)
    try:
        grid = interpolated(runs, len(measured.profiles))
    except ValueError as error:
        raise ValueError(
            f"flops of one budget differ by a factor {spread:.3g} by this count, and there are too "
            f"few sizes at two budgets or more to interpolate: {error}"
        ) from None
    front = frontier.from_isoflop(isoflop.optima(grid, known=known, **keys), costs.of(runs))
    return front, (
        f"flops of one budget differ by a factor {spread:.3g} by this count: each size's loss is "
        f"interpolated to new budgets; {front.message}"
    )


def unequal(runs: Runs) -> float:
    """The largest ratio of flops within a budget; 1 without budgets."""
    if not runs.has("budget"):
        return 1.0
    known = runs.select(np.isfinite(runs.budget))
    parts = [known.flops[known.budget == b] for b in np.unique(known.budget)]
    return max((float(part.max() / part.min()) for part in parts), default=1.0)


def interpolated(runs: Runs, budgets: int) -> Runs:
    """Rows of every size that reaches each of some new budgets, between its own runs."""
    used = runs.usable()
    lines = envelope.split(used, np.array([str(row) for row in used.rows], object), 0.0)
    sizes, which = np.unique([line.params for line in lines], return_inverse=True)
    at = np.linspace(*envelope.reach(lines, which, "final", runs.source), max(budgets, 3))
    heights, everyone = envelope.by_size(lines, which, at), np.ones(len(lines), bool)
    loss, tokens = (heights(everyone, what) for what in ("log_loss", "log_tokens"))
    size, level = np.nonzero(np.isfinite(loss))
    flops = np.exp(at[level])
    return table.from_columns(
        runs.source,
        budget=flops,
        params=sizes[size],
        flops=flops,
        tokens=np.exp(tokens[size, level]),
        loss=np.exp(loss[size, level]),
    )


def summary(entries: Sequence[Entry]) -> list[str]:
    """What the counting does to each approach's exponent, a sentence each; of exponents that are
    not to be trusted, only how many there are."""
    if len({id(e.convention) for e in entries}) < 2:
        return [
            "Only one counting of parameters and FLOPs can be made from this table, so nothing "
            f"could be compared. More come of columns {HIDDEN[0]}, {READOUT[0]} and {EMBED[0]}, of "
            "flops other than 6·N·D, or of a column whose values are countings (--convention COL)."
        ]
    said = []
    for method in dict.fromkeys(e.approach for e in entries):
        every = [e for e in entries if e.approach == method]
        rows = [e for e in every if e.frontier and e.frontier.status in ("ok", "flat", "edge")]
        rows = [e for e in rows if np.isfinite(e.exponent.value)]
        left = f" ({len(every) - len(rows)} of {len(every)} not to be trusted: see its status)"
        left = left if len(rows) < len(every) else ""
        if len(rows) < 2:
            said.append(f"By {NAMES[method]}: fewer than two exponents to compare{left}.")
            continue
        low, high = (f(rows, key=lambda e: e.exponent.value) for f in (min, max))
        a, b = low.exponent.value, high.exponent.value
        text = f"By {NAMES[method]}, a runs from {a:.3f} ({low.convention}) to {b:.3f} "
        text += f"({high.convention})"
        width = rows[0].exponent.high - rows[0].exponent.low
        if np.isfinite(width) and width > 0 and rows[0] is every[0]:
            text += f", {(b - a) / width:.2g} times the width of the first row's 95 % interval"
        said.append(text + left + ".")
    return said
