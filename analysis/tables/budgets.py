"""Which runs share a budget: by the table's column, by budgets given, or by gaps in flops."""

from collections.abc import Sequence

import numpy as np

from analysis.tables.runs import Runs

NEAR = 0.1  # rows this close to a budget given, as a share of it, belong to it
GAP = 0.05  # in ln flops: a step beyond it parts two budgets
WIDEST = 0.3  # in ln flops: rows spread further are not one budget
UNEVEN = 0.2  # how far the flops of a budget's rows may lie off their median
FEW = 3  # sizes in each of two lumps of flops that may be two budgets
SIZES, MOST = 4, 9  # sizes that make a level worth proposing, and levels proposed


def group(runs: Runs, budgets: Sequence[float] | None, notes: list[str]):
    """(budget, rows) in rising order of budget."""
    if budgets is not None:
        given = np.array(sorted(budgets), float)
        nearest = np.abs(np.log(runs.flops[:, None] / given)).argmin(1)  # a row is of one budget alone
        near = np.abs(runs.flops / given[nearest] - 1) <= NEAR
        groups = [(float(b), runs.select(near & (nearest == i))) for i, b in enumerate(given)]
        if empty := [budget for budget, rows in groups if not len(rows)]:
            raise ValueError(f"{runs.source}: no run lies within 10 % of {empty[0]:g} FLOPs")
        near = sum(len(rows) for _, rows in groups)
        notes.append(f"{near} of {len(runs)} runs lie within 10 % of the budgets given")
        return groups
    told = runs.has("budget") and (runs.budget.dtype == object or bool((runs.budget > 0).any()))
    stale = uneven(runs) if told else ""
    if stale:
        notes.append(stale)
        stale += ", and "
    elif told:
        known = runs.select(np.isfinite(runs.budget) & (runs.budget > 0))
        if len(known) < len(runs):
            notes.append(f"{len(runs) - len(known)} runs have no budget and are left out")
        return [(float(b), known.select(known.budget == b)) for b in np.unique(known.budget)]
    order = np.argsort(runs.flops, kind="stable")
    log_flops = np.log(runs.flops[order])
    ends = np.flatnonzero(np.diff(log_flops) > GAP) + 1
    parts = np.split(order, ends)
    wide = [p for p in parts if np.ptp(np.log(runs.flops[p])) > WIDEST]
    if wide:
        low, high = runs.flops[wide[0]].min(), runs.flops[wide[0]].max()
        raise scattered(runs, f"{stale}flops run from {low:.3g} to {high:.3g} without a gap")
    if len(parts) > max(1, len(runs) / 3):
        raise scattered(runs, f"{stale}{len(runs)} runs have {len(parts)} different flops")
    notes.append(f"{len(parts)} budget{'s' * (len(parts) > 1)} told from gaps in flops")
    notes += [f"the flops of one budget are {lump}" for p in parts if (lump := lumps(runs, p))]
    return [(float(np.exp(np.log(runs.flops[p]).mean())), runs.select(np.sort(p))) for p in parts]


def lumps(runs: Runs, rows: np.ndarray) -> str:
    """That rows (R,) taken for one budget, in rising order of flops, stand in two narrow lumps of several
    sizes each, as those of two budgets do; or ""."""
    x = np.log(runs.flops[rows])
    if len(x) < 2 * FEW:
        return ""
    at = int(np.argmax(np.diff(x))) + 1
    step, widest = x[at] - x[at - 1], max(np.ptp(x[:at]), np.ptp(x[at:]))
    sizes = min(len(np.unique(runs.params[part])) for part in (rows[:at], rows[at:]))
    if sizes < FEW or step < 4 * widest or step < 1e-6:
        return ""
    low, high = (np.exp(part.mean()) for part in (x[:at], x[at:]))
    return (
        f"in two lumps, {low:.4g} and {high:.4g}, {100 * np.expm1(step):.2g} % apart, and taken together: "
        f"give --budgets {low:.4g},{high:.4g} to part them"
    )


def uneven(runs: Runs) -> str:
    """That rows of one budget have different flops, so that they are no valley; or "". A budget that is
    counted otherwise than the flops, by the same factor for all of its rows, still groups them."""
    if runs.budget.dtype == object or "flops" not in runs.roles:
        return ""
    worst = 1.0
    for budget in np.unique(runs.budget[runs.budget > 0]):
        flops = runs.flops[runs.budget == budget]
        worst = max(worst, np.exp(np.abs(np.log(flops / np.median(flops))).max()))
    if worst < 1 + UNEVEN:
        return ""
    name = runs.roles["budget"]
    return f"{name} is no budget: rows of one have flops up to {worst:.2g} times their median; flops decide"


def scattered(runs: Runs, why: str) -> ValueError:
    """The refusal of a table whose flops lie anywhere, with the budgets that --budgets may name."""
    levels = dense(runs)
    if levels:
        named = ",".join(f"{level:.3g}".replace("e+", "e") for level, _ in levels)
        counts = ", ".join(str(count) for _, count in levels)
        hint = f"give --budgets: {named} have {counts} sizes within {100 * NEAR:.0f} %"
    else:
        hint = (
            f"no level of flops has {SIZES} sizes within {100 * NEAR:.0f} %, so this is no isoFLOP "
            "table; fit is the command for it, or give --budgets, as in --budgets 1e18,3e18"
        )
    return ValueError(f"{runs.source}: {why}, so budgets cannot be told apart; {hint}")


def dense(runs: Runs) -> list[tuple[float, int]]:
    """(flops, sizes) of up to `MOST` levels with the most sizes near them, in rising order; levels
    lie further apart than their rows reach."""
    order = np.argsort(runs.flops)
    flops = runs.flops[order]
    size = np.unique(np.round(np.log(runs.params[order]) / 0.03), return_inverse=True)[1]

    def near(level: float) -> slice:
        return slice(*np.searchsorted(flops, (level * (1 - NEAR), level * (1 + NEAR) * (1 + 1e-12))))

    centres = np.unique(np.exp(np.quantile(np.log(flops), np.linspace(0, 1, min(len(runs), 500)))))
    levels: dict[float, tuple[int, int]] = {}
    for centre in centres:
        middle = np.median(flops[near(centre)])
        for digits in (1, 2):  # of two levels that hold as many sizes, the rounder
            level = float(f"{middle:.{digits}g}")
            if level not in levels:
                levels[level] = np.count_nonzero(np.bincount(size[near(level)])), digits
    kept: list[tuple[float, int]] = []
    for level, (sizes, _) in sorted(levels.items(), key=lambda item: (-item[1][0], item[1][1], item[0])):
        clear = all(abs(np.log(level / other)) > 2.2 * NEAR for other, _ in kept)
        if sizes >= SIZES and clear and len(kept) < MOST:
            kept.append((level, sizes))
    return sorted(kept)
