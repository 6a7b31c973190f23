"""The compute-optimal frontier: params, tokens and loss against compute, under one stated cost."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from analysis.fitting.band import Band
from analysis.fitting.regression import Fit
from analysis.frontiers.bias import BiasCheck, check_bias
from analysis.frontiers.costs import Cost, fit_cost
from analysis.frontiers.envelope import Envelope, envelope_line, envelope_status
from analysis.frontiers.isoflop import Isoflop, left_out
from analysis.frontiers.lines import NO_FLOOR, Exponents, extrapolate, fit_line, no_line
from analysis.frontiers.optima import optimum_bands
from analysis.laws import Array, lacking
from analysis.tables.runs import Runs

KINDS = {"isoflop": "valleys", "fit": "the law"}


@dataclass(frozen=True, eq=False)
class Frontier:
    """Optimal params, tokens and loss (Bands of (K,)) at `flops` (K,), and how they grow.

    params ∝ flops^a and tokens ∝ flops^b, with a = `params_exponent`, b = `tokens_exponent`.
    `at` extrapolates by the same method to other budgets.
    """

    method: str
    convention: str
    unit: str  # of the loss, " nats/token"; "" where the table states none
    cost: Cost
    flops: Array
    params: Band
    tokens: Band
    loss: Band
    point_status: tuple[str, ...]
    exponents: Exponents
    status: str
    message: str
    runs: int
    check: Callable[[], BiasCheck] | None = None  # of the bias; approach 2 only
    cautions: tuple[str, ...] = ()  # what looks wrong in the table it is from
    ends: tuple[str, ...] = ()  # of valleys, which size is best at a point that is an edge (`Valley.end`)

    def __repr__(self) -> str:
        return (
            f"frontier by {self.method}, {self.runs} runs; {self.cost}\n"
            f"status {self.status}: {self.message}\n"
            f"params ∝ flops^a, a = {self.params_exponent}\ntokens ∝ flops^b, b = {self.tokens_exponent}"
        )

    @cached_property
    def bias_check(self) -> BiasCheck | None:
        """Made where it is asked for, as it takes a fit; None but for approach 2."""
        return self.check and self.check()

    kind = property(lambda self: KINDS.get(self.method.split()[0].rstrip(","), ""))  # in plain words
    params_exponent = property(lambda self: self.exponents.a)
    tokens_exponent = property(lambda self: self.exponents.b)
    loss_note = property(lambda self: self.exponents.loss_note)
    has_floor = property(lambda self: NO_FLOOR not in self.loss_note)  # of its loss beyond the budgets

    def at(self, flops: Array) -> tuple[Band, Band, Band]:
        """(params, tokens, loss) at any budgets (K,), with 95 % intervals.

        Raises:
          ValueError: a budget that is not positive, or too few optima to extrapolate from.
        """
        flops = np.atleast_1d(np.asarray(flops, float))
        if not (np.isfinite(flops).all() and (flops > 0).all()):
            raise ValueError(f"a budget must be a positive number of FLOPs, not {flops}")
        return self.exponents.extend(flops)


def convention(runs: Runs) -> str:
    """What params, tokens, flops and loss mean in a table, in a sentence."""
    stated = [note for note in runs.notes if "=" in note or "flops/" in note]
    measure = [f"{role} in {runs.loss_unit}" for role in ("y", "loss") if role in runs.roles][:1]
    return "; ".join([*measure, *stated]) or "the columns as they are"


def from_fit(
    fitted: Fit, cost: Cost | None = None, flops: Array | None = None, a: Band | None = None
) -> Frontier:
    """Approach 3: the closed optimum of a fitted law along the cost function.

    Of forms that "auto" weighed, params and tokens are the weighted means of all in logarithms, and intervals
    hold what they differ by.

    Args:
      fitted: of a law that has an `optimum`; intervals are the fit's own.
      cost: the table's when not given.
      flops: budgets (K,); by default the table's own, or seven spread over its compute.
      a: the exponent of params, where it is known (`optima.growths`).

    Raises:
      ValueError: the law lacks its optimum, or takes in more than params, tokens and flops.
    """
    law, runs = fitted.law, fitted.runs
    lacks = lacking(type(law), "optimum")
    further = [name for name in type(law).inputs if name not in ("params", "tokens", "flops")]
    if lacks or further:
        why = [f"has no {lacks}"] * bool(lacks) + [f"takes in {' and '.join(further)}"] * bool(further)
        raise ValueError(
            f"{type(law).__name__} {' and '.join(why)}: a frontier takes a law of params and tokens with "
            "optimum(flops, k, p), the (params, tokens) of least loss at a budget; give it that, or fit "
            "Chinchilla"
        )
    cost = cost or fit_cost(runs)
    flops = np.asarray(budgets_of(runs) if flops is None else flops, float)
    a, extend = optimum_bands(fitted, cost, flops, a)
    params, tokens, loss = extend(flops)
    return Frontier(
        method=f"fit of {'auto' if fitted.forms else type(law).__name__} ({fitted.objective.name})",
        convention=convention(runs),
        unit=runs.unit,
        cost=cost,
        flops=flops,
        params=params,
        tokens=tokens,
        loss=loss,
        point_status=(fitted.status,) * len(flops),
        exponents=Exponents(
            a,
            Band.from_ends(1 - cost.p * a.value, 1 - cost.p * a.high, 1 - cost.p * a.low),
            extend,
            "the fitted law",
        ),
        status=fitted.status,
        message=fitted.message,
        runs=len(runs),
        cautions=tuple(fitted.cautions),
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
    cost = cost or fit_cost(iso.runs)
    valleys, sigma = iso.valleys, iso.noise.sigma
    inside = np.array([valley.inside for valley in valleys])
    flops, params, tokens, loss, other = (
        np.array([getattr(valley, name) for valley in valleys])
        for name in ("flops", "params", "tokens", "loss", "other_params")
    )
    each = ((v.low, v.high, *map(v.tokens_at, (v.high, v.low)), v.loss_low, v.loss_high) for v in valleys)
    ends = np.array([*each]).T
    if not np.isfinite(sigma):
        ends[:] = np.nan
    exponents = no_line(int(inside.sum()))
    if inside.sum() >= 2:
        draws = np.array([valley.draws for valley in valleys if valley.inside])
        loss_draws = np.array([valley.loss_draws for valley in valleys if valley.inside])
        line = fit_line(flops[inside], params[inside], draws if sigma > 0 else None, other[inside])
        exponents = extrapolate(line, flops[inside], tokens[inside], loss[inside], loss_draws.T, cost)
    status, message = isoflop_status(iso)
    return Frontier(
        method=f"isoflop, {iso.method}",
        convention=convention(iso.runs),
        unit=iso.runs.unit,
        cost=cost,
        flops=flops,
        params=Band(params, *ends[:2]),
        tokens=Band(tokens, *ends[2:4]),
        loss=Band(loss, *ends[4:]),
        point_status=tuple(valley.status for valley in valleys),
        exponents=exponents,
        status=status,
        message=message,
        runs=len(iso.runs.usable()),
        check=partial(check_bias, iso, cost, fitted),
        cautions=tuple(iso.runs.cautions),
        ends=tuple(valley.end for valley in valleys),
    )


def isoflop_status(iso: Isoflop) -> tuple[str, str]:
    """Status and message of a whole isoFLOP frontier."""
    outside = [valley for valley in iso.valleys if not valley.inside]
    flat = [f"{valley.budget:.3g}" for valley in iso.valleys if valley.status == "flat"]
    good = len(iso.valleys) - len(outside)
    message = f"{good} of {len(iso.valleys)} budgets have their minimum inside"
    if outside:
        message += f"; left out of the exponents: {left_out(outside)}"
    if flat:
        message += f"; valley not clear of the noise: {', '.join(flat)}"
    if good < 2:
        return (outside[0].status if outside else "few"), f"{message}; an exponent needs two"
    if good < 3:
        return "few", f"{message}; with two, nothing checks the straight line"
    return ("flat" if len(flat) > good / 2 else "ok"), message


def from_envelope(envelope: Envelope, cost: Cost | None = None) -> Frontier:
    """Approach 1: straight lines through the points of an `Envelope` that are not at an edge.

    Intervals are those of runs drawn with replacement. `status` is unidentified where the points
    are from the middle of decaying schedules, which is no sample of D at all; few with fewer than
    four sizes on the envelope, since a staircase of m steps flattens the slope by up to 1/m².
    """
    cost = cost or fit_cost(envelope.source)
    inside = envelope.inside
    flops, tokens, loss = envelope.flops, envelope.tokens, envelope.loss
    params_draws, loss_draws = envelope.draws[:2] if envelope.draws else (None, None)
    params = Band.from_draws(envelope.params, params_draws)
    ends = (tokens * (envelope.params / end) ** cost.p for end in (params.high, params.low))
    exponents = no_line(int(inside.sum()))
    if len(np.unique(envelope.params[inside])) >= 2:
        seen = np.empty((0, inside.sum())) if loss_draws is None else loss_draws[:, inside]
        line = envelope_line(envelope)
        exponents = extrapolate(line, flops[inside], tokens[inside], loss[inside], seen, cost)
    status, message = envelope_status(envelope)
    return Frontier(
        method=f"envelope of {'curves' if envelope.points == 'all' else 'final points'}",
        convention=convention(envelope.source),
        unit=envelope.source.unit,
        cost=cost,
        flops=flops,
        params=params,
        tokens=Band(tokens, *ends),
        loss=Band.from_draws(loss, loss_draws),
        point_status=envelope.status,
        exponents=exponents,
        status=status,
        message=message,
        runs=len(envelope.curves),
        cautions=tuple(envelope.source.cautions),
    )
