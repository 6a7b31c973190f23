"""`python -m analysis decide TABLE --budget F | --target-loss L | --run N,D`: what to train."""

import argparse
import textwrap

import numpy as np

from analysis import frontiers
from analysis.commands import answer as answers
from analysis.commands import shared
from analysis.commands.arguments import ROLES, add_fit_options, add_options, command, numbers, positive
from analysis.commands.fit import add_law_name
from analysis.decisions import (
    Answer,
    add_prices,
    doubts,
    least_compute,
    least_loss,
    least_loss_capped,
    planned_run,
)
from analysis.decisions.answer import Bands
from analysis.decisions.plans import DECAY
from analysis.figures import plot_decision
from analysis.figures.words import human
from analysis.fitting import Band
from analysis.headline import Headline, power, short
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


def factor(text: str) -> float:
    number = positive(text)
    if number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 1, such as 2 for twice")
    return number


QUESTIONS = {  # name among the options: flag, type, metavar, help
    "compute": ("--budget", positive, "F", "FLOPs: which size and tokens reach the least loss"),
    "target_loss": ("--target-loss", positive, "L", "in the table's unit: the least compute that reaches it"),
    "planned": ("--run", numbers, "N,D", "params,tokens: the loss of one planned run"),
}
FURTHER = {  # the same, but for the flag, which is the name
    "serve": (positive, "TOKENS", "served over the model's life; counted into the compute"),
    "overhead": (factor, "X", "with --target-loss: sizes at X times the least compute (2)"),
    "data_cap": (positive, "TOKENS", "with --budget: unique tokens there are; more are repeats"),
    "repeat_decay": (numbers, "R_D,R_N", "with --data-cap: how repeats wear out (as published)"),
    "flops_per_second": (positive, "X", "that a device really reaches: gives device-hours"),
    "price_per_hour": (positive, "Y", "of a device"),
    "within": (
        positive,
        "PERCENT",
        "the error asked for: refuse where forms of the law or held-out runs say more",
    ),
}
HEADLINE = ("params", "tokens", "loss")
FLAGS = {name: flag for name, (flag, *_) in QUESTIONS.items()}
FLAGS |= {name: "--" + name.replace("_", "-") for name in FURTHER}
TOGETHER = {  # option: those of which it needs one
    "serve": ("compute", "target_loss"),
    "overhead": ("target_loss",),
    "data_cap": ("compute",),
    "repeat_decay": ("data_cap",),
    "price_per_hour": ("flops_per_second",),
}


def add(commands) -> None:
    help = "what to train with a budget, or for a loss"
    roles = [role for role in ROLES if role != "budget"]
    sub = command(commands, "decide", run, help, roles=roles)
    question = sub.add_mutually_exclusive_group(required=True)
    for name, (flag, kind, metavar, text) in QUESTIONS.items():
        question.add_argument(flag, dest=name, type=kind, metavar=metavar, help=text)
    for name, (kind, metavar, text) in FURTHER.items():
        sub.add_argument(FLAGS[name], type=kind, metavar=metavar, help=text)
    add_options(sub, "--cost")
    add_law_name(sub)
    sub.add_argument("--anyway", action="store_true", help="decide on a fit that is not ok")
    add_fit_options(sub, "pairs")
    sub.set_defaults(bootstrap=1000, serve=0.0)  # also below 100 runs: answers need draws
    add_options(sub, "--figure")


def run(options) -> int:
    check(options)
    statuses = []

    def answer(group, runs):
        check_one_text(runs, options)
        fitted = shared.fit(options, runs)
        if fitted.status != "ok" and not options.anyway:
            raise ValueError(
                f"the fit is {fitted.status}, not ok: {fitted.message}. A decision on it would be "
                "a guess; mend the table, or see the guess with --anyway"
            )
        alone, cost = fitted, frontiers.fit_cost(runs, options.cost)
        fitted = shared.with_intervals(options, fitted)
        decision = decide(options, fitted, cost)
        if options.flops_per_second:
            decision = add_prices(decision, options.flops_per_second, options.price_per_hour)
        check_doubts(options, fitted, decision)
        statuses.append(decision.status)
        best = answers.of_table(options, runs, alone)
        same = best is not None and names_the_same(best, decision)
        lines = best.lines(decision.plan["flops"].value) if best else []
        answers.say(
            group,
            in_words(decision, best if same else None) + [x for x in lines if not (same and x[:3] == "At ")],
        )
        print()
        show(group, runs, decision, options.verbose)
        answers.suggest(options, "audit")
        return as_json(decision), lambda: plot_decision(fitted, cost, decision)

    refused = shared.each_group(options, answer)
    return refused or int(not options.anyway and set(statuses) - {"ok"} != set())


def check_doubts(options, fitted, decision: Answer) -> None:
    """Refuse an answer whose loss the table cannot tell within the error asked for."""
    if not options.within:
        return
    at = (decision.plan[name].value for name in ("params", "tokens"))
    why = doubts(fitted, *at, options.within / 100)
    if why and not options.anyway:
        raise ValueError(
            f"{fitted.runs.source}: refused at {decision.headline}: {'; '.join(why)}. See it with --anyway"
        )
    decision.notes.extend(why)


def check_one_text(runs, options) -> None:
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
    for name, others in TOGETHER.items():
        if given[name] and not any(given[other] for other in others):
            needs = " or ".join(FLAGS[other] for other in others)
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


def decide(options, fitted, cost) -> Answer:
    if options.planned:
        return planned_run(fitted, cost, *options.planned)
    if options.target_loss:
        overhead = options.overhead or 2.0
        return least_compute(fitted, cost, options.target_loss, options.serve, overhead)
    if options.data_cap:
        decay = tuple(options.repeat_decay or DECAY)
        return least_loss_capped(fitted, cost, options.compute, options.data_cap, decay)
    return least_loss(fitted, cost, options.compute, options.serve)


def as_json(answer: Answer) -> dict:
    """An infinite end is null; `unreachable_draws` then says how many draws made it so."""

    def plain(bands: Bands) -> dict:
        return {name: shared.band_json(band) for name, band in bands.items()}

    return {
        "question": answer.question,
        **answer.given,
        "answer": plain(answer.plan),
        "alternatives": [{"name": name, **plain(bands)} for name, bands in answer.alternatives],
        "assumptions": answer.assumptions,
        "times_largest_run": answer.times_largest_run,
        "tokens_per_param_seen": answer.ratios,
        "draws": answer.draws,
        "unreachable_draws": answer.unreachable_draws,
        "status": answer.status,
        "message": answer.message,
        "cautions": answer.notes,
    }


def names_the_same(best: Headline, answer: Answer) -> bool:
    """Whether the table's headline names the model that is planned, so that its intervals are the plan's."""
    size = best.front.at([answer.plan["flops"].value])[0].value[0]
    return best.trusted and bool(np.isclose(size, answer.plan["params"].value))


def in_words(answer: Answer, best: Headline | None) -> list[str]:
    """What to train, in a sentence; what the neighbours cost; what stands against it. Where the headline of
    the table names the same model its intervals are said, which are those of every other command."""
    plan, bad = answer.plan, answer.status != "ok"
    if best:
        bands = best.front.at([plan["flops"].value])
        same = {
            n: Band(*map(float, (b.value[0], b.low[0], b.high[0])))
            for n, b in zip(HEADLINE, bands, strict=True)
        }
        plan = plan | same
    size, seen, loss = (plan[name] for name in ("params", "tokens", "loss"))
    epochs = f", {plan['epochs'].value:.3g} times over" if "epochs" in plan else ""
    cost = f"{power(plan['flops'].value)} FLOPs"
    if "total_flops" in plan:
        cost += f" of training, {power(plan['total_flops'].value)} with serving"
    if "device_hours" in plan:
        cost += f", {plan['device_hours'].value:.3g} device-hours"
    if "money" in plan:
        cost += f", {plan['money'].value:.3g} of money"
    lines = [
        f"{'A GUESS, the fit is ' + answer.status + '. ' if bad else ''}Train {human(short(size.value))} "
        f"parameters{between(size)} on {human(short(seen.value))} tokens{between(seen)}{epochs} ({cost}): "
        f"loss {loss.value:.4f}{between(loss, '{:.4f}'.format)}{answer.unit}."
    ]
    rows = dict(answer.alternatives)
    wasted = [rows.get(name, {}).get("wasted_compute") for name in ("size × 0.5", "size × 2")]
    if all(wasted):
        half, twice = (f"{100 * band.value:.0f} %" for band in wasted)
        lines.append(f"Half the size wastes {half} of the compute, twice the size {twice}.")
    doubts = [textwrap.shorten(note.split(". ")[0], 90, placeholder=" ...") for note in answer.notes]
    return lines + [f"Doubts ({len(doubts)}, in full below): {'; '.join(doubts[:3])}."] * bool(doubts)


def between(band: Band, write=lambda value: human(short(value))) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f" ({write(band.low)} to {write(band.high)})"


def show(group, runs, answer: Answer, verbose: bool = False) -> None:
    shared.print_head(group, runs, answer.question, cautions=())  # its notes hold them
    guess = [answer.status.upper() + " FIT: what follows is a guess"] * (answer.status != "ok")
    for label, lines in (
        ("assumes", [line for line in answer.assumptions if line != frontiers.convention(runs)] * verbose),
        ("status", [f"{answer.status}: {answer.fit_message}"]),
        ("reach", [f"training compute is {answer.times_largest_run:.3g} × the largest run's"]),
        ("CAREFUL", guess + answer.notes),
    ):
        for i, line in enumerate(lines):
            wrapped = textwrap.wrap(line, 100, subsequent_indent=" " * 14)
            print(f"  {label if not i else '':<12}" + "\n".join(wrapped))
    print(f"\n  {answer.headline}\n")
    print("  under every resampled law:\n" * (answer.draws > 0), end="")
    for name, band in answer.plan.items():
        heading, form, _ = COLUMNS[name]
        print(f"  {heading:<18}{form.format(band.value):>12}  {interval_words(band, form)}".rstrip())
    print()
    for line in table(answer):
        print("  " + line)
    print()


def interval_words(band: Band, form: str) -> str:
    if np.isnan(band.low) or abs(band.high - band.low) <= 1e-9 * abs(band.value):
        return ""
    return f"95 % ({form.format(band.low)}, {form.format(band.high)})"


def table(answer: Answer) -> list[str]:
    """The alternatives as aligned lines, with the columns that any of them has; marked where the
    table has no runs of their kind."""
    least, most = answer.ratios
    names = [name for name in COLUMNS if any(name in bands for _, bands in answer.alternatives)]
    grid, untested = [["otherwise", *(COLUMNS[name][0] for name in names)]], False
    for row, bands in answer.alternatives:
        ratio = bands["tokens_per_param"].value if "tokens_per_param" in bands else least
        outside = not 0.99 * least <= ratio <= 1.01 * most
        untested |= outside
        cells = [row + " †" * outside]
        for name in names:
            _, form, with_interval = COLUMNS[name]
            cell = form.format(bands[name].value) if name in bands else ""
            if cell and with_interval and (ends := interval_words(bands[name], form)):
                cell += " " + ends.removeprefix("95 % ")
            cells.append(cell)
        grid.append(cells)
    wide = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in grid]
    if untested:
        lines.append(f"† the table's runs have {least:.3g} to {most:.3g} tokens per param: untested")
    return lines
