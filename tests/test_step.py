"""The training step: one update is right, and how updates are dispatched changes nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.config import ModelConfig, OptimConfig, Shape
from lab.data import batches
from lab.data.corpora import prepare
from lab.models import counts
from lab.models.parameterization import MUP
from lab.train import optimizers, step
from tests.conftest import change


def start(config):
    hyper = step.hyper_of(config)
    init = jax.jit(lambda key, hyper: step.init_state(config.shape, key, hyper))
    return init(jax.random.key(config.seed), hyper)


def some_tokens(config, steps):
    corpus = prepare(config.data.corpus, quiet=True)
    L = config.model.seq_len
    return batches.batches(corpus.train, config.data_seed, 0, steps, config.batch_size, L)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_one_update_is_the_library_optimiser_s(config, optimizer):
    config = change(config, optim__optimizer=optimizer, optim__warmup_steps=1)
    state, tokens = start(config), some_tokens(config, 1)[0]
    found, metrics = jax.jit(lambda s, t: step.train_step(config.shape, s, t))(state, tokens)
    o = config.optim
    decayed = optimizers.by_role(config.model, state.params, lambda r: r in ("hidden", "readout"))
    base = optax.scale_by_adam(o.beta1, o.beta2, o.eps) if optimizer == "adamw" else optax.identity()
    reference = optax.chain(
        optax.clip_by_global_norm(o.clip),
        base,
        optax.add_decayed_weights(o.weight_decay, mask=decayed),
        optax.scale_by_learning_rate(o.learning_rate),
    )

    @jax.jit
    def by_the_library(params):
        loss, grads = step.loss_and_grads(config.shape, params, tokens)
        updates, _ = reference.update(grads, reference.init(params), params)
        return loss, optax.apply_updates(params, updates)

    loss, expected = by_the_library(state.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), found.params, expected)
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-6)
    assert float(loss) == pytest.approx(np.log(8) + 0.5, abs=0.4)


def test_how_many_updates_share_a_dispatch_does_not_change_a_bit(config):
    tokens = some_tokens(config, 6)
    many = jax.jit(lambda s, t, n: step.train_steps(config.shape, s, t, n))
    at_once, losses = many(start(config), tokens, 6)
    one_by_one, seen = start(config), []
    for i in range(6):
        one_by_one, metrics = many(one_by_one, np.roll(tokens, -i, axis=0), 1)
        seen.append(metrics["loss"][0])
    same(at_once, one_by_one)
    same(losses["loss"], jnp.stack(seen))
    assert int(at_once.step) == 6


def test_micro_batches_give_the_whole_batch_s_gradient(config):
    whole, parts = config.shape, change(config, micro_batch=2).shape
    state, tokens = start(config), some_tokens(config, 1)[0]
    a, b = (
        jax.jit(lambda p, shape=shape: step.loss_and_grads(shape, p, tokens))(state.params)
        for shape in (whole, parts)
    )
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7), a, b)


def test_rate_and_decay_are_arrays_and_need_no_new_program(config):
    tokens = some_tokens(config, 2)
    compiled = jax.jit(lambda s, t, n: step.train_steps(config.shape, s, t, n))
    for rate, decay, seed in ((0.01, 0.1, 0), (0.02, 0.0, 1)):
        other = change(config, optim__learning_rate=rate, optim__weight_decay=decay, seed=seed)
        assert other.shape == config.shape
        compiled(start(other), tokens, 2)
    assert compiled._cache_size() == 1


def test_evaluation_counts_each_masked_target_once(config):
    state, tokens = start(config), some_tokens(config, 1)[0]
    mask = np.zeros((8, 16), np.float32)
    mask[:, 3:5] = 1
    nats = step.eval_step(config.model, state.params, tokens, mask)
    other = tokens.copy()
    other[:, 6:] = 0  # after the counted targets: changes nothing
    np.testing.assert_array_equal(nats, step.eval_step(config.model, state.params, other, mask))
    whole = step.eval_step(config.model, state.params, tokens, np.ones((8, 16), np.float32))
    mean = step.mean_nats(config.model, state.params, tokens)
    assert float(whole.sum() / 128) == pytest.approx(float(mean), rel=1e-5)


def test_under_mup_each_role_moves_at_the_rate_of_its_optimiser(config):
    config = change(config, model__parameterization="mup", model__d_model=128, micro_batch=0)
    config = change(
        config, optim__optimizer="sgd", optim__clip=0.0, optim__weight_decay=0.0, optim__warmup_steps=1
    )
    state, tokens = start(config), some_tokens(config, 1)[0]
    _, grads = step.loss_and_grads(config.shape, state.params, tokens)
    after, _ = step.train_step(config.shape, state, tokens)
    rates = optimizers.by_role(config.model, grads, lambda role: MUP.rate(role, 128, "sgd"))
    assert len(set(jax.tree.leaves(rates))) > 1

    def moved(p, g, rate):
        return p - config.optim.learning_rate * rate * g

    expected = jax.tree.map(moved, state.params, grads, rates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.params, expected)


def test_a_run_begins_with_the_same_bits_however_its_state_was_made(config):
    same(step.initial_state(config), start(config))


@given(st.integers(1, 96), st.integers(1, 4096), st.integers(1, 64), st.sampled_from([1, 2, 8]))
def test_the_micro_batch_left_to_us_divides_the_batch(batch, seq_len, width, n_device):
    model = ModelConfig(d_model=width, n_layer=1, n_head=1, vocab_size=8, seq_len=seq_len, position="learned")
    shape = Shape(model, OptimConfig(learning_rate=1.0), n_device * batch, 0, 1)
    found = step.micro_batch(shape, n_device)
    assert shape.batch_size % found == 0 and found % n_device == 0
    assert step.micro_batch(replace(shape, micro_batch=batch), n_device) == batch  # as asked


def test_a_step_holds_little_more_than_its_state_two_gradients_and_one_micro_batch():
    """By the compiler's count. Activations a token of a block: what each product takes and gives,
    GELU's tanh, and the attention's weights; of the end, logits and their exponentials."""
    L, D, V, heads, layers = 128, 64, 256, 2, 2
    model = ModelConfig(
        d_model=D,
        n_layer=layers,
        n_head=heads,
        vocab_size=V,
        seq_len=L,
        norm="layernorm",
        position="learned",
        activation="gelu",
    )
    shape = Shape(model, OptimConfig(learning_rate=1.0), 32, 0, 4)
    shape = replace(shape, micro_batch=step.micro_batch(shape))
    hyper = dict.fromkeys(("learning_rate", "weight_decay", "warmup", "horizon", "cooldown"), 0.0)
    hyper = {name: jnp.float32(value) for name, value in (hyper | {"final": 0.0}).items()}
    state = jax.eval_shape(lambda key: step.init_state(shape, key, hyper), jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((4, 32, L + 1), jnp.int32)
    train = jax.jit(lambda *a: step.train_steps(shape, *a), donate_argnums=0)
    found = train.lower(state, tokens, np.int32(4)).compile().memory_analysis()
    weights = counts.count_params(model).total
    a_token = layers * (8 * D + 3 * 4 * D + heads * L) + 2 * V
    needed = 4 * (5 * weights + shape.micro_batch * L * a_token) + 4 * 4 * 32 * (L + 1)
    assert found.argument_size_in_bytes + found.temp_size_in_bytes < 1.2 * needed
