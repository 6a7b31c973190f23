"""The run table of the page: every run and column as data, from which table.js draws the rows in view."""

import json

import numpy as np

from analysis.report.text import text
from analysis.tables.headers import RUN_IDS
from analysis.tables.runs import Runs

LEADING = "status budget params tokens epochs flops loss bits_per_byte learning_rate seed".split()


def run_table(runs: Runs, name: str = "runs") -> str:
    """Every run with its id; columns that never vary are said once and are in the downloaded table."""
    data = table_data(runs)
    same = [each for each in data["columns"] if "value" in each]
    words = f"{len(runs)} runs, {len(runs.dropped())} of them flagged."
    further = ""
    if same and len(runs) > 1:
        items = "".join(f"<li><b>{text(each['name'])}</b> {text(str(each['value']))}</li>" for each in same)
        head = f"The same in every run: {len(same)} column{'s' * (len(same) > 1)}"
        further = f'<details class="same"><summary>{head}</summary><ul>{items}</ul></details>'
    content = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<section class="runs" id="{text(name)}" aria-label="Runs"><p>{words}</p>'
        f'<div class="tools"></div><div class="scroll" tabindex="0" role="region" aria-label="Run table">'
        f"</div>{further}<noscript><p>The table of runs is drawn by this page's script, which may not run "
        f'here.</p></noscript><script type="application/json">{content}</script></section>'
    )


def table_data(runs: Runs) -> dict:
    """Columns of numbers (null where a cell is empty) or text, `value` alone where all runs have the same."""
    first = [name for name in RUN_IDS if runs.has(name)][:1] + [name for name in LEADING if runs.has(name)]
    played = {runs.roles.get(name, name) for name in first}
    rest = [name for name in runs.columns if name not in played]
    columns = [{"name": "row", "values": runs.rows.tolist()}]
    ids = {name: np.array(runs.labels(name), object) for name in first if name in RUN_IDS}  # whole, as text
    columns += [column_data(name, ids.get(name, runs.column(name))) for name in dict.fromkeys(first)]
    taken = {"row", "flag", *first}  # a header that is the name of a role another column plays
    columns += [column_data(f"{name}{' (as read)' * (name in taken)}", runs.columns[name]) for name in rest]
    flags = [str(reason) for reason in runs.reasons]
    columns += [{"name": "flag", "values": flags}] * any(flags)
    return {"columns": columns, "count": len(runs)}


def column_data(name: str, column: np.ndarray) -> dict:
    values = [cell(value) for value in column.tolist()]
    if len(values) > 1 and len(set(values)) == 1:
        return {"name": name, "value": "" if values[0] is None else values[0]}
    return {"name": name, "values": values}


def cell(value) -> str | float | int | None:
    """As JSON holds it, whole numbers without a point."""
    if isinstance(value, str):
        return value
    value = float(value)
    if not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
