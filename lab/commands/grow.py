"""`lab grow`: trains a grid in rounds until a number is known, and scores its own forecasts on the way."""

import argparse
import math
import time
from pathlib import Path

from lab.commands import grown, shared, standard
from lab.commands import run as training
from lab.commands.asked import Refused
from lab.commands.compare import seconds
from lab.commands.experiment import CommandError
from lab.commands.plan import show_plan
from lab.config import RunConfig
from lab.launch.processes import shares
from lab.models import counts
from lab.plan import arms, grid, growth

ROUNDS = 50  # at most


def add(commands) -> None:
    parser = shared.command(commands, "grow", run)
    shared.add_grid(parser)
    help = "what shall be known, how well: params_exponent±0.05, or loss@1e15±0.5%% (+- for ±)"
    parser.add_argument("--until", type=goal, required=True, metavar="NUMBER±WIDTH", help=help)
    help = "to be spent on new runs, over all calls; without --within by default what the grid itself costs"
    parser.add_argument("--flops", type=float, metavar="F", help=help)
    help = "the same in time: 90s, 30m, 2h; no round is begun that would end later"
    parser.add_argument("--within", type=seconds, metavar="2h", help=help)
    help = "show the first round's runs and what they cost, and stop"
    parser.add_argument("--plan", **shared.FLAG, default=False, help=help)
    training.add_order(parser)
    shared.add_out(parser)


def goal(text: str) -> growth.Goal:
    try:
        return growth.goal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Train a grid round by round until a number is known. Each round's runs are those that narrow it most,
    and what they will give is sealed before. Ends when it is known, the budget is spent, or more runs would
    not help; the same command goes on after a stop."""
    experiment, store = shared.open_grid(options)
    cells = arms.own_cells(experiment.configs())
    out = options.out or Path("out") / f"{experiment.name}-grown"
    grows = grown.Growth(options, store, cells, experiment.name, out)
    if options.plan:
        return show_plan(store, growth.beginning(cells))
    runs: list[RunConfig] = []
    known, why = grown.UNKNOWN, f"{ROUNDS} rounds"
    for number in range(ROUNDS):
        sealed = grows.rounds.sealed(number)
        if sealed is None:
            if end := seal_next(grows, number, runs, known):
                why = end
                break
            sealed = grows.rounds.sealed(number)
        runs += [each["config"] for each in sealed["runs"]]
        status, known = train_round(grows, sealed, runs)
        if status is not None:
            return status
    return finish(grows, runs, known, why)


def seal_next(grows: grown.Growth, number: int, runs: list[RunConfig], known: dict) -> str:
    """Choose the next round's runs and seal what they will give; or say why there is no next round."""
    if not number:
        first = growth.beginning(grows.cells)
        return seal(grows, 0, first, [dict(grown.NO_FORECAST) for _ in first])
    if reached(grows.goal, known):
        return "reached"
    left, spent = flops_left(grows, runs), sum(map(counts.run_flops, runs))
    least = max(min(map(counts.run_flops, grows.among)), growth.REST * spent)
    halves = [math.inf if each["half"] is None else each["half"] for each in scores(grows)]
    try:
        gain = grown.suggested(grows, left)["gain"] if left >= least and math.isfinite(halves[-1]) else None
        if why := growth.no_help(grows.goal, halves, gain, left, least):
            return why
        asked = grown.suggested(grows, max(least, min(left, spent)))
    except Refused as error:
        return str(error)
    new = growth.chosen(asked["runs"], grows.among, grows.cells, runs)
    return seal(grows, number, new, grown.forecasts(grows, new))


def seal(grows: grown.Growth, number: int, new: list[RunConfig], forecasts: list[dict]) -> str:
    """Write a round before any of its runs begins. Returns "", as what ends a growth has words."""
    flops = grid.price([c for c in new if grows.store.status(c.run_id) != "done"]).flops
    if not number and flops > budget(grows):
        raise CommandError(f"the first {len(new)} runs cost {flops:.3g} FLOPs, more than --flops allows")
    grows.store.prepare()
    grows.rounds.seal(number, new, forecasts, goal=str(grows.goal), flops=flops)
    words = f"{sum(each['low'] is not None for each in forecasts)} forecasts" if number else "no forecast yet"
    print(f"round {number}: {len(new)} runs, {flops:.3g} FLOPs new, {words} sealed in {grows.rounds.folder}")
    return ""


def train_round(grows: grown.Growth, sealed: dict, runs: list[RunConfig]) -> tuple[int | None, dict]:
    """Train a round's runs and score its forecasts, once. (exit status where it stopped before its end, what
    is known then.)"""
    number, begun = sealed["round"], time.monotonic()
    score = grows.rounds.scored(number)
    if score is None:
        new = [each["config"] for each in sealed["runs"]]
        status, over = training.train(grows.options, grows.store, new, grows.out, grows.name)
        if not over or status:
            return status, grown.UNKNOWN
    grown.write_table(grows, runs)
    if score is not None and (score["goal"] == grows.goal.name or grows.rounds.sealed(number + 1)):
        return None, score["known"]
    known = grown.measure(grows)
    if score is None:
        rows = [grown.outcome(grows.store, each) for each in sealed["runs"]]
        spent = time.monotonic() - begun
        grows.rounds.score(number, goal=grows.goal.name, known=known, seconds=spent, runs=rows)
        kept, of = growth.held(rows)
        said = f"{kept} of {of} forecasts held; " if of else ""
        print(f"round {number}: {said}{grown.in_words(grows.goal, known)}")
    return None, known


def scores(grows: grown.Growth) -> list[dict]:
    """What was known after each round, of the number asked for now."""
    every = grows.rounds.all_scored()
    own = [score["known"] for score in every if score["goal"] == grows.goal.name]
    return own or [grown.UNKNOWN]


def reached(goal: growth.Goal, known: dict) -> bool:
    return known["half"] is not None and known["half"] <= goal.half and known["verdict"] != "refuse"


def budget(grows: grown.Growth) -> float:
    """FLOPs of new runs that may be spent over all rounds."""
    options = grows.options
    if options.flops is None and options.within is None:
        return grid.price(grows.cells).flops
    return math.inf if options.flops is None else options.flops


def flops_left(grows: grown.Growth, runs: list[RunConfig]) -> float:
    """What --flops and --within leave, the time at the rate of the runs so far."""
    every = range(len(grows.rounds.all_scored()))
    left = budget(grows) - sum(grows.rounds.sealed(number)["flops"] for number in every)
    if grows.options.within is None:
        return left
    gone = sum(score["seconds"] for score in grows.rounds.all_scored())
    records = [(run, grows.store.status_and_record(run.run_id)[1] or {}) for run in runs]
    timed = [(run, record["seconds"]) for run, record in records if record.get("seconds")]
    if not timed:
        return left
    pace = sum(spent for _, spent in timed) / sum(counts.run_flops(run) for run, _ in timed)
    workers = grows.options.workers or len(shares(grows.options.devices))
    return min(left, max(0.0, grows.options.within - gone) * workers / pace)


def finish(grows: grown.Growth, runs: list[RunConfig], known: dict, why: str) -> int:
    """The answer, how often forecasts held, and the page."""
    every = grows.rounds.all_scored()
    standard.write(grows.store, runs, grows.out, grows.name)
    grown.write_forecasts(every, grows.out / "forecasts.csv")
    cost = sum(map(counts.run_flops, runs))
    print(f"\n{grown.in_words(grows.goal, known)}, after {len(runs)} runs, {cost:.3g} FLOPs")
    print(f"asked for {grows.goal}: {why}" if why == "reached" else f"NOT reached ({grows.goal}): {why}")
    kept, of = growth.held(row for score in every for row in score["runs"])
    print(
        f"its own forecasts, sealed before the runs: {kept} of {of} 95 % intervals held"
        if of
        else "no forecast"
    )
    print(f"Next: open {grows.out / 'report.html'}; forecasts and losses: {grows.out / 'forecasts.csv'}")
    return int(why != "reached")
