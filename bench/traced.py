"""python -m bench.traced STAMPS.json: a worker of `lab run` that carries a stopwatch.

It is `lab.launch.worker` itself, task on standard input and all, with some of its functions
replaced by themselves between two looks at the clock. BENCH_BEGAN in its environment is the time
at which it was started (`time.time()`).
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.time()  # before anything but the standard library is imported
SHARES = {  # where the time of a run goes, by the function in which it is spent
    "data": [("lab.data.batches", "batches")],
    "evaluation": [("lab.train.evaluate", "Evaluator.nats")],
    "checkpoints": [
        ("lab.train.keeper", "Keeper.save"),
        ("lab.train.checkpoint", "Checkpoints.wait"),
        ("lab.train.checkpoint", "Checkpoints.close"),
    ],
    "store": [
        ("lab.store.store", "Store.add_to_curve"),
        ("lab.store.store", "Store.start_curve"),
        ("lab.store.store", "Store.write_record"),
        ("lab.store.store", "Claim.held"),
        ("lab.store.store", "Claim.release"),
        ("lab.store.store", "Store.claim"),
    ],
    "step": [("lab.train.loop", "Crew.send"), ("lab.train.loop", "Crew.read")],
}


class Stopwatch:
    """Moments passed, and the time inside functions without that of those they call."""

    def __init__(self) -> None:
        self.moments: dict[str, float] = {"interpreter": BEGAN}
        self.inside: dict[str, float] = defaultdict(float)
        self.events: dict[str, float] = defaultdict(float)  # jax's own, until the step is compiled
        self.stack: list[float] = []  # time spent by inner functions, one entry a function

    def moment(self, name: str) -> None:
        self.moments.setdefault(name, time.time())

    def timed(self, share: str, function: Callable) -> Callable:
        def between(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            # batches are cut while the last dispatch runs on the same core: only their own
            # processor time is theirs
            clock = time.thread_time if share == "data" else time.perf_counter
            began = clock()
            self.stack.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                spent = clock() - began
                self.inside[share] += spent - self.stack.pop()
                if self.stack:
                    self.stack[-1] += spent

        return between

    def write(self, path: Path) -> None:
        began = float(os.environ.get("BENCH_BEGAN", BEGAN))
        path.write_text(
            json.dumps(
                {
                    "moments": {name: at - began for name, at in self.moments.items()},
                    "inside": self.inside,
                    "events": self.events,
                }
            )
            + "\n"
        )


def replace(module: str, name: str, change: Callable[[Callable], Callable]) -> None:
    """Put `change(function)` in a function's place."""
    *parents, leaf = name.split(".")
    owner = sys.modules[module]
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, leaf, change(getattr(owner, leaf)))


def stamped(watch: Stopwatch, before: str, after: str) -> Callable:
    def change(function: Callable) -> Callable:
        def between(*arguments: Any, **named: Any) -> Any:
            watch.moment(before)
            result = function(*arguments, **named)
            watch.moment(after)
            return result

        return between

    return change


def install(watch: Stopwatch) -> None:
    """Once lab.train.loop is imported: put the stopwatch into its functions."""
    import jax

    def add(event: str, seconds: float, **_: Any) -> None:
        if "compiled" not in watch.moments:
            watch.events[event] += seconds

    jax.monitoring.register_event_duration_secs_listener(add)
    for share, functions in SHARES.items():
        for module, name in functions:
            replace(module, name, lambda function, share=share: watch.timed(share, function))
    replace("lab.train.lanes", "Lanes.initial", lambda f: watch.timed("compile", f))
    replace("lab.train.loop", "Crew.train", lambda f: watch.timed("rest of the run", f))
    replace("lab.train.loop", "Crew.train", stamped(watch, "claimed", "run over"))
    replace("lab.train.lanes", "Lanes.initial", stamped(watch, "compile begins", "compiled"))

    def first_step(function: Callable) -> Callable:
        def send(crew: Any) -> Any:
            watch.moment("resumed")
            sent = function(crew)
            if "first step" not in watch.moments:
                jax.block_until_ready(sent[1])
                watch.moment("first step")
            return sent

        return send

    replace("lab.train.loop", "Crew.send", first_step)


def main() -> int:
    watch = Stopwatch()
    from lab.launch import worker

    watch.moment("worker imported")
    set_up = worker.set_up

    def set_up_and_import(task: Any) -> None:
        set_up(task)  # imports jax
        watch.moment("jax imported")
        import lab.train.loop  # noqa: F401  flax, optax, orbax

        watch.moment("lab imported")
        install(watch)
        import jax

        jax.devices()
        watch.moment("device there")

    worker.set_up = set_up_and_import
    try:
        return worker.main()
    finally:
        watch.moment("end")
        watch.write(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
