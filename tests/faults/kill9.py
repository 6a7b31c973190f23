"""kill -9 of workers and launchers, at random moments and at each write of the store.

python tests/faults/kill9.py [--kills 200] [--seed 0] [--reference STORE]

A grid of four runs is begun again after every kill until it is done, then the next one. Demanded:
no run with a record is trained again, none is lost, every finished grid equals the undisturbed one
to the last bit, curves included, and a killed run goes on from the newest checkpoint that was on
disk, which is the last whose writing had begun or, where that was being written, the one before it.
How much training each kill undid is said.
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
        self.deaths: list[common.Death] = []

    def round(self, wanted: int, moment: float) -> bool:
        """Run once and kill up to `wanted` times; True when the grid was done before a kill."""
        before, began = common.records(self.store), common.begun(self.store)
        if self.library and self.rng.random() < 0.4:
            self.killed = self.killed_at_a_write()
        else:
            self.killed, process = 0, self.start()
            while self.killed < wanted and process.poll() is None:
                if self.rng.random() < 0.75:  # not while its workers are still starting
                    self.wait_for_training(process)
                time.sleep(self.rng.uniform(0, moment))
                self.killed += self.kill(process)
            process.wait()
            common.wait_for_no_worker(self.store)
        self.check(before, began)
        return not self.killed

    def start(self, **env: object):
        options = ("--save-seconds", str(SAVE_SECONDS), "--retry", "failed")
        return common.lab_run(self.store, *options, **env)

    def killed_at_a_write(self) -> int:
        """Each process of one kind dies at its n-th write; how many kills that was."""
        log = self.store.with_name(f"{self.store.name}-faults.txt")
        who = self.rng.choice(["lab.launch.worker"] * 3 + ["-m lab run"])
        at = self.rng.randint(1, WRITES if who == "lab.launch.worker" else 6)
        process = self.start(
            LD_PRELOAD=self.library,
            FAULT_ROOT=self.store,
            FAULT_KIND="kill",
            FAULT_ONLY=who,
            FAULT_LOG=log,
            FAULT_AT=at,
        )
        before, deadline = sum(self.kinds.values()), time.monotonic() + 120
        while process.poll() is None and not self.note(log) and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:  # its workers would die at that write again and again
            os.killpg(process.pid, signal.SIGKILL)
            self.kinds["launcher"] += 1
            process.wait()
        common.wait_for_no_worker(self.store, look=lambda: self.note(log))  # others may die so too
        self.note(log)
        log.unlink(missing_ok=True)
        return sum(self.kinds.values()) - before

    def note(self, log: Path) -> int:
        """Takes down the deaths at a write that are new in the log; how many."""
        words = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        known = {death.pid for death in self.deaths}
        new = [(float(w[3]), int(w[2])) for w in words if int(w[2]) not in known]
        self.add_deaths(new)
        self.kinds["at a write"] += len(new)
        return len(new)

    def add_deaths(self, found: list[tuple[float, int]]) -> None:
        deadline = time.monotonic() + 10
        while not all(common.gone(pid) for _, pid in found) and time.monotonic() < deadline:
            time.sleep(0.002)
        on_disk = common.checkpoints(self.store) if found else {}
        self.deaths += [common.Death(epoch, pid, on_disk) for epoch, pid in found]

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
            at = time.time()
            done = sum(common.signalled(pid, signal.SIGKILL) for pid in targets) > 0
            self.add_deaths([(at, pid) for pid in targets])
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
            common.same_record(now.get(run_id), record, f"record of {run_id}, which was finished,")
            again = common.begun(self.store).get(run_id, 0) - began.get(run_id, 0)
            demand(not again, f"{run_id} was finished and is trained again")
        for run_id, record in now.items():
            common.same_record(record, right[run_id], f"record of {run_id}")


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
        undone: list[common.Undone] = []
        while kills < wanted.kills:
            grid = Grid(common.fresh(folder, f"grid-{grids}", reference), reference, library, rng)
            done = False
            while not done and kills < wanted.kills:
                done = grid.round(min(4, wanted.kills - kills), moment=1.5)
                kills += grid.killed
                print(
                    f"{kills} kills: {dict(kinds + grid.kinds)}, "
                    f"{len(common.records(grid.store))} of 4 runs done",
                    flush=True,
                )
            process = common.lab_run(grid.store, "--retry", "failed")
            demand(process.wait() == 0, process.said.read_text())
            common.same_as(reference, grid.store)
            undone += common.repeated(grid.store, grid.deaths)
            kinds, grids = kinds + grid.kinds, grids + 1
        if not library:
            print("kills at each write: SKIPPED, there is no C compiler")
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        print(
            f"{kills} kills ({listed}) of {grids} grids of 4 runs in "
            f"{time.monotonic() - began:.0f} s, seed {wanted.seed}: no finished run trained "
            "again, none lost, all equal to the undisturbed ones to the last bit"
        )
        if undone:
            seconds = [each.seconds for each in undone]
            print(
                f"{len(undone)} of them undid training, {sum(each.writing for each in undone)} "
                "while a checkpoint was being written: all went on from the newest checkpoint "
                f"that was on disk. {statistics.median(seconds):.2f} s were done again in the "
                f"median, {max(seconds):.2f} s at most, where a checkpoint is begun every "
                f"{SAVE_SECONDS} s"
            )


if __name__ == "__main__":
    main()
