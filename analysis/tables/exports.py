"""Curves as trackers export them, turned into a row for every point, with the run in a column run_id."""

import re
from dataclasses import replace
from pathlib import Path

from analysis.tables.sheets import Sheet

TENSORBOARD = {"Wall time", "Step", "Value"}
WIDE = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?")  # a column of Weights & Biases


def lengthen(path: Path, sheet: Sheet) -> Sheet:
    """The sheet, or what a tracker's layout of curves holds: TensorBoard's one scalar, named by its file,
    or Weights & Biases' column a run beside the step, whose bounds (__MIN, __MAX) are left out."""
    columns = sheet.columns
    if set(columns) == TENSORBOARD:
        return replace(
            sheet, columns={"run_id": (path.name.split(".")[0],) * len(columns["Step"]), **columns}
        )
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
