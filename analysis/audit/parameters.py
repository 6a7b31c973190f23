"""What a fitted law's parameters are worth: conditioning, flat profiles, and what they
owe to the floor and to the objective."""

import numpy as np

from analysis import fitting
from analysis.audit.findings import Finding, grade, make_finding
from analysis.audit.neighbourhood import Neighbourhood, refit_beside
from analysis.fitting import Fit
from analysis.fitting.profile import Profile, trace_profiles
from analysis.frontiers import conventions
from analysis.laws import Array
from analysis.tables.runs import Runs

APART = 0.02  # of the exponent a, beyond which it matters which column counts the parameters
LITTLE = 1e-3  # of an exponent; a smaller difference is rounding, whatever the interval


def fit_status(fitted: Fit) -> Finding:
    """fit: the fit's own word."""
    numbers = {"objective": fitted.objective.value, "runs": len(fitted.runs), **fitted.parameters}
    if fitted.status == "ok":
        agreeing = f"{fitted.starts_agreeing} of {fitted.starts} starts end in it"
        return Finding("fit", "ok", f"one optimum, and {agreeing}", numbers)
    text = f"The fit is {fitted.status}: {fitted.message}."
    if not fitted.regular:  # else the findings on its neighbourhood say how much of it stands
        text += " Neither its constants nor a frontier computed from them stand."
    return Finding("fit", "refuse", text, numbers)


def countings(fitted: Fit, p: float) -> Finding:
    """countings: the exponent a by each further column that counts the parameters."""
    others = conventions.other_params(fitted.runs)
    if not others:
        return Finding("countings", "ok", "no two columns count the parameters")
    own = fitted.law.exponents(p)[0]
    numbers, refused = {}, []
    for name, params in others.items():
        recounted = fitted.runs.with_column("params", params, name)
        objective = {"objective": fitted.objective.name, "delta": fitted.objective.delta or 1e-3}
        try:
            again = fitting.fit(type(fitted.law), recounted, **objective, fixed=fitted.fixed, judge=False)
        except ValueError:
            refused.append(name)
        else:
            numbers[name] = float(again.law.exponents(p)[0])
    if not numbers:
        text = f"No law can be fitted by {', '.join(refused)}, whose name would do for the params, too."
        return Finding("countings", "note", text)
    said = ", ".join(f"{a:.3f} by {name}" for name, a in numbers.items())
    return make_finding(
        "countings",
        "warn" if max(abs(a - own) for a in numbers.values()) > APART else "note",
        f"the exponent a of params is {own:.3f} by {fitted.runs.roles.get('params', 'params')}, {said}",
        ": embeddings or experts are counted in one and not in the other. Say which is meant "
        "(--params COL) and count FLOPs alike; analysis ledger shows each counting.",
        numbers,
    )


def condition(near: Neighbourhood) -> Finding:
    """condition: of the Gauss-Newton matrix, columns scaled to length one, inputs centred."""
    unit = near.jacobian / np.sqrt((near.jacobian**2).sum(1))[:, None]
    left, singular, _ = np.linalg.svd(unit, full_matrices=False)
    index = float(singular[0] / singular[-1])
    mixed = [near.names[i] for i in np.argsort(-np.abs(left[:, -1]))[:3]]
    return make_finding(
        "condition",
        grade(index, 60, 100),
        f"the Gauss-Newton matrix has a condition number of {index**2:.2g} (index {index:.3g})",
        "; designs that identify the law stay below 60 by index. The runs "
        f"hardly tell {', '.join(mixed[:-1])} and {mixed[-1]} apart: a small error of loss "
        "moves them far together. Widen the range of tokens per parameter.",
        {"condition": index**2, "index": index},
    )


def parameter_profiles(near: Neighbourhood, p: float | None = None) -> dict[str, Profile]:
    """The profiles of alpha, beta and E, of those that are free; and, under a cost of power `p`, of a."""
    names = [name for name in ("alpha", "beta", "E") if name in near.names]
    if not names:
        return {}

    def numbers(law) -> Array:
        a = [] if p is None else [law.exponents(p)[0]]
        return np.concatenate([*(getattr(law, name) for name in names), *a], -1)

    traced = trace_profiles(near.fitted, numbers)
    return dict(zip([*names, *["a"] * (p is not None)], traced, strict=True))


def profiles_and_intervals(near: Neighbourhood, p: float | None) -> tuple[dict[str, Profile], dict]:
    """(`parameter_profiles`; `intervals` under a cost of power `p`, none without one), traced at once
    where the fit's intervals are profiles."""
    if p is None or near.fitted.intervals != "profile":
        return parameter_profiles(near), {} if p is None else intervals(near, p)
    traced = parameter_profiles(near, p)
    known = {name: (profile.low, profile.high) for name, profile in traced.items()}
    profiles = {name: profile for name, profile in traced.items() if name != "a"}
    best = exponents(near.fitted.law, p)  # one that is held is its own interval
    return profiles, {name: known.get(name, (value, value)) for name, value in best.items()}


def flat_profile(profiles: dict[str, Profile]) -> list[Finding]:
    """flat-profile: how wide the 95 % of the widest profile is."""
    parts, numbers, widest, worst = [], {}, "", 1.0
    for name, profile in profiles.items():
        low, best, high = profile.low, profile.value, profile.high
        numbers |= {f"{name}_low": low, f"{name}_high": high, name: best}
        closed = np.isfinite([low, high]).all() and low > 0
        widest, worst = max((widest, worst), (name, high / low if closed else np.inf), key=lambda one: one[1])
        ends = [f"{v:.3g}" if np.isfinite(v) else f"no end {w}" for v, w in ((low, "below"), (high, "above"))]
        parts.append(f"{name} {best:.3g} ({' to '.join(ends)})")
    if not parts:
        return []
    ratio = f"a factor {worst:.2g} wide" if np.isfinite(worst) else "open at an end"
    size = f"{widest} {ratio}" if np.isfinite(worst) else f"{widest} is {ratio}"
    finding = make_finding(
        "flat-profile",
        grade(worst, 1.5, 2.0),
        f"by profile, 95 %: {', '.join(parts)}",
        ". Within these the fit is not significantly worse, and the widest is "
        f"{ratio}. Quote intervals, never the value alone; a wider range of both params and "
        "tokens narrows them.",
        numbers,
        size,
    )
    return [finding]


def floor_against_exponent(near: Neighbourhood, power: float) -> list[Finding]:
    """What the exponents do when E is held one standard error lower and higher."""
    if "E" not in near.names or near.error("E") > 0.5:
        return []  # the fit's status, or the flat profile, has said that there is no floor to hold
    down, up = refit_beside(near, "E")
    best = near.fitted.parameters
    with_a, with_b = near.correlation("E", "alpha"), near.correlation("E", "beta")
    sets = [p | {"a": p["beta"] / (p["alpha"] + power * p["beta"])} for p in (best, down, up)]
    moves = {name: [p[name] for p in sets] for name in ("alpha", "beta", "a")}
    numbers = {
        "E": best["E"],
        "E_error": (up["E"] - down["E"]) / 2,
        "correlation_alpha": with_a,
        "correlation_beta": with_b,
        **{f"{name}_{end}": moves[name][i] for name in moves for i, end in ((1, "low"), (2, "high"))},
    }
    alpha, beta, a = (
        f"from {here:{form}} to {low:{form}} or {high:{form}}"
        for (here, low, high), form in zip(moves.values(), (".3g", ".3g", ".3f"), strict=True)
    )
    far = max(abs(v / best[name] - 1) for name in ("alpha", "beta") for v in moves[name][1:])
    finding = make_finding(
        "floor-against-exponent",
        grade(far, 0.15, 0.3),
        f"holding E = {best['E']:.4g} one standard error lower or higher ({down['E']:.4g}, "
        f"{up['E']:.4g}) moves alpha {alpha}, beta {beta}, and the exponent a of params {a} "
        f"(correlation of E with alpha {with_a:.2f}, with beta {with_b:.2f})",
        ". The floor and the exponents are one choice, not three: never mix "
        "E of one fit with exponents of another, and add the largest runs you can, where the "
        "floor shows.",
        numbers,
    )
    return [finding]


def exponents(law, p: float) -> dict[str, float]:
    """alpha, beta and the frontier's exponent a of params, under a cost of power p."""
    return {"alpha": float(law.alpha), "beta": float(law.beta), "a": float(law.exponents(p)[0])}


def intervals(near: Neighbourhood, p: float) -> dict[str, tuple[float, float]]:
    """95 % of alpha, beta and a: the fit's own where it has intervals, else from its covariance.

    Resampled ones hold what single runs of much leverage do, which the covariance does not."""
    best = exponents(near.fitted.law, p)
    if near.fitted.intervals != "none":
        low, high = near.fitted.band(
            lambda law: np.concatenate(
                [np.atleast_1d(part) for part in (law.alpha, law.beta, law.exponents(p)[0])], -1
            )
        )
        return {name: (float(a), float(b)) for name, a, b in zip(best, low, high, strict=True)}
    reach = {name: 1.96 * np.sqrt(variance(near, name, p, near.jacobian)) for name in best}
    return {name: (value - reach[name], value + reach[name]) for name, value in best.items()}


def variance(near: Neighbourhood, name: str, p: float, jacobian: Array) -> float:
    """Variance of alpha, beta or a with the rows of a jacobian (F, R)."""
    names, law = near.names, near.fitted.law
    slopes = {name: 1.0}
    if name == "a":  # a = beta / (alpha + p beta)
        total = (law.alpha + p * law.beta) ** 2
        slopes = {"alpha": -law.beta / total, "beta": law.alpha / total}
    slope = np.array([slopes.get(name, 0.0) for name in names])
    inverse = np.linalg.pinv(jacobian @ jacobian.T, rcond=1e-14)
    return float(slope @ inverse @ slope) * near.unit


def objectives(near: Neighbourhood, runs: Runs, p: float, intervals: dict) -> Finding:
    """objectives: exponents that leave their interval under another objective."""
    own, here = near.fitted.objective.name, exponents(near.fitted.law, p)
    others = [name for name in ("huber-log", "l1-log", "ls-log") if name != own]
    numbers = {own: here} | {
        name: exponents(
            fitting.fit(
                type(near.fitted.law), runs, objective=name, fixed=near.fitted.fixed, judge=False
            ).law,
            p,
        )
        for name in others
    }
    outside = []
    for other in others:
        for name, (low, high) in intervals.items():
            value = numbers[other][name]
            if max(low - value, value - high) > LITTLE * here[name]:
                outside.append(f"{name} = {value:.3g} by {other}, outside ({low:.3g}, {high:.3g})")
    seen = ", ".join(f"{numbers[other]['a']:.3f} by {other}" for other in others)
    return make_finding(
        "objectives",
        "warn" if outside else "ok",
        f"the exponent a of params is {here['a']:.3f} by {own}, {seen}",
        f"; {'; '.join(outside)}, the 95 % by {own}. Objectives "
        "differ in how far outlying runs pull: look at the residuals of the smallest runs, and "
        "report the spread.",
        numbers,
    )
