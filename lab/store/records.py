"""What is kept of a finished run: its record and its curve, and when they can be believed."""

import math
import re
from pathlib import Path
from typing import Any

from lab.store.files import StoreError, damaged, is_number

SCHEMA = 2  # 1: without checksums; still read, and said
CURVE = ("step", "tokens", "flops", "loss", "train_loss", "grad_norm", "learning_rate", "seconds")
AVERAGED = (*CURVE, "loss_ema")  # of a run that keeps an average of its weights
MAYBE_NUMBERS = (
    *("loss_se", "loss_ema", "bits_per_byte", "held_out_tokens", "seconds", "compile_seconds"),
    *("io_seconds", "tokens_per_second", "flops_utilization", "devices"),
)


def check_record(path: Path, run_id: str, record: dict[str, Any]) -> None:
    """Raise Damaged, or StoreError for what a newer version wrote, unless it is a whole record."""
    schema, status, loss = record.get("schema"), record.get("status"), record.get("loss")
    if record.get("run_id") != run_id or status not in ("done", "diverged"):
        raise damaged(path, "it is not this run's record")
    if not isinstance(schema, int) or schema < 1:
        raise damaged(path, f"schema={schema!r}")
    if schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer version of the lab (schema {schema}, and this one "
            f"knows {SCHEMA}); read it with that version"
        )
    if schema > 1 and "sha256" not in record:
        raise damaged(path, "its checksum is missing")
    wrong = [name for name in MAYBE_NUMBERS if record.get(name) is not None and not is_number(record[name])]
    if type(record.get("steps")) is not int or record["steps"] < 0:
        wrong.append("steps")
    if is_number(loss) != (status == "done") or (status == "diverged" and loss is not None):
        wrong.append("loss")
    if record.get("init_from") is not None and not origin(record["init_from"]):
        wrong.append("init_from")
    if wrong:
        raise damaged(path, f"{wrong[0]}={record.get(wrong[0])!r}")


def origin(text: Any) -> tuple[str, int] | None:
    """(run_id, step) of RUN_ID@STEP; None for anything else."""
    match = re.fullmatch(r"([0-9a-f]{12})@([1-9][0-9]*)", text) if isinstance(text, str) else None
    return (match[1], int(match[2])) if match else None


def points(text: str) -> list[dict[str, str]]:
    """The whole lines of a curve's text, each as its cells by name."""
    header, *lines = text.splitlines() or [""]
    columns = AVERAGED if header == ",".join(AVERAGED) else CURVE
    rows = []
    for line in lines:
        cells = line.split(",")
        if len(cells) == len(columns) and is_point(cells):
            rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def curve_text(rows: list[dict[str, str]], columns: tuple[str, ...] = CURVE) -> str:
    """`points` turned round; `columns` where there are none."""
    columns = tuple(rows[0]) if rows else columns
    return "".join(",".join(cells) + "\n" for cells in (columns, *(row.values() for row in rows)))


def is_point(cells: list[str]) -> bool:
    try:
        return int(cells[0]) > 0 and all(math.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False
