"""What passes between a launcher and a worker: a task on its standard input, an exit code at its end."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.config import userfile

FAILED_FAST, DISK_FULL = 4, 5  # exit codes
AGAIN = 6  # and that of hosts which must be started anew, all of them


@dataclass(frozen=True)
class Task:
    """What a worker is to do. `cores` pin it (CPU); `devices` is how many a run is spread over.

    Where a run has several hosts, this is number `host` of them, and the first listens at
    `coordinator`; "" leaves it to jax to find out from Slurm or from the TPU pod."""

    store: str
    configs: list[dict[str, Any]]
    cores: list[int] | None = None
    devices: int = 1
    way: str = "jit"
    tensor: int = 1
    remat: str = ""
    save_seconds: float = 15.0
    fail_fast: bool = False
    until: float = 1.0
    commit: str = ""
    hosts: int = 1
    host: int = 0
    coordinator: str = ""
    pack: int | None = None  # runs at once on each device; 0 measures how many pay; None: one run
    files: dict[str, str] = field(default_factory=userfile.named)  # of the user's, that may be imported

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"
