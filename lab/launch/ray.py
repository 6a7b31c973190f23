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
from lab.launch import local
from lab.launch.order import End, LaunchError, Look, Order, engine, parts
from lab.store.failures import has_failed
from lab.store.store import Store

NAMED = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}  # any other is a resource
KNOCK_SECONDS = 5
SAVE_SECONDS = 60  # for interrupted tasks to save their runs


def launch(store: Store, configs: Sequence[RunConfig], order: Order, look: Look = lambda: None) -> End:
    """Train the runs as tasks of the cluster, `order.workers` at once or as many as it has room
    for; stays until they are over, since Ray ends the tasks of a caller that is gone."""
    if order.hosts > 1:
        raise LaunchError("the launcher ray spreads no run over several hosts; slurm and local do")
    ray = connected(order)
    try:
        need = needs(ray, order)
        room = min(int(ray.cluster_resources().get(name, 0) // n) for name, n in need.items())
        if not room:
            print(f"warning: no node has {need} now; tasks wait until one does", flush=True)
        task = task_of(ray, need)
        told = {"store": str(store.root.resolve()), "order": asdict(order)}
        dealt = parts(configs, order.workers or room)
        ask = [told | {"configs": [to_json(config) for config in part]} for part in dealt]
        return follow(ray, task, ask, order, look)
    finally:
        ray.shutdown()


def connected(order: Order) -> ModuleType:
    """Ray, with this process its caller."""
    ray = engine("ray")
    address = order.options.get("address") or os.environ.get("RAY_ADDRESS") or "auto"
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit() and "/" not in host:  # told in seconds; Ray would wait for minutes
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
    asked = {name: value for name, value in order.options.items() if name != "address"}
    if not asked:
        best = next((n for n in ("TPU", "GPU") if ray.cluster_resources().get(n)), "CPU")
        return {best: float(order.devices)}
    try:
        return {NAMED.get(name.replace("_", "-"), name): float(n) for name, n in asked.items()}
    except ValueError as error:
        raise LaunchError(f"--launcher-option of ray takes numbers: {asked}") from error


def task_of(ray: ModuleType, need: dict[str, float]) -> Any:
    """The remote function. It is sent by value, since no node need find `lab` by itself."""
    root, found = str(Path(__file__).parents[2]), local.surroundings()

    def group(told: dict[str, Any]) -> End:
        os.environ.update(found)
        sys.path.insert(0, root)
        return importlib.import_module(__name__).train(told)

    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options = {named[name]: n for name, n in need.items() if name in named}
    resources = {name: n for name, n in need.items() if name not in named}
    return ray.remote(max_retries=-1, resources=resources, **{"num_cpus": 0, **options})(group)


def follow(ray: ModuleType, task: Any, ask: list[dict[str, Any]], order: Order, look: Look) -> End:
    """Hand out the tasks and wait for them."""
    flying: dict[Any, dict[str, Any]] = {}
    errors: list[str] = []
    try:
        with local.interruptible():
            while ask or flying:
                while ask and (not order.workers or len(flying) < order.workers):
                    told = ask.pop(0)
                    flying[task.remote(told)] = told
                look()
                over, _ = ray.wait(list(flying), timeout=local.LOOK_SECONDS)
                for told, ref in [(flying.pop(ref), ref) for ref in over]:
                    try:
                        if ray.get(ref) == "stopped":  # its node was told to go
                            ask.append(told)
                    except ray.exceptions.RayError as error:
                        errors.append(str(getattr(error, "cause", None) or error))
                    if order.fail_fast and failed(told):
                        cancel(ray, list(flying))
                        return "finished"  # and what failed is told by whoever asked
    except KeyboardInterrupt:
        print("\nstopping: every run saves its state (Ctrl-C again: at once)", flush=True)
        cancel(ray, list(flying))
        return "stopped"
    if errors:
        raise LaunchError(f"{len(errors)} tasks of Ray failed; the first: {errors[0]}")
    return "finished"


def cancel(ray: ModuleType, flying: list[Any]) -> None:
    """Interrupt the tasks as Ctrl-C would, and wait until they have saved."""
    for ref in flying:
        ray.cancel(ref)
    if flying:
        ray.wait(flying, num_returns=len(flying), timeout=SAVE_SECONDS)


# --- inside a task -----------------------------------------------------------------------------


def train(told: dict[str, Any]) -> End:
    order = replace(Order(**told["order"]), workers=1, options={}, pinned=False)
    return local.launch(Store(Path(told["store"])), configs_of(told), order)


def failed(told: dict[str, Any]) -> bool:
    store = Store(Path(told["store"]))
    return any(has_failed(store, config) for config in configs_of(told))


def configs_of(told: dict[str, Any]) -> list[RunConfig]:
    return [from_json(config, where="a task of Ray") for config in told["configs"]]
