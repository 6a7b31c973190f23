"""Why a table cannot be fitted at all: too few runs, or a column that holds no positive numbers."""

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
        f"{parameters} parameters of {law.__name__}; it needs at least {parameters + 1}"
    )


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
