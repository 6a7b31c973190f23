"""What figures say: names, numbers, and what keeps either from being trusted."""

import re
from collections.abc import Sequence

import numpy as np

from analysis.fitting import Band, Fit
from analysis.frontiers import Frontier
from analysis.tables.units import UNSTATED

STEP = 10.0  # times the compute that growth is told over


def plain(text: str) -> str:
    """A name from outside as it stands: a dollar sign in it begins no formula."""
    return text.replace("$", r"\$")


def warning(*answers: Frontier | Fit | None) -> str:
    """What fits and frontiers say against themselves, in short, for a badge, as the caption has the
    whole message; "" when all are ok."""
    bad = [each for each in answers if each is not None and each.status != "ok"]
    reasons = "; ".join(dict.fromkeys(re.split("[;,] ", each.message)[0] for each in bad))
    hopeless = any(each.status in ("unidentified", "failed") for each in bad)
    return reasons and ("NOT TO BE TRUSTED: " if hopeless else "WITH CARE: ") + reasons


def caution_words(cautions: Sequence[str]) -> str:
    """What looks wrong in the table, for the end of a caption; "" where nothing does."""
    return "".join(f" CAUTION: {caution}." for caution in cautions)


def loss_label(runs) -> str:
    unit = runs.loss_unit.partition(",")[0].replace("/", " per ")
    return "loss" if runs.loss_unit == UNSTATED else plain(f"loss ({unit})")


def power(value: float) -> str:
    """1.25e16 as a paper writes it."""
    if not value > 0:
        return "0"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    mantissa = value / 10**exponent
    if abs(mantissa - 1) < 0.005:
        return f"$10^{{{exponent}}}$"
    return f"${mantissa:.3g}\\times10^{{{exponent}}}$"


def human(value: float) -> str:
    """50000 as 50k."""
    for unit, word in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.9999:
            return f"{value / unit:.4g}{word}"
    return f"{value:.4g}"


def typed(value: float) -> str:
    """1e+13 as it is typed: 1e13."""
    return f"{value:.3g}".replace("e+", "e")


def short(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")


def share(factor: float) -> str:
    """A factor in words, a percentage where it is near one."""
    return f"a factor {factor:.2g}" if factor >= 1.095 else f"{100 * (factor - 1):.1g} %"


def times(exponent: Band) -> str:
    return f"{STEP**exponent.value:.{digits_of(exponent)}g} times"


def ends(exponent: Band) -> str:
    """The 95 % interval of a growth."""
    if not np.isfinite([exponent.low, exponent.high]).all():
        return " (no interval)"
    low, high = (f"{STEP**end:.{digits_of(exponent)}g}" for end in (exponent.low, exponent.high))
    return f" ({low} to {high})"


def digits_of(exponent: Band) -> int:
    """As few, from two, as tell a growth from the ends of its interval."""
    growth = STEP ** np.array([exponent.low, exponent.value, exponent.high])
    if not np.isfinite(growth).all():
        return 2
    return next((n for n in (2, 3) if len({f"{each:.{n}g}" for each in growth}) == 3), 4)
