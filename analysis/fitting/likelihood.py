"""How much worse a fit must be before the noise rules it out, and its standard errors."""

import numpy as np

from analysis.fitting.solve import ROBUST, Problem, pieces
from analysis.laws.base import Array


def height(problem: Problem, theta: Array) -> Array:
    """The objective at theta (S, P), (S,), in the units that `likelihood_scale` speaks of."""
    log_pred = problem.law.log_predict(theta, problem.logs)[0]
    if problem.name == "l1-log":
        return problem.delta * np.abs(log_pred - np.log(problem.output)).sum(1)
    return pieces(problem.name, problem.delta, log_pred, problem.output)[0].sum(1)


def noise_scale(problem: Problem, start: Array) -> tuple[float, float]:
    """(tau, curvature of a row's objective): 2 (rise of the objective) / tau is the square of a number
    that is distributed as Student's t.

    For squares tau is the residual variance. For Huber and absolute values it is E[psi²] / E[psi'],
    with E[psi'] from the share of rows in the nearer half of the residuals, without the P rows that
    the fit runs through.
    """
    log_pred = problem.law.log_predict(start[None], problem.logs)[0][0]
    rows, count = len(problem.output), len(problem.free)
    if problem.name not in ROBUST:
        return 2 * height(problem, start[None])[0] / (rows - count), 1.0
    size = np.sort(np.abs(log_pred - np.log(problem.output)))[count:]
    reach = max(problem.delta, float(np.quantile(size, 0.5)))
    curve = float(np.mean(size <= reach)) * problem.delta / reach
    square = float(np.mean(np.minimum(size, problem.delta) ** 2))
    return square / curve, curve


def freedom(problem: Problem) -> float:
    """How many residuals tell the noise of a problem, less one a free parameter."""
    return max(problem.output.shape[-1] - len(problem.free), 1)


def likelihood_scale(problem: Problem, start: Array, level: float) -> tuple[float, float, float]:
    """`noise_scale`, and the limit ± within which that number stays in `level` of all tables. The nearer half
    of the residuals tells a robust fit its noise: half as many are the degrees of freedom."""
    from scipy.special import stdtrit  # slow to import, and few fits need it

    known = freedom(problem) / (2 if problem.name in ROBUST else 1)
    return *noise_scale(problem, start), float(stdtrit(known, 0.5 + level / 2))


def jacobian(problem: Problem, theta: Array) -> Array:
    """Of the residuals at theta (P,) by the free parameters, (F, R)."""
    log_pred, slope = problem.law.log_predict(theta[None], problem.logs)
    slope = slope[0][problem.free]
    return slope * np.exp(log_pred[0]) if problem.name == "ls" else slope


def covariance(problem: Problem, theta: Array) -> Array:
    """Of the free parameters in their fitted form, (F, F), by the Gauss-Newton matrix at theta (P,)."""
    unit, curve = noise_scale(problem, theta)
    rows = jacobian(problem, theta)
    return unit / curve * np.linalg.pinv(rows @ rows.T)
