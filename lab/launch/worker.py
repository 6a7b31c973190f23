"""One worker process: takes runs from the store until none of its list is left.

`python -m lab.launch.worker` reads its task, one line of JSON, from standard input and goes on
watching it: when the launcher dies, or closes it, the worker saves what it has and stops.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path

from lab.config import from_json, userfile
from lab.launch.attempt import OVER, WAIT, Anew, Attempts, choose, log
from lab.launch.task import AGAIN, DISK_FULL, FAILED_FAST, Task
from lab.plan.trunk import rejoin_trunk, urgency
from lab.store.failures import kind_of
from lab.store.store import Store

OTHERS_SECONDS = 1.0  # between looks at runs that other workers hold


def set_up(task: Task) -> None:
    """Pin the process and set jax's flags: at a worker's start and nowhere else."""
    if task.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, task.cores)
    import jax

    shared = os.environ.get("JAX_COMPILATION_CACHE_DIR")  # one that the user keeps for all their stores
    jax.config.update("jax_compilation_cache_dir", shared or str(Path(task.store).resolve() / ".compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # else the path of the cache enters its keys, and a store that was moved compiles all again
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    if task.hosts > 1:
        place = (task.coordinator, task.hosts, task.host) if task.coordinator else ()
        jax.distributed.initialize(*place, local_device_ids=range(task.devices))


def work(task: Task, stopping: threading.Event) -> int:
    """Train all that can be claimed, first what begins the longest chain of runs. Returns how many
    failed."""
    set_up(task)
    userfile.allow(task.files)

    from lab.train import parallel

    devices, store = parallel.devices(task.hosts, task.devices), Store(Path(task.store))
    configs = [from_json(config, where="task") for config in task.configs]
    flops = urgency(configs)
    configs.sort(key=lambda config: flops[config.run_id], reverse=True)
    attempts = Attempts(task, store, devices, stopping, configs)
    while True:
        number, micro_batch, claim = OVER, 0, None
        if parallel.leads() and not stopping.is_set():
            number, micro_batch, claim = choose(store, configs, attempts.failed, task.until)
        number, micro_batch = parallel.agreed((number, micro_batch))
        if number == OVER:
            return len(attempts.failed)
        if number == WAIT:
            stopping.wait(OTHERS_SECONDS)
        else:
            attempts.train(rejoin_trunk(replace(configs[number], micro_batch=micro_batch)), claim)


def main() -> int:
    stopping = threading.Event()
    # a job system's warning reaches every process of the job: USR1 and USR2 would end this one
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, lambda *_: stopping.set())
    task = Task(**json.loads(sys.stdin.readline()))
    log(f"process {os.getpid()} starts")

    def watch() -> None:
        sys.stdin.read()  # returns when the launcher closes the pipe or dies
        stopping.set()

    threading.Thread(target=watch, daemon=True).start()
    code = failed = 0
    try:
        failed = work(task, stopping)
        if failed and task.fail_fast:  # the store says of each why
            code = FAILED_FAST
    except Exception as error:
        if kind_of(error) == "disk full":
            log(f"the disk of {task.store} is full: {error}")
            code = DISK_FULL
        else:
            with contextlib.suppress(OSError):  # its own line last
                print("".join(traceback.format_exception(error)).rstrip(), flush=True)
            code = 1
            if task.hosts > 1:
                code = FAILED_FAST if task.fail_fast and not isinstance(error, Anew) else AGAIN
    try:
        sys.stdout.flush()
    except OSError:  # what is left in the buffer would make another exit code of this one
        sys.stdout = sys.stderr = open(os.devnull, "w")
    if code or failed:
        # an orderly end waits for every thread: ten minutes where the checkpoint library waits for
        # a file that could not be written, for ever where other hosts are in the middle of a step
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
