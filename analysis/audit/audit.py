"""What of a table, and of the law and frontier made from it, may not be trusted, and why."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from analysis import fitting, frontiers
from analysis.audit import bend, design, forecast, parameters, rows, valleys
from analysis.audit.findings import ROWS, Finding, headline_of, named, rank, sentence, verdict_of
from analysis.audit.forecast import Step
from analysis.audit.neighbourhood import neighbourhood
from analysis.fitting import Fit
from analysis.fitting.profile import Profile
from analysis.fitting.splits import describe_splits
from analysis.frontiers import Cost, Frontier, Isoflop
from analysis.laws import Chinchilla, lacking
from analysis.tables.runs import Runs, check_runs

MOST = 20_000  # runs beyond which what takes many refits is made on so many of them, drawn at random


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """All findings on a table, with the forecasts and profiles behind them."""

    findings: tuple[Finding, ...]
    runs: Runs
    fitted: Fit | None = None
    steps: tuple[Step, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)  # of alpha, beta and E

    def __repr__(self) -> str:
        against = [each for each in self.findings if each.severity in ("refuse", "warn")]
        first = f"verdict {self.verdict}: {self.headline()}"
        return "\n".join([first, *(f"{each.severity} {each.code}: {each.message}" for each in against)])

    @property
    def verdict(self) -> str:
        """ok, warn or refuse: the worst severity, notes aside."""
        return verdict_of(self.findings)

    def words(self, severity: str) -> list[str]:
        """What is wrong, in a few words each, of the findings that are so severe."""
        return named(self.findings, severity)

    def against(self, kind: str = "the law") -> list[str]:
        """What each finding that warns says, a line each: against an answer or, where that is by valleys,
        against the law that stands beside it."""
        bad = [each for each in self.findings if each.severity == "warn"]
        law = "the law beside it, which only confirms the answer" if kind == "valleys" else "it"
        return [f"Against {'it' if each.code in ROWS else law}: {each.in_short}." for each in bad]

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
    valley: Frontier | None = None,
    law: Frontier | None = None,
) -> Audit:
    """Look a table over. The thresholds and their reasons are in docs/audit.md.

    Args:
      runs: params, tokens, flops and loss (nats/token); flagged rows are counted and left out.
      objective, delta: of the fit, as in `analysis.fitting.fit`.
      budgets, window: of the isoFLOP optima, as in `frontiers.find_optima`.
      cost: table or 6nd, as in `frontiers.fit_cost`.
      at: budgets (FLOPs) that somebody wants to extrapolate to.
      hold_out: rolling (every level of compute from those below), largest (the last alone), none.
      resamples: of the pairs bootstrap behind the exponents' intervals, of whole runs where rows
        share a run_id; 0 takes standard errors.
      seed: of all draws.
      fitted, iso, valley, law: of these runs a fit, isoFLOP optima and a frontier by each, if there already.

    Raises:
      ValueError: a column is missing, or no row is usable. A table that cannot be fitted is not an
        error: the finding says so.
    """
    if hold_out not in forecast.HOLD_OUT:
        raise ValueError(f"hold_out {hold_out!r} is not one of rolling, largest, none")
    check_runs(runs)
    findings = design.check(runs, cost)
    if fitted is not None and "unique_tokens" in type(fitted.law).inputs:
        findings = [each for each in findings if each.code != "repeated"]  # which the law takes in
    if verdict_of(findings) == "refuse":  # nothing fitted to such a design means anything
        return Audit(tuple(rank(findings)), runs)
    if fitted is None:
        fitted = fit_with_draws(runs, objective, delta, resamples, seed)
    optima = iso or valleys.find_valleys(runs, window, budgets, seed)
    findings += [parameters.fit_status(fitted), *kinds(fitted), *valleys.edge(optima)]
    if not fitted.regular:
        return Audit(tuple(rank(findings)), runs, fitted)
    price, steps = frontiers.fit_cost(runs, cost), ()
    fewer = sample(fitted)
    further, profiles = check_fit(fitted, fewer, optima, price, valley, law)
    findings += further
    if hold_out != "none":
        steps = forecast_steps(fewer, hold_out)
        findings += [forecast.hold_out(steps), *bend.check(fewer, price, at)]
    findings += sampled(fitted, fewer)
    if not lacking(type(fitted.law), "optimum"):
        findings += [forecast.extrapolation(runs.usable(), fitted.law, price, flops) for flops in at]
    return Audit(tuple(rank(findings)), runs, fitted, steps, profiles)


def forecast_steps(fitted: Fit, hold_out: str) -> tuple[Step, ...]:
    objective = fitted.objective
    given = objective.name, objective.delta or 1e-3, hold_out
    return tuple(forecast.steps(fitted.runs, *given, law=type(fitted.law), fixed=fitted.fixed))


def kinds(fitted: Fit) -> list[Finding]:
    """mixed: columns, whatever their names, by which the residuals of the fit fall apart."""
    if not fitted.parted:
        return []
    numbers = {f"apart_{name}": split.gap for name, split in fitted.parted.items()}
    return [Finding("mixed", "warn", f"{sentence(describe_splits(fitted.parted))}.", numbers)]


def cautions(fitted: Fit) -> list[str]:
    """What of all this speaks against using a fitted law where runs say little themselves, for decisions:
    rows of one curve, an ill-conditioned fit, flat profiles, rows far off, exponents that other objectives
    move, and held-out scales that were missed."""
    fewer = sample(fitted)
    near = neighbourhood(fewer)
    p = frontiers.fit_cost(fitted.runs).p if of_params_and_tokens(fitted) else None
    profiles, intervals = parameters.profiles_and_intervals(near, p)
    findings = [design.mid_curve(fitted.runs), parameters.condition(near), *parameters.flat_profile(profiles)]
    if p is not None:
        findings += [rows.outliers(near, p), parameters.objectives(near, fewer.runs, p, intervals)]
    warnings = [each.message.rstrip(".") for each in findings if each.severity == "warn"]
    return [*filter(None, [forecast.caution(fewer)]), *warnings]


def fit_with_draws(runs: Runs, objective: str, delta: float, resamples: int, seed: int) -> Fit:
    fitted = fitting.fit(Chinchilla, runs, objective=objective, delta=delta)
    if resamples and fitted.regular:
        kind = "cluster" if fitting.rows_share_runs(fitted) else "pairs"
        with suppress(ValueError):  # too few runs to resample whole: standard errors it is
            return fitting.resample(fitted, resamples, seed, kind=kind)
    return fitted


def sample(fitted: Fit) -> Fit:
    """The fit itself, or of very many rows the fit of 20,000 of them."""
    if len(fitted.runs) <= MOST:
        return fitted
    rows = np.sort(np.random.default_rng(0).choice(len(fitted.runs), MOST, replace=False))
    objective = fitted.objective
    return fitting.fit(
        type(fitted.law),
        fitted.runs.select(rows),
        objective=objective.name,
        delta=objective.delta or 1e-3,
        inputs=fitted.inputs,
        output=fitted.output,
        fixed=fitted.fixed,
    )


def sampled(fitted: Fit, fewer: Fit) -> list[Finding]:
    """sample: what of the audit rests on a part of the runs."""
    if fewer is fitted:
        return []
    text = (
        f"profiles, floor, objectives, influence, noise and hold-out are of {len(fewer.runs)} of the "
        f"{len(fitted.runs)} runs, drawn at random; the fit, its intervals and all else are of all"
    )
    return [Finding("sample", "ok", text, {"runs": len(fewer.runs), "of": len(fitted.runs)})]


def check_fit(fitted: Fit, fewer: Fit, optima: Isoflop | str, price: Cost, *known: Frontier | None):
    """The findings on a fitted law, and the profiles of its parameters; what takes many refits is of `fewer`
    rows."""
    near, p = neighbourhood(fitted), price.p
    few = near if fewer is fitted else neighbourhood(fewer)
    of_both = of_params_and_tokens(fitted)
    profiles, intervals = parameters.profiles_and_intervals(few, p if of_both else None)
    findings = [parameters.condition(near), *parameters.flat_profile(profiles)]
    if not of_both:
        return findings, profiles
    findings += [
        *parameters.floor_against_exponent(few, p),
        valleys.approaches(optima, fitted, price, *known),
        parameters.objectives(few, fewer.runs, p, intervals),
        parameters.countings(fewer, p),
        rows.outliers(near, p),
        rows.influence(few, p, intervals),
        rows.noise(few, fitted.runs, None if isinstance(optima, str) else optima),
    ]
    return findings, profiles


def of_params_and_tokens(fitted: Fit) -> bool:
    """Whether a law has a floor and an exponent of each, and a frontier's."""
    named = {"E", "alpha", "beta"} <= set(fitted.law.names())
    return named and not lacking(type(fitted.law), "exponents")
