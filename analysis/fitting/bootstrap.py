"""Intervals of a fit by refitting resampled tables; which kind a table needs; new runs."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting.fit import Fit, Quantity
from analysis.fitting.profile import leverage, placed, profiled
from analysis.fitting.solve import minimise
from analysis.laws.base import Array

KINDS = ("pairs", "cluster", "wild")
MANY = 100  # rows from which resampling is the default; see docs/coverage.md


def intervals(fitted: Fit, kind: str = "auto", resamples: int = 1000, seed: int = 0) -> Fit:
    """The same fit with 95 % intervals of one kind.

    `auto` is what was measured to cover best (docs/coverage.md): cluster where several rows share a
    run_id, profile below 100 rows, else pairs.
    """
    if kind == "auto":
        kind = "cluster" if shared(fitted) else "profile" if len(fitted.runs) < MANY else "pairs"
    if kind == "none":
        return fitted
    return profiled(fitted) if kind == "profile" else resample(fitted, kind, resamples, seed)


def shared(fitted: Fit) -> bool:
    """Whether rows of the table share a run_id, as checkpoints of one run do."""
    runs = fitted.runs
    return runs.has("run_id") and len(set(runs.column("run_id").tolist())) < len(runs)


def resample(
    fitted: Fit, kind: str = "pairs", resamples: int = 1000, seed: int = 0, clusters: Array | None = None
) -> Fit:
    """The same fit with `draws` (S, P): its parameters refitted, by the fit's own objective in
    full, to S resampled tables, side by side; intervals are their percentiles. A resample that
    holds too few distinct rows, or does not converge to finite parameters, is NaN and left out.

    Args:
      fitted: what to resample.
      kind: pairs: rows drawn with replacement (Efron 1979); cluster: whole groups of rows drawn so;
        wild: every row stays and its residual, scaled up by 1/(1 - leverage), takes a random sign
        (Liu 1988; for medians Feng, He & Hu 2011), one sign for a whole group where groups are
        given (Cameron, Gelbach & Miller 2008).
      resamples: S; 1000 gives ends of a 95 % interval to about a tenth of its width.
      seed: equal seeds give equal draws.
      clusters: (R,) labels of the rows that belong together; for cluster the run_id by default.

    Raises:
      ValueError: an unknown kind, less than one resample, no clusters to draw, or too few.
    """
    if kind not in KINDS:
        raise ValueError(f"bootstrap {kind!r} is not one of {', '.join(KINDS)}")
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: ask for at least 1, or leave the bootstrap out")
    problem, start, centre = placed(fitted)
    group = grouped(fitted, kind, clusters)
    rng, rows, size = np.random.default_rng(seed), len(group), int(group.max()) + 1
    weights, lost = None, np.zeros(resamples, bool)
    if kind == "wild":
        signs = rng.choice([-1.0, 1.0], (resamples, size))[:, group]
        log_pred, slope = problem.law.log_predict(start[None], problem.logs)
        gap = (np.log(problem.output) - log_pred[0]) / (1 - leverage(slope[0][problem.free]))
        problem = replace(problem, output=np.exp(log_pred[0] + signs * gap))
    else:
        counts = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
        weights = counts[:, group].astype(float)
        lost = (weights > 0).sum(1) <= len(problem.free)
    # in small tables some resamples have minima apart, which only a wide delta leads past
    near = rows >= MANY and fitted.objective.name == "huber-log"
    starts = np.tile(start, (resamples, 1))
    theta, _ = minimise(problem, starts, weights, rounds=60, near=near)
    draws = problem.law.from_theta(problem.law.shift(theta, centre))
    draws[lost | ~np.isfinite(draws).all(1)] = np.nan
    found = replace(fitted, draws=draws, intervals=kind)
    return replace(found, ends=lambda quantity: percentiles(found, quantity))


def pairs(fitted: Fit, resamples: int = 1000, seed: int = 0) -> Fit:
    """`resample` with rows drawn with replacement."""
    return resample(fitted, "pairs", resamples, seed)


def percentiles(fitted: Fit, quantity: Quantity) -> tuple[Array, Array]:
    """2.5 and 97.5 % points over the draws, (K,) each."""
    with np.errstate(all="ignore"):
        drawn = np.asarray(quantity(fitted.law_draws()), float)
    if not np.isfinite(drawn).any():
        return np.full(drawn.shape[1:], np.nan), np.full(drawn.shape[1:], np.nan)
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return low, high


def grouped(fitted: Fit, kind: str, clusters: Array | None) -> Array:
    """Which group each row belongs to (R,), counted from 0; rows are their own without clusters."""
    rows = len(fitted.runs)
    if clusters is None and kind == "cluster":
        if not fitted.runs.has("run_id"):
            raise ValueError(
                f"{fitted.runs.source}: a cluster bootstrap needs to know which rows belong "
                "together, and there is no column run_id; name one with --cluster COL"
            )
        clusters = fitted.runs.column("run_id")
    if clusters is None:
        return np.arange(rows)
    if len(clusters) != rows:
        raise ValueError(f"{len(clusters)} cluster labels for {rows} rows of the fit")
    names, group = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    if len(names) <= len(fitted.law.names()) - len(fitted.fixed):
        raise ValueError(
            f"{fitted.runs.source}: {len(names)} clusters ({', '.join(names[:6])}) cannot be "
            "resampled: an interval needs more of them than parameters, and 20 to be worth much"
        )
    return group


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
    rows, count = len(fitted.residuals), len(names_of(fitted))
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


def names_of(fitted: Fit) -> list[str]:
    """The parameters that were fitted."""
    return [name for name in fitted.law.names() if name not in fitted.fixed]
