"""How long until the first training step is over, through a real worker, and where that time goes.

Cold: the compile cache is empty. Warm: another run of the shape has filled it. The clock starts
before the process does.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import machine, workers
from bench.options import Options
from bench.peers import shapes
from bench.rounds import ROOT
from bench.workers import Times

BACKEND = "/jax/core/compile/backend_compile_duration"  # compiling, or loading what was compiled
STEPS = 3  # of a run: only the first counts
GROUPS = ("jax", "jaxlib", "flax", "optax", "orbax", "numpy", "lab")


def measure(options: Options) -> Iterator[dict[str, Any]]:
    rows: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for kind, seeds in (("cold", 0), ("warm", 1)):
                options.quiet.wait()
                times, others = time_once(Path(folder), seeds, options)
                rows[kind].append(parts(times))
                if others is not None:
                    options.quiet.seen.append(others)
        yield {
            "unit": "seconds",
            "shape": "tiny" if options.quick else "S",
            "parts": {kind: medians(own) for kind, own in rows.items()},
            "totals": {kind: [row["total"] for row in own] for kind, own in rows.items()},
        }
    print("\n".join(lines(rows)))
    imports = importing()
    print(
        "imports, seconds of their own: "
        + ", ".join(f"{name} {seconds:.2f}" for name, seconds in imports.items())
    )
    yield {
        "unit": "seconds",
        "shape": "tiny" if options.quick else "S",
        "parts": {kind: medians(own) for kind, own in rows.items()},
        "totals": {kind: [row["total"] for row in own] for kind, own in rows.items()},
        "imports": imports,
    }


def time_once(folder: Path, seed: int, options: Options) -> tuple[Times, float | None]:
    """One worker in a store of its own that shares the compiled programs of `folder`."""
    shape = shapes.SHAPES["tiny" if options.quick else "S"]
    tokens = STEPS * shape.tokens
    runs = workers.runs_of(shape, tokens, seed + 1, quick=options.quick)[seed:]
    store = folder / f"runs-{seed}"
    if seed:
        shutil.copytree(folder / "runs-0" / ".compiled", store / ".compiled")
    before = machine.look()
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # a cold start compiles
    times = workers.work(runs, store, [machine.cores()[-1]])[0]
    return times, machine.others_share(before, machine.look())


def parts(times: Times) -> dict[str, float]:
    """Of the time from the start of the process to the end of the first step."""
    at, backend = times.moments, times.events.get(BACKEND, 0.0)
    preparing = at["compiled"] - at["compile begins"]
    return {
        "interpreter": at["interpreter"],
        "import worker": at["worker imported"] - at["interpreter"],
        "import jax": at["jax imported"] - at["worker imported"],
        "import flax, optax, orbax, lab": at["lab imported"] - at["jax imported"],
        "device": at["device there"] - at["lab imported"],
        "claim, corpus": at["compile begins"] - at["device there"],
        "compile or load": backend,
        "trace, lower, initial state, first evaluation": preparing - backend,
        "checkpoint looked for": at["resumed"] - at["compiled"],
        "first step": at["first step"] - at["resumed"],
        "total": at["first step"],
    }


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} if rows else {}


def lines(rows: dict[str, list[dict[str, float]]]) -> list[str]:
    cold, warm = medians(rows["cold"]), medians(rows["warm"])
    head = f"{'seconds':<48} {'cold':>7} {'warm':>7}"
    return [head] + [f"{name:<48} {cold[name]:>7.2f} {warm[name]:>7.2f}" for name in cold]


def importing() -> dict[str, float]:
    """Seconds that a worker's imports take, by the package in which they are spent."""
    command = [sys.executable, "-X", "importtime", "-c", "import lab.launch.worker, lab.train.loop"]
    log = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    seconds: dict[str, float] = defaultdict(float)
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", log):
        group = name.split(".")[0]
        seconds[group if group in GROUPS else "all else"] += int(own) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))
