"""Processes that ask a TPU's compiler: one a shape, several at a time. They touch no accelerator, and end
with this one (`lab.train.compiled`)."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from lab.config import RunConfig, to_json, userfile
from lab.launch.processes import cores, paths

QUIET = {  # libtpu asks no network who and where it is, and jax takes no device
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TPU_MIN_LOG_LEVEL": "3",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_EXEC_TIME_OPTIMIZATION_EFFORT": "-1.0",  # 7 times as fast to compile, 4 % less memory
}
INSTALL = "pip install 'scaling-law-lab[tpu]'"
Tell = Callable[[RunConfig, dict[str, Any]], None]
FASTER = 1 / 3  # of a shape's time in which a faster way may still be begun, once one fits
MOST = 4  # at once: each takes a few GB


def missing() -> str:
    """Why the compiler can't be asked; "" where it can."""
    return "" if find_spec("jax") and find_spec("libtpu") else f"libtpu is not installed ({INSTALL})"


def versions() -> str:
    return f"jax {metadata.version('jax')}, libtpu {metadata.version('libtpu')}"


def misfit() -> str:
    """Why the compiler's numbers are not to be trusted: it is not the one that jax was made with; else ""."""
    wanted = next((r for r in metadata.requires("jax") or () if r.startswith("libtpu==")), "")
    versions = wanted.removeprefix("libtpu==").partition(";")[0].strip()
    installed = metadata.version("libtpu")
    if not versions or fnmatch(installed, versions):
        return ""
    return (
        f"libtpu {installed} is not that of jax {metadata.version('jax')}, which asks for {versions}: it may "
        f"compile slowly and estimate nonsense ({INSTALL})"
    )


def ask(
    configs: Sequence[RunConfig], on: str, limit: float, tell: Tell = lambda config, line: None
) -> Iterator[dict[str, Any]]:
    """What the compiler says of the shape of each config, in their order: the answers of `compiled.answer`,
    or {"error": why}. Each may take `limit` seconds; what is known by then is its answer. `tell` hears of
    what is compiled, as it is."""
    crew: list[subprocess.Popen] = []
    over = threading.Event()

    def answer(config: RunConfig) -> dict[str, Any]:
        asked = {"config": to_json(config), "on": on, "files": userfile.named(), "seconds": FASTER * limit}
        known: dict[str, Any] = {}
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab.train.compiled"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | paths() | QUIET,
                text=True,
            )
            crew.append(process)
            clock = threading.Timer(limit, process.kill)
            clock.start()
            try:
                if over.is_set():
                    process.kill()
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    said = json.loads(line)
                    known = said.get("answer", known)
                    if "error" in said:
                        return known | {"refused": said["error"]} if known else said
                    tell(config, said)
            except (BrokenPipeError, json.JSONDecodeError):  # it was ended, maybe within a line
                pass
            finally:
                late = not clock.is_alive()
                clock.cancel()
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()  # which ends it
                process.wait()
            if known:
                return known
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["nothing"])[-1][:300]
        return {
            "error": f"no answer in {limit:g} s" if late else f"it ended with {process.returncode}: {last}"
        }

    with ThreadPoolExecutor(max(1, min(len(cores()), len(configs), MOST))) as pool:
        try:
            yield from pool.map(answer, configs)
        finally:
            over.set()
            for process in crew:
                process.kill()
