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
from datetime import datetime
from pathlib import Path
from statistics import median

from lab.store.files import replace_file
from lab.store.store import Store

START = "0" * 64  # what the first row follows
COLUMNS = tuple(
    (
        "number kind time experiment run_id table table_sha256 table_rows law options fit "
        "status cost data_sha256 commit beyond budget params tokens flops predicted low high "
        "config measured error inside record_sha256 previous sha256"
    ).split()
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


def check_new(rows: list[Row], store: Store, run_id: str, file: Path) -> None:
    for row in sealed_rows(rows):
        if row["run_id"] == run_id:
            raise SealError(
                f"row {row['number']} of {file} sealed run {run_id} at {row['time']}: a prediction "
                "is made once. Seal another budget with --beyond"
            )
    if files := traces(store, run_id):
        raise SealError(
            f"the store {store.root} holds {', '.join(files[:3])} of run {run_id}: it was begun, "
            "so this would be no prediction. Seal another budget with --beyond"
        )


def check_clock(text: str, path: Path) -> None:
    """The runs of the table must have ended before now."""
    header, *lines = (line.split(",") for line in text.splitlines())
    if "finished" in header:
        at = header.index("finished")
        last = max((line[at] for line in lines if len(line) == len(header)), default="")
        now = written(datetime.now().timestamp())
        if last > now:
            raise SealError(f"{path} holds a run finished at {last}, and the clock says {now}: set the clock")


def check_after(row: Row, record: dict) -> None:
    """A record counts only if its run can't have begun before the seal."""
    finished = record.get("finished", "")
    seconds = float(record.get("seconds") or 0)
    if not finished:
        raise SealError(f"the record of run {row['run_id']} does not say when it was finished")
    stamps = (datetime.fromisoformat(stamp) for stamp in (row["time"], finished))
    sealed_at, ended_at = (stamp.timestamp() for stamp in stamps)
    if ended_at - seconds < sealed_at - 2:  # stamps are whole seconds
        raise SealError(
            f"run {row['run_id']} was finished at {finished} after {seconds:.0f} s of training, "
            f"and its prediction sealed at {row['time']}: it began before. It is not scored"
        )


def check_table(row: Row, file: Path) -> None:
    """The table that was sealed is still there as it was."""
    path = file.parent / row["table"]
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != row["table_sha256"]:
        raise SealError(f"{path}: not the table that row {row['number']} was sealed with; {TAKE_BACK}")


def describe(row: Row, result: Row | None) -> str:
    predicted, low, high = (float(row[name]) for name in ("predicted", "low", "high"))
    prediction = (
        f"{row['experiment']}, run {row['run_id']}, {float(row['budget']):.3g} FLOPs, sealed "
        f"{row['time']}: predicted {predicted:.4f} nats/token (95 % {low:.4f} to {high:.4f})"
    )
    if not result:
        return f"{prediction}; not measured yet"
    if result["status"] != "done":
        return f"{prediction}; the run {result['status']}"
    side = "inside" if result["inside"] == "yes" else "OUTSIDE"
    return (
        f"{prediction}, measured {float(result['measured']):.4f}: {side} the interval, "
        f"{100 * float(result['error']):+.2f} %"
    )


def at_distance(rows: list[Row], done: dict[str, Row]) -> str:
    """How well those did that reach equally far, and how many of the refused missed by more than asked."""
    results = [done[row["run_id"]] for row in rows]
    errors = [abs(float(row["error"])) for row in results]
    inside = sum(row["inside"] == "yes" for row in results)
    text = f"at {float(rows[0]['beyond']):g} ×: {inside} of {len(rows)} inside, median error "
    text += f"{100 * median(errors):.2g} %"
    options = [json.loads(row["options"]) for row in rows]
    missed = [
        error > float(how["within"]) for error, how in zip(errors, options, strict=True) if how.get("refused")
    ]
    if missed:
        text += f"; {len(missed)} sealed though refused at {100 * float(options[0]['within']):g} %, of which "
        text += f"{sum(missed)} missed by more"
    return text
