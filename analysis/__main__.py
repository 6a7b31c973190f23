"""`python -m analysis COMMAND`: laws and frontiers from tables of runs, and published ones computed
again.

Exit status: 0 did its job, 1 refused and says what, 2 wrong usage, 130 stopped by Ctrl-C.
"""

import argparse
import os
import re
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from importlib import import_module

from analysis.commands.help import COMMANDS, Help, arrange

WORDS = """Laws and frontiers from tables of runs, and published ones computed again.

  python -m analysis fit runs.csv
  python -m analysis decide -h"""
INTERRUPTED = 130  # as shells say it: 128 and the signal's number


def main(arguments: Sequence[str] | None = None) -> int:
    try:  # what is imported takes time too, in which somebody may press Ctrl-C
        from analysis.commands.terminal import text_alone

        with text_alone():
            return run(arguments)
    except KeyboardInterrupt:
        print("analysis: interrupted", file=sys.stderr)
        return INTERRUPTED


def run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    options = in_utf8(parser(words[:1]).parse_args(words))
    try:
        return options.run(options)
    except BrokenPipeError:  # an OSError, so it comes first
        return 0
    except (ValueError, OSError) as error:
        print(f"analysis {options.command}: {error}", file=sys.stderr)
        return 1


def in_utf8(options: argparse.Namespace) -> argparse.Namespace:
    """The same with names of columns and filters in UTF-8, as tables are read, where the locale knows ASCII
    alone. Paths stay as the system spells them."""
    from analysis.commands.arguments import OTHERS, ROLES

    for name in {*ROLES, *OTHERS, "by", "where", "best_of", "cluster", "run_id"} & set(vars(options)):
        text = getattr(options, name)
        if isinstance(text, str) and any(
            "\udc80" <= letter <= "\udcff" for letter in text
        ):  # bytes of no letter
            setattr(options, name, os.fsencode(text).decode("utf-8", "surrogateescape"))
    return options


MEANT = {  # what people call options
    "--lr": "--learning_rate",
    "--rate": "--learning_rate",
    "--bs": "--batch_tokens",
    "--batch_size": "--batch_tokens",
    "--compute": "--budget",
    "--out": "--output",
    "--fig": "--figure",
    "--plot": "--figure",
    "--filter": "--where",
    "--group": "--by",
    "--bootstraps": "--bootstrap",
}


class Parser(argparse.ArgumentParser):
    """Asks of an unknown option or word which was meant."""

    def error(self, message: str):
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            for near in get_close_matches(found[1], re.findall(r"[\w-]+", found[2]), 1):
                message += f"; did you mean {near}?"
        super().error(message)

    def parse_known_args(self, args=None, namespace=None):
        options, unknown = super().parse_known_args(args, namespace)
        known, first = self._option_string_actions, "".join(unknown[:1]).partition("=")[0]
        usual = MEANT.get(first.replace("-", "_").replace("__", "--", 1))
        if near := [usual] if usual in known else get_close_matches(first, known, 1):
            self.error(f"unrecognized arguments: {' '.join(unknown)}; did you mean {near[0]}?")
        return options, unknown


def parser(names: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Of all commands; those not among `names` are listed without their options, and cost no import."""
    top = Parser(prog="python -m analysis", description=WORDS, formatter_class=Help)
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (sentence, *_) in COMMANDS.items():
        if name in names:
            import_module(f"analysis.commands.{name}").add(subparsers)
        else:
            subparsers.add_parser(name, help=sentence)
    arrange(subparsers)
    return top


if __name__ == "__main__":
    sys.exit(main())
