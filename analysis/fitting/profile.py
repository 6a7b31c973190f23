"""Profile-likelihood intervals of parameters and of anything computed from them."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from analysis.fitting.ends import widening
from analysis.fitting.likelihood import height, jacobian, likelihood_scale
from analysis.fitting.regression import Fit, Quantity
from analysis.fitting.solve import Penalty, Problem, minimise, slopes
from analysis.laws.base import Array

FAR = np.array([1.0, 2, 3, 4.5, 7, 12, 25, 60])  # standard errors at which a profile is first seen
NEAR = np.array([0.93, 1.0, 1.07])  # of the distance to an end found by interpolation
EXACT = 1e-12  # residual spread below which a table has no noise to speak of


@dataclass(frozen=True)
class Profile:
    """How much worse the best fit is where a number is held at other values.

    `values` (K,) of the number, rising, and `roots` (K,): the signed root of the likelihood ratio,
    0 at the estimate and outside ±`limit` outside the interval. An end is infinite where no value
    is bad enough.
    """

    value: float
    low: float
    high: float
    values: Array
    roots: Array
    limit: float


def profile_intervals(fitted: Fit, level: float = 0.95) -> Fit:
    """The same fit with profile-likelihood intervals behind `band` and `interval`."""
    return replace(fitted, intervals="profile", draws=None, ends=partial(profile_ends, fitted, level))


def profile_ends(fitted: Fit, level: float, quantity: Quantity) -> tuple[Array, Array]:
    """Where the profiles of K numbers end, (K,) each."""
    profiles = trace_profiles(fitted, quantity, level)
    return np.array([p.low for p in profiles]), np.array([p.high for p in profiles])


def trace_profiles(fitted: Fit, quantity: Quantity, level: float = 0.95) -> list[Profile]:
    """The profiles of K numbers computed from a fitted law.

    The objective is minimised over all parameters while a number is pulled towards other values;
    wherever the pull ends, that point is on the number's profile. The ratio is scaled by the spread
    of the residuals: for squares exactly as Student's t is, for Huber and absolute values as the
    robust likelihood ratio (Heritier & Ronchetti 1994), and wider where a fit hardly passes for `ok`
    (`ends.widening`). It takes rows as independent and equally noisy.

    Args:
      fitted: what was fitted.
      quantity: of a law whose fields are columns (S, 1), giving (S, K).
      level: of the intervals.
    """
    problem, start, centre = as_problem(fitted)
    law = problem.law

    def numbers(theta: Array) -> Array:
        with np.errstate(all="ignore"):
            columns = law.from_theta(law.shift(theta, centre)).T[:, :, None]
            return np.asarray(quantity(law(*columns)), float)

    value = numbers(start[None])[0]
    unit, curve, limit = likelihood_scale(problem, start, level)
    errors = standard_errors(problem, start, numbers, unit / curve)
    if unit < EXACT**2:
        return [Profile(v, v, v, np.array([v]), np.zeros(1), limit) for v in value]
    limit *= widening(problem, start)
    base = height(problem, start[None])[0]

    def trace(which: Array, targets: Array) -> tuple[Array, Array]:
        """(the number, signed root of its likelihood ratio) where each pull ends, (S,) each."""
        theta = np.tile(start, (len(which), 1))
        strength = 20 * unit / np.maximum(errors[which], 1e-300) ** 2
        pull = Penalty(numbers, which, targets, strength)
        theta, _ = minimise(replace(problem, penalty=pull), theta, rounds=60)
        rise = np.maximum(height(problem, theta) - base, 0)
        reached = numbers(theta)[np.arange(len(which)), which]
        return reached, np.sign(targets - value[which]) * np.sqrt(2 * rise / unit)

    moving = np.flatnonzero(errors > 0)
    far = np.concatenate([-FAR[::-1], FAR])
    which = np.repeat(moving, len(far))
    reached, roots = trace(which, value[which] + np.tile(far, len(moving)) * errors[which])
    ends = [crossings(value[k], reached[which == k], roots[which == k], limit) for k in range(len(value))]
    near = [(k, value[k] + (end - value[k]) * NEAR) for k in moving for end in ends[k] if np.isfinite(end)]
    if near:
        more = np.repeat([k for k, _ in near], len(NEAR))
        closer, closer_roots = trace(more, np.concatenate([targets for _, targets in near]))
        which = np.append(which, more)
        reached, roots = np.append(reached, closer), np.append(roots, closer_roots)
    out = []
    for k in range(len(value)):
        x, y = reached[which == k], roots[which == k]
        order = np.argsort(x)
        low, high = crossings(value[k], x, y, limit)
        out.append(Profile(float(value[k]), low, high, x[order], y[order], limit))
    return out


def crossings(value: float, values: Array, roots: Array, limit: float) -> tuple[float, float]:
    """Where the root passes -limit and +limit; infinite where it never does. A number that nothing
    moves (no values) is its own interval."""
    if not values.size:
        return float(value), float(value)
    ends = []
    for side in (-1, 1):
        mine = (np.sign(roots) == side) & np.isfinite(values)
        x, y = np.append(value, values[mine]), np.append(0.0, np.abs(roots[mine]))
        order = np.argsort(side * x)
        x, y = x[order], np.maximum.accumulate(y[order])
        past = np.flatnonzero(y >= limit)
        if not past.size:
            ends.append(side * np.inf)
            continue
        k = max(int(past[0]), 1)
        share = (limit - y[k - 1]) / (y[k] - y[k - 1])
        ends.append(float(x[k - 1] + share * (x[k] - x[k - 1])))
    return ends[0], ends[1]


def as_problem(fitted: Fit) -> tuple[Problem, Array, Array]:
    """The regression a fit solved, on centred logarithms; where it ended (P,); and the centre."""
    law = type(fitted.law)
    logs = np.log([fitted.runs.column(name) for name in fitted.inputs])
    output = fitted.runs.column(fitted.output)
    centre = law.centre(logs)
    free = np.array([i for i, name in enumerate(law.names()) if name not in fitted.fixed], int)
    values = np.array([getattr(fitted.law, name) for name in law.names()])
    start = law.shift(law.to_theta(values), -centre)
    # absolute values are Huber's limit: a delta far below any noise
    delta = fitted.objective.delta or 1e-7
    logs = logs - centre[:, None]
    return Problem(law, logs, output, fitted.objective.name, delta, free), start, centre


def standard_errors(problem: Problem, start: Array, numbers, variance: float) -> Array:
    """Of numbers computed from theta, (K,), by their gradients and the Gauss-Newton matrix."""
    rows = jacobian(problem, start)
    gradient = slopes(numbers, start[None], problem.free)[0]  # (F, K)
    spread = np.linalg.pinv(rows @ rows.T)
    return np.sqrt(variance * np.maximum(np.einsum("fk,fg,gk->k", gradient, spread, gradient), 0))


def leverage(slope: Array) -> Array:
    """How much of its own fitted value each row determines (R,), from gradients (F, R); below 1."""
    unit = slope / np.maximum(np.sqrt((slope**2).sum(1, keepdims=True)), 1e-300)
    q, _ = np.linalg.qr(unit.T)
    return np.minimum((q**2).sum(1), 0.99)
