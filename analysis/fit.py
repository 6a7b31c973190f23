"""A law fitted to a table: a start by variable projection, the objective asked for, polished."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.laws import Array, Law
from analysis.solve import OBJECTIVES, Problem, grid, minimise, project, value
from analysis.table import Runs

STARTS = 8  # exponents of the grid that go on to the full fit; centred logs make few enough
MANY = 20_000  # runs beyond which the search for a start uses a sample of them
AGREE = 1e-6  # relative distance of objectives within which two starts have met


@dataclass(frozen=True)
class Objective:
    """What was minimised: the sum over runs of Huber(r), |r| or r²; r in log or plain output."""

    name: str  # huber-log | l1-log | ls-log | ls
    delta: float | None  # the residual beyond which a run's pull stops growing; huber-log only
    value: float
    reduction: str = "sum"


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted law with what is needed to judge it.

    `status` is ok, few, unidentified, edge or failed, and `message` says why. `residuals` (R,) are
    log predicted - log observed of the R rows in `runs`. `draws` (S, P) are the parameters refitted
    to resamples, in the order of the law's fields, once `analysis.uncertainty` has made them.
    """

    law: Law
    objective: Objective
    runs: Runs
    inputs: tuple[str, ...]
    output: str
    residuals: Array
    status: str
    message: str
    starts: int
    starts_agreeing: int
    fixed: dict[str, float]
    dropped: list[tuple[int, str]]
    draws: Array | None = None

    @property
    def parameters(self) -> dict[str, float]:
        return {name: float(getattr(self.law, name)) for name in self.law.names()}

    @property
    def rmse(self) -> float:
        """Root mean square of the log residuals."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def interval(self, name: str) -> tuple[float, float] | tuple[None, None]:
        """95 % percentile interval of a parameter over the draws; (None, None) without draws."""
        if self.draws is None:
            return None, None
        low, high = np.nanpercentile(self.draws[:, self.law.names().index(name)], [2.5, 97.5])
        return float(low), float(high)

    def law_draws(self) -> Law:
        """The law whose fields are columns (S, 1) of draws, to broadcast against (K,) inputs."""
        if self.draws is None:
            raise ValueError("this fit has no draws; make them with analysis.uncertainty.pairs")
        return type(self.law)(*self.draws.T[:, :, None])


def fit(
    law: type[Law],
    runs: Runs,
    *,
    objective: str = "huber-log",
    delta: float = 1e-3,
    inputs: tuple[str, ...] | None = None,
    output: str | None = None,
    fixed: dict[str, float] | None = None,
    starts: Sequence[Law] | None = None,
) -> Fit:
    """Fit `law` to the usable rows of `runs`.

    Minimises the sum over runs of the objective from the best few points of a grid of exponents, or
    from `starts`, on centred logarithms with exact derivatives (Hoffmann et al. 2022, eq. 3, is
    huber-log with delta 1e-3).

    Args:
      law: a subclass of `Law`.
      runs: positive columns for the law's inputs and output; flagged rows are left out.
      objective: huber-log, l1-log, ls-log (log output) or ls (output).
      delta: size of a log residual beyond which a run's pull stops growing; for huber-log.
      inputs, output: columns that play the law's inputs and output, when not of those names.
      fixed: parameters held at a value, such as {"E": 0.0}.
      starts: laws whose exponents to start from, instead of the grid; the coefficients follow from
        the exponents by projection.

    Returns:
      The best law with its residuals and `status`. A poor fit is returned and says so.

    Raises:
      ValueError: an unknown objective or parameter, fewer rows than fitted parameters + 1, or a
        column that is missing or not positive.
    """
    fixed = dict(fixed or {})
    check_arguments(law, objective, delta, fixed)
    inputs, output = inputs or law.inputs, output or law.output
    used = runs.usable()
    columns = [positive(used, name) for name in (*inputs, output)]
    free = np.array([i for i, name in enumerate(law.names()) if name not in fixed], int)
    if len(used) < len(free) + 1:
        raise ValueError(
            f"{runs.source}: {len(used)} usable runs ({len(runs) - len(used)} flagged) for the "
            f"{len(free)} parameters of {law.__name__}; it needs at least {len(free) + 1}"
        )
    logs, observed = np.log(columns[:-1]), columns[-1]
    centre = logs.mean(1)
    problem = Problem(law, logs - centre[:, None], observed, objective, delta, free)
    if starts is None:
        exponents = grid(law, fixed)
    else:
        exponents = {n: np.array([fixed.get(n, getattr(s, n)) for s in starts]) for n in law.grid}
    centred = held(law, fixed, centre)
    some = problem
    if len(used) > MANY:  # the search on a sample, then the best of it polished on every run
        rows = np.random.default_rng(0).choice(len(used), MANY, replace=False)
        some = replace(problem, logs=problem.logs[:, rows], output=observed[rows])
    theta = project(law, some.logs, some.output, exponents, centred)
    theta = theta[: STARTS if starts is None else None]
    theta, done = minimise(some, theta)
    total = len(theta)
    theta, done, agreeing = best_of(some, theta, done)
    if some is not problem:
        theta, done = minimise(problem, theta, near=True)
    log_pred = law.log_predict(theta, problem.logs)[0]
    reached = float(value(objective, delta, log_pred, observed)[0])
    fitted = law(*(float(v) for v in law.from_theta(law.shift(theta[0], centre))))
    status, message = judge(law, problem, theta[0], bool(done[0]), agreeing)
    return Fit(
        law=fitted,
        objective=Objective(objective, delta if objective == "huber-log" else None, reached),
        runs=used,
        inputs=inputs,
        output=output,
        residuals=log_pred[0] - np.log(observed),
        status=status,
        message=message,
        starts=total,
        starts_agreeing=agreeing,
        fixed=fixed,
        dropped=runs.dropped(),
    )


def best_of(problem: Problem, theta: Array, done: Array) -> tuple[Array, Array, int]:
    """The best of several minima (1, P), whether it converged (1,), and how many reached it."""
    log_pred = problem.law.log_predict(theta, problem.logs)[0]
    costs = value(problem.name, problem.delta, log_pred, problem.output)
    costs = np.where(np.isfinite(costs), costs, np.inf)
    best = int(np.argmin(costs))
    agreeing = int((costs <= costs[best] * (1 + AGREE) + 1e-15).sum())
    return theta[best : best + 1], done[best : best + 1], agreeing


def check_arguments(law: type[Law], objective: str, delta: float, fixed: dict) -> None:
    if objective not in OBJECTIVES:
        raise ValueError(f"objective {objective!r} is not one of {', '.join(OBJECTIVES)}")
    if not delta > 0:
        raise ValueError(f"delta={delta} must be positive; Hoffmann et al. 2022 use 1e-3")
    for name in fixed:
        if name not in law.names():
            known = ", ".join(law.names())
            raise ValueError(f"{law.__name__} has no parameter {name!r} to fix; it has {known}")


def positive(runs: Runs, name: str) -> Array:
    column = runs.column(name)
    if column.dtype == object:
        raise ValueError(f"{runs.source}, column {name}: holds text, and a fit needs numbers")
    bad = np.flatnonzero(~((column > 0) & np.isfinite(column)))
    if bad.size:
        raise ValueError(
            f"{runs.source}, row {runs.rows[bad[0]]}, column {name}: {column[bad[0]]:g}; a fit "
            f'needs positive finite numbers, keep it out with --where "{name} > 0"'
        )
    return column


def held(law: type[Law], fixed: dict[str, float], centre: Array) -> dict[str, float]:
    """The fixed values as they are for centred inputs. A coefficient changes with the centre by its
    exponents, so it can only be fixed together with them."""
    out = dict(fixed)
    for term in law.terms:
        if term.coefficient in fixed:
            for v, exponent in term.powers:
                if exponent not in fixed:
                    raise ValueError(f"{term.coefficient} can be fixed only along with {exponent}")
                out[term.coefficient] *= np.exp(-fixed[exponent] * centre[v])
    return out


def judge(law, problem: Problem, theta: Array, done: bool, agreeing: int) -> tuple[str, str]:
    """Status and message of the best minimum found."""
    values = dict(zip(law.names(), law.from_theta(theta), strict=True))
    if not np.isfinite(theta[problem.free]).all():
        return "failed", "no start reached a finite optimum"
    if reason := degenerate(law, problem):
        return "unidentified", reason
    if reason := vague(law, problem, theta):
        return "unidentified", reason
    for i in problem.free:
        name = law.names()[i]
        if name in law.grid and not law.rising and values[name] <= 1e-4:
            return "edge", f"{name} fell to {values[name]:.2g}: the runs show no gain on that axis"
    constants = [t.coefficient for t in law.terms if not t.powers]
    for name in constants:
        if law.names().index(name) in problem.free and values[name] < 1e-3 * problem.output.min():
            return "edge", f"{name} fell to zero: the runs show no floor yet"
    if not done:
        return "failed", "the best start had not converged when its steps ran out"
    few = [len(np.unique(np.round(row, 6))) for row in problem.logs]
    if min(few) < 3:
        axis = few.index(min(few))
        return "few", f"only {min(few)} distinct values of {law.inputs[axis]}; a curve needs 3"
    return "ok", f"{agreeing} starts agree"


def degenerate(law: type[Law], problem: Problem) -> str:
    """Why the design cannot tell the parameters apart, whatever the losses are; else ""."""
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


def vague(law: type[Law], problem: Problem, theta: Array) -> str:
    """Which exponent the noise leaves undetermined (standard error above its value); else ""."""
    log_pred, slope = law.log_predict(theta[None], problem.logs)
    gap = log_pred[0] - np.log(problem.output)
    slope = slope[0][problem.free]
    spread = 1.4826 * np.median(np.abs(gap))
    scale = np.sqrt((slope**2).sum(1))
    if (scale < 1e-12).any():
        return ""  # a coefficient at zero; the edge check names it
    unit = slope / scale[:, None]
    singular = np.linalg.svd(unit, compute_uv=False)
    if singular[-1] < 1e-7 * singular[0]:
        return "two parameters do the same to every run; the fit is one of many equally good ones"
    errors = spread * np.sqrt(np.diag(np.linalg.inv(unit @ unit.T))) / scale
    for i, error in zip(problem.free, errors, strict=True):
        name = law.names()[i]
        if name in law.grid and not law.rising and error > abs(theta[i]):
            return (
                f"{name} = {theta[i]:.3g} has a standard error of about {error:.2g}: the runs do "
                "not determine it; add runs that vary that axis more"
            )
    return ""


def with_draws(fitted: Fit, draws: Array) -> Fit:
    return replace(fitted, draws=draws)
