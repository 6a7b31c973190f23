"""Which parameters of a fit have an interval without an end that is of any use: held at a floor of zero,
or at an exponent or scale many times off, with all others refitted, the runs are fitted about as well. And
which have ends so far apart that their value is of no use.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting.likelihood import covariance, freedom, height, likelihood_scale
from analysis.fitting.solve import Penalty, Problem, minimise
from analysis.laws.base import Array, Law

NOTHING = 1e-4  # share of the least output that is taken for a floor of zero
TIMES = 4.0  # by which an exponent may be off and be of no use
FACTOR = 1e3  # by which a scale is moved to be at no end
CLEAR = 12.0  # standard errors from an end beyond which it is not tried
MOST = 20_000  # rows on which ends are tried
QUIET = 1e-12  # residual spread below which a table has no noise to speak of
LIKELY, RARELY = 1.645, 2.326  # standard errors up that noise is taken to be: of 1 in 20 tables, of 1 in 100
LOOSE_FLOOR = 0.12  # standard error of log E from which a floor is known to nobody
LOOSE_EXPONENT = 0.45  # of an exponent, as a share of it: its 95 % interval goes from nearly zero to twice it


@dataclass(frozen=True)
class End:
    """A value (fitted form) of a parameter at which the law loses what it says of the runs."""

    index: int  # of the parameter
    at: float
    words: str


def exponent(law: type[Law], name: str) -> bool:
    """Whether a parameter is an exponent, of whatever sign."""
    return name in law.grid and name not in law.positive() and name != "E"


def input_of(law: type[Law], name: str) -> str:
    """The input that an exponent is of; or "" where the law does not say."""
    for unit in law.units.values():
        for v, _, power in unit:
            if power == name:
                return law.inputs[v]
    return ""


def open_ends(problem: Problem, theta: Array, level: float = 0.95, wider: float = 1.0) -> list[str]:
    """What the runs leave open, a clause each, and what would settle it.

    Args:
      problem: the rows, on centred logarithms, and the objective.
      theta: where the fit ended (P,).
      level: of the intervals whose ends are asked for.
      wider: by how much they are, see `widening`.
    """
    if problem.output.size > MOST:
        rows = np.random.default_rng(0).choice(problem.output.size, MOST, replace=False)
        problem = replace(problem, logs=problem.logs[:, rows], output=problem.output[rows])
    if problem.name == "l1-log":
        problem = replace(problem, delta=1e-7)  # absolute values are Huber's limit
    ends, spread = law_ends(problem, theta), covariance(problem, theta)
    errors = np.sqrt(np.diag(spread))
    place = {int(i): k for k, i in enumerate(problem.free)}
    tried = [end for end in ends if not far(end, theta, errors[place[end.index]])]
    if not tried:
        return []
    unit, _, limit = likelihood_scale(problem, theta, level)
    if unit < QUIET**2:
        return []
    where = np.array([end.index for end in tried])
    targets = np.array([end.at for end in tried])
    # the others set out from where they are, and along the fit's own quadratic
    start = np.tile(theta, (2, len(tried), 1))
    for k, end in enumerate(tried):
        column = spread[:, place[end.index]]
        along = column / column[place[end.index]] * (end.at - theta[end.index])
        start[1, k, problem.free] += np.clip(along, -3, 3)
    start[:, np.arange(len(tried)), where] = targets
    where, targets, start = np.tile(where, 2), np.tile(targets, 2), start.reshape(-1, len(theta))
    hold = Penalty(lambda t: t, where, targets, np.full(len(start), 1e6 * problem.output.size * unit))
    reached, _ = minimise(replace(problem, penalty=hold), start, rounds=60)
    reached[np.arange(len(start)), where] = targets
    reached = np.where(np.isfinite(reached), reached, start)
    rise = height(problem, reached).reshape(2, -1).min(0) - height(problem, theta[None])
    root = np.sqrt(2 * np.maximum(rise, 0) / unit)
    return [end.words for end, r in zip(tried, root, strict=True) if r < wider * limit]


def far(end: End, theta: Array, error: float) -> bool:
    """Whether an end is so many standard errors away that the runs exclude it."""
    gap = abs(end.at - theta[end.index])
    if gap > np.log(FACTOR) / 2:
        gap = 1.0  # of a logarithm: what lies far off may be as good from near by
    return error * CLEAR < gap


def law_ends(problem: Problem, theta: Array) -> list[End]:
    """The ends of a law's floor, exponents and scales, of those that were fitted."""
    law, ends = problem.law, []
    for i in problem.free:
        name = law.names()[i]
        of = input_of(law, name)
        more = f"runs over a wider range of {of}" if of else "runs over a wider range"

        def add(at: float, where: str, more: str = more, i: int = int(i), name: str = name) -> None:
            words = f"{name} is open {where} fits the runs about as well; {more} would settle it"
            ends.append(End(i, at, words))

        if name == "E":
            larger = " and ".join(law.inputs) if len(law.inputs) < 3 else "all inputs"
            at = np.log(NOTHING * problem.output.min())
            add(at, "below: no floor at all", f"runs of larger {larger}, where a floor shows,")
        elif exponent(law, name):
            if not law.rising:  # else near zero is an answer
                add(theta[i] / TIMES, f"below: {theta[i] / TIMES:.2g} instead of {theta[i]:.2g}")
            add(theta[i] * TIMES, f"at its steep end: {theta[i] * TIMES:.2g} instead of {theta[i]:.2g}")
        elif name in law.grid:
            for sign, word in ((-1, "below: a thousandth of it"), (1, "above: a thousand times it")):
                add(theta[i] + sign * np.log(FACTOR), word)
    return ends


def noisier(problem: Problem, errors: float) -> float:
    """How many times larger than the residuals say the noise may well be, `errors` standard errors up: few
    runs know their own badly (Wilson and Hilferty 1931: a quantile of chi-square over its freedom)."""
    wide = 2 / (9 * freedom(problem))
    return float(max(1 - wide - errors * np.sqrt(wide), 1e-3) ** -1.5)


def slack(problem: Problem, theta: Array) -> list[tuple[int, float, float]]:
    """Of floor and exponents, (index, standard error by the largest noise that is likely, its share of the
    one from which nothing is known)."""
    error = np.sqrt(np.diag(covariance(problem, theta))) * noisier(problem, LIKELY)
    law, out = problem.law, []
    for i, spread in zip(problem.free, error, strict=True):
        name = law.names()[i]
        if name == "E":
            out.append((int(i), spread, spread / LOOSE_FLOOR))
        elif exponent(law, name) and not law.rising:
            out.append((int(i), spread, spread / (LOOSE_EXPONENT * max(abs(theta[i]), 1e-300))))
    return out


def widening(problem: Problem, theta: Array) -> float:
    """How many times wider intervals must be than residuals say, so that those of fits called `ok` hold the
    truth as often as they say: close to what is `loose`, tables pass whose residuals came out small by
    chance. Measured in docs/coverage.md."""
    nearest = max((share for _, _, share in slack(problem, theta)), default=0.0)
    if not nearest <= 1 or freedom(problem) < len(problem.free):
        return 1.0  # it is not ok anyway
    return max(1.0, noisier(problem, RARELY) * nearest)


def loose(problem: Problem, theta: Array) -> list[str]:
    """Floor and exponents that the runs leave too wide to be used, or open once intervals are as wide as
    they must be, a clause each."""
    clauses, law = [], problem.law
    for i, spread, share in slack(problem, theta):
        name, of = law.names()[i], input_of(law, law.names()[i])
        if share <= 1:
            continue
        if name == "E":
            larger = " and ".join(law.inputs) if len(law.inputs) < 3 else "all inputs"
            clauses.append(
                f"the floor E is known only within a factor of about {np.exp(1.96 * spread):.2g} either way; "
                f"runs of larger {larger}, where a floor shows, would settle it"
            )
        else:
            clauses.append(
                f"{name} = {theta[i]:.3g} is known only within about ± {1.96 * spread:.2g}; runs over a "
                f"wider range{f' of {of}' * bool(of)}, or more of them, would settle it"
            )
    wider = widening(problem, theta)
    return open_ends(problem, theta, wider=wider) if wider > 1 and not clauses else clauses
