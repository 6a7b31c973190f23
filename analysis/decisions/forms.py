"""What is fitted to two arms: by params and tokens or by compute alone, to which runs, sharing what."""

from collections.abc import Mapping

import numpy as np

from analysis.decisions.arms import SPARE, ArmsFit, Rows, fit_arms
from analysis.decisions.ladders import Ladders, by_compute, by_counts, not_by_counts, scatter

WITHIN = (np.inf, 0.3, 0.15, 0.08)  # log loss above the best of a budget
MISS = 2.0  # times their scatter about a smooth curve, by which a form may miss the best runs
TOLD = 5  # degrees of freedom from which that scatter is known
# of the loss: a miss that is none, and, where scatter is hardly known, one that is
SLIGHT, GROSS = 0.002, 0.01


def choose_rows(ladders: Ladders, fixed: Mapping[str, float]) -> tuple[Rows, list[str], bool]:
    """All runs by params and tokens; or those near the best of their budget, where the law of all misses
    the best; or the best alone by compute. Notes on what was left out; whether the form misses them still."""
    plain, (noise, spare) = by_compute(ladders), scatter(ladders)
    limit = (
        max(MISS * noise, SLIGHT) if spare >= TOLD else max(1.5 * MISS * noise, GROSS) if spare else np.inf
    )
    why = not_by_counts(ladders, fixed)
    for within in () if why else WITHIN:
        rows, best = by_counts(ladders, within)
        let = (*rows.law.scale, *own_exponents(rows, fixed))
        if len(rows.loss) < 2 * (len(rows.law.alone.names()) + len(let)):
            if within == np.inf:
                return rows, [], False
            break
        miss = float(np.sqrt(np.mean(fit_arms(rows, let, dict(fixed)).residuals[best] ** 2)))
        if miss <= limit:
            left = sum(map(len, ladders.runs)) - len(rows.loss)
            percent = f"{100 * within:.0f} % above the best of their budget"
            notes = [f"{left} runs over {percent} are left out: no law holds for them too"] * (left > 0)
            return rows, notes, False
    why = why or f"a law of params and tokens misses the best runs of their budgets by {100 * miss:.2g} %"
    notes = [f"compared by compute alone, of the best runs of each budget: {why}"]
    held = {name: value for name, value in fixed.items() if name in plain.law.names()}
    curve = fit_arms(plain, (*plain.law.scale, *own_exponents(plain, fixed), "dE"), held)
    misses = curve.spare > 0 and curve.sigma > limit
    if misses:
        notes.append(
            f"E + A·flops^-alpha misses the best runs by {100 * curve.sigma:.2g} %, and curves through them "
            f"by {100 * noise:.2g} %: intervals hold both, and what is extrapolated is the form's"
        )
    return plain, notes, misses


def own_exponents(rows: Rows, fixed: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(name for name in rows.law.exponents if name[1:] not in fixed)


def check(rows: Rows, ladders: Ladders, fixed: Mapping[str, float]) -> None:
    """Refuse parameters that can't be held, and fewer runs than the least that two arms take."""
    known = [name for name in ("E", "alpha", "beta") if name in rows.law.names()]
    for name in fixed:
        if name not in known:
            raise ValueError(f"--fix {name}: a comparison holds {', '.join(known)} of both arms")
    least = min(rows.loss.min(), np.inf)
    if fixed.get("E", 0) >= least:
        raise ValueError(f"--fix E={fixed['E']:g} is not below the least loss, {least:.4g}")
    need = len(rows.law.alone.names()) + len(rows.law.scale) - len(fixed)
    if len(rows.loss) <= need:
        held = "" if "E" in fixed else ", or hold the floor with --fix E=VALUE where it is known"
        against = " against ".join(ladders.names[::-1])
        raise ValueError(
            f"{against}: {len(rows.loss)} runs for {need} coefficients leave "
            f"nothing to tell the noise by; add {need + SPARE - len(rows.loss)} runs at other budgets{held}"
        )


def fit_models(rows: Rows, fixed: Mapping[str, float]) -> dict[str, ArmsFit]:
    """The arms with all but their scales shared, with exponents and with floors of their own, as far as there
    are runs for them."""
    scale = rows.law.scale
    exponents = own_exponents(rows, fixed)
    models = {"shared": fit_arms(rows, scale, fixed)}
    for name, let in (("exponents", scale + exponents), ("floors", (*scale, *exponents, "dE"))):
        if (name == "exponents" and not exponents) or (name == "floors" and "E" in fixed):
            continue
        start = models[list(models)[-1]].theta
        fit = fit_arms(rows, let, fixed, start)
        if fit.spare >= SPARE + (name == "floors"):
            models[name] = fit
    return models
