"""How well the law forecasts: held-out scales in order of compute, and how far out a budget is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import fitting
from analysis.audit import rows
from analysis.audit.findings import Finding, sentence
from analysis.audit.neighbourhood import neighbourhood
from analysis.fitting import Fit
from analysis.frontiers import Cost
from analysis.laws import Array, Chinchilla, Law
from analysis.tables.runs import Runs

HOLD_OUT = ("rolling", "largest", "none")
LEAST = 10  # runs to train on
ONE_SIDED = 2.58  # of `pooled_score`: chance reaches it in 1 of 100 tables
NEAR, FAR = 10.0, 1000.0  # factors beyond the table from which a forecast warns, and is refused


@dataclass(frozen=True, eq=False)
class Step:
    """One forecast: the law fitted to all smaller levels of compute, and the next level's runs.

    `predicted` and `observed` are losses (n,). `bias` is the median of log predicted - log
    observed, `error` the median of its size, `noise` the robust standard deviation of the training
    residuals, and `doubt` the standard error of `bias` from noise and parameters together.
    """

    flops: float  # geometric mean of the level
    factor: float  # that over the largest compute trained on
    trained: int
    parameters: int
    runs: Runs
    predicted: Array
    observed: Array
    bias: float
    error: float
    noise: float
    doubt: float

    @property
    def z(self) -> float:
        return self.bias / self.doubt


def levels(used: Runs) -> Array:
    """Levels of compute (R,), rising from 0: the budget column's, else flops that lie together,
    else eight levels of equal count."""
    if used.has("budget") and (used.budget > 0).all():
        kinds, label = np.unique(used.budget, return_inverse=True)
        if 3 <= len(kinds) <= 30:
            return label
    return rows.levels(used.flops, 8)


def steps(
    used: Runs,
    objective: str,
    delta: float,
    held_out: str = "rolling",
    law: type[Law] = Chinchilla,
    fixed: Mapping[str, float] | None = None,
) -> list[Step]:
    """Forecasts of every level that has enough below it to fit a law, `fixed` held; of the last alone
    for `largest`. A level whose smaller ones do not identify the law is left out."""
    label, steps = levels(used), []
    first = label.max() if held_out == "largest" else 2
    for level in range(max(2, first), label.max() + 1):
        below = used.select(label < level)
        if len(below) < LEAST:
            continue
        trained = fitting.fit(law, below, objective=objective, delta=delta, fixed=fixed)
        if trained.regular and trained.status != "edge":
            steps.append(make_step(trained, used.select(label == level)))
    return steps


def make_step(trained: Fit, ahead: Runs) -> Step:
    """The forecast of runs by a law that was fitted without them."""
    near, below = neighbourhood(trained), trained.runs
    columns = [ahead.column(name) for name in trained.inputs]
    predicted = trained.law.loss(*columns)
    gap = np.log(predicted / ahead.loss)
    kind = type(trained.law)
    centre = kind.centre(np.log([below.column(name) for name in trained.inputs]))
    logs = np.log(columns) - centre[:, None]
    slope = kind.log_predict(near.theta[None], logs)[1][0][near.problem.free].mean(1)
    # a median of n has 1.57 times the variance of a mean
    doubt = np.sqrt(1.57 * near.noise**2 / len(gap) + slope @ near.covariance @ slope)
    flops = float(np.exp(np.log(ahead.flops).mean()))
    return Step(
        flops=flops,
        factor=flops / below.flops.max(),
        trained=len(below),
        parameters=len(kind.names()) - len(trained.fixed),
        runs=ahead,
        predicted=predicted,
        observed=ahead.loss,
        bias=float(np.median(gap)),
        error=float(np.median(np.abs(gap))),
        noise=near.noise,
        doubt=float(doubt),
    )


def pooled_score(steps: Sequence[Step]) -> float:
    """All forecasts as one number, standard normal under a law that holds: above zero where they
    are too high.

    Errors of forecasts from all smaller levels are independent from level to level (recursive
    residuals: Brown, Durbin and Evans 1975, JRSS B 37), so their sum over the root of their number
    shows a bend that no single one does (Harvey and Collier 1977, J. Econometrics 6). Each is first
    made a normal score, by Student's t, as its standard error is from few runs.
    """
    from scipy.special import ndtri, stdtr  # slow to import, and no fit needs it

    freedom = [max(1, step.trained - step.parameters) for step in steps]
    scores = [-np.sign(s.z) * ndtri(stdtr(f, -abs(s.z))) for s, f in zip(steps, freedom, strict=True)]
    return float(np.sum(scores) / np.sqrt(len(scores))) if scores else 0.0


def hold_out(steps: Sequence[Step]) -> Finding:
    """hold-out: the last forecast against its standard error, and all of them for a common side."""
    if not steps:
        text = (
            "No level of compute can be forecast: the smaller ones are too few (it takes two "
            f"levels and {LEAST} runs below) or do not determine the law by themselves. So "
            "nothing here shows that the law extrapolates."
        )
        return Finding("hold-out", "note", text, {"levels": 0})
    last, score = steps[-1], pooled_score(steps)
    names = ("flops", "factor", "bias", "error", "noise", "z")
    rolling = [{name: getattr(step, name) for name in names} for step in steps]
    numbers = {"levels": len(steps), "flops": last.flops, "factor": last.factor, "runs": len(last.observed)}
    numbers |= rolling[-1] | {"together": score, "rolling": rolling}
    size = f"{100 * abs(last.bias):.2g} % too {'high' if last.bias > 0 else 'low'}"
    statement = sentence(
        f"the law of the {last.trained} runs below forecasts the {len(last.observed)} largest "
        f"({last.flops:.3g} FLOPs, {last.factor:.2g} × beyond) within {100 * last.error:.2g} % "
        f"(median), {size}, "
        f"{abs(last.z):.2g} standard errors; the runs below scatter by "
        f"{100 * last.noise:.2g} %"
    )
    clear = abs(last.bias) > 0.5 * last.noise and abs(last.bias) > 1e-4
    drift = len(steps) > 1 and abs(score) > ONE_SIDED and max(abs(s.bias) for s in steps) > 1e-4
    if not drift and not (abs(last.z) > 3 and clear):
        return Finding("hold-out", "note" if abs(last.z) > 2 and clear else "ok", statement, numbers)
    if drift:  # what fired stands first
        statement = f"{one_sided(steps, score)}. {statement}"
    text = (
        f"{statement}. The law bends, or the largest runs were trained otherwise (rate, "
        "schedule, repeated data). Beyond the table expect at least this bias again, on top of "
        "any interval; look whether leaving out the smallest runs mends it."
    )
    return Finding("hold-out", "warn", text, numbers, f"a loss {size}")


def one_sided(steps: Sequence[Step], score: float) -> str:
    """Which side the forecasts err to, one by one, and how seldom chance does that."""
    from scipy.special import ndtr

    side, sign = ("high", 1) if score > 0 else ("low", -1)
    count = sum(step.bias * sign > 0 for step in steps)
    each = ", ".join(f"{100 * step.bias:+.2g} %" for step in steps)
    seldom = 2 * float(ndtr(-abs(score)))
    tables = "over a million" if seldom < 1e-6 else f"{float(f'{1 / seldom:.2g}'):,.0f}"
    return (
        f"{count} of {len(steps)} forecasts from smaller runs, in rising order of compute, are too {side} "
        f"({each}): together {abs(score):.2g} standard errors, which chance gives 1 table in {tables}"
    )


def caution(fitted: Fit) -> str:
    """What speaks against extrapolating a fitted law: the hold-out's finding where it
    warns, else ""."""
    objective = fitted.objective
    settings = {"law": type(fitted.law), "fixed": fitted.fixed}
    finding = hold_out(steps(fitted.runs, objective.name, objective.delta or 1e-3, **settings))
    return finding.message.rstrip(".") if finding.severity == "warn" else ""


def extrapolation(used: Runs, law: Law, cost: Cost, flops: float) -> Finding:
    """extrapolation: how far a budget, with the law's optimum there, lies beyond the table."""
    params, tokens = (float(v) for v in law.optimum(flops, cost.k, cost.p))
    columns = {"flops": (used.flops, flops), "params": (used.params, params), "tokens": (used.tokens, tokens)}
    factors = {name: beyond(*pair) for name, pair in columns.items()}
    span = float(used.flops.max() / used.flops.min())
    where = ", ".join(
        f"{factor:.3g} × {'beyond' if factor > 1 else 'below'} the table's {name}"
        if abs(np.log(factor)) > 1e-6
        else f"inside the table's {name}"
        for name, factor in factors.items()
    )
    worst = float(np.exp(max(abs(np.log(factor)) for factor in factors.values())))
    severity, advice = "ok", ""
    if worst > FAR:
        severity = "refuse"
        advice = (
            "; more than three decades out, no interval of this table means anything. Train runs nearer to it"
        )
    elif worst > NEAR:
        severity = "warn"
        advice = (
            f"; the table's compute spans a factor {span:.3g}. Intervals hold noise, not "
            "a bend of the law: check the hold-out, and train one run half way there"
        )
    elif worst >= 1.05:
        severity, advice = "note", "; its interval holds noise, not a bend of the law, so see the hold-out"
    text = (
        f"{flops:.3g} FLOPs, where the law's optimum is {params:.3g} params and "
        f"{tokens:.3g} tokens: {where}{advice}."
    )
    return Finding("extrapolation", severity, text, {"at": flops, **factors, "span_of_table": span})


def beyond(column: Array, value: float) -> float:
    """How many times `value` is above the column's largest (> 1) or below its smallest (< 1)."""
    if value > column.max():
        return float(value / column.max())
    return float(min(1.0, value / column.min()))
