"""Batched minimisation: many starts, or many resamples, of one robust regression at once.

Each step solves (H + λG) step = -gradient. G is the Gauss-Newton matrix of the reweighted squares
(always positive), H the exact second derivative; so λ = 1 is about a step of iteratively reweighted
Levenberg-Marquardt, which is safe far away, and λ → 0 is Newton's, which ends in a few steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.laws.base import Array, Law

ROBUST = ("huber-log", "l1-log")
OBJECTIVES = (*ROBUST, "ls-log", "ls")
CHUNK = 16_000  # rows of all batch members worked on together, so that arrays stay in the cache


@dataclass(frozen=True)
class Penalty:
    """strength · (number - target)² / 2, added to the objective of each batch member."""

    numbers: Callable[[Array], Array]  # of theta (S, P), (S, K)
    which: Array  # (S,), the number that pulls on a member
    targets: Array  # (S,)
    strength: Array  # (S,)

    def pieces(self, theta: Array, members: Array, free: Array) -> tuple[Array, Array, Array]:
        """Cost (S,), gradient (S, F) and Gauss-Newton matrix (S, F, F)."""
        rows, column = np.arange(len(theta)), self.which[members]
        slope = slopes(self.numbers, theta, free)[rows, :, column]
        strength = self.strength[members]
        with np.errstate(all="ignore"):  # a step too far, whose cost is no number, is not taken
            gap = self.numbers(theta)[rows, column] - self.targets[members]
            push = (strength * gap)[:, None] * slope
            outer = strength[:, None, None] * slope[:, :, None] * slope[:, None, :]
            return strength * gap**2 / 2, push, outer


def slopes(numbers: Callable[[Array], Array], theta: Array, free: Array) -> Array:
    """Gradient (S, F, K) of numbers by the free parameters, by central differences."""
    step = 1e-5 * np.eye(theta.shape[1])[free][:, None]
    beside = np.concatenate([theta + step, theta - step]).reshape(-1, theta.shape[1])
    with np.errstate(all="ignore"):
        up, down = numbers(beside).reshape(2, len(free), len(theta), -1)
        ends = (up - down) / 2e-5
    return np.nan_to_num(ends.swapaxes(0, 1), nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class Problem:
    """Rows and objective of one regression; logs are centred."""

    law: type[Law]
    logs: Array  # (V, R)
    output: Array  # (R,), or (S, R) when each batch member has its own
    name: str
    delta: float
    free: Array  # indices of the parameters that are fitted
    penalty: Penalty | None = None

    def rows(self, members: Array) -> Array:
        return self.output if self.output.ndim == 1 else self.output[members]


def pieces(name: str, delta: float, log_pred: Array, output: Array) -> tuple[Array, ...]:
    """A row's objective, its first and second derivative by the log prediction, and the weight of
    the squares that touch it from above; all (S, R)."""
    if name == "ls":
        pred = np.exp(np.minimum(log_pred, 300))
        gap = pred - output
        return gap**2 / 2, gap * pred, pred**2 + gap * pred, pred**2
    gap = log_pred - np.log(output)
    if name == "ls-log":
        one = np.ones_like(gap)
        return gap**2 / 2, gap, one, one
    size = np.abs(gap)
    inside = size <= delta
    value = np.where(inside, gap**2 / 2, delta * (size - delta / 2))
    return value, np.clip(gap, -delta, delta), inside * 1.0, delta / np.maximum(size, delta)


def value(name: str, delta: float, log_pred: Array, output: Array) -> Array:
    """The objective as reported, (S,): the sum over rows of Huber(r), |r| or r squared."""
    if name == "l1-log":
        return np.abs(log_pred - np.log(output)).sum(-1)
    scale = 1.0 if name == "huber-log" else 2.0
    return scale * pieces(name, delta, log_pred, output)[0].sum(-1)


def minimise(
    problem: Problem, theta: Array, weights: Array | None = None, rounds: int = 200, *, near: bool = False
) -> tuple[Array, Array]:
    """Local minima (S, P) from `theta` (S, P), and whether each one converged (S,).

    `weights` (S, R) count how often a resample holds each row. Robust objectives are approached
    through a falling delta: a wide one is smooth, and leads the narrow one to its valley. From
    `near` the minimum the wide ones are left out.
    """
    out, done = np.array(theta, float), np.zeros(len(theta), bool)
    if problem.name == "huber-log":
        deltas = [30 * problem.delta, 5 * problem.delta, problem.delta]
    elif problem.name == "l1-log":
        deltas = [10.0 ** (-2 - i / 2) for i in range(11)]  # 1e-2 to 1e-7
    else:
        deltas = [problem.delta]
    if near:
        deltas = deltas[-1:]
    size = max(1, CHUNK // problem.logs.shape[1])
    for first in range(0, len(out), size):
        members = np.arange(first, min(first + size, len(out)))
        w = None if weights is None else weights[members]
        for last, delta in ((d == deltas[-1], d) for d in deltas):
            limit = rounds if last else 12
            out[members], done[members] = descend(problem, delta, members, out[members], w, limit)
    return out, done


def descend(problem: Problem, delta: float, members: Array, theta: Array, weights, limit: int):
    """One stage of `minimise` for one chunk at one delta."""
    theta = theta.copy()
    damping = np.full(len(theta), 0.3)
    still = np.zeros(len(theta), int)  # steps in a row that gained next to nothing
    live = np.arange(len(theta))
    state = derivatives(problem, delta, theta, members, weights)
    for _ in range(limit):
        cost, gradient, hessian, majorant = (part[live] for part in state)
        step = solve_damped(hessian, majorant, gradient, damping[live])
        trial = theta[live]
        trial[:, problem.free] += step
        w = None if weights is None else weights[live]
        new = derivatives(problem, delta, trial, members[live], w)
        with np.errstate(invalid="ignore"):  # from one place without a value to another: no gain
            gain = cost - new[0]
        better = gain > 0
        theta[live[better]] = trial[better]
        for old, part in zip(state, new, strict=True):
            old[live[better]] = part[better]
        quiet = gain <= 1e-13 * cost
        # a step of Newton that neither moves nor gains: the minimum, to rounding
        here = np.abs(np.einsum("sf,sf->s", gradient, step)) <= 1e-15 * cost
        here &= (np.abs(step).max(1, initial=0) < 1e-6) & (damping[live] < 1)
        still[live] = np.where(here, 8, np.where(quiet, still[live] + 1, 0))
        damping[live] *= np.where(better, 0.2, 6.0)
        np.clip(damping, 1e-12, 1e12, out=damping)
        live = live[(still[live] < 8) & (damping[live] < 1e11)]
        if not live.size:
            break
    finished = np.ones(len(theta), bool)
    finished[live] = False
    return theta, finished


def derivatives(problem: Problem, delta: float, theta: Array, members: Array, weights):
    """Cost (S,), gradient (S, F), second derivative and majorant (S, F, F) over free parameters."""
    log_pred, slope, bend = problem.law.expand(theta, problem.logs, problem.free)
    cost, first, second, above = pieces(problem.name, delta, log_pred, problem.rows(members))
    if weights is not None:
        cost, first, second, above = (part * weights for part in (cost, first, second, above))
    across = slope.transpose(0, 2, 1)
    hessian = (slope * second[:, None]) @ across + bend(first)
    majorant = (slope * above[:, None]) @ across
    total = np.where(np.isfinite(log_pred).all(1), cost.sum(1), np.inf)
    gradient = (slope @ first[:, :, None])[:, :, 0]
    if problem.penalty:
        weight = delta / problem.delta if problem.name in ROBUST else 1.0  # as the objective grows
        parts = problem.penalty.pieces(theta, members, problem.free)
        extra, push, outer = (weight * part for part in parts)
        total, gradient = total + np.nan_to_num(extra, nan=np.inf), gradient + push
        hessian, majorant = hessian + outer, majorant + outer
    return total, gradient, hessian, majorant


def solve_damped(hessian: Array, majorant: Array, gradient: Array, damping: Array) -> Array:
    """-(H + λG)^-1 gradient (S, F), with a touch of ridge where G itself is singular."""
    diagonal = np.einsum("sii->si", majorant)
    ridge = 1e-12 * diagonal.sum(1) + 1e-300
    matrix = hessian + damping[:, None, None] * majorant
    eye = np.eye(matrix.shape[1])
    extra = ridge[:, None] + 1e-3 * damping[:, None] * diagonal
    matrix = matrix + eye * extra[:, None]
    matrix = np.nan_to_num(matrix, nan=0.0, posinf=1e300, neginf=-1e300)
    try:
        step = -np.linalg.solve(matrix, gradient[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        step = -(np.linalg.pinv(matrix) @ gradient[:, :, None])[:, :, 0]
    return np.clip(np.nan_to_num(step), -3, 3)


def grid(
    law: type[Law], fixed: dict[str, float], logs: Array | None = None, output: Array | None = None
) -> dict[str, Array]:
    """Every combination of the values a law would try at these rows, (S,) each."""
    values = law.grid if logs is None else law.choices(logs, output)
    axes = [(fixed[name],) if name in fixed else values[name] for name in law.grid]
    mesh = np.meshgrid(*axes, indexing="ij") if axes else []
    return {name: part.ravel() for name, part in zip(law.grid, mesh, strict=True)}


def project(
    law: type[Law], logs: Array, output: Array, values: dict[str, Array], fixed: dict[str, float]
) -> Array:
    """Starts (S, P), best first: the values of a grid (S,), each with least-squares coefficients.

    Variable projection: at given exponents a law is linear in its coefficients, so these need no
    start of their own (Golub & Pereyra 1973).
    """
    total = len(next(iter(values.values()))) if values else 1
    size = max(1, 8 * CHUNK // len(output))
    starts, misfits = [], []
    for first in range(0, total, size):
        some = {name: part[first : first + size] for name, part in values.items()}
        linear = coefficients(law, some, logs, output, fixed)
        every = law.from_linear(some, linear)
        every |= {name: np.full(len(linear), held) for name, held in fixed.items()}
        theta = law.to_theta(np.stack([every[name] for name in law.names()], 1))
        gap = law.log_predict(theta, logs)[0] - np.log(output)
        starts.append(theta)
        misfits.append(np.nan_to_num((gap**2).sum(1), nan=np.inf))
    return np.concatenate(starts)[np.argsort(np.concatenate(misfits), kind="stable")]


def coefficients(law, values: dict[str, Array], logs: Array, output: Array, fixed: dict) -> Array:
    """A law's linear coefficients (S, K) by least squares, kept above zero."""
    names = law.linear
    basis = law.basis(values, logs, output)
    held = np.array([name in fixed for name in names])
    target = np.ones((len(basis), len(output)))
    for k in np.flatnonzero(held):
        target -= fixed[names[k]] * basis[:, k]
    free = basis[:, ~held]
    unit = np.maximum(np.abs(free).max(2), 1e-300)
    free = free / unit[:, :, None]
    gram = free @ free.transpose(0, 2, 1)
    gram += np.eye(gram.shape[1]) * (1e-10 * np.einsum("sii->s", gram)[:, None, None] + 1e-300)
    solved = np.linalg.solve(gram, (free @ target[:, :, None]))[:, :, 0]
    linear = np.empty((len(basis), len(names)))
    linear[:, ~held] = np.maximum(solved, 0.01) / unit  # at least a hundredth of an output's worth
    linear[:, held] = [fixed[names[k]] for k in np.flatnonzero(held)]
    return linear


def held(law: type[Law], fixed: dict[str, float], centre: Array) -> dict[str, float]:
    """The fixed values as they are for centred inputs. A coefficient changes with the centre by its
    exponents, so it can only be fixed together with them."""
    out = dict(fixed)
    for name, unit in law.units.items():
        for v, factor, exponent in unit if name in fixed else ():
            if exponent is not None and exponent not in fixed:
                raise ValueError(f"{name} can be fixed only along with {exponent}")
            power = 1.0 if exponent is None else fixed[exponent]
            moved = -factor * power * centre[v]
            out[name] = out[name] * np.exp(moved) if name in law.positive() else out[name] + moved
    return out
