"""`lab verify-resume`: is a run that is killed and resumed the run left alone?"""

import argparse
from dataclasses import replace
from functools import partial

from lab.commands import shared
from lab.commands.experiment import CommandError
from lab.commands.view import describe_run
from lab.launch import verify
from lab.launch.order import Order

STORE = (
    "the folder of runs, in which, on its file system, the run is trained in a scratch folder; its own runs "
    "are left alone"
)
HELP = {
    "run_id": "of a run of the experiment, or its first digits; `lab plan` lists them",
    "--devices": "what the resumed part is spread over, several numbers resume it as often",
    "--way": "how it is spread",
    "--from-devices": "what the run left alone, and the part before the kill, are spread over",
}


def add(commands) -> None:
    parser = shared.command(commands, "verify-resume", run)
    shared.add_grid(parser, store=STORE)
    option = shared.option_adder(parser, HELP)
    option("run_id", metavar="RUN_ID")
    option("--devices", **shared.COUNT, nargs="*", default=[1])
    option("--way", **shared.WAY)
    option("--from-devices", **shared.COUNT, default=1)


def run(options: argparse.Namespace) -> int:
    """Kill a run in its middle, resume it, and compare it with itself left alone."""
    if min(options.devices, default=0) < 1 or options.from_devices < 1:
        devices = " ".join(map(str, options.devices))
        raise CommandError(f"--devices {devices} --from-devices {options.from_devices}: at least 1 each")
    for n in options.devices:
        Order(devices=n, way=options.way)  # refuses what `lab run` would
    experiment, store = shared.open_grid(options)
    configs, run_id = experiment.configs(), options.run_id
    named = [config for config in configs if run_id and config.run_id.startswith(run_id)]
    if len(named) != 1:
        listed = [config.run_id for config in named or configs]
        raise CommandError(
            f"{run_id!r} names {len(named)} of the {len(configs)} runs of {options.experiment}; they are "
            f"{', '.join(listed[:4])}{', ...' if len(listed) > 4 else ''}"
        )
    config = replace(named[0], init_from="")  # alone: its numbers are the same
    store.prepare()
    print(f"run {config.run_id}, {describe_run(config)}, in a scratch store", flush=True)
    first = verify.Place(options.from_devices)
    then = [verify.Place(n, options.way) for n in options.devices]
    agree = verify.verify(config, first, then, partial(print, flush=True), store.root)
    shared.suggest(options, "run")
    return 0 if agree else 1
