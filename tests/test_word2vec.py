"""Pairs of known structure: the optimum of word2vec's loss, and what vectors answer."""

import jax
import numpy as np
import pytest

from experiments.own import word2vec
from experiments.reports import analogies
from lab.data.attributes import Attributes
from lab.data.languages import parse_language

LANGUAGE = Attributes(values=3, attributes=2, contexts=5, seed=1)
SUMS = analogies.NegativeSampling(LANGUAGE.joint, word2vec.NEGATIVE)


def test_pairs_occur_as_often_as_the_language_says_and_its_entropy_is_theirs():
    pairs = LANGUAGE.documents(200, 500, seed=3).reshape(-1, 2)
    seen = np.zeros(LANGUAGE.joint.shape)
    np.add.at(seen, (pairs[:, 0], pairs[:, 1] - LANGUAGE.words), 1)
    expected = LANGUAGE.joint * len(pairs)
    assert np.mean((seen - expected) ** 2 / expected) < 1.5
    nats = -LANGUAGE.log_probs(pairs)
    assert nats.mean() == pytest.approx(LANGUAGE.entropy_rate, abs=4 * nats.std() / nats.size**0.5)
    assert parse_language("attributes:3-2-5-1-1000") == (LANGUAGE, 1000)
    assert (LANGUAGE.log_probs(pairs[:, ::-1]) == -np.inf).any(1).all()


def test_the_optimum_is_shifted_pmi_of_the_rank_that_is_said_and_no_score_is_better():
    rng = np.random.default_rng(0)
    assert np.linalg.matrix_rank(SUMS.optimum_WC) == LANGUAGE.rank
    for size in (1e-3, 1e-2, 1.0):
        assert SUMS.loss(SUMS.optimum_WC + size * rng.normal(size=SUMS.optimum_WC.shape)) > SUMS.floor
    widths = range(1, LANGUAGE.rank + 2)
    best = [SUMS.best(width) for width in widths]
    assert best[LANGUAGE.rank - 1 :] == [SUMS.floor] * 2 and (np.diff(best[: LANGUAGE.rank]) < 0).all()


def test_vectors_that_add_attributes_answer_all_analogies_and_noise_few():
    rng = np.random.default_rng(0)
    assert analogies.right(LANGUAGE.values_WA, SUMS.optimum_WC) == 1
    many = Attributes(values=4, attributes=3)
    assert analogies.right(many.values_WA, rng.normal(size=(many.words, 8))) < 0.2


def test_a_window_of_pairs_becomes_groups_whose_negatives_are_of_the_other_pairs():
    window = np.append(LANGUAGE.documents(1, 64, seed=5)[0], 0)
    words, contexts = window[:-1].reshape(-1, 2).T
    inputs, targets, weights = map(np.asarray, word2vec.pairs(jax.random.key(0), window, LANGUAGE.n_symbols))
    groups = inputs.reshape(-1, word2vec.GROUP)
    assert (groups[:, 0] == words[:8]).all() and (groups[:, 1] == contexts[:8]).all()
    assert set(groups[:, 2:].ravel()) <= set(contexts[8:])
    assert targets.sum() == 8 and weights.sum() == 8 * (1 + word2vec.NEGATIVE)
