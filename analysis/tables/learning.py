"""The learning rate of every update of a run, from its curve or from the columns of its schedule."""

import numpy as np

from analysis.laws import Array
from analysis.tables.headers import RATES, SCHEDULES
from analysis.tables.runs import Runs


def multiplier(
    kind: str, steps: int, horizon: float, warmup: float, cooldown: float = 0.0, final: float = 0.0
) -> Array:
    """The rates (steps,) of updates 1, 2, ... as shares of their peak: `warmup` updates up, then constant,
    linear or cosine down to `final` at update `horizon`; a constant one falls in the last `cooldown` of the
    horizon, as 1 - sqrt where that is below zero.

    Raises:
      ValueError: a schedule of another name.
    """
    if kind not in ("constant", "linear", "cosine"):
        raise ValueError(
            f"schedule {kind!r} is not one of constant, linear, cosine; give the rate in a column"
        )
    position = np.arange(steps, dtype=float)
    rise = np.minimum(1.0, (position + 1) / max(warmup, 1.0))
    length = abs(cooldown) * horizon if kind == "constant" else horizon - warmup
    done = np.clip((position - (horizon - length)) / max(length, 1.0), 0.0, 1.0)
    if kind == "constant" and cooldown < 0:
        done = np.sqrt(done)
    fall = (1 + np.cos(np.pi * done)) / 2 if kind == "cosine" else 1 - done
    return rise * (final + (1 - final) * fall)


def rates_of(curve: Runs, row: Runs | None) -> Array:
    """The learning rate of every update of one run: interpolated along its `curve`, where that has it at
    several points, or by the schedule in the one `row` of its run table.

    Raises:
      ValueError: neither tells it.
    """
    steps = curve.column("step")
    for name in RATES:
        known = np.isfinite(curve.column(name)) if curve.has(name) else np.zeros(len(steps), bool)
        if known.sum() > 2:
            order = np.argsort(steps[known])
            seen, rates = steps[known][order], curve.column(name)[known][order]
            return np.interp(np.arange(1, steps.max() + 1), seen, rates)
    kind = next((name for name in SCHEDULES if row is not None and row.has(name)), None)
    peak = next((name for name in RATES if row is not None and row.has(name)), None)
    if row is None or kind is None or peak is None:
        raise ValueError(
            f"{curve.source}: the learning rate of each point is not known: give a column learning_rate, or "
            "--runs RUNTABLE with schedule, learning_rate, steps, warmup_steps"
        )

    def number(name: str, otherwise: float) -> float:
        value = float(row.column(name)[0]) if row.has(name) else otherwise
        return value if np.isfinite(value) else otherwise

    total = int(max(number("steps", 0.0), steps.max()))  # some count updates from 0
    horizon = number("horizon_steps", total)
    cooldown = number("cooldown_fraction", 0.0)
    if row.has("cooldown_shape") and str(row.column("cooldown_shape")[0]) == "1-sqrt":
        cooldown = -cooldown
    further = number("warmup_steps", 0.0), cooldown, number("final_fraction", 0.0)
    return number(peak, 1.0) * multiplier(str(row.column(kind)[0]), total, horizon, *further)
