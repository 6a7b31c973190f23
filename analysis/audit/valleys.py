"""edge and approaches: which isoFLOP optima may not be trusted, and whether the fitted law agrees."""

import numpy as np

from analysis import frontiers
from analysis.audit.findings import Finding
from analysis.fitting import Fit
from analysis.frontiers import Cost, Frontier, Isoflop
from analysis.tables.runs import Runs

LITTLE = 0.01  # difference of exponents that no use of them would notice
WIDE = 0.2  # half of an exponent's interval, from which agreement proves little


def find_valleys(runs: Runs, window: float, budgets, seed: int) -> Isoflop | str:
    """The isoFLOP optima, or why there are none; budgets that somebody named have to be there."""
    try:
        return frontiers.find_optima(runs, window=window, budgets=budgets, seed=seed)
    except ValueError as error:
        if budgets is not None:
            raise
        return str(error)


def edge(iso: Isoflop | str) -> list[Finding]:
    """edge: budgets whose least loss is at the end of their sizes, or not to be seen."""
    if isinstance(iso, str):
        return []
    edges, flat, few = ([v for v in iso.valleys if v.status == s] for s in ("edge", "flat", "few"))
    seen = len(iso.valleys) - len(few)
    if not seen:
        return []  # not an isoFLOP design
    numbers: dict = {"budgets": len(iso.valleys)}
    for name, valleys in (("edge", edges), ("flat", flat), ("few", few)):
        numbers[name] = [valley.budget for valley in valleys]
    if not edges and not flat:
        return [Finding("edge", "ok", f"{seen} budgets have their minimum inside", numbers)]
    parts = []
    if edges:
        which = ", ".join(f"{valley.budget:.3g} ({valley.end})" for valley in edges)
        parts.append(
            f"{len(edges)} of {seen} isoFLOP minima at the end of their sizes: {which}; left out of the "
            "exponents, which then rest on the others. Add sizes beyond those ends"
        )
    if flat:
        which = ", ".join(f"{valley.budget:.3g}" for valley in flat)
        parts.append(
            f"{len(flat)} of {seen} isoFLOP valleys without a bend clear of the noise ({which}): such a "
            "minimum could be anywhere near. Add sizes further out, or repeats"
        )
    severity = "warn" if edges or len(flat) > seen / 2 else "note"
    return [Finding("edge", severity, ". ".join(parts) + ".", numbers)]


def approaches(
    iso: Isoflop | str, fitted: Fit, price: Cost, valley: Frontier | None = None, law: Frontier | None = None
) -> Finding:
    """approaches: whether optima of budgets (2) and the fitted law (3) give one exponent."""
    if isinstance(iso, str):
        reason = iso.split(": ", 1)[-1].rstrip(".")
        return Finding("approaches", "note", f"Approach 2 cannot check the fit's exponents: {reason}.", {})
    valley = valley or frontiers.from_isoflop(iso, price)
    parametric = law or frontiers.from_fit(fitted, price, fitted.runs.flops[:0])  # its exponent is wanted
    two, three = valley.params_exponent, parametric.params_exponent
    numbers = {
        f"a_{name}{end}": getattr(band, part)
        for name, band in (("isoflop", two), ("fit", three))
        for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    if not np.isfinite(two.value):
        text = f"Approach 2 gives no exponent to check the fit's by: {valley.message}."
        return Finding("approaches", "note", text, numbers)
    agreement = frontiers.describe_agreement(valley, parametric)
    wide = max((two.high - two.low) / 2, (three.high - three.low) / 2)
    if "DISAGREE" in agreement and abs(two.value - three.value) > LITTLE:
        severity = "warn"
        advice = (
            " Find out which assumption fails before using either: the parabola's or "
            "interpolation's on few sizes, or the law's form far from the minima."
        )
    elif np.isfinite([two.low, three.low]).all() and wide > WIDE:
        severity = "note"
        advice = (
            f" With an interval of ±{wide:.2g} that proves little: more budgets over a "
            "wider range, or repeats, would."
        )
    else:
        partly = "in part" in agreement or "no interval" in agreement
        return Finding("approaches", "note" if partly else "ok", agreement.rstrip("."), numbers)
    return Finding("approaches", severity, agreement + advice, numbers)
