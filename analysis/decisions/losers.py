"""Which runs of a sweep can no longer win, told from part of their curves.

The runs of a sweep are alike but for one setting, the learning rate, and stand side by side at equal steps.
The leader is the lowest there. A run is behind by the logarithm of its loss over the leader's; what it may
still make up is counted in the leader's own progress over its last doubling of steps, which falls as the
curve flattens. A run is stopped where it is behind by more than a share of that and the spread of equal runs.
Rates below the leader's catch up as a run begins, since the best rate falls with the steps, and no more once
the rate decays: their share is the larger one at first and falls with the steps made. Rates above it fall
further behind until the rate decays, and then make up half of a doubling at most. Where the rate never
falls lower rates catch up to the end, and are not stopped. A run beyond a stopped one on the same side of the
leader is stopped with it, since loss is a valley in the setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.laws import Array
from analysis.tables import Runs
from analysis.tables.curves import run_names
from analysis.tables.headers import CONTEXT, RECIPE, SEEDS, TEXT, TUNED, find, find_all

STEPS = ("step", "steps", "global_step", "iteration", "update")
COOLDOWN = ("cooldown_fraction",)
SIGNED = ("lion", "sign")  # optimisers of which lower rates won that had been far behind (experiments.sweeps)
EARLY = 0.08  # share of the steps at which a lower rate is given `below`; later less, in proportion
SHAPE = ("params", "budget", "batch_tokens", "d_model", "n_layer", "tokens")


@dataclass(frozen=True)
class Rule:
    """When a run is stopped: not before `first` of its steps; where it is behind by `spread` and `above` of
    the leader's last doubling, in ln loss, at a rate over the leader's, or at one under it `below` of that
    at 8 % of the steps and less later, in proportion."""

    first: float = 0.08
    below: float = 0.75
    above: float = 0.5
    spread: float = 0.005


@dataclass(frozen=True, eq=False)
class Sweep:
    """K runs alike but for a setting, rising: their `names`, the `setting` (K,), `log_loss` (K, S) at S
    common `steps`, NaN where a run has none, `length`, the steps of a whole run, and whether the rate
    `falls` on its way."""

    place: str
    names: list[str]
    setting: Array
    steps: Array
    log_loss: Array
    length: float
    falls: bool = True


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of each run the share of its steps at which it would be stopped (K,), 1 where never; the share of the
    sweep's FLOPs that saves; the `winner`, whether it is `kept`, and the `cost` in ln loss where not."""

    sweep: Sweep
    stopped: Array
    saved: float
    winner: str
    kept: bool
    cost: float


def behind(sweep: Sweep, at: int, running: Array, rule: Rule) -> Array:
    """Which of the running (K,) runs are losers at the point `at`, by its curves up to there."""
    now = np.where(running, sweep.log_loss[:, at], np.nan)
    lost = running & np.isnan(now)  # it diverged
    if np.isnan(now).all():
        return lost
    leader = int(np.nanargmin(now))
    past = sweep.log_loss[leader, : at + 1]
    half = np.interp(np.log(sweep.steps[at] / 2), np.log(sweep.steps[: at + 1]), past)
    octave = half - past[-1]
    under = np.arange(len(now)) < leader
    below = rule.below * EARLY * sweep.length / sweep.steps[at] if sweep.falls else np.inf
    allowed = rule.spread + np.where(under, below, rule.above) * max(octave, 1e-9)
    lost |= running & (now - now[leader] > allowed)
    lost[: np.flatnonzero(lost & under).max(initial=-1) + 1] = True  # further out on the same side
    lost[np.flatnonzero(lost & ~under).min(initial=len(now)) :] = True
    return lost & running


def replay(sweep: Sweep, rule: Rule = Rule()) -> Outcome:
    """What the rule makes of a whole sweep, one common point after another."""
    running, stopped = np.ones(len(sweep.names), bool), np.ones(len(sweep.names))
    for at, step in enumerate(sweep.steps):
        share = step / sweep.length
        if rule.first <= share < 1:
            lost = behind(sweep, at, running, rule)
            stopped[lost], running = share, running & ~lost
    ends = sweep.log_loss[:, -1]
    if np.isnan(ends).all():
        return Outcome(sweep, stopped, float(1 - stopped.mean()), "", True, 0.0)
    best = int(np.nanargmin(ends))
    left = np.nanmin(np.where(running, ends, np.nan)) if (running & np.isfinite(ends)).any() else np.inf
    return Outcome(
        sweep,
        stopped,
        float(1 - stopped.mean()),
        sweep.names[best],
        bool(running[best]),
        float(left - ends[best]),
    )


def sweeps(
    curves: Runs, runs: Runs, setting: str = "learning_rate", length: float | None = None
) -> list[Sweep]:
    """The sweeps of a table of runs with their curves.

    Args:
      curves: a run's name, its step and loss at points of its curve.
      runs: the settings of each run by the same name; runs equal in all but `setting` are one sweep.
      length: steps of a whole run, where the curves are of runs under way; by default the last step.

    Raises:
      ValueError: no column of the setting or of steps, or no sweep of three runs.
    """
    name, step = find(runs.columns, (setting,)), find(curves.columns, STEPS)
    if name is None:
        raise ValueError(
            f"{runs.source}: no column {setting!r} that the runs differ in; name it with --setting"
        )
    if step is None:
        raise ValueError(f"{curves.source}: no column counts steps ({', '.join(STEPS)})")
    points = curve_points(curves, step)
    out = []
    for place, rows in cells(runs, name):
        ids, rates = run_names(runs)[rows], runs.columns[name][rows].astype(float)
        order = [i for i in np.argsort(rates) if ids[i] in points]
        if len(order) < 3 or len(np.unique(rates[order])) < len(order):
            continue
        names, falling = [str(ids[i]) for i in order], falls(runs, rows[0])
        out.append(replace(sweep_of(place, names, rates[order], points, length), falls=falling))
    if not out:
        raise ValueError(f"{runs.source}: no three runs are alike but for {name} and have a curve each")
    return out


def falls(runs: Runs, row: int) -> bool:
    """Whether a run's rate falls on its way, so that lower rates catch up no more: it does where no column
    says that it is constant. With optimisers whose steps are of one size, whatever the gradient, lower rates
    are not told from winners before the end."""
    optimizer = find(runs.columns, ("optimizer", "optim"))
    if optimizer is not None and any(word in str(runs.columns[optimizer][row]).lower() for word in SIGNED):
        return False
    schedule, cooldown = (find(runs.columns, names) for names in (("schedule", "lr_schedule"), COOLDOWN))
    constant = schedule is not None and str(runs.columns[schedule][row]) == "constant"
    return not constant or bool(cooldown is not None and float(runs.columns[cooldown][row]) > 0)


def curve_points(curves: Runs, step: str) -> dict[str, dict[float, float]]:
    """Of each run its loss by step."""
    points: dict[str, dict[float, float]] = {}
    for run, at, loss in zip(run_names(curves), curves.columns[step], curves.loss, strict=True):
        points.setdefault(run, {})[float(at)] = float(loss)
    return points


def sweep_of(place: str, names: list[str], rates: Array, points: dict, length: float | None) -> Sweep:
    every = [points[name] for name in names]
    longest = max(max(each) for each in every)
    steps = sorted({at for each in every for at in each if sum(at in other for other in every) > 1})
    loss = np.array([[each.get(at, np.nan) for at in steps] for each in every])
    with np.errstate(invalid="ignore"):
        return Sweep(place, names, rates, np.array(steps), np.log(loss), length or longest)


def cells(runs: Runs, setting: str) -> list[tuple[str, Array]]:
    """(what is alike, rows) of the runs that differ in the setting alone."""
    alike = find_all(runs.columns, (*SHAPE, *RECIPE, *TEXT, *CONTEXT, *TUNED, *SEEDS))
    alike = [name for name in dict.fromkeys(alike) if name != setting]
    keys = [tuple(word(runs.columns[name][i]) for name in alike) for i in range(len(runs))]
    groups: dict[tuple, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    differ = [k for k in range(len(alike)) if len({key[k] for key in groups}) > 1]
    return [
        (", ".join(f"{alike[k]} {key[k]}" for k in differ), np.array(rows)) for key, rows in groups.items()
    ]


def word(value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def total(outcomes: Sequence[Outcome]) -> tuple[float, int]:
    """(share of the FLOPs saved, sweeps counted alike; how many winners were kept)."""
    return float(np.mean([each.saved for each in outcomes])), sum(each.kept for each in outcomes)
