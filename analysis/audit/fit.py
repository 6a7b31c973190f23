"""What a fitted Chinchilla law's parameters are worth: conditioning, flat profiles, and what they
owe to the floor and to the objective."""

import numpy as np

from analysis import fitting
from analysis.audit.findings import Finding, graded
from analysis.audit.neighbourhood import Local, moved
from analysis.audit.table import sentence
from analysis.fitting import Fit
from analysis.fitting.profile import Profile, trace_profiles
from analysis.laws import Array, Chinchilla
from analysis.tables.runs import Runs

LITTLE = 1e-3  # of an exponent; a smaller difference is rounding, whatever the interval


def status(fitted: Fit) -> Finding:
    """fit: the fit's own word."""
    numbers = {"objective": fitted.objective.value, "runs": len(fitted.runs), **fitted.parameters}
    if fitted.status == "ok":
        agreeing = f"{fitted.starts_agreeing} of {fitted.starts} starts end in it"
        return Finding("fit", "ok", f"one optimum, and {agreeing}", numbers)
    severity = "refuse" if fitted.status in ("unidentified", "failed") else "warn"
    text = (
        f"The fit is {fitted.status}: {fitted.message}. Neither its constants nor a frontier "
        "computed from them stand."
    )
    if severity == "warn":
        text = f"The fit is {fitted.status}: {fitted.message}."
    return Finding("fit", severity, text, numbers)


def condition(near: Local) -> Finding:
    """condition: of the Gauss-Newton matrix, columns scaled to length one, inputs centred."""
    unit = near.jacobian / np.sqrt((near.jacobian**2).sum(1))[:, None]
    singular = np.linalg.svd(unit, compute_uv=False)
    index = float(singular[0] / singular[-1])
    numbers = {"condition": index**2, "index": index}
    said = f"the Gauss-Newton matrix has a condition number of {index**2:.2g} (index {index:.3g})"
    severity = graded(index, 60, 100)
    if severity == "ok":
        return Finding("condition", severity, said, numbers)
    weak = np.linalg.svd(unit)[0][:, -1]
    mixed = [near.names[i] for i in np.argsort(-np.abs(weak))[:3]]
    text = (
        f"{sentence(said)}; designs that identify the law stay below 60 by index. The runs "
        f"hardly tell {', '.join(mixed[:-1])} and {mixed[-1]} apart: a small error of loss "
        "moves them far together. Widen the range of tokens per parameter."
    )
    return Finding("condition", severity, text, numbers)


def profiles(near: Local, p: float) -> tuple[list[Finding], dict[str, Profile]]:
    """flat-profile and floor-against-exponent, and the profiles of alpha, beta and E."""
    names = [name for name in ("alpha", "beta", "E") if name in near.names]
    if not names:
        return [], {}
    made = trace_profiles(near.fitted, lambda law: np.concatenate([getattr(law, n) for n in names], -1))
    found = dict(zip(names, made, strict=True))
    return [flat(found), *floor(near, p)], found


def flat(found: dict[str, Profile]) -> Finding:
    parts, numbers, worst = [], {}, 1.0
    for name, one in found.items():
        numbers |= {f"{name}_low": one.low, f"{name}_high": one.high, name: one.value}
        open_end = not np.isfinite([one.low, one.high]).all()
        low = f"{one.low:.3g}" if np.isfinite(one.low) else "no end below"
        high = f"{one.high:.3g}" if np.isfinite(one.high) else "no end above"
        parts.append(f"{name} {one.value:.3g} ({low} to {high})")
        worst = max(worst, np.inf if open_end or one.low <= 0 else one.high / one.low)
    severity = graded(worst, 1.5, 2.0)
    said = f"by profile, 95 %: {', '.join(parts)}"
    if severity == "ok":
        return Finding("flat-profile", severity, said, numbers)
    ratio = f"a factor {worst:.2g} wide" if np.isfinite(worst) else "open at an end"
    text = (
        f"{sentence(said)}. Within these the fit is not significantly worse, and the widest is "
        f"{ratio}. Quote intervals, never the value alone; a wider range of both params and "
        "tokens narrows them."
    )
    return Finding("flat-profile", severity, text, numbers)


def floor(near: Local, power: float) -> list[Finding]:
    """What the exponents do when E is held one standard error lower and higher."""
    if "E" not in near.names or near.error("E") > 0.5:
        return []  # the fit's status, or the flat profile, has said that there is no floor to hold
    down, up = moved(near, "E")
    p = near.fitted.parameters
    error = (up["E"] - down["E"]) / 2
    with_a, with_b = near.correlation("E", "alpha"), near.correlation("E", "beta")
    ends = {name: (down[name], up[name]) for name in ("alpha", "beta")}
    numbers = {
        "E": p["E"],
        "E_error": error,
        "correlation_alpha": with_a,
        "correlation_beta": with_b,
        "alpha_low": down["alpha"],
        "alpha_high": up["alpha"],
        "beta_low": down["beta"],
        "beta_high": up["beta"],
        "a_low": share(down, power),
        "a_high": share(up, power),
    }
    said = (
        f"holding E = {p['E']:.4g} one standard error lower or higher ({down['E']:.4g}, "
        f"{up['E']:.4g}) moves alpha from {p['alpha']:.3g} to {ends['alpha'][0]:.3g} or "
        f"{ends['alpha'][1]:.3g}, beta from {p['beta']:.3g} to {ends['beta'][0]:.3g} or "
        f"{ends['beta'][1]:.3g}, and the exponent a of params from {share(p, power):.3f} to "
        f"{share(down, power):.3f} or {share(up, power):.3f} (correlation of E with alpha "
        f"{with_a:.2f}, with beta {with_b:.2f})"
    )
    far = max(abs(v / p[name] - 1) for name, pair in ends.items() for v in pair)
    severity = graded(far, 0.15, 0.3)
    if severity == "ok":
        return [Finding("floor-against-exponent", severity, said, numbers)]
    text = (
        f"{sentence(said)}. The floor and the exponents are one choice, not three: never mix "
        "E of one fit with exponents of another, and add the largest runs you can, where the "
        "floor shows."
    )
    return [Finding("floor-against-exponent", severity, text, numbers)]


def share(p: dict[str, float], power: float) -> float:
    """The exponent a of params under a cost of power `power` of params."""
    return p["beta"] / (p["alpha"] + power * p["beta"])


def exponents(law, p: float) -> dict[str, float]:
    """alpha, beta and the frontier's exponent a of params, under a cost of power p."""
    return {"alpha": float(law.alpha), "beta": float(law.beta), "a": float(law.exponents(p)[0])}


def intervals(near: Local, p: float) -> dict[str, tuple[float, float]]:
    """95 % of alpha, beta and a: the fit's own where it has intervals, else from its covariance.

    Resampled ones hold what single runs of much leverage do, which the covariance does not."""
    names = ("alpha", "beta", "a")
    if near.fitted.intervals != "none":
        low, high = near.fitted.band(
            lambda law: np.concatenate(
                [np.atleast_1d(part) for part in (law.alpha, law.beta, law.exponents(p)[0])], -1
            )
        )
        return {n: (float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}
    out = {}
    for name, middle in exponents(near.fitted.law, p).items():
        reach = 1.96 * np.sqrt(variance(near, name, p, near.jacobian))
        out[name] = (middle - reach, middle + reach)
    return out


def variance(near: Local, name: str, p: float, jacobian: Array) -> float:
    """Variance of alpha, beta or a with the rows of a jacobian (F, R)."""
    names, law = near.names, near.fitted.law
    slope = np.zeros(len(names))
    if name == "a":  # a = beta / (alpha + p beta)
        total = (law.alpha + p * law.beta) ** 2
        slopes = {"alpha": -law.beta / total, "beta": law.alpha / total}
    else:
        slopes = {name: 1.0}
    for one, by in slopes.items():
        if one in names:
            slope[names.index(one)] = by
    inverse = np.linalg.pinv(jacobian @ jacobian.T, rcond=1e-14)
    return float(slope @ inverse @ slope) * near.unit


def objectives(near: Local, runs: Runs, p: float, ends: dict) -> Finding:
    """objectives: exponents that leave their interval (`ends`, by name) under another objective."""
    own = near.fitted.objective.name
    here = exponents(near.fitted.law, p)
    numbers: dict = {own: here}
    left, seen = [], []
    for other in ("huber-log", "l1-log", "ls-log"):
        if other != own:
            law = fitting.fit(Chinchilla, runs, objective=other).law
            numbers[other] = exponents(law, p)
            seen.append(f"{numbers[other]['a']:.3f} by {other}")
            for name, (low, high) in ends.items():
                past = max(low - numbers[other][name], numbers[other][name] - high)
                if past > LITTLE * here[name]:
                    left.append(
                        f"{name} = {numbers[other][name]:.3g} by {other}, outside ({low:.3g}, {high:.3g})"
                    )
    said = f"the exponent a of params is {here['a']:.3f} by {own}, {', '.join(seen)}"
    if not left:
        return Finding("objectives", "ok", said, numbers)
    text = (
        f"{sentence(said)}; {'; '.join(left)}, the 95 % by {own}. Objectives "
        "differ in how far outlying runs pull: look at the residuals of the smallest runs, and "
        "report the spread."
    )
    return Finding("objectives", "warn", text, numbers)
