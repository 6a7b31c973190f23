"""Rows whose params, tokens or losses look like the same in another unit, by a law fitted to all: one factor,
the same for all of them, brings them to it."""

from dataclasses import replace

import numpy as np

from analysis.fitting.solve import Problem, minimise
from analysis.laws.base import Array, Law

LEAST = 12  # rows below which nothing is looked for
SEVERAL = 4  # rows that one factor must bring back
SHARE = 0.45  # of the rows, at most, that lie off
OFF = 8.0  # robust standard deviations from the law beyond which a row lies off
BACK = 5.0  # and within which it is back
FINEST = 1e-3  # noise of log loss below which no table's is taken to be
APART = 4.0  # factor from which two units are likelier than a slip
FURTHEST = 1e6
MOST = 20_000  # rows of which losses are looked at
LOSS_UNITS = {"bits beside nats": 1 / np.log(2), "percent beside shares": 100.0}
QUIETER = 4.0  # times, by which residuals fall when the losses of some rows are brought to the others' unit
TRIED = np.linspace(-np.log(FURTHEST), np.log(FURTHEST), 1201)  # logarithms of factors


def other_units(law: Law, inputs: tuple[str, ...], logs: Array, residuals: Array, rows: Array) -> str:
    """Which rows a factor of an input brings to the law, and the factor; else "".

    Args:
      law: the fitted law.
      inputs: names of the columns that play its inputs (V).
      logs: their logarithms (V, R).
      residuals: log predicted - log observed (R,).
      rows: numbers of the rows (R,), as they are shown.
    """
    if not LEAST <= len(residuals) or not {"params", "tokens"} <= set(inputs):
        return ""
    noise = max(FINEST, 1.4826 * float(np.median(np.abs(residuals - np.median(residuals)))))
    off = np.flatnonzero(np.abs(residuals) > OFF * noise)
    if not SEVERAL <= len(off) <= SHARE * len(residuals):
        return ""
    best = max(common_factor(law, logs[:, off], residuals[off], v, noise) for v in range(len(inputs)))
    back, factor, v = best
    if back < max(SEVERAL, 0.8 * len(off)) or np.exp(abs(factor)) < APART:
        return ""
    shown = ", ".join(map(str, rows[off][:5].tolist())) + ", ..." * (len(off) > 5)
    return (
        f"units are mixed inside {inputs[v]}: {len(off)} of {len(residuals)} rows (row {shown}) lie "
        f"up to {100 * np.abs(np.expm1(residuals[off])).max():.2g} % off the law, and on it if their "
        f"{inputs[v]} are {number(np.exp(factor))} what they say; bring all rows to one unit"
    )


def loss_units(problem: Problem, theta: Array, rows: Array) -> str:
    """Which rows have their loss in another unit than the rest: residuals lie in two groups, and the law fits
    all of them once one is divided by a factor that units have; else "".

    Args:
      problem: the rows, on centred logarithms.
      theta: where the fit ended (P,).
      rows: numbers of the rows (R,), as they are shown.
    """
    if len(rows) > MOST:  # those tell as much as all
        some = np.sort(np.random.default_rng(0).choice(len(rows), MOST, replace=False))
        problem = replace(problem, logs=problem.logs[:, some], output=problem.output[some])
        rows = rows[some]
    above = np.log(problem.output) - problem.law.log_predict(theta[None], problem.logs)[0][0]
    order = np.argsort(above)
    if len(above) < LEAST or not np.isfinite(above).all():
        return ""
    inner = slice(SEVERAL - 1, len(above) - SEVERAL)  # where several rows are left on either side
    k = SEVERAL - 1 + int(np.argmax(np.diff(above[order])[inner]))
    upper = np.zeros(len(above), bool)
    upper[order[k + 1 :]] = True
    spread = float(np.mean(np.abs(above - np.median(above))))
    apart = float(np.median(above[upper]) - np.median(above[~upper]))
    for words, factor in LOSS_UNITS.items():
        if not 0.5 < apart / np.log(factor) < 2:
            continue
        for _ in range(3):  # the first law lies between the groups, and may take a row for one of the others
            one = replace(problem, output=np.where(upper, problem.output / factor, problem.output))
            law, _ = minimise(one, theta[None])
            raw = np.log(problem.output) - problem.law.log_predict(law, problem.logs)[0][0]
            gap, before, upper = raw - upper * np.log(factor), upper, raw > np.log(factor) / 2
            if (upper == before).all() or not SEVERAL <= upper.sum() <= len(raw) - SEVERAL:
                break
        upper = before
        left = float(np.median(gap[upper]) - np.median(gap[~upper]))
        noise = float(np.mean(np.abs(gap)))
        error = 1.6 * noise * np.sqrt(1 / upper.sum() + 1 / (~upper).sum())  # of medians, of normal noise
        if noise < spread / QUIETER and abs(left) < max(3 * error, FINEST):
            few = upper if upper.sum() <= len(above) / 2 else ~upper
            shown = ", ".join(map(str, rows[few][:5].tolist())) + ", ..." * bool(few.sum() > 5)
            return (
                f"units are mixed inside the loss, {words}: {upper.sum()} of {len(above)} rows lie "
                f"{factor * np.exp(left):.4g} ± {factor * error:.1g} times above the law of the others, and "
                f"these units are {factor:.4g} apart ({few.sum()} of one unit: row {shown}); bring all to one"
            )
    return ""


def common_factor(law: Law, logs: Array, residuals: Array, v: int, noise: float) -> tuple[int, float, int]:
    """(how many rows one factor of input v brings to the law, its logarithm, v)."""
    kind = type(law)
    moved = np.repeat(logs[:, :, None], len(TRIED), 2)
    moved[v] += TRIED
    theta = kind.to_theta(np.array([[float(getattr(law, name)) for name in law.names()]]))
    with np.errstate(all="ignore"):
        here = kind.log_predict(theta, logs)[0][0]
        there = kind.log_predict(theta, moved.reshape(len(logs), -1))[0][0].reshape(-1, len(TRIED))
    gap = np.abs(residuals[:, None] + there - here[:, None])
    count = (gap < BACK * noise).sum(0)
    close = np.where(count == count.max(), np.median(gap, 0), np.inf)
    k = int(np.argmin(close))
    return int(count[k]), float(TRIED[k]), v


def number(factor: float) -> str:
    return f"{factor:.2g} times" if factor >= 1 else f"a {1 / factor:.2g}th of"
