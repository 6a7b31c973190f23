"""`lab release` and `lab verify`: a grid to give away whole, and whether somebody's runs come out again."""

import argparse
import inspect
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.commands import shared
from lab.commands.experiment import CommandError, Experiment
from lab.commands.run import commit
from lab.commands.view import describe_run
from lab.config import RunConfig, userfile
from lab.launch import verify
from lab.models import counts
from lab.store import contents, release
from lab.store.records import origin
from lab.store.store import Store


def add(commands) -> None:
    parser = shared.command(commands, "release", write)
    shared.add_grid(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a new folder")
    parser = shared.command(commands, "verify", check)
    parser.add_argument("folder", type=Path, metavar="DIR", help="that `lab release` wrote")
    parser.add_argument(
        "run_id", nargs="?", default="", metavar="RUN_ID", help="which run to train again (the cheapest)"
    )
    help = "a file of the model, objective or optimiser that runs name, which may be imported; repeatable"
    parser.add_argument("--code", type=Path, action="append", default=[], metavar="FILE", help=help)


def write(options: argparse.Namespace) -> int:
    """Copy a grid's finished runs into a folder to give away. It holds configs, records, curves, final
    weights, table, code, environment, checksums and a card."""
    experiment, store = shared.open_grid(options)
    configs = experiment.configs()
    held = release.write(store, configs, experiment.name, options.output, code_of(experiment), commit())
    print(f"{held} of {len(configs)} runs in {options.output}; look at {options.output / 'CARD.md'}")
    print(f"Next, here or wherever it went: python -m lab verify {shlex.quote(str(options.output))}")
    return 0


def code_of(experiment: Experiment) -> dict[Path, Path]:
    """The experiment's file and those of the user's own, each with its place in the release's code/."""
    file = Path(inspect.getfile(experiment.module)).resolve()
    code = {file: Path(file.name)}
    for path in userfile.NAMED.values():
        code |= userfile.copies(path)
    return code


def check(options: argparse.Namespace) -> int:
    """Check a release's files, then train one of its runs again and compare it to the last bit."""
    folder = options.folder
    if wrong := release.damaged(folder):
        shown = ", ".join(wrong[:5]) + ", ..." * (len(wrong) > 5)
        raise CommandError(f"{folder}: {len(wrong)} files are not what was released: {shown}")
    print(f"{folder}: every file is what was released")
    for path in options.code:
        userfile.name_file(userfile.find(str(path), "--code"))
    given = Store(folder / "runs")
    config = contents.find(given, options.run_id) if options.run_id else cheapest(given)
    have_tokens(config)
    print(f"training run {config.run_id} again: {' '.join(describe_run(config).split())}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lab-verify-") as scratch:
        store = Store(Path(scratch) / "runs")
        store.prepare()
        verify.train(store, replace(config, init_from=""), verify.Place())  # alone: its numbers are the same
        same = compare(given, store, config.run_id)
        then, here = (s.record(config.run_id) for s in (given, store))
        unlike = [words for words in release.unlike(folder) if words.split()[0] not in then]
        unlike += placed_unlike(then, here)
    if unlike:
        print(
            f"{'though' if same else 'because, perhaps,'} this is not where it was made: {'; '.join(unlike)}"
        )
    elif not same:
        print("and code, libraries and processor are the same: that should not be; please report it")
    return 0 if same else 1


def placed_unlike(then: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What of where and how a run was trained differs between two records of it."""
    return [
        f"{name} {then[name]} then, {here.get(name, 'none')} here"
        for name in ("code", "python", "jax", "device", "devices", "way", "pack")
        if name in then and then[name] != here.get(name)
    ]


def cheapest(store: Store) -> RunConfig:
    ids = [path.parent.name for path in store.root.glob("*/record.json")]
    return min((contents.find(store, run_id) for run_id in ids), key=counts.run_flops)


def have_tokens(config: RunConfig) -> None:
    """Prepare a run's corpus where it is not here, and refuse another one of its name."""
    from lab.data import corpora

    name, tokenizer = config.data.corpus, config.data.tokenizer
    try:
        corpora.open_corpus(name, tokenizer, config.data.sha256)
    except corpora.CorpusError:
        corpora.prepare(name, tokenizer)
        corpora.open_corpus(name, tokenizer, config.data.sha256)


def compare(given: Store, again: Store, run_id: str) -> bool:
    """Say whether losses along the curve and at the end are equal to the last bit, or how far off. Up to the
    end of its trunk a branch's curve is the trunk's, which was measured elsewhere."""
    ends = [store.record(run_id).get("loss") for store in (given, again)]
    _, trunk = origin(given.record(run_id).get("init_from")) or ("", 0)
    curves = [
        [row["loss"] for row in store.curve(run_id) if int(row["step"]) > trunk] + [repr(end)]
        for store, end in zip((given, again), ends, strict=True)
    ]
    if curves[0] == curves[1]:
        print(f"equal to the last bit: {len(curves[0])} losses, the last {ends[0]}")
        return True
    pairs = [(float(a), float(b)) for a, b in zip(*curves, strict=False) if "None" not in (a, b)]
    worst = max((abs(b / a - 1) for a, b in pairs), default=float("nan"))
    print(
        f"NOT equal: {ends[0]} released, {ends[1]} here; the losses differ by up to {worst:.2g} of themselves"
    )
    return False
