"""`python -m analysis audit TABLE`: what may not be trusted of a table and its fit, and why.

Exit status: 0 when the verdict is ok or warn, 1 when it is refuse (for any group of --by).
"""

import textwrap

from analysis.audit import audit
from analysis.audit.forecast import HOLD_OUT
from analysis.commands import shared
from analysis.fitting import fit as fitting
from analysis.laws import Chinchilla
from analysis.tables import cautions


def add(commands) -> None:
    help = "what may not be trusted of a table and its fit, and why"
    sub = shared.command(commands, "audit", run, help)
    sub.add_argument(
        "--hold-out",
        choices=HOLD_OUT,
        default="rolling",
        help="levels of compute to forecast from those below: every one (rolling), or the largest alone",
    )
    sub.add_argument(
        "--at", type=shared.numbers, default=[], metavar="F,F", help="budgets that you want to extrapolate to"
    )
    shared.add_fit_options(sub)
    shared.add_frontier_options(sub)
    shared.add_figure(sub)


def of(runs, options, fitted=None, iso=None) -> audit.Audit:
    """The audit of a table under a command's options."""
    return audit.audit(
        runs,
        objective=options.objective,
        delta=options.delta,
        budgets=options.budgets,
        window=options.window,
        cost=options.cost,
        at=getattr(options, "at", ()),
        hold_out=getattr(options, "hold_out", "rolling"),
        seed=options.seed,
        fitted=fitted or law(runs, options),
        iso=iso,
    )


def law(runs, options) -> fitting.Fit | None:
    """The fit with the intervals asked for; None, so that the audit makes its own, where none are,
    and where there are too few runs, as it then says."""
    if options.intervals is None and options.bootstrap is None and not options.cluster:
        return None
    try:
        found = fitting.fit(Chinchilla, runs, objective=options.objective, delta=options.delta)
    except ValueError:
        return None
    hopeless = found.status in ("unidentified", "failed")
    return found if hopeless else shared.with_intervals(options, found)


def run(options) -> int:
    results, verdicts = [], []

    def one(group, runs) -> None:
        found = of(runs, options)
        verdicts.append(found.verdict)
        show(group, runs, found)
        results.append(shared.with_group(group, as_json(found)))
        if options.figure and (found.steps or found.profiles):
            from analysis.figures import audit as figures_audit

            shared.save(options, group, lambda: figures_audit.audit(found))
        elif options.figure:
            print("no figure: there is nothing to forecast or to profile\n")

    status = shared.each_group(options, one)
    shared.write_json(options, results)
    return 1 if "refuse" in verdicts else status


def as_json(found: audit.Audit) -> dict:
    findings = [
        {"code": f.code, "severity": f.severity, "message": f.message, "figures": f.figures}
        for f in found.findings
    ]
    return {"verdict": found.verdict, "findings": findings}


def show(group, runs, found: audit.Audit) -> None:
    used = runs.usable()
    lines = cautions.units(used.columns, used.roles)  # the finding `mixed` tells of the others
    shared.print_head(group, runs, "audit", lines)
    print(f"  verdict     {found.verdict}: {found.headline()}\n")
    for finding in found.findings:
        word = {"refuse": "REFUSE", "warn": "WARN"}.get(finding.severity, finding.severity)
        head = f"  {word:<7} {finding.code:<23}"
        print(textwrap.fill(finding.message, 124, initial_indent=head, subsequent_indent=" " * 33))
    print()
