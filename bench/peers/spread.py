"""This lab's step spread over several devices of one process, or several runs in one program."""

from typing import Any

from bench.child import Work
from bench.peers import ours, shapes


def prepare(task: dict[str, Any]) -> Work:
    """`way` is jit, mesh, fsdp or pmap (one run over `devices`), or pack (`each` runs a device)."""
    import jax
    import numpy as np

    from lab.train.parallel import compile_step
    from lab.train.step import initial_state

    shape, way = shapes.shape_of(task), task["way"]
    config = ours.config_of(shape, task["dtype"])
    devices = tuple(jax.local_devices()[: task["devices"]])
    if len(devices) < task["devices"]:
        raise SystemExit(f"asked for {task['devices']} devices, and there are {len(devices)}")
    most, pack = config.shape.steps_per_dispatch, way == "pack"
    runs = task["each"] * len(devices) if pack else 1
    one = shapes.batches(shape, n=most)
    tokens_RSBL = np.broadcast_to(one, (runs, *one.shape)).copy()
    each = task["each"] if pack else 0
    program = compile_step(config.shape, "jit" if pack else way, devices, each=each)
    state = program.place(initial_state(config))
    losses = []

    def do(n: int) -> None:
        nonlocal state
        for left in range(n, 0, -most):
            state, metrics = program.step(state, tokens_RSBL, np.int32(min(left, most)))
        losses.append(float(np.asarray(metrics["loss"]).reshape(-1)[0]))
        jax.block_until_ready(state)

    return Work(
        do,
        runs * shape.tokens,
        {"runs": runs, "steps_per_dispatch": most},
        lambda: {"first_loss": losses[0], "loss": losses[-1]},
    )
