"""Two arms fitted together: one law whose parameters differ by arm where they are let, and draws of it.

What is not let differ is shared. The noise is that of the residuals, so it holds what the form misses; runs
that pair (same size, length and seed in both arms) share part of it, and are drawn as pairs.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from analysis.fitting.solve import Problem, grid, minimise, project
from analysis.laws import Array, Chinchilla, Law, PowerLaw, jets
from analysis.laws.base import Sum
from analysis.laws.jets import Jet

PULL = 3.0  # robust standard deviations beyond which a run's pull stops growing
LEAST_PAIRS = 8
SPARE = 2  # runs beyond the parameters without which noise is not known
STARTS, STEPS = 6, 6


@dataclass(frozen=True)
class ByCounts(Law):
    """E + A N^-alpha + B D^-beta of the baseline; the arm's parameters lie a d... from them (log E, A, B)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    dE: float
    dA: float
    dB: float
    dalpha: float
    dbeta: float

    inputs: ClassVar = ("arm", "params", "tokens")
    alone: ClassVar[type[Sum]] = Chinchilla
    scale: ClassVar = ("dA", "dB")
    exponents: ClassVar = ("dalpha", "dbeta")

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        arm, n, d = logs
        return jets.log_sum(
            p.E + arm * p.dE,
            p.A + arm * p.dA - (p.alpha + arm * p.dalpha) * n,
            p.B + arm * p.dB - (p.beta + arm * p.dbeta) * d,
        )


@dataclass(frozen=True)
class ByCompute(Law):
    """E + A C^-alpha of the baseline, and the arm's differences, where only compute is known."""

    E: float
    A: float
    alpha: float
    dE: float
    dA: float
    dalpha: float

    inputs: ClassVar = ("arm", "flops")
    alone: ClassVar[type[Sum]] = PowerLaw
    scale: ClassVar = ("dA",)
    exponents: ClassVar = ("dalpha",)

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        arm, c = logs
        return jets.log_sum(p.E + arm * p.dE, p.A + arm * p.dA - (p.alpha + arm * p.dalpha) * c)


@dataclass(frozen=True, eq=False)
class Rows:
    """R runs of both arms: `arm` (R,) is 1 for those of the arm, `logs` (V, R) of the inputs less their
    `centre` (V,), `loss` (R,), and `pairs` (2, K) indices of (baseline, arm) runs that pair."""

    law: type[Law]
    arm: Array
    logs: Array
    centre: Array
    loss: Array
    pairs: Array = field(default_factory=lambda: np.empty((2, 0), int))

    @property
    def paired(self) -> bool:
        """Whether nearly all runs pair, and are enough to tell how far pairs hang together."""
        return self.pairs.shape[1] >= max(LEAST_PAIRS, 0.4 * len(self.loss))


@dataclass(frozen=True, eq=False)
class ArmsFit:
    """Parameters `theta` (P,) in fitted form, those of `free` fitted, `residuals` (R,) in log loss, and
    `spare` runs beyond the parameters."""

    rows: Rows
    problem: Problem
    theta: Array
    weights: Array
    residuals: Array
    done: bool

    @property
    def spare(self) -> int:
        return len(self.rows.loss) - len(self.problem.free)

    @property
    def sigma(self) -> float:
        """Noise of log loss, lack of fit included."""
        return float(np.sqrt((self.weights * self.residuals**2).sum() / max(self.spare, 1)))

    def names(self) -> list[str]:
        return [self.rows.law.names()[i] for i in self.problem.free]


def fit_arms(
    rows: Rows, let: tuple[str, ...], fixed: dict[str, float], start: Array | None = None
) -> ArmsFit:
    """The law of both arms by weighted least squares of log loss, in which the arm may differ in `let`.

    Args:
      rows: the runs.
      let: of the law's dA, dB, dalpha, dbeta, dE; the others are shared.
      fixed: parameters of the law held in both arms, in plain units (E, alpha, beta).
      start: theta to begin from; else the best few of a grid of exponents.
    """
    law, names = rows.law, rows.law.names()
    held = {name: np.log(max(value, 1e-300)) if name == "E" else value for name, value in fixed.items()}
    free = [i for i, name in enumerate(names) if name not in held and (name[0] != "d" or name in let)]
    logs = np.vstack([rows.arm, rows.logs])
    problem = Problem(law, logs, rows.loss, "ls-log", 1.0, np.array(free))
    theta = starts(rows, fixed) if start is None else start[None]
    for name, value in held.items():
        theta[:, names.index(name)] = value
    weights = np.ones(len(rows.loss))
    for again in range(4):
        theta, done = minimise(problem, theta, np.tile(weights, (len(theta), 1)))
        gaps = law.log_predict(theta, logs)[0] - np.log(rows.loss)
        costs = np.nan_to_num((weights * gaps**2).sum(1), nan=np.inf)
        best = int(np.argmin(costs))
        theta, done, gap = theta[best : best + 1], bool(done[best]), gaps[best]
        size = np.abs(gap)
        spread = 1.4826 * np.median(size) * np.sqrt(len(gap) / max(len(gap) - len(free), 1))
        fresh = (
            np.minimum(1, PULL * spread / np.maximum(size, 1e-12)) if len(gap) > 2 * len(free) else weights
        )
        if again == 3 or np.abs(fresh - weights).max() < 1e-3:
            break
        weights = fresh
    return ArmsFit(rows, problem, theta[0], weights, gap, done)


def starts(rows: Rows, fixed: dict[str, float]) -> Array:
    """The best few starts (S, P) with all parameters shared, by projection on a grid of exponents."""
    alone, names = rows.law.alone, rows.law.names()
    held = {name: value for name, value in fixed.items() if name in alone.names()}
    near = project(alone, rows.logs, rows.loss, grid(alone, held), held)[:STARTS]
    theta = np.zeros((len(near), len(names)))
    for i, name in enumerate(alone.names()):
        theta[:, names.index(name)] = near[:, i]
    return theta


def draw(fit: ArmsFit, draws: int, seed: int) -> Array:
    """Parameters (S, P) refitted to losses drawn about the fit with its noise.

    The noise's own scale is drawn too (of a chi-square of `spare` degrees), so that percentiles are as wide
    as Student's t makes them in few runs. Where runs pair, sums and differences of a pair have a noise each.
    """
    rng, rows = np.random.default_rng(seed), fit.rows
    log_pred = rows.law.log_predict(fit.theta[None], fit.problem.logs)[0]
    root = np.sqrt(np.maximum(fit.weights, 1e-6))
    noise = rng.standard_normal((draws, len(rows.loss))) * fit.sigma * student(rng, draws, fit.spare)
    if rows.paired:
        base, arm = rows.pairs
        pull, own = root * fit.residuals, sum(name[0] == "d" for name in fit.names())
        parts = []
        for sign, used in ((1, len(fit.names()) - own), (-1, own)):
            spare = max(len(base) - used, 1)
            scale = np.sqrt(((pull[base] + sign * pull[arm]) ** 2).sum() / spare) / 2
            parts.append(scale * student(rng, draws, spare) * rng.standard_normal((draws, len(base))))
        noise[:, base], noise[:, arm] = parts[0] + parts[1], parts[0] - parts[1]
    return refit(fit, log_pred + noise / root)


def refit(fit: ArmsFit, log_loss: Array) -> Array:
    """Parameters (S, P) that fit losses (S, R) near the fit's own, all at once: a few damped steps of Gauss
    and Newton, which need no second derivatives."""
    law, logs, free = fit.rows.law, fit.problem.logs, fit.problem.free
    theta = np.tile(fit.theta, (len(log_loss), 1))
    damping = np.full(len(theta), 1e-4)

    def look(theta: Array):
        log_pred, slope, _ = law.expand(theta, logs, free, second=False)
        gap = log_loss - log_pred
        return gap, slope, np.nan_to_num((fit.weights * gap**2).sum(1), nan=np.inf)

    gap, slope, cost = look(theta)
    for _ in range(STEPS):
        pull = fit.weights * slope
        square = pull @ slope.transpose(0, 2, 1)
        ridge = damping[:, None] * np.einsum("sii->si", square) + 1e-12
        damped = square + ridge[:, :, None] * np.eye(len(free))
        step = np.linalg.solve(damped, (pull @ gap[:, :, None]))[:, :, 0]
        trial = theta.copy()
        trial[:, free] += np.clip(step, -2, 2)
        new = look(trial)
        better = new[2] < cost
        theta[better] = trial[better]
        gap, slope, cost = (
            np.where(better.reshape(-1, *[1] * (old.ndim - 1)), fresh, old)
            for old, fresh in zip((gap, slope, cost), new, strict=True)
        )
        damping = np.where(better, 0.1 * damping, 30 * damping)
    return theta


def student(rng, draws: int, spare: int) -> Array:
    """sqrt(spare / chi-square) (S, 1): what makes normal numbers Student's t."""
    return np.sqrt(spare / rng.chisquare(max(spare, 1), (draws, 1)))


def beyond(theta: Array, draws: Array, names: list[str], law: type[Law]) -> float:
    """p of the hypothesis that these parameters are zero: the share of draws that lie as far from the
    estimate as zero does, by their own covariance."""
    index = [law.names().index(name) for name in names]
    gaps, here = draws[:, index] - theta[index], theta[index]
    gaps = gaps[np.isfinite(gaps).all(1)]
    middle = np.abs(gaps).max(1) <= np.quantile(np.abs(gaps).max(1), 0.95)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(gaps[middle].T)))
    far = np.einsum("si,ij,sj->s", gaps, inverse, gaps)
    return float((far >= here @ inverse @ here).mean())
