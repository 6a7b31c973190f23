"""The runs of two arms side by side: the budgets both have, which runs pair, and what each FLOP costs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.decisions.arms import SPARE, ByCompute, ByCounts, Rows
from analysis.frontiers import Cost, fit_cost
from analysis.laws import Array
from analysis.tables import Runs
from analysis.tables.headers import SEEDS, find_all

GAP = 0.1  # in ln flops: a step beyond it parts two budgets
MATCH = 0.25  # in ln flops: budgets of the arms that are one design
ALIKE = 0.1  # in ln params + ln tokens: runs of one size and length
EQUAL = 0.01  # share by which budgets may differ and be called equal
CURVES = {6: 3, 4: 2}  # from so many budgets on, the degree of a curve through their best runs
MOST = 8  # budgets shown
SECONDS = ("seconds", "wall_seconds", "runtime", "train_seconds")  # columns of what a run took
CELLS = 5  # of params and tokens, as many as E, A, B, alpha and beta are
UNSTEADY = 2  # times apart, at most, that the speeds of equal runs are
RAY = 0.05  # scatter of ln tokens about a ray of ln params below which their effects can't be told apart


@dataclass(frozen=True, eq=False)
class Ladders:
    """The usable runs of (baseline, arm). `budgets` (K,) are FLOPs of the arm that both have, `top` the
    smaller of their largest runs, `speed` the arm's FLOP/s over the baseline's (None: not told,
    or unsteady)."""

    names: tuple[str, str]
    runs: tuple[Runs, Runs]
    budgets: Array
    top: float
    costs: tuple[Cost | None, Cost | None]
    speed: float | None
    notes: list[str]


def join(base: Runs, arm: Runs, names: tuple[str, str]) -> Ladders:
    """Both arms' usable runs, with what they share.

    Raises:
      ValueError: an arm without runs or without compute.
    """
    both = tuple(each.usable() for each in (base, arm))
    for name, runs in zip(names, both, strict=True):
        if not len(runs):
            raise ValueError(f"{runs.source}: {name} has no usable run")
        runs.column("flops")  # says what is missing
    budgets, notes = common_budgets(*(each.flops for each in both))
    costs = tuple(fit_cost(each) if counted(each) else None for each in both)
    top = min(float(each.flops.max()) for each in both)
    pace, note = speed(both, names)
    return Ladders(names, both, budgets, top, costs, pace, [*notes, *[note] * bool(note)])


def counted(runs: Runs) -> bool:
    return runs.has("params") and runs.has("tokens")


def levels(flops: Array) -> Array:
    """The budgets (K,) that runs stand at, told from gaps."""
    ordered = np.sort(flops)
    parts = np.split(ordered, np.flatnonzero(np.diff(np.log(ordered)) > GAP) + 1)
    return np.array([np.exp(np.log(part).mean()) for part in parts])


def common_budgets(base: Array, arm: Array) -> tuple[Array, list[str]]:
    """The arm's budgets (K,) that the baseline has too, and how unequal they are."""
    low, high = max(base.min(), arm.min()), min(base.max(), arm.max())
    mine, its = levels(arm), levels(base)
    gaps = np.abs(np.log(mine[:, None] / its))
    near = gaps.min(1) < MATCH
    if not near.any():
        if low < high:
            note = "no budget is common: they are compared in between"
            return np.geomspace(low, high, 4), [f"{note}, from {low:.3g} to {high:.3g} FLOPs"]
        note = f"the arms share no compute: {base.min():.3g} to {base.max():.3g} FLOPs of the baseline, "
        return mine[-1:], [note + f"{arm.min():.3g} to {arm.max():.3g} of the arm: all is extrapolated"]
    off, notes = mine[near] / its[gaps.argmin(1)][near] - 1, []
    if np.abs(off).max() > EQUAL:
        notes.append(
            f"budgets are not equal: the arm's runs have {100 * off.min():+.1f} to {100 * off.max():+.1f} % "
            "of the baseline's FLOPs; corrected, as losses are compared at the FLOPs of each"
        )
    found = mine[near]
    return (found if len(found) <= MOST else np.geomspace(found[0], found[-1], MOST - 2)), notes


def speed(both: tuple[Runs, Runs], names: tuple[str, str]) -> tuple[float | None, str]:
    """FLOP/s of the arm over the baseline's (medians), where both tables hold tokens a second or seconds and
    runs of one size and arm have about one speed; and a note where they have not."""
    rates = []
    for name, runs in zip(names, both, strict=True):
        if runs.has("tokens_per_second") and runs.has("tokens"):
            seconds = runs.tokens / runs.column("tokens_per_second")
        else:
            column = next((n for n in SECONDS if runs.has(n)), "")
            if not column or runs.column(column).dtype == object:
                return None, ""
            seconds = runs.column(column)
        with np.errstate(all="ignore"):
            rate = runs.flops / seconds
        known = np.isfinite(rate) & (rate > 0)
        if not known.any():
            return None, ""
        if note := unsteady(name, runs.select(known), rate[known]):
            return None, note
        rates.append(float(np.median(rate[known])))
    return rates[1] / rates[0], ""


def unsteady(name: str, runs: Runs, rate: Array) -> str:
    """That runs of one size differ in FLOP/s (R,) beyond what a change of the model would; or ""."""
    sizes = runs.params if runs.has("params") else np.arange(len(rate))
    apart, slow, fast = max(
        (each.max() / each.min(), each.min(), each.max()) for each in (rate[sizes == n] for n in set(sizes))
    )
    if apart <= UNSTEADY:
        return ""
    return (
        f"no multiplier of time, which leaves those of compute as they are: runs of {name} of one size did "
        f"from {slow:.2g} to {fast:.2g} FLOP/s, by the machine (other work, other devices, compiling), not "
        "by the change; time both arms on an idle one"
    )


def not_by_counts(ladders: Ladders, fixed: Mapping[str, float]) -> str:
    """Why losses are no function of params and tokens here; or ""."""
    for name, runs in zip(ladders.names, ladders.runs, strict=True):
        if not counted(runs):
            return f"{name} has no params and tokens"
        n, d = np.log(runs.params), np.log(runs.tokens)
        if min(len(np.unique(np.round(each, 3))) for each in (n, d)) < 3:
            return f"{name} has fewer than 3 sizes or lengths"
        cells = len(np.unique(np.round([n, d], 2), axis=1).T)
        if cells < CELLS - len(fixed):
            return f"{name} has {cells} pairs of params and tokens, too few for a law of both"
        slope = np.polyfit(n, d, 1)
        if np.std(d - np.polyval(slope, n)) < RAY:
            return f"all runs of {name} have tokens ∝ params^{slope[0]:.2g}"
    runs = sum(map(len, ladders.runs))
    need = 7 - len(fixed) + SPARE
    return f"{runs} runs are fewer than the {need} that a law of params and tokens takes" * (runs < need)


def by_compute(ladders: Ladders) -> Rows:
    """The best size of each budget, with all its seeds, by compute alone."""
    kept = tuple(runs.select(best_rows(runs)) for runs in ladders.runs)
    return pooled(ByCompute, [np.log(runs.flops)[None] for runs in kept], kept)


def by_counts(ladders: Ladders, within: float = np.inf) -> tuple[Rows, Array]:
    """The runs by params and tokens whose log loss is at most `within` above the best of their budget; and
    which of them (R,) are the best size of theirs."""
    best = [best_rows(runs) for runs in ladders.runs]
    near = [above(runs) <= within for runs in ladders.runs]
    kept = tuple(runs.select(rows) for runs, rows in zip(ladders.runs, near, strict=True))
    rows = pooled(ByCounts, [np.log([runs.params, runs.tokens]) for runs in kept], kept)
    return rows, np.concatenate([b[n] for b, n in zip(best, near, strict=True)])


def above(runs: Runs) -> Array:
    """Log loss (R,) above the least at a compute or less, budgets taken as one compute."""
    order = np.argsort(runs.flops * (1 + GAP), kind="stable")
    at = np.searchsorted(runs.flops[order], runs.flops * (1 + GAP), side="right") - 1
    return np.log(runs.loss / np.minimum.accumulate(runs.loss[order])[at])


def best_rows(runs: Runs) -> Array:
    """Which rows (R,) are of the size that is best at their budget, with all their seeds."""
    if not counted(runs):
        return np.ones(len(runs), bool)
    at = np.abs(np.log(runs.flops[:, None] / levels(runs.flops))).argmin(1)
    keep = np.zeros(len(runs), bool)
    for level in np.unique(at):
        rows = np.flatnonzero(at == level)
        sizes = np.round(np.log(runs.params[rows]), 2)
        means = {size: np.log(runs.loss[rows][sizes == size]).mean() for size in np.unique(sizes)}
        keep[rows[sizes == min(means, key=means.get)]] = True
    return keep


def pooled(law, logs: list[Array], runs: tuple[Runs, ...]) -> Rows:
    arm = np.repeat([0.0, 1.0], [len(each) for each in runs])
    both = np.concatenate(logs, 1)
    centre = both.mean(1)
    pairs = match(logs, runs)
    pairs[1] += len(runs[0])
    loss = np.concatenate([each.loss for each in runs])
    return Rows(law, arm, both - centre[:, None], centre, loss, pairs)


def match(logs: list[Array], runs: tuple[Runs, ...]) -> Array:
    """Indices (2, K) of runs of equal size, length and, where both tables tell, seed."""
    gap = np.abs(logs[0][:, :, None] - logs[1][:, None, :]).sum(0)
    names = [name for name in find_all(runs[0].columns, SEEDS) if name in runs[1].columns]
    for name in names:
        a, b = (each.labels(name) for each in runs)
        gap = np.where(a[:, None] == b[None, :], gap, np.inf)
    found = []
    for i in np.argsort(gap.min(1)):
        j = int(gap[i].argmin())
        if gap[i, j] <= ALIKE:
            found.append((i, j))
            gap[:, j] = np.inf
    return np.array(found, int).reshape(-1, 2).T.copy()


def curves(ladders: Ladders) -> list[tuple[Array, Array, Array]] | None:
    """Of each arm, a smooth curve through the log loss of the best runs along ln FLOPs: (coefficients,
    ln FLOPs (R,) over `top`, residuals (R,)); None where an arm has too few budgets for one."""
    fits = []
    for runs in ladders.runs:
        kept = runs.select(best_rows(runs))
        x, y = np.log(kept.flops), np.log(kept.loss)
        degree = next((CURVES[least] for least in CURVES if len(levels(kept.flops)) >= least), 0)
        if not degree:
            return None
        middle = x - np.log(ladders.top)
        line = np.polyfit(middle, y, degree)
        fits.append((line, middle, y - np.polyval(line, middle)))
    return fits


def scatter(ladders: Ladders) -> tuple[float, int]:
    """Of log loss, between the best runs of budgets and smooth curves, and its degrees of freedom; (NaN, 0)
    where these are too few."""
    lines = curves(ladders)
    if lines is None:
        return np.nan, 0
    spare = sum(len(gap) - len(line) for line, _, gap in lines)
    repeats = sum(len(x) - len(levels(np.exp(x))) for _, x, _ in lines)  # tell the noise, not the curve
    return float(np.sqrt(sum((gap**2).sum() for *_, gap in lines) / spare)), spare - repeats


def interpolated(ladders: Ladders, flops: Array) -> Array:
    """κ (K,) by those curves; NaN beyond the runs."""
    lines = curves(ladders)
    if lines is None:
        return np.full(len(flops), np.nan)
    (base, x, _), (arm, its, _) = lines
    at = np.log(flops / ladders.top)
    span = np.linspace(x.min(), x.max(), 400)
    losses = np.minimum.accumulate(np.polyval(base, span))
    wanted = np.where((at < its.max() + 0.01) & (at > its.min() - 0.01), np.polyval(arm, at), np.nan)
    inside = (wanted <= losses[0]) & (wanted >= losses[-1])
    return np.exp(np.where(inside, np.interp(-wanted, -losses, span) - at, np.nan))
