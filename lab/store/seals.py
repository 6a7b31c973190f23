"""The rounds of a grid that grows, beside its runs: what each would give, written before, and what it gave.

STORE/grown/NAME/round-NN.json   the round's runs and the losses forecast of them: written once, before any
                                 of them is begun
                 score-NN.json   what became of them: written once, after
STORE/compared/NAME.json         which pairs of a ladder a comparison trains: written once, when it is begun
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.config import RunConfig, from_json, to_json
from lab.store import files
from lab.store.files import StoreError


@dataclass(frozen=True)
class Rounds:
    """The rounds under one folder, numbered from 0."""

    folder: Path

    def seal(self, number: int, runs: list[RunConfig], forecasts: list[dict[str, Any]], **more) -> None:
        """Write what the runs of a round will give, one forecast a run.

        Raises:
          StoreError: the round is sealed already: nothing is sealed twice.
        """
        each = [
            {"run_id": run.run_id, **forecast, "config": to_json(run)}
            for run, forecast in zip(runs, forecasts, strict=True)
        ]
        self.write(f"round-{number:02}", {"round": number, "sealed": now(), **more, "runs": each})

    def score(self, number: int, **scored) -> None:
        self.write(f"score-{number:02}", {"round": number, "scored": now(), **scored})

    def write(self, name: str, content: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not files.write_json(self.folder / f"{name}.json", files.sealed(content), once=True):
            raise StoreError(f"{self.folder / name}.json is there already: is another `lab grow` at work?")

    def sealed(self, number: int) -> dict[str, Any] | None:
        """A round as it was sealed, its runs' `config` read; None where it was not.

        Raises:
          Damaged: it is not what was sealed.
        """
        path = self.folder / f"round-{number:02}.json"
        content = files.read_json(path)
        if content is None:
            return None
        runs = [each | {"config": from_json(each["config"], str(path))} for each in content["runs"]]
        if any(each["config"].run_id != each["run_id"] for each in runs):
            raise StoreError(
                f"{path} was sealed by a version of the lab whose runs had other ids: go on with that"
            )
        return content | {"runs": runs}

    def scored(self, number: int) -> dict[str, Any] | None:
        return files.read_json(self.folder / f"score-{number:02}.json")

    def all_scored(self) -> list[dict[str, Any]]:
        """The scores, from the first round on."""
        scores = []
        while (score := self.scored(len(scores))) is not None:
            scores.append(score)
        return scores


def write_first(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write a sealed file where there is none yet; what it holds then, of whoever was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, files.sealed(content), once=True)
    return read(path)


def read(path: Path) -> dict[str, Any] | None:
    return files.read_json(path)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
