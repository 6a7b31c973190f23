"""`python -m analysis COMMAND`: laws and frontiers from tables of runs, and published ones computed
again.

Exit status: 0 did its job, 1 refused and says what, 2 wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence

from analysis.commands import (
    audit,
    decide,
    envelope,
    fit,
    frontier,
    isoflop,
    ledger,
    predict,
    report,
    reproduce,
    speedup,
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:  # an OSError, so it comes first
        return 0
    except (ValueError, OSError) as error:
        print(f"analysis {options.command}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m analysis", description=__doc__.split(".")[0])
    commands = top.add_subparsers(dest="command", required=True)
    for each in (
        fit,
        isoflop,
        envelope,
        frontier,
        ledger,
        speedup,
        predict,
        audit,
        decide,
        report,
        reproduce,
    ):
        each.add(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
