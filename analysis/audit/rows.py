"""What the exponents of a fitted Chinchilla law owe to single rows and single scales, and whether
the law fits as well as seeds repeat."""

import numpy as np

from analysis.audit.findings import Finding, counted, listed, make_finding
from analysis.audit.neighbourhood import FINEST, Neighbourhood
from analysis.audit.parameters import exponents, variance
from analysis.fitting.solve import minimise
from analysis.frontiers import Isoflop
from analysis.frontiers.replicates import seed_noise
from analysis.laws import Array
from analysis.tables.kinds import clusters
from analysis.tables.runs import Runs

ENOUGH = 3  # runs a parameter below which no run is called an outlier
MANY = 20_000  # runs of which a few that are left out move nothing far
OUTLYING = 5.0  # robust standard deviations
GROSS, WRECKED = 50.0, 0.2  # and of log loss: of one such row valleys know nothing any more


def outliers(near: Neighbourhood, p: float) -> Finding:
    """outliers: rows beyond five robust standard deviations, and what the exponents owe them."""
    gap = near.fitted.residuals
    if len(gap) < ENOUGH * len(near.problem.free):  # a robust fit runs through as many as it has parameters
        text = (
            f"{len(gap)} runs for {len(near.problem.free)} coefficients are too few to tell one that lies off"
        )
        return Finding("outliers", "ok", text, {"rows": [], "largest_z": float("nan")})
    score = (gap - np.median(gap)) / near.noise
    # a clean table's residuals may be all rounding
    out = (np.abs(score) > OUTLYING) & (np.abs(gap) > 1e-4)
    rows = [int(row) for row in near.fitted.runs.rows[out]]
    numbers: dict = {"rows": rows, "largest_z": float(np.abs(score).max())}
    if not rows:
        text = f"the largest residual is {numbers['largest_z']:.2g} robust standard deviations"
        return Finding("outliers", "ok", text, numbers)
    before, after = exponents(near.fitted.law, p), exponents_without(near, ~out, p)
    error = float(np.sqrt(variance(near, "a", p, near.jacobian)))
    numbers |= {"a": before["a"], "a_without": after["a"], "a_error": error}
    off = 100 * np.abs(np.expm1(-gap[out])).max()  # of what the law says
    text = (
        f"{counted(len(rows), 'lies', 'lie')} more than {OUTLYING:g} robust standard "
        f"deviations off the law (row {listed(rows)}; loss up to {off:.3g} % off). Without "
        f"them the exponent a goes from {before['a']:.3f} to {after['a']:.3f} (standard error "
        f"{error:.2g}), alpha from {before['alpha']:.3g} to {after['alpha']:.3g}, beta from "
        f"{before['beta']:.3g} to {after['beta']:.3g}. "
    )
    gross = (np.abs(score) > GROSS) & (np.abs(gap) > WRECKED)
    bad = gross.any() or abs(after["a"] - before["a"]) > max(error, 0.02) or len(rows) > 0.05 * len(gap)
    if len(rows) >= 5 and np.ptp(gap[out]) < 0.2 * abs(np.median(gap[out])):
        factor = float(np.exp(-np.median(gap[out])))
        bits = " (1/ln 2: bits?)" if abs(factor * np.log(2) - 1) < 0.03 else ""
        text += (
            f"All of them are about {factor:.3g} times what the law says{bits}: another unit, "
            "text or tokenizer? "
        )
        bad = True
    text += "Look each up; keep one out only for a reason, and say so (--where)."
    return Finding("outliers", "warn" if bad else "note", text, numbers)


def exponents_without(near: Neighbourhood, kept: Array, p: float) -> dict[str, float]:
    """The exponents refitted to the rows (R,) that are kept."""
    many = len(kept) > MANY
    theta, _ = minimise(near.problem, near.theta[None], kept[None].astype(float), near=many)
    kind = near.problem.law
    return exponents(kind(*kind.from_theta(theta[0])), p)


def influence(near: Neighbourhood, p: float, intervals: dict[str, tuple[float, float]]) -> Finding:
    """influence: the level of params, compute or tokens per parameter whose removal moves a most.

    Judged against what leaving out so many rows moves by chance: the variance with fewer rows less
    that with all (Hausman 1978).
    """
    names, keeps = leave_levels_out(near.fitted.runs)
    if not names:
        return Finding("influence", "ok", "too few scales to leave one out", {})
    theta, done = minimise(near.problem, np.tile(near.theta, (len(keeps), 1)), keeps, near=True)
    here = exponents(near.fitted.law, p)["a"]
    with np.errstate(all="ignore"):
        kind = near.problem.law
        there = kind(*kind.from_theta(theta).T).exponents(p)[0]
    own = variance(near, "a", p, near.jacobian)
    chance = np.array([variance(near, "a", p, near.jacobian * keep) for keep in keeps]) - own
    enough = keeps.sum(1) > len(near.problem.free) + 1
    shift = np.where(enough & np.isfinite(there) & done, there - here, 0.0)
    surprise = np.abs(shift) / np.sqrt(np.maximum(chance, 0.02 * own))
    most = int(np.argmax(np.abs(shift)))
    bad = (np.abs(shift) > 1.96 * np.sqrt(own)) & (surprise > 3.5)
    # draws know of such scales, the covariance does not: inside theirs, the interval has said it
    low, high = intervals["a"]
    outside = (here + shift < low) | (here + shift > high)
    severity = "warn" if (bad & outside).any() else "note" if bad.any() else "ok"
    worst = np.flatnonzero(bad)[np.argsort(-surprise[bad])][:3]
    after, scales = float(here + shift[most]), {"scales": [names[i] for i in worst]}
    numbers = {"without": names[most], "a": here, "a_without": after, "z": float(surprise[most])}
    others = ", ".join(f"without {names[i]} {here + shift[i]:.3f}" for i in worst if i != most)
    here10, after10 = f"{10**here:.2g}", f"{10**after:.2g}"
    others = f". It is {others}" if others else ""
    return make_finding(
        "influence",
        severity,
        f"leaving out {names[most]} moves the law's exponent of params most, from {here:.3f} to "
        f"{after:.3f} ({surprise[most]:.2g} times what chance would; ten times the compute: "
        f"{here10} to {after10} times the params)",
        f"{others}. Its 95 % is {low:.3f} to {high:.3f}. Either the law bends "
        "there, or those runs are not like the others: report the exponent with and without "
        "them.",
        numbers | (scales if bad.any() else {}),
        f"by the law {here10} times, {after10} without it",
    )


def leave_levels_out(runs: Runs) -> tuple[list[str], Array]:
    """Names (K) of levels of params, compute and tokens per parameter, and the rows (K, R) without
    each, as weights."""
    names, keeps = [], []
    axes = {"params": runs.params, "flops": runs.flops, "tokens/params": runs.tokens / runs.params}
    for axis, column in axes.items():
        label = levels(column)
        for level in range(label.max() + 1) if label.max() > 1 else ():
            inside = column[label == level]
            ends = " to ".join(dict.fromkeys((f"{inside.min():.3g}", f"{inside.max():.3g}")))
            names.append(f"{axis} {ends} ({len(inside)} run{'s' * (len(inside) > 1)})")
            keeps.append(label != level)
    return names, np.array(keeps, float)


def levels(column: Array, most: int = 12) -> Array:
    """Levels (R,) of a column, from 0: its own where there are few, else runs of equal count."""
    label = clusters(column, 0.05)
    if label.max() < most:
        return label
    last = np.searchsorted(np.sort(column), (1 + 1e-9) * column, side="right") - 1  # of equal runs, whole
    return np.unique(last * most // len(column), return_inverse=True)[1]


def noise(near: Neighbourhood, used: Runs, iso: Isoflop | None) -> Finding:
    """noise: what seeds say of the noise, else how smooth the isoFLOP valleys are, and whether the
    law fits the runs as well as that."""
    seeds = seed_noise([used])
    sigma, freedom = seeds.sigma, seeds.freedom
    numbers = {"residual": near.noise, "seeds": sigma, "degrees_of_freedom": freedom}
    percent = f"{100 * near.noise:.2g} %"
    if not freedom:
        smooth = iso.noise.sigma if iso is not None else np.nan
        if len(used) > 20 and near.noise > 3 * smooth:
            numbers |= {"valleys": smooth, "ratio": near.noise / smooth}
            text = (
                f"Along single budgets losses lie within {100 * smooth:.2g} % of smooth curves, "
                f"and the law leaves {percent}: it does not hold over this range to anything like "
                "the precision of the runs, so its constants depend on where the runs lie. Fit the "
                "larger runs alone, try --law joint, or use the isoFLOP optima."
            )
            return Finding("noise", "warn", text, numbers)
        left = f"that the law leaves {percent} of loss unexplained may be noise, or the law being wrong"
        if len(used) < ENOUGH * len(near.problem.free):
            few = f"{len(used)} runs for {len(near.problem.free)} coefficients"
            left = f"of {few} a law passes near most, so the {percent} that it leaves tell nothing"
        text = (
            f"No two runs differ only in their seed, so the noise is not known: {left}. "
            "Repeat a cheap cell with three seeds (columns seed or data_seed)."
        )
        return Finding("noise", "note", text, numbers)
    from scipy.special import fdtrc

    sigma = max(sigma, FINEST)
    ratio = near.noise / sigma
    chance = float(fdtrc(max(1, len(used) - 5), freedom, ratio**2))
    statement = (
        f"seeds differ by {100 * sigma:.2g} % of loss ({freedom} degrees of freedom in {seeds.cells} "
        f"cell{'s' * (seeds.cells > 1)}), and the law leaves {percent}"
    )
    fits = ratio < 2 or chance > 1e-3
    if fits and freedom < 4:
        statement += "; so few repeats know their own noise to a factor of two at best"
    advice = (
        f", {ratio:.2g} times as much: the law does not hold to the precision "
        "of the runs. Its intervals are of scatter, not of the law being wrong; look at the "
        "residuals for a trend, or try --law joint."
    )
    numbers |= {"ratio": ratio, "p_value": chance}
    return make_finding("noise", "ok" if fits else "warn", statement, advice, numbers)
