"""Whether the middle of a training curve says what a shorter run would have reached.

Under a learning rate that decays to the end of a run, the loss at update s of a run that ends at
T > s is above that of a run made for s (Hoffmann et al. 2022, section 3.1 and appendix B): only
final points belong to their tokens. Under a constant rate every point does.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from analysis.laws import Array
from analysis.tables.headers import HORIZONS, RATES, SCHEDULES
from analysis.tables.runs import Runs

FALLING = re.compile(  # what a schedule's name says of a rate that falls to the end of a run
    r"cos|linear|poly|exp|inv|sqrt|decay|anneal|cool|wsd|trapez|step|cyclic|one_?cycle|plateau|triang|infinite"
)
LEVEL = {"constant", "const", "none", "constant_with_warmup", "constant with warmup", "flat"}
GAP, PAIRS = 0.003, 4  # log loss, over so many pairs, that tells a schedule from the curves alone
FALLEN = 0.9  # share of its peak below which a learning rate has decayed


@dataclass(frozen=True, eq=False)
class Curve:
    """One run: its points after smoothing, in rising order of compute."""

    run: str
    params: float
    log_flops: Array
    log_tokens: Array
    log_loss: Array


@dataclass(frozen=True)
class Schedule:
    """`kind` is constant, decaying or unknown; `message` says what told it."""

    kind: str
    message: str


def find_schedule(
    curves: Runs, names: np.ndarray, table: Runs | None = None, lines: Sequence[Curve] = ()
) -> Schedule:
    """The schedule behind training curves.

    Told by a learning rate that changes along the curves; else by a column that names it, or a
    horizon, in the curves or in their run table; else by the curves themselves, see `by_gap`.

    Args:
      curves: rows of many runs.
      names: (R,), which run each row is of.
      table: one row a run, where there is one.
      lines: the same curves, one a run.
    """
    for column in RATES:
        if curves.has(column) and curves.column(column).dtype != object:
            if schedule := by_rate(curves.column(column), names, column):
                return schedule
    tables = [source for source in (curves, table) if source is not None]
    for source in tables:
        if column := next(filter(source.has, SCHEDULES), None):
            return by_name(source, column, any(several_points(curves, rate, names) for rate in RATES))
    for source in tables:
        if column := next(filter(source.has, HORIZONS), None):
            return Schedule("decaying", f"column {column} of {source.source} sets the end of a schedule")
    looked = ", ".join((*SCHEDULES[:2], *RATES, *HORIZONS[:2]))
    return by_gap(lines) or Schedule("unknown", f"no column tells the schedule (looked for {looked})")


def by_rate(rate: np.ndarray, names: np.ndarray, column: str) -> Schedule | None:
    """From the learning rate at every point; None where it does not change along any curve, as a
    run's peak rate written in each row does not."""
    runs = dict.fromkeys(names)
    curves = [rate[(names == name) & np.isfinite(rate)] for name in runs]
    curves = [along for along in curves if along.size]
    if not any(np.ptp(along) > 1e-6 * along.max() for along in curves):
        return None
    if fallen := sum(along[-1] < FALLEN * along.max() for along in curves):
        return Schedule("decaying", f"{column} falls along {fallen} of {len(runs)} curves")
    return Schedule("constant", f"{column} does not fall along any curve")


def by_gap(lines: Sequence[Curve]) -> Schedule | None:
    """From runs of one size and different lengths: under a schedule that ends with its run, the
    longer lies above the shorter where that ends. None where they do not, or are too few."""
    gaps = []
    for short, long in permutations(lines, 2):
        end = short.log_tokens[-1]
        if long.params == short.params and long.log_tokens[-1] > end + np.log(1.2):
            gaps.append(np.interp(end, long.log_tokens, long.log_loss) - short.log_loss[-1])
    if len(gaps) < PAIRS:
        return None
    mean, error = np.mean(gaps), np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    if mean < max(GAP, 3 * error):
        return None
    return Schedule(
        "decaying",
        f"longer runs lie {100 * np.expm1(mean):.2g} % above shorter ones "
        f"of their size where those end, over {len(gaps)} pairs",
    )


def several_points(curves: Runs, column: str, names: np.ndarray) -> bool:
    """Whether a learning rate is known at several points of each curve."""
    if not curves.has(column) or curves.column(column).dtype == object:
        return False
    counts = np.unique(names[np.isfinite(curves.column(column))], return_counts=True)[1]
    return bool(counts.size) and counts.min() > 2


def by_name(source: Runs, column: str, steady: bool = False) -> Schedule:
    """From the schedule's name, and what a constant one does at its end. `steady` says that the rate is
    known along the curves and stays the same there, which decides where nobody knows the name."""
    words = {str(word).strip().lower() for word in source.column(column)}
    message = f"{column} is {', '.join(sorted(words))} in {source.source}"
    if always(source, "final_fraction", 1.0):
        return Schedule("constant", f"{message}, down to all of the peak rate")
    if steady and not any(FALLING.search(word) for word in words - LEVEL):
        return Schedule("constant", f"{message}, and the learning rate stays the same along every curve")
    if not words <= LEVEL:
        return Schedule("decaying", message)
    if source.has("cooldown_fraction") and not always(source, "cooldown_fraction", 0.0):
        return Schedule("decaying", f"{message}, with a cool-down at the end")
    return Schedule("constant", message)


def always(source: Runs, column: str, value: float) -> bool:
    """Whether a column of numbers is there and has this one value; empty cells do not count."""
    if not source.has(column) or source.column(column).dtype == object:
        return False
    known = source.column(column)[np.isfinite(source.column(column))]
    return bool(known.size) and bool((known == value).all())
