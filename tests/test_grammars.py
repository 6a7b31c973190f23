"""A grammar's sentences have one parse, and its entropy rate is what they show."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.grammars import Grammar
from lab.data.languages import parse_language

SHAPES = [
    dict(n_symbols=16, rules=4, branching=2, depth=4),
    dict(n_symbols=8, rules=2, branching=3, depth=3),
    dict(n_symbols=3, rules=3, branching=2, depth=1),
    dict(n_symbols=5, rules=5, branching=2, depth=6),  # every pair is a rule
]


@pytest.mark.parametrize("shape", SHAPES)
def test_entropy_rate_is_the_mean_surprise_of_a_long_sample(shape):
    grammar = Grammar(**shape, seed=3)
    n = grammar.sentence
    sentences = grammar.documents(8000, n, seed=1)
    per_sentence = -grammar.log_probs(sentences).mean(axis=1)  # sentences are independent
    error = per_sentence.std(ddof=1) / np.sqrt(len(per_sentence))
    assert abs(per_sentence.mean() - grammar.entropy_rate) < 3 * error
    assert error < 0.01 * grammar.entropy_rate


def sentences_of(grammar) -> dict[tuple, list[float]]:
    """Every sentence, with the probability of each of its derivations, by growing them all."""
    root, right, probs = grammar._table
    level = [((symbol,), p) for symbol, p in enumerate(root)]
    for right_VRB, probs_VR in zip(right, probs, strict=True):
        grown = []
        for symbols, p in level:
            for rules in product(range(grammar.rules), repeat=len(symbols)):
                below = [right_VRB[s, r] for s, r in zip(symbols, rules, strict=True)]
                share = np.prod([probs_VR[s, r] for s, r in zip(symbols, rules, strict=True)])
                grown.append((tuple(map(int, np.concatenate(below))), p * share))
        level = grown
    found: dict[tuple, list[float]] = {}
    for sentence, p in level:
        found.setdefault(sentence, []).append(p)
    return found


@pytest.mark.parametrize(
    "shape",
    [dict(n_symbols=3, rules=2, branching=2, depth=3), dict(n_symbols=2, rules=2, branching=3, depth=2)],
)
def test_every_sentence_has_one_parse_and_the_probability_that_log_probs_gives(shape):
    grammar = Grammar(**shape, seed=7)
    found = sentences_of(grammar)
    assert all(len(derivations) == 1 for derivations in found.values())
    p = np.array([derivations[0] for derivations in found.values()])
    assert p.sum() == pytest.approx(1)
    rate = -(p @ np.log(p)) / grammar.sentence
    assert grammar.entropy_rate == pytest.approx(rate, rel=1e-12), "the sum over all sentences"
    rows = np.array(list(found))
    np.testing.assert_allclose(grammar.log_probs(rows).sum(axis=1), np.log(p), rtol=1e-9)
    # and place by place: the share of all that begins so
    row = rows[len(rows) // 3]
    for place in range(grammar.sentence):
        begin, on = ((rows[:, :k] == row[:k]).all(axis=1) for k in (place, place + 1))
        expected = np.log(p[on].sum() / p[begin].sum())
        assert grammar.log_probs(row[None])[0, place] == pytest.approx(expected, abs=1e-9)


def test_long_sentences_do_not_underflow():
    grammar = Grammar(n_symbols=32, rules=32, branching=2, depth=10, seed=0)
    nats = -grammar.log_probs(grammar.documents(2, 1024, 0))
    assert nats.sum() > 2 * 750, "less likely than the smallest double"
    assert nats.mean() == pytest.approx(grammar.entropy_rate, rel=0.03)


def test_windows_that_hold_whole_sentences_have_the_entropy_rate_as_floor():
    grammar = Grammar(n_symbols=4, rules=2, branching=2, depth=3, seed=0)
    assert grammar.floor(24) == grammar.entropy_rate
    with pytest.raises(ValueError, match="take a multiple"):
        grammar.floor(20)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 3), st.integers(1, 3), st.data())
def test_every_grammar_has_disjoint_rules_and_repeats_by_seed(n_symbols, branching, depth, data):
    rules = data.draw(st.integers(2, n_symbols ** (branching - 1)))
    grammar = Grammar(n_symbols=n_symbols, rules=rules, branching=branching, depth=depth, seed=1)
    for right_VRB in grammar._table[1]:
        tuples = right_VRB.reshape(-1, branching)
        assert len(np.unique(tuples, axis=0)) == n_symbols * rules
    once, again, other = (grammar.documents(3, 200, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert np.isfinite(grammar.log_probs(once)).all(), "a cut sentence too"
    more, fewer = grammar.documents(600, 9, 4), grammar.documents(300, 9, 4)
    np.testing.assert_array_equal(more[:256], fewer[:256])


def test_what_the_grammar_cannot_say_has_no_probability():
    grammar = Grammar(n_symbols=16, rules=2, branching=2, depth=2, seed=0)
    said = {tuple(pair) for pair in grammar._table[1][-1].reshape(-1, 2).tolist()}
    sentence = grammar.documents(1, 4, 0)[0]
    sentence[1] = next(symbol for symbol in range(16) if (sentence[0], symbol) not in said)
    nats = grammar.log_probs(np.concatenate([sentence, grammar.documents(1, 4, 1)[0]]))
    assert nats[1] == -np.inf and np.isfinite(nats[4:]).all(), "the next sentence is its own"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("grammar:16-17-2-4-0", "from 1 to 16 rules"),
        ("grammar:16-4-2-12-0", "at most 2048"),
        ("grammar:16-4-2-400-0", "at most 2048"),
        ("grammar:1-1-2-2-0", "at least 2"),
        ("grammar:16-4-2", "is named grammar:"),
    ],
)
def test_impossible_grammars_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse_language(name)


def test_a_name_says_it_all():
    expected = Grammar(n_symbols=16, rules=4, branching=2, depth=5, seed=7)
    assert parse_language("grammar:16-4-2-5-7") == (expected, None)
    assert parse_language("grammar:16-4-2-5-7-5000") == (expected, 5000)
