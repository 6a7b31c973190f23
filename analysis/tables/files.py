"""A file as a header and columns of text: CSV in its dialects, JSON, and what is neither.

Nothing is interpreted here but the layout: which character parts cells, which lines are comments,
which columns have no name. What a column means is `roles`, what a cell is worth
`units`.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"SQLite": "a SQLite database",
    b"\x80\x04\x95": "a Python pickle",
    b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
DELIMITERS = (",", "\t", ";", "|")
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "—", "–", "?", ".", "missing"}
PLAIN = re.compile(r"[-+~]?[\d.]")  # how a cell that is a number begins


@dataclass(frozen=True)
class Sheet:
    """A header, its columns of text (all equally long), and how the file was laid out.

    `unnamed` are columns whose name is made up here, such as an index. `comma` says whether a comma
    may be a decimal sign: not where it parts the cells.
    """

    header: list[str]
    columns: list[tuple[str, ...]]
    unnamed: frozenset[str] = frozenset()
    comma: bool = False


def load(path: Path) -> Sheet:
    """The file's cells.

    Raises:
      ValueError: one message naming file and line or row, what was found and what to do.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    text = decode(path, data)
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; it needs a header and a row for every run")
    named = {suffix.lower() for suffix in path.suffixes}
    if named & {".jsonl", ".ndjson", ".json"} or text.lstrip()[0] in "{[":
        return from_json(path, text)
    return from_csv(path, text)


def decode(path: Path, data: bytes) -> str:
    """Text of UTF-8 or UTF-16 (with its mark), unpacked where it is gzip."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: is a broken gzip file ({error}); pack it again") from None
    for magic, what in BINARY.items():
        if data.startswith(magic):
            raise ValueError(f"{path}: is {what}, not a table of text; save the table as CSV")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not UTF-8 text; "
            "save the table as UTF-8 CSV"
        ) from None
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise ValueError(
            f"{path}, line {line}: holds a NUL byte, so it is no text in UTF-8; save the table as UTF-8 CSV"
        )
    return text


def from_csv(path: Path, text: str) -> Sheet:
    """A table whose first line that is no comment (#) names the columns."""
    text = without_comments(text)
    sample = [line for line in text[:100_000].splitlines()[:30] if line.strip()]
    if not sample:
        raise ValueError(f"{path}: holds comments only; it needs a header and a row for every run")
    delimiter = delimiter_of(sample)
    try:
        lines = [line for line in rows(text, delimiter) if line]
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV file ({error}); is a quote left open?") from None
    while len(lines) > 1 and not any(map(str.strip, lines[-1])):
        lines.pop()
    if delimiter == "|":
        lines = [x for x in lines if not all(re.fullmatch(r"\s*(:?-+:?)?\s*", c) for c in x)]
    if not lines:
        raise ValueError(f"{path}: holds no cells; it needs a header and a row for every run")
    header = [" ".join(name.split()) for name in lines[0]]
    body = lines[1:]
    if not body:
        raise ValueError(f"{path}: has a header but no rows")
    if all(PLAIN.match(name) for name in header if name):
        raise ValueError(
            f"{path}: the first line holds numbers ({short(header[0])}, ...) where the names of "
            "the columns belong; add a header such as params,tokens,loss"
        )
    if len(header) > 1 and {len(line) for line in body} == {len(header) + 1}:
        header = ["", *header]  # as R writes row names
    columns = align(path, header, body)
    kept = [i for i, name in enumerate(header) if name or any(map(str.strip, columns[i]))]
    unnamed = {i: f"(column {i + 1})" for i in kept if not header[i]}
    names = [unnamed.get(i, header[i]) for i in kept]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: the header names {short(repeated[0])} twice; rename one of the two")
    if not names:
        raise ValueError(f"{path}: the header names no column")
    cells = [columns[i] for i in kept]
    return Sheet(names, cells, frozenset(unnamed.values()), delimiter != ",")


def without_comments(text: str) -> str:
    """The text without lines that begin with #; a header that does (NumPy's) is uncovered."""
    if not text.startswith("#") and "\n#" not in text:
        return text
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    out = [line for line in lines if not line.startswith("#")]
    if 0 < first < len(lines):
        above, below = lines[first - 1].lstrip("# "), lines[first]
        delimiter = delimiter_of([below])
        cells = [next(rows(line, delimiter), []) for line in (above, below)]
        data = any(PLAIN.match(cell.strip()) for cell in cells[1])
        if len(cells[0]) == len(cells[1]) > 1 and data:
            out.insert(0, above)
    return "\n".join(out) + "\n"


def delimiter_of(sample: list[str]) -> str:
    """What parts the cells: the one that gives every line as many as the header, and most of them;
    white space where no other does."""

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            counts = [len(next(rows(line, delimiter, False), [])) for line in sample]
        except csv.Error:
            return False, 0
        return counts[0] > 1 and set(counts) <= {counts[0], counts[0] + 1}, counts[0]

    best = max(DELIMITERS, key=score)
    if score(best)[1] > 1:
        return best
    widths = {len(line.split()) for line in sample}
    return " " if len(widths) == 1 and widths != {1} else ","


def rows(text: str, delimiter: str, strict: bool = True):
    if delimiter == " ":
        return (line.split() for line in text.splitlines())
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)


def align(path: Path, header: list[str], body: list[list[str]]) -> list[tuple[str, ...]]:
    """Columns of text; cells beyond the header must be empty, and none may be missing."""
    width = len(header)
    if {len(line) for line in body} != {width}:
        for row, line in enumerate(body, 1):
            if len(line) < width or any(map(str.strip, line[width:])):
                raise ValueError(
                    f"{path}, row {row}: {len(line)} cells where the header has {width}; "
                    "quote cells that hold the delimiter, and fill missing cells with nothing"
                )
        body = [line[:width] for line in body]
    return list(zip(*body, strict=True))


def from_json(path: Path, text: str) -> Sheet:
    """One object a line, a list of objects, an object of objects by name, or of lists by column;
    nested names are joined by dots, and lists inside a run (its curve) are left out."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, Mapping) and whole:
        values = list(whole.values())
        if all(isinstance(value, Mapping) for value in values):
            whole = [{"name": name, **value} for name, value in whole.items()]
        elif all(isinstance(value, list) for value in values):
            if len({len(value) for value in values}) > 1:
                raise ValueError(f"{path}: the lists under its names differ in length")
            whole = [dict(zip(whole, run, strict=True)) for run in zip(*values, strict=True)]
        else:
            whole = [whole]
    if not isinstance(whole, list):
        whole = [parse_line(path, n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    for row, record in enumerate(whole, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"{path}, row {row}: is {short(record)}, not a JSON object of one run")
    try:
        records = [flat(record) for record in whole]
    except RecursionError:
        raise ValueError(f"{path}: its objects are nested too deep for a table") from None
    if not any(records):
        raise ValueError(f"{path}: holds no runs; it needs an object for every run")
    header = list(dict.fromkeys(name for record in records for name in record))
    return Sheet(header, [tuple(r.get(name, "") for r in records) for name in header], comma=True)


def parse_line(path: Path, number: int, line: str):
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number}: is not JSON ({error.msg})") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}, line {number}: is JSON too large or deep for a run") from None


def flat(record: Mapping, prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, bool):
            out[prefix + name] = str(int(value))
        elif isinstance(value, float):
            out[prefix + name] = repr(value)
        elif isinstance(value, int):
            out[prefix + name] = str(value) if abs(value) < 10**300 else "inf"
        elif not isinstance(value, list):
            out[prefix + name] = "" if value is None else value
    return out


def short(value, most: int = 40) -> str:
    """A value as it is shown in a message: quoted, on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names, most: int = 24) -> str:
    """Column names for a message, cut where there are many."""
    names = [name if len(name) <= 60 else f"{name[:59]}…" for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
