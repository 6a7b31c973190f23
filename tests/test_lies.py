"""Under fsdp no device ever holds much more than its part: counted by the compiler, on 8 forced devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

COUNTED = """
import json, sys, jax, numpy as np
from functools import partial
from lab.config import *
from lab.train import layout, parallel, step
config = RunConfig(
    model=ModelConfig(d_model=128, n_layer=2, n_head=4, vocab_size=512, seq_len=16),
    optim=OptimConfig(learning_rate=0.1), data=DataConfig(sha256="0" * 64, corpus="none"),
    tokens=256 * 8, batch_tokens=256,
)
program = parallel.compile_step(config.shape, "fsdp", tuple(jax.devices()))
state = program.born(config)
def on_first(tree):
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))
whole = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.live_arrays())
wide = max(jax.tree.leaves(state.params), key=lambda leaf: leaf.size)
key = np.zeros(2, np.uint32)
draw = layout.draw_part(wide.shape, wide.sharding).lower(key, key).compile()
equal = lambda a, b: bool((np.asarray(a) == np.asarray(b)).all())
same = jax.tree.map(equal, state, step.initial_state(config))
back = program.fetch(state)
print(json.dumps({
    "whole": whole, "held": held, "part": on_first(state), "same": all(jax.tree.leaves(same)),
    "draw": draw.memory_analysis().temp_size_in_bytes + draw.memory_analysis().output_size_in_bytes,
    "wide": wide.nbytes, "on_host": all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(back)),
}))
"""


def test_a_state_is_born_bit_for_bit_in_eighths():
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", COUNTED], env=env, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["same"] and told["on_host"]
    assert told["part"] <= 1.2 * told["whole"] / 8 and told["held"] <= 1.2 * told["whole"] / 8
    assert told["draw"] <= 5 * told["wide"] / 8  # of the largest weight no more than a few of its parts
