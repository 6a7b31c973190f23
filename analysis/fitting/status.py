"""What the minima of a fit are worth: a status word, and why."""

import re
from collections.abc import Collection

import numpy as np

from analysis.fitting.ends import exponent, loose, open_ends
from analysis.fitting.solve import ROBUST, Problem
from analysis.fitting.splits import Split, describe_splits
from analysis.laws.base import Array, Law

AGREE = 1e-6  # relative distance of objectives within which two starts have met
DISTINCT = np.log(1.25)  # how far two minima differ in some parameter that is not linear
Minima = tuple[tuple[float, dict[str, float]], ...]  # (objective, parameters), best first
QUIETEST = 1e-3  # noise of log loss below which no run's is taken to be
ENOUGH = 2  # runs a parameter below which there are few
SERIAL = 10  # rows below which no bend is looked for
RARE = 2.58  # standard errors of a bend; chance gives 1 of 200 tables
MOSTLY = 0.4  # share of the residuals' variance (ranks) that a column may explain
WIDER = r"; runs (over|of) [^;]*"  # advice that does not help where levels are missing
LIKELY = 1.92  # half of the 95 % point of a chi-square of one degree of freedom


def fit_status(
    problem: Problem, theta: Array, done: bool, agreeing: int, minima: Minima
) -> tuple[str, str, bool]:
    """Status and message of the best minimum found, and whether it is one optimum that the runs single
    out, of whose neighbourhood something can be said."""
    if reason := no_optimum(problem, theta, done, minima):
        status, message = reason
        why = [what_helps(problem, message), few(problem)]  # the cause first, the count after it
        return status, "; ".join(filter(None, why[::-1] if fewest_levels(problem)[0] < 3 else why)), False
    if reason := edge(problem, theta):
        return "edge", reason, True
    if reasons := open_ends(problem, theta):
        message = what_helps(problem, "; ".join(reasons))
        return "unidentified", f"{few(problem)}; {message}" if too_few_levels(problem) else message, True
    if reason := few(problem):
        return "few", reason, True
    if reasons := loose(problem, theta):
        return "unidentified", "; ".join(reasons), True
    if reason := bend(problem, theta):
        return "unidentified", reason, True
    return "ok", f"{agreeing} starts agree", True


def no_optimum(problem: Problem, theta: Array, done: bool, minima: Minima) -> tuple[str, str] | None:
    """Status and message where no one optimum was found."""
    law = problem.law
    if not np.isfinite(theta[problem.free]).all() or not np.isfinite(minima[0][0]):
        return "failed", "no start reached a finite optimum"
    if reason := degeneracy(law, problem):
        return "unidentified", reason
    reasons = filter(None, [rival_minimum(problem, minima), vagueness(law, problem, theta)])
    if reason := "; ".join(reasons):
        return "unidentified", reason
    if not done and not edge(problem, theta):
        return "failed", "the best start had not converged when its steps ran out"
    return None


def edge(problem: Problem, theta: Array) -> str:
    """Which exponent or floor fell to zero; else ""."""
    law = problem.law
    values = dict(zip(law.names(), law.from_theta(theta), strict=True))
    for name in (law.names()[i] for i in problem.free):
        if exponent(law, name) and not law.rising and values[name] <= 1e-4:
            return f"{name} fell to {values[name]:.2g}: the runs show no gain on that axis"
        if name == "E" and values["E"] < 1e-3 * problem.output.min():
            return "E fell to zero: the runs show no floor yet"
    return ""


def fewest_levels(problem: Problem) -> tuple[int, str]:
    """How many distinct values the input of fewest has, and its name."""
    law = problem.law
    axes = range(len(law.inputs)) if law.axes is None else law.axes
    return min((len(np.unique(np.round(problem.logs[v], 6))), law.inputs[v]) for v in axes)


def too_few_levels(problem: Problem) -> str:
    """The input of which there are too few levels for a curve; else ""."""
    levels, axis = fewest_levels(problem)
    return axis if 1 < levels < 3 else ""


def what_helps(problem: Problem, message: str) -> str:
    """The message, with more levels of an input instead of a wider range where levels are missing."""
    if not (axis := too_few_levels(problem)):
        return message
    return f"{re.sub(WIDER, '', message)}; runs at more values of {axis} would settle it"


def few(problem: Problem) -> str:
    """Of what there are too few: levels of an input, or runs for the parameters; else ""."""
    law, (levels, axis) = problem.law, fewest_levels(problem)
    if levels < 3:
        return f"only {levels} distinct values of {axis}; a curve needs 3"
    rows, enough = problem.output.size, ENOUGH * len(problem.free)
    if rows >= enough:
        return ""
    return (
        f"{rows} runs for the {len(problem.free)} coefficients of {law.__name__}: too few are left to show "
        f"that the law holds; train at new sizes and lengths until there are {enough} or more"
    )


def rival_minimum(problem: Problem, minima: Minima) -> str:
    """Which other minimum the runs cannot tell from the best; else "".

    By the likelihood ratio with the scale of the noise profiled out, n log(S'/S) for sums of
    absolute values and half of that for squares, at 95 % of a chi-square of one degree.
    """
    least, best = minima[0]
    if not least > 0:
        return ""
    count = problem.output.size * (1.0 if problem.name in ROBUST else 0.5)
    close = [one for one in minima[1:] if np.log(one[0] / least) < LIKELY / count]
    if not close:
        return ""
    law = problem.law
    moved = [law.names()[i] for i in problem.free if law.names()[i] in law.grid]

    def place(parameters: dict[str, float]) -> Array:
        return np.log(np.abs([parameters[name] for name in moved]) + 1e-300)

    cost, far = max(close, key=lambda one: np.abs(place(one[1]) - place(best)).max())
    here, there = (", ".join(f"{n} = {one[n]:.4g}" for n in moved) for one in (best, far))
    return (
        f"{len(close) + 1} minima fit these runs about equally well, from {here} to {there}, whose "
        f"objective is {100 * (cost / least - 1):.2g} % higher: {' and '.join(moved)} are weakly "
        f"identified; runs over a wider range of "
        f"{' and '.join(law.inputs)} would tell which"
    )


def degeneracy(law: type[Law], problem: Problem) -> str:
    """Why the design cannot tell the parameters apart, whatever the losses are; else ""."""
    if len(problem.logs) > 2:
        return ""  # columns that may well be constant, or follow from one another
    for name, row in zip(law.inputs, problem.logs, strict=True):
        if np.ptp(row) < 1e-9:
            return f"all runs have the same {name}, so its exponent cannot be fitted"
    if len(problem.logs) == 2:
        x, y = problem.logs
        slope = (x @ y) / (x @ x)
        scatter = float(np.sqrt(np.mean((y - slope * x) ** 2)))
        if scatter < 0.05:
            first, second = law.inputs
            return (
                f"all runs lie on one ray: {second} ∝ {first}^{slope:.2f} within "
                f"{100 * scatter:.1f} %, so what {first} and {second} each do cannot be told "
                f"apart; add runs with another ratio of {second} to {first}"
            )
    return ""


def vagueness(law: type[Law], problem: Problem, theta: Array) -> str:
    """Which parameter the noise leaves undetermined; else "". An exponent is when its standard
    error is above its value, a scale when it is above a factor e."""
    log_pred, slope = law.log_predict(theta[None], problem.logs)
    gap = log_pred[0] - np.log(problem.output)
    slope = slope[0][problem.free]
    spread = 1.4826 * np.median(np.abs(gap))
    scale = np.sqrt((slope**2).sum(1))
    names = [law.names()[i] for i in problem.free]
    for name, size in zip(names, scale, strict=True):
        if size < 1e-12 and name in law.grid and name != "E":
            return f"{name} changes the prediction of no run"
    if (scale < 1e-12).any():
        return ""  # a coefficient at zero; the edge check names it
    unit = slope / scale[:, None]
    singular = np.linalg.svd(unit, compute_uv=False)
    if singular[-1] < 1e-7 * singular[0]:
        return "two coefficients do the same to every run; the fit is one of many equally good ones"
    errors = spread * np.sqrt(np.diag(np.linalg.inv(unit @ unit.T))) / scale
    for name, size, error in zip(names, theta[problem.free], errors, strict=True):
        if exponent(law, name) and not law.rising and error > abs(size):
            return (
                f"{name} = {size:.3g} has a standard error of about {error:.2g}: the runs do "
                "not determine it; add runs that vary that axis more"
            )
        if name in law.grid and name in law.positive() and name != "E" and error > 1:
            factor = f"{np.exp(error):.2g}" if error < 10 else "e^10 and more"
            return f"{name} is known only within a factor of about {factor}"
    return ""


def bend(problem: Problem, theta: Array) -> str:
    """That the output bends where a law of one input does not, by how neighbours' residuals hang together
    (Bartels 1982, a ratio of von Neumann on ranks); else ""."""
    if len(problem.logs) > 1:
        return ""
    order = np.argsort(problem.logs[0], kind="stable")
    gap = (problem.law.log_predict(theta[None], problem.logs)[0][0] - np.log(problem.output))[order]
    rows = len(gap)
    if rows < SERIAL or np.sqrt(np.mean(gap**2)) < QUIETEST:
        return ""
    ranks = np.argsort(np.argsort(gap)).astype(float)
    ratio = (np.diff(ranks) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum()
    error = np.sqrt(4 * (rows - 2) * (5 * rows**2 - 2 * rows - 9) / (5 * rows * (rows + 1) * (rows - 1) ** 2))
    if ratio > 2 - RARE * error:
        return ""
    percent = 100 * np.sqrt(np.mean(gap**2))
    return (
        f"{problem.law.__name__} does not bend as the runs do: along {problem.law.inputs[0]} its residuals "
        f"({percent:.2g} % of the output) keep one side for several runs ({(2 - ratio) / error:.2g} standard "
        "errors): its numbers are the form's, not the runs'; fit the larger runs alone (--where), or another "
        "law"
    )


def several_laws(parted: dict[str, Split]) -> str:
    """That one law is fitted to runs of several, as a column parts most of the residuals; else ""."""
    strong = {name: split for name, split in parted.items() if split.share > MOSTLY}
    return describe_splits(strong)


def undetermined(law: Law, logs: Array, output: Array, held: Collection[str] = ()) -> list[str]:
    """The parameters of a fitted law, as they are printed, that the runs leave open: an exponent
    whose standard error is above its value, a coefficient known only within a factor e or worse.

    Args:
      law: the fitted law.
      logs: logarithms of its inputs (V, R).
      output: what was observed (R,).
      held: parameters that were not fitted.
    """
    names = [name for name in law.names() if name not in held]
    free = [law.names().index(name) for name in names]
    values = np.array([[getattr(law, name) for name in law.names()]], float)
    with np.errstate(all="ignore"):
        theta = type(law).to_theta(values)
        log_pred, slope = type(law).log_predict(theta, logs)
        gap = log_pred[0] - np.log(output)
        slope, theta = slope[0][free], theta[0][free]
    if not (np.isfinite(slope).all() and np.isfinite(gap).all()):
        return names
    spread = max(1.4826 * float(np.median(np.abs(gap))), QUIETEST)
    scale = np.maximum(np.sqrt((slope**2).sum(1)), 1e-300)
    left, singular, _ = np.linalg.svd(slope / scale[:, None], full_matrices=False)
    errors = spread * np.sqrt(((left / np.maximum(singular, 1e-9)) ** 2).sum(1)) / scale
    positive = law.positive()
    return [
        name
        for name, value, error in zip(names, theta, errors, strict=True)
        if not error < (1 if name in positive else max(abs(value), 1e-12))
    ]


def distinct_minima(problem: Problem, costs: Array, theta: Array) -> list[int]:
    """Which minima differ from every better one in a parameter that no projection gives."""
    law = problem.law
    looked = [i for i in problem.free if law.names()[i] in law.grid]
    logged = np.array([law.names()[i] in law.positive() for i in looked], bool)
    with np.errstate(all="ignore"):
        place = np.where(logged, theta[:, looked], np.log(np.abs(theta[:, looked])))
    kept: list[int] = []
    for i in np.flatnonzero(np.isfinite(costs)):
        if all((np.abs(place[i] - place[j]) > DISTINCT).any() for j in kept):
            kept.append(int(i))
    return kept[:8] or [0]
