"""`lab plan` and `lab status`: what a grid would run, what it costs, and how far it is."""

import argparse
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lab.commands import on, own, shared
from lab.commands.experiment import CommandError, Experiment
from lab.commands.notes import notes
from lab.commands.view import View, duration, human, set_apart
from lab.config import NEXT_TOKEN, RunConfig, userfile
from lab.launch.processes import at_once
from lab.models import counts
from lab.plan import chips, grid, trunk
from lab.plan.precision import LEAST, WITH_SHIFT, WITHOUT, exponent_half_width
from lab.store import lineage
from lab.store.store import Store

WORKERS = (
    "how many at once the time left is for; 0 means as many as are running now or, where none is, one a "
    "core of this machine (CPU) or one (accelerators)"
)


def add(commands) -> None:
    for name, run in (("plan", plan), ("status", status)):
        parser = shared.command(commands, name, run)
        shared.add_grid(parser)
        parser.add_argument("--workers", **shared.COUNT, default=0, help=WORKERS)
        if name == "plan":
            on.add(parser)


def plan(options: argparse.Namespace) -> int:
    """Show what would run and what it costs, here or on other chips (--on). Trains nothing."""
    if options.on:
        return on.plan(options)
    if options.json or options.price:
        raise CommandError("--json and --price go with --on CHIPS")
    experiment, store = shared.open_grid(options)
    view = open_view(options, experiment, store)
    own.look_over(view.store, view.configs)
    if question := " ".join((experiment.module.__doc__ or "").strip().partition("\n\n")[0].split()):
        print(textwrap.fill(question, 100))
    said = [*price(view), *precision_told(view.configs), "", *table(view.store, view.configs)]
    print("\n".join(said + notes(view.store, view.configs)))
    shared.suggest(options, "run" if view.left else "report")
    return 0


def show_plan(store: Store, configs: Sequence[RunConfig]) -> int:
    """What `lab plan` says of runs that a command makes itself."""
    view = View(store, configs, 1)
    view.read(quiet=True)
    view.workers = at_once()
    print("\n".join([*price(view), "", *table(store, configs)]))
    return 0


def status(options: argparse.Namespace) -> int:
    """Say how far a grid is: what is done, running, failed and left, and what it cost. Runs may also be
    silent, stopped or diverged; the time left is of all that are not over."""
    view = open_view(options, *shared.open_grid(options))
    print("\n".join([*own.changes(view.store, view.configs), f"{view.summary()}; in {view.store.root}"]))
    for word, n in Counter(view.status.values()).most_common():
        print(f"{word:>9} {n:>5}{view.silence() if word == 'silent' else ''}")
    print("\n".join(spent(view.device_seconds)), end="\n" * bool(view.device_seconds))
    if view.left:
        shared.suggest(options, "run")
    elif "failed" in view.status.values():
        shared.suggest(options, "run", "--retry", "failed")
    else:
        shared.suggest(options, "export", "-o", "runs.csv")
    return 0


def spent(device_seconds: Mapping[str, float]) -> list[str]:
    """The time that finished runs took, a line a kind of device, with its list price and the most energy it
    can have drawn where these are known."""
    lines = []
    for kind, seconds in device_seconds.items():
        chip, hours = chips.named(kind), seconds / 3600
        line = f"    spent {hours:,.3g} device-hours on {kind}"
        if chip is not None:
            hours /= chip.halves
            known = []
            if chip.dollars:
                known.append(f"${hours * chip.dollars:,.2f} at ${chip.dollars:g} a chip-hour")
            if chip.watts:
                known.append(f"at most {hours * chip.watts / 1e3:,.3g} kWh")
            line += f": {', '.join(known)} (lab/plan/chips.py, {chips.DATE})" * bool(known)
        lines.append(line)
    return lines


def open_view(options: argparse.Namespace, experiment: Experiment, store: Store) -> View:
    """How far a grid is, for who looks once, and the time left on so many workers."""
    configs = lineage.resolve_trunks(store, experiment.configs())
    if options.workers < 0:
        raise CommandError(f"--workers {options.workers} is below 0; 0 means as many as are running now")
    view = View(store, configs, 1)
    view.read(quiet=True)
    view.find_silent()
    view.workers = options.workers or view.running or at_once()
    return view


def table(store: Store, configs: Sequence[RunConfig]) -> list[str]:
    """A line a run, the smallest budgets first; no column of budgets where it would say what FLOPs do."""
    told = [(f"{config.budget:.2g}", f"{counts.spent_flops(config):.2g}") for config in configs]
    budgets = any(config.budget for config in configs) and any(a != b for a, b in told)
    apart = set_apart(configs)
    budget = lambda word: f"{word:>8} " if budgets else ""  # noqa: E731
    lines = [
        "params N = hidden + readout weights; FLOPs = all matrix products and causal attention, forward and "
        "backward",
        f"{'run':<13} {'layers x width':>14} {'N':>7} {'tokens':>7} {'epochs':>6} {'steps':>6} "
        f"{budget('budget')}{'FLOPs':>8} {'rate':>8} {'seed':>4}  status",
    ]
    for config in sorted(configs, key=lambda c: (c.budget, counts.count_params(c.model).params)):
        own = f"{config.budget:.2g}" if config.budget else ""
        lines.append(
            f"{config.run_id:<13} {config.model.name:>14} "
            f"{human(counts.count_params(config.model).params):>7} {human(config.tokens):>7} "
            f"{config.epochs:>6.2f} {config.steps:>6} {budget(own)}"
            f"{counts.spent_flops(config):>8.2g} {config.optim.learning_rate:>8.2g} "
            f"{config.seed:>4}  {store.status(config.run_id).replace('left', 'to train')}{kinship(config)}"
            f"{apart[config.run_id]}"
        )
    return lines + saving(configs)


def price(view: View) -> list[str]:
    """What the whole grid costs, and what of it is left; the time is that of `lab status`."""
    whole, todo = grid.price(view.configs), grid.price(view.left)
    shapes = len(grid.group_by_shape(view.configs))
    known = grid.rates(view.timed)
    training = sum(part * grid.estimate_seconds(config, known) for config, part in view.parts)
    basis = "timed runs of this grid"
    if not view.timed:
        speed = f"{todo.flops / max(training, 1e-9):.1e} FLOP/s a worker"
        basis = f"{speed}, assumed for these sizes; a core with AMX does half more"
    workers = f"{view.workers} worker{'s' * (view.workers > 1)}"
    return [
        f"{whole.runs} runs in {shapes} shapes: {human(whole.tokens)} tokens, "
        f"{whole.flops:.3g} FLOPs, {human(whole.run_bytes)}B of memory a run, "
        f"{human(whole.store_bytes)}B on disk",
        f"to train: {todo.runs} runs, {todo.flops:.3g} FLOPs, about {duration(view.left_seconds())} on "
        f"{workers}, {duration(training / view.workers)} of it training (by {basis})"
        if todo.runs
        else "to train: nothing",
    ]


def precision_told(configs: Sequence[RunConfig]) -> list[str]:
    """How well the runs of a grid would tell how params grow with compute; nothing of arms or texts."""
    if any(set_apart(configs).values()) or len({config.data.sha256 for config in configs}) > 1:
        return []
    params = [counts.count_params(config.model).params for config in configs]
    tokens = [config.tokens for config in configs]
    half = exponent_half_width(np.array(params, float), np.array(tokens, float))
    if not np.isfinite(half):
        few = f"to expect: no exponent to rely on: {len(configs)} runs, of {LEAST} at the least"
        return [few] * (min(len(set(params)), len(set(tokens))) > 1)
    strange = {config.model.kind for config in configs} - {"transformer"}
    shifted = not strange and all("token_shift" in config.model.settings for config in configs)
    own, other = (WITH_SHIFT, WITHOUT) if shifted else (WITHOUT, WITH_SHIFT)
    told, otherwise = (width(half * noise / WITH_SHIFT) for noise in (own, other))
    has, lack = ("with", "without") if shifted else ("without", "with")
    budgets = [f"{each:.3g}".replace("e+", "e") for each in sorted({config.budget for config in configs})]
    of = f"{len(budgets)} budgets, {budgets[0]} to {budgets[-1]} FLOPs, " * (len(budgets) > 1)
    kind = (
        "how " + " and ".join(sorted(map(userfile.content, strange))) + " scatters is not known"
        if strange
        else "the kind that these are"
    )
    text = (
        f"to expect: {of}tell by a fitted law the exponent a (params ∝ FLOPs^a) to {told[0]}, the growth for "
        f"ten times the compute to {told[1]} (95 %). That takes losses to scatter about their law by "
        f"{100 * own:g} %, as this project's Transformers {has} token shift do, {kind}; were it "
        f"{100 * other:g} %, as of those {lack}, it would be {' and '.join(otherwise)}"
    )
    return [textwrap.fill(text, 110)]


def width(half: float) -> tuple[str, str]:
    """Half of the interval of an exponent, and of the growth for ten times the compute."""
    return f"± {half:.2g}", f"± {100 * (10**half - 1):.0f} %"


def kinship(config: RunConfig) -> str:
    """What no column says: whose optimiser and objective, if not the usual; whether a run is a trunk, and
    from where it goes on."""
    usual = {"adamw", NEXT_TOKEN}
    words = [
        userfile.content(word) for word in (config.optim.optimizer, config.objective) if word not in usual
    ]
    words += ["trunk"] * config.trunk + [f"from {config.init_from}"] * bool(config.init_from)
    return "".join(f", {word}" for word in words)


def saving(configs: Sequence[RunConfig]) -> list[str]:
    """What training shared parts once comes to; nothing where there are none."""
    trunks = sum(config.trunk for config in configs)
    branches = sum(bool(config.init_from) and not config.trunk for config in configs)
    if not branches:
        return []
    shared, alone = trunk.saving(configs)
    return [
        f"\nshared: {trunks} trunks and {branches} branches train {shared:.3g} FLOPs, each "
        f"counted once: {100 * shared / alone:.0f} % of the {alone:.3g} of these {branches} "
        "runs each on its own, or under a cosine of each length"
    ]
