"""CSV in its dialects, Markdown (with prose around it) and aligned columns: which character parts cells,
which lines are comments, which columns have no name; and what is no table at all."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from analysis.tables.sheets import Sheet, short
from analysis.tables.units import is_of_losses, multiple

DELIMITERS = (",", "\t", ";", "|")
NUMERIC = re.compile(r"[-+~]?[\d.]")  # how a cell that is a number begins
RULE = re.compile(r"\s*\|?(\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*")  # the line below a Markdown header
EMPHASIS = re.compile(r"(?<![\w*])(\*\*|__|`|\*)([-+~\d.][^*_`|]*)\1(?![\w*])")  # of a number: **3.14**
NUMBER = re.compile(r"[-+]?\d[\d.,:]*(e[-+]?\d+)?", re.IGNORECASE)
LOGGED = re.compile(r"(?<![A-Za-z])[A-Za-z]{2}[\w/]*['\"]?\s*[ =:]\s*0")  # as a log prints
UNITLESS = {"", "-", "—", "#", *"n count counts flops flop params tokens steps".split()}  # in a unit's place
A_TABLE = (
    "a table has a line that names its columns, such as params,tokens,loss, and below it a line for every "
    "run, with its final loss"
)


def read(path: Path, text: str) -> Sheet:
    """A table whose first line that is no comment (#) names the columns."""
    text = markdown_table(path, without_comments(text))
    sample = [line for line in text[:100_000].splitlines()[:30] if line.strip()]
    if not sample:
        raise ValueError(f"{path}: holds comments only; it needs a header and a row for every run")
    refuse_log(path, sample)
    delimiter = find_delimiter(sample)
    try:
        lines = [line for line in split(text, delimiter) if line]
    except csv.Error as error:
        raise ValueError(f"{path}: is not a CSV file ({error}); is a quote left open?") from None
    while len(lines) > 1 and not any(map(str.strip, lines[-1])):
        lines.pop()
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
    header, body = with_units(header, body)
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


def with_units(header: list[str], body: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A header with the units that a line of them below it states, (M), (B), nats, as sheets have them; and
    the rows."""
    below = [cell.strip().strip("()[]").strip() for cell in body[0]]
    units = [cell if cell and (multiple(cell) or is_of_losses(cell)) else "" for cell in below]
    others = {cell.lower() for cell, unit in zip(below, units, strict=True) if not unit}
    no_line_of_units = not any(units) or others - UNITLESS or any(NUMERIC.match(cell) for cell in below)
    if len(body) < 2 or len(below) != len(header) or no_line_of_units:
        return header, body
    named = [f"{name} ({unit})" if unit else name for name, unit in zip(header, units, strict=True)]
    return named, body[1:]


def refuse_log(path: Path, sample: list[str]) -> None:
    """Refuse what a trainer prints: lines of names and numbers that differ in the numbers alone, from the
    first one on or, where no delimiter gives columns, in more than half of the lines."""
    shapes = [NUMBER.sub("0", " ".join(line.split())) for line in sample]
    if shapes[1:2] == shapes[:1] and "0" in shapes[0] and re.search("[A-Za-z]{2}", shapes[0]):
        line = short(sample[0].strip(), 60)
        raise ValueError(
            f"{path}: no line names the columns: the first ({line}) has the form of the next, as in a log; "
            + A_TABLE
        )
    delimiter = find_delimiter(sample)
    widths = [len(next(split(line, delimiter, False), [])) for line in sample]
    repeated = [i for i, shape in enumerate(shapes) if LOGGED.search(shape) and shapes.count(shape) > 1]
    if len(repeated) > len(sample) / 2 and (widths[0] == 1 or max(widths) > min(widths) + 1):
        line = short(sample[repeated[0]].strip(), 60)
        raise ValueError(f"{path}: looks like a log ({line}), not a table; {A_TABLE}")


def markdown_table(path: Path, text: str) -> str:
    """The one Markdown table of a text without the prose around it, or the text where none is.

    Raises:
      ValueError: there are several, as none can be taken for the one that is meant.
    """
    lines = text.splitlines()
    rules = [i for i, line in enumerate(lines) if i and "|" in line and RULE.fullmatch(line)]
    starts = [i for i in rules if "|" in lines[i - 1] and not RULE.fullmatch(lines[i - 1])]
    if not starts:
        return text
    tables = []
    for start in starts:
        if not any(start in table for table in tables):
            end = next((i for i in range(start, len(lines)) if "|" not in lines[i]), len(lines))
            tables.append(range(start - 1, end))
    if len(tables) > 1:
        headers = " and ".join(short(lines[table[0]].strip()) for table in tables[:2])
        raise ValueError(
            f"{path}: holds {len(tables)} tables ({headers}); save the one that is meant in a file of its own"
        )
    kept = (lines[i].strip().removeprefix("|").removesuffix("|") for i in tables[0] if i not in rules)
    kept = (EMPHASIS.sub(r"\2", line) for line in kept)
    return "\n".join(kept) + "\n"


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
