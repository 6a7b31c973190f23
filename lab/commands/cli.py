"""`lab COMMAND`: trains the grid that an experiment names, and tells of what was trained.

Exit status: 0 did its job, 1 refused or something failed (and says what), 2 wrong usage,
130 stopped by Ctrl-C before it had begun.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.commands.shared import Parser

INTERRUPTED = 130  # as shells say it: 128 and the signal's number


def main(arguments: Sequence[str] | None = None) -> int:
    try:  # what is imported takes time too, in which somebody may press Ctrl-C
        return run_command(arguments)
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return INTERRUPTED


def run_command(arguments: Sequence[str] | None) -> int:
    from lab.commands.experiment import CommandError
    from lab.launch.processes import spare_libtpu

    spare_libtpu(os.environ)
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:  # the reader, such as head, has seen enough; Python would tell it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
        if os.environ.get("LAB_TRACEBACK"):
            raise
        print(f"lab: {in_words(error)}", file=sys.stderr)
        return 1
    except AssertionError as error:
        if "xla_bridge" not in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        from lab.train.parallel import NO_DEVICE

        print(f"lab: {NO_DEVICE}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # which a grid has told of
        return 1


def parser() -> "Parser":
    from lab.commands import (
        bench,
        compare,
        data,
        grow,
        plan,
        rates,
        release,
        results,
        run,
        text,
        verify_resume,
        watch,
    )
    from lab.commands.help import arrange
    from lab.commands.shared import Parser

    top = Parser(prog="lab", description="Trains grids of small language models and keeps every run.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (plan, run, watch, rates, compare, grow, results, release, verify_resume, data, bench, text):
        group.add(commands)
    arrange(commands)
    return top


def in_words(error: Exception) -> str:
    """An error of the system without its number, but with its file."""
    if isinstance(error, ModuleNotFoundError) and error.name == "jax":
        from lab.launch.order import NO_JAX

        return NO_JAX
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)
