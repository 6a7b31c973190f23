"""Predictions written down before their run exists: an append-only CSV whose rows form a chain.

Every row holds the SHA-256 of its own cells and of the row before, so an edited row, and a removed
one that is not the last, are noticed by whoever reads the file; that the end was not cut off, only
a copy elsewhere can show, such as the one in git. What experiments/prediction.py seals and
scores with.
"""

import csv
import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.store.files import replace_file
from lab.store.store import Store

START = "0" * 64  # what the first row follows
COLUMNS = (
    "number",
    "kind",
    "time",
    "experiment",
    "run_id",
    "table",
    "table_sha256",
    "table_rows",
    "law",
    "options",
    "fit",
    "status",
    "cost",
    "data_sha256",
    "commit",
    "beyond",
    "budget",
    "params",
    "tokens",
    "flops",
    "predicted",
    "low",
    "high",
    "config",
    "measured",
    "error",
    "inside",
    "record_sha256",
    "previous",
    "sha256",
)
Row = dict[str, str]


class SealError(ValueError):
    """A prediction that can't be sealed or scored, or a file of them that was tampered with."""


def seal_of(row: Mapping[str, str]) -> str:
    """SHA-256 of a row's cells as JSON, the last one left out."""
    cells = [[name, row[name]] for name in COLUMNS if name != "sha256"]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()


def read(path: Path) -> list[Row]:
    """All rows, checked.

    Raises:
      SealError: a row is not as it was written, one is missing, or time runs backward.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise SealError(f"{path} is no text ({error}); {TAKE_BACK}") from error
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    if not lines or tuple(lines[0]) != COLUMNS or not text.endswith("\n"):
        raise SealError(f"{path}: its header or its last line is not what was written; {TAKE_BACK}")
    rows, previous, then = [], START, ""
    for number, cells in enumerate(lines[1:], 1):
        row = dict(zip(COLUMNS, cells, strict=False))
        where = f"{path}, row {number}"
        if len(cells) != len(COLUMNS) or seal_of(row) != row["sha256"]:
            raise SealError(f"{where}: its cells do not match its checksum: it was edited; {TAKE_BACK}")
        if row["previous"] != previous or row["number"] != str(number):
            raise SealError(
                f"{where}: it does not follow the row before it: a row was removed, "
                f"added or moved; {TAKE_BACK}"
            )
        if row["time"] < then:
            raise SealError(f"{where}: its time {row['time']} is before {then} of the row above")
        rows.append(row)
        previous, then = row["sha256"], row["time"]
    return rows


TAKE_BACK = "take the file back from git: old predictions are kept as they are, for good"


def append(path: Path, new: Mapping[str, object], now: float | None = None) -> Row:
    """Check the whole file and add a row. Cells not given are empty.

    Raises:
      SealError: the file was tampered with, or the clock is behind its last row.
    """
    rows = read(path)
    stamp = written(time.time() if now is None else now)
    if rows and stamp < rows[-1]["time"]:
        raise SealError(
            f"the clock says {stamp} and the last row of {path} was written at "
            f"{rows[-1]['time']}: set the clock, a prediction's time is its worth"
        )
    row = dict.fromkeys(COLUMNS, "") | {name: cell(value) for name, value in new.items()}
    row |= {"number": str(len(rows) + 1), "time": stamp, "previous": rows[-1]["sha256"] if rows else START}
    row["sha256"] = seal_of(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_bytes().decode("utf-8") if rows else line(COLUMNS)
    replace_file(path, old + line([row[name] for name in COLUMNS]))
    return row


def line(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def cell(value: object) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)


def written(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def traces(store: Store, run_id: str) -> list[str]:
    """What a store holds of a run: anything there means that someone has begun it."""
    folder = store.folder(run_id)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def sealed_rows(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == "sealed"]


def scored(rows: Sequence[Row]) -> dict[str, Row]:
    """run_id -> the row that scores it."""
    return {row["run_id"]: row for row in rows if row["kind"] == "scored"}
