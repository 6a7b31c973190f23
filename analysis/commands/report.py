"""`python -m analysis report TABLE -o report.html`: one page with figures, tables and warnings."""

import shlex
import sys
from pathlib import Path

from analysis.commands import audit, frontier, shared
from analysis.frontiers.isoflop import Isoflop


def add(commands) -> None:
    help = "one HTML page with figures, tables and warnings"
    sub = shared.command(commands, "report", run, help)
    sub.add_argument("-o", "--output", default="report.html", metavar="FILE")
    sub.add_argument("--title", help="of the page")
    shared.add_fit_options(sub)
    shared.add_frontier_options(sub)


def run(options) -> int:
    from analysis import report

    def one(group, runs) -> None:
        title = options.title or f"Scaling of {Path(options.table).name}"
        title += f", {options.by} = {group}" if group else ""
        found, iso, fronts, notes = None, None, [], []
        for make in (shared.valleys, shared.parametric):
            try:
                result, front = make(options, runs)
                fronts.append(front)
                if isinstance(result, Isoflop):
                    iso = result
                else:
                    found = result
            except ValueError as error:
                notes.append(f"Left out: {error}")
        if not fronts:
            raise ValueError("; ".join(notes))
        command = "python -m analysis report " + shlex.join(sys.argv[2:])
        looked = audit.of(runs, options, fitted=found, iso=iso)
        html = report.page(
            runs,
            title=title,
            fit=found,
            isoflop=iso,
            frontiers=fronts,
            notes=notes,
            command=command,
            audit=looked,
        )
        if options.json:
            results = [{"group": group, **frontier.as_json(front)} for front in fronts]
            shared.dump(shared.named(options.json, group), results)
        path = shared.named(options.output, group)
        path.write_text(html, encoding="utf-8")
        print(path)

    return shared.each_group(options, one)
