"""What a decision is: numbers with 95 % intervals, alternatives, assumptions, and how far to trust
it. `questions` makes them."""

from dataclasses import dataclass, field, replace

import numpy as np

from analysis import audit
from analysis.decisions.counted import answered
from analysis.decisions.plans import Plan, wasted_share
from analysis.fitting import Band, Fit
from analysis.frontiers import Cost, convention
from analysis.laws import Array
from analysis.tables.runs import Runs

BEYOND = "× the table's largest run"  # of a budget above all runs
LARGEST = 1e30  # params or tokens beyond which a question is a slip of the hand
FAR = 10.0  # times the largest run, beyond which an extrapolation is called far
Bands = dict[str, Band]


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What to do, and what doing otherwise costs.

    `plan`, and each of `alternatives`, maps params, tokens, flops (of training), loss and further
    names to Bands of one number. The ends of a number that is given, not estimated, are equal. An
    end is infinite where that part of the draws cannot reach what was asked, NaN without draws.
    `notes` say why to be careful, and are empty where nothing speaks against the answer.
    """

    question: str
    given: dict[str, float | list[float]]  # the numbers of the question
    plan: Bands
    alternatives: list[tuple[str, Bands]]
    assumptions: list[str]
    notes: list[str]
    status: str  # of the fit; unidentified, too, where a number of the plan has no end
    fit_message: str
    times_largest_run: float  # training compute over that of the table's largest run
    ratios: tuple[float, float]  # least and greatest tokens per param of the table's runs
    draws: int  # that have an answer
    unreachable_draws: int = field(default=0)
    unit: str = field(default="")  # behind a loss; see `Runs.unit`

    def __repr__(self) -> str:
        guess = "" if self.status == "ok" else "A GUESS, "
        return f"{guess}{self.headline}\nstatus {self.status}: {self.message}"

    @property
    def message(self) -> str:
        return "; ".join([self.fit_message, *self.notes])

    @property
    def headline(self) -> str:
        """The answer in a line."""
        value = {name: band.value for name, band in self.plan.items()}
        serving = f", {value['total_flops']:.3g} with serving" if "total_flops" in value else ""
        return (
            f"{value['params']:.3g} params on {value['tokens']:.3g} tokens "
            f"({value['tokens_per_param']:.3g} per param): loss {value['loss']:.4f}{self.unit} "
            f"at {value['flops']:.3g} training FLOPs{serving}"
        )


def make_answer(fitted: Fit, law, question: str, given: dict, plan: Plan, bands: Bands, **parts) -> Answer:
    """An `Answer` with what all of them share: status, reach and the cautions that follow.

    Raises:
      ValueError: an answer that is no model, from numbers far off or in another unit.
    """
    params, tokens, flops = (float(each[0, 0]) for each in (plan.params, plan.tokens, plan.flops))
    about = parts.pop("about", None) or plan  # what is recommended, if not the law's own
    size, seen = (float(each[0, 0]) for each in (about.params, about.tokens))
    if not all(1 <= number < LARGEST for number in (params, tokens)):
        numbers = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in given.items())
        raise ValueError(
            f"{numbers}: the law answers {params:.3g} params on {tokens:.3g} tokens, which is no "
            "model; check the numbers asked for and the units of the table"
        )
    ratio = fitted.runs.tokens / fitted.runs.params
    ratios = (float(ratio.min()), float(ratio.max()))
    notes = [
        *parts.pop("notes", []),
        *compute_notes(fitted, flops),
        *cost_notes(fitted, flops / (6 * params * tokens)),
        *design_notes(fitted, seen / size, ratios, 0.0 if "epochs" in bands else seen),
        *fitted.cautions,
        *audit.cautions(fitted),
        *draw_notes(fitted, law),
    ]
    opened = [name for name, band in bands.items() if np.isinf([band.low, band.high]).any()]
    status, message = fitted.status, fitted.message
    if opened and status == "ok":
        status = "unidentified"
        message = f"the fit is ok, but {', '.join(opened)} of the answer have no end; more runs near it would"
        message += " settle it"
    return Answer(
        question=question,
        given=given,
        plan=bands,
        status=status,
        fit_message=message,
        times_largest_run=flops / float(fitted.runs.flops.max()),
        ratios=ratios,
        draws=int(answered(law)[1:].sum()),
        notes=notes,
        unit=fitted.runs.unit,
        **parts,
    )


def plan_bands(law, cost: Cost, plan: Plan, serve: float = 0.0, against: Plan | None = None) -> Bands:
    """The Bands of a plan under the fitted law and its draws. `against` another of the same compute:
    how much more loss, and which share of the compute a plan as good would save."""
    with np.errstate(invalid="ignore"):
        ratio = plan.tokens / plan.params
    if np.isinf(plan.params[1:]).any():
        ratio[1:] = np.nan  # of what is out of reach there is no ratio, so no interval
    parts = {"params": plan.params, "tokens": plan.tokens, "tokens_per_param": ratio, "flops": plan.flops}
    if serve:
        parts["total_flops"] = plan.total
    parts["loss"] = plan.loss
    if against is not None:
        parts["extra_loss"] = plan.loss - against.loss
        parts["wasted_compute"] = wasted_share(law, cost, plan, serve)
    return {name: to_band(values) for name, values in parts.items()}


def to_band(values: Array) -> Band:
    """The first of values (1 + S, 1) with the 95 % interval of the others, its draws. Some may be
    infinite; NaN are left out."""
    value, draws = float(values[0, 0]), np.sort(values[1:][~np.isnan(values[1:])])
    if not draws.size:
        return Band(value, np.nan, np.nan)
    if np.isfinite(draws).all():
        return Band.from_draws(value, draws)
    # infinite ends do not interpolate: take the draw beyond
    low, high = 0.025 * (draws.size - 1), 0.975 * (draws.size - 1)
    ends = float(draws[int(np.floor(low))]), float(draws[int(np.ceil(high))])
    return Band(value, min(value, ends[0]), max(value, ends[1]))


def compute_notes(fitted: Fit, flops: float) -> list[str]:
    """Whether the plan's compute lies outside that of the runs the law was fitted to."""
    top, bottom = fitted.runs.flops.max(), fitted.runs.flops.min()
    beyond = f"{flops:.3g} FLOPs are {flops / top:.3g} {BEYOND}"
    if flops > FAR * top:
        far = "a far extrapolation, whose interval holds noise, not a bend in the law"
        return [f"{beyond} ({top:.3g}): {far}"]
    if flops > 1.001 * top:
        return [beyond]
    if flops < bottom / FAR:
        return [f"{flops:.3g} FLOPs are {flops / bottom:.3g} × the table's smallest run"]
    return []


def cost_notes(fitted: Fit, share: float) -> list[str]:
    """Whether the fitted cost, over 6·N·D, has fallen below what the runs and their matrices cost."""
    least = float((fitted.runs.flops / (6 * fitted.runs.params * fitted.runs.tokens)).min())
    if share > min(0.98 * least, 0.97):
        return []
    return [
        f"the cost fitted to the runs is {share:.2f} × 6·N·D there, that of the runs {least:.3g} × or more: "
        f"expect up to {100 * (1 / share - 1):.0f} % more compute, or give --cost 6nd"
    ]


def design_notes(fitted: Fit, ratio: float, ratios: tuple[float, float], tokens: float = 0.0) -> list[str]:
    """Whether a plan's tokens per param are among those of the runs, and what is seen again."""
    notes, (low, high) = [], ratios
    if not 0.99 * low <= ratio <= 1.01 * high:
        notes.append(
            f"{ratio:.3g} tokens per param, where the table's runs have {low:.3g} to {high:.3g}: "
            "further out the law is untested"
        )
    knows = "unique_tokens" in type(fitted.law).inputs
    return notes if knows else notes + repeat_notes(fitted.runs, tokens)


def repeat_notes(runs: Runs, tokens: float) -> list[str]:
    """Whether runs saw their text again, and whether a plan's tokens are more than that text holds."""
    if not runs.has("epochs") or runs.column("epochs").dtype == object:
        return []
    epochs = runs.column("epochs").astype(float)
    again = int((np.nan_to_num(epochs) > 1.005).sum())
    new = "which the law takes as new ones"
    seen = [f"{again} of {len(runs)} runs saw tokens more than once (column epochs), {new}"] * bool(again)
    with np.errstate(all="ignore"):
        held = runs.tokens / epochs
    held = held[np.isfinite(held)]
    if not held.size or np.ptp(held) > 0.01 * held.max() or tokens < 1.5 * held.max():
        return seen
    size = float(np.median(held))
    too = f" ({again} of {len(runs)} runs saw some again, too)" * bool(again)
    return [
        f"{tokens:.3g} tokens are {tokens / size:.2g} passes over the {size:.3g} of the runs' text{too}, "
        f"{new}: find more, or see what repeats cost with --data-cap {size:.3g}"
    ]


def draw_notes(fitted: Fit, law) -> list[str]:
    """Which draws have no answer, and so are missing from the intervals."""
    if fitted.draws is None:
        return []
    failed = int((~np.isfinite(fitted.draws).all(1)).sum())
    without = int((~answered(law)[1:]).sum()) - failed
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
    lines = [f"training: {cost}", convention(fitted.runs)]
    if serve:
        lines.append(
            f"{serve:.3g} tokens served at a forward pass each, a third of what a training token "
            "costs (2·N of 6·N)"
        )
    if once:
        lines.append("every training token is new; --data-cap takes repeats into account")
    if fitted.draws is not None:
        resampled = f"fits to resampled runs ({fitted.intervals} bootstrap)"
        lines.append(f"intervals: 95 % of {len(fitted.draws)} {resampled}")
    return lines


def add_prices(answer: Answer, rate: float, per_hour: float | None = None) -> Answer:
    """The same with device-hours at `rate` FLOP/s, and money at `per_hour`, for every compute."""

    def scale(band: Band, factor: float) -> Band:
        return Band(band.value * factor, band.low * factor, band.high * factor)

    def add(bands: Bands) -> Bands:
        compute = bands.get("total_flops", bands.get("flops"))
        if compute is None:
            return bands
        hours = scale(compute, 1 / rate / 3600)
        money = {} if per_hour is None else {"money": scale(hours, per_hour)}
        return {**bands, "device_hours": hours, **money}

    line = f"a device reaches {rate:.3g} FLOP/s, utilisation included, in training and in serving"
    line += f", and costs {per_hour:g} an hour" if per_hour is not None else ""
    rows = [(name, add(bands)) for name, bands in answer.alternatives]
    return replace(answer, plan=add(answer.plan), alternatives=rows, assumptions=[*answer.assumptions, line])
