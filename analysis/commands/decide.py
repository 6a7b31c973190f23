"""`python -m analysis decide TABLE [--budget F | --target-loss L | --run N,D]`: what to train."""

import argparse

from analysis import frontiers
from analysis.commands import answers, shared
from analysis.commands.arguments import ROLES, add_fit_options, add_options, command, numbers, positive
from analysis.commands.decision import answers_alone, in_words, reaches, show
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
from analysis.headline import Headline
from analysis.tables import cautions, headers


def factor(text: str) -> float:
    number = positive(text)
    if number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 1, such as 2 for twice")
    return number


QUESTIONS = {  # name among the options: flag, type, metavar, help
    "compute": (
        "--budget",
        positive,
        "F",
        "FLOPs: which size and tokens reach the least loss (10 times the largest run's)",
    ),
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
FLAGS = {name: flag for name, (flag, *_) in QUESTIONS.items()}
FLAGS |= {name: "--" + name.replace("_", "-") for name in FURTHER}
TOGETHER = {  # option: those of which it needs one
    "serve": ("compute", "target_loss"),
    "overhead": ("target_loss",),
    "data_cap": ("compute",),
    "repeat_decay": ("data_cap",),
    "price_per_hour": ("flops_per_second",),
}

STEP = 10.0  # times the largest run's compute: the budget of a question that names none


def add(commands) -> None:
    roles = [role for role in ROLES if role != "budget"]
    sub = command(commands, "decide", run, roles=roles)
    question = sub.add_mutually_exclusive_group()
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
        cost, best = frontiers.fit_cost(runs, options.cost), answers.of_table(options, runs, fitted)
        fitted = shared.with_intervals(options, fitted)
        decision = decide(options, fitted, cost, best)
        if options.flops_per_second:
            decision = add_prices(decision, options.flops_per_second, options.price_per_hour)
        check_doubts(options, fitted, decision)
        statuses.append(decision.status)
        answers.say(group, [*in_words(decision, best), answers.rows_read(runs)])
        print()
        show(group, runs, decision, best, options.verbose)
        answers.suggest(options, "audit")
        return as_json(decision, best), lambda: plot_decision(fitted, cost, decision)

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


def decide(options, fitted, cost, best: Headline | None = None) -> Answer:
    """The question that the options ask, of the fitted law; other sizes about the headline's where that is
    the answer."""
    if options.planned:
        return planned_run(fitted, cost, *options.planned)
    if options.target_loss:
        overhead = options.overhead or 2.0
        return least_compute(fitted, cost, options.target_loss, options.serve, overhead)
    if options.data_cap:
        decay = tuple(options.repeat_decay or DECAY)
        return least_loss_capped(fitted, cost, options.compute, options.data_cap, decay)
    compute = options.compute or STEP * float(fitted.runs.flops.max())
    size = best.front.at([compute])[0].value[0] if not options.serve and reaches(best, compute) else None
    return least_loss(fitted, cost, compute, options.serve, size)


def as_json(answer: Answer, best: Headline | None = None) -> dict:
    """An infinite end is null; `unreachable_draws` then says how many draws made it so. `answer` is the
    fitted law's; `headline` is what is printed first, and null where that is the law's own plan."""

    def plain(bands: Bands) -> dict:
        return {name: shared.band_json(band) for name, band in bands.items()}

    return {
        "question": answer.question,
        **answer.given,
        "answer": plain(answer.plan),
        "headline": headline_json(answer, best),
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


def headline_json(answer: Answer, best: Headline | None) -> dict | None:
    if not answers_alone(answer, best):
        return None
    flops = answer.plan["flops"].value
    bands = *best.front.at([flops])[:2], best.of_loss(flops).at([flops])[2]
    ends = ("value", "low", "high")
    content = {
        name: {end: getattr(band, end)[0] for end in ends}
        for name, band in zip(("params", "tokens", "loss"), bands, strict=True)
    }
    by = {"method": best.front.method, "loss_method": best.of_loss(flops).method, "evidence": best.evidence}
    return {**by, **content}
