"""Tokenizers: text comes back, and bytes are counted truly."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.tokens import UNKNOWN, Bytes, Chars, Symbols, from_json, id_dtype

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)


@given(TEXT)
def test_bytes_give_the_text_back_and_count_its_utf8(text):
    ids = Bytes().encode(text)
    assert Bytes().decode(ids) == text
    assert Bytes().bytes_per_token[ids].sum() == len(text.encode())


@given(TEXT)
def test_characters_give_the_training_text_back(text):
    chars = Chars.learn(text)
    ids = chars.encode(text)
    assert chars.decode(ids) == text
    assert chars.vocab_size == len(set(text)) + 1
    assert (ids < chars.vocab_size - 1).all(), "the unknown id never occurs in training"
    assert chars.bytes_per_token[ids].sum() == len(text.encode())


@given(TEXT, TEXT)
def test_the_held_out_bytes_are_true_although_characters_are_unknown(training, held_out):
    chars = Chars.learn(training, held_out)
    ids = chars.encode(held_out)
    assert len(ids) == len(held_out)
    expected = "".join(char if char in training else UNKNOWN for char in held_out)
    assert chars.decode(ids) == expected
    np.testing.assert_allclose(chars.bytes_per_token[ids].sum(), len(held_out.encode()))


@given(st.lists(st.integers(0, 255)))
def test_any_bytes_a_model_says_can_be_shown(ids):
    assert isinstance(Bytes().decode(np.array(ids, np.int32)), str)


@given(TEXT, st.sampled_from([2, 16, 62, 63, 300]))
def test_tokenizers_survive_json(text, n_symbols):
    for tokenizer in (Bytes(), Chars.learn(text, "é–x"), Symbols(n_symbols)):
        assert from_json(json.loads(json.dumps(tokenizer.to_json()))) == tokenizer
        assert tokenizer.bytes_per_token.shape == (tokenizer.vocab_size,)
        assert (tokenizer.bytes_per_token >= 1).all()


@pytest.mark.parametrize("n_symbols", [2, 62, 300])
def test_symbols_are_distinct_characters(n_symbols):
    symbols = Symbols(n_symbols)
    ids = np.arange(n_symbols)
    assert len(set(symbols.characters)) == n_symbols
    np.testing.assert_array_equal(symbols.encode(symbols.decode(ids)), ids)
    with pytest.raises(ValueError, match="no symbol"):
        symbols.encode("?")


def test_ids_take_the_smallest_type():
    assert id_dtype(256) == np.uint8
    assert id_dtype(257) == np.dtype("<u2")


def test_half_a_surrogate_pair_is_refused_with_its_place():
    for tokenizer in (Bytes(), Chars("abc")):
        with pytest.raises(ValueError, match="character 2 "):
            tokenizer.encode("ab\ud800")


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'words' is unknown"):
        from_json({"kind": "words"})
