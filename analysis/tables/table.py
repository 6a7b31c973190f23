"""From a file, or from arrays, to `Runs`: columns, their roles, their numbers, then what is computed.

Rows are flagged with a reason, never deleted. `row` counts from 1 below the header, everywhere.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.tables import cells, counts, files, measures, rows
from analysis.tables.cells import Column
from analysis.tables.headers import ALIASES
from analysis.tables.roles import Roles, assign
from analysis.tables.runs import Runs
from analysis.tables.sheets import listed
from analysis.tables.units import UNSTATED
from analysis.tables.where import select_rows


def from_columns(source: str = "table", **columns: Iterable) -> Runs:
    """Runs from arrays by name, checked like a file."""
    return from_mapping(columns, source)


def from_mapping(
    columns: Mapping[str, Iterable], source: str = "table", where: str | None = None, **roles: str | None
) -> Runs:
    """Runs from columns by name, (R,) each, with `where` and `roles` as in `read`."""
    arrays = {}
    for name, values in columns.items():
        given = list(values)
        array = values if isinstance(values, np.ndarray) else np.array(given)
        if array.dtype.kind in "fiub":
            arrays[name] = array.astype(float)
        else:  # text, and numbers with gaps
            cells = ["" if is_gap(value) else str(value) for value in given]
            arrays[name] = np.array(cells, object)
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = listed(f"{name} has {len(array)}" for name, array in arrays.items())
        raise ValueError(f"{source}: columns differ in length: {lengths}")
    if not arrays or not len(next(iter(arrays.values()))):
        raise ValueError(f"{source}: no rows")
    return assemble(source, [Column(name, array) for name, array in arrays.items()], roles, where)


def is_gap(cell) -> bool:
    """Whether a cell is empty: None, or what does not equal itself (NaN, NaT, the NA of pandas)."""
    return cell is None or str(cell == cell) != "True"


def read(
    path: str | Path | Sequence[str | Path],
    *,
    where: str | None = None,
    needs: Collection[str] | None = None,
    **roles: str | None,
) -> Runs:
    """Runs from a CSV file (any usual delimiter, gzipped or not), from JSON or from Parquet.

    Args:
      path: the file; .jsonl, .ndjson and .json hold objects, all else is CSV. Several files, or a folder
        of them, are one table.
      where: a filter applied before values are checked, so that it can keep bad rows out.
      needs: the roles for which a row with an empty cell is kept out; all by default.
      roles: column names for params, tokens, flops, loss, budget, x, y where the file's headers
        are not recognised.

    Raises:
      ValueError: one message naming file, row and column, what was found and what to do.
    """
    sheet = files.load_all(path)
    source = str(path) if isinstance(path, str | Path) else ", ".join(map(str, path))
    runs = assemble(source, cells.columns(sheet), roles, where, needs)
    if sheet.apart and not (runs.reasons == "").any():
        raise ValueError(
            f"{source}: no row of these files can be used ({runs.reasons[0]}), and their headers differ: "
            f"{sheet.apart}. Call one thing alike in all of them"
        )
    runs = replace(runs, tried=sheet.tried)
    if sheet.lists and "loss" not in runs.roles:
        doubt = (
            f"no column holds the loss in one number; {listed(sheet.lists, 6)} hold lists, which are left "
            "out as curves: write a row for every run, or list the losses beside the rates (lrs) tried"
        )
        runs = replace(runs, doubts={**runs.doubts, "loss": doubt})
    return runs


def in_counts(roles: Roles, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a filter may call by the name of its role: counts (R,) with their units worked out, those that
    two of them give, and the loss that is fitted."""
    known = {
        role: roles.factors.get(role, 1.0) * values[column.name]
        for role, column in roles.columns.items()
        if role in ALIASES or role == "batch_tokens"
    }
    known |= counts.fill(known)[0]
    batch = {roles.columns[role].name: known[role] for role in known if role == "batch_tokens"}
    usable = np.ones(len(next(iter(values.values()))), bool)
    computed, *_ = counts.complete(known, {**values, **batch}, "budget", usable)
    return known | {role: column for role, (column, _) in computed.items()}


def assemble(
    source: str,
    columns: Sequence[Column],
    given: Mapping[str, str | None] | None = None,
    where: str | None = None,
    needs: Collection[str] | None = None,
) -> Runs:
    """Assign roles, filter, flag rows, and compute what two of params, tokens and flops give."""
    roles = assign(source, columns, given or {})
    values = {column.name: column.cells for column in columns}
    values |= {column.name: column.numbers.values for column in roles.columns.values()}
    notes = [f"{role} = {note}" for role, note in roles.notes.items()]
    kept = np.arange(len(columns[0].cells))
    if where:
        kept, note = select_rows(source, where, values | in_counts(roles, values) | values)
        values, notes = {name: column[kept] for name, column in values.items()}, [*notes, note]
    reasons = rows.flag(source, columns, roles.columns, values, kept, needs)
    names = {role: column.name for role, column in roles.columns.items()}
    for role, factor in roles.factors.items():
        names[role] = f"{role} ({roles.notes[role]})"
        values[names[role]] = factor * values[roles.columns[role].name]
    known = {role: values[name] for role, name in names.items()}
    filled, further = counts.fill(known)
    for role, column in filled.items():
        names[role] = f"{role} ({names[role]}, filled)"
        values[names[role]] = known[role] = column
    notes = [*notes, *further]
    if rows.COUNTS <= set(known):
        for role in sorted(rows.COUNTS & set(needs or rows.COUNTS)):
            empty = f"{roles.columns[role].name} is empty or not a number"
            reasons[np.isnan(known[role]) & (reasons == "")] = empty
    computed, further, doubt = counts.complete(known, values, names.get("budget", ""), reasons == "")
    for role, (column, how) in computed.items():
        if needs is None or role in needs:
            reasons[~rows.in_range(column) & (reasons == "")] = f"{role} cannot be told"
        names[role] = f"{role} ({how})"
        values[names[role]] = column
    notes, unit = (*notes, *further), roles.loss_unit
    if unit == UNSTATED and "loss" in names and "y" not in names:
        unit = measures.evidence(values, values[names["loss"]]) or unit
    doubts = {role: doubt for role in ("params", "tokens") if doubt and role not in names}
    return Runs(values, names, source, kept + 1, reasons, notes, {**doubts, **roles.doubts}, unit)
