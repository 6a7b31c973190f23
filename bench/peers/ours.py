"""This lab's step as a worker of `lab run` calls it: many updates a dispatch, losses read late."""

from typing import Any

from bench.child import Work
from bench.peers import shapes


def model_of(shape: shapes.Shape, dtype: str, kind: str = "transformer"):
    from lab.config import ModelConfig

    gpt2 = {"norm": "layernorm", "position": "learned", "activation": "gelu"}
    return ModelConfig(
        kind=kind,
        n_layer=shape.layers,
        d_model=shape.width,
        n_head=shape.heads,
        tied=True,
        vocab_size=shape.vocab,
        seq_len=shape.context,
        dtype=dtype,
        **(gpt2 if kind == "transformer" else {}),
    )


def config_of(shape: shapes.Shape, dtype: str, kind: str = "transformer"):
    from lab.config import DataConfig, OptimConfig, RunConfig

    optim = OptimConfig(
        learning_rate=shapes.LEARNING_RATE,
        weight_decay=shapes.WEIGHT_DECAY,
        beta1=shapes.BETAS[0],
        beta2=shapes.BETAS[1],
        clip=shapes.CLIP,
    )
    return RunConfig(
        model=model_of(shape, dtype, kind),
        optim=optim,
        tokens=shape.tokens * 100_000,
        batch_tokens=shape.tokens,
        data=DataConfig(sha256="0" * 64, corpus="random"),
    )


def prepare(task: dict[str, Any]) -> Work:
    import jax
    import numpy as np

    from lab.models import counts
    from lab.train.parallel import compile_step
    from lab.train.step import initial_state

    shape = shapes.shape_of(task)
    config = config_of(shape, task["dtype"], task.get("kind", "transformer"))
    program = compile_step(config.shape, "jit", tuple(jax.local_devices()[:1]))
    state = program.place(initial_state(config))
    most = config.shape.steps_per_dispatch
    tokens_RSBL = shapes.batches(shape, seed=task["number"], n=most)[None]
    losses = []

    def do(n: int) -> None:
        nonlocal state
        behind = None
        for left in range(n, 0, -most):
            state, metrics = program.step(state, tokens_RSBL, np.int32(min(left, most)))
            if behind is not None:
                losses.append(float(np.asarray(behind["loss"])[0]))
            behind = metrics
        losses.append(float(np.asarray(behind["loss"])[0]))
        jax.block_until_ready(state)

    facts = {
        "params_all": counts.count_params(config.model).total,
        "flops_per_token": counts.flops_exact(config.model),
        "steps_per_dispatch": most,
    }
    return Work(do, shape.tokens, facts, lambda: {"first_loss": losses[0], "loss": losses[-1]})
