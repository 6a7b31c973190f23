"""A full disk at every single write of a worker in turn, and the recovery from each.

python tests/every_write.py [--stride 1]

One process trains the same short run again and again, so that nothing is imported or compiled
twice (the fault scripts try what this can't see: whole commands and their messages). From the n-th
write below the store on, Python's or the checkpoint library's, every one fails with "No space left
on device". Demanded, for each n until a run needs no more writes: the error is known as a full
disk, or nothing was hindered; no run is called failed; no record differs; and with space again the
same run ends with the record and the curve of one left alone.
"""

import argparse
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "faults")]
SAVES = 6  # checkpoints, about, of the run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stride", type=int, default=1, help="of the writes tried")
    parser.add_argument("--verbose", action="store_true")
    wanted = parser.parse_args()
    if "FAULT_ROOT" in os.environ:
        return every_write(Path(os.environ["FAULT_ROOT"]), wanted)
    import common

    with tempfile.TemporaryDirectory(prefix="every-write-") as name:
        folder = Path(os.path.realpath(name))
        if not (library := common.shim(folder)):
            print("disk full at every write: SKIPPED, there is no C compiler")
            return
        (folder / "stores").mkdir()
        told = {"LD_PRELOAD": str(library), "FAULT_ROOT": str(folder / "stores"), "FAULT_KIND": "count"}
        told.setdefault("LAB_DATA", os.environ.get("LAB_DATA", str(HERE.parent / "data")))
        said = folder / "said.txt"  # the checkpoint library tells each refusal at length
        with said.open("w") as file:
            command, env = [sys.executable, *sys.argv], os.environ | told
            done = subprocess.run(command, env=env, stderr=file)
        if done.returncode:
            sys.exit(said.read_text()[-4000:])


def every_write(folder: Path, wanted: argparse.Namespace) -> None:
    import jax
    import tiny

    from lab.config import to_json
    from lab.launch import attempt, worker
    from lab.plan.grid import with_fields
    from lab.store import claims
    from lab.store.failures import kind_of
    from lab.store.store import Store

    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.fault_count.restype = ctypes.c_long
    shim.fault_arm.argtypes = [ctypes.c_int, ctypes.c_long]
    config = tiny.runs()[0]
    shape = config.shape
    config = with_fields(config, {"tokens": SAVES * shape.steps_per_dispatch * config.batch_tokens})
    worker.set_up = lambda task: None  # no compile cache: whatever is refused is the store's
    attempt.BEAT_SECONDS = 0.1
    worker.log = lambda text: None

    starts = itertools.count()

    def trained(root: Path) -> str:
        """How training ended: done, or the kind of error."""
        mine = str(next(starts))  # as if each were a process of its own: the one before is dead
        claims.process_start = lambda pid: mine
        task = worker.Task(str(root), [to_json(config)], save_seconds=0.0)
        try:
            return "failed" if worker.work(task, threading.Event()) else "done"
        except Exception as error:
            return kind_of(error)

    def left(root: Path) -> tuple[dict, list[str]]:
        store, names = (Store(root), ("status", "steps", "loss", "loss_se", "bits_per_byte"))
        record = store.record(config.run_id) or {}
        lines = (root / config.run_id / "curve.csv").read_text().splitlines()
        return {name: record.get(name) for name in names}, [x.rpartition(",")[0] for x in lines]

    began, ends = time.monotonic(), Counter()
    (folder / "alone").mkdir()
    assert trained(folder / "alone") == "done"
    writes, right = shim.fault_count(), left(folder / "alone")
    at = 1
    while True:
        root = folder / f"store-{at}"
        root.mkdir()
        shim.fault_arm(1, at)
        end = trained(root)
        needed = shim.fault_count()
        shim.fault_arm(0, 0)
        assert end in ("done", "disk full"), f"write {at}: {end}"
        assert not list(root.glob("*/failure.json")), f"write {at}: the run is called failed"
        if end == "done":
            assert left(root) == right, f"write {at}: a run not hindered differs"
        assert trained(root) == "done", f"write {at}: not gone on with"
        assert left(root) == right, f"write {at}: what was gone on with differs"
        ends[end if needed >= at else "beyond"] += 1
        shutil.rmtree(root)
        if wanted.verbose:
            print(f"write {at}: {end}, {time.monotonic() - began:.1f} s", flush=True)
        if needed < at:
            break
        at += wanted.stride
    print(
        f"disk full at {sum(ends.values()) - 1} of a run's {writes} writes in turn: "
        f"{ends['disk full']} times the worker stopped, called it a full disk and failed no run, "
        f"{ends['done']} times it was not hindered; each time it ended the same with space again "
        f"({time.monotonic() - began:.0f} s, jax {jax.__version__})"
    )


if __name__ == "__main__":
    main()
