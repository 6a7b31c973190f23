"""What the commands share: their options, the grid and store that these name, and how a slip is told."""

import argparse
import dataclasses
import difflib
import itertools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from lab.commands.experiment import CommandError, Experiment, load
from lab.commands.settings import SHORT
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.store.store import Store

HELP = {
    "experiment": "a module such as experiments.quickstart, or a file that defines runs(); one with SIZES "
    "takes :SIZE after its name",
    "--set": "replace a field in every run, such as optim.learning_rate=0.01; repeatable",
    "--store": "the folder of runs",
    "--out": "where the report's figures, tables and page go (by default out/NAME, made if it is not there)",
}
STORE = {"type": Path, "default": Path("runs"), "metavar": "DIR"}
FLAG = {"action": argparse.BooleanOptionalAction}
NESTED = {"model", "optim", "data"}  # fields that are configs themselves
COUNT = {"type": int, "metavar": "N"}
WAY = {"choices": ("", "jit", "mesh", "fsdp", "pmap"), "default": "", "metavar": "jit|mesh|fsdp|pmap"}


class Help(argparse.RawDescriptionHelpFormatter):
    """Options with their defaults, where they have one that says something."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=28, width=100)

    def _get_help_string(self, action: argparse.Action) -> str:
        plain = action.default in (None, "", False, [], argparse.SUPPRESS) or not action.option_strings
        return action.help + ("" if plain else " (default: %(default)s)")


class Parser(argparse.ArgumentParser):
    """Takes no option by its first letters alone, asks of an unknown one which was meant, and ends an
    option's numbers at what is none: `--devices 1 2 EXPERIMENT`."""

    def __init__(self, **settings):
        super().__init__(formatter_class=Help, allow_abbrev=False, **settings)

    def error(self, message: str):
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            for near in difflib.get_close_matches(found[1], re.findall(r"[\w-]+", found[2]), 1):
                message += f"; was {near} meant?"
        super().error(message)

    def parse_known_args(self, args=None, namespace=None):
        words = list(sys.argv[1:] if args is None else args)
        several = {name for action in self._actions if action.nargs == "*" for name in action.option_strings}
        for start in [i for i, word in enumerate(words) if word in several][:1]:
            numbers = itertools.takewhile(lambda word: word.lstrip("-").isdecimal(), words[start + 1 :])
            end = start + 1 + len(list(numbers))
            words = words[:start] + words[end:] + words[start:end]
        options, unknown = super().parse_known_args(words, namespace)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            name = unknown[0].partition("=")[0]
            meant = field_option(name) or difflib.get_close_matches(name, known, 1)
            hint = f"; was {meant[0]} meant?" if meant else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return options, unknown


def field_option(name: str) -> list[str]:
    """How to set the field of a run that somebody wrote as an option, such as --lr; [] of no field."""
    word = name.lstrip("-").replace("-", "_")
    field = SHORT.get(word, word)
    parts = {"model.": ModelConfig, "optim.": OptimConfig, "data.": DataConfig, "": RunConfig}
    named = {part: {each.name for each in dataclasses.fields(kind)} - NESTED for part, kind in parts.items()}
    return [f"--set {part}{field}=..." for part, names in named.items() if field in names]


def command(commands, name: str, run: Callable[[argparse.Namespace], int]) -> Parser:
    """The parser of one more command, described by the docstring of what it runs."""
    words = " ".join((run.__doc__ or "").split())
    parser = commands.add_parser(name, help=words, description=words)
    parser.set_defaults(run=run)
    return parser


def option_adder(parser: Parser, help: dict[str, str]) -> Callable[..., None]:
    """`parser.add_argument`, with each option's help from a table."""
    return lambda *names, **settings: parser.add_argument(*names, help=help[names[-1]], **settings)


def add_grid(parser: Parser, store: str = HELP["--store"]) -> None:
    """The options that name an experiment's runs and their store."""
    option = option_adder(parser, HELP | {"--store": store})
    option("experiment", metavar="EXPERIMENT")
    option("--store", **STORE)
    option("--set", action="append", default=[], metavar="FIELD=VALUE")


def add_out(parser: Parser) -> None:
    option_adder(parser, HELP)("--out", type=Path, metavar="DIR")


def open_grid(options: argparse.Namespace) -> tuple[Experiment, Store]:
    """The experiment that was named, and the store, which need not be there yet."""
    experiment, folder = load(options.experiment, options.set), options.store
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--store {folder} is a file; name a folder of runs, or one to be made")
    return experiment, Store(folder)


def named(options: argparse.Namespace) -> list[str]:
    """The words by which a command's grid and store were named."""
    fields = [word for field in getattr(options, "set", []) for word in ("--set", field)]
    store = ["--store", str(options.store)] * (options.store != STORE["default"])
    return [options.experiment, *fields, *store]


def suggest(options: argparse.Namespace, name: str, *words: str | Path, file=None) -> None:
    """The command to type next, on the same grid in the same store."""
    print(f"Next: python -m lab {name} {shlex.join(map(str, [*named(options), *words]))}", file=file)
