"""Whether two arms' losses compare at all: one held-out text, one unit, one tokenizer, tuned alike."""

from collections.abc import Sequence

import numpy as np

from analysis.tables import Runs, cautions
from analysis.tables.headers import CONTEXT, TEXT, TUNED, find, find_all
from analysis.tables.identity import NOT_THE_BEST
from analysis.tables.kinds import codes, distinct, paired
from analysis.tables.units import UNSTATED

TOKENIZERS = "tokenizer tokenizer_name vocab_size vocab n_vocab".split()
CONTENTS = {"data_sha256"}  # of a text and its tokenizer: another of either
BYTES = ("bits_per_byte", "bpb")
HARDER = 1.2  # times as many settings tried a cell that make an arm tuned harder
SHOWN = 3


def comparable(
    runs: tuple[Runs, Runs], names: tuple[str, str], arms: Sequence[str] = (), anyway: bool = False
) -> tuple[tuple[Runs, Runs], list[str]]:
    """The arms with losses that compare, in bits per byte where their tokenizers differ, and cautions.

    Args:
      runs: of the baseline and of the arm.
      names: of both.
      arms: the columns that say which arm a run is of.
      anyway: compare losses of different text too, with a caution.

    Raises:
      ValueError: another text, unit or tokenizer, and how to mend it.
    """
    notes, against = [], f"{names[1]} against {names[0]}"
    differ = [name for name in unlike(runs, (*TEXT, *CONTEXT)) if name not in arms]
    tokens = [name for name in differ if name in TOKENIZERS]
    units = [each.loss_unit.partition(",")[0] for each in runs]
    if tokens:
        runs, note = in_bytes(runs, names, tokens[0])
        notes.append(note)
        differ = [name for name in differ if name not in TOKENIZERS and name not in CONTENTS]
    elif len({*units} - {UNSTATED}) > 1:
        raise ValueError(f"{against}: losses in {' and '.join(units)} do not compare; bring both to one unit")
    elif len({*units}) > 1:
        k = units.index(UNSTATED)
        notes.append(
            f"losses of {names[1 - k]} are in {units[1 - k]}, and those of {names[k]} state no unit: the "
            "multiplier means something only where it is the same"
        )
    if differ:
        values = " and ".join(text_of(each, differ[0]) for each in runs)
        why = f"they differ in {differ[0]} ({values})"
        if not anyway:
            raise ValueError(
                f"{against}: {why}, and losses on different text, tokens or context do not "
                "compare; take rows of one (--where), or --anyway where the held-out text is the same"
            )
        notes.append(f"{why}: the multiplier means something only where the held-out text is the same")
    if note := tuning(runs, names):
        notes.append(note)
    said: dict[str, list[str]] = {}  # of which arms
    for name, each in zip(names, runs, strict=True):
        kept = any(reason.startswith(NOT_THE_BEST) for reason in np.unique(each.reasons))
        lines = [note for note in each.notes if note.startswith("the best run of")]
        lines += [line for line in each.cautions if not (kept and "(--best-of cell)" in line)]
        for line in dict.fromkeys(lines):
            said.setdefault(line, []).append(name)
    notes += [f"{' and '.join(both)}: {line}" for line, both in said.items()]
    return runs, list(dict.fromkeys(notes))


def unlike(runs: tuple[Runs, Runs], wanted: Sequence[str]) -> list[str]:
    """The columns of usual names in which the arms hold no value in common."""
    both = [each.usable() for each in runs]
    names = [name for name in find_all(both[0].columns, wanted) if name in both[1].columns]
    roles = {column for each in runs for column in each.roles.values()}
    values = {
        name: [set(distinct(each.columns[name])) for each in both] for name in names if name not in roles
    }
    return [name for name, (a, b) in values.items() if a and b and not a & b]


def text_of(runs: Runs, name: str) -> str:
    values = distinct(runs.usable().columns[name])
    return ", ".join(value[:20] for value in values[:SHOWN]) + ", ..." * (len(values) > SHOWN)


def in_bytes(runs: tuple[Runs, Runs], names: tuple[str, str], column: str):
    """Both arms' losses as bits per byte, and a note that says so."""
    found = [find(each.columns, BYTES) for each in runs]
    if None in found or any(each.columns[n].dtype == object for each, n in zip(runs, found, strict=True)):
        lacks = names[found.index(None)] if None in found else names[0]
        raise ValueError(
            f"{names[1]} against {names[0]}: they differ in {column}, so nats a token do not compare, and "
            f"{lacks} has no column bits_per_byte; add it to both tables"
        )
    changed = tuple(
        each.with_column("loss", each.columns[name], f"{name}, as tokenizers differ")
        for each, name in zip(runs, found, strict=True)
    )
    return (changed, f"the arms differ in {column}: compared in bits per byte; tokens are of each one's own")


def tuning(runs: tuple[Runs, Runs], names: tuple[str, str]) -> str:
    """That one arm had more settings tried at equal size and length; or ""."""
    tried = []
    for each in runs:
        if not (each.has("params") and each.has("tokens")):
            return ""
        asked = [reason == "" or reason.startswith(NOT_THE_BEST) for reason in each.reasons]
        each = each.select(np.array(asked, bool))
        cell, counts = cautions.cells(each.columns, each.roles), {}
        for name in find_all(each.columns, TUNED):
            if name not in each.roles.values():
                value = codes(each.columns[name])
                counts[name] = len(np.unique(paired(cell, value))) / len(np.unique(cell))
        tried.append(counts)
    for name in tried[0].keys() & tried[1].keys():
        few, many = sorted((tried[0][name], tried[1][name]))
        if many > HARDER * few:
            more = names[int(tried[1][name] > tried[0][name])]
            return (
                f"{more} had {many:.2g} values of {name} tried a cell and the other {few:.2g}: the best of "
                "more is better by luck and by tuning, which the multiplier counts as a gain; tune both alike"
            )
    return ""
