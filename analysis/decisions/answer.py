"""What a decision is: numbers with 95 % intervals, alternatives, assumptions, and how far to trust
it. `questions` makes them."""

from dataclasses import dataclass, field, replace

import numpy as np

from analysis.audit import forecast
from analysis.decisions import plans as decide
from analysis.decisions.plans import Plan
from analysis.fitting.band import Band
from analysis.fitting.fit import Fit
from analysis.frontiers.costs import Cost
from analysis.frontiers.frontier import convention
from analysis.laws import Array, Chinchilla

LARGEST = 1e30  # params or tokens beyond which a question is a slip of the hand
FAR = 10.0  # times the largest run, beyond which an extrapolation is called far
Bands = dict[str, Band]
Laws = tuple[Chinchilla, Chinchilla]  # the fitted one, and that of its draws: columns (S, 1)


@dataclass(frozen=True, eq=False)
class Answer:
    """What to do, and what doing otherwise costs.

    `plan`, and each of `alternatives`, maps params, tokens, flops (of training), loss and further
    names to Bands of one number. The ends of a number that is given, not estimated, are equal. An
    end is infinite where that part of the draws cannot reach what was asked, NaN without draws.
    `notes` say why to be careful, and are empty where nothing speaks against the answer.
    """

    question: str
    asked: dict[str, float | list[float]]
    plan: Bands
    alternatives: list[tuple[str, Bands]]
    assumptions: list[str]
    notes: list[str]
    status: str  # of the fit
    fit_message: str
    times_largest_run: float  # training compute over that of the table's largest run
    ratios: tuple[float, float]  # least and greatest tokens per param of the table's runs
    draws: int  # that have an answer
    unreachable_draws: int = field(default=0)

    @property
    def message(self) -> str:
        return "; ".join([self.fit_message, *self.notes])

    @property
    def verdict(self) -> str:
        """The answer in a line."""
        plan = self.plan
        text = f"{plan['params'].value:.3g} params on {plan['tokens'].value:.3g} tokens"
        text += f" ({plan['tokens_per_param'].value:.3g} per param): loss"
        text += f" {plan['loss'].value:.4f} nats/token at {plan['flops'].value:.3g} training FLOPs"
        if "total_flops" in plan:
            text += f", {plan['total_flops'].value:.3g} with serving"
        return text


def answer(
    fitted: Fit, question: str, asked: dict, laws: Laws, plans: list[Plan], plan: Bands, **parts
) -> Answer:
    """An `Answer` with what all of them share: status, reach and the cautions that follow.

    Raises:
      ValueError: an answer that is no model, from numbers far off or in another unit.
    """
    runs = fitted.runs
    sensible(asked, plans[0])
    notes = [
        *parts.pop("notes", []),
        *reach(fitted, plans[0]),
        *runs.cautions,
        *filter(None, [forecast.caution(fitted)]),
        *degenerate(fitted, laws),
    ]
    return Answer(
        question=question,
        asked=asked,
        plan=plan,
        status=fitted.status,
        fit_message=fitted.message,
        times_largest_run=float(np.squeeze(plans[0].flops) / runs.flops.max()),
        ratios=seen_ratios(fitted),
        draws=int(np.isfinite(laws[1].E).sum()),
        notes=notes,
        **parts,
    )


def sensible(asked: dict, plan: Plan) -> None:
    """Refuse a plan of less than a parameter, less than a token, or astronomically many."""
    if not all(1 <= float(np.squeeze(n)) < LARGEST for n in (plan.params, plan.tokens)):
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asked.items())
        raise ValueError(
            f"{said}: the law answers {float(np.squeeze(plan.params)):.3g} params on "
            f"{float(np.squeeze(plan.tokens)):.3g} tokens, which is no model; check the numbers "
            "asked for and the units of the table"
        )


def laws_of(fitted: Fit) -> Laws:
    """The fitted law and that of its draws: NaN where a draw has an exponent that is not above
    zero, and so no optimum. Without draws, one draw that is NaN.

    Raises:
      ValueError: a law other than Chinchilla.
    """
    if not isinstance(fitted.law, Chinchilla):
        raise ValueError(f"{type(fitted.law).__name__} has no optimum to decide by; fit Chinchilla")
    draws = np.full((1, 5), np.nan) if fitted.draws is None else fitted.draws
    good = exponents(fitted, draws).min(1) > 0
    return fitted.law, Chinchilla(*np.where(good[:, None], draws, np.nan).T[:, :, None])


def exponents(fitted: Fit, draws: Array) -> Array:
    return draws[:, [fitted.law.names().index(name) for name in ("alpha", "beta")]]


def bands_of(
    laws: Laws, cost: Cost, plans: list[Plan], serve: float = 0.0, against: list[Plan] | None = None
) -> Bands:
    """The Bands of a plan under the fitted law and under each draw. `against` another of the same
    compute: how much more loss, and which share of the compute a plan as good would save."""
    one, many = plans
    with np.errstate(invalid="ignore"):
        ratio = [plan.tokens / plan.params for plan in plans]
    if np.isinf(many.params).any():
        ratio[1] = np.nan  # of what is out of reach there is no ratio, so no interval
    found = {
        "params": band(one.params, many.params),
        "tokens": band(one.tokens, many.tokens),
        "tokens_per_param": band(*ratio),
        "flops": band(one.flops, many.flops),
    }
    if serve:
        found["total_flops"] = band(one.total, many.total)
    found["loss"] = band(one.loss, many.loss)
    if against is not None:
        found["extra_loss"] = band(*(a.loss - b.loss for a, b in zip(plans, against, strict=True)))
        found["wasted_compute"] = band(
            *(decide.wasted(law, cost, plan, serve) for law, plan in zip(laws, plans, strict=True))
        )
    return found


def band(value: Array, draws: Array) -> Band:
    """A number with the 95 % interval of its draws. Some may be infinite; NaN are left out."""
    value = float(np.squeeze(value))
    known = np.sort(np.ravel(draws)[~np.isnan(np.ravel(draws))])
    if not known.size:
        return Band(value, np.nan, np.nan)
    if np.isfinite(known).all():
        found = Band.of(value, known)
        return Band(value, float(found.low), float(found.high))
    # infinite ends do not interpolate: take the draw beyond
    low, high = 0.025 * (known.size - 1), 0.975 * (known.size - 1)
    ends = float(known[int(np.floor(low))]), float(known[int(np.ceil(high))])
    return Band(value, min(value, ends[0]), max(value, ends[1]))


def reach(fitted: Fit, plan: Plan) -> list[str]:
    """Where the plan lies outside the runs that the law was fitted to."""
    runs, flops = fitted.runs, float(np.squeeze(plan.flops))
    top, bottom = runs.flops.max(), runs.flops.min()
    notes = []
    if flops > FAR * top:
        notes.append(
            f"{flops:.3g} FLOPs are {flops / top:.3g} × the table's largest run ({top:.3g}): a far "
            "extrapolation, whose interval holds noise, not a bend in the law"
        )
    elif flops > 1.001 * top:
        notes.append(f"{flops:.3g} FLOPs are {flops / top:.3g} × the table's largest run")
    elif flops < bottom / FAR:
        notes.append(f"{flops:.3g} FLOPs are {flops / bottom:.3g} × the table's smallest run")
    ratio, (low, high) = float(np.squeeze(plan.tokens / plan.params)), seen_ratios(fitted)
    if not 0.99 * low <= ratio <= 1.01 * high:
        notes.append(
            f"{ratio:.3g} tokens per param, where the table's runs have {low:.3g} to {high:.3g}: "
            "further out the law is untested"
        )
    if again := repeating(fitted):
        notes.append(
            f"{again} of {len(runs)} runs saw tokens more than once (column epochs), which the law "
            "takes as new ones"
        )
    return notes


def repeating(fitted: Fit) -> int:
    """How many of the table's runs went over their data more than once."""
    if not fitted.runs.has("epochs") or fitted.runs.column("epochs").dtype == object:
        return 0
    return int((np.nan_to_num(fitted.runs.column("epochs")) > 1.005).sum())


def seen_ratios(fitted: Fit) -> tuple[float, float]:
    ratio = fitted.runs.tokens / fitted.runs.params
    return float(ratio.min()), float(ratio.max())


def degenerate(fitted: Fit, laws: Laws) -> list[str]:
    """Which draws have no answer, and so are missing from the intervals."""
    if fitted.draws is None:
        return []
    failed = int((~np.isfinite(fitted.draws).all(1)).sum())
    without = int(np.isnan(laws[1].E).sum()) - failed
    notes = []
    if failed:
        notes.append(f"{failed} of {len(fitted.draws)} resamples did not fit; intervals lack them")
    if without:
        notes.append(
            f"{without} of {len(fitted.draws)} draws have an exponent at or below zero and so no "
            "optimum; intervals lack them and are too narrow by that"
        )
    return notes


def assumptions(fitted: Fit, cost: Cost, serve: float = 0.0, once: bool = True) -> list[str]:
    """The conventions behind every number of an answer."""
    said = [f"training: {cost}", convention(fitted.runs)]
    if serve:
        said.append(
            f"{serve:.3g} tokens served at a forward pass each, a third of what a training token "
            "costs (2·N of 6·N)"
        )
    if once:
        said.append("every training token is new; --data-cap takes repeats into account")
    if fitted.draws is not None:
        resampled = f"fits to resampled runs ({fitted.intervals} bootstrap)"
        said.append(f"intervals: 95 % of {len(fitted.draws)} {resampled}")
    return said


def priced(found: Answer, rate: float, per_hour: float | None = None) -> Answer:
    """The same with device-hours at `rate` FLOP/s, and money at `per_hour`, for every compute."""

    def more(bands: Bands) -> Bands:
        compute = bands.get("total_flops", bands.get("flops"))
        if compute is None:
            return bands
        added = {"device_hours": times(compute, 1 / rate / 3600)}
        if per_hour is not None:
            added["money"] = times(added["device_hours"], per_hour)
        return {**bands, **added}

    said = f"a device reaches {rate:.3g} FLOP/s, utilisation included, in training and in serving"
    said += f", and costs {per_hour:g} an hour" if per_hour is not None else ""
    rows = [(name, more(bands)) for name, bands in found.alternatives]
    return replace(found, plan=more(found.plan), alternatives=rows, assumptions=[*found.assumptions, said])


def times(one: Band, factor: float) -> Band:
    return Band(one.value * factor, one.low * factor, one.high * factor)
