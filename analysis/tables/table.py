"""Run tables: columns of float64 (text kept beside them), and what each one is taken to mean.

Rows are flagged with a reason, never deleted. `row` counts from 1 below the header, everywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.tables import roles as table_roles
from analysis.tables import units
from analysis.tables.files import load, short
from analysis.tables.runs import Runs

TEXT_COLUMNS = {"run_id", "run", "experiment", "status", "corpus", "commit", "sha256", "device"}
FINISHED = {"", "done", "ok", "finished", "complete", "completed", "success"}
LEAST = 1e-100  # below it, or above its inverse, products of two values leave float64
SMALL = 1e4  # half of the counts below this: a unit may be missing
APART = 20.0  # factor between flops and 6·params·tokens beyond which units hardly agree


def from_columns(source: str = "table", **columns: Iterable) -> Runs:
    """Runs from arrays by name, checked like a file."""
    arrays = {}
    for name, values in columns.items():
        array = np.array(list(values) if not isinstance(values, np.ndarray) else values)
        arrays[name] = array.astype(float) if array.dtype.kind in "fiub" else array.astype(object)
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError(f"{source}: columns differ in length")
    return assemble(source, arrays, {}, None)


def read(path: str | Path, *, where: str | None = None, **roles: str | None) -> Runs:
    """Runs from a CSV file (any usual delimiter, gzipped or not) or from JSON.

    Args:
      path: the file; .jsonl, .ndjson and .json hold objects, all else is CSV.
      where: a filter applied before values are checked, so that it can keep bad rows out.
      roles: column names for params, tokens, flops, loss, budget, x, y where the file's headers
        are not recognised.

    Raises:
      ValueError: one message naming file, row and column, what was found and what to do.
    """
    sheet = load(Path(path))
    columns = {}
    for name, cells in zip(sheet.header, sheet.columns, strict=True):
        column = None if name in TEXT_COLUMNS else units.plain(cells)
        columns[name] = np.array([c.strip() for c in cells], object) if column is None else column
    return assemble(str(path), columns, roles, where, sheet.unnamed, sheet.comma)


def assemble(
    source: str,
    columns: Mapping,
    given: Mapping,
    where: str | None,
    unnamed: frozenset[str] = frozenset(),
    comma: bool = False,
) -> Runs:
    """Assign roles, read units, filter, check values, and compute what two of params, tokens and
    flops give."""
    comma = comma and any(decimal_comma(c) for c in columns.values() if c.dtype == object)
    read: dict[str, units.Cells | str] = {}

    def numbers(name: str) -> bool:
        """Whether a column holds numbers; text is read once."""
        if name in unnamed:
            return False
        if columns[name].dtype == object and name not in read:
            try:
                read[name] = units.read(columns[name].tolist(), comma)
            except ValueError as error:
                read[name] = str(error)
        found = read.get(name)
        return not isinstance(found, units.Cells) or len(found.bad) < len(columns[name])

    roles = table_roles.assign(source, columns, given, numbers)
    columns, notes, bad = dict(columns), list(roles.notes), {}
    for role, name in roles.columns.items():
        numbers(name)
        found = read.get(name)
        if isinstance(found, str):
            raise ValueError(f"{source}, column {name}: {found}")
        if found is not None:
            columns[name], bad[name] = found.values, found.bad
            if found.how:
                notes = [*told(notes, role, name, f", {found.how}")]
            if "suffixes" in found.how and role in roles.factors:
                raise ValueError(
                    f"{source}, column {name}: its header and its cells state a unit each; "
                    "leave one of the two out"
                )
    size = len(next(iter(columns.values())))
    runs = Runs(
        columns,
        roles.columns,
        source,
        np.arange(1, size + 1),
        np.full(size, "", object),
        tuple(notes),
        roles.doubts,
        roles.loss_unit,
    )
    if where:
        runs = runs.where(where)
    runs = scaled(check(runs, bad, unnamed), roles.factors)
    return warned(complete(runs))


def told(notes: Iterable[str], role: str, name: str, more: str) -> Iterable[str]:
    """Notes with `more` said of the column that plays a role."""
    start = f"{role} = column {name}"
    notes = list(notes)
    if not any(note.startswith(start) for note in notes):
        notes.append(start)
    return (note + more if note.startswith(start) else note for note in notes)


def decimal_comma(column: np.ndarray) -> bool:
    """Whether a column of text certainly has decimal commas, as 3,14 is one."""
    try:
        return units.separator(list(dict.fromkeys(column[:1000])), False) == ","
    except (ValueError, AttributeError):
        return False


def check(runs: Runs, bad: Mapping[str, dict[int, str]], unnamed: frozenset[str]) -> Runs:
    """Flag rows that carry no result; refuse values that no run can have."""
    reasons = runs.reasons.copy()

    def flag(rows: np.ndarray, reason: str) -> None:
        reasons[rows & (reasons == "")] = reason

    if "status" in runs.columns:
        for status in dict.fromkeys(runs.columns["status"]):
            if str(status).lower() not in FINISHED:
                flag(runs.columns["status"] == status, f"status is {status}")
    flag(duplicates(runs, unnamed), "repeats an earlier row in every column")
    for role, name in runs.roles.items():
        column = runs.columns[name]
        for i, cell in bad.get(name, {}).items():
            at = np.searchsorted(runs.rows, i + 1)
            if at < len(runs) and runs.rows[at] == i + 1 and not reasons[at]:
                raise ValueError(
                    f"{runs.source}, row {i + 1}, column {name}: {short(cell)} is not a number, "
                    f"and {role} must be one; correct the cell, or choose a column with --{role}"
                )
        if role == "budget":
            continue
        missing = np.isnan(column) if role not in ("x", "y") else ~np.isfinite(column)
        if role == "loss":
            missing |= np.isposinf(column)
        flag(missing, f"{name} is empty or not a number")
        wrong = np.flatnonzero((reasons == "") & ~((column > LEAST) & (column < 1 / LEAST)))
        if wrong.size:
            raise ValueError(
                f"{runs.source}, row {runs.rows[wrong[0]]}, column {name}: {column[wrong[0]]:g} "
                f"({wrong.size} such row{'s' * (wrong.size > 1)}); {role} must be positive and "
                f'finite. Correct it, or keep it out with --where "{quoted(name)} > 0"'
            )
    return replace(runs, reasons=reasons)


def quoted(name: str) -> str:
    """A column's name as --where wants it."""
    return name if name.replace(".", "_").isidentifier() else f"`{name}`"


def duplicates(runs: Runs, unnamed: frozenset[str] = frozenset()) -> np.ndarray:
    """Rows (R,) equal to an earlier one in every named column."""
    repeated = np.zeros(len(runs), bool)
    columns = [column for name, column in runs.columns.items() if name not in unnamed]
    mixed = np.zeros(len(runs), np.uint64)
    for column in columns:
        if column.dtype == object:
            code = {value: i for i, value in enumerate(dict.fromkeys(column))}
            column = np.array([code[value] for value in column], float)
        mixed = (mixed ^ (column + 0.0).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    same = np.flatnonzero(first[inverse] != np.arange(len(runs)))
    seen: set = set()
    for i in np.flatnonzero(np.isin(mixed, mixed[same])) if same.size else ():
        line = tuple("nan" if value != value else value for value in (c[i] for c in columns))
        repeated[i] = line in seen
        seen.add(line)
    return repeated


def scaled(runs: Runs, factors: Mapping[str, tuple[float, str]]) -> Runs:
    """Counts whose header states a unit, as plain counts."""
    for role, (factor, _) in factors.items():
        name = runs.roles[role]
        start = f"{role} = column {name}"
        more = "".join(n.removeprefix(start) for n in runs.notes if n.startswith(start))
        runs = replace(runs, notes=tuple(n for n in runs.notes if not n.startswith(start)))
        said = f"column {name!r} × {factor:g}{more}"
        runs = runs.with_column(role, runs.columns[name] * factor, said)
    return runs


def complete(runs: Runs) -> Runs:
    """The third of params, tokens and flops from the other two, by flops = 6 params tokens.

    Where only one is known, flops may be the budget's, and params those of a name or of width and
    depth.
    """
    have = {role for role in ("params", "tokens", "flops") if role in runs.roles}
    if "flops" not in have and len(have) < 2 and "budget" in runs.roles:
        said = f"column {runs.roles['budget']!r}, the planned ones"
        runs = flag_missing(runs.with_column("flops", runs.budget, said), "flops")
        have.add("flops")
    if "params" not in have and len(have) == 1:
        found = table_roles.sizes(runs.columns)
        if found is not None:
            runs = flag_missing(runs.with_column("params", *found), "params")
            have.add("params")
    if have == {"params", "tokens"}:
        return runs.with_column("flops", 6 * runs.params * runs.tokens, "6·params·tokens")
    if have == {"params", "flops"}:
        return runs.with_column("tokens", runs.flops / (6 * runs.params), "flops/(6·params)")
    if have == {"tokens", "flops"}:
        return runs.with_column("params", runs.flops / (6 * runs.tokens), "flops/(6·tokens)")
    if len(have) == 3:
        with np.errstate(all="ignore"):
            ratio = (runs.flops / (6 * runs.params * runs.tokens))[runs.reasons == ""]
        if ratio.size and np.abs(ratio - 1).max() > 0.01:
            note = f"flops/(6·params·tokens) from {ratio.min():.3g} to {ratio.max():.3g}"
            return replace(runs, notes=(*runs.notes, note))
    return runs


def flag_missing(runs: Runs, role: str) -> Runs:
    """Rows flagged for which a computed role has no positive finite value."""
    column, reasons = runs.column(role), runs.reasons.copy()
    bad = ~((column > LEAST) & (column < 1 / LEAST)) & (reasons == "")
    reasons[bad] = f"{role} cannot be told"
    return replace(runs, reasons=reasons)


def warned(runs: Runs) -> Runs:
    """The table with a caution for every count whose unit does not look like one."""
    used, notes = runs.usable(), []
    if not len(used) or not {"params", "tokens", "flops"} <= set(runs.roles):
        return runs
    for role in ("params", "tokens"):
        values, name = used.column(role), runs.roles[role]
        if np.median(values) < SMALL:
            ask = f"if {name} is in thousands, millions or billions, write so in its header, as in "
            ask += f"{role} (M)"
            if name.startswith(f"{role} ("):
                ask = f"they are {name[len(role) + 2 : -1]}: do its units agree?"
            notes.append(
                f"caution: {role} from {values.min():.3g} to {values.max():.3g} look small for counts; {ask}"
            )
        elif values.max() > 1e17:
            notes.append(f"caution: {role} up to {values.max():.3g}: is its unit counted twice?")
    ratio = np.median(used.flops / 6 / used.params / used.tokens)
    if not 1 / APART < ratio < APART:
        notes.append(f"caution: flops are about {ratio:.2g} times 6·params·tokens: do units agree?")
    return replace(runs, notes=(*runs.notes, *notes))
