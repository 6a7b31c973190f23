"""What looks wrong in a table, a line each: a unit that may be missing, and rows that are no points of
one law. The table's own columns say so, nothing else is looked at, and no number is changed.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from analysis.tables import headers
from analysis.tables.counts import unlike_steps
from analysis.tables.kinds import codes, combined, distinct, earliest, paired, written
from analysis.tables.named import NAMED
from analysis.tables.sheets import ranged
from analysis.tables.units import kind
from analysis.tables.where import condition

SHOWN = 3  # names written out of many
SMALL = 1e4  # half of the counts below this: a unit may be missing
NEAR = 0.1  # share by which a budget may miss a row's flops
LARGE = 1e17  # counts above it: a unit may be applied twice
DISAGREEMENT = 20.0  # factor between flops and 6·params·tokens beyond which units hardly agree
NO_ONE_LAW = "losses on different text, tokens or context are no points of one law"
Columns = Mapping[str, np.ndarray]
Roles = Mapping[str, str]


def units(columns: Columns, roles: Roles) -> list[str]:
    """A line for every count whose unit does not look like one.

    Args:
      columns: of the usable rows, each (R,), float64 or text.
      roles: which column plays params, tokens, ...
    """
    lines: list[str] = [line] if (line := by_name(roles)) else []
    if not {"params", "tokens", "flops"} <= set(roles) or not len(columns[roles["params"]]):
        return lines
    full = np.isfinite([columns[roles[role]] for role in ("params", "tokens", "flops")]).all(0)
    if not full.any():
        return lines
    unlike = unlike_steps(columns, roles["tokens"], columns[roles["tokens"]])
    columns = {name: columns[name][full] for name in roles.values()}
    lines += filter(None, (stale_budget(columns, roles), unlike))
    for role in ("params", "tokens"):
        name, counts = roles[role], columns[roles[role]]
        advice = f"if {name} is in thousands, millions or billions, write so in its header, as in {role} (M)"
        if name.startswith(f"{role} ("):
            advice = f"they are {computed(roles, role)}"
        if np.median(counts) < SMALL and not flops_agree(columns, roles):
            lines.append(f"{role} {ranged(counts.min(), counts.max())} look small for counts; {advice}")
        elif counts.max() > LARGE:
            lines.append(f"{role} up to {counts.max():.3g}: its unit may be counted twice")
    params, tokens, flops = (columns[roles[role]] for role in ("params", "tokens", "flops"))
    ratio = np.median(flops / 6 / params / tokens)
    if not 1 / DISAGREEMENT < ratio < DISAGREEMENT:
        lines.append(f"flops are about {ratio:.2g} times 6·params·tokens: see that units agree")
    return lines


def computed(roles: Roles, role: str) -> str:
    """What a count that no column holds is computed from, and what to look at where it is no count."""
    how, flops = roles[role][len(role) + 2 : -1], roles["flops"]
    if how.startswith("flops/") and not flops.startswith("flops ("):
        return f"{how}: see that column {flops} counts FLOPs, or write its unit there, as in flops (1e18)"
    return f"{how}: see that its units agree"


def by_name(roles: Roles) -> str:
    """That counts are those which the names of runs state; or ""."""
    found = [(role, roles.get(role, "").partition(f" {NAMED} ")) for role in ("params", "tokens", "flops")]
    found = [(role, how.partition(" by ")[2], column) for role, (how, _, column) in found if column]
    if not found:
        return ""
    names, column = " and ".join(role for role, *_ in found), found[0][2].partition(",")[0]
    along = next((f" by {by}, the last of which is taken for a run's end" for _, by, _ in found if by), "")
    return f"{names} are read from the names of runs (column {column}), as rounded as they are there{along}"


def flops_agree(columns: Columns, roles: Roles) -> bool:
    """Whether flops that were read, not computed, are 6·params·tokens of most rows or, with attention, a few
    times that: then both are counts, be they as small as they are."""
    if any("6·" in roles.get(role, "") for role in ("params", "tokens", "flops")):
        return False
    params, tokens, flops = (columns[roles[role]] for role in ("params", "tokens", "flops"))
    with np.errstate(all="ignore"):
        return bool(1 - NEAR < np.median(flops / 6 / params / tokens) < DISAGREEMENT)


def stale_budget(columns: Columns, roles: Roles) -> str:
    """That budgets are not the rows' flops; or ""."""
    budget, name = columns.get(roles.get("budget", "")), roles.get("budget", "")
    if budget is None or budget.dtype == object or name in roles["flops"]:
        return ""
    with np.errstate(all="ignore"):
        ratio = columns[roles["flops"]] / budget
    ratio = ratio[np.isfinite(ratio) & (budget > 0)]
    off = np.abs(ratio - 1) > NEAR
    if not off.any():
        return ""
    return (
        f"{name} is over {100 * NEAR:.0f} % off the flops of {off.sum()} of {len(ratio)} rows, which are "
        f"{ratio.min():.3g} to {ratio.max():.3g} times it: flops decide"
    )


def mixtures(columns: Columns, roles: Roles) -> list[str]:
    """A line each for a training loss, the text or tokens, the budget, rivals in a cell, the recipe, the
    code, and whatever else differs in a cell.

    Args: as `units`; a column that plays a role is no mixture.
    """
    lines = (
        training_loss(roles),
        different_text(columns, roles),
        without_budget(columns, roles)[1],
        rivalry(columns, roles),
        different_recipe(columns, roles),
        different_code(columns, roles),
        other_settings(columns, roles),
    )
    return [line for line in lines if line]


def training_loss(roles: Roles) -> str:
    """That the loss is of the text trained on, where its header says so; or ""."""
    name = roles.get("loss", "")
    if not {"train", "training"} & set(headers.normalize(name).split("_")):
        return ""
    return (
        f"{name} is a training loss, and no column holds a held-out one: it is smoothed over updates "
        "and, where tokens repeat, below what new text would give"
    )


def different_text(columns: Columns, roles: Roles, names=(*headers.TEXT, *headers.CONTEXT)) -> str:
    """Why losses do not compare at all: of other text, other tokens or other context; or ""."""
    return mixture(varied(names, columns, roles), f": {NO_ONE_LAW}; fit each alone (--by {{}}, or --where)")


def different_recipe(columns: Columns, roles: Roles) -> str:
    """Why exponents may not be those of one recipe; or ""."""
    advice = "; fit each alone (--by {}) and see that the exponents stay"
    recipe = varied(headers.RECIPE, columns, roles)
    rows = len(next(iter(columns.values()), ()))  # a value of each row alone is its name
    return mixture({name: values for name, values in recipe.items() if len(values) < rows}, advice)


def different_code(columns: Columns, roles: Roles) -> str:
    """That runs of one config may differ by what trained them (`code` of lab's run table); or ""."""
    advice = ": a digest of the training code and its libraries; runs of one run_id may then differ in loss"
    return mixture(varied(["code"], columns, roles), advice)


def mixture(mixed: Mapping[str, list[str]], advice: str) -> str:
    """The runs hold 2 values of corpus (a, b), 3 of tokenizer: and what to do by the one that parts
    them most."""
    if not mixed:
        return ""
    (name, values), *others = mixed.items()
    some = ", ".join(value[:20] for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)
    counts = [f"{len(values)} values of {name} ({some})", *(f"{len(v)} of {other}" for other, v in others)]
    most_varied = max(mixed, key=lambda name: len(mixed[name]))
    return f"the runs hold {', '.join(counts)}{advice.format(most_varied)}"


def without_budget(columns: Columns, roles: Roles) -> tuple[np.ndarray, str]:
    """(rows (R,) that the design gives no budget while it gives others one, a line on them)."""
    name = roles.get("budget", "")
    budget = columns.get(name, np.empty(0, object))
    if budget.dtype == object:
        return np.zeros(0, bool), ""
    without = ~(budget > 0)  # 0 or empty
    if not without.any() or without.all():
        return np.zeros(len(without), bool), ""
    ids, examples = headers.find(columns, headers.RUN_IDS), ""
    if ids is not None:
        shown = ", ".join(written(value)[:8] for value in columns[ids][without][:SHOWN].tolist())
        examples = f" ({shown}{', ...' * bool(without.sum() > SHOWN)})"
    return without, (
        f"{without.sum()} of {len(without)} runs{examples} have no {name} and the others have one: controls "
        f"beside the grid count in a fit like the rest; leave them out with --where {condition(name, '> 0')}"
    )


def rivals(columns: Columns, roles: Roles) -> dict[str, int]:
    """How many cells of equal params and tokens, and of all else that the law takes in, hold
    several values of a tuned setting, runs `without_budget` aside."""
    tuned = [name for name in headers.find_all(columns, headers.TUNED) if name not in roles.values()]
    tuned = [name for name in tuned if not along_runs(columns, name)]
    if not tuned or not {"params", "tokens"} <= set(roles):
        return {}
    outside, line = without_budget(columns, roles)
    if line:
        columns = {name: column[~outside] for name, column in columns.items()}
    cell = cells(columns, roles)
    several = {name: cells_of_several(cell, codes(columns[name])) for name in tuned}
    return {name: count for name, count in several.items() if count}


def along_runs(columns: Columns, name: str) -> bool:
    """Whether a column differs between rows of most runs, as the learning rate along their curves does: then
    it is of a point, and no setting of a run. Runs that are numbered may be repeats, and do not tell."""
    ids = headers.find(columns, headers.RUN_IDS)
    if ids is None or columns[ids].dtype != object:
        return False
    runs = codes(columns[ids])
    known = runs >= 0
    several = cells_of_several(runs[known], codes(columns[name])[known])
    return several > len(np.unique(runs[known])) / 2


def cells(columns: Columns, roles: Roles) -> np.ndarray:
    """Which rows (R,) are equal in all that a law takes in."""
    left = {"loss", "budget", "y"} | ({"flops"} if "params" in roles else set())
    taken = (columns[name] for role, name in roles.items() if role not in left)
    return combined(taken, len(next(iter(columns.values()))))


def cells_of_several(cell: np.ndarray, value: np.ndarray) -> int:
    """How many cells hold several values: both are codes (R,), an empty value being -1."""
    _, first = np.unique(paired(cell, value)[value >= 0], return_index=True)
    return int((np.bincount(cell[value >= 0][first], minlength=1) > 1).sum())


def rivalry(columns: Columns, roles: Roles) -> str:
    """The line on the setting with most `rivals`; or ""."""
    several = rivals(columns, roles)
    if not several:
        return ""
    name = max(several, key=several.get)
    return (
        f"{several[name]} cell{'s hold' if several[name] > 1 else ' holds'} several values of {name} at "
        "equal params and tokens: a law is of the best loss that a cell reaches; keep the best run of "
        "each (--best-of cell), or one value (--where)"
    )


def settings(columns: Columns, roles: Roles, tertiles: bool = False) -> dict[str, np.ndarray]:
    """Codes (R,) by name of the columns, known or not, that may be settings of runs: of several values
    that come again, and neither a role, a measure, a date, nor what tells rows apart. Numbers that do
    not come again are cut into `tertiles` if so asked."""
    found = {}
    for name, column in columns.items():
        words = headers.parse(name).last
        if name in roles.values() or name.startswith(tuple(f"{role} (" for role in roles)):
            continue
        if set(words.split("_")) & headers.NO_SETTING or kind(words) or words in headers.RUN_IDS:
            continue
        value = codes(column)
        values = len(np.unique(value[value >= 0]))
        if 1 < values <= max(2, len(value) / 3):
            found[name] = value
        elif tertiles and values > 1 and column.dtype != object and not np.isnan(column).any():
            found[name] = np.searchsorted(np.quantile(column, [1 / 3, 2 / 3]), column)
    return found


def other_settings(columns: Columns, roles: Roles) -> str:
    """The line on columns of no known name that differ between runs of one cell; or ""."""
    if not {"params", "tokens"} <= set(roles) or not len(columns[roles["params"]]):
        return ""
    named = (*headers.TEXT, *headers.CONTEXT, *headers.RECIPE, *headers.TUNED, "code")
    known = set(headers.find_all(columns, named))
    cell, several, partitions = cells(columns, roles), {}, set()
    if cell.max() == len(cell) - 1:
        return ""
    for name, value in settings(columns, roles).items():
        if name not in known and (count := cells_of_several(cell, value)):
            partition = earliest(value).tobytes()
            if partition not in partitions:
                several[name] = count
                partitions.add(partition)
    if not several:
        return ""
    values = {name: distinct(columns[name]) for name in several}
    names = [
        f"{name} ({', '.join(v[:20] for v in each[:SHOWN])}{', ...' * (len(each) > SHOWN)})"
        for name, each in values.items()
    ]
    most = max(several, key=several.get)
    return (
        f"{max(several.values())} of {cell.max() + 1} cells of equal params and tokens hold runs that differ "
        f"in {', '.join(names)}: if that changes the loss they are no points of one law; fit each alone "
        f"(--by {most}), or the best of each cell (--best-of cell)"
    )


def varied(names: Iterable[str], columns: Columns, roles: Roles) -> dict[str, list[str]]:
    """The values of each of `names` that has more than one, where it plays no role. Of columns that
    part the runs alike, such as a corpus and its sha256, the first alone."""
    mixed, partitions = {}, set()
    for name in headers.find_all(columns, names):
        if name not in roles.values():
            values, partition = distinct(columns[name]), earliest(codes(columns[name])).tobytes()
            if len(values) > 1 and partition not in partitions:
                mixed[name] = values
                partitions.add(partition)
    return mixed
