"""Ray: one task for each part of the grid, on whatever nodes a Ray cluster has or gets.

A task starts the worker that `local` starts. That a node dies, and where a task goes then, is
Ray's: it tries again for ever, and the worker goes on from the last checkpoint in the store. Code,
data and store must be at the same paths on every node.
"""

import importlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.config import RunConfig, from_json, to_json
from lab.launch import local, processes
from lab.launch.order import End, LaunchError, Order, Refresh, engine, parts
from lab.store.failures import has_failed
from lab.store.store import Store

NAMED = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}  # any other is a resource
KNOCK_SECONDS = 5
SAVE_SECONDS = 60  # for interrupted tasks to save their runs


def launch(store: Store, configs: Sequence[RunConfig], order: Order, refresh: Refresh = lambda: None) -> End:
    """Train the runs as tasks of the cluster, `order.workers` at once or as many as it has room
    for; stays until they are over, since Ray ends the tasks of a caller that is gone."""
    if order.hosts > 1:
        raise LaunchError("the launcher ray spreads no run over several hosts; slurm and local do")
    ray = connected(order)
    try:
        need = needs(ray, order)
        free = ray.cluster_resources()
        rooms = (int(free.get(name, 0) // n) for name, n in need.items() if n)
        room = min(rooms, default=len(configs))
        if not room:
            print(f"warning: no node has {need} now; tasks wait until one does", flush=True)
        common = {"store": str(store.root.resolve()), "order": asdict(order)}
        jobs = [
            common | {"configs": [to_json(config) for config in part]}
            for part in parts(configs, order.workers or room)
        ]
        return follow(ray, task_of(ray, need), jobs, order, refresh)
    finally:
        ray.shutdown()


def connected(order: Order) -> ModuleType:
    """Ray, with this process its caller."""
    ray = engine("ray")
    address = order.options.get("address") or os.environ.get("RAY_ADDRESS") or "auto"
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit() and "/" not in host:  # refused in seconds; Ray would wait for minutes
            socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
        ray.init(address, logging_level="warning", log_to_driver=False)
    except (OSError, ValueError) as error:
        raise LaunchError(
            f"no Ray cluster answers at {address}: `ray start --head` on one machine and `ray "
            "start --address=HOST:6379` on the others, or name it with --launcher-option address="
        ) from error
    return ray


def needs(ray: ModuleType, order: Order) -> dict[str, float]:
    """What one task takes of a node: what was asked for, else `devices` of the best there is."""
    options = {name: value for name, value in order.options.items() if name != "address"}
    if not options:
        best = next((n for n in ("TPU", "GPU") if ray.cluster_resources().get(n)), "CPU")
        return {best: float(order.devices)}
    try:
        return {NAMED.get(name.replace("_", "-"), name): float(n) for name, n in options.items()}
    except ValueError as error:
        raise LaunchError(f"--launcher-option of ray takes numbers: {options}") from error


def task_of(ray: ModuleType, need: dict[str, float]) -> Any:
    """The remote function. It is sent by value, since no node need find `lab` by itself."""
    root, paths = str(Path(__file__).parents[2]), processes.paths()

    def train_part(job: dict[str, Any]) -> End:
        os.environ.update(paths)
        sys.path.insert(0, root)
        return importlib.import_module(__name__).train(job)

    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options = {named[name]: n for name, n in need.items() if name in named}
    resources = {name: n for name, n in need.items() if name not in named}
    return ray.remote(max_retries=-1, resources=resources, **{"num_cpus": 0, **options})(train_part)


def follow(ray: ModuleType, task: Any, jobs: list[dict[str, Any]], order: Order, refresh: Refresh) -> End:
    """Hand out the jobs as tasks and wait for them."""
    running: dict[Any, dict[str, Any]] = {}
    errors: list[str] = []
    try:
        with local.interruptible():
            while jobs or running:
                while jobs and (not order.workers or len(running) < order.workers):
                    job = jobs.pop(0)
                    running[task.remote(job)] = job
                refresh()
                over, _ = ray.wait(list(running), timeout=local.LOOK_SECONDS)
                for job, ref in [(running.pop(ref), ref) for ref in over]:
                    try:
                        if ray.get(ref) == "stopped":  # its node was told to go
                            jobs.append(job)
                    except ray.exceptions.RayError as error:
                        errors.append(str(getattr(error, "cause", None) or error))
                    if order.fail_fast and failed(job):
                        cancel(ray, list(running))
                        return "finished"  # the caller names what failed
    except KeyboardInterrupt:
        print("\nstopping: every run saves its state (Ctrl-C again: at once)", flush=True)
        cancel(ray, list(running))
        return "stopped"
    if errors:
        raise LaunchError(f"{len(errors)} tasks of Ray failed; the first: {errors[0]}")
    return "finished"


def cancel(ray: ModuleType, running: list[Any]) -> None:
    """Interrupt the tasks as Ctrl-C would, and wait until they have saved."""
    for ref in running:
        ray.cancel(ref)
    if running:
        ray.wait(running, num_returns=len(running), timeout=SAVE_SECONDS)


# --- inside a task -----------------------------------------------------------------------------


def train(job: dict[str, Any]) -> End:
    order = replace(Order(**job["order"]), workers=1, options={}, pinned=False)
    return local.launch(Store(Path(job["store"])), configs_of(job), order)


def failed(job: dict[str, Any]) -> bool:
    store = Store(Path(job["store"]))
    return any(has_failed(store, config) for config in configs_of(job))


def configs_of(job: dict[str, Any]) -> list[RunConfig]:
    return [from_json(config, where="a task of Ray") for config in job["configs"]]
