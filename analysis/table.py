"""Run tables: columns of float64 (text kept beside them), and what each one is taken to mean.

Rows are flagged with a reason, never deleted. `row` counts from 1 below the header, everywhere.
"""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from analysis import where as language

ALIASES = {
    "params": ("params", "n_params", "N", "parameters", "num_params", "num_parameters",
               "model_params", "param_count", "model_size", "n_parameters", "nparams"),
    "tokens": ("tokens", "n_tokens", "D", "num_tokens", "training_tokens", "train_tokens",
               "tokens_seen", "token_count", "total_tokens", "ntokens", "dataset_size"),
    "flops": ("flops", "C", "compute", "flop", "training_flops", "train_flops", "total_flops",
              "n_flops", "training_flop", "training_compute", "train_compute"),
    "loss": ("loss", "L", "val_loss", "validation_loss", "eval_loss", "test_loss", "final_loss",
             "loss_val", "cross_entropy", "train_loss", "training_loss"),
    "budget": ("budget", "flops_budget", "flop_budget", "compute_budget", "budget_flops",
               "isoflop", "isoflop_budget"),
}  # fmt: skip
TEXT_COLUMNS = {"run_id", "run", "experiment", "status", "corpus", "commit", "sha256", "device"}
FINISHED = {"", "done", "ok", "finished", "complete", "completed", "success"}


@dataclass(frozen=True, eq=False)
class Runs:
    """A table of R runs: columns, which of them are params, tokens, flops, loss, budget, and flags.

    `columns` are float64 (R,) (an empty cell is NaN) or object (R,) of text. `reasons` (R,) is ""
    for a usable row. `notes` state the conventions: which column was taken for what, and what was
    computed instead of read.
    """

    columns: Mapping[str, np.ndarray]
    roles: Mapping[str, str]
    source: str
    rows: np.ndarray
    reasons: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """A role's column (params, tokens, ...) or any other by its name."""
        if name in self.roles:
            return self.columns[self.roles[name]]
        if name in self.columns:
            return self.columns[name]
        looked = ", ".join(ALIASES[name][:5]) + ", ..." if name in ALIASES else name
        option = f" name it with --{name} COL" if name in ALIASES else ""
        raise ValueError(
            f"{self.source}: no column for {name} (looked for {looked}); the columns are "
            f"{', '.join(self.columns)};{option or ' choose one of these'}"
        )

    params = property(lambda self: self.column("params"))
    tokens = property(lambda self: self.column("tokens"))
    flops = property(lambda self: self.column("flops"))
    loss = property(lambda self: self.column("loss"))
    budget = property(lambda self: self.column("budget"))

    def has(self, name: str) -> bool:
        return name in self.roles or name in self.columns

    def select(self, mask: np.ndarray) -> "Runs":
        columns = {name: column[mask] for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[mask], reasons=self.reasons[mask])

    def usable(self) -> "Runs":
        """The rows without a flag."""
        return self.select(self.reasons == "")

    def dropped(self) -> list[tuple[int, str]]:
        """(row, reason) of every flagged row."""
        flagged = np.flatnonzero(self.reasons != "")
        return [(int(self.rows[i]), str(self.reasons[i])) for i in flagged]

    def flag(self, row: int, reason: str) -> "Runs":
        """The same table with one more row kept out, and why."""
        if row not in self.rows:
            raise ValueError(f"{self.source}: there is no row {row} to flag")
        reasons = self.reasons.copy()
        reasons[self.rows == row] = reason
        return replace(self, reasons=reasons)

    def where(self, text: str) -> "Runs":
        """The rows for which a filter (see `analysis.where`) is true."""
        kept = self.select(language.mask(text, self.columns))
        if not len(kept):
            raise ValueError(f"{self.source}: no row is left by --where {text!r}")
        return replace(kept, notes=(*kept.notes, f"{len(kept)} of {len(self)} rows: {text}"))

    def by(self, name: str) -> dict[str, "Runs"]:
        """One table per value of a column, in order of first appearance."""
        column = self.column(name)
        if column.dtype != object:
            column = np.array([f"{value:g}" for value in column], object)
        return {str(value): self.select(column == value) for value in dict.fromkeys(column)}

    def with_column(self, role: str, values: np.ndarray, note: str) -> "Runs":
        """The same runs with one role's values replaced, and a note that says how."""
        name = f"{role} ({note})"
        columns = {**self.columns, name: np.asarray(values, float)}
        notes = (*self.notes, f"{role} = {note}")
        return replace(self, columns=columns, roles={**self.roles, role: name}, notes=notes)


def of(source: str = "table", **columns: Iterable) -> Runs:
    """Runs from arrays by name, checked like a file."""
    arrays = {}
    for name, values in columns.items():
        array = np.array(list(values) if not isinstance(values, np.ndarray) else values)
        arrays[name] = array.astype(float) if array.dtype.kind in "fiub" else array.astype(object)
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError(f"{source}: columns differ in length")
    return assemble(source, arrays, {}, None)


def read(path: str | Path, *, where: str | None = None, **roles: str | None) -> Runs:
    """Runs from a CSV (comma, semicolon or tab) or JSON-lines file.

    Args:
      path: the file; .jsonl, .ndjson and .json hold an object a line, all else is CSV.
      where: a filter applied before values are checked, so that it can keep bad rows out.
      roles: column names for params, tokens, flops, loss, budget, x, y where the file's headers
        are not recognised.

    Raises:
      ValueError: one message naming file, row and column, what was found and what to do.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8 text; "
            "save the table as UTF-8 CSV"
        ) from None
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it needs a header and a row for every run")
    json_lines = path.suffix in (".jsonl", ".ndjson", ".json") or text.lstrip()[0] == "{"
    header, cells = (parse_json_lines if json_lines else parse_csv)(path, text)
    columns = {name: numbers(name, column) for name, column in zip(header, cells, strict=True)}
    return assemble(str(path), columns, roles, where)


def parse_csv(path: Path, text: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """(header, columns of text) of a CSV file."""
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if line]
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV file ({error})") from None
    header = [name.strip() for name in lines[0]]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: the header names {repeated[0]!r} twice; rename one of the two")
    if len(lines) == 1:
        raise ValueError(f"{path}: has a header but no rows")
    for row, line in enumerate(lines):
        if len(line) != len(header):
            raise ValueError(
                f"{path}, row {row}: {len(line)} cells where the header has {len(header)}; "
                "quote cells that hold the delimiter, and fill missing cells with nothing"
            )
    return header, list(zip(*lines[1:], strict=True))


def parse_json_lines(path: Path, text: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """(header, columns of text) of one JSON object a line; nested names are joined by dots."""
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: is not JSON ({error.msg})") from None
            if not isinstance(record, dict):
                raise ValueError(f"{path}, line {number}: is not a JSON object of one run")
            records.append(flat(record))
    header = list(dict.fromkeys(name for record in records for name in record))
    return header, [tuple(record.get(name, "") for record in records) for name in header]


def flat(record: Mapping, prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, bool):
            out[prefix + name] = str(int(value))
        else:
            out[prefix + name] = "" if value is None else str(value)
    return out


def numbers(name: str, cells: tuple[str, ...]) -> np.ndarray:
    """A column as float64 (empty = NaN) where every cell is a number, else as text."""
    if name not in TEXT_COLUMNS:
        try:
            return np.array([cell if cell.strip() else "nan" for cell in cells], float)
        except ValueError:
            pass
    return np.array([cell.strip() for cell in cells], object)


def assemble(source: str, columns: Mapping, given: Mapping, where: str | None) -> Runs:
    """Assign roles, filter, compute the third of params, tokens and flops, then check values."""
    roles, notes = assign(source, columns, given)
    size = len(next(iter(columns.values())))
    reasons = np.full(size, "", object)
    runs = Runs(columns, roles, source, np.arange(1, size + 1), reasons, tuple(notes))
    if where:
        runs = runs.where(where)
    runs = complete(check(runs))
    return runs


def assign(source: str, columns: Mapping, given: Mapping) -> tuple[dict[str, str], list[str]]:
    """Which column plays which role: as given, else the first alias present; and notes on it."""
    roles: dict[str, str] = {}
    notes: list[str] = []
    for role, name in given.items():
        if name is not None:
            if name not in columns:
                raise ValueError(
                    f"{source}: there is no column {name!r} for --{role}; "
                    f"the columns are {', '.join(columns)}"
                )
            roles[role] = name
    lowered = {name.lower(): name for name in reversed(list(columns))}
    for role, aliases in ALIASES.items():
        names = [a if len(a) == 1 else lowered.get(a.lower()) for a in aliases]
        found = [name for name in names if name in columns and name not in roles.values()]
        if role not in roles and found:
            roles[role] = found[0]
            others = f" (not {', '.join(found[1:])})" if found[1:] else ""
            if found[0] != role or others:
                notes.append(f"{role} = column {found[0]}{others}")
    return roles, notes


def check(runs: Runs) -> Runs:
    """Flag rows that carry no result; refuse values that no run can have."""
    reasons = runs.reasons.copy()

    def flag(rows: np.ndarray, reason: str) -> None:
        reasons[rows & (reasons == "")] = reason

    if "status" in runs.columns:
        for status in dict.fromkeys(runs.columns["status"]):
            if str(status).lower() not in FINISHED:
                flag(runs.columns["status"] == status, f"status is {status}")
    flag(duplicates(runs), "repeats an earlier row in every column")
    columns = dict(runs.columns)
    for role, name in runs.roles.items():
        if columns[name].dtype == object:
            columns[name] = to_numbers(runs, role, name, reasons)
        column = columns[name]
        if role == "budget":
            continue
        missing = np.isnan(column) if role not in ("x", "y") else ~np.isfinite(column)
        if role == "loss":
            missing |= np.isposinf(column)
        flag(missing, f"{name} is empty or not a number")
        bad = np.flatnonzero((reasons == "") & ~((column > 0) & np.isfinite(column)))
        if bad.size:
            raise ValueError(
                f"{runs.source}, row {runs.rows[bad[0]]}, column {name}: {column[bad[0]]:g} "
                f"({bad.size} such row{'s' * (bad.size > 1)}); {role} must be positive and finite. "
                f'Correct it, or keep it out with --where "{name} > 0"'
            )
    return replace(runs, columns=columns, reasons=reasons)


def to_numbers(runs: Runs, role: str, name: str, reasons: np.ndarray) -> np.ndarray:
    """A text column as float64; raises on the first cell of an unflagged row that is no number."""
    column = np.full(len(runs), np.nan)
    for i, cell in enumerate(runs.columns[name]):
        try:
            column[i] = float(cell or "nan")
        except ValueError:
            if not reasons[i]:
                raise ValueError(
                    f"{runs.source}, row {runs.rows[i]}, column {name}: {cell!r} is not a number, "
                    f"and {role} must be one; correct the cell, or choose a column with --{role}"
                ) from None
    return column


def duplicates(runs: Runs) -> np.ndarray:
    """Rows (R,) equal to an earlier one in every column of a table of two columns or more."""
    repeated = np.zeros(len(runs), bool)
    lines = list(zip(*(column.tolist() for column in runs.columns.values()), strict=True))
    if len(set(lines)) < len(lines):
        seen: set = set()
        for i, line in enumerate(lines):
            repeated[i] = line in seen
            seen.add(line)
    return repeated


def complete(runs: Runs) -> Runs:
    """The third of params, tokens and flops from the other two, as flops = 6 params tokens."""
    have = {role for role in ("params", "tokens", "flops") if role in runs.roles}
    if have == {"params", "tokens"}:
        return runs.with_column("flops", 6 * runs.params * runs.tokens, "6·params·tokens")
    if have == {"params", "flops"}:
        return runs.with_column("tokens", runs.flops / (6 * runs.params), "flops/(6·params)")
    if have == {"tokens", "flops"}:
        return runs.with_column("params", runs.flops / (6 * runs.tokens), "flops/(6·tokens)")
    if len(have) == 3:
        with np.errstate(all="ignore"):
            ratio = (runs.flops / (6 * runs.params * runs.tokens))[runs.reasons == ""]
        if ratio.size and np.abs(ratio - 1).max() > 0.01:
            note = f"flops/(6·params·tokens) from {ratio.min():.3g} to {ratio.max():.3g}"
            return replace(runs, notes=(*runs.notes, note))
    return runs
