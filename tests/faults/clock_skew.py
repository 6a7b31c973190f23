"""Workers of as many hosts on one store, their clocks up to a minute apart.

python tests/faults/clock_skew.py [--workers 8] [--shift 60] [--kill] [--reference STORE]

Each `lab run` believes it is on a host of its own, so nothing but the files tells it about the
others. Demanded: no run is trained twice, none is left, the records equal the undisturbed ones.
With --kill one worker is killed (and its launcher) while it holds a run: another host must take
the run over, once its claim has been silent for the store's patience, and it alone.
"""

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

import common
from common import demand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--shift", type=float, default=60.0)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--reference", type=Path, help="a finished store of the same grid")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clock-skew-") as name:
        folder = Path(os.path.realpath(name))
        library = common.shim(folder)
        if not library:
            print("clock skew: SKIPPED, there is no C compiler")
            return
        reference, _ = common.undisturbed(folder, wanted.reference)
        store, began = common.fresh(folder, "shared", reference), time.monotonic()
        cores, n = sorted(os.sched_getaffinity(0)), wanted.workers
        shifts = [round(wanted.shift * (2 * i / max(1, n - 1) - 1)) for i in range(n)]
        hosts = [
            common.lab_run(
                store,
                "--workers",
                "1",
                "--save-seconds",
                "0.2",
                core=cores[i % len(cores)],
                LD_PRELOAD=library,
                FAULT_SHIFT=shift,
                FAULT_HOST=f"host-{i}",
            )
            for i, shift in enumerate(shifts)
        ]
        killed = kill_a_holder(store, hosts) if wanted.kill else None
        for host in hosts:
            code = host.wait()
            demand(host is killed or code == 0, host.said.read_text())
        twice = {run_id: n for run_id, n in common.begun(store).items() if n > 1}
        demand(len(twice) <= (killed is not None), f"begun more than once: {twice}")
        common.same_as(reference, store)
        demand(not common.workers(store), "a worker is left")
        why = " (its first worker was killed)" if killed else ""
        print(
            f"{n} hosts, clocks {shifts[0]:+d} to {shifts[-1]:+d} s: 4 of 4 runs done, "
            f"{len(twice)} begun twice{why}, none left, all equal to the undisturbed "
            f"ones, {time.monotonic() - began:.0f} s"
        )


def kill_a_holder(store: Path, hosts: list):
    """SIGKILL to a worker that trains and to its launcher, which is given back."""
    while not list(store.glob("*/curve.csv")):
        time.sleep(0.01)
    held = next(
        path.parent for path in store.glob("*/curve.csv") if not (path.parent / "record.json").exists()
    )
    text = (held / "claim-0.json").read_text()
    pid = int(text.partition('"pid": ')[2].partition(",")[0])
    launcher = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    for each in (launcher, pid):
        common.signalled(each, signal.SIGKILL)
    return next(host for host in hosts if host.pid == launcher)


if __name__ == "__main__":
    main()
