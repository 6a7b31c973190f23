"""Times the training step of one shape, as `lab run` would run it in one worker."""

import json
import statistics
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models import counts


def measure(config: RunConfig, repeats: int = 10) -> dict[str, Any]:
    """Median and spread of the time of one update, over `repeats` dispatches after a warm one."""
    import jax
    import jax.numpy as jnp

    from lab.train import run, step

    shape = config.shape
    began = time.perf_counter()
    program = run.program(shape, "jit", tuple(jax.local_devices()[:1]))
    hyper = {name: jnp.float32(value) for name, value in step.hyper_of(config).items()}
    state = program.train.place(program.init(jax.random.key(0), hyper))
    width = (shape.steps_per_dispatch, shape.batch_size, shape.model.seq_len + 1)
    tokens_SBL = np.random.default_rng(0).integers(0, shape.model.vocab_size, width, np.int32)
    n = np.int32(shape.steps_per_dispatch)
    state, metrics = program.train.step(state, tokens_SBL, n)
    jax.block_until_ready(metrics)
    compile_seconds = time.perf_counter() - began
    milliseconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        state, metrics = program.train.step(state, tokens_SBL, n)
        jax.block_until_ready(metrics)
        milliseconds.append(1e3 * (time.perf_counter() - began) / int(n))
    middle = statistics.median(milliseconds)
    tokens_per_second = config.batch_tokens / middle * 1e3
    return {
        "tokens_per_second": tokens_per_second,
        "ms_per_step": {
            "median": middle,
            "p10": float(np.quantile(milliseconds, 0.1)),
            "p90": float(np.quantile(milliseconds, 0.9)),
        },
        "flops_per_second": tokens_per_second * counts.flops_exact(config.model),
        "compile_seconds": compile_seconds,
        "device": jax.local_devices()[0].device_kind,
    }


def command(
    *,
    d_model: int = 128,
    layers: int = 4,
    heads: int = 4,
    seq_len: int = 128,
    batch: int = 32,
    vocab: int = 256,
    dtype: Literal["float32", "bfloat16"] = "float32",
    json: Path | None = None,
    kind: Literal["transformer", "lstm", "gru"] = "transformer",
) -> int:
    """Time the training step of one shape on this machine, in this process.

    Args:
      heads: of a Transformer; the other kinds have none.
    """
    heads = heads if kind == "transformer" else 1
    model = ModelConfig(
        d_model=d_model,
        n_layer=layers,
        n_head=heads,
        vocab_size=vocab,
        seq_len=seq_len,
        dtype=dtype,
        kind=kind,
    )
    config = RunConfig(
        model=model,
        optim=OptimConfig(learning_rate=1e-3),
        tokens=batch * seq_len,
        data=DataConfig(sha256="0" * 64, corpus="random"),
        batch_tokens=batch * seq_len,
    )
    found = measure(config) | {
        "config": {
            "d_model": d_model,
            "layers": layers,
            "heads": heads,
            "seq_len": seq_len,
            "batch": batch,
            "vocab": vocab,
            "dtype": dtype,
            "kind": kind,
        }
    }
    print(
        f"{kind} {layers} x {d_model}, batch {batch} x {seq_len}, {dtype}: "
        f"{found['tokens_per_second']:,.0f} tokens/s, {found['ms_per_step']['median']:.2f} ms a "
        f"step, {found['flops_per_second'] / 1e9:.1f} GFLOP/s, compiled in "
        f"{found['compile_seconds']:.1f} s, on {found['device']}"
    )
    if json:
        write(json, found)
    return 0


def write(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n")
