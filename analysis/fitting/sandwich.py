"""Resamples of very many rows, each one Gauss-Newton step from the optimum instead of a refit."""

import numpy as np

from analysis.fitting.solve import ROBUST, Problem, pieces
from analysis.laws.base import Array

BLOCK = 65_536  # rows whose derivatives are worked out at once
GROUPS = 20_000  # rows, or groups of them, from which their sum is drawn as what it is near to: normal
NEAREST = 0.2  # share of the residuals that tell how dense they are at zero


def one_step(
    problem: Problem, theta: Array, group: Array, resamples: int, rng: np.random.Generator, signs: bool
) -> Array:
    """Parameters (S, P) of S resamples: theta - H(w)^-1 g(w), where g(w) and H(w) are gradient and
    Gauss-Newton matrix with the weights w of a resample. Of many groups g(w) is drawn as normal with the
    covariance that resampling gives it, and H is that of all rows: the sandwich of Huber (1967), for
    absolute values with the density of Powell (1991; from memory).

    Args:
      problem, theta: the rows (R,) on centred logarithms, and where the fit ended (P,).
      group: which rows are drawn together (R,), from 0.
      signs: the wild bootstrap, of random signs, instead of groups drawn with replacement.
    """
    pull, weight, slope = row_derivatives(problem, theta)
    size, count = int(group.max()) + 1, len(problem.free)
    parts = np.stack([np.bincount(group, row, size) for row in pull * slope])  # (F, groups)
    whole = (slope * weight) @ slope.T
    if not signs:
        parts -= parts.mean(1, keepdims=True)  # rounding at the optimum, and no news
    out = np.tile(theta, (resamples, 1))
    if size > GROUPS:
        values, vectors = np.linalg.eigh(parts @ parts.T)
        drawn = rng.normal(size=(resamples, count)) * np.sqrt(np.maximum(values, 0)) @ vectors.T
        out[:, problem.free] -= drawn @ np.linalg.pinv(whole, hermitian=True)
        return out
    squares = [
        np.bincount(group, weight * slope[i] * slope[j], size) for i in range(count) for j in range(count)
    ]
    matrices = np.stack(squares, 1)  # (groups, F²)
    for first in range(0, resamples, 100):
        some = min(100, resamples - first)
        if signs:
            drawn, hessian = rng.choice([-1.0, 1.0], (some, size)) @ parts.T, np.tile(whole, (some, 1, 1))
        else:
            counts = rng.multinomial(size, np.full(size, 1 / size), size=some).astype(float)
            drawn, hessian = counts @ parts.T, (counts @ matrices).reshape(some, count, count)
        step = np.linalg.pinv(hessian, hermitian=True) @ drawn[:, :, None]
        out[first : first + some, problem.free] -= step[:, :, 0]
    return out


def row_derivatives(problem: Problem, theta: Array) -> tuple[Array, Array, Array]:
    """Of each row's objective at theta: its derivative by the log prediction (R,), its expected second one
    (R,), and the gradient of that prediction (F, R)."""
    rows, blocks = problem.output.size, []
    for at in (slice(i, i + BLOCK) for i in range(0, rows, BLOCK)):
        log_pred, slope = problem.law.log_predict(theta[None], problem.logs[:, at])
        _, pull, _, weight = pieces(problem.name, problem.delta, log_pred, problem.output[at])
        gap = log_pred[0] - np.log(problem.output[at])
        blocks.append((pull[0], weight[0], np.abs(gap), slope[0][problem.free]))
    pull, weight, gap, slope = (np.concatenate(part, -1) for part in zip(*blocks, strict=True))
    if problem.name in ROBUST:
        reach = max(problem.delta, float(np.quantile(gap, NEAREST)))
        weight = (gap <= reach) * (problem.delta / reach)
    return pull, weight, slope
