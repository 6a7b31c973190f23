"""The gradient noise scale: what is planted in gradients comes back, and a model's own is what its
gradients say one at a time."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from lab.config import ModelConfig
from lab.data import batches, corpora
from lab.models import tree
from lab.train import step
from lab.trained import noise
from tests import trained

CFG = ModelConfig(n_layer=1, d_model=8, n_head=1, vocab_size=256, seq_len=8)


def grouped(grads_ND: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    by_group = grads_ND.reshape(-1, parts, grads_ND.shape[1])
    return by_group.sum(1), (by_group**2).sum((1, 2))


def test_a_planted_noise_scale_comes_back_inside_its_interval_95_times_in_100():
    rng, G, deviation, each, inside, found = np.random.default_rng(0), np.ones(50), 3.0, 64, 0, []
    truth = each * 50 * deviation**2 / (G @ G)  # tr(Sigma) of a part over |G|^2, in tokens
    for _ in range(300):
        grads = G + deviation * rng.standard_normal((16 * 8, 50))
        one = noise.with_interval(*grouped(grads, 8), 8, each)
        inside += one.low <= truth <= one.high
        found.append(one.tokens)
    assert np.mean(found) == pytest.approx(truth, rel=0.02)
    assert 0.92 <= inside / 300 <= 0.98
    assert one.used == 16 * 8 * each


def test_without_a_mean_gradient_there_is_no_finite_scale():
    rng = np.random.default_rng(1)
    found = noise.with_interval(*grouped(rng.standard_normal((64, 400)), 4), 4, 32)
    assert (found.low, found.high) == (0.0, np.inf)


def test_sums_over_parts_are_those_of_gradients_made_one_at_a_time():
    params = tree.init(CFG, jax.random.key(0))
    tokens_PBL = np.random.default_rng(2).integers(0, 256, (3, 2, 9))
    total, squares = noise.sum_gradients(CFG, params, tokens_PBL)
    ones = [
        np.concatenate(
            [
                np.ravel(leaf)
                for leaf in jax.tree.leaves(jax.grad(lambda p, t: step.mean_nats(CFG, p, t))(params, t))
            ]
        )
        for t in tokens_PBL
    ]
    np.testing.assert_allclose(total, np.sum(ones, 0), rtol=1e-4, atol=1e-6)
    assert float(squares) == pytest.approx(sum(float(g @ g) for g in ones), rel=1e-4)


def test_it_is_measured_on_text_that_the_run_has_not_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    config = trained.on_sheep(tmp_path)
    corpus, asked = corpora.open_corpus(config.data.corpus), []
    real = batches.batches

    def seen(tokens, seed, step, n_steps, size, *more):
        asked.append(step * size * config.model.seq_len)
        return real(tokens, seed, step, n_steps, size, *more)

    monkeypatch.setattr(batches, "batches", seen)
    params = tree.init(config.model, jax.random.key(0))
    found = noise.noise_scale(config, params, corpus, sequences=2, parts=2)
    assert asked and asked[0] >= config.tokens
    large = {"batch_tokens": 64 * config.batch_tokens, "micro_batch": 0}
    longer = replace(config, tokens=int(1.6 * 64 * config.batch_tokens), **large)
    noise.noise_scale(longer, params, corpus, sequences=2, parts=2)
    assert asked[-1] >= longer.steps * longer.batch_tokens > longer.tokens, "updates are whole"
    assert 0 < found.low < found.tokens < found.high and found.used == 16 * 2 * 2 * 16
