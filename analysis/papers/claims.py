"""What a paper's file gives back: claims with verdicts and figures; and where its data is found."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.laws.published import Published
from analysis.tables import Runs, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = ("pass", "fail", "explained", "no data")


class Missing(Exception):
    """A data file is not there; the message names it and says how to give it."""


@dataclass(frozen=True)
class Claim:
    """One number of a paper beside ours.

    `verdict` is pass (within the tolerance), explained (outside it, by a cause that was computed
    and found), no data, or fail. `tolerance` is absolute, in units of the number.
    """

    paper: str
    claim: str
    published: float
    ours: float | None
    tolerance: float | None
    verdict: str
    note: str  # source and convention, why this tolerance, and the cause of a disagreement


@dataclass(frozen=True)
class Data:
    """A folder of published tables, or none; and what fetches a table that is not in it."""

    folder: Path | None
    fetch: Callable[[str], Runs] | None = None

    def table(self, name: str, where: str | None = None) -> Runs:
        """The usable rows of one file.

        Raises:
          Missing: there is no folder, or no such file in it, and it cannot be fetched.
          ValueError: the file cannot be read as a table.
        """
        path = self.folder / name if self.folder else None
        if path and path.is_file():
            return table.read(path, where=where).usable()
        if self.fetch:
            runs = self.fetch(name)
            return (runs.where(where) if where else runs).usable()
        if path is None:
            raise Missing(f"needs {name}: name its folder with --data DIR or SCALING_DATA")
        raise Missing(f"needs {name}, which is not in {self.folder}")


def find(folder: str | None = None) -> Data:
    """The data folder asked for, else the one SCALING_DATA names, else none."""
    folder = folder or os.environ.get("SCALING_DATA")
    if folder and not Path(folder).is_dir():
        raise ValueError(f"{folder}: is not a folder; --data and SCALING_DATA name one")
    return Data(Path(folder) if folder else None)


@dataclass
class Paper:
    """A paper's claims so far, and its figures: name -> a function that draws it."""

    name: str
    claims: list[Claim] = field(default_factory=list)
    figures: Mapping[str, Callable[[], "Figure"]] = field(default_factory=dict)

    def check(
        self,
        claim: str,
        published: Published,
        ours: float | Callable[[], float],
        tolerance: float | Callable[[], float] | None = None,
        why: str = "",
        *,
        percent: float | None = None,
        cause: Callable[[], tuple[bool, str]] | None = None,
    ) -> None:
        """Add a claim.

        Args:
          claim: what is compared, with its unit.
          published: the paper's number.
          ours: our number, or what computes it and raises `Missing` where its data is.
          tolerance, percent: how far ours may lie, absolutely or of the published number.
          why: the reason for the tolerance.
          cause: asked only when ours lies outside: computes whether the cause of the disagreement
            is there, and says what it is. Only then is the verdict `explained`.
        """
        if tolerance is None:
            tolerance = abs(published.value) * (percent or 0.0) / 100
        note, value, allowed = f"{published}; {why}", None, None
        try:
            allowed = tolerance() if callable(tolerance) else float(tolerance)
            value = float(ours() if callable(ours) else ours)
            if abs(value - published.value) <= allowed:
                verdict = "pass"
            else:
                explained, reason = cause() if cause else (False, "no cause is known")
                verdict = "explained" if explained else "fail"
                note += f"; differs: {reason}"
        except Missing as missing:
            verdict, note = "no data", str(missing)
        except ValueError as error:
            verdict, note = "fail", f"could not be computed: {error}"
        self.claims.append(Claim(self.name, claim, published.value, value, allowed, verdict, note))
