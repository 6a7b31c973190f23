"""States of models of every kind, and what is read off them: planted things come back, noise does not."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.reports import reviews
from lab.config import ModelConfig
from lab.data import batches
from lab.models import tree
from lab.trained import probe

SHAPE = {"d_model": 8, "n_layer": 1, "n_head": 1, "vocab_size": 12, "seq_len": 8}


def model(**fields):
    cfg = ModelConfig(**SHAPE | fields)
    return cfg, tree.init(cfg, jax.random.key(1))


@pytest.mark.parametrize("fields", [{}, {"kind": "gru"}, {"settings": {"prefix": True}}], ids=str)
def test_states_are_what_the_readout_multiplies(fields):
    cfg, params = model(**fields)
    tokens = np.arange(16).reshape(2, 8) % 12
    whole = np.full(2, 8) if "settings" in fields else None
    logits = tree.apply(cfg, params, tokens, prefix_B=whole)
    states = tree.states(cfg, params, tokens)
    np.testing.assert_allclose(states @ params["readout_DV"], logits, atol=1e-5)


def test_an_encoder_s_states_see_both_sides_and_a_decoder_s_what_stood_before():
    tokens = np.zeros((1, 8), int)
    for fields, sees in (({"kind": "encoder_decoder"}, True), ({}, False)):
        states = [
            tree.states(*model(**fields), other) for other in (tokens, tokens + np.eye(8, dtype=int)[7])
        ]
        assert states[0].shape == (1, 8, 8)
        assert bool(np.abs(states[0] - states[1])[0, 0].max() > 1e-6) == sees


def test_a_text_is_pooled_over_each_of_its_tokens_once():
    cfg, params = model()
    texts = [np.arange(n) % 12 for n in (9, 21, 30)]
    found = probe.pooled(cfg, params, texts)
    for text, mean in zip(texts, found, strict=True):
        each = probe.by_token(cfg, params, text)
        assert each.shape == (len(text) - 1, 8)
        np.testing.assert_allclose(each.mean(0), mean, atol=1e-6)
    np.testing.assert_allclose(
        probe.by_token(cfg, params, texts[1])[:8], tree.states(cfg, params, texts[1][None, :8])[0], atol=1e-6
    )


def planted(rng, n, D=20, unit=13, noise=0.3):
    x, labels = rng.normal(size=(n, D)), rng.integers(0, 2, n)
    x[:, unit] = 5 - (2 * labels - 1) + noise * rng.normal(size=n)
    return x, labels


def test_a_planted_unit_is_found_by_both_probes():
    rng = np.random.default_rng(0)
    (x, labels), (other, answers) = planted(rng, 400), planted(rng, 400)
    unit = probe.best_unit(x, labels)
    assert unit.index == 13 and unit.sign == -1 and unit.threshold == pytest.approx(5, abs=0.05)
    assert unit.right(other, answers).mean() > 0.99
    linear = probe.fit_linear(x, labels)
    assert linear.right(other, answers).mean() > 0.98
    assert np.abs(linear.w).argmax() == 13


def test_what_is_spread_over_units_is_told_by_the_linear_probe_alone_and_noise_by_neither():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 20))
    labels = (x.sum(1) > 0).astype(int)
    learn, test = slice(0, 1000), slice(1000, None)
    told = lambda fit, labels: fit.right(x[test], labels[test]).mean()  # noqa: E731
    assert told(probe.fit_linear(x[learn], labels[learn]), labels) > 0.93
    assert told(probe.best_unit(x[learn], labels[learn]), labels) < 0.65
    random = rng.integers(0, 2, 2000)
    for fit in (probe.fit_linear, probe.best_unit):
        assert told(fit(x[learn], random[learn]), random) == pytest.approx(0.5, abs=0.05)


def test_the_penalty_leaves_weights_out_as_it_grows():
    x, labels = planted(np.random.default_rng(2), 200, noise=1.0)
    used = [int((np.abs(fit.w) > 1e-9).sum()) for fit in probe.path(x, labels)]
    assert used == sorted(used) and used[0] == 1 and used[-1] == 20


def test_reviews_that_a_run_read_any_byte_of_are_not_unread():
    config = SimpleNamespace(data_seed=3, steps=4, batch_size=2, model=SimpleNamespace(seq_len=8))
    corpus = SimpleNamespace(n_train=200)
    read = reviews.was_read(corpus, [config])
    given = np.unique(batches.batches(np.arange(200), 3, 0, 4, 2, 8))
    np.testing.assert_array_equal(np.flatnonzero(read), given)


def test_shares_and_their_differences_have_intervals_that_hold_the_truth():
    rng = np.random.default_rng(3)
    right = rng.random((2, 1000)) < 0.7
    mean, low, high = reviews.share(right)
    assert mean == right.mean() and low < 0.7 < high and 0.03 < high - low < 0.08
    assert reviews.share(right, right)[0] == 0
    row = reviews.Probed(right[0], right[1], 3).row()
    np.testing.assert_array_equal(reviews.bits(row, "unit"), right[1])
