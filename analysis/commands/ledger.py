"""`python -m analysis ledger TABLE`: the same runs under every counting of parameters and FLOPs."""

import textwrap
from contextlib import suppress

import numpy as np

from analysis.commands import answers, shared
from analysis.commands.arguments import add_fit_options, add_options, command
from analysis.figures import plot_ledger
from analysis.frontiers import VALLEY_METHODS, conventions, ledger
from analysis.frontiers.ledger import Entry

WIDE = 32  # of the column of countings; lines stay within 100


def add(commands) -> None:
    sub = command(commands, "ledger", run)
    sub.add_argument(
        "--convention", metavar="COL", help="a column whose values are countings of the same study"
    )
    help = "by a fitted law, isoFLOP valleys, or both (default all)"
    sub.add_argument("--method", choices=("fit", "isoflop", "all"), default="all", help=help)
    add_options(sub, "--valley", "--window", "--budgets")
    add_fit_options(sub)
    add_options(sub, "--figure")


def run(options) -> int:
    methods = ("isoflop", "fit") if options.method == "all" else (options.method,)

    def answer(group, runs):
        if options.budgets or (not options.convention and not runs.has("budget")):
            runs = conventions.keep_budgets(runs, options.budgets)
        if options.convention:
            countings = conventions.by_value(runs, options.convention)
        else:
            countings = conventions.by_columns(runs)
        fitted = shared.fit_if_possible(options, runs)
        if fitted and fitted.regular:
            with suppress(ValueError):  # too few to resample, as the rows then say
                fitted = shared.with_intervals(options, fitted)
        entries = ledger.make_ledger(
            countings,
            methods=methods,
            known=fitted if fitted and fitted.intervals != "none" else None,
            valley=options.valley or VALLEY_METHODS[0],
            **shared.pick(options, "window", "objective", "delta", "seed"),
            add_intervals=lambda fitted: shared.with_intervals(options, fitted),
            resamples=options.bootstrap or 1000,
        )
        if all(each.frontier is None for each in entries):
            raise ValueError("; ".join(dict.fromkeys(each.message for each in entries)))
        best = answers.of_table(options, runs, fitted)
        answers.head(group, best)
        for line in ledger.summarize(entries):
            answers.say(None, [line])
        print()
        show(group, runs, entries, options.verbose, best)
        answers.suggest(options, "report", "-o", "report.html")
        return as_json(entries), lambda: plot_ledger(entries)

    return shared.each_group(options, answer)


def as_json(entries: list[Entry]) -> dict:
    """`moved` is against the first row of the same approach; its ends are null but for fits to the
    same rows."""
    rows = []
    for each in entries:
        front = each.frontier
        bands = {"params_exponent": each.exponent, "moved": each.moved}
        if front is not None:
            bands["tokens_exponent"] = front.tokens_exponent
        rows.append(
            {
                "convention": str(each.convention),
                "params": each.convention.params,
                "flops": each.convention.flops,
                "approach": each.approach,
                **{key: shared.band_json(band) for key, band in bands.items()},
                "against_first": each.agreement,
                "cost": str(front.cost) if front else None,
                "runs": front.runs if front else 0,
                "status": front.status if front else "failed",
                "message": each.message,
            }
        )
    return {"rows": rows, "message": " ".join(ledger.summarize(entries))}


def show(group, runs, entries: list[Entry], verbose: bool = False, best=None) -> None:
    """A row a counting, under the approach and what N is there; notes below of what is not ok, or of all, as
    far as the headline `best` has not said it."""
    cautions = [caution for each in entries if each.frontier for caution in each.frontier.cautions]
    shared.print_head(group, runs, "convention ledger", dict.fromkeys([*runs.cautions, *cautions * verbose]))
    notes: dict[str, int] = {}
    approach = params = None
    for each in entries:
        convention, front = each.convention, each.frontier
        if each.approach != approach:
            title = "A" + ledger.NAMES[each.approach][1:]
            print(f"\n  {title:<{WIDE}}{'a (params)':<23}{'moved':<25}{'status'}")
            approach, params = each.approach, None
        if convention.flops and convention.params != params:
            print(f"  N = {convention.params}")
            params = convention.params
        label = f"  C = {convention.flops}" if convention.flops else textwrap.shorten(convention.params, WIDE)
        a = each.exponent if front else "none"
        status = front.status if front else "failed"
        if verbose or status != "ok" or each.message != front.message:
            status += f" [{notes.setdefault(each.message, len(notes) + 1)}]"
        print(f"  {label:<{WIDE}}{a!s:<23}{moved_words(each):<25}{status}")
    print()
    for message, number in notes.items():
        shared.paragraph(f"[{number}]", answers.unsaid(best, message))
    print()


def moved_words(entry: Entry) -> str:
    """How far the exponent lies from the first row's, and where they do not agree, that."""
    if entry.agreement == "first":
        return "first"
    text = f"{entry.moved.value:+.3f}" if np.isfinite(entry.moved.value) else ""
    if np.isfinite(entry.moved.low):
        return text + f" ({entry.moved.low:+.3f}, {entry.moved.high:+.3f})"
    return text + f" {entry.agreement}" * (entry.agreement in ("in part", "disagree"))
