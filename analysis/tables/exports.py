"""Curves as trackers and trainers export them, turned into a row for every point, with the run in a column
run_id."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.tables.headers import (
    ALIASES,
    DEPTHS,
    ENDING,
    EPOCHS,
    NAMES,
    RUN_IDS,
    STEPS,
    WIDTHS,
    find,
    find_all,
    normalize,
    parse,
)
from analysis.tables.roles import COUNTS, NAMED_LOSS, UNFIT, rank
from analysis.tables.sheets import Sheet, listed

TENSORBOARD = {"Wall time", "Step", "Value"}
DOWNLOADED = re.compile(r"run[-_.](?P<run>.+?)[-_]tag[-_](?P<tag>.+)")  # as TensorBoard names its files
USUAL = set("history metrics trainer_state log logs training training_log progress results scalars".split())
Columns = dict[str, tuple[str, ...]]
WIDE = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")  # a column of Weights & Biases


def lengthen(path: Path, sheet: Sheet) -> Sheet:
    """The sheet, or what a tracker's layout of curves holds: TensorBoard's one scalar, named by its file;
    Keras' history or Lightning's metrics, of one run; or Weights & Biases' column a run beside the step,
    whose bounds (__MIN, __MAX) are left out."""
    columns = sheet.columns
    if set(columns) == TENSORBOARD:
        found, name = DOWNLOADED.fullmatch(stem(path)), stem(path)
        run = found["run"] if found else run_of(path)
        tag = found["tag"].replace("_", "/", 1) if found else name if is_usual(name) else "Value"
        return of_run(sheet, run, {tag if n == "Value" else n: cells for n, cells in columns.items()})
    if is_history(columns):
        size = len(next(iter(columns.values())))
        epochs = {} if "epoch" in columns else {"epoch": tuple(str(1 + i) for i in range(size))}
        renamed = {f"train_{n}" if f"val_{n}" in columns else n: cells for n, cells in columns.items()}
        return of_run(sheet, run_of(path), {**epochs, **renamed})
    if stem(path) == "metrics" and {"epoch", "step"} <= set(columns) and not find(columns, RUN_IDS):
        return of_run(sheet, run_of(path), columns)
    step, *names = columns
    matches = [WIDE.fullmatch(name) for name in names]
    if not all(matches) or not any(match["bound"] for match in matches):
        return sheet
    curves = [match for match in matches if not match["bound"]]
    points: dict[tuple[str, str], dict[str, str]] = {}
    for match in curves:
        for at, cell in zip(columns[step], columns[match[0]], strict=True):
            if cell.strip():
                points.setdefault((match["run"], at), {})[match["metric"]] = cell
    metrics = dict.fromkeys(match["metric"] for match in curves)
    long = {"run_id": tuple(run for run, _ in points), step: tuple(at for _, at in points)}
    long |= {metric: tuple(point.get(metric, "") for point in points.values()) for metric in metrics}
    return replace(sheet, columns=long)


def stem(path: Path) -> str:
    """A file's name without what it says of the format, not cut at the point of a number in it."""
    return ENDING.sub("", path.name)


def run_of(path: Path) -> str:
    """The run that a file is named after; its folder where it has a name that many such files have."""
    return path.absolute().parent.name if is_usual(stem(path)) else stem(path)


def is_usual(name: str) -> bool:
    """Whether a file's name says what it holds, such as metrics or val_loss, and not of which run."""
    header = parse(name)
    ranks = (rank(role, header) for role in ("loss", *COUNTS))
    return name.lower() in USUAL or any(each < UNFIT and each != NAMED_LOSS for each in ranks)


def of_run(sheet: Sheet, run: str, columns: Columns) -> Sheet:
    size = len(next(iter(columns.values())))
    return replace(sheet, columns={"run_id": (run,) * size, **columns})


def is_history(columns: Columns) -> bool:
    """Whether columns are Keras' history: measures, each beside that of the held-out data, and nothing that
    names or counts runs."""
    counted = {normalize(alias) for role in ("params", "tokens", "flops") for alias in ALIASES[role]}
    names = [name for name in columns if f"val_{name}" in columns]
    if not names or counted & {normalize(name) for name in columns} or find(columns, RUN_IDS):
        return False
    known = {*names, *(f"val_{name}" for name in names), "epoch", "lr", "learning_rate"}
    return set(columns) <= known


def together(sheets: Sequence[tuple[Path, Sheet]]) -> Sheet:
    """Several files as one table, one below the other: a column that a file lacks is empty there, and
    `file` says where each row is from. Runs that are named after their files are told apart by folder, and
    scalars of one run joined by their steps."""
    tables = [(path, sheet.columns) for path, sheet in name_runs(sheets)]
    tables = join_scalars(tables)
    names = dict.fromkeys(name for _, columns in tables for name in columns)
    sizes = [len(next(iter(columns.values()))) for _, columns in tables]
    columns: Columns = {}
    for name in names:
        parts = zip(tables, sizes, strict=True)
        columns[name] = sum((own.get(name, ("",) * size) for (_, own), size in parts), ())
    parts = zip(tables, sizes, strict=True)
    columns.setdefault("file", sum(((str(path),) * size for (path, _), size in parts), ()))
    unnamed = frozenset(name for _, sheet in sheets for name in sheet.unnamed)
    lists = tuple(dict.fromkeys(name for _, sheet in sheets for name in sheet.lists))
    tried = tuple(dict.fromkeys(name for _, sheet in sheets for name in sheet.tried))
    comma = all(sheet.comma for _, sheet in sheets)
    return Sheet(columns, unnamed, comma, lists, tried, columns_of_one(tables))


def columns_of_one(tables: Sequence[tuple[Path, Columns]]) -> str:
    """Which columns only one of several files has; "" where all have the same."""
    times = Counter(name for _, columns in tables for name in columns)
    own = [(path, [name for name in columns if times[name] == 1]) for path, columns in tables]
    told = [f"only {path} has {listed(names, 8)}" for path, names in own if names]
    return "; ".join(told[:3] + ["..."] * (len(told) > 3))


def name_runs(sheets: Sequence[tuple[Path, Sheet]]) -> list[tuple[Path, Sheet]]:
    """The sheets, with a column run_id in those of one curve each: the path of its file below the folder
    that holds all of them."""
    root = Path(os.path.commonpath([path.absolute().parent for path, _ in sheets]))
    out = []
    for path, sheet in sheets:
        own = set(sheet.columns.get("run_id", ()))
        found = DOWNLOADED.fullmatch(stem(path))
        run = found["run"] if found else run_of(path)
        if own == {run} or is_curve(sheet.columns):
            below = path.absolute().parent.relative_to(root)
            parts = [*below.parts, *([run] if run != path.absolute().parent.name or not below.parts else [])]
            sheet = of_run(sheet, "/".join(parts), {n: c for n, c in sheet.columns.items() if n != "run_id"})
        out.append((path, sheet))
    return out


def is_curve(columns: Columns) -> bool:
    """Whether the rows of a file that counts no params and names no runs go up in steps or epochs."""
    counter = find(columns, (*STEPS, *EPOCHS))
    if not counter or find(columns, (*RUN_IDS, *NAMES)) or find_all(columns, (*WIDTHS, *DEPTHS)):
        return False
    if any(rank("params", parse(name)) < UNFIT for name in columns):
        return False
    try:
        steps = [float(cell) for cell in columns[counter]]
    except ValueError:
        return False
    return steps[-1] > steps[0] and steps == sorted(steps)


def join_scalars(tables: list[tuple[Path, Columns]]) -> list[tuple[Path, Columns]]:
    """TensorBoard's scalars of one run, a file each, as one table with a row for every step."""
    out: list[tuple[Path, Columns]] = []
    runs: dict[str, dict[str, dict[str, str]]] = {}  # run -> step -> its cells
    for path, columns in tables:
        if not {"run_id", "Wall time", "Step"} < set(columns) or len(columns) != 4:
            out.append((path, columns))
            continue
        run = columns["run_id"][0]
        if run not in runs:
            out.append((path, {"run_id": (run,)}))
        points = runs.setdefault(run, {})
        for cells in zip(*columns.values(), strict=True):
            row = dict(zip(columns, cells, strict=True))
            points[row["Step"]] = {**row, **points.get(row["Step"], {})}
    for i, (path, columns) in enumerate(out):
        if points := runs.get(columns["run_id"][0]) if set(columns) == {"run_id"} else None:
            names = dict.fromkeys(name for point in points.values() for name in point)
            out[i] = path, {name: tuple(p.get(name, "") for p in points.values()) for name in names}
    return out
