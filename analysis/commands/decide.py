"""`python -m analysis decide TABLE --budget F | --target-loss L | --run N,D`: what to train."""

import argparse
import textwrap

import numpy as np

from analysis.commands import shared
from analysis.decisions import plans, questions
from analysis.decisions.answer import Answer, Bands, priced
from analysis.fitting.band import Band
from analysis.frontiers import frontier
from analysis.tables import cautions, headers

COLUMNS = {  # of an answer: heading, format, whether the table of alternatives shows its interval
    "params": ("params", "{:.4g}", True),
    "tokens": ("tokens", "{:.4g}", False),
    "tokens_per_param": ("tokens/param", "{:.4g}", False),
    "epochs": ("epochs", "{:.3g}", False),
    "flops": ("training FLOPs", "{:.4g}", False),
    "total_flops": ("total FLOPs", "{:.4g}", False),
    "loss": ("loss", "{:.4f}", False),
    "run_loss": ("loss of one run", "{:.4f}", False),
    "extra_loss": ("extra loss", "{:.4f}", False),
    "wasted_compute": ("compute wasted", "{:.1%}", True),
    "device_hours": ("device-hours", "{:.4g}", False),
    "money": ("money", "{:.4g}", False),
}
FLAGS = {
    "compute": "--budget",
    "target_loss": "--target-loss",
    "planned": "--run",
    "serve": "--serve",
    "overhead": "--overhead",
    "data_cap": "--data-cap",
    "repeat_decay": "--repeat-decay",
    "price_per_hour": "--price-per-hour",
    "flops_per_second": "--flops-per-second",
}
TOGETHER = {  # option: those of which it needs one
    "serve": ("compute", "target_loss"),
    "overhead": ("target_loss",),
    "data_cap": ("compute",),
    "repeat_decay": ("data_cap",),
    "price_per_hour": ("flops_per_second",),
}


def add(commands) -> None:
    help = "what to train with a budget, or for a loss"
    roles = [role for role in shared.ROLES if role != "budget"]
    sub = shared.command(commands, "decide", run, help, roles=roles)
    question = sub.add_mutually_exclusive_group(required=True)
    question.add_argument(
        "--budget",
        dest="compute",
        type=shared.positive,
        metavar="F",
        help="FLOPs: which size and tokens reach the least loss",
    )
    question.add_argument(
        "--target-loss",
        type=shared.positive,
        metavar="L",
        help="nats/token: the least compute that reaches it",
    )
    question.add_argument(
        "--run",
        dest="planned",
        type=shared.numbers,
        metavar="N,D",
        help="params,tokens: the loss of one planned run",
    )
    sub.add_argument(
        "--serve",
        type=shared.positive,
        default=0.0,
        metavar="TOKENS",
        help="served over the model's life; counted into the compute",
    )
    sub.add_argument(
        "--overhead",
        type=factor,
        metavar="X",
        help="with --target-loss: sizes at X times the least compute (2)",
    )
    sub.add_argument(
        "--data-cap",
        type=shared.positive,
        metavar="TOKENS",
        help="with --budget: unique tokens there are; more are repeats",
    )
    sub.add_argument(
        "--repeat-decay",
        type=shared.numbers,
        metavar="R_D,R_N",
        help="with --data-cap: how repeats wear out (as published)",
    )
    sub.add_argument(
        "--flops-per-second",
        type=shared.positive,
        metavar="X",
        help="that a device really reaches: gives device-hours",
    )
    sub.add_argument("--price-per-hour", type=shared.positive, metavar="Y", help="of a device")
    sub.add_argument("--cost", choices=("table", "6nd"), default="table")
    sub.add_argument("--anyway", action="store_true", help="decide on a fit that is not ok")
    shared.add_fit_options(sub, "pairs")
    sub.set_defaults(bootstrap=1000)  # also below 100 runs: answers need draws
    shared.add_figure(sub)


def factor(text: str) -> float:
    number = shared.positive(text)
    if number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 1, such as 2 for twice")
    return number


def run(options) -> int:
    check(options)
    results = []

    def one(group, runs) -> None:
        comparable(runs, options)
        fitted, front = shared.parametric(options, runs)
        if fitted.status != "ok" and not options.anyway:
            raise ValueError(
                f"the fit is {fitted.status}, not ok: {fitted.message}. A decision on it would be "
                "a guess; mend the table, or see the guess with --anyway"
            )
        found = ask(options, fitted, front.cost)
        if options.flops_per_second:
            found = priced(found, options.flops_per_second, options.price_per_hour)
        show(group, runs, found)
        results.append(shared.with_group(group, as_json(found)))
        if options.figure:
            from analysis.figures import decisions as figures_decide

            shared.save(options, group, lambda: figures_decide.decision(fitted, front.cost, found))

    status = shared.each_group(options, one)
    shared.write_json(options, results)
    return status


def comparable(runs, options) -> None:
    """Refuse losses of several texts or tokens, which no law joins."""
    used = runs.usable()
    why = cautions.different_text(used.columns, used.roles, headers.TEXT)
    if why and not options.anyway:
        raise ValueError(
            f"{runs.source}: {why}. A decision on all of them together would be of none; see it with --anyway"
        )


def check(options) -> None:
    """Refuse options that do not belong to the question, before any work."""
    given = vars(options)
    for name, fitting in TOGETHER.items():
        if given[name] and not any(given[other] for other in fitting):
            needs = " or ".join(FLAGS[other] for other in fitting)
            raise ValueError(f"{FLAGS[name]} goes with {needs}, and means nothing here")
    if options.serve and options.data_cap:
        raise ValueError("--serve and --data-cap together are not answered; ask for one of them")
    for name, example in (
        ("repeat_decay", "R_D,R_N, such as 15.4,5.3"),
        ("planned", "params,tokens, such as 7e10,1.4e12"),
    ):
        if given[name] is not None and len(given[name]) != 2:
            raise ValueError(f"{FLAGS[name]} takes two numbers, {example}")
    if options.intervals == "profile":
        raise ValueError(
            "--intervals profile makes no draws of the law, and decide works its answers out under "
            "every draw; leave it out, or ask for pairs, cluster or wild"
        )
    if options.intervals == "auto":
        options.intervals = None  # pairs, or cluster where rows share a run


def ask(options, fitted, cost) -> Answer:
    if options.planned:
        return questions.run(fitted, cost, *options.planned)
    if options.target_loss:
        overhead = options.overhead or 2.0
        return questions.target(fitted, cost, options.target_loss, options.serve, overhead)
    if options.data_cap:
        decay = tuple(options.repeat_decay or plans.DECAY)
        return questions.capped(fitted, cost, options.compute, options.data_cap, decay)
    return questions.budget(fitted, cost, options.compute, options.serve)


def as_json(found: Answer) -> dict:
    """An infinite end is null; `unreachable_draws` then says how many draws made it so."""

    def plain(bands: Bands) -> dict:
        return {
            name: {"value": band.value, "low": band.low, "high": band.high} for name, band in bands.items()
        }

    return {
        "question": found.question,
        **found.asked,
        "answer": plain(found.plan),
        "alternatives": [{"name": name, **plain(bands)} for name, bands in found.alternatives],
        "assumptions": found.assumptions,
        "times_largest_run": found.times_largest_run,
        "tokens_per_param_seen": found.ratios,
        "draws": found.draws,
        "unreachable_draws": found.unreachable_draws,
        "status": found.status,
        "message": found.message,
        "cautions": found.notes,
    }


def show(group, runs, found: Answer) -> None:
    shared.print_head(group, runs, found.question, cautions=())  # its notes hold them
    for label, lines in (
        ("assumes", [line for line in found.assumptions if line != frontier.convention(runs)]),
        ("status", [f"{found.status}: {found.fit_message}"]),
        ("reach", [f"training compute is {found.times_largest_run:.3g} × the largest run's"]),
        (
            "CAREFUL",
            [found.status.upper() + " FIT: what follows is a guess"] * (found.status != "ok") + found.notes,
        ),
    ):
        for i, line in enumerate(lines):
            wrapped = textwrap.wrap(line, 100, subsequent_indent=" " * 14)
            print(f"  {label if not i else '':<12}" + "\n".join(wrapped))
    print(f"\n  {found.verdict}\n")
    for name, band in found.plan.items():
        heading, form, _ = COLUMNS[name]
        print(f"  {heading:<18}{form.format(band.value):>12}  {ends(band, form)}".rstrip())
    print()
    for line in table(found):
        print("  " + line)
    print()


def ends(band: Band, form: str) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f"95 % ({form.format(band.low)}, {form.format(band.high)})"


def table(found: Answer) -> list[str]:
    """The alternatives as aligned lines, with the columns that any of them has; marked where the
    table has no runs of their kind."""
    least, most = found.ratios
    names = [name for name in COLUMNS if any(name in bands for _, bands in found.alternatives)]
    grid, untested = [["otherwise", *(COLUMNS[name][0] for name in names)]], False
    for row, bands in found.alternatives:
        ratio = bands["tokens_per_param"].value if "tokens_per_param" in bands else least
        outside = not 0.99 * least <= ratio <= 1.01 * most
        untested |= outside
        cells = [row + " †" * outside]
        for name in names:
            _, form, interval = COLUMNS[name]
            cell = form.format(bands[name].value) if name in bands else ""
            if cell and interval and (inside := ends(bands[name], form)):
                cell += " " + inside.removeprefix("95 % ")
            cells.append(cell)
        grid.append(cells)
    wide = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in grid]
    if untested:
        lines.append(f"† the table's runs have {least:.3g} to {most:.3g} tokens per param: untested")
    return lines
