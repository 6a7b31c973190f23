"""Params, tokens and flops that no column counts, from what other columns hold."""

import re
from collections.abc import Mapping

import numpy as np

from analysis.tables import headers
from analysis.tables.units import MULTIPLES

Computed = dict[str, tuple[np.ndarray, str]]  # by role its values (R,) and what they are computed from
NAMED = re.compile(
    r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s?([KMBT])(?![A-Za-z0-9])(?![ _-]?(?:tok|data|T\b))", re.I
)


def complete(
    known: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], budget: str, usable: np.ndarray
) -> tuple[Computed, list[str]]:
    """The third of params, tokens and flops from the other two, by flops = 6 params tokens, and notes.

    Where only one is known, flops may be the budget's, and params those of a name or of width and
    depth. Where all are, a note says how far they are from 6 params tokens.

    Args:
      known: by role, plain counts (R,).
      columns: all of the table's, by name.
      budget: the name of the budget's column.
      usable: the rows (R,) that the note is on.
    """
    computed: Computed = {}
    counts = {role: known[role] for role in ("params", "tokens", "flops") if role in known}
    if "flops" not in counts and len(counts) < 2 and "budget" in known:
        computed["flops"] = known["budget"], f"column {budget!r}, the planned ones"
        counts["flops"] = known["budget"]
    if "params" not in counts and len(counts) == 1 and (sizes := named_sizes(columns) or shapes(columns)):
        computed["params"] = sizes
        counts["params"] = sizes[0]
    params, tokens, flops = (counts.get(role) for role in ("params", "tokens", "flops"))
    with np.errstate(all="ignore"):
        if counts.keys() == {"params", "tokens"}:
            computed["flops"] = 6 * params * tokens, "6·params·tokens"
        elif counts.keys() == {"params", "flops"}:
            computed["tokens"] = flops / (6 * params), "flops/(6·params)"
        elif counts.keys() == {"tokens", "flops"}:
            computed["params"] = flops / (6 * tokens), "flops/(6·tokens)"
        ratio = (flops / (6 * params * tokens))[usable] if len(counts) == 3 else np.ones(0)
    notes = [f"{role} = {how}" for role, (_, how) in computed.items()]
    if ratio.size and np.abs(ratio - 1).max() > 0.01:
        notes.append(f"flops/(6·params·tokens) from {ratio.min():.3g} to {ratio.max():.3g}")
    return computed, notes


def fill(known: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Where all of params, tokens and flops have a column, what is empty in one of them follows from the
    other two, at the flops/(6 params tokens) that the full rows have in the middle; and notes."""
    roles = ("params", "tokens", "flops")
    if not set(roles) <= set(known):
        return {}, []
    params, tokens, flops = (known[role] for role in roles)
    with np.errstate(all="ignore"):
        ratio = flops / (6 * params * tokens)
        k = 6 * float(np.median(ratio[np.isfinite(ratio)])) if np.isfinite(ratio).any() else 6.0
        other = {"params": flops / (k * tokens), "tokens": flops / (k * params), "flops": k * params * tokens}
    filled, notes = {}, []
    for role in roles:
        empty = np.isnan(known[role]) & ~np.isnan(other[role])
        if empty.any():
            filled[role] = np.where(empty, other[role], known[role])
            notes.append(
                f"{role} = {k:.4g}·params·tokens = flops, in {empty.sum()} rows that leave them empty"
            )
    return filled, notes


def named_sizes(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str] | None:
    """Sizes (R,) in a column of names such as chinchilla-74M, one a name, and which column."""
    for name, cells in columns.items():
        if headers.normalize(name) in headers.NAMES and cells.dtype == object:
            sizes = [NAMED.findall(cell) for cell in cells.tolist()]
            if len(set(map(str, sizes))) > 1 and all(len(size) == 1 for size in sizes):
                params = [float(number) * MULTIPLES[letter.lower()] for ((number, letter),) in sizes]
                return np.array(params), f"sizes named in column {name!r}, rounded as they are"
    return None


def shapes(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str] | None:
    """Params (R,) by width and depth, and the formula; None where either is not there."""
    width, depth = headers.find(columns, headers.WIDTHS), headers.find(columns, headers.DEPTHS)
    if not (width and depth) or object in (columns[width].dtype, columns[depth].dtype):
        return None
    params = 12.0 * columns[depth] * columns[width] ** 2
    return params, f"12·{depth}·{width}² without embeddings (Kaplan et al. 2020, eq. 2.1)"
