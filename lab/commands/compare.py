"""`lab compare`: trains a change beside a grid, tuned alike, and says what it is worth in compute."""

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.commands import looks, means, shared
from lab.commands.experiment import CommandError, errors_with_place, load, load_file
from lab.commands.plan import show_plan
from lab.commands.run import add_order, train
from lab.commands.settings import override
from lab.config import RunConfig
from lab.plan import arms, grid
from lab.plan import looks as design
from lab.store.failures import trained_as
from lab.store.store import Store

UNITS = {"s": 1, "m": 60, "h": 3600}
ROUNDS = 2  # of tuning: between them a rate is added beyond an end that is best


def add(commands) -> None:
    parser = shared.command(commands, "compare", run)
    parser.add_argument("experiment", metavar="EXPERIMENT", help="the baseline: " + shared.HELP["experiment"])
    help = "the change: a field of every run of the arm, such as model.activation=gelu; repeatable"
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=help)
    help = "the change, as a file that defines arm(config), which returns the arm's run beside a baseline's"
    parser.add_argument("--arm", type=Path, metavar="FILE.py", help=help)
    shared.option_adder(parser, shared.HELP)("--store", **shared.STORE)
    help = "to be spent on both arms: as many of the grid's budgets as fit, from the least on"
    parser.add_argument("--flops", type=float, metavar="F", help=help)
    parser.add_argument("--within", type=seconds, metavar="30m", help="time for both arms: 90s, 30m, 2h")
    help = "learning rates tried for each arm at the least budget, 2 × apart; 1 tunes neither"
    parser.add_argument("--rates", **shared.COUNT, default=3, help=help)
    help = "look at the answer after each of the last budgets, and stop where the arms are told apart"
    parser.add_argument("--stop-when-clear", **shared.FLAG, default=False, help=help)
    help = "stop at a look where the multiplier's interval spans no more than this factor, such as 1.2"
    parser.add_argument("--stop-when-narrow", type=span, metavar="X", help=help)
    help = "show the runs and what they cost, and stop"
    parser.add_argument("--plan", **shared.FLAG, default=False, help=help)
    add_order(parser)
    shared.add_out(parser)


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: write a time such as 90s, 30m or 2h")
    return float(found[1]) * UNITS[found[2]]


def span(text: str) -> float:
    if not re.fullmatch(r"\d+(?:\.\d+)?", text) or float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a factor above 1, such as 1.2")
    return float(text)


def run(options: argparse.Namespace) -> int:
    """Train a change beside a grid, tuned alike, and say how many times the compute it is worth. Each run has
    one beside it at equal compute, data order and seed; both arms' learning rates are
    tuned. Finished runs are not trained again."""
    experiment, name, change = load(options.experiment), *change_of(options)
    store = Store(options.store)
    cells = arms.own_cells(experiment.configs())
    with errors_with_place():
        arm = arms.pair(cells, change)
    tuned = [arms.at_rates(each, options.rates) if options.rates > 1 else [] for each in (cells, arm)]
    named = f"{experiment.name}-{file_name(name)}"
    about = means.decide(options, store, named, (cells, arm), (cells, arm), tuned)
    more = f"{len(tuned[0])} more in each arm to tune its rates"
    print(f"{name} beside {experiment.name}: {len(about)} of {len(cells)} pairs of runs, {more}")
    if options.plan:
        parts = [[own[i] for i in about] for own in (cells, arm)]
        watch(options, parts[1])
        return show_plan(store, grid.unique(run for part in (*parts, *tuned) for run in part))
    out = options.out or Path("out") / named
    fresh = [run for own in tuned for run in own if store.trainable(run.run_id)]
    ladders, tried, cautions, began = [], [], [], time.monotonic()
    for title, own, tries in zip((experiment.name, name), (cells, arm), tuned, strict=True):
        status, factor, doubt, tries = tune(options, store, out, title, own, tries)
        if status is not None:
            return status
        cautions += [doubt] * bool(doubt)
        ladders.append(arms.with_factor(own, factor))
        tried.append(tries)
    fresh += [run for own, first in zip(tried, tuned, strict=True) for run in own if run not in first]
    pace = means.Pace(time.monotonic() - began, means.assumed_seconds(options, fresh))
    kept = means.decide(options, store, named, (cells, arm), ladders, tried, pace)
    if kept != about:
        print(f"{len(kept)} of {len(cells)} pairs of runs, at the pace of those so far")
    names, ladders = (experiment.name, name), tuple([own[i] for i in kept] for own in ladders)
    both = looks.Ladders(store, out, names, tuple(map(file_name, names)), ladders, cautions)
    return looks.run(options, both, watch(options, ladders[1]))


def watch(options: argparse.Namespace, arm: Sequence[RunConfig]) -> list[design.Look]:
    """The looks that are asked for, said; of a plan those that might be."""
    watched, stops = design.plan(arm), stop_words(options)
    if stops:
        print(looks.told(watched, arm, stops))
    elif options.plan and len(watched) > 1:
        print("with --stop-when-clear: " + looks.told(watched, arm, looks.CLEAR))
    return watched if stops else [design.whole(arm)]


def stop_words(options: argparse.Namespace) -> str:
    """Where a look ends the comparison; "" where none is taken."""
    narrow = f"spans no more than a factor {options.stop_when_narrow:g}" if options.stop_when_narrow else ""
    return " or ".join(filter(None, [looks.CLEAR * options.stop_when_clear, narrow]))


def change_of(options: argparse.Namespace) -> tuple[str, Callable[[RunConfig], RunConfig]]:
    """The change's name and what it makes of a baseline's run."""
    if not options.set and not options.arm:
        raise CommandError("name the change: --set FIELD=VALUE, or --arm FILE.py")
    file = load_file(options.arm) if options.arm else None
    if file and not callable(getattr(file, "arm", None)):
        raise CommandError(f"{options.arm} defines no function arm(config) -> RunConfig")

    def change(config: RunConfig) -> RunConfig:
        changed = file.arm(config) if file else config
        if not isinstance(changed, RunConfig):
            raise CommandError(f"{options.arm}: arm(config) returned {changed!r}, no RunConfig")
        return override(changed, *options.set) if options.set else changed

    words = [text.partition(".")[2] or text for text in options.set]
    return ",".join([options.arm.stem, *words] if file else words), change


def tune(options, store: Store, out: Path, title: str, cells, tries) -> tuple[int | None, float, str, list]:
    """(exit status where it stopped before its end, the factor on the arm's own rates that is best, why that
    factor is in doubt or "", the runs tried)."""
    factor, further = 1.0, None
    for i in range(ROUNDS if tries else 0):
        if further is not None:
            tries = grid.unique([*tries, *arms.with_factor(arms.at_rates(cells, 1), further)])
        print(f"{title}: {len(tries)} runs tune its learning rates, round {i + 1}")
        status, over = train(options, store, tries, out, out.name)
        if not over or (status and options.fail_fast):
            return 1, factor, "", tries
        factor, further = arms.best_factor(cells, [(c, loss_of(store, c)) for c in tries])
        if further is None:
            break
    if tries:
        print(f"{title}: {factor:g} × its own learning rates is the best of {len(tries)} runs")
    return None, factor, at_an_end(title, factor, further), tries


def at_an_end(title: str, factor: float, further: float | None) -> str:
    """That the rates tried do not enclose the best; "" where they do."""
    if further is None:
        return ""
    return (
        f"{title} trains at {factor:g} × its own learning rates, an end of those tried: {further:g} × may be "
        "better yet, and what an arm loses by its rate counts in the multiplier; try more (--rates)"
    )


def loss_of(store: Store, config: RunConfig) -> float:
    """Of a finished run, or of its second try; NaN of one that diverged or failed."""
    record = store.status_and_record(trained_as(store, config).run_id)[1] or {}
    return record.get("loss") or float("nan")


def file_name(name: str) -> str:
    return re.sub(r"[^\w.,=+-]", "_", name)[:80]
