"""Where an experiment's report takes its table from: the store, else the one that was committed.

Not an experiment of its own.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import export, lineage
from lab.config import RunConfig
from lab.grid import unique
from lab.store import Store

RESULTS = Path(__file__).parent / "results"


def kept(name: str) -> Path:
    """Where the table of an experiment is committed."""
    return RESULTS / f"{name}.csv"


def table_of(
    name: str, store: Store, configs: Sequence[RunConfig] | Mapping[str, Sequence[RunConfig]],
    out: Path,
) -> Path:  # fmt: skip
    """`out`/runs.csv and curves.csv: the finished runs of the store, or, where there are none,
    experiments/results/NAME.csv (and NAME-curves.csv where an experiment keeps its curves). It says
    which, and how many of the grid are missing. Of an experiment of several parts, given by name, a
    run's column `experiment` is NAME:PART, and a run of two parts has two rows.

    Raises:
      ValueError: neither is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, committed = out / "runs.csv", kept(name)
    if isinstance(configs, Mapping):
        named = {f"{name}:{part}": own for part, own in configs.items()}
        configs = unique(config for own in configs.values() for config in own)
    else:
        configs = lineage.settled(store, configs)  # without trunks that nothing needs any more
        named = {name: configs}
    found = [row for part, own in named.items() for row in export.rows(store, own, part)]
    if found:
        done = len({row["run_id"] for row in found})
        export.write(found, path)
        export.write_curves(store, configs, out / "curves.csv")
        left = f"; {len(configs) - done} are missing" if done < len(configs) else ""
        print(f"{name}: {done} of {len(configs)} runs, from the store {store.root}{left}")
    elif committed.exists():
        shutil.copyfile(committed, path)
        if kept(f"{name}-curves").exists():
            shutil.copyfile(kept(f"{name}-curves"), out / "curves.csv")
        print(f"{name}: the store {store.root} holds none of its runs; from {committed}, "
              "as committed")  # fmt: skip
    else:
        raise ValueError(
            f"{name}: the store {store.root} holds none of its runs and there is no {committed}; "
            f"train them with `python -m lab run experiments.{name.replace('-', ':')}`"
        )
    return path
