"""What the fault scripts share. Nothing here or beside it imports the lab: they see what a user
sees, processes and files, and are told nothing by the code they try."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "tiny.py"
# what may differ between two runs that end the same: times, where, and which commit was checked out
VARYING = {
    "seconds",
    "compile_seconds",
    "io_seconds",
    "tokens_per_second",
    "flops_utilization",
    "finished",
    "host",
    "commit",
    "curve_sha256",
    "sha256",
}


def shim(folder: Path) -> Path | None:
    """The seam of shim.c, compiled; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not sys.platform.startswith("linux"):
        return None
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"shim.c does not compile here: {done.stderr.strip().splitlines()[-1]}")
        return None
    return library


def lab_run(store: Path, *options: str, experiment: Path = TINY, core: int | None = None, **env: object):
    """A real `lab run`, in a session of its own; what it prints is kept in its `said` file."""
    said = store.with_name(f"{store.name}-said-{time.monotonic_ns()}.txt")
    told = os.environ | {"PYTHONPATH": str(ROOT)} | {name: str(v) for name, v in env.items()}
    told.setdefault("LAB_DATA", str(ROOT / "data"))
    command = [
        sys.executable,
        "-m",
        "lab",
        "run",
        str(experiment),
        "--store",
        str(store),
        "--out",
        str(store.with_name(f"{store.name}-out")),
        *options,
    ]
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    with said.open("w") as file:
        process = subprocess.Popen(
            command, env=told, stdout=file, stderr=file, start_new_session=True, preexec_fn=pin
        )
    process.said = said
    return process


def workers(store: Path) -> list[int]:
    """Process ids of this store's workers, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"lab.launch.worker" in words and str(store).encode() in words:
            found.append(int(folder.name))
    return found


def signalled(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_for_no_worker(store: Path, seconds: float = 90.0, look: Callable[[], object] = lambda: None) -> None:
    """Workers whose launcher died save what they have and stop by themselves; `look` is called
    often meanwhile."""
    deadline = time.monotonic() + seconds
    while left := workers(store):
        if time.monotonic() > deadline:
            raise Wrong(f"workers {left} still live {seconds:.0f} s after their launcher died")
        look()
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether a process has ended, waited for by its parent or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Wrong(AssertionError):
    """A promise that was not kept."""


def demand(truth: object, otherwise: str) -> None:
    if not truth:
        raise Wrong(otherwise)


def records(store: Path) -> dict[str, dict]:
    """Finished runs, without what may differ."""
    found = {}
    for path in store.glob("[0-9a-f]*/record.json"):
        record = json.loads(path.read_text())
        found[path.parent.name] = {k: v for k, v in record.items() if k not in VARYING}
    return found


def curves(store: Path) -> dict[str, list[str]]:
    """Curves of finished runs, their last column, seconds, left out."""
    return {
        path.parent.name: [
            line.rpartition(",")[0] for line in path.with_name("curve.csv").read_text().splitlines()
        ]
        for path in store.glob("[0-9a-f]*/record.json")
    }


def begun(store: Path) -> dict[str, int]:
    """How often each run's training began, over all workers' logs."""
    count: dict[str, int] = {}
    for log in (store / ".logs").glob("*.log"):
        for line in log.read_text(errors="replace").splitlines():
            words = line.split()
            if len(words) == 3 and words[2] == "begins":
                count[words[1]] = count.get(words[1], 0) + 1
    return count


@dataclass
class Life:
    """What one worker's log tells: its process, and (seconds of the day, words) of each line."""

    pid: int
    lines: list[tuple[float, list[str]]]

    def last_run(self, died: float) -> tuple[str, list[tuple[float, int]]]:
        """The run in whose training it died, and where that stood: the update it was trained from
        and those whose saving had begun, with the time. "" when it died in no run."""
        run_id, marks = "", []
        for at, words in self.lines:
            if later(at, died) > 0:
                break
            if len(words) == 2 and words[1] == "begins":
                run_id, marks = "", []
            elif words[1:4] == ["trains", "from", "update"] or words[1:3] == ["saves", "update"]:
                run_id, marks = words[0], [*marks, (at, int(words[-1]))]
            elif len(words) == 2 and words[1] in ("done", "diverged", "stopped"):
                run_id = ""
        return run_id, marks


def later(a: float, b: float) -> float:
    """Seconds from b to a, both seconds of the day, less than half a day apart."""
    return (a - b + 43_200) % 86_400 - 43_200


def of_the_day(epoch: float) -> float:
    now = time.localtime(epoch)
    return now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec + epoch % 1


def lives(store: Path) -> list[Life]:
    found = []
    for log in (store / ".logs").glob("*.log"):
        lines = []
        for line in log.read_text(errors="replace").splitlines():
            if match := re.fullmatch(r"(\d\d):(\d\d):(\d\d\.\d+) (.+)", line):
                h, m, s, rest = match.groups()
                lines.append((int(h) * 3600 + int(m) * 60 + float(s), rest.split()))
        starts = [int(words[1]) for _, words in lines if words[0] == "process"]
        found += [Life(pid, lines) for pid in starts[:1]]
    return found


@dataclass
class Death:
    """When (seconds of the epoch) which process was killed, and what was on disk then."""

    epoch: float
    pid: int
    on_disk: dict[str, set[int]]  # run id -> the updates of its whole checkpoints


def checkpoints(store: Path) -> dict[str, set[int]]:
    """A checkpoint is renamed to its update's number when all of it is on disk."""
    found: dict[str, set[int]] = {}
    for path in store.glob("[0-9a-f]*/checkpoints/*"):
        if path.name.isdecimal():
            found.setdefault(path.parent.parent.name, set()).add(int(path.name))
    return found


@dataclass
class Undone:
    """What a death undid: training since the beginning of the checkpoint that was gone on from."""

    seconds: float
    writing: bool  # whether the next checkpoint had been begun and was not on disk yet


def repeated(store: Path, deaths: list[Death]) -> list[Undone]:
    """What each death of a worker undid in a run that was gone on with. Demanded: it goes on from
    the newest checkpoint that was on disk when the worker died, and that is the newest whose saving
    had begun, or, where that one was still being written, the one before it: so no more is done
    again than the updates since one checkpoint, and since the next while that was being written."""
    everyone, found = lives(store), []
    resumed = [
        (at, words[0], int(words[-1]))
        for life in everyone
        for at, words in life.lines
        if words[1:4] == ["trains", "from", "update"]
    ]
    for death in deaths:
        died = of_the_day(death.epoch)
        for life in everyone:
            run_id, marks = life.last_run(died) if life.pid == death.pid else ("", [])
            after = [
                (later(at, died), step)
                for at, other, step in resumed
                if other == run_id and later(at, died) > 0
            ]
            if not run_id or not after or not marks:
                continue
            (_, step) = min(after)
            known: dict[int, float] = {}
            for at, update in marks:  # a run that is stopped saves again what it just saved
                known.setdefault(update, at)
            there = max(death.on_disk.get(run_id, set()) & set(known), default=0)
            demand(step == there, f"{run_id} had update {there} on disk and went on from {step}")
            demand(step in list(known)[-2:], f"{run_id} stood at {marks} and went on from {step}")
            found.append(Undone(later(died, known[step]), step != list(known)[-1]))
    return found


def same_record(record: dict | None, right: dict | None, what: str) -> None:
    """Demand that two records say the same, and name what they say otherwise."""
    one, other = record or {}, right or {}
    wrong = [
        f"{name}: {one.get(name)!r}, not {other.get(name)!r}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]
    demand(not wrong, f"{what} differs in {'; '.join(wrong)}")


def same_as(reference: Path, store: Path) -> None:
    """Demand that two finished stores hold the same runs to the last bit."""
    found, right = records(store), records(reference)
    for run_id in sorted({*found, *right}):
        same_record(found.get(run_id), right.get(run_id), f"record of {run_id} in {store}")
    demand(curves(store) == curves(reference), f"curves of {store} and {reference} differ")


def undisturbed(folder: Path, given: Path | None, **how) -> tuple[Path, float]:
    """A store that nothing happened to, and the seconds it took (0 for a given one)."""
    if given:
        return given, 0.0
    store, began = folder / "undisturbed", time.monotonic()
    process = lab_run(store, **how)
    code = process.wait()
    demand(code == 0, process.said.read_text())
    return store, time.monotonic() - began


def fresh(folder: Path, name: str, reference: Path) -> Path:
    """An empty store that knows the compiled programs already."""
    store = folder / name
    store.mkdir()
    if (own := reference / ".compiled").exists():  # else JAX_COMPILATION_CACHE_DIR is shared
        shutil.copytree(own, store / ".compiled")
    return store
