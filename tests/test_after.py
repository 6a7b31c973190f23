"""What is done with finished weights: fewer bits, fewer entries, another loss, answers, and laws of these."""

from dataclasses import replace
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import after, distillation
from lab.config import ModelConfig
from lab.data import corpora
from lab.models import tree
from lab.store.store import Store
from lab.train import step
from lab.trained import again, answers, policy, preferences, smaller, weights
from tests.trained import finished, on_sheep

CFG = ModelConfig(d_model=8, n_layer=1, n_head=2, vocab_size=20, seq_len=16)
PARAMS = tree.init(CFG, jax.random.key(0))
TOKENS = jax.random.randint(jax.random.key(1), (4, 17), 0, 20)
NATS = jax.jit(lambda params: step.mean_nats(CFG, params, TOKENS))
MATRICES = [weight for weight in tree.describe(CFG) if weight.role != "gain"]


def leaves(params) -> list[np.ndarray]:
    pairs = zip(tree.describe(CFG), jax.tree.leaves(params), strict=True)
    return [np.asarray(leaf) for weight, leaf in pairs if weight.role != "gain"]


def test_sixteen_bits_change_nothing_and_each_bit_less_doubles_the_error():
    assert float(NATS(smaller.quantised(CFG, PARAMS, 16))) == pytest.approx(float(NATS(PARAMS)), rel=1e-5)
    off = [
        np.sqrt(np.mean([np.square(a - b).mean() for a, b in zip(leaves(PARAMS), leaves(less), strict=True)]))
        for less in (smaller.quantised(CFG, PARAMS, bits) for bits in (8, 7, 6))
    ]
    assert [off[1] / off[0], off[2] / off[1]] == pytest.approx([2, 2], rel=0.15)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_a_channel_has_its_own_levels_and_no_weight_moves_by_more_than_half_of_one(bits):
    for weight, old, new in zip(
        MATRICES, leaves(PARAMS), leaves(smaller.quantised(CFG, PARAMS, bits)), strict=True
    ):
        axes = smaller.inputs(CFG, weight)
        unit = np.abs(old).max(axes, keepdims=True) / (2 ** (bits - 1) - 1)
        levels = new / unit
        assert (
            np.abs(levels - np.round(levels)).max() < 1e-4
            and np.abs(new - old).max() <= unit.max() / 2 + 1e-6
        )
        assert np.prod([old.shape[axis] for axis in axes]) in (8, CFG.ffn_width)  # inputs of a product, or D


def test_pruning_takes_the_smallest_and_exactly_so_many():
    for old, new in zip(leaves(PARAMS), leaves(smaller.pruned(CFG, PARAMS, 0.3)), strict=True):
        assert (new == 0).sum() == round(0.3 * old.size)
        assert np.abs(old[new == 0]).max() <= np.abs(old[new != 0]).min()
        assert (new[new != 0] == old[new != 0]).all()
    jax.tree.map(np.testing.assert_array_equal, smaller.pruned(CFG, PARAMS, 0.0), PARAMS)


def test_rounding_lets_the_gradient_at_the_rounded_weights_through():
    make = lambda params: smaller.quantised(CFG, params, 3)  # noqa: E731
    through = jax.jit(jax.grad(lambda params: NATS(smaller.straight_through(make, params))))(PARAMS)
    there = jax.jit(jax.grad(NATS))(make(PARAMS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), through, there)


def test_training_again_with_its_own_loss_ends_where_the_run_did(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    config = replace(on_sheep(tmp_path, d_model=8), tokens=40 * 256)
    store = Store(tmp_path / "runs")
    finished(store, config)
    run, cfg = weights.read(store, config.run_id), config.model
    corpus = corpora.open_corpus(config.data.corpus)
    for loss in (
        lambda params, tokens: step.mean_nats(cfg, params, tokens),
        again.from_teacher(cfg, cfg, run.params, share=0.0),
    ):
        made = again.train(config, corpus, loss)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), made, run.params)


def test_a_teacher_s_own_student_has_nothing_left_to_learn():
    grads = jax.jit(jax.grad(again.from_teacher(CFG, CFG, PARAMS, temperature=2.0)))(PARAMS, TOKENS)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grads)) < 1e-6


def test_answers_are_scored_by_token_and_whole():
    sentences, asked = np.asarray(TOKENS), np.arange(17) >= 14
    found = answers.answers(CFG, PARAMS, sentences, asked)
    nats = np.asarray(tree.nats(CFG, PARAMS, TOKENS))
    assert found.nats == pytest.approx(nats[:, 13:].mean(), rel=1e-5)
    np.testing.assert_allclose(found.nats_L[1:], nats.mean(0), rtol=1e-5)
    likeliest = np.asarray(tree.apply(CFG, PARAMS, TOKENS[:, :-1]).argmax(-1))
    told = np.concatenate([sentences[:, :-1], likeliest[:, -1:]], 1)  # its last token is the likeliest
    assert answers.answers(CFG, PARAMS, told, np.arange(17) == 16).exact == 1
    told[0, -1] += 1
    half = answers.answers(CFG, PARAMS, told, np.arange(17) >= 15)
    assert half.exact <= 0.75 and half.exact <= half.accuracy < 1
    with pytest.raises(ValueError, match="places"):
        answers.answers(CFG, PARAMS, sentences, np.arange(17) == 0)


def test_a_planted_law_of_excess_comes_back():
    N, D, bits = (grid.ravel() for grid in np.meshgrid([1e3, 4e3, 2e4], [1e5, 1e6], [4.0, 5.0, 6.0]))
    nats = (
        3
        * 2.0 ** (-2 * bits)
        * N**-0.3
        * D**0.5
        * np.exp(0.01 * np.random.default_rng(0).standard_normal(18))
    )
    excess = after.Excess(np.array(["bits"] * 18), bits, N, D, 0 * N, nats, nats / 2, 0.01)
    found = after.law(excess, excess.select("bits", 4, 6), -bits * np.log(2))
    for (value, low, high), true in zip(
        (found.slope, found.of_params, found.of_tokens), (2, -0.3, 0.5), strict=True
    ):
        assert value == pytest.approx(true, abs=0.03) and low < value < high


def test_a_loss_is_worth_the_tokens_that_a_power_law_says():
    tokens = np.array([1e5, 1e6, 1e7])
    for at in (3e4, 2e5, 5e6, 4e7):
        assert distillation.text_worth(tokens, 9 * tokens**-0.1, 9 * at**-0.1) == pytest.approx(at)


def test_the_best_of_n_is_the_mean_over_every_draw():
    rng = np.random.default_rng(0)
    proxy, value = rng.standard_normal((2, 7))
    for n in (1, 2, 4, 7):
        best = [value[max(draw, key=lambda i: proxy[i])] for draw in combinations(range(7), n)]
        assert preferences.best_of(n, proxy, value) == pytest.approx(np.mean(best))
    with pytest.raises(ValueError, match="n=8: the best of 1 to 7"):
        preferences.best_of(8, proxy, value)


def test_the_divergence_of_the_best_of_n_is_that_of_its_density():
    """The best of n has density n u^(n-1) over the policy's, u being the share of texts that are worse."""
    u = (np.arange(200_000) + 0.5) / 200_000
    for n in (1, 2, 5, 64):
        density = n * u ** (n - 1)
        nats = np.mean(density * np.log(np.maximum(density, 1e-300)))
        assert preferences.divergence(n) == pytest.approx(nats, abs=1e-4)


def test_a_reward_is_learned_from_comparisons_of_texts_of_the_policy():
    prompts = np.arange(256)[:, None] % 20
    texts = np.asarray(preferences.samples(CFG, PARAMS, prompts, 7, jax.random.key(0)))
    assert texts.shape == (256, 8) and (texts[:, :1] == prompts).all()
    assert 0 <= texts.min() <= texts.max() < 20
    assert (texts == np.asarray(preferences.samples(CFG, PARAMS, prompts, 7, jax.random.key(0)))).all()
    gold = (texts == 3).sum(1) + (texts == 4).sum(1)
    first = (gold[::2] >= gold[1::2])[:, None]
    better, worse = np.where(first, texts[::2], texts[1::2]), np.where(first, texts[1::2], texts[::2])
    made = preferences.learn(CFG, better, worse, 150, 0.03)
    score = np.asarray(preferences.reward(CFG, made, texts))
    assert np.corrcoef(score, gold)[0, 1] > 0.5


def test_a_policy_takes_to_what_a_proxy_rewards_and_leaves_its_beginning_by_less_where_that_costs():
    cfg = replace(CFG, seq_len=6)
    likes = tree.init(cfg, jax.random.key(2))
    prompts = np.arange(64)[:, None] % 20
    rest = jnp.float32(0), jnp.float32(0.1)  # mean and deviation of the reward
    tasks = [policy.Task(PARAMS, likes, *rest, jnp.float32(penalty)) for penalty in (0, 2)]
    key = jax.random.key(0)
    each = [policy.reinforce(cfg, cfg, task, prompts, 30, 64, 0.02, key) for task in tasks]
    course = policy.Course(*(np.stack(parts) for parts in zip(*each, strict=True)))
    assert course.texts_UBL.shape == (2, 30, 64, 6) and (course.divergence_U[:, 0] == 0).all()
    rise = course.proxy_UB[:, -5:].mean((1, 2)) - course.proxy_UB[:, :1].mean((1, 2))
    assert rise[0] > max(1, rise[1]) and course.divergence_U[0, -1] > 2 * course.divergence_U[1, -1] > 0
