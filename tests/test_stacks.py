"""Layers kept as one stack while they are trained off CPU: the same numbers, plain for all who read."""

import jax
import numpy as np
import pytest

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models import stacks, tree
from lab.models.target import Target
from lab.train import layout, parallel, step
from lab.train.checkpoint import Checkpoints

CPU, GPU = Target("cpu"), Target("gpu")  # the second as the CPU that is here runs it
HERE = tuple(jax.local_devices()[:1])
HEADS = {"n_head": 2}


def config_of(kind="transformer", n_layer=2, optim=None, **model) -> RunConfig:
    return RunConfig(
        model=ModelConfig(
            **{"kind": kind, "d_model": 16, "n_layer": n_layer, "vocab_size": 32, "seq_len": 8} | model
        ),
        optim=OptimConfig(**{"learning_rate": 0.1, "warmup_steps": 1} | (optim or {})),
        data=DataConfig(corpus="none", sha256="0" * 64),
        tokens=8 * 32,
        batch_tokens=32,
    )


def batches(config: RunConfig) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 32, (1, *config.shape.dispatch), np.int32)


def trained(config: RunConfig, on: Target, n: int = 3):
    program = parallel.compile_step(config.shape, "jit", HERE, on)
    state = program.place(step.initial_state(config))
    state, metrics = program.step(state, batches(config), np.int32(n))
    return program, state, np.asarray(metrics["loss"])[:n]


@pytest.mark.parametrize(("optimizer", "optim"), [("sgd", {"clip": 0.0}), ("adamw", {"ema": 0.9})])
def test_updates_of_a_stack_are_those_of_its_layers(optimizer, optim):
    config = config_of(optim={"optimizer": optimizer} | optim, **HEADS)
    _, plain, losses = trained(config, CPU)
    program, state, others = trained(config, GPU)
    assert set(state.params) > set(stacks.groups(config.model))
    np.testing.assert_allclose(others, losses, rtol=1e-6 if optimizer == "sgd" else 1e-4)
    back = program.fetch(state)
    assert jax.tree.structure(back) == jax.tree.structure(plain)
    for one, other in zip(jax.tree.leaves(plain.params), jax.tree.leaves(back.params), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6 if optimizer == "sgd" else 2e-3)
    tokens = batches(config)[0, 0]
    mask = np.ones((len(tokens), config.model.seq_len), np.float32)
    whole = step.eval_step(config.model, back.params, tokens, mask, on=CPU)
    np.testing.assert_allclose(program.score(state.params, tokens, mask), whole, rtol=1e-5)


@pytest.mark.parametrize("kind", tree.FAMILIES)
def test_a_state_is_what_it_was_after_it_was_stacked(kind):
    config = config_of(kind, optim={"ema": 0.9}, n_head=1)
    state = step.initial_state(config)
    stacked = stacks.stack(config.model, state)
    assert len(jax.tree.leaves(stacked)) < len(jax.tree.leaves(state))
    back = stacks.unstack(config.model, stacked)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(state)))
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert form(layout.like(config.shape, stacked=True)) == form(stacked)


def test_what_was_saved_of_a_stack_is_resumed_layer_by_layer_and_the_other_way_round(tmp_path):
    config = config_of(optim={"optimizer": "sgd", "clip": 0.0}, **HEADS)
    for on, other, folder in ((GPU, CPU, "of-stack"), (CPU, GPU, "of-layers")):
        program, state, losses = trained(config, on, n=2)
        saved = Checkpoints(tmp_path / folder, claimed=True)
        saved.save(2, program.fetch(state))
        saved.wait()
        start = saved.restore(layout.like(config.shape))
        saved.close()
        rest = parallel.compile_step(config.shape, "jit", HERE, other)
        _, metrics = rest.step(rest.place(start.state), batches(config)[:, 2:], np.int32(1))
        whole = trained(config, on)[2]
        np.testing.assert_allclose([*losses, np.asarray(metrics["loss"])[0]], whole, rtol=1e-6)


def test_what_lies_in_a_stack_is_known_by_its_place():
    found = jax.tree_util.tree_map_with_path(
        lambda path, leaf: stacks.holds(path), {"block_*": {"w": 0}, "norm": {"gain": 0}, "own": {7: 0}}
    )
    assert found == {"block_*": {"w": True}, "norm": {"gain": False}, "own": {7: False}}


@pytest.mark.parametrize("way", ["jit", "mesh", "fsdp"])
def test_a_program_does_not_grow_with_its_layers(way):
    def text(n_layer: int) -> str:
        jitted, args = parallel.ahead(config_of(n_layer=n_layer, **HEADS).shape, way, platform="tpu")
        return jitted.trace(*args).lower(lowering_platforms=("tpu",)).as_text()

    assert len(text(3)) == pytest.approx(len(text(9)), rel=0.002)


@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_what_looks_at_whole_matrices_gets_each_by_itself(optimizer):
    config = config_of(optim={"optimizer": optimizer}, **HEADS)
    assert not layout.is_stacked(config.shape, GPU) and layout.is_stacked(config_of(**HEADS).shape, GPU)
    _, (state, *_) = parallel.ahead(config.shape, "mesh", platform="tpu")
    assert not set(state.params) & set(stacks.groups(config.model))
