"""Tokenizers: text comes back, and bytes are counted truly."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data.byte_pairs import Bpe, bpe_size
from lab.data.tokenizer import id_dtype
from lab.data.tokens import UNKNOWN, Bytes, Chars, Symbols, from_json

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


# --- byte pairs ----------------------------------------------------------------------------------

VERSE = "the cat sat on the mat, and the hat sat on the cat; naïve – ≥ 3 cats\n\tthat sat.\n" * 20
PAIRS = Bpe(((116, 104), (256, 101), (32, 257), (97, 116), (115, 259)))  # th the _the at sat


def slow_bpe(bpe, word: bytes) -> list[int]:
    """The definition: the earliest merge that applies, everywhere, until none does."""
    ids = list(word)
    for rank, (left, right) in enumerate(bpe.merges):
        new, i = [], 0
        while i < len(ids):
            pair = ids[i : i + 2] == [left, right]
            new.append(256 + rank if pair else ids[i])
            i += 2 if pair else 1
        ids = new
    return ids


@given(TEXT)
def test_byte_pairs_give_the_text_back_and_count_its_utf8(text):
    pytest.importorskip("tokenizers")
    ids = PAIRS.encode(text)
    assert PAIRS.decode(ids) == text
    assert PAIRS.bytes_per_token[ids].sum() == len(text.encode())


@given(st.text("thea s", max_size=30))
def test_byte_pairs_are_merged_in_their_order(text):
    pytest.importorskip("tokenizers")
    words = [" " * text.startswith(" ") + w if i == 0 else " " + w for i, w in enumerate(text.split())]
    text = "".join(words)  # one space before a word: the cut into words is then the spaces
    assert PAIRS.encode(text).tolist() == [i for w in words for i in slow_bpe(PAIRS, w.encode())]


def test_a_learned_vocabulary_is_the_same_again_and_shortens_its_text():
    pytest.importorskip("tokenizers")
    learned = Bpe.learn([VERSE, "and more"], 290)
    assert learned == Bpe.learn([VERSE, "and more"], 290)
    assert learned.vocabulary[:256] == [bytes([i]) for i in range(256)]
    assert learned.vocab_size == len(set(learned.vocabulary)) == 290
    assert len(learned.encode(VERSE)) < len(VERSE.encode()) / 2
    assert learned.decode(learned.encode(VERSE)) == VERSE
    again = from_json(json.loads(json.dumps(learned.to_json())))
    assert again == learned and again.sha256 == learned.sha256
    other = Bpe((*learned.merges[:-1], learned.merges[0][::-1]))
    assert other.sha256 != learned.sha256


def test_two_merges_that_make_the_same_bytes_are_one_id():
    merges = ((97, 98), (98, 99), (256, 99), (97, 257))  # ab, bc, ab+c, a+bc
    assert Bpe(merges).vocabulary[256:] == [b"ab", b"bc", b"abc"]
    assert Bpe(merges).vocab_size == 259


def test_impossible_vocabularies_are_refused():
    assert (bpe_size("bpe-1024"), bpe_size("bytes"), bpe_size("bpe")) == (1024, 0, 0)
    for name in ("bpe-256", "bpe-1048577"):
        with pytest.raises(ValueError, match="257 to 1048576"):
            bpe_size(name)
    pytest.importorskip("tokenizers")
    with pytest.raises(ValueError, match=r"gives .* of 2\d\d ids, and 5000 were asked"):
        Bpe.learn(["abc abc"], 5000)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match="pip install 'tokenizers"):
        Bpe.learn([VERSE], 300)
    assert PAIRS.decode([258, 32, 260]) == " the sat", "reading needs no package"


def test_ids_take_the_smallest_type():
    assert id_dtype(256) == np.uint8
    assert id_dtype(257) == id_dtype(65_536) == np.dtype("<u2")
    assert id_dtype(65_537) == np.dtype("<u4")


def test_half_a_surrogate_pair_is_refused_with_its_place():
    for tokenizer in (Bytes(), Chars("abc")):
        with pytest.raises(ValueError, match="character 2 "):
            tokenizer.encode("ab\ud800")


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'words' is unknown"):
        from_json({"kind": "words"})
