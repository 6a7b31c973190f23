"""JSON: one object a line, a list of objects, an object of objects by name, or of lists by column;
nested names are joined by dots, lists of losses beside the settings tried give a row each, and other
lists inside a run (its curve) are left out. Of a Hugging Face trainer's state the curve is read."""

import json
from collections.abc import Mapping
from pathlib import Path

from analysis.tables.exports import run_of
from analysis.tables.headers import LOSSES, SEEDS, TUNED, find_all, normalize
from analysis.tables.sheets import Sheet, short

SUFFIXES = {".jsonl", ".ndjson", ".json"}


def recognises(path: Path, text: str) -> bool:
    return bool({suffix.lower() for suffix in path.suffixes} & SUFFIXES) or text.lstrip()[0] in "{["


def read(path: Path, text: str) -> Sheet:
    return tabulate(path, parse(path, text))


def tabulate(path: Path, objects: list) -> Sheet:
    """A row for every object of one run, and more for one that lists losses."""
    for row, record in enumerate(objects, 1):
        if not isinstance(record, Mapping):
            raise ValueError(f"{path}, row {row}: is {short(record)}, not a JSON object of one run")
    try:
        parts = [listed_beside(record) for record in objects]
        rows = [flatten(each) for pair in zip(objects, parts, strict=True) for each in spread(*pair)]
    except RecursionError:
        raise ValueError(f"{path}: its objects are nested too deep for a table") from None
    if not any(rows):
        raise ValueError(f"{path}: holds no runs; it needs an object for every run")
    names = dict.fromkeys(name for row in rows for name in row)
    lists = dict.fromkeys(name for record in objects for name, value in record.items() if is_list(value))
    columns = {name: tuple(row.get(name, "") for row in rows) for name in names}
    tried = dict.fromkeys(name for names in parts for name in names)
    return Sheet(columns, comma=True, lists=tuple(lists), tried=tuple(tried))


def is_list(value) -> bool:
    """Whether a value is a list of plain values, several of them."""
    return isinstance(value, list) and len(value) > 1 and not any(isinstance(v, list | dict) for v in value)


def listed_beside(record: Mapping) -> list[str]:
    """The names under which a record lists the settings tried, a loss for each, and what else there is one
    of for each; none where it does not."""
    lists = {name: value for name, value in record.items() if is_list(value)}
    settings = [name for name in lists if find_all([normalize(name).removesuffix("s")], (*TUNED, *SEEDS))]
    losses = [name for name in lists if LOSSES & set(normalize(name).removesuffix("es").split("_"))]
    size = len(lists[settings[0]]) if settings else 0
    if not any(len(lists[name]) == size for name in losses):
        return []
    return [name for name in lists if len(lists[name]) == size]


def spread(record: Mapping, names: list[str]) -> list[Mapping]:
    """The record, or one for each entry of the lists that it has under `names`."""
    if not names:
        return [record]
    return [{**record, **{name: record[name][i] for name in names}} for i in range(len(record[names[0]]))]


def parse(path: Path, text: str) -> list:
    """The objects of a text, which should be one a run."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list):
        return whole
    if not (isinstance(whole, Mapping) and whole):
        return [parse_line(path, n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if isinstance(whole.get("log_history"), list):
        return trainer_points(path, whole)
    if isinstance(whole.get("history"), Mapping):  # Keras' History, beside its settings
        whole = whole["history"]
    values = list(whole.values())
    if all(isinstance(value, Mapping) for value in values):
        return [{"name": name, **value} for name, value in whole.items()]
    if not all(isinstance(value, list) for value in values):
        return [whole]
    if len({len(value) for value in values}) > 1:
        raise ValueError(f"{path}: the lists under its names differ in length")
    return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]


def trainer_points(path: Path, state: Mapping) -> list:
    """The points of a Hugging Face trainer's log, of the run that its file (or else folder) names: its `loss`
    is the training loss, and what it says at the end of the whole run (`train_runtime`) is no point. Its
    total_flos, 6 · params · tokens, are shared out to the points by their steps, and likewise the tokens
    where only their sum is known."""
    run = run_of(path)
    history = state["log_history"]
    points = [point for point in history if not (isinstance(point, Mapping) and "train_runtime" in point)]
    if not points:
        raise ValueError(f"{path}: its log_history, where a trainer's curve stands, is empty")
    sums = {name: state.get(name) for name in ("total_flos", "num_input_tokens_seen")}
    sums = {name: total for name, total in sums.items() if isinstance(total, int | float) and total > 0}

    rate: dict[str, float] = {}  # of the update before, which an evaluation leaves out

    def complete(point: Mapping) -> dict:
        named = {**rate, **{"train_loss" if name == "loss" else name: value for name, value in point.items()}}
        rate.update({name: value for name, value in named.items() if name == "learning_rate"})
        if isinstance(step := point.get("step"), int | float) and state.get("global_step"):
            named = {**{n: total * step / state["global_step"] for n, total in sums.items()}, **named}
        return {"run_id": run, **named}

    return [complete(point) if isinstance(point, Mapping) else point for point in points]


def parse_line(path: Path, number: int, line: str):
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number}: is not JSON ({error.msg})") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}, line {number}: is JSON too large or deep for a run") from None


def flatten(record: Mapping, prefix: str = "") -> dict[str, str]:
    """Cells of text by their dotted names."""
    cells: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            cells |= flatten(value, f"{prefix}{name}.")
        elif isinstance(value, bool):  # which Python counts among the whole numbers
            cells[prefix + name] = str(value).lower()
        elif isinstance(value, float):
            cells[prefix + name] = repr(value)
        elif isinstance(value, int):
            cells[prefix + name] = str(int(value)) if abs(value) < 10**300 else "inf"
        elif not isinstance(value, list):
            cells[prefix + name] = "" if value is None else str(value)
    return cells
