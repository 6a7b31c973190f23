"""Which rows carry no result, and why; values that no run can have are refused."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from analysis.tables import states
from analysis.tables.cells import Column
from analysis.tables.headers import WHEN, parse
from analysis.tables.kinds import combined, earliest
from analysis.tables.sheets import short
from analysis.tables.where import condition

COUNTS = {"params", "tokens", "flops"}
NORMALIZED = re.compile(r"normali[sz]ed|relative")  # of a loss that is one less another, of either sign
LEAST = 1e-100  # below it, or above its inverse, products of two values leave float64


def flag(
    source: str,
    columns: Sequence[Column],
    roles: Mapping[str, Column],
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    needs: Collection[str] | None = None,
) -> np.ndarray:
    """The reason (R,) why each row is left out: "" for a usable one.

    Args:
      values: of `columns` by name, (R,), numbers where one plays a role.
      rows: their places (R,) in the columns as they were read.
      needs: the roles whose cells matter; all by default.

    Raises:
      ValueError: naming row and column, of text where a number belongs, or of a number that is not
        positive and finite.
    """
    reasons = np.full(len(rows), "", object)

    def keep_out(which: np.ndarray, reason: str) -> None:
        reasons[which & (reasons == "")] = reason

    for which, reason in no_runs(columns, roles, values, len(rows)):
        keep_out(which, reason)
    three = COUNTS <= set(roles)
    for role, column in roles.items():
        if needs is not None and role not in needs:
            continue
        name, numbers = column.name, values[column.name]
        wrong = np.flatnonzero(column.numbers.bad[rows] & (reasons == ""))
        if wrong.size:
            row = rows[wrong[0]]
            raise ValueError(
                f"{source}, row {row + 1}, column {name}: {short(column.cells[row])} is not a number, "
                f"and {role} must be one; correct the cell, or choose a column with --{role}"
            )
        if role == "budget":
            continue
        missing = np.isnan(numbers) if role not in ("x", "y") else ~np.isfinite(numbers)
        if role == "loss":
            missing |= np.isposinf(numbers)
        if not (three and role in COUNTS):  # one of the three follows from the others
            keep_out(missing, f"{name} is empty or not a number")
        below = role == "loss" and bool(NORMALIZED.search(column.header.words))
        wrong = np.flatnonzero((reasons == "") & ~missing & ~(below | in_range(numbers)))
        if wrong.size:
            value = numbers[wrong[0]]
            inside = f"< {1 / LEAST:g}" if value > 1 else f"> {LEAST * (value > 0):g}"
            raise ValueError(
                f"{source}, row {rows[wrong[0]] + 1}, column {name}: {value:g} "
                f"({wrong.size} such row{'s' * (wrong.size > 1)}); {role} must be positive and "
                f"finite. Correct it, or keep it out with --where {condition(name, inside)}"
            )
    return reasons


def no_runs(
    columns: Sequence[Column], roles: Mapping[str, Column], values: Mapping[str, np.ndarray], size: int
) -> Iterator[tuple[np.ndarray, str]]:
    """(rows (R,), reason) of runs without an end, of sums of others and of repeats, as in `flag`."""
    named = {column.name: values[column.name] for column in columns if column.named}
    yield from states.ends(named)
    unnamed = [column.name for column in columns if not column.named]
    yield from states.summaries(values, unnamed)
    if {"loss"} < set(roles) and len(set(named.get("file", ()))) < size / 2:  # exports that overlap
        named.pop("file", None)
    yield repeats(named.values(), size), "repeats an earlier row in every column"
    lasting = [cells for name, cells in named.items() if not WHEN & set(parse(name).words.split("_"))]
    if "loss" in roles and len(lasting) < len(named):
        again, loss = repeats(lasting, size), values[roles["loss"].name]
        again &= np.isfinite(loss)
        again[again] = [float(f"{value:.5g}") != value for value in loss[again]]  # else two may end alike
        yield again, "repeats an earlier row in all but when and where it ran"


def in_range(values: np.ndarray) -> np.ndarray:
    """Which values (R,) are positive and finite, and neither absurdly small nor large."""
    return (values > LEAST) & (values < 1 / LEAST)


def repeats(columns: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Rows (R,) equal to an earlier one in every column (R,)."""
    return earliest(combined(columns, size)) != np.arange(size)
