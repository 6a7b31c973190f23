"""How many times the compute a baseline needs for an arm's loss, and how that changes with scale.

κ(C) is where L_base(κ·C) = L_arm(C), each L the least loss at a compute. Both arms are fitted together
(`arms`): with all but their scales shared, with exponents of their own, and with floors of their own, and
each step is taken where the data show it. Intervals are those of exponents of their own even where none
are shown, so that a drift too small to be seen lies within.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from analysis.decisions.arms import SPARE, ArmsFit, Rows, beyond, draw
from analysis.decisions.forms import check, choose_rows, fit_models
from analysis.decisions.ladders import Ladders, interpolated
from analysis.decisions.multiples import frontier_loss, log_multiple, log_multiple_draws, outside, sides
from analysis.fitting import Band
from analysis.laws import Array

SEEN = 0.05  # p below which arms differ in what they might share
SURE = 0.001  # p below which they do beyond doubt
FAR = 100.0  # times beyond the runs up to which a crossing is told


@dataclass(frozen=True, eq=False)
class Multiplier:
    """At `flops` of the arm: κ of compute, of tokens at equal params, of params at equal tokens, of time;
    None where the tables do not tell. `beyond` is flops over the smaller arm's largest run."""

    flops: float
    compute: Band
    loss: float
    baseline_loss: float
    beyond: float
    tokens: Band | None = None
    params: Band | None = None
    time: Band | None = None

    @property
    def extrapolated(self) -> bool:
        return self.beyond > 1.01


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """An arm against a baseline. `trend` is of κ per decade of compute, a factor; `trend_p` the chance of one
    as strong where there is none, None where runs are too few to tell. `models` holds κ at the largest common
    budget under each: shared, exponents, floors. `shared` says whether the arms share exponents and floor,
    `tests` the p of each."""

    arm: str
    baseline: str
    budgets: list[Multiplier]
    trend: Band
    trend_p: float | None
    shared: dict[str, bool]
    tests: dict[str, float | None]
    models: dict[str, Band]
    status: str
    message: str
    notes: list[str]
    crossing: Band | None
    smallest: float  # κ that this design would have seen four times of five
    seeds: float  # times this many runs would show the κ found
    noise: float  # of log loss, lack of fit included
    pairs: int
    level: float
    ladders: Ladders
    fit: ArmsFit = field(repr=False)
    draws: Array = field(repr=False)

    @property
    def answer(self) -> Multiplier:
        """At the largest budget that both arms have."""
        within = [each for each in self.budgets if not each.extrapolated]
        return (within or self.budgets)[-1]

    @property
    def headline(self) -> str:
        """The answer in a line."""
        kappa, at = self.answer.compute, f"at {self.answer.flops:.3g} FLOPs".replace("e+", "e")
        word = f"{self.arm} against {self.baseline}"
        if not np.isfinite(kappa.value):
            return f"{word}: no multiplier {at}: {self.message}"
        worth = f"worth {kappa.value:.3g} times the compute {interval(kappa)} {at}"
        if self.status in ("failed", "unidentified"):
            return f"NOT TO BE RELIED ON: {word}: {worth}: {self.message}"
        if kappa.low <= 1 <= kappa.high:
            return f"{word}: no difference seen; {worth}. This design sees {self.smallest:.3g} times or more"
        times = f"{kappa.value:.3g} times the compute of {self.baseline} {interval(kappa)}"
        return f"{self.arm} is worth {times} {at}, {trend_word(self)}"

    def __repr__(self) -> str:
        return "\n".join([self.headline, f"status {self.status}: {self.message}", *self.notes])


def trend_word(each: Comparison) -> str:
    if each.trend_p is None:
        return "taken as one number at all scales: too few runs to see a change"
    if each.trend_p >= 0.05:
        return f"and whether that changes with scale is open (p {tiny(each.trend_p)})"
    rises, ahead = each.trend.value > 1, each.answer.compute.value > 1
    word = ("growing" if rises else "shrinking") if ahead else ("catching up" if rises else "falling behind")
    return f"{word} with size (p {tiny(each.trend_p)})"


def interval(band: Band) -> str:
    return f"({number(band.low)} to {number(band.high)})"


def number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "no end"


def tiny(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def compare(
    ladders: Ladders,
    *,
    at: Sequence[float] = (),
    fixed: Mapping[str, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """κ at every common budget and at those of `at`.

    Args:
      ladders: both arms' runs (`ladders.join`).
      at: FLOPs, beyond the runs too.
      fixed: parameters held in both arms: E, alpha, beta.
      draws: of the parameters, behind each interval.
      level: of the intervals, 1 - .05/m for m arms against one baseline; of a look, as its rule says.

    Raises:
      ValueError: too few runs, named with what is missing; or an unknown parameter.
    """
    fixed = dict(fixed or {})
    rows, notes, misses = choose_rows(ladders, fixed)
    check(rows, ladders, fixed)
    models = fit_models(rows, fixed)
    drawn = {name: draw(model, draws, seed) for name, model in models.items()}
    tests = test_shared(rows, models, drawn)
    shared = {name: p is None or p > SEEN for name, p in tests.items()}
    wide, chosen, spread = choose_models(shared, models, drawn, tests)
    budgets = np.array(sorted({*ladders.budgets, *map(float, at)}))
    values = multipliers(ladders, models[chosen], models[wide], spread, budgets, level, misses)
    slope, p, crossing = trend(ladders, models[wide], spread, level)
    top = ladders.budgets[-1:]
    answer = next((each for each in values[::-1] if not each.extrapolated), values[-1]).compute
    seen = least_seen(answer, level)
    status, message = judge(models[wide], wide, rows, answer)
    if status == "ok" and (why := outside(models[chosen], ladders, top)):
        status, message = "edge", why
    return Comparison(
        arm=ladders.names[1],
        baseline=ladders.names[0],
        budgets=values,
        trend=slope,
        trend_p=p,
        shared=shared,
        tests=tests,
        models={name: kappa(model, drawn[name], ladders, top, level) for name, model in models.items()},
        status=status,
        message=message,
        notes=[*ladders.notes, *notes],
        crossing=crossing if p is not None and p < SEEN else None,
        smallest=float(np.exp(seen)),
        seeds=float(np.ceil((float(seen) / max(abs(float(np.log(answer.value))), 1e-9)) ** 2)),
        noise=models[wide].sigma,
        pairs=rows.pairs.shape[1] if rows.paired else 0,
        level=level,
        ladders=ladders,
        fit=models[chosen],
        draws=spread,
    )


def least_seen(kappa: Band, level: float) -> float:
    """log κ that such an interval leaves out 1 of, four times of five."""
    if not 0 < kappa.low < kappa.high < np.inf:
        return np.inf
    return (1 + 0.84 / norm.isf((1 - level) / 2)) * np.log(kappa.high / kappa.low) / 2


def choose_models(
    shared: Mapping[str, bool], models: Mapping, drawn: Mapping[str, Array], tests: Mapping
) -> tuple[str, str, Array]:
    """The model of the intervals, that of what is shown, and the draws (S, P) behind the intervals. Where
    floors are seen to differ but not beyond doubt, half of these are of floors that are shared: noise makes
    such a difference once in twenty times, and what is extrapolated goes with it."""
    wide = "floors" if not shared["floor"] else "exponents" if "exponents" in models else "shared"
    chosen, spread = "shared" if all(shared.values()) else wide, drawn[wide]
    if wide == "floors" and "exponents" in drawn and tests["floor"] >= SURE:
        spread = np.concatenate([spread, drawn["exponents"]])
    return wide, chosen, spread


def kappa(model: ArmsFit, draws: Array, ladders: Ladders, flops: Array, level: float) -> Band:
    """κ at budgets (K,) under one model."""
    return band(log_multiple(model, ladders, flops), log_multiple_draws(model, draws, ladders, flops), level)


def test_shared(rows: Rows, models: Mapping, drawn: Mapping) -> dict[str, float | None]:
    """The p of what arms might share, None where it could not be tested."""
    tests: dict[str, float | None] = {}
    for name, model, letters in (
        ("exponents", "exponents", rows.law.exponents),
        ("floor", "floors", ("dE",)),
    ):
        free = [letter for letter in letters if model in models and letter in models[model].names()]
        tests[name] = beyond(models[model].theta, drawn[model], free, rows.law) if free else None
    return tests


def band(value: Array, draws: Array, level: float) -> Band:
    """exp of log values (K,) with percentiles of draws (S, K), widened to hold them. Draws without a number
    count as open at both ends."""
    tail = (1 - level) / 2
    low, high = (
        np.quantile(np.nan_to_num(draws, nan=end, posinf=np.inf, neginf=-np.inf), q, axis=0, method=method)
        for end, q, method in ((-np.inf, tail, "lower"), (np.inf, 1 - tail, "higher"))
    )
    with np.errstate(over="ignore"):
        ends = np.exp(np.minimum(low, value)), np.exp(np.maximum(high, value)), np.exp(value)
    low, high, value = (end[0] if end.shape == (1,) else end for end in ends)
    return Band(value, low, high)


def multipliers(
    ladders: Ladders, chosen: ArmsFit, wide: ArmsFit, draws: Array, flops: Array, level: float, misses: bool
) -> list[Multiplier]:
    """One at each of `flops` (K,). Where the form `misses` the best runs, intervals are widened to hold what
    curves through these give."""
    compute = band(
        log_multiple(chosen, ladders, flops), log_multiple_draws(wide, draws, ladders, flops), level
    )
    if misses:
        also = interpolated(ladders, flops)
        compute = Band(compute.value, np.fmin(compute.low, also), np.fmax(compute.high, also))
    here, spread = (sides(wide, theta, ladders, flops) for theta in (chosen.theta[None], draws))
    parts = {name: band(here[name][0], spread[name], level) for name in here}
    losses = [frontier_loss(chosen, ladders, arm, flops) for arm in (0, 1)]
    pick = lambda each, k: Band(each.value[k], each.low[k], each.high[k])  # noqa: E731
    compute, *rest = [Band(*map(np.atleast_1d, (b.value, b.low, b.high))) for b in (compute, *parts.values())]
    out = []
    for k, c in enumerate(flops):
        some = {name: pick(each, k) for name, each in zip(parts, rest, strict=True)}
        kappa, time = pick(compute, k), ladders.speed
        if time is not None:
            some["time"] = Band(kappa.value * time, kappa.low * time, kappa.high * time)
        out.append(Multiplier(float(c), kappa, losses[1][k], losses[0][k], float(c / ladders.top), **some))
    return out


def trend(
    ladders: Ladders, model: ArmsFit, draws: Array, level: float
) -> tuple[Band, float | None, Band | None]:
    """(factor of κ per decade, its p, where the arms cross) under exponents of their own."""
    low, high = ladders.budgets[0], ladders.budgets[-1]
    ends = np.array([low, high]) if high > 1.5 * low else np.array([high / 10, high])
    decades = np.log10(ends[1] / ends[0])
    here, spread = (log_multiple_draws(model, t, ladders, ends) for t in (model.theta[None], draws))
    with np.errstate(all="ignore"):
        slope, slopes = ((e[:, 1] - e[:, 0]) / decades for e in (here, spread))
        where, others = (
            np.log(ends[1]) - e[:, 1] / s * np.log(10) for e, s in ((here, slope), (spread, slopes))
        )
    known = slopes[np.isfinite(slopes)]
    flat = not known.size or np.ptp(known) < 1e-12
    p = None if flat else float(min(1.0, 2 * min((known > 0).mean(), (known < 0).mean()) + 1 / len(known)))
    inside = np.log(low / FAR) < where[0] < np.log(high * FAR)
    crossing = band(where, others[:, None], level) if inside and not flat else None
    return band(slope, slopes[:, None], level), p, crossing


def judge(model: ArmsFit, name: str, rows: Rows, answer: Band) -> tuple[str, str]:
    """Status and message of what is printed."""
    if not np.isfinite(model.theta).all() or not np.isfinite(answer.value):
        return "failed", "the baseline never reaches the arm's loss, or no fit was found"
    if not (answer.low > 0 and np.isfinite(answer.high)):
        return (
            "unidentified",
            "the interval of the multiplier has an open end: more runs, or a floor (--fix E=)",
        )
    if name == "shared" and "dalpha" not in model.names():
        few = "too few runs to see whether the multiplier changes with scale: it is taken as one number"
        if model.spare < 2 * SPARE:
            return "few", few
    if model.spare < 2 * SPARE:
        return (
            "few",
            f"{len(rows.loss)} runs for {len(model.names())} coefficients: the form is hardly tested",
        )
    return "ok", f"{len(rows.loss)} runs, {model.spare} more than the fit has coefficients"
