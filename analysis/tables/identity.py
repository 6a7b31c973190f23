"""Which rows are of one run, whatever the column is called, and which of them is its last."""

from dataclasses import replace

import numpy as np

from analysis.tables import states
from analysis.tables.cautions import cells_of_several, rivals
from analysis.tables.headers import (
    EXPERIMENTS,
    NAMES,
    RECIPE,
    RUN_IDS,
    SCHEDULES,
    SEEDS,
    STEPS,
    TEXT,
    TUNED,
    find,
    find_all,
)
from analysis.tables.kinds import codes, combined, paired
from analysis.tables.runs import Runs
from analysis.tables.schedule import find_schedule

NOT_THE_BEST = "not the best of its"  # cell or list, begins the reason of a row that is left out for another


LENGTHS = {"steps", "updates"}  # of whole runs, as others of STEPS are of a point


def run_column(runs: Runs) -> str:
    """The column that names the run of each row, where several rows are of one; or ""."""
    for name in find_all(runs.columns, RUN_IDS):
        code = codes(runs.columns[name])
        values = len(np.unique(code[code >= 0]))
        numbered = name == "run" and all(str(v).removesuffix(".0").isdecimal() for v in runs.columns[name])
        if 1 < values < (code >= 0).sum() and not numbered:  # 0, 1, 2 may be the number of a repeat
            return name
    names = [*EXPERIMENTS, *["name"] * bool(find(runs.columns, set(STEPS) - LENGTHS))]
    return next(filter(lambda name: names_curves(runs, name), find_all(runs.columns, names)), "")


def lost_runs(runs: Runs) -> list[tuple[int, str]]:
    """(row, reason) of the runs without a result, by their last flagged row: no repeat or sum, none that
    another is better than, and of each run and size no row is used, as of one whose last point is."""
    name = run_column(runs)
    named = runs.labels(name) if name else np.full(len(runs), "", object)
    label = np.where(np.isin(named, ("", "nan")), runs.rows, named)
    sizes = runs.params if runs.has("params") else np.zeros(len(runs))
    keys = [*zip(label.tolist(), sizes.tolist(), strict=True)]
    used = {key for key, why in zip(keys, runs.reasons, strict=True) if not why}
    no_run = "repeats", NOT_THE_BEST
    lost = {
        key: (int(row), why)
        for row, why, key in zip(runs.rows, runs.reasons, keys, strict=True)
        if why and key not in used and not why.startswith(no_run) and not why.endswith(states.SUMS_UP)
    }
    return [*lost.values()]


def names_curves(runs: Runs, name: str) -> bool:
    """Whether a column that may name one run or many names one: each value has one size and several lengths,
    and sizes come under several values."""
    if not (runs.has("params") and runs.has("tokens")):
        return False
    named = codes(runs.columns[name]) >= 0
    run, size, tokens = (codes(column[named]) for column in (runs.columns[name], runs.params, runs.tokens))
    several = cells_of_several(run, tokens)
    values, sizes = len(np.unique(run)), len(np.unique(size[size >= 0]))
    return not cells_of_several(run, size) and several > values / 2 and values > sizes > 1


def alike(runs: Runs) -> tuple[str, np.ndarray]:
    """(columns, codes (R,)) of rows that are equal in a name of model or run, their size and every
    setting with a usual name, and so may be of one run; ("", -) where no column names one."""
    names = [
        name for name in find_all(runs.columns, (*NAMES, "config_name", "display_name")) if runs.has(name)
    ]
    if not names:
        return "", np.arange(len(runs))
    further = find_all(runs.columns, (*SCHEDULES, *RECIPE, *TEXT, *TUNED, *SEEDS))
    used, code = [], codes(runs.params) if runs.has("params") else np.zeros(len(runs), int)
    for name in (*names, *further):
        finer = paired(code, codes(runs.columns[name]))
        if finer.max(initial=0) == len(runs) - 1:  # as it tells all rows apart
            continue
        if name in names[:1] or finer.max(initial=0) > len(np.unique(code)) - 1:
            used.append(name)
        code = finer
    return " + ".join(used), code


def final_rows(runs: Runs) -> Runs:
    """The same table with rows kept out that stand before the end of their run: by their share of it or
    of its steps, or as others of the run have seen more tokens, unless its learning rate is constant."""
    reasons = runs.reasons.copy()

    def keep_out(rows: np.ndarray, reason: str) -> None:
        if not rows[reasons == ""].all():
            reasons[rows & (reasons == "")] = reason

    for rows, reason in states.unfinished(runs.columns):
        keep_out(rows, reason)
    name = run_column(runs)
    if name and runs.has("params") and runs.has("tokens"):
        if find_schedule(runs, runs.labels(name)).kind != "constant":
            keep_out(earlier(runs, codes(runs.columns[name]), reasons), f"before the end of its run ({name})")
    return replace(runs, reasons=reasons)


def best_of(runs: Runs, cell: str) -> Runs:
    """The same table with all but the run of least loss of each cell kept out. A cell is what is equal in
    the columns that `cell` names, parted by commas, or for "cell" in all that a law may take in.

    Raises:
      ValueError: there is no such column, or none for the loss.
    """
    names = [name.strip() for name in cell.split(",") if name.strip()]
    if cell == "cell" and not runs.has("cell"):
        names = [role for role in runs.roles if role not in ("loss", "y", "budget")]
        if {"params", "tokens"} <= set(names):
            names.remove("flops")
    cells = f"cell ({', '.join(names)})", f"each cell of equal {', '.join(names)}"
    return keep_best(runs, combined(map(runs.column, names), len(runs)), *cells)


def best_tried(runs: Runs) -> Runs:
    """The same table with, of cells in which several values of a tuned setting were tried, the run of least
    loss of each, and of each seed where there are several."""
    used = runs.usable()
    if not rivals(used.columns, used.roles):
        return runs
    seeds = [name for name in find_all(used.columns, SEEDS) if codes(used.columns[name]).max(initial=0) > 0]
    return best_of(runs, ",".join(["params", "tokens", *seeds[:1]]))


def best_of_lists(runs: Runs) -> Runs:
    """The same table with all but the run of least loss of each object that lists the settings tried, unless
    these are seeds."""
    settings = find_all(runs.tried, TUNED)
    if not settings or "loss" not in runs.roles:
        return runs
    given = [name for name in runs.columns if name not in (*runs.tried, runs.roles["loss"])]
    code = combined((runs.columns[name] for name in given), len(runs))
    return keep_best(runs, code, f"list of {settings[0]}", f"each list of {', '.join(settings)}")


def keep_best(runs: Runs, code: np.ndarray, one: str, each: str) -> Runs:
    """The same table with all but the row of least loss of each `code` (R,) kept out, called the best of
    `one`, and a note on what is left, the best of `each`."""
    loss = np.where(runs.reasons == "", runs.column("y" if "y" in runs.roles else "loss"), np.inf)
    least = np.full(code.max(initial=0) + 1, np.inf)
    np.minimum.at(least, code, np.where(np.isnan(loss), np.inf, loss))
    first = np.unique(np.where(loss == least[code], code, -1), return_index=True)
    best = np.zeros(len(runs), bool)
    best[first[1][first[0] >= 0]] = True
    reasons = np.where((runs.reasons == "") & ~best, f"{NOT_THE_BEST} {one}", runs.reasons)
    tried = np.isfinite(least[code]).sum()
    note = f"the best run of {each} stands for all that were tried there: {best.sum()} of {tried} rows"
    return replace(runs, reasons=reasons, notes=(*runs.notes, note))


def computed_within(runs: Runs) -> float:
    """How far apart in log params two points of one curve may be: more where flops and tokens are counted
    apart and give the params."""
    return 0.05 if runs.roles["params"].startswith("params (flops") else 1e-3


def earlier(runs: Runs, label: np.ndarray, reasons: np.ndarray) -> np.ndarray:
    """Rows (R,) of which another usable one, equal in label and size, has seen more tokens. Sizes may
    differ by `computed_within`."""
    size = np.log(np.where(runs.params > 0, runs.params, 1.0))
    order = np.lexsort((size, label))
    parted = (np.diff(label[order]) != 0) | (np.diff(size[order]) > computed_within(runs))
    group = np.empty(len(order), int)
    group[order] = np.append(0, np.cumsum(parted))
    tokens = np.where((reasons == "") & (label >= 0), runs.tokens, -np.inf)
    most = np.full(group.max(initial=0) + 1, -np.inf)
    np.maximum.at(most, group, tokens)
    return (label >= 0) & (runs.tokens < most[group])
