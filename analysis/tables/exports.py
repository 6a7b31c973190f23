"""Curves as trackers and trainers export them, turned into a row for every point, with the run in a column
run_id."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.tables.headers import ALIASES, RUN_IDS, find, normalize
from analysis.tables.sheets import Sheet

ENDING = re.compile(r"(\.(csv|tsv|txt|jsonl?|ndjson|parquet|gz))+$", re.I)
TENSORBOARD = {"Wall time", "Step", "Value"}
DOWNLOADED = re.compile(r"run[-_.](?P<run>.+?)[-_]tag[-_](?P<tag>.+)")  # as TensorBoard names its files
WIDE = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")  # a column of Weights & Biases


def lengthen(path: Path, sheet: Sheet) -> Sheet:
    """The sheet, or what a tracker's layout of curves holds: TensorBoard's one scalar, named by its file;
    Keras' history or Lightning's metrics, of one run; or Weights & Biases' column a run beside the step,
    whose bounds (__MIN, __MAX) are left out."""
    columns = sheet.columns
    if set(columns) == TENSORBOARD:
        name = stem(path)
        found = DOWNLOADED.fullmatch(name)
        run, tag = (found["run"], found["tag"].replace("_", "/", 1)) if found else (name, "Value")
        return of_run(sheet, run, {tag if n == "Value" else n: cells for n, cells in columns.items()})
    if is_history(columns):
        size = len(next(iter(columns.values())))
        epochs = {} if "epoch" in columns else {"epoch": tuple(str(1 + i) for i in range(size))}
        renamed = {f"train_{n}" if f"val_{n}" in columns else n: cells for n, cells in columns.items()}
        return of_run(sheet, run_of(path, "history"), {**epochs, **renamed})
    if stem(path) == "metrics" and {"epoch", "step"} <= set(columns) and not find(columns, RUN_IDS):
        return of_run(sheet, run_of(path, "metrics"), columns)
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


def run_of(path: Path, usual: str) -> str:
    """The run that a file is named after; its folder where it has the name that all such files have."""
    return path.absolute().parent.name if stem(path) == usual else stem(path)


def of_run(sheet: Sheet, run: str, columns: dict[str, tuple[str, ...]]) -> Sheet:
    size = len(next(iter(columns.values())))
    return replace(sheet, columns={"run_id": (run,) * size, **columns})


def is_history(columns: dict[str, tuple[str, ...]]) -> bool:
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
    `file` says where each row is from."""
    names = dict.fromkeys(name for _, sheet in sheets for name in sheet.columns)
    sizes = [len(next(iter(sheet.columns.values()))) for _, sheet in sheets]
    columns: dict[str, tuple[str, ...]] = {}
    for name in names:
        parts = zip(sheets, sizes, strict=True)
        columns[name] = sum((sheet.columns.get(name, ("",) * size) for (_, sheet), size in parts), ())
    parts = zip(sheets, sizes, strict=True)
    columns.setdefault("file", sum(((str(path),) * size for (path, _), size in parts), ()))
    unnamed = frozenset(name for _, sheet in sheets for name in sheet.unnamed)
    lists = tuple(dict.fromkeys(name for _, sheet in sheets for name in sheet.lists))
    tried = tuple(dict.fromkeys(name for _, sheet in sheets for name in sheet.tried))
    return Sheet(columns, unnamed, all(sheet.comma for _, sheet in sheets), lists, tried)
