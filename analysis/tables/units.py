"""What a cell is worth and in which unit a header says its numbers are: 1.4B, 6 × 10^18 FLOPs,
1,000,000, params (M). Nothing is guessed: what may be read in two ways is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.tables.files import MISSING, short

SIZES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}
WORDS = {
    "thousand": 1e3,
    "mn": 1e6,
    "mil": 1e6,
    "million": 1e6,
    "bn": 1e9,
    "billion": 1e9,
    "tn": 1e12,
    "trillion": 1e12,
    "kilo": 1e3,
    "mega": 1e6,
    "giga": 1e9,
    "tera": 1e12,
    "peta": 1e15,
    "exa": 1e18,
    "zetta": 1e21,
}
PETAFLOP_DAY = 8.64e19  # FLOPs: 1e15 a second for 86,400 seconds
DAYS = re.compile(r"(?:p|peta)[ _-]?f(?:lops?)?(?:[ _-]?/?[ _-]?s)?[ _-]*days?", re.I)
CELL = re.compile(
    r"(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?"
    r"(?:(?P<times>\s*[x×*·]\s*)?\b(?P<base>10|2)\s*(?:\^|\*\*)\s*[({]?(?P<power>[-+]?\d+(?:\.\d+)?)[)}]?)?"
    r"\s*(?P<size>thousand|million|billion|trillion|mn|bn|tn|[kmbgtpez])?"
    r"[\s-]*(?P<unit>params?|parameters?|tokens?|toks?|flops?|nats?|bits?)?\.?",
    re.I,
)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:([,.' _])\d{3})(?:\1\d{3})*(?!\d)")
NAMED = re.compile(
    r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s?([KMBT])(?![A-Za-z0-9])(?![ _-]?(?:tok|data|T\b))", re.I
)
MULTIPLE = re.compile(r"[x×*]?\s*(?:1e\+?(\d{1,2})|10\s*(?:\^|\*\*)\s*(\d{1,2}))(?:\s*flops?)?")
TAILS = (  # tokens_B, params millions, tokens in B; params/1e6
    re.compile(r"(.+?)(?:\s*,\s*|[ _]in[ _]|[ _]+)([kmbt]|[a-z]{2,}s?)", re.I),
    re.compile(r"(.+?)\s*(?:/|[x×])\s*(1e\d+|10\^\d+)", re.I),
)


@dataclass(frozen=True)
class Cells:
    """A column of text as numbers: `values` (R,) with NaN where a cell is empty or is none, `bad`
    cells by index, and `how` the others were read ("" for plain numbers)."""

    values: np.ndarray
    bad: dict[int, str]
    how: str = ""


def plain(cells: Sequence[str]) -> np.ndarray | None:
    """A column of plain numbers as float64, an empty or missing cell being NaN; else None."""
    try:
        return np.array(cells, float)
    except ValueError:
        pass
    try:
        values = [float(cell) if cell.strip().lower() not in MISSING else np.nan for cell in cells]
    except ValueError:
        return None
    return np.array(values)


def read(cells: Sequence[str], comma: bool = False) -> Cells:
    """A column of text as numbers, with thousands separators, suffixes and powers.

    Args:
      cells: text, one a row.
      comma: whether elsewhere in the file a comma is certainly a decimal sign.

    Raises:
      ValueError: all that has a comma or a dot may be either thousands or decimals.
    """
    distinct = dict.fromkeys(cells)
    decimal = separator(list(distinct), comma)
    worth = {cell: number(cell, decimal) for cell in distinct}
    values = np.array([worth[cell][0] for cell in cells])
    bad = {i: cell for i, cell in enumerate(cells) if worth[cell][1] == "bad"}
    seen = list(dict.fromkeys(how for _, how in worth.values() if how not in ("", "bad")))
    return Cells(values, bad, ", ".join(seen))


def separator(cells: Sequence[str], comma: bool) -> str:
    """The decimal sign of a column of text."""
    marks: dict[str, set[str]] = {",": set(), ".": set()}
    for cell in cells:
        cell = cell.strip().lstrip("~≈ ")
        for mark in marks:
            if mark in cell:
                marks[mark].add(role_of(mark, cell))
    if "decimal" in marks[","] and "thousands" not in marks[","]:
        return ","
    if "thousands" in marks["."] and "decimal" not in marks["."]:
        return ","
    if "thousands" in marks[","] or not marks[","]:
        return "."
    if comma:
        return ","
    raise ValueError(
        f"{short(next(c for c in cells if ',' in c))} may be a decimal or a thousand; "
        "write numbers without separators of thousands"
    )


def role_of(mark: str, cell: str) -> str:
    """Whether a comma or dot in one cell is decimal, thousands, or may be either."""
    match = THOUSANDS.match(cell)
    if not match or match[1] != mark:
        return "decimal"
    if cell.lstrip("+-").startswith("0"):
        return "decimal"
    rest = cell[match.end() :]
    several = match[0].count(mark) > 1
    other = "." if mark == "," else ","
    return "thousands" if several or rest.startswith(other) else "either"


def number(cell: str, decimal: str = ".") -> tuple[float, str]:
    """(value, how it was read): how is "" for a plain number, "bad" for none."""
    text = cell.strip().strip("'\"").lstrip("~≈ ").replace("\u2212", "-").replace("\u00a0", " ")
    text = re.sub(r"^[A-Za-z]+\s*=\s*", "", text.replace("\u202f", " "))  # C=1e18, N = 70M
    if text.lower() in MISSING:
        return np.nan, ""
    if decimal == "." or "." not in text:
        try:
            return float(text), ""
        except ValueError:
            pass
    said = []
    thousand = "," if decimal == "." else "."
    grouped = re.match(rf"[-+]?\d{{1,3}}(?:[{thousand}' _]\d{{3}})+(?!\d)", text)
    if grouped:
        text = re.sub(rf"[{thousand}' _]", "", grouped[0]) + text[grouped.end() :]
        said.append("thousands separated")
    if decimal == "," and "," in text:
        text = text.replace(",", ".")
        said.append("decimal comma")
    elif decimal == "," and "." in text:
        return np.nan, "bad"
    text = re.sub(r"10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+)", lambda m: "10^" + m[1].translate(RAISED), text)
    if days := DAYS.search(text):
        value, how = number(text[: days.start()])
        return (np.nan, "bad") if how == "bad" else (value * PETAFLOP_DAY, "PF-days × 8.64e19")
    match = CELL.fullmatch(text)
    if not match or (match["number"] is None and match["power"] is None):
        return np.nan, "bad"
    if match["power"] and (match["number"] is None) != (match["times"] is None):
        return np.nan, "bad"
    value = float(match["number"] or 1)
    if match["power"]:
        power = float(match["power"])
        value *= float(match["base"]) ** power if abs(power) < 300 else (np.inf if power > 0 else 0)
        said.append("powers worked out")
    if size := (match["size"] or "").lower():
        if size in "pez" and not (match["unit"] or "").lower().startswith("flop"):
            return np.nan, "bad"
        value *= WORDS.get(size) or SIZES[size]
        said.append("suffixes such as M and B worked out")
    return value, ", ".join(said)


def named_sizes(cells: Sequence[str]) -> np.ndarray | None:
    """Parameters out of names such as chinchilla-74M, one size a name; None if any name lacks it
    or holds two."""
    out = []
    for cell in cells:
        found = NAMED.findall(cell)
        if len(found) != 1:
            return None
        out.append(float(found[0][0]) * SIZES[found[0][1].lower()])
    return np.array(out)


def header(name: str) -> tuple[str, float, str]:
    """(name without its unit, factor, unit as written) of a header such as params (M)."""
    text = " ".join(name.split())
    bracket = re.fullmatch(r"(.*?)\s*[(\[{]\s*([^)\]}]*?)\s*[)\]}]\s*", text)
    if bracket and bracket[1]:
        return bracket[1], factor(bracket[2]) or 1.0, bracket[2]
    if days := DAYS.search(text):
        return (text[: days.start()].rstrip("_- ") or "flops"), PETAFLOP_DAY, days[0]
    if joined := re.fullmatch(r"(.*?)([kmgbtpez])(params|parameters|tokens|flops?)", text, re.I):
        if not joined[1] or not joined[1][-1].isalnum():
            return joined[1] + joined[3], SIZES[joined[2].lower()], joined[2]
    for pattern in TAILS:
        tail = pattern.fullmatch(text)
        if tail and len(tail[1]) > 1 and (size := factor(tail[2])):
            return tail[1], size, tail[2]
    return text, 1.0, ""


def factor(unit: str) -> float | None:
    """1e6 of M, million, MFLOPs, 1e6, ×10^6; None of what is no multiple."""
    text = unit.strip().lower().replace("parameters", "").replace("params", "")
    text = text.replace("tokens", "").strip(" _-")
    if DAYS.fullmatch(text):
        return PETAFLOP_DAY
    if power := MULTIPLE.fullmatch(text):
        return 10.0 ** int(power[1] or power[2])
    text = re.sub(r"[ _-]?flops?$", "", text)
    return WORDS.get(text.removesuffix("s")) or WORDS.get(text) or SIZES.get(text)
