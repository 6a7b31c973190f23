"""`python -m analysis report TABLE -o report.html`: one page with figures, tables and warnings."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from analysis import headline, report
from analysis.commands import answers, shared
from analysis.commands.arguments import FRONTIER, add_fit_options, add_options, command
from analysis.commands.fit import add_law_name
from analysis.commands.frontier import as_json
from analysis.report.trained import check_curves
from analysis.tables import table
from analysis.tables.runs import Runs

METHODS = {"isoflop": "no valleys", "fit": "no fitted law"}  # of what makes a part, where it can't


def add(commands) -> None:
    sub = command(commands, "report", run)
    sub.add_argument(
        "-o", "--output", default="report.html", metavar="FILE", help="the page (default report.html)"
    )
    sub.add_argument("--title", help="of the page")
    sub.add_argument("--curves", metavar="FILE", help="training curves of the table's runs, to be drawn")
    add_law_name(sub)
    add_fit_options(sub)
    add_options(sub, *FRONTIER)


def run(options) -> int:
    def answer(group, runs):
        parts, fronts, notes, favoured, drawn, refused = {"fit": None, "isoflop": None}, [], [], [], {}, []
        for name, make in (("isoflop", shared.valleys), ("fit", shared.parametric)):
            try:
                parts[name], front, *choice = make(options, runs)
                fronts.append(front)
                for each in filter(
                    None, choice
                ):  # the way whose answer stands first is the one that is drawn
                    notes.append(f"By valleys: {each}.")
                    drawn, front = {"isoflop": each.chosen.iso}, each.frontier
                favoured.append(front)
            except ValueError as error:
                refused.append((METHODS[name], str(error).removeprefix(f"{runs.source}: ")))
        refused = shared.each_once(refused)
        if favoured:
            notes += [f"Left out: {why}." for why in refused]
        best = answers.choose(options, runs, favoured, parts["fit"])
        audit = best.audit if best else None
        with suppress(ValueError):  # of many rows the answer has none, and the page has
            law = parts["fit"] or answers.fit_with_intervals(options, runs)
            audit = audit or answers.make_audit(options, runs, law, iso=parts["isoflop"])
        title = (
            options.title
            or f"Scaling of {', '.join(Path(path).name for path in np.atleast_1d(options.table))}"
        )
        curves = read_curves(options.curves, notes)
        html = report.page(
            runs,
            title=title + (f", {options.by} = {group}" if group else ""),
            frontiers=favoured,
            notes=notes,
            command="python -m analysis report " + shlex.join(sys.argv[2:]),
            audit=audit,
            best=best,
            curves=curves,
            refused=refused,
            **parts | drawn,
        )
        if options.json:
            results = [{"group": group, **as_json(front)} for front in favoured]
            shared.dump(shared.named(options.json, group, options.groups), results)
        path = shared.named(options.output, group, options.groups)
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
        if not fronts:
            raise ValueError("; ".join([f"{runs.source} gives no frontier", *refused, f"see {path}"]))
        answers.head(group, best)
        print(path)
        budget = headline.power(best.seen if best else max(front.flops.max() for front in fronts))
        answers.suggest(options, *answers.after(best, "decide", "--budget", budget))
        return [], None

    return shared.each_group(options, answer)


def read_curves(curves: str | None, notes: list[str]) -> Runs | None:
    """The training curves where a file of them is given and can be drawn; else a note says why not."""
    if not curves:
        return None
    try:
        points = table.read(curves, needs=())
        check_curves(points)
    except ValueError as error:
        notes.append(f"Training curves left out: {error}")
        return None
    return points
