"""Params, tokens and flops of rows by the names of their runs, where no column counts them."""

import os
from collections.abc import Mapping

import numpy as np

from analysis.tables import headers
from analysis.tables.kinds import codes, written
from analysis.tables.names import LABELS, Stated, parse
from analysis.tables.sheets import short

FURTHER = "display_name config_name trial_name job_name group tags tag file".split()
WHERE = (*headers.NAMES, *FURTHER)  # columns of names, the best first
EARLY = 1.05  # tokens a step, of those of most runs, from which on a curve ended before its run
NAMED = "named in column"  # what is said of such counts
Named = dict[str, np.ndarray]  # by quantity what the name of each row states (R,), NaN for nothing


def sizes(columns: Mapping[str, np.ndarray]) -> tuple[dict[str, tuple[np.ndarray, str]], str]:
    """By role (params, tokens, flops) what the names of runs state (R,) and where; and what is in doubt where
    they hold numbers of which nothing is told. Names that state none (NaN) must be the lesser part.

    Tokens are a whole run's: rows of its curve have their share, by steps or epochs. They may be steps x
    batch x context, or tokens per param.
    """
    found: dict[str, tuple[np.ndarray, str]] = {}
    doubt = ""
    for name in headers.find_all(columns, WHERE):
        if columns[name].dtype != object:
            continue
        cells = [written(cell) for cell in columns[name].tolist()]
        cells = without_common_path(cells) if name == "file" else cells
        parsed = {cell: parse(cell) for cell in dict.fromkeys(cells)}
        sized = any(text[-1] in "mMbB" for stated in parsed.values() for _, text in stated.bare)
        for cell, stated in parsed.items():
            if (unclear := settle(stated, sized)) and not doubt:
                doubt = (
                    f"names such as {short(cell)} (column {name}) hold {unclear}, and what that counts is "
                    f"not told: write them as in {headers.SIZED}, or add columns params and tokens"
                )
        named = {
            quantity: np.array([parsed[cell].numbers.get(quantity, np.nan) for cell in cells])
            for quantity in LABELS
        }
        for role, (values, how) in counts(columns, name, named).items():
            known = values[np.isfinite(values)]
            if role not in found and len(known) > len(values) / 2 and (role != "params" or np.ptp(known)):
                found[role] = values, f"{how} {NAMED} {name!r}, rounded as they are"
    return found, "" if found else doubt


def settle(stated: Stated, sized: bool) -> str:
    """Take the number that no word explains for the params, if one it is, and forget all of a name that is
    unclear. Returns what is. `sized` says whether other names hold millions: else thousands may be steps."""
    texts = dict.fromkeys(text for _, text in stated.bare)
    if stated.bare and (sized or stated.bare[0][1][-1] not in "kK"):
        stated.add("params", *stated.bare[0])
    elif stated.bare:
        stated.unclear.append(stated.bare[0][1])
    if len(texts) > 1:
        stated.unclear.append(" and ".join(texts))
    if stated.unclear:
        stated.numbers.clear()
    return stated.unclear[-1] if stated.unclear else ""


def counts(columns: Mapping[str, np.ndarray], name: str, named: Named) -> dict[str, tuple[np.ndarray, str]]:
    """By role the counts (R,) that the names in a column give, and how."""
    params, tokens, how = named["params"], named["tokens"], "tokens"
    ways = {"tokens per param": named["ratio"] * params}
    a_step, counted = np.fmax(named["batch"] * named["context"], named["batch_tokens"]), progress(columns)
    ways["steps · batch · context"] = named["steps"] * a_step
    if counted and counted[0] not in headers.EPOCHS:
        ways[f"{counted[0]} · batch · context"] = counted[1] * a_step
    out = {"params": (params, "sizes")}
    if not np.isfinite(params).any():
        out["params"] = 12 * named["depth"] * named["width"] ** 2, "12·depth·width² (without embeddings)"
    for way, values in ways.items():
        if not np.isfinite(tokens).any():
            tokens, how = values, way
    out |= {"tokens": (tokens, how), "flops": (named["flops"], "flops")}
    if counted and counted[0] not in how:
        shares = share_done(codes(columns[name]), counted[1], named["steps"], tokens)
        for role in ("tokens", "flops"):
            values, how = out[role]
            out[role] = values * shares, f"{how} by {counted[0]}" if (shares < 1).any() else how
    return out


def progress(columns: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray] | None:
    """The column that counts along curves, and its numbers (R,) from 1 on where it counts epochs from 0."""
    for name in (headers.find(columns, headers.STEPS), headers.find(columns, headers.EPOCHS)):
        if name and columns[name].dtype != object and np.isfinite(columns[name]).any():
            return name, columns[name] + (name in headers.EPOCHS and np.nanmin(columns[name]) == 0)
    return None


def share_done(run: np.ndarray, at: np.ndarray, planned: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The share (R,) of its run that each row of a curve stands at, the last point of a run being its end
    where its name does not tell the steps; 1 in tables of runs, and NaN for curves that end early: with more
    tokens a step than most others have.

    Args:
      run: codes (R,) of the names.
      at: steps or epochs (R,).
      planned: steps (R,) that the names state, or NaN.
      tokens: of the whole run (R,).
    """
    last = np.full(run.max(initial=0) + 2, -np.inf)
    np.maximum.at(last, run, np.where(np.isfinite(at), at, -np.inf))
    first = np.full(len(last), np.inf)
    np.minimum.at(first, run, np.where(np.isfinite(at), at, np.inf))
    known = np.isfinite(last) & np.isfinite(first)
    if (last > first)[known].mean() <= 0.5:
        return np.ones(len(run))
    end = last[run]
    whole = np.where(planned >= end, planned, end)
    with np.errstate(all="ignore"):
        a_step = tokens / end
        usual = np.nanmedian(a_step) if np.isfinite(a_step).any() else np.nan
        alike = np.abs(a_step / usual - 1) < EARLY - 1
        early = (alike.sum() > 0.6 * np.isfinite(a_step).sum()) & (a_step > EARLY * usual) & ~(planned >= end)
        return np.where(early, np.nan, at / whole)


def without_common_path(paths: list[str]) -> list[str]:
    """Paths below the folder that holds them all, without what they say of formats."""
    whole = [os.path.abspath(path) for path in paths]
    root = os.path.commonpath({os.path.dirname(path) for path in whole})
    return [headers.ENDING.sub("", os.path.relpath(path, root)) for path in whole]
