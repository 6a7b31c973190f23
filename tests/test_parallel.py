"""One device equals eight: the same losses by jit, mesh, fsdp and pmap, on forced host devices.

Plain SGD without clipping, since Adam and clipping both hide a gradient that is 8 times too large.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SETUP = """
import json, sys, jax, jax.numpy as jnp, numpy as np
from lab.train import layout, parallel, step
from lab.config import *
from lab.models.target import Target
def config_of(micro_batch=0, **optim):
    return RunConfig(
        model=ModelConfig(d_model=16, n_layer=2, n_head=4, vocab_size=32, seq_len=16),
        optim=OptimConfig(learning_rate=0.5, warmup_steps=1, **optim), micro_batch=micro_batch,
        data=DataConfig(sha256="0" * 64, corpus="random"), tokens=256 * 6, batch_tokens=256,
    )
def placed(config, way, devices, tensor=1, on=None):
    hyper = step.hyper_of(config)
    compiled = parallel.compile_step(config.shape, way, tuple(devices), on, tensor)
    return compiled, compiled.place(step.init_state(config.shape, jax.random.key(0), hyper))
tokens = np.random.default_rng(0).integers(0, 32, (6, 16, 17), np.int32)
def trained(config, way, devices, tensor=1, on=None):
    compiled, state = placed(config, way, devices, tensor, on)
    return told(compiled, *compiled.step(state, tokens[None], np.int32(6)))
def told(compiled, state, metrics):
    state = compiled.fetch(state)
    norm = float(jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(state.params))))
    return [np.asarray(metrics["loss"]).tolist(), norm, int(state.step)]
"""
LOSSES = """
config = config_of(MICRO, optimizer="sgd", clip=0.0)
ways = [("jit", 1), ("mesh", 8), ("fsdp", 8), ("pmap", 8), *[("fsdp", 2), ("pmap", 4)][: 0 if MICRO else 2]]
found = {f"{way}-{n}": trained(config, way, jax.devices()[:n]) for way, n in ways}
for tensor in (2,) if MICRO else (2, 4):
    found[f"fsdp-8-{tensor}"] = trained(config, "fsdp", jax.devices(), tensor)
if MICRO:  # layers in a stack, as they lie on other devices than CPUs
    found["stack"] = trained(config, "fsdp", jax.devices(), 2, Target("gpu"))
print(json.dumps(found))
"""
BYTES = """
from jax.sharding import Mesh, NamedSharding, PartitionSpec
split = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec(None, "data"))
tokens = jax.device_put(tokens, split)
held = {}
for way in ("mesh", "fsdp"):
    compiled, state = placed(config_of(), way, jax.devices())
    held[way] = [
        sum(shard.data.nbytes for leaf in jax.tree.leaves(state)
            for shard in leaf.addressable_shards if shard.device == device)
        for device in jax.devices()
    ]
program = compiled.jitted.lower(state, tokens, np.int32(2)).compile()
state, _ = program(state, tokens, np.int32(2))
held["after"] = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
told = program.memory_analysis()
held["told"] = told and told.argument_size_in_bytes - tokens.nbytes // 8
print(json.dumps(held))
"""
HOST = """
import pathlib, time
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), local_device_ids=range(2))
config, devices = config_of(optimizer="sgd", clip=0.0), parallel.devices(2, 2)
found = {}
for way in ("mesh", "fsdp"):
    compiled, state = placed(config, way, devices)
    split = jax.sharding.NamedSharding(state.step.sharding.mesh, jax.P(None, "data"))
    parts = layout.own_part(split, tokens)
    program = compiled.jitted.lower(state, parts, np.int32(6)).compile()
    here = pathlib.Path(sys.argv[3])  # both have compiled: Gloo waits 30 s for the other, no more
    (here / f"{way}-{sys.argv[2]}").touch()
    while len(list(here.glob(f"{way}-*"))) < 2:
        time.sleep(0.05)
    found[way] = told(compiled, *program(state, parts, np.int32(6)))
print(json.dumps(found))
"""


def start(code: str, devices: int, *arguments: str) -> subprocess.Popen:
    env = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + code, *arguments],
        env=env | {"JAX_PLATFORMS": "cpu"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


def said(process: subprocess.Popen) -> dict:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-3000:]
    return json.loads(out.splitlines()[-1])


def check_equal(found, one):
    losses, norm, steps = one
    assert steps == 6 and losses[-1] < losses[0] - 0.1
    for way, (others, other_norm, other_steps) in found.items():
        assert others == pytest.approx(losses, rel=1e-6), way
        assert other_norm == pytest.approx(norm, rel=1e-6) and other_steps == 6, way


@pytest.mark.parametrize("micro_batch", [pytest.param(0, marks=pytest.mark.long), 8])
def test_eight_devices_give_the_losses_of_one(micro_batch):
    found = said(start(LOSSES.replace("MICRO", str(micro_batch)), 8))
    check_equal(found, found.pop("jit-1"))


def test_two_hosts_of_two_devices_give_the_losses_of_one(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = [start(HOST, 2, place, str(number), str(tmp_path)) for number in range(2)]
    first, second = [said(host) for host in hosts]
    assert first == second
    one = 'print(json.dumps(trained(config_of(optimizer="sgd", clip=0.0), "jit", jax.devices())))'
    check_equal(first, said(start(one, 1)))


def test_under_fsdp_a_device_keeps_its_part_of_weights_and_optimiser_state():
    held = said(start(BYTES, 8))
    from lab.config import ModelConfig
    from lab.models import tree

    shape = ModelConfig(d_model=16, n_layer=2, n_head=4, vocab_size=32, seq_len=16)
    weights = tree.describe(shape)
    gains = sum(weight.size for weight in weights if weight.role == "gain")
    rest = sum(weight.size for weight in weights) - gains
    scalars = 4 * 8  # two counts of updates and six rates
    whole, part = 3 * 4 * (rest + gains) + scalars, 3 * 4 * (rest // 8 + gains) + scalars
    assert held["mesh"] == [whole] * 8
    assert held["fsdp"] == [part] * 8  # weight, and both moments of Adam, in float32
    assert held["after"] == part  # an update leaves it so
    if held["told"]:  # what the compiler says it needs
        assert held["told"] == pytest.approx(part, abs=16)


@pytest.mark.parametrize(
    ("role", "shape", "expected"),
    [
        ("hidden", (16, 64), (None, "data")),
        ("hidden", (64, 2, 32), ("data",)),
        ("embed", (257, 64), (None, "data")),  # the larger axis does not divide by 8
        ("hidden", (64, 64), (None, "data")),
        ("hidden", (6, 9), ()),
        ("gain", (64,), ()),
    ],
)
def test_the_largest_axis_that_divides_is_cut(role, shape, expected):
    from lab.models.weight import Weight
    from lab.train import layout

    assert tuple(layout.shard_of(Weight((), shape, role, 0.0, 1.0), 8)) == expected


def test_a_second_axis_cuts_the_axis_that_a_weight_declares():
    from lab.models.weight import Weight
    from lab.train import layout

    def cut(shape, axis, n, tensor):
        return tuple(layout.shard_of(Weight((), shape, "hidden", 0.0, 1.0, tensor=axis), n, tensor))

    assert cut((64, 4, 16), 1, 4, 2) == ("data", "tensor")
    assert cut((64, 4, 16), 1, 4, 1) == ("data",)
    assert cut((64, 3, 16), 1, 4, 2) == ("data",)  # three heads do not split over two
    assert cut((64, 256), 1, 4, 2) == ("data", "tensor")
    assert cut((64, 256), None, 4, 2) == (None, "data")


def test_a_batch_that_does_not_split_is_refused(config):
    import jax

    from lab.train import parallel

    with pytest.raises(ValueError, match="8 sequences does not split over 3 devices"):
        parallel.compile_step(config.shape, "mesh", tuple(jax.devices() * 3))
