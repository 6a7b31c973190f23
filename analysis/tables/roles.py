"""Which column plays which role: as named by the user, else by its header, else refused or said.

Where two columns fit a role equally well none is taken, and the message that asks for the role
names both.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from analysis.tables import measures, units
from analysis.tables.cells import IN_DAYS, SUFFIXES, Column
from analysis.tables.headers import (
    ALIASES,
    HELD_OUT,
    LOSSES,
    NOT_A_LOSS,
    PATTERNS,
    USUAL,
    Header,
    normalize,
    parse,
)
from analysis.tables.sheets import listed

COUNTS = ("params", "tokens", "flops", "budget")
ALONE = 50  # from this rank on a header is taken only where no other fits as well
NAMED_LOSS, UNFIT = 51, 99  # the rank of a loss with words of its own, and of no such column
ACTIVE, ACTIVATED = -1, {"active", "activated"}  # the rank of params that a token meets, and their words
SPARSE = (0.5, 0.1)  # of the cells of the fullest column, for a count and for a loss
TRAINING = 60  # the rank of a training loss
MEASURES = {"text": 54, "perplexity": 57, "error": 80, "rising": UNFIT}  # ranks among losses
TUNERS = {"value", "values_0", "objective", "objective_value"}  # what a tuner calls what it minimises


@dataclass
class Roles:
    """By role the `columns` that play it, the `factors` of units in their headers and, where a header
    alone does not tell, `notes` on them; by role the `doubts` for which none was taken."""

    columns: dict[str, Column] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    loss_unit: str = units.UNSTATED


def assign(source: str, columns: Sequence[Column], given: Mapping[str, str | None]) -> Roles:
    """The roles of columns: those of `given`, then by header.

    Raises:
      ValueError: a given column does not exist or is given two roles, or its cells are not numbers
        in one unit.
    """
    roles = Roles()
    by_name = {column.name: column for column in columns}
    for role, name in given.items():
        if name is None:
            continue
        if name not in by_name:
            raise ValueError(
                f"{source}: there is no column {name!r} for --{role}; the columns are {listed(by_name)}"
            )
        other = next((r for r, column in roles.columns.items() if column.name == name), None)
        if other and ({role, other} <= set(ALIASES) or {role, other} == {"x", "y"}):
            raise ValueError(f"{source}: column {name!r} is given twice, as --{other} and as --{role}")
        roles.columns[role] = by_name[name]
    for role in ALIASES:
        if role not in roles.columns:
            taken = [roles.columns[other].name for other in ALIASES if other in roles.columns]
            choose(roles, role, [column for column in columns if column.name not in taken])
    for role, column in roles.columns.items():
        describe(source, roles, role, column)
        if role in COUNTS and (instead := measures.raised(role, column)):
            roles.columns[role], roles.notes[role] = instead
    for role in ("loss", "y"):  # the unit stated is that of y where there is one
        if column := roles.columns.get(role):
            roles.loss_unit = units.loss_unit(column.header.words, column.header.unit)
            if roles.loss_unit == units.ERRORS:
                roles.loss_unit = measures.share_or_percent(column)
            if instead := measures.convert(source, role, column):
                roles.columns[role], how, roles.loss_unit = instead
                beside = roles.notes.get(role, "").partition(" (not ")[1:]
                roles.notes[role] = how + "".join(beside)
    return roles


def choose(roles: Roles, role: str, free: Sequence[Column]) -> None:
    """Take the best column for a role, with a note; or note that several are equally good. One that
    holds no number is taken only where it has the very name of the role."""
    free = [c for c in free if not (role == "loss" and c.name == "L" and c.is_whole())]  # layers
    ranks = {column.name: rank(role, column.header) for column in free}
    fitting = sorted((c for c in free if ranks[c.name] < UNFIT), key=lambda column: ranks[column.name])
    usable = [c for c in fitting if c.has_numbers() or (c.name == role != "budget")]
    if not fitting and role in COUNTS:
        usable = fitting = logarithms(role, free)
        ranks |= {column.name: ALONE - 1 for column in fitting}
    usable = filled_first(role, usable, ranks)
    best = [column.name for column in usable if ranks[column.name] == ranks[usable[0].name]]
    if fitting and not usable:
        roles.doubts[role] = (
            f"column {fitting[0].name} holds no numbers, so it is not the {role}; "
            f"name the right one with --{role} COL"
        )
    elif len(best) > 1 and ranks[best[0]] >= ALONE:
        roles.doubts[role] = (
            f"{len(best)} columns may be the {role}: {listed(best, 6)}; choose one with --{role} COL"
        )
    elif not usable and (unclear := [c for c in free if is_unclear(role, c)]):
        name, further = unclear[0].name, unclear[0].header.further
        roles.doubts[role] = (
            f"column {name} says {further!r}, which is no unit or kind of {role} known here, so it is not "
            f"taken for the {role}; convert it, or, where it does hold the {role}, say --{role} {quote(name)}"
        )
    elif usable:
        roles.columns[role], *others = usable
        others = listed([column.name for column in others if not units.kind(column.header.words)], 6)
        if best[0] != role or others:
            roles.notes[role] = f" (not {others})" if others else ""


def logarithms(role: str, free: Sequence[Column]) -> list[Column]:
    """The first column whose header says that it is the logarithm, to a base, of what plays a role."""
    found = [(c, parse(said[1])) for c in free if (said := measures.logged(c.name))]
    fits = [c for c, of in found if rank(role, of) < ALONE and of.factor == 1 and measures.raised(role, c)]
    return fits[:1]


def is_unclear(role: str, column: Column) -> bool:
    """Whether what a header says in brackets alone keeps its column from a role."""
    bare = Header(column.header.bare, column.header.factor)
    return bool(column.header.further) and rank(role, bare) < ALONE and column.has_numbers()


def filled_first(role: str, usable: list[Column], ranks: Mapping[str, int]) -> list[Column]:
    """Columns in their order, those behind that are sparse beside the fullest; and active params that are of
    some rows alone. A training loss, which is logged more often than it is evaluated, is never put before a
    held-out one."""
    most = max((column.filled for column in usable), default=0)
    share = {name: 1.0 if place == ACTIVE else SPARSE[role == "loss"] for name, place in ranks.items()}
    return sorted(usable, key=lambda c: c.filled < share[c.name] * most and ranks[c.name] < TRAINING)


def describe(source: str, roles: Roles, role: str, column: Column) -> None:
    """Complete the note on a role by how its cells were read and the unit of its header."""
    try:
        how = column.numbers.how
    except ValueError as error:
        raise ValueError(f"{source}, column {column.name}: {error}") from None
    factor = column.header.factor if role in COUNTS else 1.0
    if role not in (*COUNTS, "loss", "x", "y") and column.header.factor != 1:
        raise ValueError(
            f"{source}, column {column.name}: the unit in its header is not applied to {role}; write plain "
            "numbers under a header without it"
        )
    if factor != 1:
        roles.factors[role] = factor
    if factor != 1 and (SUFFIXES in how or IN_DAYS in how):
        raise ValueError(
            f"{source}, column {column.name}: its header and its cells state a unit each; "
            "leave one of the two out"
        )
    if role in roles.notes or how or factor != 1:
        name = column.name if factor == 1 else f"{column.name!r} × {factor:g}"
        roles.notes[role] = f"column {name}{roles.notes.get(role, '')}" + f", {how}" * bool(how)


def rank(role: str, header: Header) -> int:
    """How well a header fits a role: 0 is best. What it says in brackets must fit too, as non-embedding or
    dataset size do; GPU-hours, log10 and per token are no count."""
    if header.further and re.sub(r"\W", "", header.further.lower()) != "6nd":
        of_role = [f"{header.further} {role}", header.further] * bool(normalize(header.further))
        fits = min((rank(role, Header(text)) for text in of_role), default=UNFIT)
        return max(fits, rank(role, Header(header.bare, header.factor)))
    if role == "loss" and units.kind(normalize(header.unit)) == "perplexity":
        return loss_rank(f"{header.words}_perplexity")
    aliases = ALIASES[role]
    if header.bare in aliases:
        return aliases.index(header.bare)
    for words, worse in ((header.words, 0), (header.last, 15)):
        if words in aliases and (role != "loss" or not worse):
            return aliases.index(words) + worse
        if role != "loss" and re.fullmatch(PATTERNS[role], words):
            return ACTIVE if ACTIVATED & set(words.split("_")) else 30 + worse
    return loss_rank(header.words) if role == "loss" and header.factor == 1 else UNFIT


def counts(role: str, name: str) -> bool:
    """Whether a header would do for a role."""
    return rank(role, parse(name)) < UNFIT


def loss_rank(words: str) -> int:
    """As `rank`, of headers with a loss in them, Final Val Loss or paloma/c4_en/bpb: a held-out one
    before one that may be, and that before a training loss."""
    parts = set(words.replace("cross_entropy", "xent").split("_"))
    held, training = bool(parts & HELD_OUT), bool(parts & {"train", "training"})
    if (kind := units.kind(words)) and not NOT_A_LOSS & parts:
        further = units.ENDINGS[kind].sub("", words).split("_")
        worse = 8 * training - held + bool(set(further) - USUAL - {"", "train", "training"})
        return min(UNFIT, MEASURES.get(kind, MEASURES["text"]) + worse)
    if not LOSSES & parts or NOT_A_LOSS & parts:
        return 98 if words in TUNERS else UNFIT
    if training:
        return TRAINING + (words not in ("train_loss", "training_loss"))
    rest = parts - LOSSES - USUAL
    return NAMED_LOSS if rest else 10 if held else 40
