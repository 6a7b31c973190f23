"""Options of the commands on a table, each said once, and what their values may be."""

import argparse
import math
from collections.abc import Iterable

from analysis import fitting, frontiers
from analysis.commands.help import COMMANDS
from analysis.fitting import OBJECTIVES
from analysis.laws import LAWS

ROLES = ("params", "tokens", "flops", "loss", "budget")
OTHERS = sorted({name for law in LAWS.values() for name in (*law.inputs, law.output)} - {*ROLES})


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number, such as 1e18")
    return number


def numbers(text: str) -> list[float]:
    return [positive(part) for part in text.split(",") if part.strip()]


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def positive_count(text: str) -> int:
    if count(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r}: give 2 or more")
    return int(text)


def share(text: str) -> float:
    if not 0 < positive(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a share between 0 and 1, such as 0.95")
    return float(text)


def width(text: str) -> float:
    try:
        return 0.0 if float(text) == 0 else positive(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r}: give 0 or more, such as 0.1") from None


OPTIONS = {
    "--where": {"metavar": "EXPR", "help": "rows to use: \"tag=='hot' and loss<4\""},
    "--best-of": {
        "metavar": "CELL",
        "help": "of rows equal in these columns (COL,COL; cell is params,tokens) keep the least loss",
    },
    "--by": {"metavar": "COL", "help": "repeat for each value of this column"},
    "--json": {"metavar": "FILE", "help": "results in full precision"},
    "--verbose": {"action": "store_true", "help": "what the answer rests on, too: conventions, costs"},
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of resampling (default 0)"},
    "--objective": {
        "choices": OBJECTIVES,
        "default": "huber-log",
        "metavar": "NAME",
        "help": f"what a fit minimises: {', '.join(OBJECTIVES)} (default huber-log)",
    },
    "--delta": {"type": positive, "default": 1e-3, "metavar": "X", "help": "huber-log's (default 1e-3)"},
    "--bootstrap": {
        "type": count,
        "metavar": "N",
        "help": "resamples for the kinds that resample (1000); alone it means pairs, and 0 means none",
    },
    "--cluster": {"metavar": "COL", "help": "rows equal in this column are resampled together"},
    "--window": {
        "type": positive,
        "default": 1.0,
        "metavar": "X",
        "help": "of parabola and cubic, in ln params (default 1)",
    },
    "--budgets": {"type": numbers, "metavar": "F,F", "help": "FLOPs to group by"},
    "--cost": {
        "choices": ("table", "6nd"),
        "default": "table",
        "metavar": "table|6nd",
        "help": "flops of params and tokens: fitted to the table's own, or 6·N·D (default table)",
    },
    "--at": {"type": numbers, "metavar": "F,F", "help": "budgets to extrapolate to"},
    "--valley": {
        "choices": frontiers.VALLEY_METHODS,
        "help": "how isoflop finds minima: each budget's alone, or joint: one curve through all valleys "
        "(default: as the table's design favours)",
    },
    "--run-id": {"metavar": "COL", "help": "the column that names a curve's run"},
    "--points": {
        "choices": frontiers.POINTS,
        "default": "all",
        "help": "of a curve: all, or the final one alone",
    },
    "--levels": {"type": positive_count, "default": 100, "metavar": "K", "help": "FLOP values (default 100)"},
    "--smooth": {
        "type": width,
        "default": 0.1,
        "metavar": "X",
        "help": "average a curve over this width in ln FLOPs (0.1)",
    },
    "--figure": {"metavar": "FILE", "help": "png, pdf or svg"},
}
FRONTIER = ("--window", "--budgets", "--cost")
ENVELOPE = ("--run-id", "--points", "--levels", "--smooth")


def fixed_values(texts: Iterable[str]) -> dict[str, float]:
    """The parameters that --fix holds, by name."""
    fixed = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            fixed[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--fix {text!r}: write NAME=VALUE, such as E=0") from None
    return fixed


def command(commands, name: str, run, what: str = "run table", roles=ROLES) -> argparse.ArgumentParser:
    """A subparser of a command on a table, with the options that all of them take. A role left out
    of `roles` is found by its usual names only, which frees its option."""
    sub = commands.add_parser(name, help=COMMANDS[name][0])
    sub.set_defaults(run=run)
    sub.add_argument(
        "table",
        metavar="TABLE",
        nargs="+",
        action=OneOrMore,
        help=f"{what}: csv, json, jsonl, parquet; several, or a folder of them, are one",
    )
    for role in roles:
        sub.add_argument(f"--{role}", metavar="COL", help=f"the column that holds {role}")
    add_options(sub, "--where", "--best-of", "--by", "--json", "--seed", "--verbose")
    return sub


class OneOrMore(argparse.Action):
    """One path as it is, several as a list."""

    def __call__(self, parser, namespace, values, option=None):
        setattr(namespace, self.dest, values[0] if len(values) == 1 else values)


def add_options(sub, *flags: str) -> None:
    for flag in flags:
        sub.add_argument(*["-v"] * (flag == "--verbose"), flag, **OPTIONS[flag])


def add_fit_options(sub, intervals: str = "auto") -> None:
    """Of a command that fits a law, with the kind of intervals it gives unless asked for another."""
    add_options(sub, "--objective", "--delta")
    sub.add_argument(
        "--intervals",
        choices=("auto", "profile", *fitting.BOOTSTRAPS, "none"),
        metavar="KIND",
        help=f"95 %% intervals of the fit: profile, {', '.join(fitting.BOOTSTRAPS)}, none, or auto, which "
        f"is what covers best at this number of runs (default {intervals})",
    )
    add_options(sub, "--bootstrap", "--cluster")
    sub.set_defaults(intervals_default=intervals)
