"""Kneser-Ney n-grams: a worked example, probabilities that sum to one, and the definition itself."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import kneser_ney

A, B = 0, 1


def test_bigrams_of_a_short_text_by_hand():
    """Of a b a a: a follows two kinds of token, b one, so n1 = n2 = 1 and the discount of one token is 1/3.
    ab, ba and aa occur once each: n2 = 0, the discount of bigrams is 1, and all goes to the shorter."""
    train, held_out = np.array([A, B, A, A]), np.array([A, A])
    shorter = (2 - 1 / 3) / 3 + (1 / 3) * (2 / 3) / 2
    assert kneser_ney.nats(train, held_out, 2, 2)[0] == pytest.approx(-np.log(0 + 1 * 2 / 2 * shorter))


def define(train: list, vocab: int, order: int):
    """p(token | context) as the papers write it, one gram after another."""
    tables = {}
    for n in range(1, order + 1):
        if n == order:
            tables[n] = Counter(tuple(train[i : i + n]) for i in range(len(train) - n + 1))
        else:
            kinds = {tuple(train[i : i + n + 1]) for i in range(len(train) - n)}
            tables[n] = Counter(gram[1:] for gram in kinds)

    def chance(context: tuple, token: int) -> float:
        n = len(context) + 1
        below = chance(context[1:], token) if context else 1 / vocab
        after = {gram[-1]: times for gram, times in tables[n].items() if gram[:-1] == context}
        if not after:
            return below
        once, twice = (sum(times == k for times in tables[n].values()) for k in (1, 2))
        once = max(once, 1)
        discount, total = once / (once + 2 * twice), sum(after.values())
        return max(after.get(token, 0) - discount, 0) / total + discount * len(after) / total * below

    return chance


@settings(max_examples=40, deadline=None)
@given(
    text=st.lists(st.integers(0, 3), min_size=8, max_size=60),
    held=st.lists(st.integers(0, 3), min_size=2, max_size=12),
    order=st.integers(1, 4),
)
def test_every_order_is_as_defined_and_sums_to_one(text, held, order):
    chance = define(text, 4, order)
    contexts = [tuple(held[max(0, t - order + 1) : t]) for t in range(1, len(held))]
    told = kneser_ney.nats(np.array(text), np.array(held), 4, order)
    expected = [-np.log(chance(context, token)) for context, token in zip(contexts, held[1:], strict=True)]
    np.testing.assert_allclose(told, expected, rtol=1e-9)
    assert all(sum(chance(context, token) for token in range(4)) == pytest.approx(1) for context in contexts)


def test_an_order_whose_grams_have_no_number_is_refused():
    with pytest.raises(ValueError, match="order 9 of 256 tokens"):
        kneser_ney.nats(np.arange(100), np.arange(10), 256, 9)
