"""The compute-optimal frontier: params, tokens and loss against compute, under one stated cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.fitting.band import Band, scalar
from analysis.fitting.fit import Fit
from analysis.frontiers import bias, costs, lines
from analysis.frontiers import envelope as envelopes
from analysis.frontiers.bias import BiasCheck
from analysis.frontiers.costs import Cost
from analysis.frontiers.envelope import Envelope
from analysis.frontiers.isoflop import Isoflop
from analysis.laws import Array, Chinchilla, Law
from analysis.tables.runs import Runs


@dataclass(frozen=True, eq=False)
class Frontier:
    """Optimal params, tokens and loss (Bands of (K,)) at `flops` (K,), and how they grow.

    params ∝ flops^a and tokens ∝ flops^b, with a = `params_exponent`, b = `tokens_exponent`.
    `at` extrapolates by the same method to other budgets.
    """

    method: str
    convention: str
    cost: Cost
    flops: Array
    params: Band
    tokens: Band
    loss: Band
    point_status: tuple[str, ...]
    params_exponent: Band
    tokens_exponent: Band
    status: str
    message: str
    runs: int
    extend: Callable[[Array], tuple[Band, Band, Band]]
    loss_note: str = ""  # how loss is extrapolated
    bias_check: BiasCheck | None = None  # approach 2 only
    cautions: tuple[str, ...] = ()  # what looks wrong in the table it is from

    def at(self, flops: Array) -> tuple[Band, Band, Band]:
        """(params, tokens, loss) at any budgets (K,), with 95 % intervals."""
        flops = np.atleast_1d(np.asarray(flops, float))
        if not (np.isfinite(flops).all() and (flops > 0).all()):
            raise ValueError(f"a budget must be a positive number of FLOPs, not {flops}")
        return self.extend(flops)


def convention(runs: Runs) -> str:
    """What params, tokens, flops and loss mean in a table, in a sentence."""
    said = [note for note in runs.notes if "=" in note or "flops/" in note]
    return "; ".join([f"loss in {runs.loss_unit}", *said])


def from_fit(fitted: Fit, cost: Cost | None = None, flops: Array | None = None) -> Frontier:
    """Approach 3: the closed optimum of a fitted `Chinchilla` law along the cost function.

    Intervals are the fit's own (`Fit.band`). `flops` defaults to the table's own budgets, or a
    span of its compute; `cost` to the table's.

    Raises:
      ValueError: the law has no closed optimum.
    """
    law, runs = fitted.law, fitted.runs
    if not isinstance(law, Chinchilla):
        raise ValueError(f"{type(law).__name__} has no optimum along a budget; fit Chinchilla")
    cost = cost or costs.of(runs)
    if flops is None:
        flops = budgets_of(runs)

    flops = np.asarray(flops, float)

    def optimum(found: Law, budgets: Array) -> Array:
        params, tokens = found.optimum(budgets, cost.k, cost.p)
        return np.concatenate([np.log(params), found.loss(params, tokens)], -1)

    known: dict[bytes, tuple[Band, Band, Band]] = {}  # profiles take seconds; a page asks again

    def extend(budgets: Array) -> tuple[Band, Band, Band]:
        if (key := budgets.tobytes()) not in known:
            known[key] = made(budgets)
        return known[key]

    def made(budgets: Array) -> tuple[Band, Band, Band]:
        params, tokens = law.optimum(budgets, cost.k, cost.p)
        low, high = (np.split(end, 2) for end in fitted.band(lambda one: optimum(one, budgets)))
        small, large = np.exp(low[0]), np.exp(high[0])
        return (
            Band.around(params, small, large),
            Band.around(tokens, cost.tokens(large, budgets), cost.tokens(small, budgets)),
            Band.around(law.loss(params, tokens), low[1], high[1]),
        )

    params, tokens, loss = extend(flops)
    a, b = law.exponents(cost.p)
    (low,), (high,) = fitted.band(lambda one: np.atleast_1d(one.exponents(cost.p)[0]))
    return Frontier(
        method=f"fit of {type(law).__name__} ({fitted.objective.name})",
        convention=convention(runs),
        cost=cost,
        flops=flops,
        params=params,
        tokens=tokens,
        loss=loss,
        point_status=(fitted.status,) * len(flops),
        params_exponent=scalar(Band.around(a, low, high)),
        tokens_exponent=scalar(Band.around(b, 1 - cost.p * high, 1 - cost.p * low)),
        status=fitted.status,
        message=fitted.message,
        runs=len(runs),
        extend=extend,
        loss_note="the fitted law",
        cautions=tuple(runs.cautions),
    )


def budgets_of(runs: Runs) -> Array:
    """The table's budgets (mean achieved flops of each), or seven spread over its compute."""
    if runs.has("budget") and (runs.budget > 0).any():
        known = [runs.budget == b for b in np.unique(runs.budget[runs.budget > 0])]
        if len(known) <= 30:
            return np.array([np.exp(np.log(runs.flops[rows]).mean()) for rows in known])
    return np.geomspace(runs.flops.min(), runs.flops.max(), 7)


def from_isoflop(iso: Isoflop, cost: Cost | None = None, fitted: Fit | None = None) -> Frontier:
    """Approach 2: straight lines through the optima of an `Isoflop`, in logarithms.

    Points at an edge or with too few sizes are shown and left out of the lines. The interval of an
    exponent is that of lines through noisy repeats, widened by how much the optima scatter about
    the line beyond that noise, and covers the exponent by the other method. `bias_check` says what
    the same method and budgets would give without noise where `fitted`, the Chinchilla fit to the
    same rows (made here when not given), is the truth.
    """
    cost = cost or costs.of(iso.runs)
    profiles = iso.profiles
    good = np.array([p.status in ("ok", "flat") for p in profiles])
    status, message = judge(iso, good)
    flops = np.array([p.flops for p in profiles])
    params = Band(*(np.array([getattr(p, n) for p in profiles]) for n in ("params", "low", "high")))
    loss = Band(*(np.array([getattr(p, n) for p in profiles]) for n in ("loss", "loss_low", "loss_high")))
    tokens = Band(
        np.array([p.tokens for p in profiles]),
        np.array([tokens_at(p, p.high) for p in profiles]),
        np.array([tokens_at(p, p.low) for p in profiles]),
    )
    quiet = not np.isfinite(iso.sigma)
    if quiet:
        nan = np.full(len(profiles), np.nan)
        params, tokens, loss = (Band(b.value, nan, nan) for b in (params, tokens, loss))
    nothing = Band(np.nan, np.nan, np.nan)
    a = b = nothing
    extend = None
    if good.sum() >= 2:
        kept = [p for p, g in zip(profiles, good, strict=True) if g]
        line = lines.through(
            flops[good], params.value[good], np.array([p.draws for p in kept]), iso.other_params[good]
        )
        losses = lines.losses_through(flops[good], loss.value[good], np.array([p.loss_draws for p in kept]).T)
        a, b, extend = lines.extend(
            line, flops[good], tokens.value[good], losses, cost, noisy=not quiet and iso.sigma > 0
        )
    return Frontier(
        method=f"isoflop, {iso.method}",
        convention=convention(iso.runs),
        cost=cost,
        flops=flops,
        params=params,
        tokens=tokens,
        loss=loss,
        point_status=tuple(p.status for p in profiles),
        params_exponent=a,
        tokens_exponent=b,
        status=status,
        message=message,
        runs=len(iso.runs.usable()),
        extend=extend or lines.nowhere,
        loss_note=lines.loss_note(int(good.sum())),
        bias_check=bias.check(iso, cost, good, fitted),
        cautions=tuple(iso.runs.cautions),
    )


def tokens_at(profile, params: float) -> float:
    return float(profile.flops / np.exp(np.interp(np.log(params), *profile.cost_line)))


def judge(iso: Isoflop, good: Array) -> tuple[str, str]:
    """Status and message of a whole isoFLOP frontier."""
    left_out = [f"{p.budget:.3g} ({p.status})" for p in iso.profiles if p.status not in ("ok", "flat")]
    flat = [f"{p.budget:.3g}" for p in iso.profiles if p.status == "flat"]
    said = f"{good.sum()} of {len(good)} budgets have their minimum inside"
    if left_out:
        said += f"; left out of the exponents: {', '.join(left_out)}"
    if flat:
        said += f"; valley not clear of the noise: {', '.join(flat)}"
    if good.sum() < 2:
        worst = [p for p in iso.profiles if p.status not in ("ok", "flat")]
        return (worst[0].status if worst else "few"), f"{said}; an exponent needs two"
    if good.sum() < 3:
        return "few", f"{said}; with two, nothing checks the straight line"
    if len(flat) > good.sum() / 2:
        return "flat", said
    return "ok", said


def from_envelope(found: Envelope, cost: Cost | None = None) -> Frontier:
    """Approach 1: straight lines through the points of an `Envelope` that are not at an edge.

    Intervals are those of runs drawn with replacement. `status` is unidentified where the points
    are from the middle of decaying schedules, which is no sample of D at all; few with fewer than
    four sizes on the envelope, since a staircase of m steps flattens the slope by up to 1/m².
    """
    cost = cost or costs.of(found.source)
    good = np.array(found.status) == "ok"
    status, message = envelopes.judge(found, good)
    noisy = found.draws is not None
    drawn, levels = found.draws[:2] if noisy else (None, None)
    tokens = Band.of(found.tokens, None)
    params = Band.of(found.params, drawn)
    if noisy:
        ends = (found.tokens * (found.params / end) ** cost.p for end in (params.high, params.low))
        tokens = Band(found.tokens, *ends)
    a = b = Band(np.nan, np.nan, np.nan)
    extend = lines.nowhere
    if len(np.unique(found.params[good])) >= 2:
        seen = levels[:, good] if noisy else np.full((1, int(good.sum())), np.nan)
        losses = lines.losses_through(found.flops[good], found.loss[good], seen)
        line = envelopes.line_through(found)
        a, b, extend = lines.extend(line, found.flops[good], found.tokens[good], losses, cost, noisy)
    return Frontier(
        method=f"envelope of {'curves' if found.points == 'all' else 'final points'}",
        convention=convention(found.source),
        cost=cost,
        flops=found.flops,
        params=params,
        tokens=tokens,
        loss=Band.of(found.loss, levels),
        point_status=found.status,
        params_exponent=a,
        tokens_exponent=b,
        status=status,
        message=message,
        runs=len(found.curves),
        extend=extend,
        loss_note=lines.loss_note(int(good.sum())),
        cautions=tuple(found.source.cautions),
    )


def agree(first: Frontier, second: Frontier) -> str:
    """Whether two frontiers' exponents agree within their intervals, as a sentence."""
    word = verdict(first, second)
    a, b = first.params_exponent, second.params_exponent
    gap = f"params ∝ FLOPs^a: a = {a} by {first.method}, a = {b} by {second.method}"
    return {
        "none": "One of the two methods has no exponent, so they cannot be compared.",
        "costs": f"Not comparable: the two minimise under different costs. {gap}.",
        "bare": f"{gap}; they differ by {abs(a.value - b.value):.3f}, and one has no interval.",
        "agree": f"The two methods agree: each exponent lies inside the other's 95 % interval. {gap}.",
        "in part": f"The two methods agree in part: their 95 % intervals overlap. {gap}.",
        "disagree": f"The two methods DISAGREE: their 95 % intervals do not overlap. {gap}.",
    }[word]


def verdict(first: Frontier, second: Frontier) -> str:
    """`compare` of their params exponents; or costs, where these differ."""
    a, b = first.params_exponent, second.params_exponent
    return "costs" if first.cost != second.cost and compare(a, b) != "none" else compare(a, b)


def compare(a: Band, b: Band) -> str:
    """agree (each inside the other's 95 % interval), in part (these overlap) or disagree; bare
    where one has no interval, none where one has no value."""
    if not np.isfinite([a.value, b.value]).all():
        return "none"
    if not np.isfinite([a.low, b.low]).all():
        return "bare"
    if a.low <= b.value <= a.high and b.low <= a.value <= b.high:
        return "agree"
    return "in part" if a.low <= b.high and b.low <= a.high else "disagree"


def agreement(fronts: Sequence[Frontier]) -> list[str]:
    """`agree` of two frontiers; of three and more, how many pairs agree, which those are where not
    all do the same, and the exponents, each said once."""
    pairs = list(combinations(fronts, 2))
    if len(pairs) < 2:
        return [agree(*pair) for pair in pairs]
    words = [verdict(*pair) for pair in pairs]
    kinds = [key for key in VERDICTS if key in words]
    counts = ", ".join(f"{words.count(key)} {VERDICTS[key]}" for key in kinds)
    said = [f"{len(pairs)} pairs of methods: {counts}."]
    for key in kinds if len(kinds) > 1 else ():
        named = "; ".join(
            f"{one.method} with {other.method}"
            for (one, other), word in zip(pairs, words, strict=True)
            if word == key
        )
        said.append(f"{VERDICTS[key][0].upper()}{VERDICTS[key][1:]}: {named}.")
    exponents = ", ".join(f"{front.params_exponent} by {front.method}" for front in fronts)
    return [*said, f"params ∝ FLOPs^a: a = {exponents}."]


VERDICTS = {
    "agree": "agree",
    "in part": "agree in part",
    "disagree": "DISAGREE",
    "bare": "have no interval to compare",
    "none": "lack an exponent",
    "costs": "are under different costs",
}
