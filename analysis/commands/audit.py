"""`python -m analysis audit TABLE`: what may not be trusted of a table and its fit, and why.

Exit status: 0 when the verdict is ok or warn, 1 when it is refuse (for any group of --by).
"""

import textwrap

from analysis import fitting
from analysis.audit import Audit, audit_runs, design
from analysis.audit.findings import verdict_of
from analysis.audit.forecast import HOLD_OUT
from analysis.commands import answers, shared
from analysis.commands.arguments import FRONTIER, add_fit_options, add_options, command
from analysis.commands.fit import add_law_name
from analysis.figures import plot_audit
from analysis.tables import cautions


def add(commands) -> None:
    sub = command(commands, "audit", run)
    sub.add_argument(
        "--hold-out",
        choices=HOLD_OUT,
        default="rolling",
        help="levels of compute to forecast from those below: every one (rolling), or the largest alone",
    )
    add_options(sub, "--at")
    add_law_name(sub)
    add_fit_options(sub)
    add_options(sub, *FRONTIER, "--figure")
    sub.set_defaults(at=())


def run(options) -> int:
    verdicts = []

    def answer(group, runs):
        audit = make_audit(runs, options)
        verdicts.append(audit.verdict)
        answers.say(group, [f"Verdict {audit.verdict}: {audit.headline()}."])
        base = audit.fitted
        if base and base.intervals == "none":  # it takes those that cover best
            base = shared.fit_if_possible(options, runs)
        answers.head(group, answers.of_table(options, runs, base))
        show(group, runs, audit)
        answers.suggest(options, "report", "-o", "report.html")
        if options.figure and not (audit.steps or audit.profiles):
            print("no figure: there is nothing to forecast or to profile\n")
            return as_json(audit), None
        return as_json(audit), lambda: plot_audit(audit)

    status = shared.each_group(options, answer)
    return 1 if "refuse" in verdicts else status


def make_audit(runs, options, fitted=None, iso=None) -> Audit:
    """The audit of a table under a command's options."""
    return audit_runs(
        runs,
        **shared.pick(options, "objective", "delta", "budgets", "window", "cost", "at", "hold_out", "seed"),
        fitted=fitted or fit_with_intervals(runs, options),
        iso=iso,
    )


def fit_with_intervals(runs, options) -> fitting.Fit | None:
    """The fit with its intervals, those that other commands give it too; None where there are too few runs or
    a design that is refused, as the audit then says."""
    if not shared.asks_intervals(options) and verdict_of(design.check(runs)) == "refuse":
        return None
    fitted = shared.fit_if_possible(options, runs)
    return shared.with_intervals(options, fitted) if fitted and fitted.regular else fitted


def as_json(audit: Audit) -> dict:
    findings = [shared.pick(each, "code", "severity", "message", "figures") for each in audit.findings]
    return {"verdict": audit.verdict, "findings": findings}


def show(group, runs, audit: Audit) -> None:
    used = runs.usable()
    lines = cautions.units(used.columns, used.roles)  # the finding `mixed` tells of the others
    shared.print_head(group, runs, "audit", lines)
    print(f"  verdict     {audit.verdict}: {audit.headline()}\n")
    for finding in audit.findings:
        word = {"refuse": "REFUSE", "warn": "WARN"}.get(finding.severity, finding.severity)
        head = f"  {word:<7} {finding.code:<23}"
        print(textwrap.fill(finding.message, 124, initial_indent=head, subsequent_indent=" " * 33))
    print()
