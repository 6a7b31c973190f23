"""`python -m analysis report TABLE -o report.html`: one page with figures, tables and warnings."""

import shlex
import sys
from pathlib import Path

import numpy as np

from analysis import report
from analysis.commands import shared
from analysis.commands.arguments import FRONTIER, add_fit_options, add_options, command
from analysis.commands.audit import make_audit
from analysis.commands.frontier import as_json


def add(commands) -> None:
    help = "one HTML page with figures, tables and warnings"
    sub = command(commands, "report", run, help)
    sub.add_argument("-o", "--output", default="report.html", metavar="FILE")
    sub.add_argument("--title", help="of the page")
    add_fit_options(sub)
    add_options(sub, *FRONTIER)
    sub.set_defaults(at=(), hold_out="rolling")


def run(options) -> int:
    def answer(group, runs):
        parts, fronts, notes = {"fit": None, "isoflop": None}, [], []
        for name, make in (("isoflop", shared.valleys), ("fit", shared.parametric)):
            try:
                parts[name], front, *choice = make(options, runs)
                fronts.append(front)
                notes += [f"By valleys: {favoured}." for favoured in choice if favoured]
            except ValueError as error:
                notes.append(f"Left out: {error}")
        if not fronts:
            raise ValueError("; ".join(notes))
        title = (
            options.title
            or f"Scaling of {', '.join(Path(path).name for path in np.atleast_1d(options.table))}"
        )
        html = report.page(
            runs,
            title=title + (f", {options.by} = {group}" if group else ""),
            frontiers=fronts,
            notes=notes,
            command="python -m analysis report " + shlex.join(sys.argv[2:]),
            audit=make_audit(runs, options, fitted=parts["fit"], iso=parts["isoflop"]),
            **parts,
        )
        if options.json:
            results = [{"group": group, **as_json(front)} for front in fronts]
            shared.dump(shared.named(options.json, group, options.groups), results)
        path = shared.named(options.output, group, options.groups)
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
        print(path)
        return [], None

    return shared.each_group(options, answer)
