"""The neighbourhood of a fitted law's optimum: standard errors and correlations."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting import Fit
from analysis.fitting.likelihood import jacobian, noise_scale
from analysis.fitting.profile import as_problem
from analysis.fitting.solve import ROBUST, Problem, minimise
from analysis.laws import Array

FINEST = 1e-6  # residuals below this are rounding: losses are written with about six digits


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """A fit and its neighbourhood, in centred parameters (E, A, B as logarithms).

    `jacobian` (F, R) is of the residuals by the parameters that are free and felt, and
    `covariance` (F, F) = `unit` · (JJᵀ)⁻¹, with the unit of variance that profiles have as well
    (Huber 1964). `noise` is the robust standard deviation of the residuals.
    """

    fitted: Fit
    problem: Problem
    theta: Array  # (P,)
    jacobian: Array
    unit: float
    noise: float
    covariance: Array

    @property
    def names(self) -> list[str]:
        """Of the F parameters that are free and felt."""
        return [self.problem.law.names()[i] for i in self.problem.free]

    def error(self, name: str) -> float:
        """Standard error of a parameter in its fitted form (E, A, B: relative)."""
        if name not in self.names:
            return float("nan")
        i = self.names.index(name)
        return float(np.sqrt(self.covariance[i, i]))

    def correlation(self, first: str, second: str) -> float:
        if first not in self.names or second not in self.names:
            return float("nan")
        i, j = self.names.index(first), self.names.index(second)
        return float(self.covariance[i, j] / np.sqrt(self.covariance[i, i] * self.covariance[j, j]))


def neighbourhood(fitted: Fit) -> Neighbourhood:
    """The neighbourhood of a fit's optimum."""
    problem, theta, _ = as_problem(fitted)
    # a parameter that no run feels (a floor of zero) is held
    felt = np.sqrt((jacobian(problem, theta) ** 2).sum(1)) > 1e-9
    problem = replace(problem, free=problem.free[felt])
    slope = jacobian(problem, theta)
    spent, curve = noise_scale(problem, theta)
    unit = max(spent, FINEST**2) / curve
    covariance = unit * np.linalg.pinv(slope @ slope.T, rcond=1e-14)
    noise = spread(drop_pinned(fitted.residuals, problem.name, len(problem.free)))
    return Neighbourhood(fitted, problem, theta, slope, unit, noise, covariance)


def spread(gap: Array) -> float:
    """Robust standard deviation about the median."""
    return max(FINEST, 1.4826 * float(np.median(np.abs(gap - np.median(gap)))))


def drop_pinned(gap: Array, name: str, fitted: int) -> Array:
    """The residuals without those that a robust fit sets to about zero, one a parameter: they say
    nothing of the noise (as in quantile regression)."""
    if name not in ROBUST or len(gap) <= 2 * fitted:
        return gap
    return gap[np.argsort(np.abs(gap), kind="stable")[fitted:]]


def refit_beside(near: Neighbourhood, name: str) -> tuple[dict[str, float], dict[str, float]]:
    """The law's parameters where one is held a standard error below and above its best, the others
    refitted (E, A, B: in equal steps of the logarithm)."""
    column, error = near.names.index(name), near.error(name)
    start = np.tile(near.theta, (2, 1))
    # the others set out along the fit's own quadratic
    along = error * near.covariance[:, column] / near.covariance[column, column]
    start[:, near.problem.free] += np.array([[-1.0], [1.0]]) * along
    held = replace(near.problem, free=np.delete(near.problem.free, column))
    theta, _ = minimise(held, start, near=True)
    centre = as_problem(near.fitted)[2]
    kind = near.problem.law
    laws = kind.from_theta(kind.shift(theta, centre))
    down, up = (dict(zip(kind.names(), map(float, law), strict=True)) for law in laws)
    return down, up
