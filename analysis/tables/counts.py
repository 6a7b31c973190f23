"""Params, tokens and flops that no column counts, from what other columns hold."""

from collections.abc import Mapping

import numpy as np

from analysis.tables import headers, named
from analysis.tables.sheets import ranged

APART, FEW = 0.05, 1 / 3  # by how much a row's tokens miss its steps, and of how many rows that is told
Computed = dict[str, tuple[np.ndarray, str]]  # by role its values (R,) and what they are computed from


def complete(
    known: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], budget: str, usable: np.ndarray
) -> tuple[Computed, list[str], str]:
    """The third of params, tokens and flops from the other two, by flops = 6 params tokens, and notes; and
    why names of runs do not tell what is missing, or "".

    Where fewer are known, flops may be the budget's, params and tokens those of the names of runs, and
    params those of width and depth. Where all are, a note says how far they are from 6 params tokens.

    Args:
      known: by role, plain counts (R,).
      columns: all of the table's, by name.
      budget: the name of the budget's column.
      usable: the rows (R,) that the note is on.
    """
    computed: Computed = {}
    counts = {role: known[role] for role in ("params", "tokens", "flops") if role in known}
    if len(counts) < 2:
        computed |= of_ratio(counts, columns) or of_steps(counts, columns, known.get("batch_tokens"))
        counts |= {role: values for role, (values, _) in computed.items()}
    if "flops" not in counts and len(counts) < 2 and "budget" in known:
        computed["flops"] = known["budget"], f"column {budget!r}, the planned ones"
        counts["flops"] = known["budget"]
        if ratio := of_ratio(counts, columns) if len(counts) < 2 else {}:
            computed |= ratio
            counts |= {role: values for role, (values, _) in ratio.items()}
    further, doubt = named.sizes(columns) if len(counts) < 2 else ({}, "")
    if len(counts) < 2 and (counts or further) and "params" not in {*counts, *further}:
        further |= {"params": sizes} if (sizes := shapes(columns)) else {}
    for role, sizes in further.items():
        if role not in counts and len(counts) < 2 and len({*counts, *further}) > 1:
            computed[role], counts[role] = sizes, sizes[0]
    if len(counts) < 2 and further and not doubt:
        doubt = (
            f"the names of runs state {' and '.join(further)} alone: write them as in {headers.SIZED}, "
            "or add columns params and tokens"
        )
    if len(counts) < 2 and "tokens" not in counts:
        doubt = doubt or by_steps(columns)
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
        notes.append(f"flops/(6·params·tokens) {ranged(ratio.min(), ratio.max())}")
    return computed, notes, doubt


def of_ratio(counts: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> Computed:
    """Params or tokens by a column of tokens per param and the one count that is known."""
    name = headers.find(columns, headers.RATIOS)
    if not name or not counts or columns[name].dtype == object:
        return {}
    ((role, known),), ratio = counts.items(), columns[name]
    with np.errstate(all="ignore"):
        if role == "params":
            return {"tokens": (known * ratio, f"params·{name}")}
        if role == "tokens":
            return {"params": (known / ratio, f"tokens/{name}")}
        return {"params": (np.sqrt(known / (6 * ratio)), f"(flops/(6·{name}))^½")}


def of_steps(
    counts: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray], named: np.ndarray | None = None
) -> Computed:
    """Tokens by steps and a column of tokens a step: the one that its user `named`, else by its header."""
    steps, batch = headers.find(columns, headers.STEPS), headers.find(columns, headers.BATCH_TOKENS)
    batch = next((name for name, column in columns.items() if column is named), batch)
    if not (steps and batch) or "tokens" in counts or object in (columns[steps].dtype, columns[batch].dtype):
        return {}
    return {"tokens": (columns[steps] * columns[batch], f"{steps}·{batch}")}


def by_steps(columns: Mapping[str, np.ndarray]) -> str:
    """That tokens may follow from steps and a batch, which may be of tokens or of sequences; or ""."""
    wanted = (headers.STEPS, headers.BATCHES, headers.CONTEXT)
    steps, batch, context = (headers.find(columns, names) for names in wanted)
    if not (steps and batch):
        return ""
    product = f"{steps} × {batch}"
    further = f" × {context}, or {product} where the batch counts tokens" if context else " × context length"
    return f"tokens may be {product}{further}: which, only you can tell; write them as a column tokens"


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


def unlike_steps(columns: Mapping[str, np.ndarray], name: str, tokens: np.ndarray) -> str:
    """That tokens (R,) that were read are in a few rows not as many times steps × batch as in most; or ""."""
    steps, batch = headers.find(columns, headers.STEPS), headers.find(columns, headers.BATCHES)
    context = [columns[each] for each in headers.find_all(columns, headers.CONTEXT)]
    if "6·" in name or not (steps and batch) or object in (columns[steps].dtype, columns[batch].dtype):
        return ""
    with np.errstate(all="ignore"):
        ratio = tokens / columns[steps] / columns[batch]
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        times = ratio / np.median(ratio) if ratio.size else ratio
    off = times[np.abs(times - 1) > APART]
    if not 0 < len(off) < FEW * len(times) or any(len(np.unique(each.astype(str))) > 1 for each in context):
        return ""
    span = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (off.min(), off.max())))
    return (
        f"{name} of {len(off)} of {len(times)} rows are {span} times what {steps} × {batch} "
        "make of the others: they may be tokens planned, not those seen, or the steps of a run's last part"
    )


def shapes(columns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, str] | None:
    """Params (R,) by width and depth, and the formula; None where either is not there."""
    width, depth = headers.find(columns, headers.WIDTHS), headers.find(columns, headers.DEPTHS)
    if not (width and depth) or object in (columns[width].dtype, columns[depth].dtype):
        return None
    params = 12.0 * columns[depth] * columns[width] ** 2
    return params, f"12·{depth}·{width}² without embeddings (Kaplan et al. 2020, eq. 2.1)"
