"""The best minimum of a regression from many starts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.fitting.solve import ROBUST, Problem, grid, minimise, project, value
from analysis.fitting.status import AGREE, distinct_minima
from analysis.laws import Array, Law


def search(problem: Problem, fixed: dict, centre: Array, starts: Sequence[Law] | None):
    """The best minimum (1, P) that starts lead to and whether it converged; the distinct minima, best first;
    and how many starts agree with the best, of how many. Very many runs are searched in a sample, and the
    best is then polished on all."""
    law, whole = problem.law, problem
    if problem.output.size > law.search:
        rows = np.random.default_rng(0).choice(problem.output.size, law.search, replace=False)
        problem = replace(problem, logs=problem.logs[:, rows], output=problem.output[rows])
    if starts is None:
        values = grid(law, fixed, problem.logs, problem.output)
    else:
        plain = np.array([[getattr(start, name) for name in law.names()] for start in starts])
        near = law.from_theta(law.shift(law.to_theta(plain), -centre))
        values = {name: near[:, law.names().index(name)] for name in law.grid}
        values |= {name: np.full(len(near), fixed[name]) for name in law.grid if name in fixed}
    theta = project(law, problem.logs, problem.output, values, fixed)
    theta = theta[: law.starts if starts is None else None]
    first, (theta, done) = theta, minimise(problem, theta)
    if law.rough and problem.name in ROBUST:
        # a falling delta leads past the narrow minima; look for those as well
        narrow, converged = minimise(problem, first, near=True)
        theta, done = np.concatenate([theta, narrow]), np.concatenate([done, converged])
    log_pred = law.log_predict(theta, problem.logs)[0]
    costs = value(problem.name, problem.delta, log_pred, problem.output)
    plain = law.from_theta(law.shift(theta, centre))  # on one ray a coefficient may be past all numbers
    costs = np.where(np.isfinite(costs) & np.isfinite(plain).all(1), costs, np.inf)
    order = np.argsort(costs, kind="stable")
    theta, costs, done = theta[order], costs[order], done[order]
    distinct = distinct_minima(problem, costs, theta)
    minima = tuple((float(costs[i]), plain_values(law, theta[i], centre)) for i in distinct)
    agreeing = int((costs <= costs[0] * (1 + AGREE) + 1e-15).sum())
    best = theta[:1]
    if whole is not problem:
        best, done = minimise(whole, best, near=True)
    return best, bool(done[0]), minima, agreeing, len(order)


def plain_values(law: type[Law], theta: Array, centre: Array) -> dict[str, float]:
    """The parameters by name, for plain inputs, of a theta (P,) for centred ones."""
    values = law.from_theta(law.shift(theta, centre))
    return {name: float(number) for name, number in zip(law.names(), values, strict=True)}
