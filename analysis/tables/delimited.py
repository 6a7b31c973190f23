"""CSV in its dialects, Markdown and aligned columns: which character parts cells, which lines are
comments, which columns have no name."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from analysis.tables.sheets import Sheet, short

DELIMITERS = (",", "\t", ";", "|")
NUMERIC = re.compile(r"[-+~]?[\d.]")  # how a cell that is a number begins
RULE = re.compile(r"\s*(:?-+:?)?\s*")  # a cell of the line below a Markdown header


def read(path: Path, text: str) -> Sheet:
    """A table whose first line that is no comment (#) names the columns."""
    text = without_comments(text)
    sample = [line for line in text[:100_000].splitlines()[:30] if line.strip()]
    if not sample:
        raise ValueError(f"{path}: holds comments only; it needs a header and a row for every run")
    delimiter = find_delimiter(sample)
    try:
        lines = [line for line in split(text, delimiter) if line]
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV file ({error}); is a quote left open?") from None
    while len(lines) > 1 and not any(map(str.strip, lines[-1])):
        lines.pop()
    if delimiter == "|":
        lines = [line for line in lines if not all(map(RULE.fullmatch, line))]
    if not lines:
        raise ValueError(f"{path}: holds no cells; it needs a header and a row for every run")
    header, body = [" ".join(name.split()) for name in lines[0]], lines[1:]
    if not body:
        raise ValueError(f"{path}: has a header but no rows")
    if all(NUMERIC.match(name) for name in header if name):
        raise ValueError(
            f"{path}: the first line holds numbers ({short(header[0])}, ...) where the names of "
            "the columns belong; add a header such as params,tokens,loss"
        )
    if len(header) > 1 and {len(line) for line in body} == {len(header) + 1}:
        header = ["", *header]  # as R writes row names
    columns, unnamed = {}, set()
    for i, (name, cells) in enumerate(zip(header, transpose(path, len(header), body), strict=True), 1):
        if not name and any(map(str.strip, cells)):
            name = f"(column {i})"
            unnamed.add(name)
        if name in columns:
            raise ValueError(f"{path}: the header names {short(name)} twice; rename one of the two")
        if name:
            columns[name] = cells
    if not columns:
        raise ValueError(f"{path}: the header names no column")
    return Sheet(columns, frozenset(unnamed), comma=delimiter != ",")


def without_comments(text: str) -> str:
    """The text without lines that begin with #; a header that does (NumPy's) is uncovered."""
    if not text.startswith("#") and "\n#" not in text:
        return text
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    kept = [line for line in lines if not line.startswith("#")]
    if 0 < first < len(lines):
        above, below = lines[first - 1].lstrip("# "), lines[first]
        delimiter = find_delimiter([below])
        names, cells = (next(split(line, delimiter), []) for line in (above, below))
        if len(names) == len(cells) > 1 and any(NUMERIC.match(cell.strip()) for cell in cells):
            kept.insert(0, above)
    return "\n".join(kept) + "\n"


def find_delimiter(sample: list[str]) -> str:
    """What parts the cells: the one that gives every line as many as the header, and most of them;
    white space where no other does."""

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            counts = [len(next(split(line, delimiter, False), [])) for line in sample]
        except csv.Error:
            return False, 0
        return counts[0] > 1 and set(counts) <= {counts[0], counts[0] + 1}, counts[0]

    best = max(DELIMITERS, key=score)
    if score(best)[1] > 1:
        return best
    widths = {len(line.split()) for line in sample}
    return " " if len(widths) == 1 and widths != {1} else ","


def split(text: str, delimiter: str, strict: bool = True) -> Iterator[list[str]]:
    """The cells of each line."""
    if delimiter == " ":
        return (line.split() for line in text.splitlines())
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)


def transpose(path: Path, width: int, body: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """The columns; cells beyond the header must be empty, and none may be missing."""
    if {len(line) for line in body} != {width}:
        for row, line in enumerate(body, 1):
            if len(line) < width or any(map(str.strip, line[width:])):
                raise ValueError(
                    f"{path}, row {row}: {len(line)} cells where the header has {width}; "
                    "quote cells that hold the delimiter, and fill missing cells with nothing"
                )
        body = [line[:width] for line in body]
    return zip(*body, strict=True)
