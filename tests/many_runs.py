"""`lab status` on a store of 10,000 runs: wall and processor seconds, memory, and what is imported.

python tests/many_runs.py [--runs 10000] [--times 5]

The files are as long as those of real runs: of 100 runs 80 are done, 5 have failed, 10 are with a
host that is silent, 5 are not begun. Demanded: each is counted as what it is, jax is not imported,
and the fastest of the commands takes under 3 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny

from lab.config import RunConfig, to_json
from lab.plan import grid
from lab.store.files import sealed
from lab.store.records import SCHEMA

ROOT = Path(__file__).parents[1]
SECONDS = 3.0
CLAIM = {
    "host": "elsewhere/0/pid:[1]",
    "pid": 1,
    "started": "1",
    "nonce": "0" * 32,
    "beat": 900,
    "step": 20,
    "steps": 40,
    "train_loss": 1.5,
    "loss": 1.5,
    "tokens_per_second": 1e5,
}
MEASURED = {
    "status": "done",
    "steps": 40,
    "loss": 1.5,
    "loss_se": 0.01,
    "bits_per_byte": 2.1,
    "curve_sha256": "0" * 64,
    "seconds": 9.1,
    "compile_seconds": 1.0,
    "io_seconds": 0.1,
    "device": "cpu",
    "devices": 1,
    "way": "jit",
    "micro_batch": 8,
    "held_out_tokens": 9999,
    "tokens_per_second": 1e5,
    "flops_utilization": 0.4,
    "host": "elsewhere",
    "python": "3.11.7",
    "jax": "0.10.0",
    "commit": "0" * 40,
    "finished": "2026-11-22T12:00:00Z",
}
FAILURE = {"kind": "error", "error": "ValueError: x", "when": "2026-11-22T12:00:00Z", "log": "x" * 2000}
EXPERIMENT = """
import json
from lab import config, grid
base = config.from_json(json.loads({text!r}))
def runs():
    return grid.product(base, seed=range({runs}))
"""
# the command itself, and then the most memory it had and what it had imported
COMMAND = """
import re, sys
from lab.commands.cli import main
code = main()
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(peak, *sys.modules, file=sys.stderr)
sys.exit(code)
"""


def fill(store: Path, configs: list[RunConfig]) -> Counter:
    """Makes the store; how many runs are what."""
    counted = Counter()
    for i, run in enumerate(configs):
        what = "done" if i % 20 < 16 else ("failed", "silent", "silent", "left")[i % 20 - 16]
        counted[what] += 1
        if what == "left":
            continue
        folder = store / run.run_id
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(to_json(run), indent=1))
        (folder / "claim-0.json").write_text(
            json.dumps(sealed(CLAIM | {"released": True} if what != "silent" else CLAIM), indent=1)
        )
        an_hour_ago = time.time() - 3600
        os.utime(folder / "claim-0.json", (an_hour_ago, an_hour_ago))
        ids = {"run_id": run.run_id, "schema": SCHEMA}
        if what == "done":
            (folder / "record.json").write_text(json.dumps(sealed(ids | MEASURED), indent=1))
        if what == "failed":
            (folder / "failure.json").write_text(json.dumps(sealed(ids | FAILURE), indent=1))
    return counted


def status(experiment: Path, store: Path) -> tuple[float, float, float, set[str], str]:
    """Wall seconds, processor seconds and MB of a real `lab status`, the modules it had imported
    at its end, and what it said."""
    command = [sys.executable, "-c", COMMAND, "status", experiment, "--store", store]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT)
        _, code, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        out.seek(0), err.seek(0)
        told = err.read()
        assert code == 0, told
        kilobytes, *modules = told.split()
        cpu = used.ru_utime + used.ru_stime
        return wall, cpu, int(kilobytes) / 1e3, set(modules), out.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5)
    wanted = parser.parse_args()
    base = tiny.runs()[0]
    with tempfile.TemporaryDirectory(prefix="many-runs-") as name:
        store, experiment = Path(name) / "runs", Path(name) / "many.py"
        experiment.write_text(EXPERIMENT.format(text=json.dumps(to_json(base)), runs=wanted.runs))
        right = fill(store, grid.product(base, seed=range(wanted.runs)))
        found = [status(experiment, store) for _ in range(wanted.times)]
        for *_, modules, said in found:
            assert "lab.commands.view" in modules and not {"jax", "flax", "orbax", "optax"} & modules
            for what, n in right.items():
                assert [what, str(n)] in [line.split()[:2] for line in said.splitlines()], said
        wall, cpu, memory = (min(one[i] for one in found) for i in range(3))
        print(
            f"lab status on {wanted.runs} runs ({dict(right)}): {wall:.2f} s, {cpu:.2f} s of "
            f"processor time, {memory:.0f} MB, the least of {wanted.times}; jax is not imported, "
            "every run was counted as what it is"
        )
        assert wall < SECONDS, f"over {SECONDS} s"


if __name__ == "__main__":
    main()
