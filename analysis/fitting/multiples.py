"""Rows whose params or tokens look like the same count in another unit, by a law fitted to all: one factor,
the same for all of them, brings them to it."""

import numpy as np

from analysis.laws.base import Array, Law

LEAST = 12  # rows below which nothing is looked for
SEVERAL = 4  # rows that one factor must bring back
SHARE = 0.45  # of the rows, at most, that lie off
OFF = 8.0  # robust standard deviations from the law beyond which a row lies off
BACK = 5.0  # and within which it is back
FINEST = 1e-3  # noise of log loss below which no table's is taken to be
APART = 4.0  # factor from which two units are likelier than a slip
FURTHEST = 1e6
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
