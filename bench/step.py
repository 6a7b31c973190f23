"""python -m bench.step: how fast one worker trains, over the sizes of a laptop's grid.

Each shape is timed in turns with the others, three rounds, and the medians are printed, so that a
busy spell of the machine falls on all of them.
"""

import os
import statistics

SHAPES = [(2, 32, 1), (2, 64, 2), (3, 96, 3), (4, 128, 4)]
ROUNDS = 3


def main() -> None:
    os.environ["NPROC"] = "1"  # one core, as `lab run` gives a worker
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from lab import bench, counts
    from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig

    configs = [
        RunConfig(
            model=ModelConfig(
                n_layer=layers, d_model=width, n_head=heads, vocab_size=256, seq_len=128,
                position="learned",
            ),
            optim=OptimConfig(learning_rate=1e-3), tokens=1024, batch_tokens=1024,
            data=DataConfig(sha256="0" * 64, corpus="random"),
        )
        for layers, width, heads in SHAPES
    ]  # fmt: skip
    rounds = [[bench.measure(config, repeats=3) for config in configs] for _ in range(ROUNDS)]
    print(f"{'layers x width':>14} {'N':>8} {'tokens/s':>10} {'GFLOP/s':>8}   one core, float32")
    for i, config in enumerate(configs):
        rate = statistics.median(found[i]["tokens_per_second"] for found in rounds)
        flops = rate * counts.flops_exact(config.model) / 1e9
        name = f"{config.model.n_layer} x {config.model.d_model}"
        params = counts.count_params(config.model).params
        print(f"{name:>14} {params:>8,} {rate:>10,.0f} {flops:>8.1f}")


if __name__ == "__main__":
    main()
