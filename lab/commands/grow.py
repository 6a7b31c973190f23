"""`lab grow`: trains a grid in rounds until a number is known, and scores its own forecasts on the way."""

import argparse
import math
import time
from pathlib import Path

from lab.commands import estimates, grid_page, shared
from lab.commands.analysis import Refused
from lab.commands.compare import seconds
from lab.commands.experiment import CommandError
from lab.commands.plan import show_plan
from lab.commands.run import add_order, failed_alone, train
from lab.config import RunConfig
from lab.launch.processes import at_once
from lab.models import counts
from lab.plan import arms, grid, sequential
from lab.store.failures import has_failed

ROUNDS = 50  # at most


def add(commands) -> None:
    parser = shared.command(commands, "grow", run)
    shared.add_grid(parser)
    help = "what shall be known, how well: params_exponent±0.05, or loss@1e15±0.5%% (+- for ±)"
    parser.add_argument("--until", type=goal, required=True, metavar="NUMBER±WIDTH", help=help)
    help = "to be spent on new runs, over all calls; without --within by default what the grid itself costs"
    parser.add_argument("--flops", type=float, metavar="F", help=help)
    help = "time for new runs: 90s, 30m, 2h; no round is begun that would end later"
    parser.add_argument("--within", type=seconds, metavar="2h", help=help)
    help = "show the first round's runs and what they cost, and stop"
    parser.add_argument("--plan", **shared.FLAG, default=False, help=help)
    add_order(parser)
    shared.add_out(parser)


def goal(text: str) -> sequential.Goal:
    try:
        return sequential.read_goal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Train a grid round by round until a number is known. Each round's runs are those that narrow it most,
    and what they will give is sealed before. Ends when it is known, the budget is spent, or more runs would
    not help; the same command goes on after a stop."""
    experiment, store = shared.open_grid(options)
    cells = arms.own_cells(experiment.configs())
    out = options.out or Path("out") / f"{experiment.name}-grown"
    study = estimates.Study(options, store, cells, experiment.name, out)
    if options.plan:
        return show_plan(store, sequential.first_round(cells))
    runs: list[RunConfig] = []
    known, why = estimates.UNKNOWN, f"{ROUNDS} rounds"
    for number in range(ROUNDS):
        sealed = study.rounds.sealed(number)
        if sealed is None:
            if end := seal_next(study, number, runs, known):
                why = end
                break
            sealed = study.rounds.sealed(number)
        runs += [each["config"] for each in sealed["runs"]]
        status, known = train_round(study, sealed, runs)
        if status is not None:
            return status
    return finish(study, runs, known, why)


def seal_next(study: estimates.Study, number: int, runs: list[RunConfig], known: dict) -> str:
    """Choose the next round's runs and seal what they will give; or say why there is no next round."""
    if not number:
        first = sequential.first_round(study.cells)
        return seal(study, 0, first, [dict(estimates.NO_FORECAST) for _ in first])
    if is_reached(study.goal, known):
        return "reached"
    left, spent = flops_left(study, runs), sum(map(counts.run_flops, runs))
    least = max(min(map(counts.run_flops, study.among)), sequential.REST * spent)
    halves = [math.inf if each["half"] is None else each["half"] for each in scores(study)]
    try:
        gain = estimates.suggest(study, left)["gain"] if left >= least and math.isfinite(halves[-1]) else None
        if why := sequential.stop_reason(study.goal, halves, gain, left, least):
            return why
        suggestion = estimates.suggest(study, max(least, min(left, spent)))
    except Refused as error:
        return str(error)
    new = sequential.next_round(suggestion["runs"], study.among, study.cells, runs)
    return seal(study, number, new, estimates.forecasts(study, new))


def seal(study: estimates.Study, number: int, new: list[RunConfig], forecasts: list[dict]) -> str:
    """Write a round before any of its runs begins. Returns "", as what ends a study has words."""
    flops = grid.price([c for c in new if study.store.status(c.run_id) != "done"]).flops
    if not number and flops > budget(study):
        raise CommandError(f"the first {len(new)} runs cost {flops:.3g} FLOPs, more than --flops allows")
    study.store.prepare()
    study.rounds.seal(number, new, forecasts, goal=str(study.goal), flops=flops)
    words = f"{sum(each['low'] is not None for each in forecasts)} forecasts" if number else "no forecast yet"
    print(f"round {number}: {len(new)} runs, {flops:.3g} FLOPs new, {words} sealed in {study.rounds.folder}")
    return ""


def train_round(study: estimates.Study, sealed: dict, runs: list[RunConfig]) -> tuple[int | None, dict]:
    """Train a round's runs and score its forecasts, once; one that failed is passed over. (exit status where
    it stopped before its end, what is known then.)"""
    number, begun = sealed["round"], time.monotonic()
    score = study.rounds.scored(number)
    new = [each["config"] for each in sealed["runs"]]
    again = study.options.retry and any(has_failed(study.store, run) for run in new)
    if score is None or again:
        status, over = train(study.options, study.store, new, study.out, study.name)
        if not over or (status and not failed_alone(study.options, study.store, new)):
            return status, estimates.UNKNOWN
    estimates.write_table(study, runs)
    same = score is not None and score["goal"] == study.goal.name and not again
    if score is not None and (same or study.rounds.sealed(number + 1)):
        return None, score["known"]
    known = estimates.estimate(study)
    if score is None:
        rows = [estimates.outcome(study.store, each) for each in sealed["runs"]]
        spent = time.monotonic() - begun
        study.rounds.score(number, goal=study.goal.name, known=known, seconds=spent, runs=rows)
        kept, of = sequential.coverage(rows)
        held = f"{kept} of {of} forecasts held; " if of else ""
        print(f"round {number}: {held}{estimates.describe_number(study.goal, known)}")
    return None, known


def scores(study: estimates.Study) -> list[dict]:
    """What was known after each round, of the number asked for now."""
    every = study.rounds.all_scored()
    own = [score["known"] for score in every if score["goal"] == study.goal.name]
    return own or [estimates.UNKNOWN]


def is_reached(goal: sequential.Goal, known: dict) -> bool:
    return known["half"] is not None and known["half"] <= goal.half and known["verdict"] != "refuse"


def budget(study: estimates.Study) -> float:
    """FLOPs of new runs that may be spent over all rounds."""
    options = study.options
    if options.flops is None and options.within is None:
        return grid.price(study.cells).flops
    return math.inf if options.flops is None else options.flops


def flops_left(study: estimates.Study, runs: list[RunConfig]) -> float:
    """What --flops and --within leave, the time at the rate of the runs so far."""
    every = range(len(study.rounds.all_scored()))
    left = budget(study) - sum(study.rounds.sealed(number)["flops"] for number in every)
    if study.options.within is None:
        return left
    gone = sum(score["seconds"] for score in study.rounds.all_scored())
    records = [(run, study.store.status_and_record(run.run_id)[1] or {}) for run in runs]
    timed = [(run, record["seconds"]) for run, record in records if record.get("seconds")]
    if not timed:
        return left
    pace = sum(spent for _, spent in timed) / sum(counts.run_flops(run) for run, _ in timed)
    workers = study.options.workers or at_once(study.options.devices, study.options.hosts)
    return min(left, max(0.0, study.options.within - gone) * workers / pace)


def finish(study: estimates.Study, runs: list[RunConfig], known: dict, why: str) -> int:
    """The answer, how often forecasts held, and the page."""
    every = study.rounds.all_scored()
    grid_page.write(study.store, estimates.without_budgets(runs), study.out, study.name)
    estimates.write_forecasts(every, study.out / "forecasts.csv")
    cost = sum(map(counts.run_flops, runs))
    lost = sum(has_failed(study.store, run) for run in runs)
    after = f"{len(runs)} runs" + f" ({lost} failed)" * bool(lost)
    print(f"\n{estimates.describe_number(study.goal, known)}, after {after}, {cost:.3g} FLOPs")
    print(f"asked for {study.goal}: {why}" if why == "reached" else f"NOT reached ({study.goal}): {why}")
    kept, of = sequential.coverage(row for score in every for row in score["runs"])
    print(
        f"its own forecasts, sealed before the runs: {kept} of {of} 95 % intervals held"
        if of
        else "no forecast"
    )
    print(f"Next: open {study.out / 'report.html'}; forecasts and losses: {study.out / 'forecasts.csv'}")
    return int(why != "reached")
