"""Real workers of `lab run`, started by the bench with a stopwatch in them (`bench.traced`)."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.peers import ours, shapes
from bench.rounds import ROOT

CORPUS = "python-stdlib"  # bytes; needs no download
QUICK_CORPUS = "markov:8-1-3-0"


@dataclass(frozen=True)
class Times:
    """Of one worker's stopwatch, seconds: moments since the start, time inside functions,
    and what jax says of its compiler."""

    moments: dict[str, float]
    inside: dict[str, float]
    events: dict[str, float]


def runs_of(
    shape: shapes.Shape, tokens: int, seeds: int, *, dtype: str = "float32", quick: bool = False
) -> list[Any]:
    """Configs of `seeds` runs of so many tokens, on real prepared text."""
    from lab.config import DataConfig
    from lab.data import corpora

    corpus = corpora.prepare(QUICK_CORPUS if quick else CORPUS, quiet=True)
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=1e9)
    config = ours.config_of(shape, dtype)
    return [replace(config, data=data, tokens=tokens, seed=seed) for seed in range(seeds)]


def work(configs: Sequence[Any], store: Path, cores: Sequence[int | None]) -> list[Times]:
    """Have one traced worker a core train all the runs, and wait for the end of them.

    Raises:
      RuntimeError: a worker ended badly; with the end of its log.
    """
    from lab.config import to_json
    from lab.launch import processes
    from lab.launch.task import Task
    from lab.store.store import Store

    Store(store).prepare()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        crew = []
        for number, core in enumerate(cores):
            task = Task(str(store), [to_json(config) for config in configs], None if core is None else [core])
            stamps, log = Path(folder, f"{number}.json"), Path(folder, f"{number}.log")
            env = processes.environment(1) | {"BENCH_BEGAN": repr(time.time())}
            with log.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "bench.traced", str(stamps)],
                    cwd=ROOT,
                    env=env,
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            process.stdin.write(task.line())
            process.stdin.flush()
            crew.append((process, stamps, log))
        try:
            for process, stamps, log in crew:
                if process.wait() or not stamps.exists():
                    raise RuntimeError("a worker ended badly: " + log.read_text()[-500:].strip())
            return [Times(**json.loads(stamps.read_text())) for _, stamps, _ in crew]
        finally:
            for process, _, _ in crew:
                process.stdin.close()
                process.kill()
                process.wait()


def lab_run(configs: Sequence[Any], folder: Path) -> float:
    """Seconds of a real `lab run` of these configs, from its start to its end.

    Raises:
      RuntimeError: it did not do its job; with the end of what it said.
    """
    from lab.config import to_json

    listed = folder / "configs.json"
    listed.write_text(json.dumps([to_json(config) for config in configs]))
    experiment = folder / "grid.py"
    experiment.write_text(
        "import json\nfrom pathlib import Path\nfrom lab.config import from_json\n\n\n"
        "def runs():\n    listed = Path(__file__).with_name('configs.json').read_text()\n"
        "    return [from_json(config) for config in json.loads(listed)]\n\n\n"
        "def report(store, out):\n    pass\n"
    )
    command = [
        sys.executable,
        "-m",
        "lab",
        "run",
        str(experiment),
        "--store",
        str(folder / "runs"),
        "--out",
        str(folder / "out"),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError("lab run failed: " + (done.stdout + done.stderr)[-500:].strip())
    return seconds
