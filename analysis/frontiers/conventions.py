"""What the columns of a table let N and C be: its countings of parameters and FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.laws import Array
from analysis.tables.budgets import group
from analysis.tables.cells import Column
from analysis.tables.headers import parse
from analysis.tables.roles import counts
from analysis.tables.runs import Runs

HIDDEN = ("params_hidden", "params_non_embedding", "non_embedding_params")
READOUT = ("params_readout", "params_head", "params_lm_head")
EMBED = ("params_embed", "params_embedding")
SHAPE = ("n_layer", "d_model", "seq_len")
SAME = 0.01  # countings this close in every row are one


@dataclass(frozen=True, eq=False)
class Convention:
    """A counting: what N and C are, and the runs so counted. `flops` is "" where a column's value
    names both."""

    params: str
    flops: str
    runs: Runs

    def __str__(self) -> str:
        return f"N = {self.params}, C = {self.flops}" if self.flops else self.params


def by_columns(runs: Runs) -> list[Convention]:
    """The countings that a table's columns allow; the table's own first.

    N: the table's params; hidden; hidden + readout; and these + embedding. C with each: the table's
    flops, and 6·N·D; with the table's N also its flops without attention, where the shape is there
    (3 · 4 · n_layer · d_model · (seq_len + 1)/2 a token, causal). Countings that lie within 1 % of
    one before in every row are not repeated.
    """
    used = runs.usable()
    conventions: list[Convention] = []
    for i, (name, params) in enumerate(count_params(used).items()):
        choices = {"table's flops": used.flops, "6·N·D": 6 * params * used.tokens}
        if i == 0 and (bare := without_attention(used)) is not None:
            choices["table's without attention"] = bare
        if i and "6·params" in runs.roles.get("flops", ""):  # of the table's own params
            del choices["table's flops"]
        for words, flops in choices.items():
            if any(same(c.runs.params, params) and same(c.runs.flops, flops) for c in conventions):
                continue
            recounted = used.with_column("params", params, name) if i else used
            if words != "table's flops":
                recounted = recounted.with_column("flops", flops, words.replace("N", name))
            conventions.append(Convention(name, words, recounted))
    return conventions


def keep_budgets(runs: Runs, budgets: Sequence[float] | None = None) -> Runs:
    """The table with a budget column, so that a recount of FLOPs leaves the groups as they were; as it is
    where it has one, or where no budgets can be told and none were given."""
    if not budgets and runs.has("budget"):
        return runs
    try:
        groups = group(runs.usable(), budgets, [])
    except ValueError:
        if budgets:
            raise
        return runs
    values = np.full(len(runs), np.nan)
    for budget, rows in groups:
        values[np.isin(runs.rows, rows.rows)] = budget
    note = "those given" if budgets else "told from gaps in the table's own flops"
    return runs.with_column("budget", values, note)


def by_value(runs: Runs, column: str) -> list[Convention]:
    """One convention a value of a column, in order of first appearance: tables that hold the same
    study counted in several ways."""
    return [Convention(value, "", part) for value, part in runs.by(column).items()]


def count_params(runs: Runs) -> dict[str, Array]:
    """Name -> params (R,) of each counting, the table's first."""
    hidden, readout, embed = (numbers(runs, names) for names in (HIDDEN, READOUT, EMBED))
    named = {}
    if hidden is not None:
        name, params = "hidden", hidden
        named[name] = params
        if readout is not None:
            name, params = "hidden + readout", hidden + readout
            named[name] = params
        if embed is not None:
            named[f"{name} + embedding"] = params + embed
    named = {name: n for name, n in named.items() if (np.isfinite(n) & (n > 0)).all()}
    others = other_params(runs)
    plain = runs.roles.get("params", "params") if others else "table's params"
    named |= others
    own = next((name for name, n in named.items() if same(n, runs.params)), plain)
    return {own: runs.params} | {name: n for name, n in named.items() if name != own}


def other_params(runs: Runs) -> dict[str, Array]:
    """Name -> params (R,) of further columns whose headers would do for the params, as where one counts
    embeddings and another does not."""
    found = {}
    for name, column in runs.columns.items():
        if name != runs.roles.get("params", "params") and counts("params", name):
            try:
                params = Column(name, column).numbers.values * parse(name).factor
            except ValueError:  # thousands or decimals
                continue
            if (np.isfinite(params) & (params > 0)).all() and not same(params, runs.params):
                found[name] = params
    return found


def numbers(runs: Runs, names: Sequence[str]) -> Array | None:
    """The first of these columns that a table has, where it holds numbers."""
    name = next((name for name in names if name in runs.columns), None)
    return None if name is None or runs.columns[name].dtype == object else runs.columns[name]


def without_attention(runs: Runs) -> Array | None:
    """Flops less those of causal attention scores and values; None without the model's shape."""
    shape = [numbers(runs, (name,)) for name in SHAPE]
    if any(column is None for column in shape):
        return None
    layers, width, length = shape
    flops = runs.flops - 3 * 4 * layers * width * (length + 1) / 2 * runs.tokens
    return flops if (flops > 0.2 * runs.flops).all() else None


def same(a: Array, b: Array) -> bool:
    return bool(np.abs(a / b - 1).max() < SAME)
