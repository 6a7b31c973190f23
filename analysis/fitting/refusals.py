"""Why a table cannot be fitted at all: too few runs, or a column that holds no positive numbers."""

from dataclasses import replace

import numpy as np

from analysis.laws import Array, Law
from analysis.tables.runs import Runs


def check_rows(law: type[Law], runs: Runs, rows: int, parameters: int) -> None:
    if rows > parameters:
        return
    flagged = f"{len(runs) - rows} flagged"
    flagged += f", the first as {runs.dropped()[0][1]}" if rows < len(runs) else ""
    raise ValueError(
        f"{runs.source}: {rows} usable runs ({flagged}) for the "
        f"{parameters} coefficients of {law.__name__}; it needs at least {parameters + 1}"
    )


def lift(law: type[Law], runs: Runs, output: str) -> tuple[Runs, float]:
    """The runs with an output that is not above zero everywhere, such as a loss less that of word counts,
    raised so that its least lies as high as all is wide; and by how much. The law's floor E takes it in."""
    column = runs.column(output)
    usable = column.size and column.dtype != object and np.isfinite(column).all()
    if "E" not in law.linear or not usable or column.min() > 0:
        return runs, 0.0
    offset = float(np.ceil(np.ptp(column) - column.min()))
    columns = {**runs.columns, runs.roles.get(output, output): column + offset}
    return replace(runs, columns=columns), offset


def positive(runs: Runs, name: str) -> Array:
    column = runs.column(name)
    if column.dtype == object:
        raise ValueError(f"{runs.source}, column {name}: holds text, and a fit needs numbers")
    bad = np.flatnonzero(~((column > 0) & np.isfinite(column)))
    if bad.size:
        raise ValueError(
            f"{runs.source}, row {runs.rows[bad[0]]}, column {name}: {column[bad[0]]:g}; a fit "
            f'needs positive finite numbers, keep it out with --where "{name} > 0"'
        )
    return column
