"""Real `lab run` processes on the tiny grid, and what they left in a store."""

import json
import os
import subprocess
import sys
from pathlib import Path

from lab.launch.verify import TIMES
from tests.conftest import ROOT, data_folder

TINY = ROOT / "tests" / "tiny.py"


def launch(store: Path, *options: str) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder()}
    command = [sys.executable, "-m", "lab", "run", str(TINY), "--store", str(store), *options]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def records(store: Path) -> dict[str, dict]:
    found = {}
    for path in store.glob("*/record.json"):
        record = json.loads(path.read_text())
        found[path.parent.name] = {k: v for k, v in record.items() if k not in TIMES}
    return found


def begun(store: Path) -> list[str]:
    """Run ids in the order their training began, over all workers' logs."""
    lines = [line for log in (store / ".logs").glob("*.log") for line in log.read_text().splitlines()]
    return [line.split()[1] for line in sorted(lines) if line.endswith("begins")]


def processes(store: Path) -> list[int]:
    """Workers of this store that live, by their command lines."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if f"lab.launch.worker {store}" in line]
