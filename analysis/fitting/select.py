"""`--law auto`: rolling forecasts inside a table choose and weigh forms of the law.

One rule. Four forms: three laws, and one of them with its floor held up, as few levels let it fall far below
what larger runs then show. Each is fitted to all rows, and to those whose loss is within 30, 15 and 8 % of
the best at their compute or less: what a form cannot follow far from the optimum does not bend it near by;
each time at all compute, and at the largest factors of 100 and 20: nor does what small runs did. A member is
raised to the middle of its residuals at the largest compute. Each forecasts, from the rows below a quarter
and below half of the largest compute, the rows above; its error is the mean size of the log residuals there
(of rows within 15 % of the best). Which rows a form is fitted to, the errors tell: the member of least error
speaks for its form. Which form holds farther on, where alone a floor shows, they hardly tell: the four weigh
nearly alike, one whose error is ten times the least half as much. The forecast is the weighted mean of log
losses; the form of least error is the one shown.

Rows to be forecast are never seen. The numbers of the rule were chosen with tables in view: see docs/laws.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import wraps
from itertools import product

import numpy as np

from analysis.fitting import regression
from analysis.fitting.regression import Fit
from analysis.laws import LAWS, Array, Law
from analysis.tables.runs import Runs, check_runs

HIGH = 2 / 3  # of the least loss: the floor of the second form of `joint` lies no lower
FORMS = (("chinchilla", 0.0), ("joint", 0.0), ("joint", HIGH), ("kaplan-nd", 0.0))  # law, least floor
WITHIN = (np.inf, 0.3, 0.15, 0.08)  # log loss above the best at its compute or less
SINCE = (np.inf, 100.0, 20.0)  # factors of compute below the largest from which rows are fitted
TOP = 2.0  # the factor below the largest compute of rows to whose middle a member is raised, three or more
SCORED = 0.15  # the same of held-out rows
CUTS = (4.0, 2.0)  # below the largest compute by these factors are the rows fitted to
ALIKE = 10.0  # times the least error: forms of less are hardly told apart
LEAST = 10  # rows fitted to, and 2 forecast
Member = tuple[str, float, float, float]  # law, least floor, within, since
Members = dict[Member, tuple[Fit, Law]]  # as fitted, and raised


@dataclass(frozen=True)
class Form:
    """One form, a law whose floor is `floor` of the least loss or more, fitted to the rows within `within` of
    the best loss at their compute or less, of the largest factor `since` of compute, and raised to the middle
    of the largest: its rolling `error` (mean size of log residuals; inf: no forecast could be made) and its
    `weight` in the mean."""

    name: str
    floor: float
    within: float
    since: float
    rows: int
    error: float
    weight: float
    status: str
    law: Law

    def __str__(self) -> str:
        rows = f"{self.rows} rows"
        rows += f" within {100 * self.within:.0f} %" if np.isfinite(self.within) else ""
        rows += f" of the top {self.since:.0f} ×" if np.isfinite(self.since) else ""
        error = f"{100 * self.error:.2g} %" if np.isfinite(self.error) else "none"
        floor = f"floor >= {self.floor:.2g} of the least loss, " if self.floor else ""
        return f"{self.name} ({floor}{rows}): {error}"


@wraps(regression.fit)
def fit(law, runs: Runs, **options) -> Fit:
    check_runs(runs)
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
    members = dict(fit_members(used, compute, above, options, known, cold=True))
    if not members:
        regression.fit(FORMS[0][0], runs, **options)  # says why
        raise ValueError(f"{runs.source}: no form of --law auto has a finite fit")
    forms = weigh(members, errors)
    forms = tuple(judged(form, members, options) for form in forms)
    best = forms[0]
    member = members[best.name, best.floor, best.within, best.since][0]
    chosen = regression.fit(LAWS[best.name], member.runs, fixed=member.fixed, **options)
    away = set(used.rows.tolist()) - set(chosen.runs.rows.tolist())
    above_best = f"loss over {100 * best.within:.0f} % above the best at its compute or less"
    limits = [above_best] * bool(np.isfinite(best.within))
    limits += [f"compute below 1/{best.since:.0f} of the largest"] * bool(np.isfinite(best.since))
    reason = f"{' or '.join(limits)}: left out by auto"
    dropped = sorted([*runs.dropped(), *((row, reason) for row in away)])
    return replace(chosen, dropped=dropped, forms=forms, message=f"{chosen.message}; {describe(forms)}")


def excess(compute: Array, output: Array) -> Array:
    """Log of each output (R,) over the least at its compute or less."""
    order = np.argsort(compute)
    last = np.searchsorted(compute[order], compute * (1 + 1e-9), side="right") - 1
    return np.log(output / np.minimum.accumulate(output[order])[last])


def rolling_errors(used: Runs, compute, above, columns, output, options):
    """Mean error of each member's forecasts, and the laws of the last cut, from which later fits start."""
    gaps: list[dict[Member, float]] = []  # of each cut
    known: dict[tuple[str, float], Law] = {}
    for cut in CUTS:
        below = compute <= compute.max() / cut * (1 + 1e-9)
        ahead = ~below & (above < SCORED)
        if below.sum() < LEAST or ahead.sum() < 2:
            continue
        some, here = used.select(below), {}
        for key, (fitted, raised) in fit_members(
            some, compute[below], excess(compute[below], output[below]), options, known
        ):
            if np.isinf(key[2:]).all():
                known = {**known, key[:2]: fitted.law}
            with np.errstate(all="ignore"):
                predicted = np.log(raised.loss(*(column[ahead] for column in columns)))
            gap = float(np.mean(np.abs(predicted - np.log(output[ahead]))))
            here[key] = gap if np.isfinite(gap) else np.inf
        gaps.append(here)
    whole = [{key[:2]: gap for key, gap in here.items() if np.isinf(key[2:]).all()} for here in gaps]
    pairs = list(zip(gaps, whole, strict=True))
    errors = {  # where a member had too few rows at a cut, its form's error by all of them stands in
        key: float(np.mean([here.get(key, all_.get(key[:2], np.inf)) for here, all_ in pairs]))
        for key in set().union(*gaps)
    }
    return errors, known


def fit_members(
    some: Runs, compute: Array, above: Array, options, known: dict[tuple[str, float], Law], cold: bool = False
) -> Iterator[tuple[Member, tuple[Fit, Law]]]:
    """Every form fitted to all rows and to those near the best or of large compute, and raised. A form starts
    from its grid where it is not `known` from fewer rows (or `cold`), and elsewhere from the law of all."""
    least = float(regression.positive(some, options.get("output") or "loss").min())
    for name, floor in FORMS:
        starts, done = None if cold or (name, floor) not in known else [known[name, floor]], {}
        for since, within in product(SINCE, WITHIN):
            rows = (above < within) & (compute >= compute.max() / since * (1 - 1e-9))
            if rows.tobytes() in done:  # the same rows again: another member of the rule, not of the mean
                if not cold:
                    yield (name, floor, within, since), done[rows.tobytes()]
                continue
            if done and rows.sum() < LEAST:
                continue
            try:
                fitted = fit_above(name, floor * least, some.select(rows), starts, options)
            except ValueError:
                continue  # too few rows
            if np.isfinite(list(fitted.parameters.values())).all():
                done[rows.tobytes()] = fitted, raise_to_top(fitted, compute[rows], above[rows])
                yield (name, floor, within, since), done[rows.tobytes()]
                starts = starts or [fitted.law]


def fit_above(name: str, floor: float, rows: Runs, starts, options) -> Fit:
    """The law fitted with a floor of at least `floor` nats/token: held there where it would lie lower, as the
    objective then falls towards it."""
    fitted = regression.fit(LAWS[name], rows, starts=starts, judge=False, **options)
    if not floor or fitted.law.E >= floor:
        return fitted
    return regression.fit(LAWS[name], rows, fixed={"E": floor}, starts=starts, judge=False, **options)


def raise_to_top(fitted: Fit, compute: Array, above: Array) -> Law:
    """The law times the factor that brings it to the middle of the rows of the largest compute."""
    top = (compute >= compute.max() / TOP) & (above < SCORED)
    if top.sum() < 3:
        return fitted.law
    raised = fitted.law.times(float(np.exp(-np.median(fitted.residuals[top]))))
    return raised if np.isfinite(list(vars(raised).values())).all() else fitted.law


def weigh(members: Members, errors: dict[Member, float]) -> tuple[Form, ...]:
    """The member of least error of each form, or that of all rows, the best first. Weights are
    1/(error^2 + (ALIKE · the least error)^2), and equal where nothing could be forecast."""
    speakers: dict[tuple[str, float], Member] = {}
    for key in sorted(members, key=lambda key: (errors.get(key, np.inf), *np.negative(key[2:]))):
        speakers.setdefault(key[:2], key)
    error = np.array([errors.get(key, np.inf) for key in speakers.values()])
    least = max(error.min(), 1e-12)  # nought of a planted law
    weight = 1 / (error**2 + (ALIKE * least) ** 2) if np.isfinite(least) else np.ones(len(error))
    weight = weight / weight.sum()
    forms = [
        Form(*key, len(members[key][0].runs), float(e), float(w), members[key][0].status, members[key][1])
        for key, e, w in zip(speakers.values(), error, weight, strict=True)
    ]
    return tuple(sorted(forms, key=lambda form: form.error))


def judged(form: Form, members: Members, options) -> Form:
    """The form with its status."""
    fitted, _ = members[form.name, form.floor, form.within, form.since]
    again = regression.fit(LAWS[form.name], fitted.runs, fixed=fitted.fixed, starts=[fitted.law], **options)
    return replace(form, status=again.status)


def describe(forms: tuple[Form, ...]) -> str:
    """Each form and its error, in words."""
    if np.isinf(forms[0].error):
        return "auto could forecast no larger rows, so forms weigh alike"
    ranked = ", ".join(map(str, forms))
    return f"auto chose by the errors of rolling forecasts: {ranked}"
