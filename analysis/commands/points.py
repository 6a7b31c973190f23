"""The places that `predict` is asked about: from options, or from a table that may hold what was measured
there."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

import numpy as np

from analysis.commands import shared
from analysis.commands.arguments import OTHERS, ROLES
from analysis.laws import Array, Law
from analysis.tables import Runs, cells, table

COUNTS = {"params", "tokens", "flops"}


@dataclass(frozen=True, eq=False)
class Points:
    """K places: each of a law's `inputs` (K,), what was `measured` there (K,), NaN where nothing was, and
    the `unit` of that. `rows` (K,) are those of a table, or counted from 1; `notes` say what was computed."""

    inputs: dict[str, Array]
    measured: Array
    rows: Array
    unit: str = ""
    notes: tuple[str, ...] = ()
    table: Runs | None = None

    def select(self, mask: Array) -> "Points":
        inputs = {name: column[mask] for name, column in self.inputs.items()}
        rows = self.table and self.table.select(mask)
        return Points(inputs, self.measured[mask], self.rows[mask], self.unit, self.notes, rows)


def add_at(sub) -> None:
    """The option that names places."""
    help = 'where: "params=7e9,tokens=2e12", several parted by ; or by repeating it'
    sub.add_argument("--at", action="append", default=[], metavar="PLACES", help=help)


def split(texts: Iterable[str]) -> list[str]:
    """The places of all texts of --at, one each."""
    return [place for text in texts for place in text.split(";") if place.strip()]


def check_whole(place: str, value: Container[str], needs: Iterable[str], hint: str) -> None:
    """Refuse a place that lacks an input."""
    if lacks := [name for name in needs if name not in value]:
        raise ValueError(f"--at {place.strip()!r}: {' and '.join(lacks)} missing; {hint}")


def from_text(law: type[Law], texts: list[str], played: dict[str, str]) -> Points:
    """Places written as "params=7e9,tokens=2e12", several parted by semicolons or in several texts. One of
    params and tokens may follow from flops, by flops = 6 params tokens.

    Args:
      law: whose inputs they are.
      texts: as they were typed.
      played: the column that plays each input, by which it may be called too.

    Raises:
      ValueError: an input is missing, unknown or no positive number.
    """
    places = split(texts)
    called = {column: name for name, column in played.items()} | {name: name for name in played}
    called |= {name: name for name in COUNTS if {"params", "tokens"} <= set(played)}
    values = [read(place, called) for place in places]
    if not values:
        raise ValueError(f"--at is empty: write {example(law)}")
    notes = set()
    for place, value in zip(places, values, strict=True):
        if COUNTS <= set(value) and "flops" not in law.inputs:
            raise ValueError(f"--at {place.strip()!r}: flops follows from params and tokens; leave one out")
        if {"params", "tokens"} <= set(played) and len(COUNTS & set(value)) == 2 and "flops" in value:
            missing = "tokens" if "params" in value else "params"
            value[missing] = value["flops"] / 6 / value["params" if missing == "tokens" else "tokens"]
            notes.add(f"{missing} = flops/(6·{'params' if missing == 'tokens' else 'tokens'})")
        check_whole(place, value, law.inputs, f"write {example(law)}")
    inputs = {name: np.array([value[name] for value in values]) for name in law.inputs}
    size = len(values)
    return Points(inputs, np.full(size, np.nan), 1 + np.arange(size), "", tuple(sorted(notes)))


def read(place: str, called: dict[str, str]) -> dict[str, float]:
    """The numbers of one place by the names of the inputs."""
    values = {}
    for part in place.split(","):
        name, sign, text = (piece.strip() for piece in part.partition("="))
        number, how = cells.number(text) if sign else (np.nan, "bad")
        if not (number > 0 and np.isfinite(number)) or how == "bad":
            raise ValueError(
                f"--at {place.strip()!r}: {part.strip()!r} is not NAME=NUMBER, such as params=7e9"
            )
        if name not in called:
            known = ", ".join(dict.fromkeys(called))
            raise ValueError(f"--at {place.strip()!r}: the law has no input {name!r}; it has {known}")
        if called[name] in values:
            raise ValueError(f"--at {place.strip()!r}: {called[name]} is given twice; leave one out")
        values[called[name]] = number
    return values


def example(law: type[Law]) -> str:
    numbers = {"params": "7e9", "tokens": "2e12", "flops": "1e22", "loss": "2.5"}
    return '"' + ",".join(f"{name}={numbers.get(name, '1e6')}" for name in law.inputs) + '"'


def from_table(options, law: type[Law], played: dict[str, str]) -> Points:
    """The places that the rows of --at-table are, and what was measured there. A row without all inputs is
    no place; one of a run that came to no end has nothing measured.

    Raises:
      ValueError: a column or every place is missing.
    """
    path, output = options.at_table, shared.played_by(options, law.output)
    given = {role: getattr(options, role, None) for role in ROLES}
    given |= {name: column for name, column in (*played.items(), (law.output, output)) if name in OTHERS}
    there = set(table.read(path, needs=()).columns)
    roles = {role: column for role, column in given.items() if column in there}
    runs = table.read(path, needs=set(law.inputs), **roles)
    columns = {name: runs.column(played[name]) for name in law.inputs}
    if text := next((name for name, column in columns.items() if column.dtype == object), ""):
        raise ValueError(f"{path}: {played[text]} holds text, and {text} must be a number")
    measured = np.full(len(runs), np.nan)
    output = runs.converted(law.output, output)
    if runs.has(output) and runs.column(output).dtype != object:
        measured = np.where(runs.reasons == "", runs.column(output), np.nan)
    whole = np.all([np.isfinite(column) & (column > 0) for column in columns.values()], axis=0)
    if not whole.any():
        raise ValueError(f"{path}: no row has all of {', '.join(law.inputs)}")
    unit = runs.loss_unit if np.isfinite(measured).any() else ""
    notes = [*runs.notes, *[f"{(~whole).sum()} rows lack an input and are no place"] * bool((~whole).any())]
    return Points(columns, measured, runs.rows, unit, tuple(notes), runs).select(whole)
