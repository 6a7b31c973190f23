"""How well the law forecasts: held-out scales in order of compute, and how far out a budget is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis import fitting
from analysis.audit.findings import Finding
from analysis.audit.neighbourhood import local
from analysis.audit.rows import scales
from analysis.audit.table import sentence
from analysis.fitting import Fit
from analysis.frontiers import Cost
from analysis.laws import Array, Chinchilla
from analysis.tables.runs import Runs

HOLD_OUT = ("rolling", "largest", "none")
LEAST = 10  # runs to train on
ONE_SIDED = 2.58  # of `together`: chance reaches it in 1 of 100 tables
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
    return scales(used.flops, 8)


def steps(used: Runs, objective: str, delta: float, hold_out: str = "rolling") -> list[Step]:
    """Forecasts of every level that has enough below it to fit a law; of the last alone for
    `largest`. A level whose smaller ones do not identify the law is left out."""
    label = levels(used)
    first = label.max() if hold_out == "largest" else 2
    found = []
    for level in range(max(2, first), label.max() + 1):
        below = used.select(label < level)
        if len(below) < LEAST:
            continue
        trained = fitting.fit(Chinchilla, below, objective=objective, delta=delta)
        if trained.status in ("ok", "few"):
            found.append(step(trained, used.select(label == level)))
    return found


def step(trained: Fit, ahead: Runs) -> Step:
    near = local(trained)
    below = trained.runs
    predicted = trained.law.loss(ahead.params, ahead.tokens)
    gap = np.log(predicted / ahead.loss)
    centre = Chinchilla.centre(np.log([below.params, below.tokens]))
    logs = np.log([ahead.params, ahead.tokens]) - centre[:, None]
    slope = Chinchilla.log_predict(near.theta[None], logs)[1][0][near.problem.free].mean(1)
    # a median of n has 1.57 times the variance of a mean
    doubt = np.sqrt(1.57 * near.noise**2 / len(gap) + slope @ near.covariance @ slope)
    flops = float(np.exp(np.log(ahead.flops).mean()))
    return Step(
        flops,
        flops / below.flops.max(),
        len(below),
        ahead,
        predicted,
        ahead.loss,
        float(np.median(gap)),
        float(np.median(np.abs(gap))),
        near.noise,
        float(doubt),
    )


def together(found: Sequence[Step]) -> float:
    """All forecasts as one number, standard normal under a law that holds: above zero where they
    are too high.

    Errors of forecasts from all smaller levels are independent from level to level (recursive
    residuals: Brown, Durbin and Evans 1975, JRSS B 37), so their sum over the root of their number
    shows a bend that no single one does (Harvey and Collier 1977, J. Econometrics 6). Each is first
    made a normal score, by Student's t, as its standard error is from few runs.
    """
    from scipy.special import ndtri, stdtr  # slow to import, and no fit needs it

    scores = [-np.sign(s.z) * ndtri(stdtr(freedom(s), -abs(s.z))) for s in found]
    return float(np.sum(scores) / np.sqrt(len(scores))) if scores else 0.0


def freedom(one: Step) -> int:
    """Degrees of freedom of a forecast's standard error."""
    return max(1, one.trained - len(Chinchilla.names()))


def held_out(found: Sequence[Step]) -> Finding:
    """hold-out: the last forecast against its standard error, and all of them for a common side."""
    if not found:
        text = (
            "No level of compute can be forecast: the smaller ones are too few (it takes two "
            f"levels and {LEAST} runs below) or do not determine the law by themselves. So "
            "nothing here shows that the law extrapolates."
        )
        return Finding("hold-out", "note", text, {"levels": 0})
    last, all_of_them = found[-1], together(found)
    numbers = {
        "levels": len(found),
        "flops": last.flops,
        "factor": last.factor,
        "runs": len(last.observed),
        "bias": last.bias,
        "error": last.error,
        "noise": last.noise,
        "z": last.z,
        "together": all_of_them,
        "rolling": [
            {
                "flops": s.flops,
                "factor": s.factor,
                "bias": s.bias,
                "error": s.error,
                "noise": s.noise,
                "z": s.z,
            }
            for s in found
        ],
    }
    said = (
        f"the law of the {last.trained} runs below forecasts the {len(last.observed)} largest "
        f"({last.flops:.3g} FLOPs, {last.factor:.2g} × beyond) within {100 * last.error:.2g} % "
        f"(median), {100 * abs(last.bias):.2g} % too {'high' if last.bias > 0 else 'low'}, "
        f"{abs(last.z):.2g} standard errors; the runs below scatter by "
        f"{100 * last.noise:.2g} %"
    )
    clear = abs(last.bias) > 0.5 * last.noise and abs(last.bias) > 1e-4
    missed = abs(last.z) > 3 and clear
    drift = len(found) > 1 and abs(all_of_them) > ONE_SIDED and worst(found) > 1e-4
    if not missed and not drift:
        near = abs(last.z) > 2 and clear
        return Finding("hold-out", "note" if near else "ok", sentence(said), numbers)
    if drift:
        said += f". {one_sided(found, all_of_them)}"
    text = (
        f"{sentence(said)}. The law bends, or the largest runs were trained otherwise (rate, "
        "schedule, repeated data). Beyond the table expect at least this bias again, on top of "
        "any interval; look whether leaving out the smallest runs mends it."
    )
    return Finding("hold-out", "warn", text, numbers)


def worst(found: Sequence[Step]) -> float:
    return max(abs(s.bias) for s in found)


def one_sided(found: Sequence[Step], score: float) -> str:
    """Which side the forecasts err to, one by one, and how seldom chance does that."""
    from scipy.special import ndtr

    side, same = ("high", 1) if score > 0 else ("low", -1)
    count = sum(s.bias * same > 0 for s in found)
    each = ", ".join(f"{100 * s.bias:+.2g} %" for s in found)
    return (
        f"{count} of {len(found)} forecasts in rising order of compute are too {side} ({each}): "
        f"together {abs(score):.2g} standard errors, which chance gives one table in "
        f"{1 / (2 * ndtr(-abs(score))):.2g}"
    )


def caution(fitted: Fit) -> str:
    """What speaks against extrapolating a fitted Chinchilla law: the hold-out's finding where it
    warns, else ""."""
    objective = fitted.objective
    found = held_out(steps(fitted.runs, objective.name, objective.delta or 1e-3))
    return found.message.rstrip(".") if found.severity == "warn" else ""


def extrapolation(used: Runs, law: Chinchilla, cost: Cost, at: Sequence[float]) -> list[Finding]:
    """extrapolation: how far each budget, with the law's optimum there, lies beyond the table."""
    found = []
    for flops in at:
        params, tokens = (float(v) for v in law.optimum(flops, cost.k, cost.p))
        factors = {
            "flops": outside(used.flops, flops),
            "params": outside(used.params, params),
            "tokens": outside(used.tokens, tokens),
        }
        span = float(used.flops.max() / used.flops.min())
        numbers = {"at": flops, **factors, "span_of_table": span}
        where = ", ".join(
            f"{factor:.3g} × {'beyond' if factor > 1 else 'below'} the table's {name}"
            if abs(np.log(factor)) > 1e-6
            else f"inside the table's {name}"
            for name, factor in factors.items()
        )
        worst = float(np.exp(max(abs(np.log(factor)) for factor in factors.values())))
        said = (
            f"{flops:.3g} FLOPs, where the law's optimum is {params:.3g} params and "
            f"{tokens:.3g} tokens: {where}"
        )
        severity = "ok" if worst < 1.05 else "note" if worst <= NEAR else "warn"
        if worst > FAR:
            severity = "refuse"
            said += (
                "; more than three decades out, no interval of this table means anything. "
                "Train runs nearer to it"
            )
        elif severity == "warn":
            said += (
                f"; the table's compute spans a factor {span:.3g}. Intervals hold noise, not "
                "a bend of the law: check the hold-out, and train one run half way "
                "there"
            )
        elif severity == "note":
            said += "; its interval holds noise, not a bend of the law, so see the hold-out"
        found.append(Finding("extrapolation", severity, f"{said}.", numbers))
    return found


def outside(column: Array, value: float) -> float:
    """How many times `value` is above the column's largest (> 1) or below its smallest (< 1)."""
    if value > column.max():
        return float(value / column.max())
    return float(min(1.0, value / column.min()))
