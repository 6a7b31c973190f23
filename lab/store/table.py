"""A store's finished runs as a table, for a notebook."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lab.store import contents, export
from lab.store.store import Store

SHOWN = ("run_id", "status", "params", "tokens", "flops", "loss")  # in a notebook
FEW = 10


@dataclass(frozen=True, eq=False, repr=False)
class RunTable(Mapping[str, list[Any]]):
    """Columns by name (docs/results.md), with a cell for each finished run; an unknown value is None.
    `rows` holds the same by run. `analysis.read(table)` takes it as it is."""

    source: str
    rows: list[dict[str, Any]]

    def __getitem__(self, name: str) -> list[Any]:
        if name not in iter(self):
            raise KeyError(name)
        return [row.get(name) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*export.COLUMNS, *(name for row in self.rows for name in row))))

    def __len__(self) -> int:
        """Of columns, as of every mapping; `len(table.rows)` counts runs."""
        return sum(1 for _ in self)

    def to_frame(self):
        """The table as a pandas data frame.

        Raises:
          ModuleNotFoundError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(dict(self))

    def __repr__(self) -> str:
        ends = ", ".join(f"{n} {word}" for word, n in Counter(row["status"] for row in self.rows).items())
        return f"{len(self.rows)} runs of {self.source} ({ends or 'none is finished'}), {len(self)} columns"

    def _repr_html_(self) -> str:
        cell = lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)  # noqa: E731
        rows = [SHOWN, *([cell(row[name]) for name in SHOWN] for row in self.rows[:FEW])]
        lines = ("".join(f"<td>{escape(text)}</td>" for text in row) for row in rows)
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<p>{escape(repr(self))}</p><table>{table}</table>"


def load(store: str | Path = "runs") -> RunTable:
    """Every finished run of a store, of whichever experiment, as `lab export` writes it. Imports no jax.

    Args:
      store: its folder.

    Raises:
      StoreError: there is no such folder, or the config.json of a run can't be believed.
    """
    opened = Store(Path(store))
    configs = contents.every(opened)
    rows = {row["run_id"]: row for row in export.rows(opened, configs)}
    return RunTable(str(store), [*rows.values()])
