"""What seeds tell of a number: its mean and how far that is known."""

import numpy as np
from scipy import stats


def band(values: np.ndarray) -> tuple[float, float, float]:
    """The mean over seeds and its 95 % interval (Student's t)."""
    n, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return mean, mean - half, mean + half


def ends(values: np.ndarray, digits: int = 2) -> str:
    return "{:.{d}f} ({:.{d}f}, {:.{d}f})".format(*band(values), d=digits)
