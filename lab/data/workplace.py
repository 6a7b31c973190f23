"""The folder in which a corpus grows until it is whole: one process at a time, and after a kill the next
one goes on in it."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.data.writing import PROGRESS

# of a folder with nothing, and with something, to go on from
STALE_SECONDS, STARTED_SECONDS = 3600, 7 * 86400


@contextmanager
def workplace(root: Path, name: str) -> Iterator[Path]:
    """A folder under `root` for this process alone. It is gone at the end, but not where the process is
    killed or interrupted with a part of the work done."""
    for old in root.glob(".preparing-*"):
        with suppress(OSError):
            age = time.time() - old.stat().st_mtime
            left = STARTED_SECONDS if (old / PROGRESS).exists() else STALE_SECONDS
            if age > left and old != root / f".preparing-{name}":
                shutil.rmtree(old, ignore_errors=True)
    work = root / f".preparing-{name}"
    lock = locked(work)
    if lock is None:  # a file system without locks
        work = root / f".preparing-{name}-{os.getpid()}-{time.time_ns()}"
        work.mkdir()
    try:
        yield work
    except Exception:
        shutil.rmtree(work, ignore_errors=True)
        raise
    except BaseException:
        if not (work / PROGRESS).exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    else:
        shutil.rmtree(work, ignore_errors=True)
    finally:
        if lock is not None:
            os.close(lock)


def locked(work: Path) -> int | None:
    """The folder made and locked; waits while another process holds it."""
    while True:
        work.mkdir(exist_ok=True)
        try:
            lock = os.open(work, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            os.close(lock)
            return None
        with suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == work.stat().st_ino:  # not renamed while waiting
                return lock
        os.close(lock)
