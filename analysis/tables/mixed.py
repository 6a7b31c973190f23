"""Whether a column of counts holds two units, as where some rows are in millions and others are not."""

import numpy as np

from analysis.tables.runs import Runs
from analysis.tables.where import condition

HOLE = 300.0  # a factor between neighbours beyond which two units are likelier than a design
FAR = 100.0  # from flops / (6 params tokens) of most rows


def refuse_mixed_units(runs: Runs) -> None:
    """Refuse usable rows of which a smaller part has flops far from 6 params tokens while most have not, or
    that leave a wide hole between two parts of params or tokens.

    Raises:
      ValueError: naming a row of the smaller part.
    """
    counts = {role: runs.column(role) for role in ("params", "tokens", "flops") if role in runs.roles}
    counts = {role: values for role, values in counts.items() if values.dtype != object}
    read = {role: values for role, values in counts.items() if "6·" not in runs.roles[role]}
    if len(read) == 3:
        with np.errstate(all="ignore"):
            ratio = read["flops"] / (6 * read["params"] * read["tokens"])
        middle = np.nanmedian(ratio) if np.isfinite(ratio).any() else np.nan
        off = np.abs(np.log(ratio / middle)) > np.log(FAR)
        if 0 < off.sum() < np.isfinite(ratio).sum() / 2:
            raise ValueError(
                f"{runs.source}, row {runs.rows[off][0]}: flops are {ratio[off][0]:.2g} times "
                f"6·params·tokens ({off.sum()} such rows), and {middle:.2g} times in most rows: units are "
                "mixed inside a column; bring all rows to one unit"
            )
        if not off.any():
            return  # three columns agree
    for role in ("params", "tokens"):
        values = read.get(role, np.empty(0))
        ordered = np.unique(values[np.isfinite(values) & (values > 0)])
        steps = np.diff(np.log(ordered))
        if len(ordered) < 4 or steps.max() < np.log(HOLE):
            continue
        low, high = ordered[: np.argmax(steps) + 1], ordered[np.argmax(steps) + 1 :]
        name, middle = runs.roles[role], np.sqrt(low[-1] * high[0])
        raise ValueError(
            f"{runs.source}, row {runs.rows[values <= low[-1]][0]}, column {name}: {role} run from "
            f"{low[0]:.3g} to {low[-1]:.3g} and from {high[0]:.3g} to {high[-1]:.3g}, with nothing between: "
            "units are mixed inside it; bring all rows to one unit, or keep a part with --where "
            + condition(role if name.startswith(f"{role} (") else name, f"> {middle:.2g}")
        )
