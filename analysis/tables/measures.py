"""What a measure of a model is: perplexities are turned into nats, shares that rise into shares of errors,
and what has neither unit nor ceiling is refused or said. Counts given as logarithms are raised again."""

import re
from collections.abc import Mapping

import numpy as np

from analysis.tables import units
from analysis.tables.cells import PERCENT, Column
from analysis.tables.headers import LOSSES, find_all, normalize, without_path

BASES = {"log10": 10.0, "lg": 10.0, "log2": 2.0, "ln": np.e, "loge": np.e}
BASE = r"(?P<base>log_?(?:10|2|e(?![a-z]))|ln|lg)"
LOGGED = re.compile(
    rf"{BASE}[ _]*(?P<of>.+)|(?P<rest>.+?)[ _]*[(\[]?{BASE.replace('base', 'last')}[)\]]?", re.I
)
LARGEST = 1e40  # of a count: what is above was no logarithm
OWN = {"held_out_tokens", "loss_se"}  # columns beside the loss of a run table of this lab


def convert(source: str, role: str, column: Column) -> tuple[Column, str, str] | None:
    """(the column that plays the role instead, how it is computed, its unit); None for one that is a
    loss already.

    Raises:
      ValueError: the measure rises and has no ceiling from which errors could be counted.
    """
    words, numbers = column.header.words, column.numbers.values
    kind, name = units.kind(normalize(column.header.unit)) or units.kind(words), column.name
    if kind == "perplexity":
        per = next((each for each in ("byte", "char", "word") if each in words), "token")
        how, unit = f"ln of column {name}", f"nats/{per}"
        with np.errstate(all="ignore"):
            values = np.log(numbers)
    elif kind == "rising":
        known = numbers[np.isfinite(numbers)]
        whole = 100.0 if in_percent(column, 1) else 1.0
        if known.size and not (0 <= known.min() and known.max() <= whole):
            raise ValueError(
                f"{source}: {name} runs from {known.min():g} to {known.max():g}: a measure that rises as "
                "models get better and has no ceiling of 1 or 100 follows no law here; fit a loss, a share "
                "of errors, or a share of successes, which is taken as errors"
            )
        how, unit = f"1 - {name}{'/100' if whole > 1 else ''}, as {name} rises", units.ERRORS
        values = 1 - numbers / whole
    elif role == "loss" and not kind and (found := of_logarithm(column)):
        return *found, units.loss_unit(words, column.header.unit)
    else:
        return None
    return Column(f"{role} ({how})", values), how, unit


def logged(name: str) -> tuple[float, str] | None:
    """(base, what it is the logarithm of) of a header such as log10_params, ln(N) or tokens (log2); None
    where it is none, or tells no base."""
    name = name.strip().replace("₁₀", "10").replace("₂", "2")
    found = LOGGED.fullmatch(name) or LOGGED.fullmatch(without_path(name))
    if not found:
        return None
    of = (found["of"] or found["rest"]).strip()
    of = of[1:-1] if of[0] + of[-1] == "()" else of
    return BASES[(found["base"] or found["last"]).lower().replace("_", "")], of


def raised(role: str, column: Column) -> tuple[Column, str] | None:
    """The count whose logarithm a column holds, by its header, and how it is computed; None of another."""
    if not (found := logged(column.name)) or not column.has_numbers():
        return None
    how = f"{'e' if found[0] == np.e else f'{found[0]:g}'} to the power of column {column.name}"
    with np.errstate(all="ignore"):
        values = found[0] ** column.numbers.values
    return None if (values > LARGEST).any() else (Column(f"{role} ({how})", values), how)


def of_logarithm(column: Column) -> tuple[Column, str] | None:
    """As `raised`, of losses: log10_loss, ln_loss and loss (log10); a loss (ln) may be in nats."""
    _, of = logged(column.name) or (0.0, "")
    name = without_path(column.name.strip()).lower()
    before = name.startswith(("log", "ln", "lg")) or re.search("10|₁₀", name)  # loss_lg is of a large model
    is_loss = LOSSES & set(normalize(of).replace("cross_entropy", "xent").split("_"))
    return raised("loss", column) if is_loss and before else None


def share_or_percent(column: Column) -> str:
    """What errors are given in: a share where cells say % each, which is worked out, or none is above 2."""
    return "percent of errors" if in_percent(column, 2) else units.ERRORS


def in_percent(column: Column, most: float) -> bool:
    """Whether values are percents: the header says so or one is above `most`, and no cell says % itself,
    which is worked out."""
    percent = "%" in column.header.unit or "percent" in column.header.unit.lower()
    above = np.isfinite(column.numbers.values) & (column.numbers.values > most)
    return PERCENT not in column.numbers.how and bool(percent or above.any())


def evidence(columns: Mapping[str, np.ndarray], loss: np.ndarray) -> str:
    """The unit of a loss (R,) whose header states none, where other columns tell it; or ""."""
    if OWN <= set(columns):
        return "nats/token"
    for name in find_all(columns, ("perplexity", "eval_perplexity", "val_perplexity", "ppl", "val_ppl")):
        if columns[name].dtype != object:
            with np.errstate(all="ignore"):
                ratio = np.log(columns[name]) / loss
            if np.isfinite(ratio).any() and np.nanmax(np.abs(ratio - 1)) < 1e-3:
                return f"nats/token, as {normalize(name)} is its exponential"
    return ""
