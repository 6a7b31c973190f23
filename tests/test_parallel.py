"""One device equals eight: the same losses by jit, mesh and pmap, on forced host devices.

Plain SGD without clipping, since Adam and clipping both hide a gradient that is 8 times too large.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, jax, jax.numpy as jnp, numpy as np
from lab import parallel, step
from lab.config import *
config = RunConfig(
    model=ModelConfig(d_model=16, n_layer=2, n_head=2, vocab_size=32, seq_len=16),
    optim=OptimConfig(learning_rate=0.5, optimizer="sgd", clip=0.0, warmup_steps=1),
    data=DataConfig(sha256="0" * 64, corpus="random"), tokens=256 * 6, batch_tokens=256,
    micro_batch=MICRO,
)
tokens = np.random.default_rng(0).integers(0, 32, (6, 16, 17), np.int32)
hyper = {name: jnp.float32(value) for name, value in step.hyper_of(config).items()}
found = {}
for way, n in (("jit", 1), ("mesh", 8), ("pmap", 8), ("mesh", 2), ("pmap", 4)):
    compiled = parallel.compile_step(config.shape, way, jax.devices()[:n])
    state = compiled.place(step.init_state(config.shape, jax.random.key(0), hyper))
    state, metrics = compiled.step(state, tokens, np.int32(6))
    state = compiled.fetch(state)
    norm = float(jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(state.params))))
    found[f"{way}-{n}"] = [np.asarray(metrics["loss"]).tolist(), norm, int(state.step)]
print(json.dumps(found))
"""


@pytest.mark.parametrize("micro_batch", [0, 8])
def test_eight_devices_give_the_losses_of_one(micro_batch):
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("MICRO", str(micro_batch))], env=env, text=True,
        capture_output=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    losses, norm, steps = found.pop("jit-1")
    assert steps == 6 and losses[-1] < losses[0] - 0.1
    for way, (others, other_norm, other_steps) in found.items():
        assert others == pytest.approx(losses, rel=2e-6), way
        assert other_norm == pytest.approx(norm, rel=2e-6) and other_steps == 6, way


def test_a_batch_that_does_not_split_is_refused(config):
    import jax

    from lab import parallel

    with pytest.raises(ValueError, match="8 sequences does not split over 3 devices"):
        parallel.compile_step(config.shape, "mesh", jax.devices() * 3)
