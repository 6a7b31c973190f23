"""A full disk at each of the store's writes in turn, injected at one seam, and for real on a tmpfs.

python tests/faults/disk_full.py [--stride 1] [--parallel 2]

For each n a real `lab run` of one short run (three checkpoints), of which from its n-th write on
every write below the store fails with "No space left on device": those of its worker, then those of
its launcher, until one of them needs no more writes. Demanded: one clear message and exit status 1,
no run called failed. The runs of all those commands have ids of their own in one store, so that
one more `lab run`, with space again, ends them all: each must end as the one left alone did.
Refused without harm may be what comes after the record, the log, and the compile cache.

Then four runs on tmpfs of several sizes, too small for them: the same demands, and that nothing
finished is lost; it is given space and the same command ends it.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import common
from common import demand

SHORT = common.ROOT / "tests" / "short.py"
WHO = {"worker": "lab.launch.worker", "launcher": "-m lab run"}
SECONDS = 500  # that a command may take; the checkpoint library waits for its own threads for 600
PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the space that the whole store takes


def check_message(process, code: int) -> None:
    said = process.said.read_text()
    demand("Traceback" not in said, said)
    demand(code in (0, 1), f"exit status {code}: {said}")
    if code:
        words = ("No space left", "disk of the store", "can't be written")
        demand(any(word in said for word in words), f"no word of the disk:\n{said}")


class EveryWrite:
    """One store, in which each command has a run of its own."""

    def __init__(self, folder: Path, library: Path):
        self.folder, self.library, self.store = folder, library, folder / "store"
        self.cores = sorted(os.sched_getaffinity(0))
        self.used = 0  # runs so far

    def command(self, points: str, core: int = 0, workers: int = 1, **env: object):
        """A real `lab run` of these runs, which save after each of their updates."""
        pinned = self.cores[core % len(self.cores)] if workers == 1 else None
        options = ("--save-seconds", "0", "--workers", str(workers))
        env |= {"FAULT_POINTS": points}
        return common.lab_run(self.store, *options, experiment=SHORT, core=pinned, **env)

    def undisturbed(self) -> dict[str, int]:
        """Writes of each kind of process, counted while nothing is refused; run 0 is the one that
        all others are compared with, and what it compiled is there for them."""
        counted = {}
        demand(self.command("0").wait() == 0, "the undisturbed run was not done")
        for number, (who, word) in enumerate(WHO.items(), 1):
            log = self.folder / f"count-{who}.txt"
            process = self.command(
                str(number),
                LD_PRELOAD=self.library,
                FAULT_ROOT=self.store,
                FAULT_KIND="count",
                FAULT_ONLY=word,
                FAULT_LOG=log,
            )
            demand(process.wait() == 0, process.said.read_text())
            (line,) = log.read_text().splitlines()
            counted[who] = int(line.split()[1])
        self.used = len(WHO) + 1
        return counted

    def refused(self, number: int, who: str, at: int) -> str:
        """What became of a command whose writes are refused from one on."""
        log = self.folder / f"fault-{number}.txt"
        process = self.command(
            str(number),
            core=number,
            LD_PRELOAD=self.library,
            FAULT_ROOT=self.store,
            FAULT_KIND="enospc",
            FAULT_ONLY=WHO[who],
            FAULT_AT=at,
            FAULT_LOG=log,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise common.Wrong(f"{who}'s write {at}: not ended in {SECONDS} s") from late
        check_message(process, code)
        if not log.exists():
            demand(code == 0, f"{who}'s write {at} was not refused: {process.said.read_text()}")
            return "beyond the last write"
        return "refused" if code else "not hindered"

    def each(self, who: str, writes: int, wanted: argparse.Namespace) -> Counter:
        """All the writes of one kind of process, until commands need no more."""
        at, ends = 1, Counter()
        with ThreadPoolExecutor(wanted.parallel) as pool:
            while not ends["beyond the last write"]:
                last = max(writes, at) + 2 * wanted.stride
                points = range(at, last + 1, wanted.stride)
                numbers = range(self.used, self.used + len(points))
                ends.update(pool.map(self.refused, numbers, [who] * len(points), points))
                self.used, at = numbers.stop, points[-1] + wanted.stride
        demand(not list(self.store.glob("*/failure.json")), "a run is called failed")
        return ends

    def with_space_again(self) -> None:
        """One command ends them all, and as the undisturbed one."""
        before = common.records(self.store)
        process = self.command(f"0-{self.used - 1}", workers=len(self.cores))
        demand(process.wait() == 0, process.said.read_text())
        after, curves = common.records(self.store), common.curves(self.store)
        demand(len(after) == self.used, f"{len(after)} of {self.used} runs have a record")
        for run_id, record in before.items():
            common.same_record(after[run_id], record, f"record of {run_id}")
        without_ids = [record | {"run_id": ""} for record in after.values()]
        for record in without_ids:
            common.same_record(record, without_ids[0], "a run's record")
        demand(len(set(map(tuple, curves.values()))) == 1, "curves differ")


def injected(folder: Path, library: Path, wanted: argparse.Namespace) -> None:
    began = time.monotonic()
    grid = EveryWrite(folder, library)
    for who, writes in grid.undisturbed().items():
        ends = grid.each(who, writes, wanted)
        tried = sum(ends.values()) - ends["beyond the last write"]
        stride = f" every {wanted.stride}th" if wanted.stride > 1 else ""
        print(
            f"disk full at {tried} writes{stride} of a {who} in turn (of {writes} in a command "
            f"left alone): {ends['refused']} commands refused with a clear message, "
            f"{ends['not hindered']} not hindered, no run called failed",
            flush=True,
        )
    grid.with_space_again()
    print(
        f"with space again one command ended all {grid.used} runs, each to the last bit as the "
        f"one left alone ({time.monotonic() - began:.0f} s)",
        flush=True,
    )


def mounted(mount: Path, size: int, option: str = "") -> str:
    """Mounts a tmpfs, or gives it another size; what the system says against it."""
    command = ["mount", "-t", "tmpfs", "-o", f"{option}size={size}", "lab", mount]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def on_small_tmpfs(folder: Path) -> str:
    reference, _ = common.undisturbed(folder, None)
    files = [path for path in reference.rglob("*") if path.is_file()]
    whole = sum(-(-path.stat().st_size // 4096) * 4096 for path in files)
    ends = []
    for part in PARTS:
        mount = folder / f"tmpfs-{part}"
        mount.mkdir()
        if refusal := mounted(mount, round(part * whole)):
            return f"SKIPPED, none can be mounted here ({refusal})"
        try:
            process = common.lab_run(mount / "runs", "--save-seconds", "0.2")
            code = process.wait()
            check_message(process, code)
            common.wait_for_no_worker(mount / "runs")
            before, right = common.records(mount / "runs"), common.records(reference)
            for run_id, record in before.items():
                common.same_record(record, right[run_id], f"record of {run_id}")
            demand(not list((mount / "runs").glob("*/failure.json")), "a run is called failed")
            demand(not mounted(mount, 10 * whole, "remount,"), "it can't be given space")
            again = common.lab_run(mount / "runs")
            demand(again.wait() == 0, again.said.read_text())
            common.same_as(reference, mount / "runs")
            demand(code or len(before) == len(right), "status 0, and not all runs are done")
            ends += [f"{part * whole / 1e3:.0f} kB ({len(before)})"] if code else []
        finally:
            subprocess.run(["umount", "-l", mount], check=False)
    demand(ends, "no size was too small")
    return (
        f"{len(right)} runs that take {whole / 1e3:.0f} kB with their compiled programs were "
        f"refused with a clear message at {', '.join(ends)} (in brackets the runs done by "
        f"then), not hindered at {len(PARTS) - len(ends)} larger sizes, where only compiled "
        "programs found no room; with space all ended the same"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stride", type=int, default=1, help="of the writes tried")
    parser.add_argument("--parallel", type=int, default=len(os.sched_getaffinity(0)))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="disk-full-") as name:
        folder = Path(os.path.realpath(name))
        if library := common.shim(folder):
            injected(folder, library, wanted)
        else:
            print("disk full at each write: SKIPPED, there is no C compiler")
        print(f"disk full on a small tmpfs: {on_small_tmpfs(folder)}")


if __name__ == "__main__":
    main()
