"""python -m lab plan | run | status | export | report | verify-resume | data | bench | sample |
compress | decompress."""

import importlib
import importlib.util
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import tyro

from lab import counts, data_cli, export, grid, lineage, text_cli, trunk
from lab.config import RunConfig, override
from lab.failures import trained_as
from lab.files import StoreError
from lab.launch import launchers
from lab.launch.order import Order, read_options
from lab.store import UNFINISHED, Store
from lab.view import View, describe, duration, human, timed_runs

Positional = tyro.conf.Positional
Experiment = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT",
    help="a module such as experiments.quickstart, or a file that defines runs(); one with SIZES "
    "takes :SIZE after its name")]  # fmt: skip
Folder = Annotated[Path, tyro.conf.arg(metavar="DIR", help="the folder of runs")]
Settings = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(
    name="set", metavar="FIELD=VALUE",
    help="replace a field in every run, such as optim.learning_rate=0.01; repeatable")]  # fmt: skip
Options = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(
    metavar="NAME=VALUE", help="for the engine: slurm takes sbatch's options, such as "
    "partition=gpu gpus-per-node=1 time=240; ray takes address=HOST:PORT and what a task takes of "
    "a node, such as num-cpus=4 num-gpus=1 TPU=4; repeatable")]  # fmt: skip

COMPILE_SECONDS = 8  # of a small shape on one core


class Refused(Exception):
    """What the user asked for can't be done; the message says why and what to do."""


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """Mistakes in an experiment's own code, with their place and without our frames."""
    try:
        yield
    except (Refused, ValueError, OSError, StoreError, ModuleNotFoundError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        here = str(Path(__file__).parent)
        own = [f for f in frames if not f.filename.startswith((here, "<frozen"))]
        place = f"{own[-1].filename}, line {own[-1].lineno}: " if own else ""
        raise Refused(
            f"{place}{type(error).__name__}: {error} (LAB_TRACEBACK=1 shows the whole trace)"
        ) from error


@dataclass(frozen=True)
class Sized:
    """An experiment at one of its SIZES: the first, unless its name says :SIZE."""

    module: ModuleType
    size: str

    @property
    def __name__(self) -> str:
        own, first = self.module.__name__, next(iter(self.module.SIZES))
        return own if self.size == first else f"{own}-{self.size}"

    def runs(self) -> list[RunConfig]:
        return self.module.runs(self.size)

    def report(self, store: Store, out: Path) -> None:
        self.module.report(store, out, self.size)


def load(experiment: str) -> ModuleType | Sized:
    """An experiment, from a module's name or a file's path, at a size that may follow a colon. It
    must define runs(); one with a dict SIZES, by name, runs(size) and report(store, out, size)."""
    name, _, size = experiment.partition(":")
    module = load_module(name)
    named = getattr(module, "SIZES", None)  # a list or a number of that name is the file's own
    sizes = list(named) if isinstance(named, dict) else []
    if size and size not in sizes:
        has = f"its sizes are {', '.join(sizes)}" if sizes else "it has one size only"
        raise Refused(f"{experiment}: {name} has no size {size!r}; {has}")
    return Sized(module, size or sizes[0]) if sizes else module


def load_module(experiment: str) -> ModuleType:
    path = Path(experiment)
    if path.suffix == ".py":
        if not path.exists():
            raise Refused(f"{experiment}: no such file")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(path.parent.resolve()))
        with told_in_a_line():
            spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        try:
            with told_in_a_line():
                module = importlib.import_module(experiment)
        except ModuleNotFoundError as error:
            if error.name and not experiment.startswith(error.name):
                raise
            raise Refused(
                f"{experiment}: no such module here; name one such as experiments.quickstart, or "
                "a file ending in .py"
            ) from error
    if not callable(getattr(module, "runs", None)):
        raise Refused(f"{experiment} defines no function runs() -> list[RunConfig]")
    return module


def configs_of(module: ModuleType | Sized, settings: Sequence[str]) -> list[RunConfig]:
    with told_in_a_line():
        configs = module.runs()
    if settings:
        configs = replanned(configs, settings)
    if not configs:
        raise Refused(f"{module.__name__}.runs() returned no run")
    for config in configs:
        grid.check_epochs(config)
    return grid.unique(configs)


def replanned(configs: Sequence[RunConfig], settings: Sequence[str]) -> list[RunConfig]:
    """Every run with its fields replaced, and branches on trunks of their new fields."""
    cells = [config for config in configs if not config.trunk]
    changed = [override(replace(config, init_from=""), *settings) for config in cells]
    joined = [new for old, new in zip(cells, changed, strict=True) if old.init_from]
    return grid.branched(joined) + changed


def name_of(module: ModuleType | Sized) -> str:
    return module.__name__.rpartition(".")[2]


def report_into(module: ModuleType | Sized, store: Store, out: Path) -> None:
    if not hasattr(getattr(module, "module", module), "report"):
        print(f"{module.__name__} defines no report(store, out); use `lab export`")
        return
    out.mkdir(parents=True, exist_ok=True)
    module.report(store, out)


def plan(
    experiment: Experiment, /, *, store: Folder = Path("runs"), workers: int = 0,
    set: Settings = (),
) -> int:  # fmt: skip
    """Show what would run and what it costs. Trains nothing."""
    from lab.launch import local

    runs = Store(store)
    configs = lineage.settled(runs, configs_of(load(experiment), set))
    status = {config.run_id: runs.status(config.run_id) for config in configs}
    print(f"{'run':<13} {'layers x width':>14} {'N':>7} {'tokens':>7} {'epochs':>6} {'steps':>6} "
          f"{'budget':>8} {'FLOPs':>8} {'rate':>8} {'seed':>4}  status")  # fmt: skip
    groups = grid.group_by_shape(configs)
    for config in sorted(configs, key=lambda c: (c.budget, counts.count_params(c.model).params)):
        model = config.model
        print(
            f"{config.run_id:<13} {model.name:>14} "
            f"{human(counts.count_params(model).params):>7} {human(config.tokens):>7} "
            f"{config.epochs:>6.2f} {config.steps:>6} {config.budget:>8.2g} "
            f"{counts.spent_flops(config):>8.2g} {config.optim.learning_rate:>8.2g} "
            f"{config.seed:>4}  {status[config.run_id]}{kinship(config)}"
        )
    tell_saving(configs)
    left = [config for config in configs if status[config.run_id] not in ("done", "diverged")]
    n = workers or len(local.cores())
    whole, todo = (grid.price(part, n, timed_runs(runs, configs)) for part in (configs, left))
    print(f"\n{whole.runs} runs in {len(groups)} shapes: {human(whole.tokens)} tokens, "
          f"{whole.flops:.3g} FLOPs, {human(whole.run_bytes)}B of memory a run, "
          f"{human(whole.store_bytes)}B on disk")  # fmt: skip
    basis = ("timed runs of this grid" if whole.measured
             else f"an assumed {grid.CORE_FLOPS_PER_SECOND:.0e} FLOP/s a worker")  # fmt: skip
    print(f"left: {todo.runs} runs, {todo.flops:.3g} FLOPs, about {duration(todo.seconds)} on {n} "
          f"workers (from {basis})")  # fmt: skip
    print(f"compiling adds about {COMPILE_SECONDS} s a shape, shared by the workers")
    print("params N = hidden + readout weights; FLOPs = all matrix products and causal attention, "
          "forward and backward")  # fmt: skip
    return 0


def kinship(config: RunConfig) -> str:
    """Whether a run is a trunk, and from where it goes on."""
    return ", trunk" * config.trunk + f", from {config.init_from}" * bool(config.init_from)


def tell_saving(configs: Sequence[RunConfig]) -> None:
    """What training shared parts once comes to; nothing where there are none."""
    trunks = sum(config.trunk for config in configs)
    branches = sum(bool(config.init_from) and not config.trunk for config in configs)
    if branches:
        shared, alone = trunk.saving(configs)
        print(f"\nshared: {trunks} trunks and {branches} branches train {shared:.3g} FLOPs, each "
              f"counted once: {100 * shared / alone:.0f} % of the {alone:.3g} of these {branches} "
              "runs each on its own, or under a cosine of each length")  # fmt: skip


def run(
    experiment: Experiment, /, *, store: Folder = Path("runs"), workers: int = 0, hosts: int = 1,
    devices: int = 1, way: Literal["", "jit", "mesh", "fsdp", "pmap"] = "",
    pack: Annotated[str, tyro.conf.arg(metavar="N|auto")] = "",
    launcher: launchers.Name = "local", launcher_option: Options = (), wait: bool = False,
    retry: Literal["", "failed"] = "", fail_fast: bool = False, save_seconds: float = 15.0,
    out: Path | None = None, set: Settings = (),
) -> int:  # fmt: skip
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
      out: where the report goes; default out/NAME.
    """
    from lab.launch import local

    module, runs = load(experiment), Store(store)
    order = Order(
        workers=workers, hosts=hosts, devices=devices, way=way, pack=pack,
        save_seconds=save_seconds, fail_fast=fail_fast, commit=commit(),
        options=read_options(launcher_option), wait=wait,
    )  # fmt: skip
    runs.prepare()
    asked = configs_of(module, set)
    if retry:
        retry_failed(runs, asked)
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
    code = tell_troubles(runs, configs)
    if any(runs.status(config.run_id) == "done" for config in configs):
        report_into(module, runs, out or Path("out") / name_of(module))
    return code


def retry_failed(store: Store, configs: Sequence[RunConfig]) -> None:
    """Forget the failures of a grid, those of second tries with the first."""
    for config in configs:
        run = trained_as(store, config)
        if store.status(run.run_id) == "failed":
            store.clear_failure(run.run_id)
            store.clear_failure(config.run_id)


def tell_troubles(store: Store, configs: Sequence[RunConfig]) -> int:
    """Name the runs that did not end well; 1 when any failed or was not ended."""
    code = left = 0
    for asked in configs:
        config = trained_as(store, asked)
        status, folder, said = store.status(config.run_id), store.folder(config.run_id), ""
        if config != asked:
            print(f"out of memory: {asked.run_id}: tried again with micro_batch="
                  f"{config.micro_batch}, as run {config.run_id}", file=sys.stderr)  # fmt: skip
        if status == "failed":
            failure = store.failure(config.run_id) or {}
            said = (f"{failure.get('kind', 'error')}: {failure.get('error')}\n  log in "
                    f"{folder / 'failure.json'}; try again with --retry failed")  # fmt: skip
        elif status in UNFINISHED and status != "damaged":
            left += 1
        elif status == "damaged":
            said = f"{folder / 'record.json'}; `lab run` sets it aside and trains the run again"
        elif status == "unreadable":
            said = f"{folder / 'record.json'} can't be read now; mend the file system, then again"
        elif status == "diverged":
            steps, rate = store.record(config.run_id)["steps"], config.optim.learning_rate
            said = f"at rate {rate:g}, after step {steps}; it stays out of fits"
        if said:
            print(f"{status}: {config.run_id}: {said}", file=sys.stderr)
            code = max(code, int(status != "diverged"))
    if left:
        print(f"{left} of {len(configs)} runs were not finished; the same command goes on from "
              "here", file=sys.stderr)  # fmt: skip
    return max(code, int(left > 0))


def status(experiment: Experiment, /, *, store: Folder = Path("runs"), set: Settings = ()) -> int:
    """How many runs are done, running, silent, stopped, failed, diverged and left; and the time
    left."""
    runs = Store(store)
    configs = lineage.settled(runs, configs_of(load(experiment), set))
    view = View(runs, configs, os.cpu_count() or 1)
    view.read(quiet=True)
    view.find_silent()
    print(view.summary())
    for word, n in Counter(view.status.values()).most_common():
        print(f"{word:>9} {n:>5}{view.silence() if word == 'silent' else ''}")
    return 0


def export_command(
    experiment: Experiment, /, *,
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs.csv"),
    store: Folder = Path("runs"), set: Settings = (),
) -> int:  # fmt: skip
    """Write the run table (csv or jsonl): one row a finished run."""
    module, runs = load(experiment), Store(store)
    table = export.rows(runs, configs_of(module, set), name_of(module))
    export.write(table, output)
    print(f"{len(table)} rows in {output}")
    return 0


def report(
    experiment: Experiment, /, *, store: Folder = Path("runs"), out: Path | None = None
) -> int:
    """Write the experiment's figures and page again, from the store."""
    module = load(experiment)
    report_into(module, Store(store), out or Path("out") / name_of(module))
    return 0


def verify_resume(
    experiment: Experiment, run_id: Annotated[str, tyro.conf.arg(metavar="RUN_ID")], /, *,
    devices: tuple[int, ...] = (1,), way: Literal["", "jit", "mesh", "fsdp", "pmap"] = "",
    from_devices: int = 1, set: Settings = (),
) -> int:  # fmt: skip
    """Kill a run in its middle, resume it, and compare it with itself left alone.

    Args:
      run_id: of a run of the experiment, or its first digits; `lab plan` lists them.
      devices: what the resumed part is spread over; several numbers resume it as often.
      way: how it is spread.
      from_devices: what the run left alone, and the part before the kill, are spread over.
    """
    from lab import verify

    if min(devices, default=0) < 1 or from_devices < 1:
        raise Refused(f"--devices {' '.join(map(str, devices))} --from-devices {from_devices}: at "
                      "least 1 each")  # fmt: skip
    configs = configs_of(load(experiment), set)
    found = [config for config in configs if run_id and config.run_id.startswith(run_id)]
    if len(found) != 1:
        some = ", ".join(config.run_id for config in (found or configs)[:4])
        raise Refused(
            f"{run_id!r} names {len(found)} of the {len(configs)} runs of {experiment}; they are "
            f"{some}{', ...' if len(found or configs) > 4 else ''}"
        )
    config = replace(found[0], init_from="")  # alone: its numbers are the same
    print(f"run {config.run_id}, {describe(config)}, in a scratch store", flush=True)
    first, thens = verify.Place(from_devices), [verify.Place(n, way) for n in devices]
    right = verify.verify(config, first, thens, partial(print, flush=True))
    return 0 if right else 1


def data(
    action: Positional[Literal["list", "prepare", "show"]], name: Positional[str] = "", /, *,
    tokenizer: str = "bytes",
) -> int:  # fmt: skip
    """List, prepare or show a corpus.

    Args:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """0 did its job, 1 refused or something failed (and says what), 2 wrong usage."""
    from lab import bench

    commands = {
        "plan": plan, "run": run, "status": status, "export": export_command, "report": report,
        "verify-resume": verify_resume,
        "data": data, "bench": bench.command, "sample": text_cli.sample,
        "compress": text_cli.compress, "decompress": text_cli.decompress,
    }  # fmt: skip
    try:
        return tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="lab") or 0
    except BrokenPipeError:  # the reader, such as head, has seen enough; Python would tell it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Refused, ValueError, StoreError, OSError, RuntimeError) as error:
        if os.environ.get("LAB_TRACEBACK"):
            raise
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
