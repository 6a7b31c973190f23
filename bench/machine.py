"""What the bench runs on, and how much of it others are using meanwhile (read from /proc)."""

import datetime
import os
import platform
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

MATTER = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_tile")
LOOK_SECONDS = 1.0  # over which a waiting bench measures what others use
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
OWN_JIFFIES = (13, 14, 15, 16)  # fields of /proc/PID/stat: user and system, own and of the reaped


def cores() -> list[int]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe() -> dict[str, Any]:
    """The machine: processor, flags that decide a product's speed, cores, memory."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line}
    flags = set(named.get("flags", "").split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": named.get("model name") or platform.processor() or platform.machine(),
        "family_model": f"{named.get('cpu family', '?')}/{named.get('model', '?')}",
        "flags": [flag for flag in MATTER if flag in flags],
        "missing_flags": [flag for flag in MATTER if flag not in flags],
        "cache": named.get("cache size", "?"),
        "cores": len(cores()),
        "memory_bytes": pages,
        "system": platform.platform(),
        "virtual": "hypervisor" in flags,
    }


def versions(*packages: str) -> dict[str, str]:
    """Of Python and those of the packages that are installed here."""
    installed = {"python": platform.python_version()}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Use:
    """Processor seconds used since some beginning: by all, and by this process and those below."""

    wall: float
    everybody: float
    own: float


def look() -> Use | None:
    """None where there is no /proc."""
    try:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        jiffies = [int(word) for word in words]
        idle = jiffies[3] + jiffies[4]
        everybody = sum(jiffies[:8]) - idle  # guests are inside user; steal is somebody else's
        return Use(time.monotonic(), everybody / TICKS, own_jiffies() / TICKS)
    except (OSError, ValueError, IndexError):
        return None


def own_jiffies() -> int:
    """Of this process and all below it, those that ended and were waited for included."""
    parents, used = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        pid = int(folder.name)
        parents[pid] = int(rest[1])
        used[pid] = sum(int(rest[index - 2]) for index in OWN_JIFFIES)
    family, grown = {os.getpid()}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(used.get(pid, 0) for pid in family)


def others_share(before: Use | None, after: Use | None) -> float | None:
    """Share of the whole machine that others used between two looks, 0..1; None: not known."""
    if before is None or after is None or after.wall <= before.wall:
        return None
    theirs = (after.everybody - before.everybody) - (after.own - before.own)
    return min(1.0, max(0.0, theirs / ((after.wall - before.wall) * (os.cpu_count() or 1))))


@dataclass
class Quiet:
    """Waits until others use less than `bound` of the machine, `patience` seconds in all."""

    bound: float = 0.05
    patience: float = 300.0
    waited: float = 0.0
    seen: list[float] = field(default_factory=list)  # shares of others during what was measured

    def wait(self) -> None:
        while self.waited < self.patience:
            before = look()
            if before is None:
                return
            time.sleep(LOOK_SECONDS)
            share = others_share(before, look())
            if share is not None and share <= self.bound:
                return
            self.waited += LOOK_SECONDS

    def impatient(self) -> bool:
        return self.waited >= self.patience

    def summary(self) -> dict[str, Any]:
        """What stands of it in the results."""
        seen = sorted(self.seen)
        return {
            "bound": self.bound,
            "waited_seconds": round(self.waited, 1),
            "others_median": seen[len(seen) // 2] if seen else None,
            "others_max": seen[-1] if seen else None,
            "turns_over_bound": sum(share > self.bound for share in seen),
            "turns": len(seen),
        }
