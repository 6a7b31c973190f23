"""A file as a header and columns of text, which every format gives, and how cells are shown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sheet:
    """Columns of text by name (all equally long), and how the file was laid out.

    `unnamed` are columns whose name is made up here, such as an index. `comma` says whether a comma
    may be a decimal sign: not where it parts the cells.
    """

    columns: dict[str, tuple[str, ...]]
    unnamed: frozenset[str] = frozenset()
    comma: bool = False
    lists: tuple[str, ...] = ()  # names under which a file of objects holds lists, which are left out
    tried: tuple[str, ...] = ()  # what an object lists several of: the settings tried, and a loss for each
    apart: str = ""  # of several files, which columns only one has


def short(value, most: int = 40) -> str:
    """A value as it is shown in a message: quoted, on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Iterable[str], most: int = 24) -> str:
    """Column names for a message, cut where there are many."""
    names = [name if len(name) <= 60 else f"{name[:59]}…" for name in names]
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ranged(low: float, high: float) -> str:
    """From 1e3 to 2e3; at 1e3 where both ends are written alike."""
    ends = f"{low:.3g}", f"{high:.3g}"
    return f"at {ends[0]}" if ends[0] == ends[1] else f"from {ends[0]} to {ends[1]}"
