"""Sweeps of learning rates trained side by side, a share of their steps at a time; losers stop on the way."""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.commands.analysis import Refused, ask
from lab.commands.experiment import CommandError
from lab.config import RunConfig
from lab.models import counts
from lab.store import export
from lab.store.failures import has_failed
from lab.store.store import Store

SHARES = (0.08, 0.12, 0.18, 0.28, 0.43, 0.65)  # of the steps, at which sweeps are looked at


def train_sweeps(
    options: argparse.Namespace,
    store: Store,
    configs: Sequence[RunConfig],
    train: Callable[[Sequence[RunConfig], float], tuple[int, bool]],
) -> tuple[int, bool]:
    """Train a grid's sweeps, all runs as far as the next of `SHARES` before any goes on; what `analysis
    losers` then says has lost is pruned. `train` takes runs and the share of their steps to stop at, and
    returns the exit status and whether it is over, as this does.

    Raises:
      CommandError: the runs are trained where this command does not wait for them.
    """
    if options.launcher != "local" or any(config.trunk or config.init_from for config in configs):
        raise CommandError("--stop-losers trains whole runs on this machine: no cluster, no trunks")
    going = [config for config in configs if store.status(config.run_id) != "pruned"]
    for share in SHARES:
        status, over = train(going, share)
        if not over or (status and options.fail_fast):
            return status, over
        options.retry = ""  # what failed before is tried again once
        lost = losers(store, configs)
        for config in lost:
            step = store.newest_checkpoint(config.run_id)
            why = f"the loser of a sweep, stopped after {step} of {config.steps} steps (analysis losers)"
            store.prune(config.run_id, step, why)
        going = [config for config in going if config not in lost]
    status, over = train(going, 1.0)
    pruned = [c for c in configs if store.status(c.run_id) == "pruned"]
    kept = [1 - store.pruned(c.run_id)["step"] / c.steps for c in pruned]
    whole = sum(map(counts.run_flops, configs))
    saved = sum(part * counts.run_flops(c) for part, c in zip(kept, pruned, strict=True))
    print(
        f"{len(pruned)} of {len(configs)} runs were stopped as losers: {100 * saved / whole:.0f} % of the "
        "FLOPs saved; the same command without --stop-losers trains them to their ends"
    )
    return status, over


def losers(store: Store, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The runs under way that can no longer win their sweeps, by the curves so far."""
    of_length: dict[int, list[RunConfig]] = defaultdict(list)
    for config in configs:
        if not has_failed(store, config):  # where its curve ends tells nothing of its rate
            of_length[config.steps].append(config)
    lost: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        runs, curves, said = (Path(folder) / name for name in ("runs.csv", "curves.csv", "said.json"))
        for steps, own in of_length.items():
            export.write([planned(store, config) for config in own], runs)
            export.write_curves(store, own, curves, so_far=True)
            try:
                ask("losers", runs, "--curves", curves, "--length", steps, "--json", said)
            except Refused as refusal:
                if "no three runs" not in str(refusal):  # of this length are one sweep
                    print(f"no run of {steps} steps is stopped: {refusal}", file=sys.stderr)
                continue
            each = json.loads(said.read_text())["each"]
            lost |= {run["run"] for sweep in each for run in sweep["runs"] if run["stopped"]}
    return [c for c in configs if c.run_id in lost and store.status(c.run_id) == "stopped"]


def planned(store: Store, config: RunConfig) -> dict:
    """A run's row as its config plans it, with the last loss of its curve."""
    curve = store.curve(config.run_id)
    loss = float(curve[-1]["loss"]) if curve else None
    return export.row(config, {"status": "running", "steps": config.steps, "loss": loss})
