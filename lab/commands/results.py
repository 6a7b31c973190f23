"""`lab export` and `lab report`: what a grid came to, as a table and as figures."""

import argparse
import shlex
from pathlib import Path

from lab.commands import shared
from lab.commands.experiment import CommandError
from lab.store import export


def add(commands) -> None:
    parser = shared.command(commands, "export", write_table)
    shared.add_grid(parser)
    help = "the table, .csv or .jsonl; one that is there is replaced"
    parser.add_argument("-o", "--output", type=Path, default=Path("runs.csv"), metavar="FILE", help=help)
    help = "the learning curves of the same runs too, .csv: what `analysis envelope` takes"
    parser.add_argument("--curves", type=Path, metavar="FILE", help=help)
    parser = shared.command(commands, "report", report)
    shared.add_grid(parser)
    shared.add_out(parser)


def write_table(options: argparse.Namespace) -> int:
    """Write the run table (csv or jsonl): one row a finished run."""
    experiment, store = shared.open_grid(options)
    export.check(options.output)
    configs = experiment.configs()
    table = export.rows(store, configs, experiment.name)
    if not table:
        raise CommandError(
            f"{store.root} holds no finished run of these {len(configs)}: `lab run` trains them, --store DIR "
            f"names another folder; {options.output} is as it was"
        )
    export.write(table, options.output)
    print(f"{len(table)} rows in {options.output}")
    if options.curves:
        export.write_curves(store, configs, options.curves)
        print(f"their curves in {options.curves}")
    print(f"Next: python -m analysis fit {shlex.quote(str(options.output))}")
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the experiment's figures and page again, from the store. Where the store holds none of its
    runs, an experiment may draw the table committed with it, and says so."""
    experiment, store = shared.open_grid(options)
    experiment.report(store, options.out)
    shared.suggest(options, "export", "-o", "runs.csv")
    return 0
