"""`python -m analysis COMMAND`: laws and frontiers from tables of runs, and published ones computed
again.

Exit status: 0 did its job, 1 refused and says what, 2 wrong usage, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

COMMANDS = (
    "fit isoflop envelope frontier ledger speedup rates losers predict audit decide planner compare suggest "
    "report reproduce"
).split()
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
    options = parser(words[0] if words else "").parse_args(words)
    try:
        return options.run(options)
    except BrokenPipeError:  # an OSError, so it comes first
        return 0
    except (ValueError, OSError) as error:
        print(f"analysis {options.command}: {error}", file=sys.stderr)
        return 1


class Parser(argparse.ArgumentParser):
    """Asks of an unknown option which was meant."""

    def parse_known_args(self, args=None, namespace=None):
        options, unknown = super().parse_known_args(args, namespace)
        known, first = self._option_string_actions, "".join(unknown[:1]).partition("=")[0]
        if near := get_close_matches(first, known, 1):
            self.error(f"unrecognized arguments: {' '.join(unknown)}; did you mean {near[0]}?")
        return options, unknown


def parser(command: str = "") -> argparse.ArgumentParser:
    """Of one command, which alone is then imported, or of all."""
    top = Parser(prog="python -m analysis", description=__doc__.split(".")[0])
    subparsers = top.add_subparsers(dest="command", required=True)
    for name in [command] if command in COMMANDS else COMMANDS:
        import_module(f"analysis.commands.{name}").add(subparsers)
    return top


if __name__ == "__main__":
    sys.exit(main())
