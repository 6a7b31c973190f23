"""What a fitted law says of new runs, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from analysis.fitting.bootstrap import MANY
from analysis.fitting.regression import Fit, Quantity
from analysis.laws.base import Array

BLOCK = 200  # places whose intervals are found at once: a profile's memory grows with their square
SHARE = "a share of errors"  # the unit of what is bounded
HONEST = 0.4  # of the forms' spread and of the drift, so that 95 % intervals hold 95 %: docs/laws.md


@dataclass(frozen=True, eq=False)
class Prediction:
    """The law at K places with its 95 % interval, and the interval of one new run there, which
    adds the noise between runs."""

    value: Array
    low: Array
    high: Array
    run_low: Array
    run_high: Array


def predict(fitted: Fit, **inputs: Array) -> Prediction:
    """What a fitted law says of new runs.

    The noise of a run is that of the residuals: their own percentiles where there are 100 or more,
    else Student's t. It is added to the law's interval in squares, each side for itself. What is bounded,
    a share of errors, stays so, its ends being the bounds where the law knows none.
    Of a law that "auto" chose the value is the weighted mean of all forms (see `weighed`).

    Args:
      fitted: with intervals (see `intervals`); without, the law's own interval is NaN.
      inputs: the law's inputs by name, such as params and tokens, (K,) each.

    Raises:
      ValueError: an input is missing, or is none of the law's.
    """
    names = type(fitted.law).inputs
    if set(inputs) != set(names):
        law, given = type(fitted.law).__name__, ", ".join(inputs) or "nothing"
        raise ValueError(
            f"{law} tells of {', '.join(names)}, all of which are given by name; here is {given}"
        )
    places = np.broadcast_arrays(*(np.atleast_1d(np.asarray(inputs[name], float)) for name in names))
    with np.errstate(all="ignore"):
        value = np.asarray(fitted.law.loss(*places), float)
        low, high = np.empty_like(value), np.empty_like(value)
        for at in (slice(i, i + BLOCK) for i in range(0, len(value), BLOCK)):
            some = [place[at] for place in places]
            low[at], high[at] = np.exp(fitted.band(lambda law, some=some: np.log(law.loss(*some))))
        if fitted.forms:
            ends = weighed(
                fitted,
                lambda law: np.log(law.loss(*places)),
                *np.log([low, high]),
                drift_beyond(fitted, places),
                HONEST,
            )
            value, low, high = np.exp(ends)
        down, up = noise(fitted)
        run_low = value * np.exp(-np.hypot(np.log(value / low), down))
        run_high = value * np.exp(np.hypot(np.log(high / value), up))
        ends = (end - fitted.offset for end in (value, low, high, run_low, run_high))
    return bounded(Prediction(*ends), fitted)


def weighed(
    fitted: Fit, quantity: Quantity, low: Array, high: Array, drift: Array | float = 0.0, share: float = 1.0
):
    """The weighted mean (K,) over the forms of "auto" of numbers computed from a law, with its ends. Added in
    squares are the interval (low, high) of the law chosen, and a `share` of 1.96 times the standard deviation
    of the forms about their mean and `drift`."""
    numbers = np.array([quantity(form.law) for form in fitted.forms])
    weights = np.array([form.weight for form in fitted.forms])[:, None] * np.isfinite(numbers)
    weights = weights / weights.sum(0)
    numbers = np.where(weights > 0, numbers, 0.0)
    mean = (weights * numbers).sum(0)
    doubt = share * 1.96 * np.hypot(np.sqrt((weights * (numbers - mean) ** 2).sum(0)), drift)
    chosen = quantity(fitted.law)
    return mean, mean - np.hypot(chosen - low, doubt), mean + np.hypot(high - chosen, doubt)


def drift_beyond(fitted: Fit, places: Sequence[Array]) -> Array:
    """How far a forecast of "auto" errs at places (K,) beyond the rows, in log loss: the best rolling error
    for every factor e of the inputs' product; without limit where no larger rows could be forecast."""
    rows = sum(np.log(fitted.runs.column(name)) for name in fitted.inputs).max()
    beyond = np.maximum(sum(np.log(place) for place in places) - rows, 0.0)
    return np.where(beyond > 1e-9, beyond * fitted.forms[0].error, 0.0)


def noise(fitted: Fit) -> tuple[float, float]:
    """How far below and above a law a new run's log output lies, at 2.5 and 97.5 %."""
    rows, count = len(fitted.residuals), len(fitted.law.names()) - len(fitted.fixed)
    spread = -fitted.residuals * np.sqrt(rows / (rows - count))
    if rows >= MANY:
        down, up = np.percentile(spread - np.median(spread), [2.5, 97.5])
        return float(down), float(up)
    from scipy.special import stdtrit  # slow to import, and no fit needs it

    up = float(stdtrit(rows - count, 0.975)) * float(np.sqrt(np.mean(spread**2)))
    return -up, up


def bounded(prediction: Prediction, fitted: Fit) -> Prediction:
    """The prediction of a share of errors inside 0 to 1, or 0 to 100; of all else as it is."""
    if fitted.law.output != "error" and fitted.runs.loss_unit != SHARE:
        return prediction
    largest = fitted.runs.column(fitted.output).max()
    most = next((bound for bound in (1.0, 100.0) if largest <= bound), np.inf)
    parts = {field.name: np.clip(getattr(prediction, field.name), 0.0, most) for field in fields(prediction)}
    if fitted.ends is not None:
        for name, bound in (("low", 0.0), ("run_low", 0.0), ("high", most), ("run_high", most)):
            parts[name] = np.where(np.isnan(parts[name]), bound, parts[name])
    return Prediction(**parts)


def chain(first: Prediction, fitted: Fit) -> Prediction:
    """What a law of one input says where that is itself predicted, such as an error of a loss: what
    either leaves open is added in squares, each side for itself.

    Args:
      first: the input at K places.
      fitted: the second law, with intervals, which rises or falls with its input.
    """
    (name,) = type(fitted.law).inputs
    at = predict(fitted, **{name: first.value})
    with np.errstate(all="ignore"):
        ends = [fitted.law.loss(np.asarray(end, float)) for end in (first.low, first.high)]
        runs = [fitted.law.loss(np.asarray(end, float)) for end in (first.run_low, first.run_high)]

    def widened(low: Array, high: Array, ends: list[Array]) -> tuple[Array, Array]:
        below, above = np.minimum(*ends), np.maximum(*ends)
        down, up = np.hypot(at.value - low, at.value - below), np.hypot(high - at.value, above - at.value)
        return at.value - down, at.value + up

    law, run = widened(at.low, at.high, ends), widened(at.run_low, at.run_high, runs)
    return bounded(Prediction(at.value, *law, *run), fitted)


def score(prediction: Prediction, measured: Array) -> dict[str, float]:
    """How near predictions are to what was measured (K,), NaN where it was not: how many were `compared`,
    how many of them lie `inside` the interval of a new run; `mape`, the mean absolute error in percent of
    what was measured; `r2`, the share of its variance explained."""
    known = np.isfinite(measured) & np.isfinite(prediction.value)
    if not known.any():
        return {}
    inside = (prediction.run_low <= measured) & (measured <= prediction.run_high)
    gap, measured = (prediction.value - measured)[known], measured[known]
    spread = ((measured - measured.mean()) ** 2).sum()
    return {
        "compared": int(known.sum()),
        "inside": int(inside[known].sum()),
        "mape": float(100 * np.mean(np.abs(gap / measured))),
        "r2": float(1 - (gap**2).sum() / spread) if spread > 0 else np.nan,
    }
