"""`lab rates`: tunes a grid's learning rate where it is cheap, and carries it up by a rule."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from lab.commands import shared
from lab.commands.analysis import Refused, ask
from lab.commands.experiment import CommandError
from lab.commands.plan import show_plan
from lab.commands.run import add_order, train
from lab.commands.view import human
from lab.config import RunConfig
from lab.models import counts
from lab.plan import tuning
from lab.store import export
from lab.store.store import Store

ROUNDS = 3  # how often rates are added beyond the ends of those tried


def add(commands) -> None:
    parser = shared.command(commands, "rates", run)
    shared.add_grid(parser)
    for name, default, what in (
        ("sizes", 3, "the grid's smallest models"),
        ("lengths", 2, "from its fewest tokens on, 4 × apart"),
        ("batches", 1, "from its smallest batch on, 4 × apart"),
        ("rates", 5, "2 × apart about the grid's own"),
    ):
        parser.add_argument(f"--{name}", **shared.COUNT, default=default, help=f"how many: {what}")
    parser.add_argument(
        "--plan", **shared.FLAG, default=False, help="show the runs and what they cost, and stop"
    )
    add_order(parser)
    shared.add_out(parser)


def run(options: argparse.Namespace) -> int:
    """Find a grid's best learning rate by its small models, and carry it up by a rule. They are trained at
    several rates and lengths; the best of each and the rule through them are fitted."""
    experiment, store = shared.open_grid(options)
    grid_of = experiment.configs()
    try:
        configs = tuning.rate_design(grid_of, options.sizes, options.lengths, options.batches, options.rates)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if options.plan:
        return show_plan(store, configs)
    out = options.out or Path("out") / f"{experiment.name}-rates"
    for left in reversed(range(ROUNDS)):
        status, over = train(options, store, configs, out, out.name)
        if not over or (status and options.fail_fast):
            return status
        options.retry = ""  # what failed before is tried again once
        found, answer = fitted(store, configs, out, largest(grid_of))
        cells = [
            cell | {"best": cell["best"]["value"]} for cell in found["cells"] if cell["status"] == "edge"
        ]
        more = tuning.wider(configs, cells)
        if not more or not left:
            break
        print(
            f"{len(more)} of {len(found['cells'])} bests lie outside the rates tried: one rate more for each"
        )
        configs += more
    print(answer)
    return show(found, largest(grid_of), out) or status


def largest(configs: Sequence[RunConfig]) -> RunConfig:
    return max(configs, key=counts.run_flops)


def fitted(store: Store, configs: Sequence[RunConfig], out: Path, far: RunConfig) -> tuple[dict, str]:
    """What `analysis rates` says of the runs, whose table and figure lie in `out` then. At the largest run
    of the grid if there is a rule that goes so far. And how it says so."""
    out.mkdir(parents=True, exist_ok=True)
    rows = export.rows(store, configs, out.name)
    export.write(rows, out / "runs.csv")
    files = ["--json", out / "rates.json", "--figure", out / "rates.png"]
    place = f"params={tuning.params(far.model)},tokens={far.tokens},batch_tokens={far.batch_tokens}"
    command = ["rates", out / "runs.csv", *files]
    try:
        answer = ask(*command, "--at", place)
    except Refused:  # there is no rule that goes so far
        answer = ask(*command)
    return json.loads((out / "rates.json").read_text()), answer


def show(found: dict, far: RunConfig, out: Path) -> int:
    """The answer for the grid's largest run, beside the rate that it has, and what to type."""
    own = far.optim.learning_rate
    size = f"{human(tuning.params(far.model))} params on {human(far.tokens)} tokens"
    if not found["at"]:
        print(f"no rule for the grid's largest run, {size}: {found['message']}")
        return 1
    best = found["at"][0]
    print(
        f"The grid's largest run, {size}, has rate {own:.3g}; the rule's is {best['value']:.3g} "
        f"({best['low']:.2g}, {best['high']:.2g}): {own / best['value']:.2g} × the best"
        + f" ({found['status']}: {found['message']})"
        * (found["status"] != "ok")
    )
    rule, powers = found["rule"], {"params": "N", "tokens": "D"}
    factors = [f"{powers.get(name, name)}**{band['value']:.3f}" for name, band in rule["exponents"].items()]
    print(f"for an experiment: learning_rate = {rule['constant']:.4g} * {' * '.join(factors)}")
    print(f"table and figure in {out}; --at tells the rule's rate elsewhere")
    place = f"params={tuning.params(far.model)},tokens={far.tokens},batch_tokens={far.batch_tokens}"
    print(f"Next: python -m analysis rates {shlex.quote(str(out / 'runs.csv'))} --at {place}")
    return 0
