"""This lab's step spread over several devices of one process, or several runs in one program."""

from typing import Any

from bench.child import Work
from bench.peers import ours, shapes


def prepare(task: dict[str, Any]) -> Work:
    """`way` is jit, mesh, fsdp or pmap (one run over `devices`), or pack (`each` runs a device)."""
    import jax
    import numpy as np

    from lab.train import parallel, run

    shape, way = shapes.shape_of(task), task["way"]
    config = ours.config_of(shape, task["dtype"])
    devices = tuple(jax.local_devices()[: task["devices"]])
    if len(devices) < task["devices"]:
        raise SystemExit(f"asked for {task['devices']} devices, and there are {len(devices)}")
    most = config.shape.steps_per_dispatch
    tokens = shapes.batches(shape, n=most)
    fresh = run.fresh(run.program(config.shape, "jit", devices[:1]), config)
    runs = 1
    if way == "pack":
        program = parallel.pack_step(config.shape, devices, task["each"])
        runs, state = program.lanes, program.fill(fresh)
        tokens = np.broadcast_to(tokens, (runs, *tokens.shape)).copy()
    else:
        program = run.program(config.shape, way, devices).train
        state = program.place(fresh)
    losses = []

    def do(n: int) -> None:
        nonlocal state
        for left in range(n, 0, -most):
            state, metrics = program.step(state, tokens, np.int32(min(left, most)))
        losses.append(float(np.asarray(metrics["loss"]).reshape(-1)[0]))
        jax.block_until_ready(state)

    return Work(
        do,
        runs * shape.tokens,
        {"runs": runs, "steps_per_dispatch": most},
        lambda: {"first_loss": losses[0], "loss": losses[-1]},
    )
