"""kill -9 of workers and launchers, at random moments and at each write of the store.

python tests/faults/kill9.py [--kills 200] [--seed 0] [--reference STORE]

A grid of four runs is begun again after every kill until it is done, then the next one. Demanded:
no run with a record is trained again, none is lost, every finished grid equals the undisturbed one
to the last bit, curves included, and a killed run goes on from the newest checkpoint whose writing
had begun, or the one before it. How much training each kill undid is said.
"""

import argparse
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import common
from common import demand

SAVE_SECONDS = 0.2
WRITES = 1500  # of a worker over the four runs (about 2000): where a kill falls is drawn below it


class Grid:
    """One store, killed at until it is done."""

    def __init__(self, store: Path, reference: Path, library: Path | None, rng: random.Random):
        self.store, self.reference, self.library, self.rng = store, reference, library, rng
        self.kinds: Counter[str] = Counter()
        self.deaths: list[tuple[float, int]] = []  # when, and which process

    def round(self, wanted: int, moment: float) -> bool:
        """Run once and kill up to `wanted` times; True when the grid was done before a kill."""
        before, began = common.records(self.store), common.begun(self.store)
        by_write = self.library and self.rng.random() < 0.4
        env = {}
        log = self.store.with_name(f"{self.store.name}-faults.txt")
        if by_write:
            who = self.rng.choice(["lab.launch.worker"] * 3 + ["-m lab run"])
            most = WRITES if who == "lab.launch.worker" else 6
            env = {"LD_PRELOAD": self.library, "FAULT_ROOT": self.store, "FAULT_KIND": "kill",
                   "FAULT_ONLY": who, "FAULT_LOG": log,
                   "FAULT_AT": self.rng.randint(1, most)}  # fmt: skip
        process = common.lab_run(self.store, "--save-seconds", str(SAVE_SECONDS), "--retry",
                                 "failed", **env)  # fmt: skip
        killed = 0
        if by_write:
            deadline = time.monotonic() + 120
            while process.poll() is None and not log.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            if log.exists():
                lines = [line.split() for line in log.read_text().splitlines()]
                self.deaths += [(float(words[3]), int(words[2])) for words in lines]
                killed = len(lines)
                self.kinds["at a write"] += killed
                log.unlink()
            if process.poll() is None:  # its workers would die at that write again and again
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
                self.kinds["launcher"] += 1
        else:
            while killed < wanted and process.poll() is None:
                if self.rng.random() < 0.75:  # not while its workers are still starting
                    self.wait_for_training(process)
                time.sleep(self.rng.uniform(0, moment))
                killed += self.kill(process)
        process.wait()
        common.wait_for_no_worker(self.store)
        self.check(before, began)
        self.killed = killed
        return not killed

    def wait_for_training(self, process) -> None:
        """Until a curve or a checkpoint changes: some run is in its middle then."""
        began = time.time()
        while process.poll() is None and time.time() - began < 60:
            paths = [*self.store.glob("*/curve.csv"), *self.store.glob("*/checkpoints")]
            if any(path.stat().st_mtime > began for path in paths if path.exists()):
                return
            time.sleep(0.01)

    def kill(self, process) -> int:
        """SIGKILL to a worker, the launcher, or all; how many kills that was."""
        crew = common.workers(self.store)
        kind = self.rng.choice(["worker", "worker", "launcher", "all"])
        done = 0
        if kind in ("worker", "all") and crew:
            targets = crew if kind == "all" else [self.rng.choice(crew)]
            self.deaths += [(time.time(), pid) for pid in targets]
            done = sum(common.signalled(pid, signal.SIGKILL) for pid in targets) > 0
        if kind in ("launcher", "all") and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done = 1
        if done:
            self.kinds[kind] += 1
        return int(done)

    def check(self, before: dict, began: dict) -> None:
        """What holds after every kill."""
        now, right = common.records(self.store), common.records(self.reference)
        for run_id, record in before.items():
            demand(now.get(run_id) == record, f"{run_id} was finished and its record is not there")
            again = common.begun(self.store).get(run_id, 0) - began.get(run_id, 0)
            demand(not again, f"{run_id} was finished and is trained again")
        for run_id, record in now.items():
            demand(record == right[run_id], f"record of {run_id} is not the undisturbed one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path, help="a finished store of the same grid")
    wanted = parser.parse_args()
    rng = random.Random(wanted.seed)
    with tempfile.TemporaryDirectory(prefix="kill9-") as name:
        folder = Path(name)
        library = common.shim(folder)
        reference, _ = common.undisturbed(folder, wanted.reference)
        began, kills, grids = time.monotonic(), 0, 0
        kinds: Counter[str] = Counter()
        undone: list[float] = []
        while kills < wanted.kills:
            grid = Grid(common.fresh(folder, f"grid-{grids}", reference), reference, library, rng)
            done = False
            while not done and kills < wanted.kills:
                done = grid.round(min(4, wanted.kills - kills), moment=1.5)
                kills += grid.killed
                print(f"{kills} kills: {dict(kinds + grid.kinds)}, "
                      f"{len(common.records(grid.store))} of 4 runs done", flush=True)  # fmt: skip
            process = common.lab_run(grid.store, "--retry", "failed")
            demand(process.wait() == 0, process.said.read_text())
            common.same_as(reference, grid.store)
            undone += common.repeated(grid.store, grid.deaths)
            kinds, grids = kinds + grid.kinds, grids + 1
        if not library:
            print("kills at each write: SKIPPED, there is no C compiler")
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        print(f"{kills} kills ({listed}) of {grids} grids of 4 runs in "
              f"{time.monotonic() - began:.0f} s, seed {wanted.seed}: no finished run trained "
              "again, none lost, all equal to the undisturbed ones to the last bit")  # fmt: skip
        if undone:
            print(f"{len(undone)} of them undid training: {statistics.median(undone):.2f} s in the "
                  f"median, {max(undone):.2f} s at most, where a checkpoint is begun every "
                  f"{SAVE_SECONDS} s; none went further back than the checkpoint before the one "
                  "being written")  # fmt: skip


if __name__ == "__main__":
    main()
