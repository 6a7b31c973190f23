"""What the tests of all clusters share: a grid, the command line, and the grid undisturbed."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import failing
from tests.conftest import ROOT, data_folder
from tests.grids import begun, processes

HERE = Path(__file__).parent
GRID = HERE / "grid.py"
FAILING = HERE / "failing.py"


def said(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return done.stdout + done.stderr


def lab(action: str, store: Path, *options: str, grid: Path = GRID) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "lab", action, str(grid), "--store", str(store), *options],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=store.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()},
    )


def until(found: Callable[[], Any], seconds: float = 240) -> Any:
    """What it finds, once that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.2)
    return answer


def released(folder: Path) -> bool:
    newest = max(folder.glob("claim-*.json"), key=lambda path: int(path.stem.split("-")[1]))
    return json.loads(newest.read_text()).get("released", False)


def curves(store: Path) -> dict[str, list[str]]:
    """Each run's curve without its last column, the time."""
    return {
        path.parent.name: [line.rpartition(",")[0] for line in path.read_text().splitlines()]
        for path in store.glob("*/curve.csv")
    }


def check_the_failure_ended_the_grid(store: Path, done: subprocess.CompletedProcess) -> None:
    """After `lab run FAILING --workers 2 --fail-fast`: what trained meanwhile is saved, what waited
    for room was never begun, and the command says what failed."""
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "failed: " in done.stderr and "the data changed since" in done.stderr
    assert "runs were not finished; the same command goes on from here" in done.stderr
    until(lambda: not processes(store), 60)
    begun_only = {path.parent for path in store.glob("*/claim-*.json")}
    begun_only -= {path.parent for path in store.glob("*/record.json")}
    assert all(released(folder) for folder in begun_only)
    counted = lab("status", store, grid=FAILING).stdout
    words = {word: int(n) for word, n in re.findall(r"^ *(\w+) +(\d+)$", counted, re.M)}
    assert words["failed"] == 1 and words["done"] >= 1 and "running" not in words, counted
    assert words.get("stopped", 0) + words["left"] >= 2, counted
    (never,) = (config.run_id for config in failing.runs() if config.model.d_model == 24)
    assert never not in begun(store)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The grid trained on this machine."""
    store = tmp_path_factory.mktemp("undisturbed") / "runs"
    done = lab("run", store)
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture
def store(tmp_path, undisturbed):
    """An empty store whose runs are done elsewhere, so that nothing need be compiled again."""
    return tmp_path / "runs"
