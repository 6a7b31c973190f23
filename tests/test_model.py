"""What the Transformer computes, whatever its settings."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import model
from lab.config import ModelConfig
from lab.parameterization import MUP, STANDARD

SETTINGS = [
    {"norm": norm, "position": position, "activation": activation, "tied": tied}
    for norm, position, activation, tied in itertools.product(
        ["rmsnorm", "layernorm"], ["rope", "learned"], ["gelu", "swiglu"], [False, True]
    )
]


def build(**fields) -> ModelConfig:
    shape = {"d_model": 16, "n_layer": 2, "n_head": 2, "vocab_size": 11, "seq_len": 8}
    return ModelConfig(**(shape | fields))


def noisy(cfg, seed=0):
    """Parameters with no zeros among them, so that every path of the model carries something."""
    params = model.init(cfg, jax.random.key(seed))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), params)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_no_position_sees_what_comes_after_it_and_every_one_sees_what_came(settings):
    cfg = build(**settings)
    params, tokens = noisy(cfg), jnp.arange(8)[None] % 11
    run = jax.jit(lambda tokens: model.apply(cfg, params, tokens))
    before, after = run(tokens), run(tokens.at[0, 4].set(9))
    np.testing.assert_array_equal(before[0, :4], after[0, :4])
    assert (jnp.abs(before - after)[0, 4:].max(axis=-1) > 1e-6).all()
    assert before.shape == (1, 8, 11) and before.dtype == jnp.float32


@pytest.mark.parametrize("position", ["rope", "learned"])
def test_order_matters(position):
    cfg = build(position=position)
    params = noisy(cfg)
    one, two = (model.apply(cfg, params, jnp.array([ids])) for ids in ([1, 2, 3, 4], [2, 1, 3, 4]))
    assert jnp.abs(one[0, 3] - two[0, 3]).max() > 1e-4


def test_attention_is_what_a_loop_in_numpy_gives():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 5, 3, 4))
    expected = np.zeros_like(v)
    for b, head, at in itertools.product(range(2), range(3), range(5)):
        scores = [0.7 * q[b, at, head] @ k[b, key, head] for key in range(at + 1)]
        p = np.exp(scores) / np.exp(scores).sum()
        expected[b, at, head] = sum(p[key] * v[b, key, head] for key in range(at + 1))
    found = model.attend(*(jnp.asarray(t, jnp.float32) for t in (q, k, v)), 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rotary_scores_depend_on_distance_alone():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    at = lambda t: model.rotate(jnp.tile(t, (1, 9, 1, 1)))[0, :, 0]  # noqa: E731
    scores = at(q) @ at(k).T
    for distance in range(-8, 9):
        diagonal = jnp.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)


def test_before_training_the_loss_is_near_ln_v():
    cfg = build(d_model=64, vocab_size=256)
    tokens = jax.random.randint(jax.random.key(1), (8, 8), 0, 256)
    logits = model.apply(cfg, model.init(cfg, jax.random.key(0)), tokens)
    nats = jax.nn.logsumexp(logits, -1).mean() - logits.mean()
    assert float(nats) == pytest.approx(np.log(256) + 0.5, abs=0.1)  # logits are unit normal


def test_weights_start_at_the_scale_their_role_says():
    cfg = build(d_model=256, n_head=4, n_layer=2)
    params = model.init(cfg, jax.random.key(0))
    block = params["block_00"]
    assert float(params["embed_VD"].std()) == pytest.approx(256**-0.5, rel=0.05)
    assert float(block["ffn"]["w_up_DF"].std()) == pytest.approx(256**-0.5, rel=0.02)
    assert float(block["attention"]["w_o_HKD"].std()) == pytest.approx(0.5 * 256**-0.5, rel=0.02)
    assert (params["norm"]["gain_D"] == 1).all()


def test_bfloat16_products_are_near_float32_and_weights_stay_float32():
    full, half = build(d_model=64), build(d_model=64, dtype="bfloat16")
    params, tokens = noisy(full), jnp.arange(8)[None] % 11
    weights = jax.tree.leaves(model.init(half, jax.random.key(0)))
    assert {leaf.dtype for leaf in weights} == {jnp.dtype("float32")}
    a, b = model.apply(full, params, tokens), model.apply(half, params, tokens)
    assert 0 < float(jnp.abs(a - b).max()) < 0.05 * float(jnp.abs(a).max())


def test_mup_and_standard_are_the_same_model_at_the_base_width():
    cfg = {"d_model": 64, "n_head": 4}  # K = 16
    standard, mup = build(**cfg), build(**cfg, parameterization="mup")
    params, tokens = noisy(standard), jnp.arange(8)[None] % 11
    np.testing.assert_allclose(
        model.apply(standard, params, tokens), model.apply(mup, params, tokens), rtol=1e-6
    )
    for role in ("embed", "hidden", "readout", "gain"):
        assert STANDARD.rate(role, 64) == MUP.rate(role, 64) == 1
    assert MUP.rate("hidden", 512) == pytest.approx(1 / 8)
