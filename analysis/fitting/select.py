"""`--law auto`: rolling forecasts inside a table choose and weigh forms of the law.

One rule. Each form is fitted to all rows, and to those whose loss is within 30, 15 and 8 % of the best at
their compute or less: what a form cannot follow far from the optimum does not bend it near by. Each such
member forecasts, from the rows below a quarter and below half of the largest compute, the rows above; its
error is the mean size of the log residuals there (of rows within 15 % of the best). A member weighs as
error^-2, and the forecast is the weighted mean of log losses. The member of least error is the one shown.

Rows to be forecast are never seen. The numbers of the rule lie on a broad plateau: see docs/laws.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import wraps

import numpy as np

from analysis.fitting import regression
from analysis.fitting.regression import Fit
from analysis.laws import LAWS, Array, Law
from analysis.tables.runs import Runs

FORMS = ("chinchilla", "joint", "kaplan-nd")
WITHIN = (np.inf, 0.3, 0.15, 0.08)  # log loss above the best at its compute or less
SCORED = 0.15  # the same of held-out rows
CUTS = (4.0, 2.0)  # below the largest compute by these factors are the rows fitted to
LEAST = 10  # rows fitted to, and 2 forecast
Members = dict[tuple[str, float], Fit]


@dataclass(frozen=True)
class Form:
    """One form fitted to the rows within `within` of the best loss at their compute or less: its rolling
    `error` (mean size of log residuals; inf: no forecast could be made) and its `weight` in the mean."""

    name: str
    law: Law
    within: float
    rows: int
    error: float
    weight: float
    status: str

    def __str__(self) -> str:
        rows = "all rows" if np.isinf(self.within) else f"{self.rows} rows within {100 * self.within:.0f} %"
        error = f"{100 * self.error:.2g} %" if np.isfinite(self.error) else "none"
        return f"{self.name} ({rows}): {error}"


@wraps(regression.fit)
def fit(law, runs: Runs, **options) -> Fit:
    return select(runs, **options) if law == "auto" else regression.fit(law, runs, **options)


def select(runs: Runs, fixed=None, starts=None, **options) -> Fit:
    """The form that forecasts best by the rule above, fitted, with all forms in `forms` and how well each
    forecast in `message`. `predict` gives the weighted mean of all.

    Args:
      runs: with params and tokens; flagged rows are left out.
      fixed, starts: refused, as forms have other parameters.
      options: as of `fit`.

    Raises:
      ValueError: as `fit`; or no form has a finite fit.
    """
    if fixed or starts:
        raise ValueError("--law auto compares forms of different parameters: hold one with --law NAME")
    used = runs.usable()
    columns = [regression.positive(used, name) for name in options.get("inputs") or ("params", "tokens")]
    output = regression.positive(used, options.get("output") or "loss")
    compute = used.flops if used.has("flops") else columns[0] * columns[1]
    above = excess(compute, output)
    errors, known = rolling_errors(used, compute, above, columns, output, options)
    members = dict(fit_members(used, above, options, known, cold=True))
    if not members:
        regression.fit(FORMS[0], runs, **options)  # says why
        raise ValueError(f"{runs.source}: no form of --law auto has a finite fit")
    forms = weigh(members, errors)
    best = forms[0]
    chosen = regression.fit(LAWS[best.name], members[best.name, best.within].runs, **options)
    away = set(used.rows.tolist()) - set(chosen.runs.rows.tolist())
    reason = f"loss over {100 * best.within:.0f} % above the best at its compute or less: left out by auto"
    dropped = sorted([*runs.dropped(), *((row, reason) for row in away)])
    return replace(chosen, dropped=dropped, forms=forms, message=f"{chosen.message}; {describe(forms)}")


def excess(compute: Array, output: Array) -> Array:
    """Log of each output (R,) over the least at its compute or less."""
    order = np.argsort(compute, kind="stable")
    out = np.empty(len(output))
    out[order] = np.log(output[order] / np.minimum.accumulate(output[order]))
    return out


def rolling_errors(used: Runs, compute, above, columns, output, options):
    """Mean error of each member's forecasts, and the laws of the last cut, from which later fits start."""
    gaps: dict[tuple[str, float], list[float]] = {}
    known: dict[str, Law] = {}
    for cut in CUTS:
        below = compute <= compute.max() / cut * (1 + 1e-9)
        ahead = ~below & (above < SCORED)
        if below.sum() < LEAST or ahead.sum() < 2:
            continue
        some = used.select(below)
        for key, fitted in fit_members(some, excess(compute[below], output[below]), options, known):
            if np.isinf(key[1]):
                known = {**known, key[0]: fitted.law}
            with np.errstate(all="ignore"):
                said = np.log(fitted.law.loss(*(column[ahead] for column in columns)))
            gap = float(np.mean(np.abs(said - np.log(output[ahead]))))
            gaps.setdefault(key, []).append(gap if np.isfinite(gap) else np.inf)
    return {key: float(np.mean(each)) for key, each in gaps.items()}, known


def fit_members(
    some: Runs, above: Array, options, known: dict[str, Law], cold: bool = False
) -> Iterator[tuple[tuple[str, float], Fit]]:
    """Every form fitted to all rows and to those near the best, by (form, within). A form starts from its
    grid where it is not `known` from fewer rows (or `cold`), and near the best from the law of all."""
    for name in FORMS:
        starts = None if cold or name not in known else [known[name]]
        for within in WITHIN:
            rows = above < within
            if np.isfinite(within) and rows.all():
                continue  # the same rows again
            try:
                fitted = regression.fit(LAWS[name], some.select(rows), starts=starts, **options)
            except ValueError:
                continue  # too few rows
            if np.isfinite(list(fitted.parameters.values())).all():
                yield (name, within), fitted
                starts = starts or [fitted.law]


def weigh(members: Members, errors: dict[tuple[str, float], float]) -> tuple[Form, ...]:
    """The members with weights error^-2, the best first; alike where nothing could be forecast."""
    error = np.array([errors.get(key, np.inf) for key in members])
    if np.isfinite(error).any():
        weight = np.maximum(error / error.min(), 1) ** -2.0 if error.min() > 0 else (error == 0) * 1.0
    else:
        weight = np.array([float(np.isinf(within)) for _, within in members])
    weight = weight / weight.sum() if weight.any() else np.full(len(members), 1 / len(members))
    forms = [
        Form(name, one.law, within, len(one.runs), float(e), float(w), one.status)
        for ((name, within), one), e, w in zip(members.items(), error, weight, strict=True)
    ]
    return tuple(sorted(forms, key=lambda form: form.error))


def describe(forms: tuple[Form, ...]) -> str:
    """The best member of each form and its error, in words."""
    if np.isinf(forms[0].error):
        return "auto could forecast no larger rows, so forms weigh alike"
    best = {form.name: form for form in reversed(forms)}
    ranked = ", ".join(map(str, sorted(best.values(), key=lambda form: form.error)))
    return f"auto chose by the errors of rolling forecasts: {ranked}"
