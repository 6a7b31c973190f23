"""Intervals of a fit by refitting resampled tables, and which kind of interval a table needs."""

from dataclasses import replace
from functools import partial

import numpy as np

from analysis.fitting.profile import as_problem, leverage, profile_intervals
from analysis.fitting.regression import Fit, Quantity
from analysis.fitting.sandwich import one_step
from analysis.fitting.solve import minimise
from analysis.laws.base import Array
from analysis.tables.identity import alike, run_column

BOOTSTRAPS = ("pairs", "cluster", "wild")
ALIKE = 0.01  # chance that separate runs are taken for rows of one
MANY = 100  # rows from which resampling is the default; see docs/coverage.md
ONE_STEP = 50_000  # rows from which a resample is one step from the optimum, not a refit


def intervals(
    fitted: Fit, kind: str = "auto", resamples: int = 1000, seed: int = 0, clusters: Array | None = None
) -> Fit:
    """The same fit with 95 % intervals behind `Fit.interval` and `Fit.band`.

    Args:
      fitted: as `fit` returned it.
      kind: none, profile, or pairs, cluster or wild of `resample`. auto is what was measured to
        cover best (docs/coverage.md): cluster where several rows share a run, profile below 100
        rows, else pairs.
      resamples, seed, clusters: of the kinds that resample, as in `resample`.

    Raises:
      ValueError: as `resample` does.
    """
    if kind == "auto":
        named = clusters is not None or rows_share_runs(fitted)
        kind = "cluster" if named else "profile" if len(fitted.runs) < MANY else "pairs"
    if clusters is not None and kind in ("none", "profile"):
        raise ValueError(f"intervals {kind} draw no clusters: ask for cluster, wild or pairs, or name none")
    if kind == "none":
        return fitted
    if kind == "profile":
        return profile_intervals(fitted)
    return resample(fitted, resamples, seed, kind=kind, clusters=clusters)


def rows_share_runs(fitted: Fit) -> tuple[str, Array] | None:
    """(columns, labels (R,)) of rows of one run, which share its luck, as checkpoints do: by the column
    that names the run, or as rows of one model and setting have residuals more alike than those of
    others (analysis of variance, p < 0.01); None where every row is its own.
    """
    runs = fitted.runs
    if name := run_column(runs):
        return name, runs.columns[name]
    if runs.has("run_id"):
        return None  # and each is its own
    name, group = alike(runs)
    groups, rows = int(group.max(initial=0)) + 1, len(group)
    if not name or not len(fitted.law.names()) < groups < rows:
        return None
    from scipy.special import fdtrc  # slow to import

    count = np.bincount(group)
    means = np.bincount(group, fitted.residuals) / count
    within = ((fitted.residuals - means[group]) ** 2).sum() / (rows - groups)
    between = (count * (means - fitted.residuals.mean()) ** 2).sum() / (groups - 1)
    if within < 1e-12 or fdtrc(groups - 1, rows - groups, between / within) > ALIKE:
        return None
    return name, group


def resample(
    fitted: Fit, resamples: int = 1000, seed: int = 0, *, kind: str = "pairs", clusters: Array | None = None
) -> Fit:
    """The same fit with `draws` (S, P): its parameters refitted, by the fit's own objective in
    full, to S resampled tables, side by side; intervals are their percentiles. A resample that
    holds too few distinct rows, or does not converge to finite parameters, is NaN and left out.
    From 50,000 rows on a resample is a step from the optimum (`one_step`): the refit to no visible digit.

    Args:
      fitted: what to resample.
      resamples: S; 1000 gives ends of a 95 % interval to about a tenth of its width.
      seed: equal seeds give equal draws.
      kind: pairs: rows drawn with replacement (Efron 1979); cluster: whole groups of rows drawn so;
        wild: every row stays and its residual, scaled up by 1/(1 - leverage), takes a random sign
        (Liu 1988; for medians Feng, He & Hu 2011), one sign for a whole group where groups are
        given (Cameron, Gelbach & Miller 2008).
      clusters: (R,) labels of the rows that belong together; for cluster those of `rows_share_runs`.

    Raises:
      ValueError: an unknown kind, less than one resample, no clusters to draw, or too few.
    """
    if kind not in BOOTSTRAPS:
        kinds = ("auto", "none", "profile", *BOOTSTRAPS)
        raise ValueError(f"intervals {kind!r} are not one of {', '.join(kinds)}")
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: ask for at least 1, or leave the bootstrap out")
    problem, start, centre = as_problem(fitted)
    group = grouped(fitted, kind, clusters)
    rng, rows, size = np.random.default_rng(seed), len(group), int(group.max()) + 1
    weights, lost = None, np.zeros(resamples, bool)
    if rows >= ONE_STEP:
        theta = one_step(problem, start, group, resamples, rng, signs=kind == "wild")
        return drawn_from(fitted, problem.law.from_theta(problem.law.shift(theta, centre)), kind)
    if kind == "wild":
        signs = rng.choice([-1.0, 1.0], (resamples, size))[:, group]
        log_pred, slope = problem.law.log_predict(start[None], problem.logs)
        gap = (np.log(problem.output) - log_pred[0]) / (1 - leverage(slope[0][problem.free]))
        problem = replace(problem, output=np.exp(log_pred[0] + signs * gap))
    else:
        counts = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
        weights = counts[:, group].astype(float)
        lost = (weights > 0).sum(1) <= len(problem.free)
    # in small tables some resamples have minima apart, which only a wide delta leads past
    near = rows >= MANY and fitted.objective.name == "huber-log"
    starts = np.tile(start, (resamples, 1))
    theta, _ = minimise(problem, starts, weights, rounds=60, near=near)
    draws = problem.law.from_theta(problem.law.shift(theta, centre))
    draws[lost] = np.nan
    return drawn_from(fitted, draws, kind)


def drawn_from(fitted: Fit, draws: Array, kind: str) -> Fit:
    """The fit with intervals by draws (S, P); those that are not finite are left out."""
    draws[~np.isfinite(draws).all(1)] = np.nan
    drawn = replace(fitted, draws=draws, intervals=kind)
    return replace(drawn, ends=partial(percentiles, drawn))


def percentiles(fitted: Fit, quantity: Quantity) -> tuple[Array, Array]:
    """2.5 and 97.5 % points over the draws, (K,) each."""
    with np.errstate(all="ignore"):
        drawn = np.asarray(quantity(fitted.law_draws()), float)
    if not np.isfinite(drawn).any():
        return np.full(drawn.shape[1:], np.nan), np.full(drawn.shape[1:], np.nan)
    return tuple(np.nanpercentile(drawn, [2.5, 97.5], axis=0))


def grouped(fitted: Fit, kind: str, clusters: Array | None) -> Array:
    """Which group each row belongs to (R,), counted from 0; rows are their own without clusters."""
    rows = len(fitted.runs)
    if clusters is None and kind == "cluster":
        if not (shared := rows_share_runs(fitted)):
            raise ValueError(
                f"{fitted.runs.source}: a cluster bootstrap needs to know which rows belong "
                "together, and no column tells it; name one with --cluster COL"
            )
        clusters = shared[1]
    if clusters is None:
        return np.arange(rows)
    if len(clusters) != rows:
        raise ValueError(f"{len(clusters)} cluster labels for {rows} rows of the fit")
    names, group = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    if len(names) <= len(fitted.law.names()) - len(fitted.fixed):
        raise ValueError(
            f"{fitted.runs.source}: {len(names)} clusters ({', '.join(names[:6])}) cannot be "
            "resampled: an interval needs more of them than parameters, and 20 to be worth much"
        )
    return group
