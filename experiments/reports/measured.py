"""Tables of what finished runs' weights can do: a few rows a run, made once and kept."""

import csv
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.reports import tables
from lab.config import RunConfig
from lab.plan import grid
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.files import StoreError
from lab.store.store import Store
from lab.trained import weights

Row = dict[str, object]


def write(
    store: Store,
    runs: Callable[[], Iterable[RunConfig]],
    corpora: Sequence[str],
    measure: Callable[[weights.Trained], Iterable[Row]],
    path: Path,
    kept: Path,
) -> None:
    """The rows of every finished run, into `path` after each. What `path` or the committed table holds is not
    made again; a run without weights is left out, and said.

    Args:
      runs: asked for only where the store learned from one of `corpora`.
      measure: of a run the rows without run_id and finished, which come first and last.

    Raises:
      ValueError: nothing is known of any run.
    """
    known = {line["run_id"]: [] for each in (kept, path) for line in tables.lines_of(each)}
    for each in (path, kept):
        lines = tables.lines_of(each)
        for run_id in {line["run_id"] for line in lines if not known[line["run_id"]]}:
            known[run_id] = [line for line in lines if line["run_id"] == run_id]
    for config in runs() if contents.learned_from(store, corpora) else []:
        run_id = trained_as(store, config).run_id
        if run_id in known:
            continue
        try:
            run, began = weights.read(store, run_id), time.monotonic()
        except StoreError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows = list(measure(run))
        at = {"finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        known[run_id] = [{"run_id": run_id} | row | at for row in rows]
        print(
            f"{grid.describe_model(config.model)}: measured in {time.monotonic() - began:.0f} s", flush=True
        )
        save(known, path)
    if not known:
        raise ValueError(
            f"{store.root} holds no finished run of this experiment with its weights, and there is no {kept}"
        )
    save(known, path)


def with_table(
    store: Store,
    name: str,
    runs: Callable[[], Sequence[RunConfig]] | Sequence[RunConfig],
    out: Path,
    corpora: Sequence[str],
    measure: Callable[[weights.Trained], Iterable[Row]],
    what: str,
) -> Path:
    """`out`/runs.csv as `tables.table_of` writes it, and beside it runs-WHAT.csv, measured of its runs.

    Args:
      runs: the experiment's function of its grid, or a grid that was changed.
    """
    changed = not callable(runs)
    path = tables.table_of(name, store, runs, out, corpora, changed=changed)
    asked = (lambda: runs) if changed else runs
    write(
        store,
        asked,
        corpora,
        measure,
        path.with_name(f"{path.stem}-{what}.csv"),
        tables.kept(f"{name}-{what}"),
    )
    return path


def save(known: dict[str, list[Row]], path: Path) -> None:
    lines = [line for own in known.values() for line in own]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
