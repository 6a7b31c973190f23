"""The synthetic source knows its own entropy; n-gram baselines are the textbook's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import baselines
from lab.data.baselines import ngram_nats
from lab.data.languages import Markov, parse_language

SHAPES = [
    dict(n_symbols=16, order=2, branching=4),
    dict(n_symbols=5, order=1, branching=2),
    dict(n_symbols=2, order=3, branching=2),
    dict(n_symbols=12, order=3, branching=3),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_entropy_rate_is_the_mean_surprise_of_a_long_sample(shape):
    source = Markov(**shape, seed=3)
    documents = source.documents(400, 500, seed=1)
    nats = -source.log_probs(documents)
    assert np.isnan(nats[:, : source.order]).all()
    per_document = nats[:, source.order :].mean(axis=1)  # documents are independent
    error = per_document.std(ddof=1) / np.sqrt(len(per_document))
    assert abs(per_document.mean() - source.entropy_rate) < 4 * error
    assert error < 0.01 * source.entropy_rate


@pytest.mark.parametrize("shape", SHAPES)
def test_contexts_occur_as_often_as_the_stationary_distribution_says_from_the_first(shape):
    source = Markov(**shape, seed=0)
    documents = source.documents(20_000, source.order + 3, seed=5)
    powers = source.n_symbols ** np.arange(source.order)[::-1]
    for place in (0, 3):
        context = documents[:, place : place + source.order] @ powers
        seen = np.bincount(context, minlength=source.n_contexts)
        expected = source.stationary * len(documents)
        assert (seen[expected == 0] == 0).all()
        often = expected > 20
        z = (seen - expected)[often] / np.sqrt(expected[often])
        assert np.mean(z**2) < 1 + 6 * np.sqrt(2 / often.sum())


def test_stationary_distribution_does_not_change_when_the_chain_steps():
    source = Markov(n_symbols=7, order=2, branching=3, seed=9)
    successors, probs, _ = source._table
    after = np.zeros(source.n_contexts)
    for context in range(source.n_contexts):
        for symbol, p in zip(successors[context], probs[context], strict=True):
            after[context * 7 % 49 + symbol] += source.stationary[context] * p
    np.testing.assert_allclose(after, source.stationary, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES[:3])  # the last has too many contexts to count
def test_the_floor_of_windows_is_what_the_best_guess_pays_when_context_is_cut(shape):
    source, L = Markov(**shape, seed=1), 6
    windows = source.documents(60_000, L + 1, seed=2)
    paid = []  # the entropy of each target given what its window shows of the source's context
    for place in range(1, L + 1):
        context = windows[:, max(0, place - source.order) : place]
        code = context @ source.n_symbols ** np.arange(context.shape[1])
        pairs = np.unique(code * source.n_symbols + windows[:, place], return_counts=True)[1]
        alone = np.unique(code, return_counts=True)[1]
        h = [-(n / n.sum() * np.log(n / n.sum())).sum() for n in (pairs, alone)]
        paid.append(h[0] - h[1])
    assert source.floor(L) == pytest.approx(np.mean(paid), rel=0.01)
    assert source.floor(L) >= source.entropy_rate - 1e-12
    assert source.floor(10**6) == pytest.approx(source.entropy_rate, rel=1e-4)
    if source.order == 1:
        assert source.floor(L) == pytest.approx(source.entropy_rate)


def test_entropy_rate_of_a_chain_worked_out_by_hand():
    source = Markov(n_symbols=2, order=1, branching=2, seed=0)
    _, (from_0, from_1), _ = source._table  # both successors, in order of symbol
    pi_1 = from_0[1] / (from_0[1] + from_1[0])

    def entropy(p):
        return -(p * np.log(p)).sum()

    expected = (1 - pi_1) * entropy(from_0) + pi_1 * entropy(from_1)
    assert source.entropy_rate == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(1, 3), st.data())
def test_every_language_is_ergodic_and_repeats_by_seed(n_symbols, order, data):
    branching = data.draw(st.integers(2, n_symbols))
    source = Markov(n_symbols=n_symbols, order=order, branching=branching, seed=1)
    assert 0 < source.entropy_rate <= np.log(branching) + 1e-12
    assert (source.stationary >= 0).all() and source.stationary.sum() == pytest.approx(1)
    once, again, other = (
        source.documents(1, 60, 4)[0],
        source.documents(1, 60, 4)[0],
        source.documents(1, 60, 5)[0],
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert np.isfinite(source.log_probs(once)[order:]).all()


def test_what_the_language_cannot_say_has_no_probability():
    source = Markov(n_symbols=16, order=1, branching=2, seed=0)
    allowed = set(source._table[0][3])
    never = next(symbol for symbol in range(16) if symbol not in allowed)
    assert source.log_probs(np.array([3, never]))[1] == -np.inf


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("markov:16-3-4-0", "contexts"),
        ("markov:16-2-17-0", "branching=17"),
        ("markov:16-2-1-0", "no entropy"),
        ("markov:16-2", "is named markov:"),
        ("markov:16-0-4-0", "order"),
    ],
)
def test_impossible_languages_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse_language(name)


def test_a_name_says_it_all():
    expected = Markov(n_symbols=16, order=2, branching=4, seed=7)
    assert parse_language("markov:16-2-4-7") == (expected, None)
    assert parse_language("markov:16-2-4-7-5000") == (expected, 5000)


def witten_bell(train, held_out, V):
    """The trigram by dictionaries, one token at a time."""
    follow = {}
    for n in (1, 2):
        for i in range(n, len(train)):
            follow.setdefault(tuple(train[i - n : i]), Counter())[train[i]] += 1
    unigram = Counter(train)

    def prob(token, history):
        if not history:
            return (unigram[token] + 1) / (len(train) + V)
        seen, lower = follow.get(history), prob(token, history[1:])
        if not seen:
            return lower
        return (seen[token] + len(seen) * lower) / (seen.total() + len(seen))

    return [
        [-np.log(prob(held_out[i], tuple(held_out[max(0, i - n) : i]))) for i in range(1, len(held_out))]
        for n in range(3)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.data())
def test_ngrams_agree_with_a_loop(V, data):
    tokens = st.lists(st.integers(0, V - 1), min_size=3, max_size=40)
    train, held_out = data.draw(tokens), data.draw(tokens)
    with pytest.MonkeyPatch.context() as patch:  # counted in chunks that cut n-grams
        patch.setattr(baselines, "CHUNK", data.draw(st.integers(1, 50)))
        ours = ngram_nats(np.array(train, np.uint8), np.array(held_out, np.uint8), V)
    np.testing.assert_allclose(ours, witten_bell(train, held_out, V), rtol=1e-12)


def test_the_trigram_of_an_order_2_language_comes_near_its_entropy():
    source = Markov(n_symbols=8, order=2, branching=3, seed=0)
    train, held_out = source.documents(1, 40_000, 0)[0], source.documents(1, 10_000, 1)[0]
    own = -np.nanmean(source.log_probs(held_out))
    assert own < ngram_nats(train, held_out, 8)[2].mean() < own * 1.03
