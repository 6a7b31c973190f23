"""Where an experiment's report takes its table from: the store, else the one that was committed.

Not an experiment of its own.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import export
from lab.config import RunConfig
from lab.store import Store

RESULTS = Path(__file__).parent / "results"


def table_of(name: str, store: Store, configs: Sequence[RunConfig], out: Path) -> Path:
    """`out`/runs.csv: the finished runs of the store (and `out`/curves.csv), or, where there are
    none, experiments/results/NAME.csv. It says which, and how many of the grid are missing.

    Raises:
      ValueError: neither is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, kept = out / "runs.csv", RESULTS / f"{name}.csv"
    found = export.rows(store, configs, name)
    if found:
        export.write(found, path)
        export.write_curves(store, configs, out / "curves.csv")
        left = f"; {len(configs) - len(found)} are missing" if len(found) < len(configs) else ""
        print(f"{name}: {len(found)} of {len(configs)} runs, from the store {store.root}{left}")
    elif kept.exists():
        shutil.copyfile(kept, path)
        print(f"{name}: the store {store.root} holds none of its runs; from {kept}, as committed")
    else:
        raise ValueError(
            f"{name}: the store {store.root} holds none of its runs and there is no {kept}; train "
            f"them with `python -m lab run experiments.{name.replace('-', ':')}`"
        )
    return path
