"""Rows that are no points of one law: a table's own columns say so, and nothing else is looked at.

What is said here changes no number; it is a caution beside it.
"""

from collections.abc import Mapping

import numpy as np

# a loss means something else when one of these differs; the recipe only may
TEXT = ("corpus dataset data data_sha256 subset split tokenizer vocab_size vocab loss_kind").split()
CONTEXT = "seq_len sequence_length context_length".split()
RECIPE = (
    "experiment schedule lr_schedule optimizer parameterization norm position activation "
    "tied dtype kind architecture"
).split()
TUNED = "learning_rate lr peak_lr max_lr weight_decay batch_tokens batch_size".split()
IDS = ("run_id", "run", "run_name", "curve_id")
SHOWN = 3  # names written out of many
Columns = Mapping[str, np.ndarray]
Roles = Mapping[str, str]


def cautions(columns: Columns, roles: Roles) -> list[str]:
    """A line each for the text or tokens, the budget, rivals in a cell, and the recipe.

    Args:
      columns: of the usable rows, each (R,), float64 or text.
      roles: which column plays params, tokens, ...; a column that plays a role is no mixture.
    """
    said = [different_text(columns, roles), without_budget(columns, roles)[1]]
    if several := rivals(columns, roles):
        said.append(rivalry(several))
    if recipe := varied(RECIPE, columns, roles):
        said.append(
            f"the runs hold {counted(recipe)}; fit each alone (--by {first(recipe)}) and "
            "see that the exponents stay"
        )
    return [line for line in said if line]


def different_text(columns: Columns, roles: Roles, names=(*TEXT, *CONTEXT)) -> str:
    """Why losses do not compare at all: of other text, other tokens or other context; or ""."""
    found = varied(names, columns, roles)
    if not found:
        return ""
    return (
        f"the runs hold {counted(found)}: losses on different text, tokens or context are no "
        f"points of one law; fit each alone (--by {first(found)}, or --where)"
    )


def without_budget(columns: Columns, roles: Roles) -> tuple[np.ndarray, str]:
    """(rows (R,) that the design gives no budget while it gives others one, a line on them)."""
    name = roles.get("budget", "")
    column = columns.get(name, np.empty(0, object))
    if column.dtype == object:
        return np.zeros(0, bool), ""
    none = ~(column > 0)  # 0 or empty
    if not none.any() or none.all():
        return np.zeros(len(none), bool), ""
    ids = next((columns[each] for each in IDS if each in columns), None)
    which = ""
    if ids is not None:
        names = [written(value)[:8] for value in ids[none].tolist()]
        which = f" ({', '.join(names[:SHOWN])}{', ...' * (len(names) > SHOWN)})"
    quoted = name if name.replace(".", "_").isidentifier() else f"`{name}`"
    return none, (
        f"{none.sum()} of {len(none)} runs{which} have no {name} and the others have one: controls "
        f'beside the grid count in a fit like the rest; leave them out with --where "{quoted} > 0"'
    )


def rivals(columns: Columns, roles: Roles) -> dict[str, int]:
    """How many cells of equal params and tokens, and of all else that the law takes in, hold
    several values of a tuned setting, runs `without_budget` aside."""
    tuned = [name for name in TUNED if name in columns and name not in roles.values()]
    if not tuned or not {"params", "tokens"} <= set(roles):
        return {}
    outside, line = without_budget(columns, roles)
    if line:
        columns = {name: column[~outside] for name, column in columns.items()}
    cell = np.zeros(len(columns[tuned[0]]), int)
    for role, name in roles.items():
        if role not in ("loss", "budget", "flops", "y"):
            cell = paired(cell, codes(columns[name]))
    found = {}
    for name in tuned:
        value = codes(columns[name])
        _, at = np.unique(paired(cell, value)[value >= 0], return_index=True)
        found[name] = int((np.bincount(cell[value >= 0][at]) > 1).sum())
    return {name: count for name, count in found.items() if count}


def paired(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Codes (R,) from 0 of pairs of codes (R,)."""
    both = one * (other.max(initial=0) + 2) + other + 1
    return np.unique(both, return_inverse=True)[1]


def rivalry(several: Mapping[str, int]) -> str:
    """The line on `rivals`."""
    name, cells = max(several.items(), key=lambda item: item[1])
    holds = "s hold" if cells > 1 else " holds"
    return (
        f"{cells} cell{holds} several values of {name} at equal params and tokens: a law is of the "
        "best loss that a cell reaches; keep the best run of each, or one value (--where)"
    )


def varied(names, columns: Columns, roles: Roles) -> dict[str, list[str]]:
    """The values of each of `names` that has more than one, where it plays no role. Of columns that
    part the runs alike, such as a corpus and its sha256, the first alone."""
    found, seen = {}, set()
    for name in names:
        if name in columns and name not in roles.values():
            values, parts = different(columns[name]), alike(codes(columns[name]))
            if len(values) > 1 and parts not in seen:
                found[name] = values
                seen.add(parts)
    return found


def alike(code: np.ndarray) -> bytes:
    """The first row of each row's kind: equal for columns that part the runs alike."""
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first[inverse].tobytes()


def counted(found: Mapping[str, list[str]]) -> str:
    """2 values of corpus (a, b), 3 of tokenizer."""
    said = [f"{len(values)} of {name}" for name, values in found.items()]
    values = next(iter(found.values()))
    some = ", ".join(value[:20] for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)
    said[0] = f"{said[0].replace(' of ', ' values of ', 1)} ({some})"
    return ", ".join(said)


def first(found: Mapping[str, list[str]]) -> str:
    """The column that parts the runs most."""
    return max(found, key=lambda name: len(found[name]))


def codes(column: np.ndarray) -> np.ndarray:
    """Whole numbers (R,) that are equal where values are; -1 where one is missing."""
    if column.dtype != object:
        return np.where(np.isnan(column), -1, np.unique(column, return_inverse=True)[1])
    known: dict[str, int] = {}
    texts = [written(value) for value in column.tolist()]
    return np.array([known.setdefault(text, len(known)) if text else -1 for text in texts], int)


def different(column: np.ndarray) -> list[str]:
    """The values of a column as text, without the empty ones: text in order of first sight."""
    if column.dtype != object:
        return [written(value) for value in np.unique(column[~np.isnan(column)]).tolist()]
    return [text for text in dict.fromkeys(map(written, column.tolist())) if text]


def written(value) -> str:
    """A cell as text; "" where it is empty."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.15g}"
    return str(value).strip()
