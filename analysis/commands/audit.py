"""`python -m analysis audit TABLE`: what may not be trusted of a table and its fit, and why.

Exit status: 0 when the verdict is ok or warn, 1 when it is refuse (for any group of --by).
"""

import textwrap
from collections.abc import Sequence

from analysis.audit import Audit, Finding
from analysis.audit.findings import WORDS
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
        fitted = answers.fit_with_intervals(options, runs)
        best = answers.of_table(options, runs, fitted, options.at)
        audit = (best and best.audit) or answers.make_audit(options, runs, fitted, at=options.at)
        verdicts.append(audit.verdict)
        bad = [each for each in audit.findings if each.severity == audit.verdict != "ok"]
        told = best is not None and best.doubts  # each of them, below the answer
        why = [] if told else [each for each in bad if answers.unsaid(best, each.message) == each.message]
        reasons = [f"- {WORDS[each.code]}: {each.message[0].lower()}{each.message[1:]}" for each in why]
        answers.say(group, [f"Verdict {audit.verdict}: {audit.headline()}.", *reasons])
        answers.head(group, best, names=False)
        show(group, runs, audit, options.verbose, best, why)
        beside = [each for each in audit.findings if each.figures.get("without_budget")]
        if beside and not options.where:  # what to do about it is known, and free
            column = runs.roles.get("budget", "budget")
            answers.suggest(options, "audit", "--where", f"{column} > 0")
        else:
            answers.suggest(options, "report", "-o", "report.html")
        if options.figure and not (audit.steps or audit.profiles):
            print("no figure: there is nothing to forecast or to profile\n")
            return as_json(audit), None
        return as_json(audit), lambda: plot_audit(audit)

    status = shared.each_group(options, answer)
    return 1 if "refuse" in verdicts else status


def as_json(audit: Audit) -> dict:
    findings = [shared.pick(each, "code", "severity", "message", "figures") for each in audit.findings]
    return {"verdict": audit.verdict, "findings": findings}


def show(group, runs, audit: Audit, verbose: bool = False, best=None, said: Sequence[Finding] = ()) -> None:
    """The findings; those that are ok by name alone, unless `verbose`, and without their reasons those `said`
    above, or by the headline `best` there."""
    used = runs.usable()
    lines = cautions.units(used.columns, used.roles)  # the finding `mixed` tells of the others
    shared.print_head(group, runs, "audit", lines)
    print()
    fine = [each for each in audit.findings if each.severity == "ok"]
    for finding in audit.findings if verbose else [each for each in audit.findings if each not in fine]:
        word = {"refuse": "REFUSE", "warn": "WARN"}.get(finding.severity, finding.severity)
        text = "As said above." if finding in said else answers.unsaid(best, finding.message)
        entry(f"{word:<7} {finding.code}", text)
    if fine and not verbose:
        entry(f"ok      {len(fine)} things", f"{', '.join(each.code for each in fine)} (why: -v)")
    print()


def entry(name: str, text: str) -> None:
    indents = {"initial_indent": f"  {name:<31} ", "subsequent_indent": " " * 34}
    print(textwrap.fill(text, 124, **indents))
