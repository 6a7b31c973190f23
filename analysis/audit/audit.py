"""What of a table, and of the law and frontier made from it, may not be trusted, and why."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from analysis import fitting, frontiers
from analysis.audit import fit, forecast, rows, table
from analysis.audit.findings import Finding, headline_of, verdict_of
from analysis.audit.forecast import Step
from analysis.audit.neighbourhood import local
from analysis.fitting import Fit
from analysis.fitting.profile import Profile
from analysis.frontiers import Isoflop
from analysis.laws import Chinchilla
from analysis.tables.runs import Runs

LITTLE = 0.01  # difference of exponents that no use of them would notice
WIDE = 0.2  # half of an exponent's interval, from which agreement proves little


@dataclass(frozen=True, eq=False)
class Audit:
    """All findings on a table, with the forecasts and profiles behind them."""

    findings: tuple[Finding, ...]
    runs: Runs
    fitted: Fit | None = None
    steps: tuple[Step, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)  # of alpha, beta and E

    @property
    def verdict(self) -> str:
        """ok, warn or refuse: the worst severity, notes aside."""
        return verdict_of(self.findings)

    def headline(self) -> str:
        """The verdict in one line."""
        return headline_of(self.findings)

    def badge(self) -> str:
        """The headline where it warns or refuses, else ""; for the top of figures."""
        return "" if self.verdict == "ok" else self.headline()


def audit_runs(
    runs: Runs,
    *,
    objective: str = "huber-log",
    delta: float = 1e-3,
    budgets: Sequence[float] | None = None,
    window: float = 1.0,
    cost: str = "table",
    at: Sequence[float] = (),
    hold_out: str = "rolling",
    resamples: int = 200,
    seed: int = 0,
    fitted: Fit | None = None,
    iso: Isoflop | None = None,
) -> Audit:
    """Look a table over. The thresholds and their reasons are in docs/audit.md.

    Args:
      runs: params, tokens, flops and loss (nats/token); flagged rows are counted and left out.
      objective, delta: of the fit, as in `analysis.fitting.fit`.
      budgets, window: of the isoFLOP optima, as in `frontiers.isoflop.optima`.
      cost: table or 6nd, as in `frontiers.costs.of`.
      at: budgets (FLOPs) that somebody wants to extrapolate to.
      hold_out: rolling (every level of compute from those below), largest (the last alone), none.
      resamples: of the pairs bootstrap behind the exponents' intervals, of whole runs where rows
        share a run_id; 0 takes standard errors.
      seed: of all draws.
      fitted, iso: a Chinchilla fit and isoFLOP optima of these runs, where they are there already.

    Raises:
      ValueError: a column is missing, or no row is usable. A table that cannot be fitted is not an
        error: the finding says so.
    """
    if hold_out not in forecast.HOLD_OUT:
        raise ValueError(f"hold_out {hold_out!r} is not one of rolling, largest, none")
    findings = table.look(runs)
    if verdict_of(findings) == "refuse":  # nothing fitted to such a design means anything
        return Audit(tuple(ranked(findings)), runs)
    used, price = runs.usable(), frontiers.fit_cost(runs, cost)
    if fitted is None:
        fitted = fitting.fit(Chinchilla, runs, objective=objective, delta=delta)
        if resamples and fitted.status not in ("unidentified", "failed"):
            kind = "cluster" if fitting.rows_share_runs(fitted) else "pairs"
            with suppress(ValueError):  # too few runs to resample whole: standard errors it is
                fitted = fitting.resample(fitted, resamples, seed, kind=kind)
    objective, delta = fitted.objective.name, fitted.objective.delta or delta
    findings.append(fit.status(fitted))
    if iso is None:
        iso = valleys(runs, window, budgets, seed)
    findings += edges(iso)
    if fitted.status in ("unidentified", "failed"):
        return Audit(tuple(ranked(findings)), runs, fitted)
    near = local(fitted)
    ends = fit.intervals(near, price.p)
    flat, profiles = fit.profiles(near, price.p)
    findings += [fit.condition(near), *flat, approaches(iso, fitted, price)]
    findings += [fit.objectives(near, runs, price.p, ends), rows.outliers(near, price.p)]
    steps: list[Step] = []
    findings += [
        rows.influence(near, price.p, ends),
        rows.misfit(near, used, None if isinstance(iso, str) else iso),
    ]
    if hold_out != "none":
        steps = forecast.steps(used, objective, delta, hold_out)
        findings.append(forecast.held_out(steps))
    findings += forecast.extrapolation(used, fitted.law, price, at)
    return Audit(tuple(ranked(findings)), runs, fitted, tuple(steps), profiles)


def ranked(findings: list[Finding]) -> list[Finding]:
    """Worst first, otherwise in the order they were looked at."""
    order = ("refuse", "warn", "note", "ok")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def valleys(runs: Runs, window: float, budgets, seed: int) -> Isoflop | str:
    """The isoFLOP optima, or why there are none; budgets that somebody named have to be there."""
    try:
        return frontiers.find_optima(runs, window=window, budgets=budgets, seed=seed)
    except ValueError as error:
        if budgets is not None:
            raise
        return str(error)


def edges(iso: Isoflop | str) -> list[Finding]:
    """edge: budgets whose least loss is at the end of their sizes, or not to be seen."""
    if isinstance(iso, str):
        return []
    by = {word: [p for p in iso.valleys if p.status == word] for word in ("edge", "flat", "few")}
    numbers = {"budgets": len(iso.valleys), **{w: [p.budget for p in ps] for w, ps in by.items()}}
    if len(by["few"]) == len(iso.valleys):
        return []  # not an isoFLOP design
    seen = len(iso.valleys) - len(by["few"])
    if not by["edge"] and not by["flat"]:
        said = f"{seen} budgets have their minimum inside"
        return [Finding("edge", "ok", said, numbers)]
    parts = []
    if by["edge"]:
        listed = ", ".join(f"{p.budget:.3g} ({end(p)})" for p in by["edge"])
        parts.append(
            f"{len(by['edge'])} of {seen} isoFLOP minima at the end of their sizes: "
            f"{listed}; left out of the exponents, which then rest on the others. Add "
            "sizes beyond those ends"
        )
    if by["flat"]:
        listed = ", ".join(f"{p.budget:.3g}" for p in by["flat"])
        parts.append(
            f"{len(by['flat'])} of {seen} isoFLOP valleys without a bend clear of the "
            f"noise ({listed}): such a minimum could be anywhere near. Add sizes further "
            "out, or repeats"
        )
    severity = "warn" if by["edge"] or len(by["flat"]) > seen / 2 else "note"
    return [Finding("edge", severity, ". ".join(parts) + ".", numbers)]


def end(valley) -> str:
    return "smallest" if valley.log_loss.argmin() <= len(valley.log_loss) // 2 else "largest"


def approaches(iso: Isoflop | str, fitted: Fit, price) -> Finding:
    """approaches: whether optima of budgets (2) and the fitted law (3) give one exponent."""
    if isinstance(iso, str):
        reason = iso.split(": ", 1)[-1]
        text = f"Approach 2 cannot check the fit's exponents: {reason.rstrip('.')}."
        return Finding("approaches", "note", text, {})
    valley = frontiers.from_isoflop(iso, price)
    parametric = frontiers.from_fit(fitted, price, fitted.runs.flops[:1])  # its exponent is wanted
    two, three = valley.params_exponent, parametric.params_exponent
    numbers = {
        "a_isoflop": two.value,
        "a_isoflop_low": two.low,
        "a_isoflop_high": two.high,
        "a_fit": three.value,
        "a_fit_low": three.low,
        "a_fit_high": three.high,
    }
    if not np.isfinite(two.value):
        text = f"Approach 2 gives no exponent to check the fit's by: {valley.message}."
        return Finding("approaches", "note", text, numbers)
    said = frontiers.describe_agreement(valley, parametric)
    if "DISAGREE" in said and abs(two.value - three.value) > LITTLE:
        text = (
            f"{said} Find out which assumption fails before using either: the parabola's or "
            "interpolation's on few sizes, or the law's form far from the minima."
        )
        return Finding("approaches", "warn", text, numbers)
    if np.isfinite([two.low, three.low]).all() and max(half(two), half(three)) > WIDE:
        wide = max(half(two), half(three))
        text = (
            f"{said} With an interval of ±{wide:.2g} that proves little: more budgets over a "
            "wider range, or repeats, would."
        )
        return Finding("approaches", "note", text, numbers)
    partly = "in part" in said or "no interval" in said
    return Finding("approaches", "note" if partly else "ok", said.rstrip("."), numbers)


def half(band) -> float:
    return float(band.high - band.low) / 2
