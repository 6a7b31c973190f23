"""What a cell is worth: 1.4B, 6 × 10^18 FLOPs, 1,000,000. Nothing is guessed: what may be read in two
ways is refused."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.tables import headers
from analysis.tables.sheets import Sheet, short
from analysis.tables.units import DAYS, MULTIPLES, PETAFLOP_DAY, spelled_powers

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "—", "–", "?", ".", "missing"}
FAILED = {"oom", "diverged", "failed", "crashed", "killed", "timeout", "pending", "running", "tbd"}
CELL = re.compile(
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?"
    r"(?:(?:(?P<times>\s*[x×*·]\s*)|\b)(?P<base>10|2)\s*(?:\^|\*\*)\s*[({]?(?P<power>[-+]?\d+(?:\.\d+)?)[)}]?)?"
    r"\s*(?P<size>thousand|million|billion|trillion|mn|bn|tn|[kmbgtpez])?"
    r"[\s-]*(?P<unit>params?|parameters?|tokens?|toks?|flops?|nats?|bits?)?\.?",
    re.I,
)
WHOLE = re.compile(r"\d{3}(?:\s*[kmbt]\w*)?", re.I)  # 300 and 300M, which no separator of thousands parts
THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:([,.' _])\d{3})(?:\1\d{3})*(?!\d)")
SPREAD = re.compile(
    r"(\S.*?)\s*(?:±|\+/-|\+-)\s*[\d.,]+(?:e[-+]?\d+)?\s*(%?)|([-+]?\d+[.,]\d+)\s*\([\d.,]+\)", re.I
)
SPREAD_LEFT = "the spread after each left out"
PERCENT = "% as hundredths"
IN_DAYS = f"PF-days × {PETAFLOP_DAY:g}"
SUFFIXES = "suffixes such as M and B worked out"


@dataclass(frozen=True, eq=False)
class Numbers:
    """Cells as numbers: `values` (R,) with NaN where a cell is empty or is none, which `bad` (R,)
    cells are none, and `how` the others were read ("" for plain numbers)."""

    values: np.ndarray
    bad: np.ndarray
    how: str = ""


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table: float64 (R,) where all its cells are plain numbers, else text (R,).

    `signs` are those of comma and dot that certainly are decimal signs in the file; a column not
    `named` by its file, such as an index, plays no role.
    """

    name: str
    cells: np.ndarray
    signs: frozenset[str] = frozenset()
    named: bool = True

    @cached_property
    def header(self) -> headers.Header:
        return headers.parse(self.name)

    @cached_property
    def numbers(self) -> Numbers:
        """The cells as numbers, text with its units.

        Raises:
          ValueError: all that has a comma or a dot may be either thousands or decimals.
        """
        if self.cells.dtype != object:
            return Numbers(self.cells, np.zeros(len(self.cells), bool))
        return read(self.cells.tolist(), self.signs)

    @property
    def filled(self) -> int:
        """How many cells hold a number."""
        try:
            return int((~np.isnan(self.numbers.values)).sum())
        except ValueError:
            return len(self.cells)

    def has_numbers(self) -> bool:
        """Whether any cell is a number, or may be one in two ways."""
        try:
            return self.named and not (self.cells.size and self.numbers.bad.all())
        except ValueError:
            return self.named

    def is_whole(self) -> bool:
        """Whether all its numbers are whole, for certain."""
        try:
            known = self.numbers.values[~np.isnan(self.numbers.values)]
        except ValueError:
            return False
        return bool(known.size) and bool((known == np.round(known)).all())


def columns(sheet: Sheet) -> list[Column]:
    """The columns of a file."""
    arrays = {}
    for name, cells in sheet.columns.items():
        values = None if name in headers.NEVER_NUMBERS else plain(cells)
        arrays[name] = np.array([cell.strip() for cell in cells], object) if values is None else values
    mute = {*headers.NEVER_NUMBERS, *headers.find_all(sheet.columns, (*headers.NAMES, *headers.WHEN))}
    heads = [cells[:1000] for name, cells in sheet.columns.items() if name not in mute]
    marks = [mark_kinds(dict.fromkeys(cells)) for cells in heads]
    pairs = ((",", "."), (".", ","))
    signs = {a for kinds in marks for a, b in pairs if "decimal" in kinds[a] or "thousands" in kinds[b]}
    signs = frozenset() if signs == {","} and not sheet.comma else frozenset(signs)
    for name, cells in sheet.columns.items():  # where commas are decimal signs 1.300 may be 1300
        if signs == {","} and arrays[name].dtype != object:
            if mark_kinds(dict.fromkeys(cells))["."] == {"either"}:
                arrays[name] = np.array([cell.strip() for cell in cells], object)
    return [Column(name, array, signs, name not in sheet.unnamed) for name, array in arrays.items()]


def plain(cells: Sequence[str]) -> np.ndarray | None:
    """A column of plain numbers as float64, an empty or missing cell being NaN; else None."""
    try:
        return np.array(cells, float)
    except ValueError:
        pass
    try:
        return np.array([float(cell) if cell.strip().lower() not in MISSING else np.nan for cell in cells])
    except ValueError:
        return None


def read(cells: Sequence[str], signs: frozenset[str] = frozenset()) -> Numbers:
    """A column of text as numbers, with thousands separators, suffixes and powers; see `Column`."""
    distinct = {cell: without_spread(cell) for cell in dict.fromkeys(cells)}
    decimal = decimal_mark(list(distinct.values()), signs)
    worth = {cell: number(bare, decimal) for cell, bare in distinct.items()}
    for cell, bare in distinct.items():
        value, way = worth[cell]
        if bare != cell and way != "bad":
            worth[cell] = value, ", ".join(filter(None, (way, SPREAD_LEFT)))
    values = np.array([worth[cell][0] for cell in cells])
    bad = np.array([worth[cell][1] == "bad" for cell in cells])
    refuse_half_units(worth)
    how = dict.fromkeys(way for _, way in worth.values() if way not in ("", "bad"))
    return Numbers(values, bad, ", ".join(how))


def without_spread(cell: str) -> str:
    """3.14 of 3.14 ± 0.02, 3.14 (0.02) and 3.14(2)."""
    match = SPREAD.fullmatch(cell.strip())
    if not match:
        return cell
    return match[3] or match[1] + match[2] * (not match[1].endswith("%"))


def refuse_half_units(worth: dict[str, tuple[float, str]]) -> None:
    """Refuse 150 below 70M, a cell without a unit that is far below all those that state one; and numbers
    beside those in %.

    Raises:
      ValueError: naming such a cell and one with a unit.
    """
    stated = {cell: value for cell, (value, way) in worth.items() if SUFFIXES in way}
    least = min(stated.values(), default=0.0)
    percents = [cell for cell, (_, way) in worth.items() if PERCENT in way]
    stated |= dict.fromkeys(percents, 0.0)
    least = np.inf if percents else least
    bare = [
        cell for cell, (value, way) in worth.items() if way in ("", SPREAD_LEFT) and 0 < value < least / 100
    ]
    if bare:
        raise ValueError(
            f"{short(bare[0])} states no unit, and {short(next(iter(stated)))} does: write it in all cells"
        )


def decimal_mark(cells: Sequence[str], signs: frozenset[str] = frozenset()) -> str:
    """The decimal sign of a column of text. What may be thousands or decimals is thousands beside whole
    numbers below 1000 where the other mark is the file's decimal sign, and decimals beside no such numbers
    where the mark itself is.

    Raises:
      ValueError: the file does not tell which, or speaks against the column.
    """
    marks = mark_kinds(cells)
    if "decimal" in marks[","] and "thousands" not in marks[","]:
        return ","
    if "thousands" in marks["."] and "decimal" not in marks["."]:
        return ","
    if "thousands" in marks[","]:
        return "."
    if not marks[","] and (signs != {","} or marks["."] != {"either"}):
        return "."
    mark, other = (",", ".") if marks[","] else (".", ",")
    whole = any(WHOLE.fullmatch(tidy(cell)) for cell in cells)
    if signs == {other} and whole:
        return other
    if signs == {mark} and not whole:
        return mark
    raise ValueError(
        f"{short(next(c for c in cells if mark in c and is_number(c)))} may be a decimal or a thousand; "
        "write numbers without separators of thousands"
    )


def mark_kinds(cells: Iterable[str]) -> dict[str, set[str]]:
    """What commas and dots are in those cells that are numbers."""
    marks: dict[str, set[str]] = {",": set(), ".": set()}
    for cell in cells:
        for mark, kinds in marks.items():
            if mark in cell and mark in (bare := tidy(without_spread(cell))):
                if (kind := mark_kind(mark, bare)) not in kinds and is_number(bare):
                    kinds.add(kind)
    return marks


def is_number(cell: str) -> bool:
    """Whether a cell is a number by one decimal sign or the other."""
    return any(not np.isnan(number(cell, decimal)[0]) for decimal in ".,")


def mark_kind(mark: str, cell: str) -> str:
    """Whether a comma or dot in one cell is decimal, thousands, or may be either."""
    match = THOUSANDS.match(cell)
    if not match or match[1] != mark or cell.lstrip("+-").startswith("0"):
        return "decimal"
    several = match[0].count(mark) > 1
    other, rest = "." if mark == "," else ",", cell[match.end() :]
    if not several and re.match(r"e[-+]?\d", rest, re.I):
        return "decimal"
    return "thousands" if several or rest.startswith(other) else "either"


def tidy(cell: str) -> str:
    """A cell without what stands around its number: quotes, ~ and the C= of C=1e18."""
    text = cell.strip().strip("'\"").lstrip("~≈ ").replace("\u2212", "-").replace("\u00a0", " ")
    return re.sub(r"^[A-Za-z]+\s*=\s*", "", text.replace("\u202f", " "))  # C=1e18, N = 70M


def number(cell: str, decimal: str = ".") -> tuple[float, str]:
    """(value, how it was read): how is "" for a plain number, "bad" for none."""
    text = tidy(cell)
    if text.lower() in MISSING | FAILED:
        return np.nan, ""
    if text.endswith("%"):
        value, way = number(text[:-1].rstrip(), decimal)
        return (np.nan, "bad") if way == "bad" else (value / 100, ", ".join(filter(None, (way, PERCENT))))
    if decimal == "." or "." not in text:
        try:
            return float(text), ""
        except ValueError:
            pass
    how = []
    thousand = "," if decimal == "." else "."
    grouped = re.match(rf"[-+]?\d{{1,3}}(?:[{thousand}' _]\d{{3}})+(?!\d)", text)
    if grouped:
        text = re.sub(rf"[{thousand}' _]", "", grouped[0]) + text[grouped.end() :]
        how.append("thousands separated")
    if decimal == "," and "," in text:
        text = text.replace(",", ".")
        how.append("decimal comma")
    elif decimal == "," and "." in text:
        return np.nan, "bad"
    text = spelled_powers(text)
    if days := DAYS.search(text):
        value, way = number(text[: days.start()])
        return (np.nan, "bad") if way == "bad" else (value * PETAFLOP_DAY, IN_DAYS)
    match = CELL.fullmatch(text)
    if not match or (match["number"] is None and match["power"] is None):
        return np.nan, "bad"
    if match["power"] and (match["number"] is None) != (match["times"] is None):
        return np.nan, "bad"
    value = float(match["number"] or 1)
    if match["power"]:
        power = float(match["power"])
        value *= float(match["base"]) ** power if abs(power) < 300 else (np.inf if power > 0 else 0)
        how.append("powers worked out")
    if size := (match["size"] or "").lower():
        if size in "pez" and not (match["unit"] or "").lower().startswith("flop"):
            return np.nan, "bad"
        value *= MULTIPLES[size]
        how.append(SUFFIXES)
    return value, ", ".join(how)
