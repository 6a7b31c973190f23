"""`lab run`: trains what has no record yet, and says what went wrong."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from lab.commands import own, prune, shared
from lab.commands.notes import notes
from lab.commands.trackers import SINKS, Tracker, trackers
from lab.commands.view import View
from lab.config import RunConfig
from lab.launch.launchers import LAUNCHERS
from lab.launch.order import REMAT, Order, read_options
from lab.launch.processes import at_once
from lab.store import lineage
from lab.store.code import digest
from lab.store.failures import has_failed, trained_as
from lab.store.store import UNFINISHED, Store

HELP = {
    "--workers": "how many at once; 0 means, on this machine, one a core or for each `devices` cores (CPU) "
    "or one (accelerators), and elsewhere as many as there is room for",
    "--hosts": "how many processes each run's batch is split over, by jax.distributed: a node each on a "
    "cluster; on this machine all of them here",
    "--devices": "how many devices each run's batch is split over, on each of its hosts",
    "--way": "how it is split; by default jit on one device and mesh on several. fsdp splits the parameters "
    "and the optimiser's state too, for models that one device can't hold",
    "--tensor": "of the devices, how many share each product (fsdp): for layers too wide for one",
    "--remat": "what of a block is kept for its gradient, the rest being made again; by default all "
    "on CPU and nothing elsewhere",
    "--pack": "train N runs of one shape at once on each of the devices, every run on one device; auto "
    "measures how many pay. By default auto on one accelerator, and no packs on CPU",
    "--launcher": "where the workers run: this machine, a Slurm cluster or a Ray cluster",
    "--launcher-option": "for the engine: slurm takes sbatch's options, such as partition=gpu "
    "gpus-per-node=1 time=240; ray takes address=HOST:PORT and what a task takes of a node, such as "
    "num-cpus=4 num-gpus=1 TPU=4; repeatable",
    "--wait": "stay until the jobs are over (slurm; the others always do)",
    "--retry": '"failed" tries again what failed before',
    "--fail-fast": "stop the grid at the first failure",
    "--stop-losers": "of sweeps of learning rates, stop the runs that can no longer win, as `analysis "
    "losers` tells from part of their curves; they are rows of status pruned",
    "--save-seconds": "time between checkpoints",
    "--log": "write each run's curve as it goes for another program too, under --out: log.csv, "
    "TensorBoard's event files (package tensorboardX), a project of Weights & Biases (package wandb); "
    "repeatable. The store stays the truth",
}


def add(commands) -> None:
    parser = shared.command(commands, "run", run)
    shared.add_grid(parser)
    add_order(parser)
    shared.option_adder(parser, HELP)("--stop-losers", **shared.FLAG)
    shared.add_out(parser)


def add_order(parser: shared.Parser) -> None:
    """The options of how and where runs are trained."""
    option = shared.option_adder(parser, HELP)
    option("--workers", **shared.COUNT, default=0)
    option("--hosts", **shared.COUNT, default=1)
    option("--devices", **shared.COUNT, default=1)
    option("--way", **shared.WAY)
    option("--tensor", **shared.COUNT, default=1)
    option("--remat", choices=("", *REMAT), default="", metavar="|".join(REMAT))
    option("--pack", default="", metavar="N|auto")
    option("--launcher", choices=tuple(LAUNCHERS), default="local")
    option("--launcher-option", action="append", default=[], metavar="NAME=VALUE")
    option("--wait", **shared.FLAG)
    option("--retry", choices=("", "failed"), default="", metavar="failed")
    option("--fail-fast", **shared.FLAG)
    option("--save-seconds", type=float, default=15.0, metavar="SECONDS")
    option("--log", action="append", choices=tuple(SINKS), default=[], metavar="|".join(SINKS))
    parser.set_defaults(wait=False, fail_fast=False)


def run(options: argparse.Namespace) -> int:
    """Train what has no record yet, then write the experiment's report."""
    experiment, store = shared.open_grid(options)
    configs = experiment.configs()
    out = options.out or Path("out") / experiment.name
    part = lambda configs, until=1.0: train(options, store, configs, out, experiment.name, until)  # noqa: E731
    status, over = prune.train_sweeps(options, store, configs, part) if options.stop_losers else part(configs)
    if over and any(store.status(config.run_id) == "done" for config in configs):
        if experiment.no_report:
            print(experiment.no_report)
        else:
            experiment.report(store, options.out)
        shared.suggest(options, "export", "-o", "runs.csv")
    elif status:
        shared.suggest(options, "status", file=sys.stderr)
    else:
        shared.suggest(options, "status")
    return status


def train(
    options: argparse.Namespace,
    store: Store,
    configs: Sequence[RunConfig],
    out: Path,
    name: str,
    until: float = 1.0,
) -> tuple[int, bool]:
    """Train what has no record yet, as the options of `add_order` say, `until` a share of its steps. Returns
    the exit status, and whether it is over: jobs that were handed to a cluster, and a grid that somebody
    stopped, go on later."""
    named = {field.name: vars(options)[field.name] for field in fields(Order) if field.name in options}
    named |= {"until": until}  # that of `lab grow` is the goal
    order = Order(**named, commit=commit(), options=read_options(options.launcher_option))
    store.prepare()
    own.look_over(store, configs)
    if options.retry:
        forget_failures(store, configs)
    configs = lineage.resolve_trunks(store, configs)
    todo = [config for config in configs if store.trainable(trained_as(store, config).run_id)]
    print(f"{options.experiment}: {len(configs)} runs, {len(todo)} to train, in {store.root}")
    for line in notes(store, configs):
        print(line)
    if older := trained_by_other_code(store, configs):
        print(
            f"note: {len(older)} finished runs ({', '.join(older[:3])}{', ...' * (len(older) > 3)}) were "
            "trained by other code or libraries: the same run may end otherwise here (column code)"
        )
    followers = trackers(options.log, store, configs, out, name)
    if todo:
        n = order.workers or at_once(order.devices, order.hosts)
        with View(store, configs, n) as view:
            end = LAUNCHERS[options.launcher](store, todo, order, lambda: refresh(view, followers))
        if end == "submitted":
            print("lab status shows how far the runs are; the report comes with the same command")
            return 0, False
        if end == "stopped":
            print("stopped; nothing is lost: the same command goes on from here")
            return 1, False
    for follower in followers:
        follower.look(at_once=True)
    return report_failures(store, configs, until), True


def refresh(view: View, followers: Sequence[Tracker]) -> None:
    view.refresh()
    for follower in followers:
        follower.look()


def trained_by_other_code(store: Store, configs: Sequence[RunConfig]) -> list[str]:
    """The finished runs whose record names another digest than this code's."""
    records = {config.run_id: store.status_and_record(config.run_id)[1] for config in configs}
    return [run_id for run_id, record in records.items() if (record or {}).get("code", digest()) != digest()]


def commit() -> str:
    """The commit of this code, with + when files were changed since; empty without git, and where this
    code is installed inside another project's repository."""
    here = Path(__file__)
    git = partial(subprocess.run, cwd=here.parent, capture_output=True, text=True, check=True)
    try:
        git(["git", "ls-files", "--error-unmatch", here.name])
        head = git(["git", "rev-parse", "HEAD"]).stdout.strip()
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def forget_failures(store: Store, configs: Sequence[RunConfig]) -> None:
    """Forget the failures of a grid, those of second tries with the first."""
    for config in configs:
        run = trained_as(store, config)
        if store.status(run.run_id) == "failed":
            store.clear_failure(run.run_id)
            store.clear_failure(config.run_id)


def report_failures(store: Store, configs: Sequence[RunConfig], until: float = 1.0) -> int:
    """Name the runs that did not end well; 1 when any failed or, trained to its end, was not ended."""
    exit_status = left = 0
    for first in configs:
        config = trained_as(store, first)
        status = store.status(config.run_id)
        if config != first:
            print(
                f"out of memory: {first.run_id}: tried again with micro_batch={config.micro_batch}, "
                f"as run {config.run_id}",
                file=sys.stderr,
            )
        if message := trouble(store, config, status):
            print(f"{status}: {config.run_id}: {message}", file=sys.stderr)
            exit_status = max(exit_status, int(status != "diverged"))
        elif status in UNFINISHED:
            left += 1
    if left and until == 1:
        print(
            f"{left} of {len(configs)} runs were not finished; the same command goes on from here",
            file=sys.stderr,
        )
    return max(exit_status, int(left > 0 and until == 1))


def failed_alone(options: argparse.Namespace, store: Store, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The runs that failed, where all others ended and --fail-fast does not stop for them; else none."""
    ended = [store.status(trained_as(store, config).run_id) in ("done", "diverged") for config in configs]
    failed = [config for config in configs if has_failed(store, config)]
    return failed if not options.fail_fast and any(ended) and sum(ended) + len(failed) == len(configs) else []


def trouble(store: Store, config: RunConfig, status: str) -> str:
    """What went wrong with a run of this status and what to do; "" where nothing did."""
    folder = store.folder(config.run_id)
    if status == "failed":
        failure = store.failure(config.run_id) or {}
        return (
            f"{failure.get('kind', 'error')}: {failure.get('error')}\n  log in "
            f"{folder / 'failure.json'}; try again with --retry failed"
        )
    if status == "damaged":
        return f"{folder / 'record.json'}; `lab run` sets it aside and trains the run again"
    if status == "unreadable":
        return f"{folder / 'record.json'} can't be read now; mend the file system, then again"
    if status == "diverged":
        steps = store.record(config.run_id)["steps"]
        return f"at rate {config.optim.learning_rate:g}, after step {steps}; it stays out of fits"
    return ""
