"""What the TPU's own compiler makes of a step, on this machine and without a TPU: seconds, bytes a chip.

python -m bench.ahead v5e:2x2 mesh 12 768 --heads 12          # needs libtpu: pip install 'jax[tpu]'
"""

import argparse
import json
import os
import resource
import time

QUIET = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "JAX_PLATFORMS": "cpu"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topology")
    parser.add_argument("way", choices=("jit", "mesh", "fsdp"))
    parser.add_argument("layers", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("--heads", type=int, default=0)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--each", type=int, default=8, help="sequences a chip")
    parser.add_argument("--vocab", type=int, default=32_000)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--remat", default="")
    parser.add_argument("--micro-batch", type=int, default=0)
    parser.add_argument("--lower", action="store_true", help="only lower the program")
    given = parser.parse_args()
    os.environ.update(QUIET | {"TPU_ACCELERATOR_TYPE": "v5litepod-4"} | os.environ)
    print(json.dumps(measure(given)))


def measure(given: argparse.Namespace) -> dict[str, float]:
    from jax.experimental import topologies

    from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
    from lab.train.parallel import ahead

    chips = tuple(topologies.get_topology_desc(platform="tpu", topology_name=given.topology).devices)
    chips = chips[:1] if given.way == "jit" else chips
    batch = given.each * len(chips) * given.context
    config = RunConfig(
        model=ModelConfig(
            d_model=given.width,
            n_layer=given.layers,
            n_head=given.heads or given.width // 128,
            seq_len=given.context,
            vocab_size=given.vocab,
            dtype=given.dtype,
        ),
        optim=OptimConfig(learning_rate=1e-3),
        data=DataConfig(corpus="none", sha256="0" * 64),
        tokens=100 * batch,
        batch_tokens=batch,
        micro_batch=given.micro_batch,
    )
    began = time.process_time()
    jitted, args = ahead(config.shape, given.way, chips, remat=given.remat)
    lowered = jitted.lower(*args)
    found = {"lowered_mb": len(lowered.as_text()) / 1e6, "lower_s": time.process_time() - began}
    if given.lower:
        return found
    began = time.process_time()
    memory = lowered.compile().memory_analysis()
    return found | {
        "compile_s": time.process_time() - began,
        "temp_gib": memory.temp_size_in_bytes / 2**30,
        "args_gib": memory.argument_size_in_bytes / 2**30,
        "peak_gib": memory.peak_memory_in_bytes / 2**30,
        "own_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    main()
