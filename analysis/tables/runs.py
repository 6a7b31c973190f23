"""A table of runs: columns by name, the roles some play, and which rows are kept out and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from analysis.tables import cautions, where
from analysis.tables.headers import ALIASES, RUN_IDS, SIZED, find
from analysis.tables.sheets import listed
from analysis.tables.units import UNSTATED


def check_runs(runs) -> None:
    """Refuse what is no table of runs.

    Raises:
      ValueError: it is none.
    """
    if not isinstance(runs, Runs):
        raise ValueError(
            f"a {type(runs).__name__} is no table of runs; analysis.read(SOURCE) makes one of a file, a dict "
            "of columns or a data frame"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """A table of R runs: columns, which of them are params, tokens, flops, loss, budget, and flags.

    `columns` are float64 (R,) (an empty cell is NaN) or object (R,) of text. `reasons` (R,) is ""
    for a usable row. `notes` state the conventions: which column was taken for what, and what was
    computed instead of read. `doubts` say by role why no column was taken for it. `loss_unit` is
    what the header says of the loss. `tried` are columns of a file that lists, in the object of one run,
    the settings tried and a loss for each.
    """

    columns: Mapping[str, np.ndarray]
    roles: Mapping[str, str]
    source: str
    rows: np.ndarray
    reasons: np.ndarray
    notes: tuple[str, ...] = field(default=())
    doubts: Mapping[str, str] = field(default_factory=dict)
    loss_unit: str = UNSTATED
    tried: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """A role's column (params, tokens, ...) or any other by its name."""
        if name in self.roles:
            return self.columns[self.roles[name]]
        if name in self.doubts:
            raise ValueError(f"{self.source}: {self.doubts[name]}")
        if name in self.columns:
            return self.columns[name]
        headers, advice = name, "choose one of these"
        if name in ALIASES:
            headers, advice = ", ".join(ALIASES[name][:5]) + ", ...", f"name it with --{name} COL"
            if name in ("params", "tokens", "flops"):
                advice += self.otherwise()
                others = [role for role in ("params", "tokens", "flops") if role not in self.roles]
                advice += "".join(f"; {self.doubts[role]}" for role in others if role in self.doubts)
        computed = {column for role, column in self.roles.items() if column.startswith(f"{role} (")}
        raise ValueError(
            f"{self.source}: no column for {name} (looked for {headers}); the columns are "
            f"{listed(column for column in self.columns if column not in computed)}; {advice}"
        )

    def otherwise(self) -> str:
        """What may be added to a table whose size and length nothing counts, and what it bears."""
        ids = find(self.columns, RUN_IDS)
        if ids and "loss" in self.roles and len(set(self.labels(ids))) < len(self) / 2:
            return (
                f", or state it in the names of runs or files, as in {SIZED}; if these are curves of runs, "
                "`analysis speedup` compares them without it"
            )
        return f"; a law of one column is --law power --x COL --y {self.roles.get('loss', 'COL')}"

    params = property(lambda self: self.column("params"))
    tokens = property(lambda self: self.column("tokens"))
    flops = property(lambda self: self.column("flops"))
    loss = property(lambda self: self.column("loss"))
    budget = property(lambda self: self.column("budget"))

    def has(self, name: str) -> bool:
        return name in self.roles or (name in self.columns and name not in self.doubts)

    @property
    def unit(self) -> str:
        """The loss's unit behind a number, " nats/token"; "" where the table states none."""
        return "" if self.loss_unit == UNSTATED else " " + self.loss_unit.partition(",")[0]

    def converted(self, role: str, name: str) -> str:
        """The column that plays a role where its cells were converted for it, else `name`."""
        column = self.roles.get(role, name)
        return column if column.startswith(f"{role} (") and name != role else name

    def select(self, mask: np.ndarray) -> "Runs":
        columns = {name: column[mask] for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[mask], reasons=self.reasons[mask])

    def usable(self) -> "Runs":
        """The rows without a flag."""
        return self.select(self.reasons == "")

    def dropped(self) -> list[tuple[int, str]]:
        """(row, reason) of every flagged row."""
        flagged = np.flatnonzero(self.reasons != "")
        return [(int(self.rows[i]), str(self.reasons[i])) for i in flagged]

    def flag(self, row: int, reason: str) -> "Runs":
        """The same table with one more row kept out, and why."""
        if row not in self.rows:
            raise ValueError(f"{self.source}: there is no row {row} to flag")
        reasons = self.reasons.copy()
        reasons[self.rows == row] = reason
        return replace(self, reasons=reasons)

    def where(self, text: str) -> "Runs":
        """The rows for which a filter (see `where`) is true."""
        by_role = {role: self.columns[name] for role, name in self.roles.items()}
        rows, note = where.select_rows(self.source, text, {**self.columns, **by_role, **self.columns})
        return replace(self.select(rows), notes=(*self.notes, note))

    def by(self, name: str) -> dict[str, "Runs"]:
        """One table per value of a column, in order of first appearance."""
        labels = self.labels(name)
        return {label: self.select(labels == label) for label in dict.fromkeys(labels)}

    def labels(self, name: str) -> np.ndarray:
        """A column as text (R,), numbers to 15 digits."""
        column = self.column(name)
        form = str if column.dtype == object else "{:.15g}".format
        return np.array([form(value) for value in column.tolist()], object)

    @cached_property
    def cautions(self) -> list[str]:
        """What looks wrong in the usable rows, a line each (see `cautions`)."""
        used = self.usable()
        return [*cautions.units(used.columns, used.roles), *cautions.mixtures(used.columns, used.roles)]

    def to_frame(self):
        """The table as a pandas data frame, with a column `flag`: why a row is kept out, "" where it is used.

        Raises:
          ModuleNotFoundError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame({**self.columns, "flag": self.reasons})

    def __repr__(self) -> str:
        used = int((self.reasons == "").sum())
        roles = ", ".join(f"{role} = {column}" for role, column in self.roles.items())
        return f"{used} runs of {self.source}, {len(self) - used} more flagged; {roles}"

    def with_column(self, role: str, values: np.ndarray, note: str) -> "Runs":
        """The same runs with one role's values replaced, and a note that says how."""
        name = f"{role} ({note})"
        columns = {**self.columns, name: np.asarray(values, float)}
        notes = (*self.notes, f"{role} = {note}")
        return replace(self, columns=columns, roles={**self.roles, role: name}, notes=notes)
