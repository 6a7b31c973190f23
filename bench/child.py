"""python -m bench.child KIND: one process of a competitor; works only when told to.

A line of JSON on standard input tells it what to prepare; each further line has it work for about
so many seconds and answer with what it did. Between lines it sleeps, so that competitors of all
kinds can take turns on one machine. KIND is a module of `bench.peers` with
`prepare(task) -> Work`; it runs in whatever environment and interpreter its competitor wants.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

MOST = 1 << 20  # units in one answer


@dataclass(frozen=True)
class Work:
    """`do(n)` does n units of work and waits for their end; a unit is `size` tokens, FLOPs, …"""

    do: Callable[[int], None]
    size: float
    facts: dict[str, Any] = field(default_factory=dict)  # told with the results
    more: Callable[[], dict[str, Any]] = lambda: {}  # told after every turn, such as the loss


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints is log, not an answer

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    task = json.loads(sys.stdin.readline())
    if task.get("core") is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {task["core"]})  # before the libraries start their threads
    began = time.perf_counter()
    work = import_module(f"bench.peers.{sys.argv[1]}").prepare(task)
    work.do(1)
    ready = time.perf_counter() - began
    say(ready_seconds=ready, facts=work.facts)
    per_unit = 0.0
    for line in sys.stdin:
        seconds = json.loads(line)["seconds"]
        woken, _ = timed(work, 1)  # while others had their turn caches and memory went elsewhere
        per_unit = per_unit or woken
        n = max(1, min(MOST, round(seconds / per_unit)))
        spent, processor = timed(work, n)
        per_unit = spent / n
        say(units=n, seconds=spent, processor_seconds=processor, size=work.size, more=work.more())


def timed(work: Work, n: int) -> tuple[float, float]:
    """Seconds of the clock, and of the processor over all threads."""
    began, used = time.perf_counter(), time.process_time()
    work.do(n)
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    main()
