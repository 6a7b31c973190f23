"""Programs for chips that are not here: every family, way and type lowers for them."""

import itertools

import jax
import pytest

from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models.target import Target
from lab.models.tree import FAMILIES
from lab.train import parallel, step

WAYS = ["jit", "mesh", "fsdp", "pmap", "pack"]


def config_of(kind="transformer", **fields) -> RunConfig:
    heads = {"n_head": 2} if kind in ("transformer", "moe", "encoder_decoder") else {"n_head": 1}
    model = {"d_model": 16, "n_layer": 2, "vocab_size": 32, "seq_len": 8} | heads | fields
    return RunConfig(
        model=ModelConfig(kind=kind, **model),
        optim=OptimConfig(learning_rate=0.1),
        data=DataConfig(corpus="none", sha256="0" * 64),
        tokens=8 * model["seq_len"],
        batch_tokens=4 * model["seq_len"],
    )


def lowered(config: RunConfig, way: str, platform: str, **said):
    each, way = (2, "jit") if way == "pack" else (0, way)
    jitted, args = parallel.ahead(config.shape, way, each=each, platform=platform, **said)
    return jitted.trace(*args).lower(lowering_platforms=({"gpu": "cuda"}.get(platform, platform),))


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_lowers_by_every_way_for_chips_that_are_not_here(kind):
    """One type a way, in turns: all pairs of the two are met over the platforms."""
    for i, (way, platform) in enumerate(itertools.product(WAYS, ("tpu", "gpu"))):
        config = config_of(kind, dtype=("float32", "bfloat16")[(i + i // 2) % 2])
        assert "func.func public @main" in lowered(config, way, platform).as_text(), (kind, way, platform)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_program_takes_ahead_is_what_it_takes(way):
    config = config_of()
    each = 2 if way == "pack" else 0
    way = "jit" if each else way
    _, (state, tokens, n) = parallel.ahead(config.shape, way, each=each)
    here = tuple(jax.local_devices()[:1])
    program = parallel.compile_step(config.shape, way, here, each=each)
    real = program.place(step.initial_state(config))
    of = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert of(state) == of(real)
    assert n.shape == () and tokens.size == config.shape.steps_per_dispatch * 4 * 9 * (each or 1)


def test_one_update_alone_has_no_loop():
    text = lowered(config_of(), "jit", "tpu", flat=True).as_text()
    assert "while" not in text and "while" in lowered(config_of(), "jit", "tpu").as_text()


def test_a_platform_that_is_none_is_refused():
    with pytest.raises(ValueError, match="none of cpu, tpu, gpu"):
        Target("abacus")
