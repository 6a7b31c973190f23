"""Tokenizers that others learned: the ids of their own libraries, and the exact bytes of each id."""

import base64
import sys

import numpy as np
import pytest

from lab.data import tokenizer_files
from lab.data.corpora import CorpusError, open_corpus, prepare
from lab.data.tokenizer_files import load
from tests.test_sources import sentences, write_lines

tokenizers = pytest.importorskip("tokenizers")
ODD = "a <|end|> of 😀 text\twith é – 一 and  two spaces\n"


def byte_level(path, texts):
    """As GPT-2's, with a special id and an added one."""
    coder = tokenizers.Tokenizer(tokenizers.models.BPE())
    coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"]
    )
    coder.train_from_iterator(texts, trainer)
    coder.add_tokens(["document"])
    coder.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", coder.token_to_id("<|end|>"))]
    )
    coder.enable_truncation(10)
    coder.save(str(path))
    return coder


def sentence_piece(path, texts):
    """As LLaMA's: spaces written ▁, bytes for what is not known."""
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = [("<unk>", 0.0), *((token, -20.0) for token in byte_tokens), ("▁", -3.0)]
    vocab += [(char, -4.0) for char in "abcdefghijklmnopqrstuvwxyz\n"] + [("▁the", -1.0), ("▁cat", -1.0)]
    coder = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, 0, byte_fallback=True))
    coder.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    coder.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
        ]
    )
    coder.save(str(path))
    return coder


def word_piece(path, texts):
    """As BERT's, which forgets case and spaces."""
    coder = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    coder.normalizer = tokenizers.normalizers.BertNormalizer()
    coder.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"])
    coder.train_from_iterator(texts, trainer)
    coder.save(str(path))
    return coder


def tiktoken_file(path):
    ranks = [bytes([i]) for i in range(256)] + [b"th", b"the", b" the", b" c", b" cat"]
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % i for i, token in enumerate(ranks)))


@pytest.fixture
def texts(tmp_path):
    texts = [text + "\n" + ODD for text in sentences(60)]
    write_lines(tmp_path / "a.jsonl", texts)
    return texts


def made(tmp_path, tokenizer, name="a.jsonl"):
    return prepare(f"text:{tmp_path}/{name}", str(tokenizer), tmp_path / "data", quiet=True)


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
def test_ids_are_the_library_s_and_each_id_s_bytes_are_exact(make, texts, tmp_path, monkeypatch):
    library = make(tmp_path / "tokenizer.json", texts)
    corpus = made(tmp_path, tmp_path / "tokenizer.json")
    documents = [corpus.tokenizer.decode(corpus.tokenizer.encode(text)) for text in texts]
    assert documents == texts and corpus.vocab_size == library.get_vocab_size()
    library.no_truncation()
    library.encode_special_tokens = True
    for text in texts[:5]:
        ids = library.encode(text, add_special_tokens=False).ids
        assert corpus.tokenizer.encode(text).tolist() == ids
    assert corpus.bytes_per_token[corpus.train].sum() == corpus.train_bytes
    assert corpus.bytes_per_token[corpus.held_out].sum() == corpus.held_out_bytes
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    (tmp_path / "tokenizer.json").unlink()
    again = open_corpus(corpus.name, str(tmp_path / "tokenizer.json"), corpus.sha256, tmp_path / "data")
    assert again.tokenizer == corpus.tokenizer, "its file is kept with the tokens"
    assert again.tokenizer.decode(again.train) == corpus.tokenizer.decode(corpus.train)


def test_bits_per_byte_are_those_of_the_same_text_in_bytes(texts, tmp_path):
    byte_level(tmp_path / "tokenizer.json", texts)
    ours, plain = made(tmp_path, tmp_path / "tokenizer.json"), made(tmp_path, "bytes")
    assert (ours.train_bytes, ours.held_out_bytes) == (plain.train_bytes, plain.held_out_bytes)
    assert ours.tokenizer.decode(ours.held_out) == plain.tokenizer.decode(plain.held_out)
    assert ours.sha256 != plain.sha256


def test_a_tokenizer_that_changes_the_text_leaves_bits_per_byte_empty_and_says_so(texts, tmp_path, capsys):
    word_piece(tmp_path / "tokenizer.json", texts)
    corpus = prepare(f"text:{tmp_path}/a.jsonl", f"{tmp_path}/tokenizer.json", tmp_path / "data")
    assert "does not keep the text as it is: bits per byte are left empty" in capsys.readouterr().err
    assert np.isnan(corpus.bytes_per_token).all() and corpus.baselines["unigram"]["nats_per_byte"] is None
    assert corpus.baselines["unigram"]["nats_per_token"] > 0


def test_a_changed_file_makes_other_data_and_a_moved_one_the_same(texts, tmp_path):
    byte_level(tmp_path / "one.json", texts)
    first = made(tmp_path, tmp_path / "one.json")
    (tmp_path / "two.json").write_bytes((tmp_path / "one.json").read_bytes())
    assert made(tmp_path, tmp_path / "two.json").sha256 == first.sha256
    byte_level(tmp_path / "one.json", ["quite other words " * 50])
    assert made(tmp_path, tmp_path / "one.json").sha256 != first.sha256


def test_shards_get_their_bytes_from_the_tokenizer_that_made_them(texts, tmp_path):
    byte_level(tmp_path / "tokenizer.json", texts)
    corpus = made(tmp_path, tmp_path / "tokenizer.json")
    shards = tmp_path / "shards"
    shards.mkdir()
    np.save(shards / "train.npy", corpus.train)
    np.save(shards / "val.npy", corpus.held_out)
    same = prepare(f"ids:{shards}", f"{tmp_path}/tokenizer.json", tmp_path / "data", quiet=True)
    assert same.held_out_bytes == corpus.held_out_bytes and same.vocab_size == corpus.vocab_size
    for name, loss in corpus.baselines.items():
        assert same.baselines[name] == pytest.approx(loss)
    np.save(shards / "val.npy", np.append(corpus.held_out, [401, 9999]).astype("u2"))
    with pytest.raises(CorpusError, match=r"val\.npy has the id 9,999, and .*tokenizer\.json has \d+ ids"):
        prepare(f"ids:{shards}", f"{tmp_path}/tokenizer.json", tmp_path / "data", quiet=True)
    with pytest.raises(CorpusError, match="has its ids already"):
        prepare(f"ids:{shards}", "chars", tmp_path / "data", quiet=True)


def test_tiktoken_s_file_gives_bytes_and_with_its_package_ids(texts, tmp_path, monkeypatch):
    tiktoken_file(tmp_path / "cl100k_base.tiktoken")
    coder = load(str(tmp_path / "cl100k_base.tiktoken"))
    assert coder.vocab_size == 100_277 and coder.decode([258, 260, 100_257]) == " the cat"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tiktoken", None)
        with pytest.raises(CorpusError, match="pip install tiktoken"):
            made(tmp_path, tmp_path / "cl100k_base.tiktoken")
    tiktoken_file(tmp_path / "mine.tiktoken")
    with pytest.raises(CorpusError, match="does not say how text is cut into words"):
        made(tmp_path, tmp_path / "mine.tiktoken")
    pytest.importorskip("tiktoken")
    corpus = made(tmp_path, tmp_path / "cl100k_base.tiktoken")
    assert corpus.train.dtype == np.dtype("<u4")
    assert corpus.bytes_per_token[corpus.train].sum() == corpus.train_bytes


def test_tiktoken_s_patterns_are_those_of_its_package():
    pytest.importorskip("tiktoken")
    from inspect import getsource

    from tiktoken_ext import openai_public

    assert openai_public.r50k_pat_str == tokenizer_files.GPT2_WORDS
    assert repr(tokenizer_files.GPT4_WORDS)[1:-1].replace("\\\\", "\\") in getsource(
        openai_public.cl100k_base
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.json", None, "can't be read"),
        ("bad.json", b"{}", "is no tokenizer.json of Hugging Face"),
        ("bad.json", b"\xff", "is no tokenizer.json of Hugging Face"),
        ("bad.tiktoken", b"no base64\n", "is no file of tiktoken's"),
    ],
)
def test_what_is_no_tokenizer_is_refused_by_name(name, content, message, texts, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        made(tmp_path, tmp_path / name)
    assert name in str(caught.value) and not [*(tmp_path / "data").glob("text*")]
