"""A folder of runs on a shared file system, safe with many writers.

    STORE/RUN_ID/config.json      what the run is
                 claim-N.json     who works on it; the highest N holds it, N + 1 takes it over
                 curve.csv        the run so far
                 checkpoints/     the state so far
                 record.json      written last, once: the run is done (or diverged) if it exists
                 failure.json     why the last try failed

Every JSON file is written whole under another name and then linked or renamed, so a reader finds
all of it or none. A claim file is written by its holder alone, so a worker that comes back from
the dead can't overwrite its successor's. Nothing here imports jax.
"""

import csv
import json
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import config as config_module
from lab.config import RunConfig

PATIENCE = 60.0  # seconds a silent claim of another host is respected, on the observer's own clock
SCHEMA = 1
CURVE = ("step", "tokens", "flops", "loss", "train_loss", "grad_norm", "learning_rate", "seconds")


class StoreError(RuntimeError):
    """A store that can't be written or a file in it that can't be trusted; says what to do."""


@dataclass
class Claim:
    """This process's hold on one run."""

    folder: Path
    number: int
    content: dict[str, Any]

    def held(self) -> bool:
        """False once another worker has taken the run over (or someone deleted it): stop then."""
        mine, next_one = (claim_path(self.folder, self.number + i) for i in (0, 1))
        return mine.exists() and not next_one.exists()

    def beat(self, **progress: Any) -> None:
        """Show that the holder lives, and how far it is."""
        self.content = {**self.content, **progress, "beat": self.content["beat"] + 1}
        if self.held():
            write_json(claim_path(self.folder, self.number), self.content)

    def release(self) -> None:
        self.beat(released=True)


@dataclass
class Store:
    """The runs under one folder."""

    root: Path
    patience: float = PATIENCE
    seen: dict[Path, tuple[Any, float]] = field(default_factory=dict)  # foreign claims, first seen

    def folder(self, run_id: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{12}", run_id):
            raise StoreError(f"{run_id!r} is no run id: 12 hex digits")
        return Path(self.root) / run_id

    def prepare(self) -> None:
        """Make the folder and try to write in it."""
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            probe = Path(self.root) / f".probe-{uuid.uuid4().hex}"
            probe.write_text("x" * 4096)
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store {self.root} can't be written: {error}. Free some space, fix its "
                "permissions, or name another folder with --store"
            ) from error

    # --- reading ---------------------------------------------------------------------------

    def record(self, run_id: str) -> dict[str, Any] | None:
        """What a finished run left, or None. A damaged record raises StoreError."""
        path = self.folder(run_id) / "record.json"
        found = read_json(path)
        if found is None:
            return None
        if found.get("run_id") != run_id or found.get("status") not in ("done", "diverged"):
            raise damaged(path, "it is not this run's record")
        return found

    def failure(self, run_id: str) -> dict[str, Any] | None:
        return read_json(self.folder(run_id) / "failure.json")

    def holder(self, run_id: str) -> dict[str, Any] | None:
        """The newest claim's content, whoever holds it, or None."""
        number = newest_claim(self.folder(run_id))
        if number < 0:
            return None
        try:
            return read_json(claim_path(self.folder(run_id), number))
        except StoreError:
            return {"beat": -1, "host": "?"}  # a damaged claim is waited for and then taken over

    def status(self, run_id: str) -> str:
        """done, diverged, damaged (its record), failed, running, stopped (it can be gone on with)
        or left."""
        try:
            if record := self.record(run_id):
                return record["status"]
        except StoreError:
            return "damaged"
        if (holder := self.holder(run_id)) and not self.abandoned(run_id, holder):
            return "running"
        if (self.folder(run_id) / "failure.json").exists():
            return "failed"
        return "stopped" if holder else "left"

    def abandoned(self, run_id: str, holder: dict[str, Any]) -> bool:
        """Whether a claim's holder let go, died on this host, or fell silent elsewhere."""
        if holder.get("released"):
            return True
        if holder.get("host") == this_host():
            return process_start(holder.get("pid", -1)) != holder.get("started")
        key = self.folder(run_id)
        mark, now = (holder.get("nonce"), holder.get("beat")), time.monotonic()
        if key not in self.seen or self.seen[key][0] != mark:
            self.seen[key] = (mark, now)
        return now - self.seen[key][1] > self.patience

    def curve(self, run_id: str) -> list[dict[str, str]]:
        path = self.folder(run_id) / "curve.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row.values()]

    # --- writing ---------------------------------------------------------------------------

    def claim(self, config: RunConfig) -> Claim | None:
        """Take the run if nobody holds it and it is not finished."""
        run_id = config.run_id
        folder = self.folder(run_id)
        if self.record(run_id):
            return None
        number = newest_claim(folder)
        if number >= 0 and not self.abandoned(run_id, self.holder(run_id) or {}):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "config.json").exists():
            write_json(folder / "config.json", config_module.to_json(config))
        content = {
            "host": this_host(), "pid": os.getpid(), "started": process_start(os.getpid()),
            "nonce": uuid.uuid4().hex, "beat": 0,
        }  # fmt: skip
        if not write_json(claim_path(folder, number + 1), content, once=True):
            return None  # another worker was quicker
        claim = Claim(folder, number + 1, content)
        if self.record(run_id) or not claim.held():  # finished, or taken, since the look
            claim.release()
            return None
        for old in range(number):  # all but the one just taken over
            claim_path(folder, old).unlink(missing_ok=True)
        return claim

    def write_record(self, run_id: str, record: dict[str, Any]) -> bool:
        """Finish the run. The first record written wins; False when there was one."""
        folder = self.folder(run_id)
        record = {"run_id": run_id, "schema": SCHEMA, **record}
        first = write_json(folder / "record.json", record, once=True)
        (folder / "failure.json").unlink(missing_ok=True)
        return first

    def write_failure(self, run_id: str, failure: dict[str, Any]) -> None:
        write_json(self.folder(run_id) / "failure.json", failure)

    def clear_failure(self, run_id: str) -> None:
        (self.folder(run_id) / "failure.json").unlink(missing_ok=True)

    def start_curve(self, run_id: str, step: int) -> None:
        """Cut the curve back to what a checkpoint at `step` had seen, and give it a header."""
        kept = [row for row in self.curve(run_id) if int(row["step"]) <= step]
        path = self.folder(run_id) / "curve.csv"
        lines = [",".join(CURVE)] + [",".join(row[name] for name in CURVE) for row in kept]
        replace_file(path, "\n".join(lines) + "\n")

    def add_to_curve(self, run_id: str, row: dict[str, Any]) -> None:
        with (self.folder(run_id) / "curve.csv").open("a") as file:
            file.write(",".join(repr(row[name]) for name in CURVE) + "\n")


def claim_path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number}.json"


def newest_claim(folder: Path) -> int:
    """The highest claim number in a run's folder, -1 when there is none."""
    found = (re.fullmatch(r"claim-(\d+)\.json", path.name) for path in folder.glob("claim-*.json"))
    return max((int(match[1]) for match in found if match), default=-1)


def this_host() -> str:
    """Host, boot and process-id space: inside one of these a pid can be looked up."""
    return f"{socket.gethostname()}/{_boot()}"


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return str(uuid.getnode())


def process_start(pid: int) -> str | None:
    """When a process of this host began, in the kernel's ticks: tells a reused pid apart. None
    when it is gone (or, without /proc, when nothing can be said but that it is gone)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if stat[0] in "ZX" else stat[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    return "alive"


def damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path} is damaged: {why}. Nothing was read from it; delete the file (the run is then "
        "gone on with) or its folder (it is then trained again)"
    )


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise damaged(path, f"line {error.lineno} is not JSON") from error
    if not isinstance(found, dict):
        raise damaged(path, "it holds no JSON object")
    return found


def write_json(path: Path, content: dict[str, Any], *, once: bool = False) -> bool:
    """Write a JSON file atomically; with `once`, only if there is none yet. Says whether it did."""
    return replace_file(path, json.dumps(content, indent=1, allow_nan=False) + "\n", once=once)


def replace_file(path: Path, text: str, *, once: bool = False) -> bool:
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if not once:
            os.replace(temporary, path)
            return True
        try:
            os.link(temporary, path)  # fails if another writer was first
        except FileExistsError:
            return False
        return True
    finally:
        temporary.unlink(missing_ok=True)
