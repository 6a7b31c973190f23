"""What a user's own files become: documents of every format, whatever their number and size."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import files, local, writing
from lab.data.corpora import CorpusError, prepare
from lab.data.files import Files, cut, user_files
from lab.data.texts import SPLITS, Say, choose, choose_held_out, key_of
from tests.conftest import ROOT

WORDS = "the cat sat on a mat and the dog did not é – 一".split()


def sentences(number, seed=0):
    """Documents of different length, each with its own number in it."""
    dice = random.Random(seed)
    return [f"document {i} " + " ".join(dice.choices(WORDS, k=dice.randint(20, 90))) for i in range(number)]


def write_lines(path, texts, key="text"):
    rows = [json.dumps({"id": f"secret {i}", key: text, "date": "never"}) for i, text in enumerate(texts)]
    data = ("\n".join(rows) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def stream(corpus):
    return [corpus.tokenizer.decode(getattr(corpus, split)) for split in SPLITS]


def made(path, tmp_path, tokenizer="bytes"):
    return prepare(f"text:{path}", tokenizer, tmp_path / "data", quiet=True)


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.json", "a.json.gz"])
def test_of_json_lines_only_the_text_is_trained_on(name, tmp_path):
    texts = sentences(60)
    write_lines(tmp_path / name, [*texts, texts[7], "", "   \n"])
    corpus = made(tmp_path / name, tmp_path)
    train, held_out = stream(corpus)
    assert "secret" not in train + held_out and "never" not in train + held_out
    for text in texts:
        assert (train + held_out).count(text + "\n\n") == 1
    assert (
        sorted(len(side) for side in corpus.documents.values()) and "whole documents" in corpus.meta["split"]
    )
    assert sum(len(side) for side in corpus.documents.values()) == 60, "the copy and the empty ones are gone"


def test_a_key_can_be_named_and_makes_another_corpus(tmp_path):
    write_lines(tmp_path / "a.jsonl", sentences(60), key="body")
    with pytest.raises(
        CorpusError, match=r"a\.jsonl, line 1: no key 'text'; found 'id', 'body', 'date'.*--text-key"
    ):
        made(tmp_path / "a.jsonl", tmp_path)
    corpus = made(f"{tmp_path}/a.jsonl#body", tmp_path)
    assert "secret" not in "".join(stream(corpus)) and "document 59" in "".join(stream(corpus))
    env = os.environ | {"LAB_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-m", "lab", "data", "show", f"text:{tmp_path}/a.jsonl", "--text-key", "body"]
    done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True)
    assert corpus.sha256 in done.stdout, done.stderr


def test_a_json_file_that_is_one_object_is_a_text(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"text": sentences(60)}, indent=1))
    assert '"text": [' in "".join(stream(made(tmp_path / "a.json", tmp_path)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"text": "fine"}\n{"text": "cut', r"line 2: not JSON"),
        ('["text"]\n', "line 1: found list"),
        ('{"text": ["a"]}\n', "'text' holds a list and no text; name another key"),
        ("{}\n", "line 1: no key 'text'; found no keys"),
    ],
)
def test_lines_that_hold_no_text_are_refused_with_their_place(lines, message, tmp_path):
    (tmp_path / "bad.jsonl").write_text(lines)
    with pytest.raises(CorpusError, match=rf"bad\.jsonl, {message}" if "line" in message else message):
        made(tmp_path / "bad.jsonl", tmp_path)
    assert not list((tmp_path / "data").glob("*"))


def test_a_packed_file_cut_in_the_middle_is_refused_by_name(tmp_path):
    for name in ("a.jsonl.gz", "a.txt.gz"):
        write_lines(tmp_path / name, sentences(60))
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(CorpusError, match=rf"{re.escape(name)} is damaged or cut short"):
            made(tmp_path / name, tmp_path)


def test_what_needs_a_package_says_which(tmp_path, monkeypatch):
    for name, package in (("a.jsonl.zst", "zstandard"), ("a.parquet", "pyarrow"), ("a.arrow", "pyarrow")):
        (tmp_path / name).write_bytes(b"1")
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(CorpusError, match=rf"{re.escape(name)} is read by.*pip install {package}"):
            made(tmp_path / name, tmp_path)


def test_zst_is_unpacked(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    write_lines(tmp_path / "a.jsonl", sentences(60))
    data = zstandard.compress((tmp_path / "a.jsonl").read_bytes())
    (tmp_path / "b.jsonl.zst").write_bytes(data + zstandard.compress(b'{"text": "a second frame"}\n'))
    assert "a second frame" in "".join(stream(made(tmp_path / "b.jsonl.zst", tmp_path)))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_tables_give_the_documents_of_their_column(kind, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [*sentences(60), None]
    table = pyarrow.table({"id": [f"secret {i}" for i in range(61)], "text": texts})
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=7)
    else:
        maker = pyarrow.ipc.new_file if kind == "arrow" else pyarrow.ipc.new_stream
        with maker(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    write_lines(tmp_path / "b.jsonl", texts)
    same, corpus = made(tmp_path / "b.jsonl", tmp_path), made(path, tmp_path)
    assert sorted("".join(stream(corpus)).split("\n\n")) == sorted("".join(stream(same)).split("\n\n"))
    with pytest.raises(CorpusError, match="no key 'body'; found 'id', 'text'"):
        made(f"{path}#body", tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorpusError, match=r"a\.(parquet|arrow) can't be read"):
        made(path, tmp_path)


# --- split, copies, blocks -----------------------------------------------------------------------


def old_blocks(text, least):
    """Blocks as they were cut when a text was held in memory."""
    parts = []
    for paragraph in text.strip("\n").split("\n\n"):
        large = len(paragraph) > 4 * least
        parts += paragraph.splitlines(keepends=True) if large else [paragraph + "\n\n"]
    blocks = [""]
    for part in parts:
        blocks[-1] += part
        if len(blocks[-1]) >= least:
            blocks.append("")
    return [block.strip("\n") + "\n\n" for block in blocks if block.strip()]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(["\n", "\n\n", "ab", "c", " ", "defg\n", "\x0b"])), st.integers(1, 6), st.data()
)
def test_blocks_do_not_depend_on_the_pieces_a_text_comes_in(parts, least, data):
    text = "".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert [*cut(pieces, least)] == [*cut([text], least)] == old_blocks(text, least)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=60))
def test_the_split_takes_about_its_share_of_the_smaller_documents(sizes):
    sizes = np.array(sizes)
    names = [f"{i:02d}" for i in range(len(sizes))]  # in order, as files are
    keys = np.array([*map(key_of, names)])
    chosen = choose(sizes, keys)
    assert 0 < len(chosen) == len(set(chosen.tolist())) < len(sizes)
    target = max(0.04 * sizes.sum(), min(1e5, sizes.sum() / 5))
    assert sizes[chosen].sum() < 3 * target or len(chosen) == 1
    assert choose_held_out(dict(zip(names, sizes.tolist(), strict=True))) == {names[i] for i in chosen}


def test_of_a_large_corpus_at_most_ten_megabytes_are_held_out():
    sizes = np.full(10_000, 100_000)
    keys = np.random.default_rng(0).integers(0, 1 << 63, 10_000).astype(np.uint64)
    assert 1e7 <= sizes[choose(sizes, keys, local.MOST_HELD_OUT)].sum() < 1.02e7


@pytest.mark.parametrize("tokenizer", ["bytes", "chars", "bpe-300"])
def test_reading_in_sections_changes_nothing(tokenizer, tmp_path, monkeypatch):
    if tokenizer.startswith("bpe"):
        pytest.importorskip("tokenizers")
    (tmp_path / "book.txt").write_bytes("\r\n\r\n".join(sentences(2000)).encode())
    before = made(tmp_path / "book.txt", tmp_path, tokenizer)
    monkeypatch.setattr(files, "SECTION", 1000)
    monkeypatch.setattr(writing, "AT_ONCE", 5000)
    monkeypatch.setattr(writing, "LISTED", 3)
    after = prepare(f"text:{tmp_path}/book.txt", tokenizer, tmp_path / "other", quiet=True)
    assert after.sha256 == before.sha256 and after.baselines == before.baselines
    for split in SPLITS:
        (all_of_it,) = after.documents[split]
        assert all_of_it.name == "book.txt"
        assert all_of_it.bytes == sum(document.bytes for document in before.documents[split])


def test_a_large_file_that_is_no_text_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SECTION", 1000)
    for bad in (b"\xff", b"\0"):
        (tmp_path / "book.txt").write_bytes("\n\n".join(sentences(5000)).encode() + bad + b"\n")
        with pytest.raises(CorpusError, match=r"book\.txt is no UTF-8 text"):
            made(tmp_path / "book.txt", tmp_path)


# --- killed and gone on --------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["bytes", "chars"])
def test_a_preparation_that_was_killed_goes_on_and_ends_the_same(tokenizer, tmp_path, monkeypatch):
    write_lines(tmp_path / "a.jsonl", sentences(2000))
    whole = made(tmp_path / "a.jsonl", tmp_path, tokenizer)
    code = f"""
import os
from lab.data import corpora, writing
writing.AT_ONCE, writing.SAVE_SECONDS, writing.LISTED = 3000, 0.0, 100
save, calls = writing.Writer.save, []
def killed(self):
    calls.append(save(self))
    if len(calls) == 9:
        self.halves["train"].file.write(b"torn")
        self.halves["train"].file.flush()
        os.kill(os.getpid(), 9)
writing.Writer.save = killed
corpora.prepare("text:{tmp_path}/a.jsonl", "{tokenizer}", "{tmp_path}/other", quiet=True)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGKILL
    assert len([*(tmp_path / "other").iterdir()]) == 1
    monkeypatch.setattr(writing, "LISTED", 100)
    encoded = []
    encode = type(whole.tokenizer).encode
    monkeypatch.setattr(
        type(whole.tokenizer), "encode", lambda self, text: encoded.append(1) or encode(self, text)
    )
    again = prepare(f"text:{tmp_path}/a.jsonl", tokenizer, tmp_path / "other", quiet=True)
    assert 0 < len(encoded) < 1950, "what was written is not encoded again"
    assert again.sha256 == whole.sha256 and again.baselines == whole.baselines
    assert [path.name for path in (tmp_path / "other").iterdir()] == [again.path.name]
    assert sorted(path.name for path in again.path.iterdir()) == ["held_out.bin", "meta.json", "train.bin"]


def test_the_bar_shows_how_far_it_is_on_a_terminal_alone(tmp_path, capsys, monkeypatch):
    write_lines(tmp_path / "a.jsonl", sentences(60))
    reader = lambda say: [*Files(*user_files(f"text:{tmp_path}/a.jsonl"), say)]  # noqa: E731
    times = iter(range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    assert len(reader(Say())) == 60 and capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    reader(Say())
    assert re.search(r"\[#{30}\] 0 of 0 MB, .* MB/s, 0 s left", capsys.readouterr().err)
    reader(Say(quiet=True))
    assert capsys.readouterr().err == ""
