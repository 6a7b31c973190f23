"""python -m lab plan | run | status | export | report | verify-resume | data | bench | sample |
compress | decompress."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lab.commands import data as data_cli
from lab.commands import plan as plans
from lab.commands import text, troubles
from lab.commands.experiment import Refused, load
from lab.commands.view import View, describe
from lab.config import RunConfig
from lab.launch import launchers
from lab.launch.order import Order, read_options
from lab.store import export, lineage
from lab.store.failures import trained_as
from lab.store.files import StoreError
from lab.store.store import UNFINISHED, Store

Positional = tyro.conf.Positional
Experiment = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(
        metavar="EXPERIMENT",
        help="a module such as experiments.quickstart, or a file that defines runs(); one with SIZES "
        "takes :SIZE after its name",
    ),
]
Folder = Annotated[Path, tyro.conf.arg(metavar="DIR", help="the folder of runs")]
Workers = Annotated[
    int,
    tyro.conf.arg(
        help="how many at once the time left is told for; 0 means as many as are running now or, where "
        "none is, one a core of this machine"
    ),
]
Out = Annotated[
    Path | None,
    tyro.conf.arg(
        metavar="DIR",
        help="where the report's figures, tables and page go (by default out/NAME, made if it is not there)",
    ),
]
Settings = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        name="set",
        metavar="FIELD=VALUE",
        help="replace a field in every run, such as optim.learning_rate=0.01; repeatable",
    ),
]
Options = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="NAME=VALUE",
        help="for the engine: slurm takes sbatch's options, such as "
        "partition=gpu gpus-per-node=1 time=240; ray takes address=HOST:PORT and what a task takes of "
        "a node, such as num-cpus=4 num-gpus=1 TPU=4; repeatable",
    ),
]


def plan(
    experiment: Experiment, /, *, store: Folder = Path("runs"), workers: Workers = 0, set: Settings = ()
) -> int:
    """Show what would run and what it costs. Trains nothing."""
    runs = opened(store)
    configs = lineage.settled(runs, load(experiment, set).configs())
    print("\n".join(plans.table(runs, configs)))
    print("\n".join(plans.price(viewed(runs, configs, workers))))
    return 0


def run(
    experiment: Experiment,
    /,
    *,
    store: Folder = Path("runs"),
    workers: int = 0,
    hosts: int = 1,
    devices: int = 1,
    way: Literal["", "jit", "mesh", "fsdp", "pmap"] = "",
    pack: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "",
    launcher: launchers.Name = "local",
    launcher_option: Options = (),
    wait: bool = False,
    retry: Literal["", "failed"] = "",
    fail_fast: bool = False,
    save_seconds: float = 15.0,
    out: Out = None,
    set: Settings = (),
) -> int:
    """Train what has no record yet, then write the experiment's report.

    Args:
      workers: how many at once; 0 means, on this machine, one a core or for each `devices` cores
        (CPU) or one (accelerators), and elsewhere as many as there is room for.
      hosts: how many processes each run's batch is split over, by jax.distributed: a node each
        on a cluster; on this machine all of them here.
      devices: how many devices each run's batch is split over, on each of its hosts.
      way: how it is split; by default jit on one device and mesh on several. fsdp splits the
        parameters and the optimiser's state too, for models that one device can't hold.
      pack: train N runs of one shape at once on each of the devices, every run on one device;
        auto measures how many pay. By default auto on one accelerator, and no packs on CPU.
      launcher: where the workers run: this machine, a Slurm cluster or a Ray cluster.
      wait: stay until the jobs are over (slurm; the others always do).
      retry: "failed" tries again what failed before.
      fail_fast: stop the grid at the first failure.
      save_seconds: time between checkpoints.
    """
    from lab.launch import local

    asked_for, runs = load(experiment, set), opened(store)
    order = Order(
        workers=workers,
        hosts=hosts,
        devices=devices,
        way=way,
        pack=pack,
        save_seconds=save_seconds,
        fail_fast=fail_fast,
        commit=commit(),
        options=read_options(launcher_option),
        wait=wait,
    )
    runs.prepare()
    asked = asked_for.configs()
    if retry:
        troubles.forget_failures(runs, asked)
    configs = lineage.settled(runs, asked)
    todo = [c for c in configs if runs.status(trained_as(runs, c).run_id) in UNFINISHED]
    print(f"{experiment}: {len(configs)} runs, {len(todo)} to train, in {runs.root}")
    if todo:
        n = workers or len(local.shares(devices))
        with View(runs, configs, n) as view:
            end = launchers.LAUNCHERS[launcher](runs, todo, order, view.look)
        if end == "submitted":
            print("lab status shows how far the runs are; the report comes with the same command")
            return 0
        if end == "stopped":
            print("stopped; nothing is lost: the same command goes on from here")
            return 1
    code = troubles.tell(runs, configs)
    if any(runs.status(config.run_id) == "done" for config in configs):
        if asked_for.no_report:
            print(asked_for.no_report)
        else:
            asked_for.report(runs, out or Path("out") / asked_for.name)
    return code


def status(
    experiment: Experiment, /, *, store: Folder = Path("runs"), workers: Workers = 0, set: Settings = ()
) -> int:
    """How many runs are done, running, silent, stopped, failed, diverged and left; and the time
    left."""
    runs = opened(store)
    view = viewed(runs, lineage.settled(runs, load(experiment, set).configs()), workers)
    print(view.summary())
    for word, n in Counter(view.status.values()).most_common():
        print(f"{word:>9} {n:>5}{view.silence() if word == 'silent' else ''}")
    return 0


def export_command(
    experiment: Experiment,
    /,
    *,
    output: Annotated[
        Path,
        tyro.conf.arg(
            aliases=["-o"], metavar="FILE", help="the table, .csv or .jsonl; one that is there is replaced"
        ),
    ] = Path("runs.csv"),
    store: Folder = Path("runs"),
    set: Settings = (),
) -> int:
    """Write the run table (csv or jsonl): one row a finished run."""
    asked_for, runs = load(experiment, set), opened(store)
    export.check(output)
    table = export.rows(runs, asked_for.configs(), asked_for.name)
    export.write(table, output)
    print(f"{len(table)} rows in {output}")
    return 0


def report(
    experiment: Experiment, /, *, store: Folder = Path("runs"), out: Out = None, set: Settings = ()
) -> int:
    """Write the experiment's figures and page again, from the store. Where the store holds none of
    its runs, an experiment may draw the table committed with it, and says so."""
    asked_for, runs = load(experiment, set), opened(store)
    asked_for.report(runs, out or Path("out") / asked_for.name)
    return 0


def verify_resume(
    experiment: Experiment,
    run_id: Annotated[str, tyro.conf.arg(metavar="RUN_ID")],
    /,
    *,
    devices: tuple[int, ...] = (1,),
    way: Literal["", "jit", "mesh", "fsdp", "pmap"] = "",
    from_devices: int = 1,
    store: Annotated[
        Path,
        tyro.conf.arg(
            metavar="DIR",
            help="the folder of runs, in which, on its file system, the run is trained in a scratch "
            "folder; its own runs are left alone",
        ),
    ] = Path("runs"),
    set: Settings = (),
) -> int:
    """Kill a run in its middle, resume it, and compare it with itself left alone.

    Args:
      run_id: of a run of the experiment, or its first digits; `lab plan` lists them.
      devices: what the resumed part is spread over; several numbers resume it as often.
      way: how it is spread.
      from_devices: what the run left alone, and the part before the kill, are spread over.
    """
    from lab.launch import verify

    if min(devices, default=0) < 1 or from_devices < 1:
        raise Refused(
            f"--devices {' '.join(map(str, devices))} --from-devices {from_devices}: at least 1 each"
        )
    configs, runs = load(experiment, set).configs(), opened(store)
    found = [config for config in configs if run_id and config.run_id.startswith(run_id)]
    if len(found) != 1:
        some = ", ".join(config.run_id for config in (found or configs)[:4])
        raise Refused(
            f"{run_id!r} names {len(found)} of the {len(configs)} runs of {experiment}; they are "
            f"{some}{', ...' if len(found or configs) > 4 else ''}"
        )
    config = replace(found[0], init_from="")  # alone: its numbers are the same
    runs.prepare()
    print(f"run {config.run_id}, {describe(config)}, in a scratch store", flush=True)
    first, thens = verify.Place(from_devices), [verify.Place(n, way) for n in devices]
    right = verify.verify(config, first, thens, partial(print, flush=True), runs.root)
    return 0 if right else 1


def data(
    action: Positional[Literal["list", "prepare", "show"]],
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = "",
    /,
    *,
    tokenizer: str = "bytes",
) -> int:
    """List the corpora there are, prepare one (fetch, clean, split, tokenize, once), or show one.

    They lie in the folder that LAB_DATA names, by default data/.

    Args:
      action: list takes no NAME.
      name: of a corpus, such as shakespeare, linux-6.1 or text:PATH for your own file, folder or
        glob; `lab data list` shows them all.
      tokenizer: bytes, chars, or bpe-N: N byte-pair ids learned from the corpus's training part.
    """
    if action == "list":
        data_cli.list_command()
    elif not name:
        raise Refused(f"lab data {action} needs a name; `lab data list` shows them")
    else:
        {"prepare": data_cli.prepare_command, "show": data_cli.show_command}[action](
            name, tokenizer=tokenizer
        )
    return 0


def opened(folder: Path) -> Store:
    """The store in a folder, which need not be there yet."""
    if folder.exists() and not folder.is_dir():
        raise Refused(f"--store {folder} is a file; name a folder of runs, or one to be made")
    return Store(folder)


def viewed(runs: Store, configs: Sequence[RunConfig], workers: int) -> View:
    """How far a grid is, for who looks once, and the time left on so many workers."""
    from lab.launch import local

    if workers < 0:
        raise Refused(f"--workers {workers} is below 0; 0 means as many as are running now")
    view = View(runs, configs, 1)
    view.read(quiet=True)
    view.find_silent()
    view.workers = workers or view.running or len(local.cores())
    return view


def commit() -> str:
    """The commit of this code, with + when files were changed since; empty without git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    ask = partial(subprocess.run, capture_output=True, text=True, check=True)
    try:
        head = ask([*git, "rev-parse", "HEAD"]).stdout.strip()
        changed = ask([*git, "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def in_words(error: Exception) -> str:
    """An error of the system without its number, but with its file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 did its job, 1 refused or something failed (and says what), 2 wrong usage."""
    from lab.commands import bench

    commands = {
        "plan": plan,
        "run": run,
        "status": status,
        "export": export_command,
        "report": report,
        "verify-resume": verify_resume,
        "data": data,
        "bench": bench.command,
        "sample": text.sample,
        "compress": text.compress,
        "decompress": text.decompress,
    }
    try:
        return tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="lab") or 0
    except BrokenPipeError:  # the reader, such as head, has seen enough; Python would tell it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Refused, ValueError, StoreError, OSError, RuntimeError) as error:
        if os.environ.get("LAB_TRACEBACK"):
            raise
        print(f"lab: {in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
