"""`lab bench`: times the training step of one shape, as `lab run` would run it in one worker."""

import argparse
import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lab.commands import shared
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models import counts

SHAPE = {
    "d_model": (128, "width"),
    "layers": (4, "blocks"),
    "heads": (4, "of a Transformer; the other kinds have none"),
    "seq_len": (128, "tokens of a sequence"),
    "batch": (32, "sequences of an update"),
    "vocab": (256, "token ids"),
}


def add(commands) -> None:
    parser = shared.command(commands, "bench", run)
    for name, (default, help) in SHAPE.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **shared.COUNT, default=default, help=help)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the products")
    parser.add_argument(
        "--kind", choices=("transformer", "lstm", "gru"), default="transformer", help="of model"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers are written too")


def run(options: argparse.Namespace) -> int:
    """Time the training step of one shape on this machine, in this process."""
    if options.kind != "transformer":
        options.heads = 1
    model = ModelConfig(
        d_model=options.d_model,
        n_layer=options.layers,
        n_head=options.heads,
        vocab_size=options.vocab,
        seq_len=options.seq_len,
        dtype=options.dtype,
        kind=options.kind,
    )
    tokens = options.batch * options.seq_len
    config = RunConfig(
        model=model,
        optim=OptimConfig(learning_rate=1e-3),
        tokens=tokens,
        data=DataConfig(sha256="0" * 64, corpus="random"),
        batch_tokens=tokens,
    )
    speed = measure(config)
    print(
        f"{options.kind} {options.layers} x {options.d_model}, batch {options.batch} x {options.seq_len}, "
        f"{options.dtype}: {speed['tokens_per_second']:,.0f} tokens/s, "
        f"{speed['ms_per_step']['median']:.2f} ms a step, {speed['flops_per_second'] / 1e9:.1f} GFLOP/s, "
        f"compiled in {speed['compile_seconds']:.1f} s, on {speed['device']}"
    )
    if options.json:
        settings = {name: getattr(options, name) for name in (*SHAPE, "dtype", "kind")}
        options.json.write_text(json.dumps(speed | {"config": settings}, indent=1) + "\n")
    return 0


def measure(config: RunConfig, repeats: int = 10) -> dict[str, Any]:
    """Median and spread of the time of one update, over `repeats` dispatches after a warm one."""
    import jax

    from lab.train.measures import dispatch_seconds

    began, device = time.perf_counter(), jax.local_devices()[0]
    dispatches = dispatch_seconds(config, device)
    next(dispatches)
    compile_seconds = time.perf_counter() - began
    steps = config.shape.steps_per_dispatch
    milliseconds = [1e3 * seconds / steps for seconds in islice(dispatches, repeats)]
    low, middle, high = np.quantile(milliseconds, (0.1, 0.5, 0.9)).tolist()
    tokens_per_second = config.batch_tokens / middle * 1e3
    return {
        "tokens_per_second": tokens_per_second,
        "ms_per_step": {"median": middle, "p10": low, "p90": high},
        "flops_per_second": tokens_per_second * counts.flops_exact(config.model),
        "compile_seconds": compile_seconds,
        "device": device.device_kind,
    }
