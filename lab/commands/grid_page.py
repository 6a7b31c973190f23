"""The page of a grid whose experiment draws none of its own: whatever its design, by `analysis report`."""

from collections.abc import Sequence
from pathlib import Path

from lab.commands.analysis import Refused, ask
from lab.config import RunConfig
from lab.store import export, lineage
from lab.store.files import StoreError
from lab.store.store import Store


def write(store: Store, configs: Sequence[RunConfig], out: Path, name: str) -> None:
    """runs.csv, curves.csv and report.html in a folder, and the page's answer on the screen.

    Raises:
      StoreError: no run of the grid has a record.
    """
    rows = export.rows(store, lineage.resolve_trunks(store, configs), name)
    if not rows:
        raise StoreError(
            f"{name}: none of its {len(configs)} runs is finished in {store.root}; `lab run` first"
        )
    out.mkdir(parents=True, exist_ok=True)
    table, curves, page = (out / file for file in ("runs.csv", "curves.csv", "report.html"))
    export.write(rows, table)
    export.write_curves(store, configs, curves)
    page.unlink(missing_ok=True)
    words = ["report", str(table), "-o", str(page), "--curves", str(curves), "--title", name]
    try:
        print(ask(*words))
    except Refused as error:  # a table that gives no law has a page still, which says so
        print(error)
    print(f"page: {page}" if page.exists() else f"no page; the table is {table}")
