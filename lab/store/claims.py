"""Who works on a run: `claim-N.json` in its folder; the highest N holds the run, N + 1 takes it over.

A claim file is written by its holder alone, so a worker that comes back from the dead can't overwrite
its successor's.
"""

import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.store.files import StoreError, is_number, read_json, sealed, write_json

PROGRESS = ("step", "steps", "loss", "train_loss", "tokens_per_second")


@dataclass
class Claim:
    """This process's hold on one run."""

    folder: Path
    number: int
    content: dict[str, Any]

    def held(self) -> bool:
        """False once another worker has taken the run over (or someone deleted it): stop then."""
        return newest_claim(self.folder) == self.number  # its next may have been tidied away already

    def beat(self, **progress: Any) -> None:
        """Show that the holder lives, and how far it is."""
        self.content = {**self.content, **progress, "beat": self.content["beat"] + 1}
        if self.held():
            write_json(claim_path(self.folder, self.number), sealed(self.content))

    def release(self) -> None:
        self.beat(released=True)


def take(folder: Path, number: int) -> Claim | None:
    """Claim a run under a number; None where another worker was quicker."""
    content = {
        "host": this_host(),
        "pid": os.getpid(),
        "started": process_start(os.getpid()),
        "nonce": uuid.uuid4().hex,
        "beat": 0,
    }
    first = write_json(claim_path(folder, number), sealed(content), once=True)
    return Claim(folder, number, content) if first else None


def read_claim(folder: Path) -> dict[str, Any] | None:
    """The newest claim's content, whoever holds it, or None."""
    number = newest_claim(folder)
    if number < 0:
        return None
    try:
        content = read_json(claim_path(folder, number)) or {}
    except StoreError:
        return {"beat": -1, "host": "?"}  # a damaged claim is waited for and then taken over
    return {name: value for name, value in content.items() if name not in PROGRESS or is_number(value)}


def is_let_go(content: dict[str, Any]) -> bool | None:
    """Whether a claim's holder released it or died on this host; None for one of another host, whose
    life can't be seen from here."""
    if content.get("released"):
        return True
    if content.get("host") != this_host():
        return None
    return process_start(content.get("pid", -1)) != content.get("started")


def claim_path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number}.json"


def newest_claim(folder: Path) -> int:
    """The highest claim number in a run's folder, -1 when there is none."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return -1
    matches = (re.fullmatch(r"claim-(\d+)\.json", name) for name in names)
    return max((int(match[1]) for match in matches if match), default=-1)


def this_host() -> str:
    """Host, boot and process-id space: inside one of these a pid can be looked up."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()}/{uuid.getnode()}"


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
