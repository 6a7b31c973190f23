"""Which rows carry no result, and why; values that no run can have are refused."""

from collections.abc import Mapping

import numpy as np

from analysis.tables.cells import Column
from analysis.tables.sheets import short
from analysis.tables.where import quoted

FINISHED = {"", "done", "ok", "finished", "complete", "completed", "success"}
LEAST = 1e-100  # below it, or above its inverse, products of two values leave float64


def flag(
    source: str, columns: Mapping[str, np.ndarray], roles: Mapping[str, Column], rows: np.ndarray
) -> np.ndarray:
    """The reason (R,) why each row is left out: "" for a usable one.

    Args:
      source: of the table, for messages.
      columns: the named ones, each (R,), those that play a role as numbers.
      roles: the column of each role, as it was read.
      rows: their places (R,) in the table as it was read.

    Raises:
      ValueError: naming row and column, of text where a number belongs, or of a number that is not
        positive and finite.
    """
    reasons = np.full(len(rows), "", object)

    def keep_out(which: np.ndarray, reason: str) -> None:
        reasons[which & (reasons == "")] = reason

    if "status" in columns:
        for status in dict.fromkeys(columns["status"]):
            if str(status).lower() not in FINISHED:
                keep_out(columns["status"] == status, f"status is {status}")
    keep_out(repeats(list(columns.values()), len(rows)), "repeats an earlier row in every column")
    for role, column in roles.items():
        name, values = column.name, columns[column.name]
        wrong = np.flatnonzero(column.numbers.bad[rows] & (reasons == ""))
        if wrong.size:
            row = rows[wrong[0]]
            raise ValueError(
                f"{source}, row {row + 1}, column {name}: {short(column.cells[row])} is not a number, "
                f"and {role} must be one; correct the cell, or choose a column with --{role}"
            )
        if role == "budget":
            continue
        missing = np.isnan(values) if role not in ("x", "y") else ~np.isfinite(values)
        if role == "loss":
            missing |= np.isposinf(values)
        keep_out(missing, f"{name} is empty or not a number")
        wrong = np.flatnonzero((reasons == "") & ~in_range(values))
        if wrong.size:
            raise ValueError(
                f"{source}, row {rows[wrong[0]] + 1}, column {name}: {values[wrong[0]]:g} "
                f"({wrong.size} such row{'s' * (wrong.size > 1)}); {role} must be positive and "
                f'finite. Correct it, or keep it out with --where "{quoted(name)} > 0"'
            )
    return reasons


def in_range(values: np.ndarray) -> np.ndarray:
    """Which values (R,) are positive and finite, and neither absurdly small nor large."""
    return (values > LEAST) & (values < 1 / LEAST)


def repeats(columns: list[np.ndarray], size: int) -> np.ndarray:
    """Rows (R,) equal to an earlier one in every column (R,)."""
    hashes = np.zeros(size, np.uint64)
    for column in columns:
        if column.dtype == object:
            code = {value: i for i, value in enumerate(dict.fromkeys(column))}
            column = np.array([code[value] for value in column], float)
        hashes = (hashes ^ (column + 0.0).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(size))
    repeated, seen = np.zeros(size, bool), set()
    for i in np.flatnonzero(np.isin(hashes, hashes[again])) if again.size else ():
        row = tuple("nan" if value != value else value for value in (column[i] for column in columns))
        repeated[i] = row in seen
        seen.add(row)
    return repeated
