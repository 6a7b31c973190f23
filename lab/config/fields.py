"""What a field of a config is, said once, where it is declared.

A field says how it reaches a run:

- static: the compiled program depends on it; runs that differ in it share none;
- traced: a number in `RunConfig.hyper`, an array in the step; runs that differ in it share a program;
- fed: it decides what the program is fed (tokens, keys) and how often it is called;
- label: it describes the run and changes none of its numbers.

The run_id (all but labels), `RunConfig.shape`, `RunConfig.hyper`, the columns of the run table and
the check of a field's value follow from this.
"""

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import field, fields, is_dataclass, replace
from functools import cache, lru_cache, partial
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from lab.config import userfile

OWN = "own"  # a kind or an optimiser of a user's own file, where a field says which have it
KINDS = {int: "a whole number", float: "a finite number of float32", bool: "true or false", str: "a text"}
hints_of = cache(get_type_hints)  # a grid has thousands of configs


class Rule(NamedTuple):
    """Which numbers a field may hold, and what is said of others."""

    holds: Callable[[float], bool]
    otherwise: str


LEAST, MOST = 2.0**-126, 2.0**127  # numbers of the step are float32
POSITIVE = Rule(lambda value: value >= LEAST, "must be above 0 in float32")
NOT_NEGATIVE = Rule(lambda value: value >= 0, "is negative")
SEED = Rule(lambda value: 0 <= value < 2**32, "must be in 0..2**32-1: a key of jax keeps 32 bits")
BELOW_ONE = Rule(lambda value: 0 <= value < 1, "must be at least 0 and below 1")
FRACTION = Rule(lambda value: 0 <= value <= 1, "is not in 0..1")


def declare(
    reach: Literal["static", "traced", "fed", "label"],
    default: Any = dataclasses.MISSING,
    *,
    rule: Rule | None = None,
    zero: str = "",
    only: tuple[str, ...] = (),
    own: bool = False,
    late: bool = False,
    hyper: str = "",
    column: str | None = None,
) -> Any:
    """A field of a config.

    Args:
      rule: which numbers it may hold; a `Literal`'s words and whole numbers are checked anyway.
      zero: what 0 means, where that is no number like the others; then none may be below it.
      only: the kinds of models, or the optimisers, that have it; () all.
      own: beside its words it takes FILE.py:NAME of the user's, see `userfile`.
      late: older stores have none of it: config.json leaves it out at its default.
      hyper: the entry of `hyper` that it goes into; None where that has the field's name.
      column: of the run table; None where that has the field's name, "" where it has none.
    """
    about = {"reach": reach, "rule": rule or (NOT_NEGATIVE if zero else None), "zero": zero}
    about |= {"only": only, "own": own, "late": late, "hyper": hyper, "column": column}
    return field(default=default, metadata=about)


static, traced, fed, label = (partial(declare, reach) for reach in ("static", "traced", "fed", "label"))


@cache
def declared(kind: type) -> dict[str, dataclasses.Field]:
    """A config's own fields, its parts left out. One that does not say what it is raises TypeError."""
    own = {item.name: item for item in fields(kind) if not is_dataclass(hints_of(kind)[item.name])}
    for name, item in own.items():
        if "reach" not in item.metadata:
            raise TypeError(f"{kind.__name__}.{name} must be declared static, traced, fed or label")
    return own


@cache
def unset(kind: type) -> dict[str, Any]:
    """By name the value of a field that nobody has set: its default, and 1 where it has none."""
    hints = hints_of(kind)
    return {
        name: hints[name](1) if item.default is dataclasses.MISSING else item.default
        for name, item in declared(kind).items()
    }


@lru_cache(1024)  # a grid of thousands has a few
def static_part(config: Any) -> Any:
    """The config with all but its static fields unset: equal for configs that share a program."""
    items = declared(type(config))
    values = unset(type(config)).items()
    return replace(
        config, **{name: value for name, value in values if items[name].metadata["reach"] != "static"}
    )


def traced_part(config: Any) -> dict[str, Any]:
    """The traced fields by their entry in `hyper`."""
    items = [item for item in declared(type(config)).values() if item.metadata["reach"] == "traced"]
    return {item.metadata["hyper"] or item.name: getattr(config, item.name) for item in items}


@cache
def columns_of(kind: type) -> dict[str, str]:
    """The columns in which the run table shows a config's own fields, with the field of each."""
    columns = {name: item.metadata["column"] for name, item in declared(kind).items()}
    return {name if column is None else column: name for name, column in columns.items() if column != ""}


def to_tree(config: Any) -> dict[str, Any]:
    """All fields as plain values; what `from_tree` reads."""
    tree = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            tree[item.name] = to_tree(value)
        elif not item.metadata["late"] or value != item.default:
            tree[item.name] = value
    return tree


def essence(config: Any) -> dict[str, Any]:
    """A config's fields without labels and without those at their default, so that a new field
    with a default does not orphan old runs."""
    essential = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            essential[item.name] = essence(value)
        elif item.metadata["reach"] != "label" and value != item.default:
            essential[item.name] = userfile.content(value) if item.metadata["own"] else value
    return essential


def check(config: Any) -> None:
    """Write each value in its field's own type, so that equal values have equal ids however they
    were written (1, 1.0, a NumPy or JAX scalar; -0.0 as 0.0).

    Raises:
      ValueError: a value that its field can't hold: of another kind, not finite, against its rule.
    """
    hints = hints_of(type(config))
    for name, item in declared(type(config)).items():
        about = item.metadata
        value = getattr(config, name)
        if about["own"] and userfile.is_named(value):
            value = userfile.name(str(value))
        else:
            value = plain(value, hints[name], setting(config, name))
        object.__setattr__(config, name, value)
        if about["rule"] and not about["rule"].holds(value):
            zero = f"; 0 means {about['zero']}" if about["zero"] else ""
            raise ValueError(f"{setting(config, name)} {about['rule'].otherwise}{zero}")


def heeds(config: Any, chosen: str, name: str) -> bool:
    """Whether a field means anything for the kind of model or the optimiser that was chosen."""
    only = declared(type(config))[name].metadata["only"]
    return not only or (OWN if userfile.is_named(chosen) else chosen) in only


def refuse_unheeded(config: Any, what: str) -> None:
    """ValueError for a field that is set and means nothing: a table must not show it as a setting."""
    for name, value in unset(type(config)).items():
        if getattr(config, name) != value and not config.has(name):
            raise ValueError(
                f"{name}={getattr(config, name)!r} means nothing for {what}; leave it at {value!r}"
            )


def own_kind(value: Any) -> Any:
    """A scalar of NumPy or JAX as Python's; all else as it is."""
    return value.item() if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 else value


def setting_of(value: Any) -> Any:
    """A number, truth or text of settings, as Python's own; ValueError for others."""
    value = own_kind(value)
    hint = next((kind for kind in (bool, int, float, str) if isinstance(value, kind)), None)
    if hint is None or (hint is int and abs(value) > MOST):
        raise ValueError(f"{value!r} is no number, truth or text")
    return plain(value, hint, "")


def plain(value: Any, hint: Any, where: str) -> Any:
    """The value as Python's own int, float, bool or str; ValueError when it is none of its field's."""
    value = own_kind(value)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            meant = difflib.get_close_matches(str(value), get_args(hint), 1)
            raise ValueError(
                f"{where} is none of {', '.join(map(repr, get_args(hint)))}"
                + (f"; did you mean {meant[0]!r}?" if meant else "")
            )
        return str(value)
    number = isinstance(value, Real) and not isinstance(value, bool)
    right = {
        int: number and value % 1 == 0,
        float: number and abs(value) <= MOST,
        bool: isinstance(value, bool),
        str: isinstance(value, str),
    }
    if not right[hint]:
        raise ValueError(f"{where} should be {KINDS[hint]}")
    return hint(value) + 0 if hint is float else hint(value)  # -0.0 + 0 is 0.0


def setting(config: Any, name: str) -> str:
    return f"{type(config).__name__}.{name}={getattr(config, name)!r}"


def settings_text(settings: Any, where: str) -> str:
    """A kind's or an optimiser's own settings in the one way they are written: JSON with sorted names,
    those of a dataclass without its defaults.

    Raises:
      ValueError: they are no object of numbers, truths and texts.
    """
    if is_dataclass(settings):
        default = {item.name: item.default for item in fields(settings)}
        settings = {k: v for k, v in dataclasses.asdict(settings).items() if v != default[k]}
    try:
        found = json.loads(settings or "{}") if isinstance(settings, str) else settings
        if isinstance(found, Mapping):
            found = {name: setting_of(value) for name, value in found.items()}
            return json.dumps(found, sort_keys=True) if found else ""
    except ValueError:
        pass
    raise ValueError(f"{where}.settings={settings!r}: write them as {{'name': number, truth or text}}")


def from_tree(tree: dict[str, Any], kind: type, where: str) -> Any:
    """The config of this kind written as a tree of plain values, as JSON holds it. Unknown, missing
    or mistyped fields raise ValueError, with their place in `where`."""
    if not isinstance(tree, dict):
        raise ValueError(f"{where}: expected an object of fields, found {tree!r}")
    hints, known = hints_of(kind), {item.name: item for item in fields(kind)}
    if unknown := sorted(set(tree) - set(known)):
        raise ValueError(f"{where}: unknown field {unknown[0]!r}; {kind.__name__} has {', '.join(known)}")
    values = {}
    for name, item in known.items():
        if name not in tree:
            if item.default is dataclasses.MISSING:
                raise ValueError(f"{where}: field {name!r} is missing")
            continue
        inner = f"{where}{name}" if where.endswith(" ") else f"{where}.{name}"
        if item.metadata.get("own") and userfile.is_named(tree[name]):
            values[name] = with_digest(tree[name], inner)
        else:
            values[name] = from_value(tree[name], hints[name], inner)
    return kind(**values)


def with_digest(text: str, where: str) -> str:
    """A file's name as a config holds it: what is read may not name one anew."""
    if not userfile.has_digest(text):
        raise ValueError(f"{where}={text!r} lacks the digest of its code")
    return text


def from_value(value: Any, hint: Any, where: str) -> Any:
    return from_tree(value, hint, where) if is_dataclass(hint) else plain(value, hint, f"{where}={value!r}")
