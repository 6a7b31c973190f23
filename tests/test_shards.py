"""Ids that other programs wrote: read where they lie, refused by name where they are cut or foreign."""

import json
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import pieces, shards
from lab.data.batches import batches, n_windows, permute, windows_of
from lab.data.corpora import CorpusError, mix, open_corpus, prepare
from lab.data.pieces import Filed, Piece, Stream
from lab.data.texts import SPLITS
from lab.store import export
from lab.store.store import Store
from tests.conftest import change
from tests.trained import Trainer, train

IDS = np.random.default_rng(0).integers(0, 50_257, 40_000)


def nanogpt(path, ids):
    ids.astype("<u2").tofile(path)


def llm_c(path, ids, magic=20240520):
    header = np.zeros(256, "<i4")
    header[:3] = magic, 1, len(ids)
    path.write_bytes(header.tobytes() + ids.astype(shards.LLM_C[magic]).tobytes())


def megatron(path, ids, code=4, documents=10):
    ids.astype(shards.MEGATRON_TYPES[code]).tofile(path)
    lengths = np.full(documents, len(ids) // documents, "<i4")
    lengths[-1] += len(ids) - lengths.sum()
    head = shards.MEGATRON + np.array([1], "<u8").tobytes() + bytes([code])
    head += np.array([documents, documents + 1], "<u8").tobytes() + lengths.tobytes()
    pointers = (np.cumsum(lengths) - lengths).astype("<i8") * np.dtype(shards.MEGATRON_TYPES[code]).itemsize
    path.with_suffix(".idx").write_bytes(
        head + pointers.tobytes() + np.arange(documents + 1, dtype="<i8").tobytes()
    )


def numpy_file(path, ids, dtype="u2"):
    np.save(path, ids.astype(dtype))


def made(path, tmp_path):
    return prepare(f"ids:{path}", directory=tmp_path / "data", quiet=True)


def test_a_large_file_is_read_at_random_and_does_not_stay_in_memory(tmp_path, monkeypatch):
    size = 1 << 26  # bytes
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)
        file.seek(size - 2)
        file.write(b"\7\0")
    piece = Piece(str(tmp_path / "large.bin"), "uint16", 16, size // 2 - 8)

    def most():
        ids, dice, seen = pieces.mapped([piece]), np.random.default_rng(0), []
        before = resident()
        for _ in range(100):
            assert not ids[dice.integers(0, piece.tokens - 65, 64)[:, None] + np.arange(64)].any()
            seen.append(resident() - before)
        assert ids[np.array([5, piece.tokens - 1])].tolist() == [0, 7]
        return max(seen)

    assert most() > size // 2
    monkeypatch.setattr(pieces, "TRUSTED", 0)
    assert most() < size // 64
    ids = pieces.mapped([piece])
    os.truncate(piece.path, size - 2)
    assert ids[-3:-1].tolist() == [0, 0]
    with pytest.raises(CorpusError, match=r"large.bin is cut short: it ends before byte 67,108,864"):
        ids[-3:]


def resident():
    """Bytes of files that are mapped into this process and lie in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.mark.parametrize(
    ("write", "suffix"),
    [
        (nanogpt, "bin"),
        (llm_c, "bin"),
        (lambda path, ids: llm_c(path, ids, 20240801), "bin"),
        (megatron, "bin"),
        (lambda path, ids: megatron(path, ids, 8), "bin"),
        (numpy_file, "npy"),
        (lambda path, ids: numpy_file(path, ids.reshape(-1, 100), "u4"), "npy"),
        (lambda path, ids: numpy_file(path, ids, "i8"), "npy"),
    ],
)
def test_shards_of_every_format_are_one_corpus_that_is_not_copied(write, suffix, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for i in range(3):
        write(folder / f"part_{i:03d}.{suffix}", IDS[i * 10_000 : (i + 1) * 10_000])
    write(folder / f"part_val_000.{suffix}", IDS[30_000:])
    (folder / "README.md").write_text("whatever")
    corpus = made(folder, tmp_path)
    assert corpus.vocab_size == IDS.max() + 1
    for ids, expected in ((corpus.train, IDS[:30_000]), (corpus.held_out, IDS[30_000:])):
        np.testing.assert_array_equal(np.asarray(ids), expected)
        np.testing.assert_array_equal(
            ids[9_990:10_010] if len(ids) > 10_000 else ids[-5:],
            expected[9_990:10_010][-20:] if len(ids) > 10_000 else expected[-5:],
        )
    np.testing.assert_array_equal(
        batches(corpus.train, 3, 0, 5, 8, 64), batches(IDS[:30_000], 3, 0, 5, 8, 64)
    )
    assert [path.name for path in corpus.path.iterdir()] == ["meta.json"], "nothing is copied"
    corpus.verify()
    assert open_corpus(corpus.name, sha256=corpus.sha256, directory=tmp_path / "data").sha256 == corpus.sha256
    assert corpus.held_out_bytes is None and np.isnan(corpus.bytes_per_token).all()
    assert set(corpus.baselines) == {"unigram", "bigram", "trigram"}
    assert all(loss["nats_per_byte"] is None for loss in corpus.baselines.values())
    json.loads((corpus.path / "meta.json").read_text(), parse_constant=lambda text: pytest.fail(text))


def test_without_a_shard_called_val_the_end_of_the_last_is_held_out(tmp_path):
    nanogpt(tmp_path / "train.bin", IDS)
    corpus = made(tmp_path / "train.bin", tmp_path)
    assert len(corpus.held_out) == 8_000 and "the last 8,000 ids of train.bin" in corpus.meta["split"]
    np.testing.assert_array_equal(np.concatenate([corpus.train, corpus.held_out]), IDS)
    megatron(tmp_path / "text.bin", IDS, documents=7)
    corpus = made(tmp_path / "text.bin", tmp_path)
    assert len(corpus.train) % (len(IDS) // 7) == 0 and "cut between documents" in corpus.meta["split"]


def test_ids_of_two_programs_mix_under_the_larger_vocabulary(tmp_path):
    names = {}
    for name, most in {"a": 60, "b": 88}.items():
        nanogpt(tmp_path / f"{name}.bin", IDS % most)
        names[f"ids:{tmp_path / name}.bin"] = 0.5
    corpus = mix(names, directory=tmp_path / "data", quiet=True)
    assert corpus.vocab_size == 88 and corpus.data(max_epochs=2).max_epochs == 2


def test_ids_above_65535_arrive(tmp_path):
    ids = np.arange(100_000) * 7 % 131_072
    ids.astype("<u4").tofile(tmp_path / "a.bin")
    with pytest.raises(CorpusError, match=r"a\.bin looks like ids of uint32.*#uint32"):
        made(tmp_path / "a.bin", tmp_path)
    corpus = made(f"{tmp_path}/a.bin#uint32", tmp_path)
    assert corpus.vocab_size == 131_072
    batch = batches(corpus.train, 0, 0, 1, 512, 128)
    assert batch.dtype == np.int32 and batch.max() > 131_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(bytes(10_001)), "is cut in the middle: 10,001 bytes"),
        (
            lambda path: (llm_c(path, IDS), path.write_bytes(path.read_bytes()[:-2])),
            "80,000 belong as its header says",
        ),
        (
            lambda path: (megatron(path, IDS), path.write_bytes(path.read_bytes()[:-4])),
            r"belong as a\.idx says",
        ),
        (
            lambda path: (megatron(path, IDS), path.with_suffix(".idx").write_bytes(b"no")),
            "a.idx is no index",
        ),
        (lambda path: nanogpt(path, IDS[:100]), "holds 100 ids; a corpus needs at least 2,000"),
        (lambda path: path.with_suffix(".txt").write_text("x"), "no file, no folder"),
    ],
)
def test_a_shard_that_is_cut_is_refused_by_name(make, message, tmp_path):
    make(tmp_path / "a.bin")
    with pytest.raises(CorpusError, match=message) as caught:
        made(tmp_path / "a.bin", tmp_path)
    assert "a.bin" in str(caught.value) or "a.idx" in str(caught.value)


def test_foreign_files_and_types_are_refused_by_name(tmp_path):
    np.save(tmp_path / "a.npy", IDS / 2)
    with pytest.raises(CorpusError, match=r"a\.npy holds float64 and no ids"):
        made(tmp_path / "a.npy", tmp_path)
    np.save(tmp_path / "b.npy", IDS - 5)
    with pytest.raises(CorpusError, match=r"b\.npy holds the id -5, which is below 0"):
        made(tmp_path / "b.npy", tmp_path)
    nanogpt(tmp_path / "c.bin", IDS)
    with pytest.raises(CorpusError, match=r"c\.bin read as uint32 has the id [\d,]+, and no vocabulary"):
        made(f"{tmp_path}/c.bin#uint32", tmp_path)
    with pytest.raises(CorpusError, match="'uint7' is no type of ids"):
        made(f"{tmp_path}/c.bin#uint7", tmp_path)
    np.save(tmp_path / "e.npy", IDS[: 2 * (len(IDS) // 2)].reshape(2, -1).T)
    with pytest.raises(CorpusError, match=r"e\.npy lies column after column"):
        made(tmp_path / "e.npy", tmp_path)
    (tmp_path / "d.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:5000])
    with pytest.raises(CorpusError, match=r"d\.npy is cut short"):
        made(tmp_path / "d.npy", tmp_path)


def test_a_shard_that_is_trained_on_is_not_held_out(tmp_path):
    for name in ("train.bin", "val.bin"):
        nanogpt(tmp_path / name, IDS)
    with pytest.raises(CorpusError, match=r"val\.bin holds the same ids as .*train\.bin"):
        made(tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
def test_a_shard_that_changes_is_found_and_its_checksum_read_once(name, tmp_path, monkeypatch):
    nanogpt(tmp_path / "train.bin", IDS[:30_000])
    nanogpt(tmp_path / "val.bin", IDS[30_000:])
    corpus = made(tmp_path, tmp_path)
    pieces.read.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Piece, "chunks", lambda self: pytest.fail("read again"))
        corpus.verify()
    data = bytearray((tmp_path / name).read_bytes())
    data[99] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{re.escape(name)} is damaged"):
        corpus.verify()
    with pytest.raises(CorpusError, match="overwritten while"):
        corpus.verify_again()
    assert made(tmp_path, tmp_path).sha256 != corpus.sha256
    (tmp_path / name).write_bytes(data[:-2])
    with pytest.raises(CorpusError, match=rf"{re.escape(name)} is damaged: .* belong"):
        open_corpus(corpus.name, directory=tmp_path / "data")
    (tmp_path / name).unlink()
    with pytest.raises(CorpusError, match=name):
        open_corpus(corpus.name, directory=tmp_path / "data")


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(sum), st.data())
def test_a_stream_reads_as_one_array(sizes, data):
    whole = np.arange(sum(sizes), dtype=np.uint32)
    ends = np.cumsum(sizes)
    stream = Stream([whole[end - size : end] for size, end in zip(sizes, ends, strict=True)])
    places = np.array(data.draw(st.lists(st.integers(-len(whole), len(whole) - 1))), int).reshape(-1, 1)
    np.testing.assert_array_equal(stream[places], whole[places])
    cut = data.draw(st.slices(len(whole)))
    np.testing.assert_array_equal(stream[cut], whole[cut])
    assert len(stream) == len(whole) and np.array_equal(np.asarray(stream), whole)


def test_a_run_on_shards_has_a_loss_and_no_bits_per_byte(tmp_path, config, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    for i in range(3):
        numpy_file(tmp_path / f"{'val' if i == 2 else i}.npy", np.arange(i, 4000 + 5 * i) % 8)
    corpus = prepare(f"ids:{tmp_path}/*.npy", quiet=True)
    data = {"data__sha256": corpus.sha256, "data__corpus": corpus.name, "data__train_tokens": corpus.n_train}
    run = change(config, tokens=20 * 128, **data)
    store = Store(tmp_path / "runs")
    record = train(Trainer(store, jax.local_devices()[:1]), run, corpus, store.claim(run))
    assert record["status"] == "done" and record["loss"] < 2.0 and record["bits_per_byte"] is None
    assert export.row(run, record | export.provenance(""))["bits_per_byte"] is None


# --- more ids than fit any memory ----------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(10**8, 10**12), st.integers(0, 2**63), st.integers(0, 100))
def test_the_permutation_of_so_many_windows_repeats_none_and_leaves_none(n, seed, epoch):
    places = np.concatenate([np.arange(2000), np.arange(n - 2000, n)])
    windows = permute(places, n, seed, epoch)
    assert len(np.unique(windows)) == len(places) and windows.min() >= 0 and windows.max() < n
    assert abs(windows.mean() / n - 0.5) < 0.05


def test_two_hundred_billion_ids_are_addressed(tmp_path):
    """A sparse file; the ids that are looked at are written where the batches say."""
    n, seq_len = 2 * 10**11 + 10, 1024
    path = tmp_path / "train.bin"
    with path.open("wb") as file:
        file.truncate(2 * n)
    total = n_windows(n, seq_len)
    examples = np.array([0, 1, total - 1, total, 2 * total - 1])
    windows = windows_of(examples, 7, n, seq_len)
    ids = np.memmap(path, "<u2", "r+")
    for number, window in enumerate(windows):
        ids[window * seq_len : (window + 1) * seq_len] = number + 1
    ids.flush()
    piece = Piece(str(path), "<u2", 0, n)
    stream = Stream([Filed(piece), np.zeros(5, np.uint16)])
    for number, example in enumerate(examples):
        batch = batches(stream, 7, int(example), 1, 1, seq_len)
        assert (
            windows_of(example[None], 7, n + 5, seq_len)[0] == windows[number]
            and (batch[0, 0, :-1] == number + 1).all()
        )
    assert max(windows) * seq_len > 2**36 and Path(path).stat().st_blocks * 512 < 1 << 20
    assert SPLITS == ("train", "held_out")
