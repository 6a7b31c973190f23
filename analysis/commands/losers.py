"""`python -m analysis losers RUNS --curves CURVES`: which runs of a sweep cannot win, and since when."""

import argparse

import numpy as np

from analysis.commands import answers, shared
from analysis.commands.arguments import command, positive
from analysis.decisions import losers
from analysis.tables import Runs, table


def add(commands) -> None:
    sub = command(commands, "losers", run)
    sub.add_argument("--curves", metavar="FILE", required=True, help="the runs' training curves")
    help = "the column that the runs of a sweep differ in (learning_rate)"
    sub.add_argument("--setting", metavar="COL", default="learning_rate", help=help)
    help = "of a whole run, where the curves are of runs under way: says which you may stop now"
    sub.add_argument("--length", type=positive, metavar="STEPS", help=help)
    for name, what in (
        ("first", "share of a run's steps before which none is stopped"),
        ("below", "how far behind a lower rate may be, in X of the leader's gain since half its steps"),
        ("above", "the same of a higher rate"),
        ("spread", "difference in ln loss that equal runs have, on top of both"),
    ):
        default = getattr(losers.Rule(), name)
        sub.add_argument(f"--{name}", type=share, default=default, metavar="X", help=f"{what} ({default:g})")
    sub.set_defaults(figure=None, needs={"loss"})


def share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number >= 0 and np.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def run(options) -> int:
    curves = table.read(options.curves, needs={"loss"})
    rule = losers.Rule(options.first, options.below, options.above, options.spread)

    def answer(group, runs: Runs):
        sweeps = losers.sweeps(curves, runs, options.setting, options.length)
        outcomes = [losers.replay(sweep, rule) for sweep in sweeps]
        under_way = options.length is not None
        if not under_way:
            saved, kept = losers.total(outcomes)
            print(
                f"{100 * saved:.0f} % of the FLOPs of {len(sweeps)} sweeps would have been saved, and the "
                f"winner kept in {kept} of {len(sweeps)}"
            )
        for outcome in outcomes:
            show(outcome, under_way)
        answers.suggest(options, "rates")
        return {
            "rule": vars(rule),
            **({} if under_way else {"saved": saved, "kept": kept, "sweeps": len(sweeps)}),
            "each": [as_json(outcome, under_way) for outcome in outcomes],
        }, None

    return shared.each_group(options, answer)


def show(outcome: losers.Outcome, under_way: bool) -> None:
    sweep = outcome.sweep
    print(f"\n  {sweep.place or 'one sweep'}")
    for name, value, stopped in zip(sweep.names, sweep.setting, outcome.stopped, strict=True):
        word = f"loses, seen at {100 * stopped:.0f} % of its steps" if stopped < 1 else "can still win"
        if not under_way and stopped == 1:
            word = "trained to its end"
        note = ", the winner" * (not under_way and name == outcome.winner)
        print(f"    {value:>9.4g}  {name:<14} {word}{note}")
    if not under_way and not outcome.kept:
        print(
            f"    THE WINNER WAS STOPPED: the best that is left is {100 * np.expm1(outcome.cost):.2g} % worse"
        )


def as_json(outcome: losers.Outcome, under_way: bool) -> dict:
    sweep = outcome.sweep
    runs = [
        {"run": name, "setting": float(value), "stopped": float(share) if share < 1 else None}
        for name, value, share in zip(sweep.names, sweep.setting, outcome.stopped, strict=True)
    ]
    content = {"place": sweep.place, "runs": runs}
    if under_way:
        return content
    return content | {name: getattr(outcome, name) for name in ("saved", "winner", "kept", "cost")}
