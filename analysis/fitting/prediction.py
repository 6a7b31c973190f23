"""What a fitted law says of new runs, with intervals."""

from dataclasses import dataclass

import numpy as np

from analysis.fitting.bootstrap import MANY
from analysis.fitting.regression import Fit
from analysis.laws.base import Array


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
    else Student's t. It is added to the law's interval in squares, each side for itself.

    Args:
      fitted: with intervals (see `intervals`); without, the law's own interval is NaN.
      inputs: the law's inputs by name, such as params and tokens, (K,) each.
    """
    names = type(fitted.law).inputs
    places = [np.atleast_1d(np.asarray(inputs[name], float)) for name in names]
    value = fitted.law.loss(*places)
    with np.errstate(all="ignore"):
        low, high = np.exp(fitted.band(lambda law: np.log(law.loss(*places))))
    rows, count = len(fitted.residuals), len(fitted.law.names()) - len(fitted.fixed)
    spread = -fitted.residuals * np.sqrt(rows / (rows - count))
    if rows >= MANY:
        down, up = np.percentile(spread - np.median(spread), [2.5, 97.5])
    else:
        from scipy.special import stdtrit  # slow to import, and no fit needs it

        up = float(stdtrit(rows - count, 0.975)) * np.sqrt(np.mean(spread**2))
        down = -up
    run_low = value * np.exp(-np.hypot(np.log(value / low), down))
    run_high = value * np.exp(np.hypot(np.log(high / value), up))
    return Prediction(value, low, high, run_low, run_high)
