"""What the command line of the bench says."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import Quiet


@dataclass
class Options:
    quick: bool = False  # a smoke of seconds: tiny shapes, one round
    rounds: int = 5
    seconds: float = 2.0  # of one turn; one unit of work at least
    shapes: tuple[str, ...] = ("S", "M", "L")
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    nanogpt: Path | None = None  # checkouts
    nanodo: Path | None = None
    peer_python: str = sys.executable  # has torch and transformers
    quiet: Quiet = field(default_factory=Quiet)
    results: Path = Path("bench") / "results"  # where other parts left theirs
