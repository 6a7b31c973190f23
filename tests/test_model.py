"""What the Transformer computes, whatever its settings."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lab.config import ModelConfig
from lab.data.batches import shift
from lab.models import attention, ops, transformer, tree
from lab.models.target import Target

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
    params = tree.init(cfg, jax.random.key(seed))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), params)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
def test_no_position_sees_what_comes_after_it_and_every_one_sees_what_came(settings):
    cfg = build(**settings)
    params, tokens = noisy(cfg), jnp.arange(8)[None] % 11
    run = jax.jit(lambda tokens: tree.apply(cfg, params, tokens))
    before, after = run(tokens), run(tokens.at[0, 4].set(9))
    np.testing.assert_array_equal(before[0, :4], after[0, :4])
    assert (jnp.abs(before - after)[0, 4:].max(axis=-1) > 1e-6).all()
    assert before.shape == (1, 8, 11) and before.dtype == jnp.float32


@pytest.mark.parametrize("position", ["rope", "learned"])
def test_order_matters(position):
    cfg = build(position=position)
    params = noisy(cfg)
    one, two = (tree.apply(cfg, params, jnp.array([ids])) for ids in ([1, 2, 3, 4], [2, 1, 3, 4]))
    assert jnp.abs(one[0, 3] - two[0, 3]).max() > 1e-4


def test_attention_is_what_a_loop_in_numpy_gives():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 5, 3, 4))
    expected = np.zeros_like(v)
    for b, head, at in itertools.product(range(2), range(3), range(5)):
        scores = [0.7 * q[b, at, head] @ k[b, key, head] for key in range(at + 1)]
        p = np.exp(scores) / np.exp(scores).sum()
        expected[b, at, head] = sum(p[key] * v[b, key, head] for key in range(at + 1))
    found = attention.attend(*(jnp.asarray(t, jnp.float32) for t in (q, k, v)), 0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_rotary_scores_depend_on_distance_alone(platform):
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    at = lambda t: transformer.rotate(jnp.tile(t, (1, 9, 1, 1)), Target(platform))[0, :, 0]  # noqa: E731
    scores = at(q) @ at(k).T
    for distance in range(-8, 9):
        diagonal = jnp.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)


@pytest.mark.parametrize("dtype, error", [("float32", 1e-6), ("bfloat16", 0.02)])
def test_rotary_positions_of_a_tpu_are_those_of_others(dtype, error):
    x, weight = jax.random.normal(jax.random.key(0), (2, 2, 9, 3, 8))
    loss = lambda x, platform: (transformer.rotate(x, Target(platform, dtype)) * weight).sum()  # noqa: E731
    ours, others = (transformer.rotate(x, Target(platform, dtype)) for platform in ("tpu", "cpu"))
    np.testing.assert_allclose(ours, others, atol=error)
    np.testing.assert_allclose(jax.grad(loss)(x, "tpu"), jax.grad(loss)(x, "cpu"), atol=error)


def test_before_training_the_loss_is_near_ln_v():
    cfg = build(d_model=64, vocab_size=256)
    tokens = jax.random.randint(jax.random.key(1), (8, 8), 0, 256)
    logits = tree.apply(cfg, tree.init(cfg, jax.random.key(0)), tokens)
    nats = jax.nn.logsumexp(logits, -1).mean() - logits.mean()
    assert float(nats) == pytest.approx(np.log(256) + 0.5, abs=0.1)  # logits are unit normal


def test_weights_start_at_the_scale_their_role_says():
    cfg = build(d_model=256, n_head=4, n_layer=2)
    params = tree.init(cfg, jax.random.key(0))
    block = params["block_00"]
    assert float(params["embed_VD"].std()) == pytest.approx(256**-0.5, rel=0.05)
    assert float(block["ffn"]["w_up_DF"].std()) == pytest.approx(256**-0.5, rel=0.02)
    assert float(block["attention"]["w_o_HKD"].std()) == pytest.approx(0.5 * 256**-0.5, rel=0.02)
    assert (params["norm"]["gain_D"] == 1).all()


def test_bfloat16_products_are_near_float32_and_weights_stay_float32():
    full, half = build(d_model=64), build(d_model=64, dtype="bfloat16")
    params, tokens = noisy(full), jnp.arange(8)[None] % 11
    weights = jax.tree.leaves(tree.init(half, jax.random.key(0)))
    assert {leaf.dtype for leaf in weights} == {jnp.dtype("float32")}
    a, b = tree.apply(full, params, tokens), tree.apply(half, params, tokens)
    assert 0 < float(jnp.abs(a - b).max()) < 0.05 * float(jnp.abs(a).max())


def test_mup_and_standard_are_the_same_model_at_the_base_width():
    cfg = {"d_model": 64, "n_head": 4}  # K = 16
    standard, mup = build(**cfg), build(**cfg, parameterization="mup")
    params, tokens = noisy(standard), jnp.arange(8)[None] % 11
    np.testing.assert_allclose(
        tree.apply(standard, params, tokens), tree.apply(mup, params, tokens), rtol=1e-6
    )
    for a, b in zip(tree.describe(standard), tree.describe(mup), strict=True):
        assert a == b, "initial scales too"


@pytest.mark.parametrize("length", [6, 300])  # the whole square, and three blocks of a head's rows
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_written_for_a_cpu_has_the_gradient_that_jax_derives(dtype, length):
    """The oracle is jax's own attention; its bfloat16 differs by rounding alone."""
    q, k, v, g = jax.random.normal(jax.random.key(0), (4, 2, length, 3, 4))

    def of_jax(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, scale=0.7, is_causal=True)

    ours, back = jax.vjp(lambda *t: attention.attend(*t, 0.7, dtype), q, k, v)
    theirs, expected = jax.vjp(of_jax, q, k, v)
    near = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(ours, theirs, atol=near)
    for found, wanted in zip(back(g), expected(g), strict=True):
        np.testing.assert_allclose(found, wanted, atol=near)


@pytest.mark.parametrize(("D", "F"), [(3, 7), (7, 3)])
def test_a_product_written_for_a_cpu_has_the_gradient_that_jax_derives(D, F):
    x, w = (jax.random.normal(jax.random.key(0), (2, 5, D)), jax.random.normal(jax.random.key(1), (D, F)))
    ours, back = jax.vjp(lambda x, w: ops.matmul(x, w, "float32"), x, w)
    theirs, expected = jax.vjp(jnp.matmul, x, w)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for found, wanted in zip(back(theirs), expected(theirs), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 4, 5, 10, 100])
def test_cross_entropy_in_parts_is_cross_entropy(monkeypatch, rows):
    """However few logits are held at once, up to a part for each token."""
    V, targets = 11, jnp.array([[0, 3, 10, 3, 7], [1, 1, 2, 9, 0]])
    x, w = (jax.random.normal(jax.random.key(0), (2, 5, 4)), jax.random.normal(jax.random.key(1), (4, V)))
    monkeypatch.setattr(ops, "WIDE", rows * V)

    def of_optax(x, w):
        return optax.softmax_cross_entropy_with_integer_labels(x @ w, targets)

    ours, back = jax.vjp(lambda x, w: ops.cross_entropy(x, w, targets, "float32"), x, w)
    theirs, expected = jax.vjp(of_optax, x, w)
    g = jax.random.normal(jax.random.key(2), targets.shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for found, wanted in zip(back(g), expected(g), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_loss_that_is_no_number_stays_none_in_its_gradient():
    cfg = build(norm="layernorm", position="learned", activation="gelu")
    tokens = jnp.arange(9)[None] % 11
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, noisy(cfg))
    grads = jax.grad(lambda p: tree.nats(cfg, p, tokens).mean())(broken)
    assert all(jnp.isnan(leaf).any() for leaf in jax.tree.leaves(grads))


def test_blocks_made_again_for_the_gradient_give_the_same_gradient():
    cfg, tokens = build(), jnp.arange(9)[None] % 11
    params = noisy(cfg)

    def grad(cfg):
        return jax.grad(lambda p: tree.nats(cfg, p, tokens).mean())

    again = replace(cfg, remat=True)
    assert "remat" in str(jax.make_jaxpr(grad(again))(params))
    for found, wanted in zip(*(jax.tree.leaves(grad(c)(params)) for c in (again, cfg)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("settings", [SETTINGS[0], SETTINGS[-1]])
def test_a_cpu_s_form_of_the_model_and_an_accelerator_s_are_one_model(settings):
    cfg = build(**settings)
    params, tokens = noisy(cfg), jnp.arange(18).reshape(2, 9) % 11

    def found(platform):
        on = Target(platform)
        return jax.value_and_grad(lambda p: tree.losses(cfg, p, *shift(tokens), on)[0].mean())(params)

    (loss, grads), (other, others) = found("cpu"), found("gpu")
    assert float(loss) == pytest.approx(float(other), rel=1e-6)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
