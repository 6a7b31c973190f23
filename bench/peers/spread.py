"""This lab's step spread over several devices of one process, or several runs in one program."""

from collections.abc import Sequence
from typing import Any

from bench.child import Work
from bench.peers import ours, shapes


def prepare(task: dict[str, Any]) -> Work:
    """`way` is jit, mesh, fsdp or pmap (one run over `devices`), or pack (`each` runs a device)."""
    import jax

    config = ours.config_of(shapes.shape_of(task), task["dtype"])
    devices = tuple(jax.local_devices()[: task["devices"]])
    if len(devices) < task["devices"]:
        raise SystemExit(f"asked for {task['devices']} devices, and there are {len(devices)}")
    if task["way"] == "pack":
        return work(config, "jit", devices, each=task["each"])
    return work(config, task["way"], devices)


def work(config: Any, way: str, devices: Sequence[Any], each: int = 0, **said: Any) -> Work:
    """Updates of a run over devices, or of packs of `each` runs on every one of them; `said` goes to
    `compile_step`."""
    import jax
    import numpy as np

    from lab.train.parallel import compile_step
    from lab.train.step import initial_state

    model, most = config.model, config.shape.steps_per_dispatch
    runs = each * len(devices) or 1
    shape = shapes.Shape(0, 0, 0, model.vocab_size, model.seq_len, config.batch_size)
    one = shapes.batches(shape, n=most)
    tokens_RSBL = np.broadcast_to(one, (runs, *one.shape)).copy()
    program = compile_step(config.shape, way, tuple(devices), each=each, **said)
    state = program.born(config) if program.born else program.place(initial_state(config))
    losses = []

    def do(n: int) -> None:
        nonlocal state
        for left in range(n, 0, -most):
            state, metrics = program.step(state, tokens_RSBL, np.int32(min(left, most)))
        losses.append(float(np.asarray(metrics["loss"]).reshape(-1)[0]))
        jax.block_until_ready(state)

    return Work(
        do,
        runs * config.batch_tokens,
        {"runs": runs, "steps_per_dispatch": most},
        lambda: {"first_loss": losses[0], "loss": losses[-1]},
    )
