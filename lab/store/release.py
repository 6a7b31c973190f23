"""A folder to give away: every finished run of a grid whole, its table, what made it, and a checksum of each
file; and whether such a folder is still what was written.

    DIR/CARD.md            what it is, in a page
        runs.csv           the run table; curves.csv the curves
        runs/RUN_ID/       a store: config, record, curve, the last checkpoint
        code/              the experiment's file, and those of the user's own that runs name, with what these
                           import from beside them
        environment.json   commit, digest of the numeric code, versions, processor
        SHA256SUMS         of all these: `sha256sum -c SHA256SUMS`
"""

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lab.config import RunConfig
from lab.config.fields import declared
from lab.models import counts
from lab.store import export, files
from lab.store.code import LIBRARIES, digest
from lab.store.failures import trained_as
from lab.store.store import Store

SUMS = "SHA256SUMS"
KEPT = ("config.json", "record.json", "curve.csv", "origin.json")


CARD = """# {name}

{runs} of {of} runs are finished and here, {flops:.3g} training FLOPs in all; they differ in {varied}.

- **Data**: {data}; the last number begins the sha256 of the tokens. These are not here: they are prepared
  from their source, and a run takes no others. Their order is a pure function of the tokens, `data_seed`
  and the update (lab/data/batches.py).
- **Runs**: `runs.csv`, a row a run, and `curves.csv`; each whole in `runs/` (config, record, curve, last
  checkpoint): a store that `lab sample RUN_ID --store runs` reads.
- **Code**: released at commit {commit}; digest {code} of what computed the runs' numbers; versions and
  processor of the release in `environment.json`; the experiment's file in `code/`.
- **Check it**: `sha256sum -c SHA256SUMS`; `lab verify .` trains the cheapest run again, `lab verify .
  {run_id}` that one, and says whether it ends the same to the last bit.
"""


def write(
    store: Store, configs: Sequence[RunConfig], name: str, out: Path, code: Mapping[Path, Path], commit: str
) -> int:
    """Fill an empty folder; returns how many runs it holds. Files of `code` are given with their places.

    Raises:
      StoreError: the folder holds something, or no run is finished; a damaged record.
    """
    if out.exists() and any(out.iterdir()):
        raise files.StoreError(f"{out} holds files already: name a new folder")
    runs = [run for run in (trained_as(store, config) for config in configs) if store.record(run.run_id)]
    if not runs:
        raise files.StoreError(f"the store {store.root} holds no finished run of {name}: train it first")
    (out / "code").mkdir(parents=True, exist_ok=True)
    for run in runs:
        copy_run(store, run.run_id, out / "runs" / run.run_id)
    export.write(export.rows(store, configs, name), out / "runs.csv")
    export.write_curves(store, configs, out / "curves.csv")
    for path, place in code.items():
        (out / "code" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / "code" / place)
    files.write_json(out / "environment.json", environment(commit))
    files.replace_file(out / "CARD.md", card(name, runs, len(configs), commit, codes_of(store, runs)))
    files.replace_file(out / SUMS, sums(out))
    return len(runs)


def copy_run(store: Store, run_id: str, to: Path) -> None:
    source, newest = store.folder(run_id), store.newest_checkpoint(run_id)
    to.mkdir(parents=True)
    for name in KEPT:
        if (source / name).exists():
            shutil.copyfile(source / name, to / name)
    if newest:
        shutil.copytree(source / "checkpoints" / str(newest), to / "checkpoints" / str(newest))


def environment(commit: str) -> dict[str, Any]:
    """What a run's bits depend on beside its config, as it is here."""
    return {
        "commit": commit,
        "code": digest(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "libraries": {name: version(name) for name in (*LIBRARIES, "orbax-checkpoint", "numpy")},
    }


def processor() -> str:
    """The model of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    return next((named[key].strip() for key in named if key.startswith("model name")), platform.machine())


def codes_of(store: Store, runs: Sequence[RunConfig]) -> str:
    """The digests of the code that trained runs, as their records say."""
    records = (store.record(run.run_id) or {} for run in runs)
    return ", ".join(sorted({record.get("code") or "unknown" for record in records}))


def card(name: str, runs: Sequence[RunConfig], of: int, commit: str, codes: str) -> str:
    """The page on top."""
    first = runs[0]
    varied = [
        field
        for part in ("model", "optim", "data")
        for field in declared(type(getattr(first, part)))
        if len({str(getattr(getattr(run, part), field)) for run in runs}) > 1
    ]
    return CARD.format(
        name=name,
        runs=len(runs),
        of=of,
        flops=sum(counts.spent_flops(run) for run in runs),
        varied=", ".join([*varied, "tokens"]),
        data="; ".join(sorted({f"{r.data.corpus} ({r.data.tokenizer}, {r.data.sha256[:12]})" for r in runs})),
        commit=commit or "unknown",
        code=codes,
        run_id=first.run_id,
    )


def sums(folder: Path) -> str:
    """A line a file, as `sha256sum` writes them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return "".join(f"{files.sha256(path.read_bytes())}  {path.relative_to(folder)}\n" for path in paths)


def damaged(folder: Path) -> list[str]:
    """The files that are missing or not what they were, and those that nobody listed.

    Raises:
      StoreError: it is no release.
    """
    if not (folder / SUMS).is_file():
        raise files.StoreError(f"{folder} holds no {SUMS}: name a folder that `lab release` wrote")
    listed = dict(line.split("  ", 1)[::-1] for line in (folder / SUMS).read_text().splitlines())
    now = dict(line.split("  ", 1)[::-1] for line in sums(folder).splitlines())
    return sorted(path for path in listed | now if listed.get(path) != now.get(path))


def unlike(folder: Path) -> list[str]:
    """What of this machine's code and libraries differs from that a release was made with."""
    then, here = json.loads((folder / "environment.json").read_text()), environment("")
    words = [
        f"{name} {then.get(name)} then, {here[name]} here"
        for name in ("code", "python", "machine", "processor")
        if then.get(name) != here[name]
    ]
    libraries = {**then.get("libraries", {})}
    return words + [
        f"{n} {libraries.get(n)} then, {v} here"
        for n, v in here["libraries"].items()
        if libraries.get(n) != v
    ]
