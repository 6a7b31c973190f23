"""Mixtures: the weights hold, no part repeats before its time, and a run's data depend on its step alone."""

import csv
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data import corpora, mixtures
from lab.data.batches import batches
from lab.data.corpora import CorpusError, open_corpus
from lab.data.mixtures import DEAL, Mix, Part, dealt_counts
from lab.store import export
from lab.store.store import Store
from lab.train.run import check_corpus
from tests.conftest import change
from tests.trained import Trainer, train

SEEDS = st.integers(0, 2**63)
SEQ_LEN = 4


class Numbered:
    """A corpus whose ids tell which part and which place they are."""

    def __init__(self, part, windows):
        self.train = 1_000_000 * part + np.arange(windows * SEQ_LEN + 1)


def mix_of(counts, windows, unique=None):
    parts = zip(counts, windows, unique or [w * SEQ_LEN + 1 for w in windows], strict=True)
    return Mix(tuple(Part(Numbered(i, w), c, u) for i, (c, w, u) in enumerate(parts)))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.floats(0.01, 100), min_size=2, max_size=6))
def test_a_deal_is_dealt_out_whole_and_by_weight(weights):
    try:
        counts = dealt_counts(weights)
    except CorpusError:
        assert min(weights.values()) / sum(weights.values()) < 1 / DEAL
        return
    assert sum(counts.values()) == DEAL
    for part, weight in weights.items():
        assert abs(counts[part] - DEAL * weight / sum(weights.values())) < 1
    assert dealt_counts({part: 8 * weight for part, weight in weights.items()}) == counts


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 999), st.integers(20, 700), st.integers(20, 700))
def test_weights_hold_and_no_part_repeats_within_its_own_epoch(seed, count, first, second):
    mix = mix_of((count, DEAL - count), (first, second))
    rows = batches(mix, seed, 0, 3, DEAL, SEQ_LEN)
    assert rows.shape == (3, DEAL, SEQ_LEN + 1) and (np.diff(rows, axis=2) == 1).all()
    part, place = np.divmod(rows[..., 0], 1_000_000)
    np.testing.assert_array_equal((part == 0).sum(1), [count] * 3)
    for number, n in ((0, first), (1, second)):
        windows = place[part == number] // SEQ_LEN
        for start in range(0, len(windows), n):
            epoch = windows[start : start + n]  # in the order in which they come
            whole = len(epoch) == n
            order = sorted(mixed(mix, seed, number, start, start + len(epoch)))
            assert len(set(order)) == len(order) and (not whole or order == list(range(n)))


def mixed(mix, seed, number, first, end):
    """Windows of a part's own examples first..end-1."""
    example = np.arange(3 * DEAL)
    which, own = mix.dealt(example, seed)
    here = (which == number) & (own >= first) & (own < end)
    return (mix.cut(example[here], seed, SEQ_LEN, None)[:, 0] % 1_000_000 // SEQ_LEN).tolist()


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 400), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))
def test_a_batch_depends_on_its_step_alone(seed, first, n_steps, batch_size, hosts):
    mix = mix_of((300, 500, 200), (50, 400, 90))
    together = batches(mix, seed, first, n_steps, batch_size, SEQ_LEN)
    for step in range(n_steps):
        one = batches(mix, seed, first + step, 1, batch_size, SEQ_LEN)[0]
        np.testing.assert_array_equal(one, together[step])
        for host in range(hosts):
            rows = slice(host, None, hosts)
            own = batches(mix, seed, first + step, 1, batch_size, SEQ_LEN, rows=rows)[0]
            np.testing.assert_array_equal(own, one[rows])


def test_the_parts_are_shuffled_and_seeds_differ():
    mix = mix_of((500, 500), (5000, 5000))
    kinds = [batches(mix, seed, 0, 1, DEAL, SEQ_LEN)[0, :, 0] // 1_000_000 for seed in (0, 1)]
    assert not np.array_equal(*kinds)
    for kind in kinds:
        assert 400 < np.abs(np.diff(kind)).sum() < 600, "neither in runs nor in turns"


def test_a_capped_part_repeats_its_own_windows_for_every_seed():
    mix = mix_of((500, 500), (2000, 2000), (40 * SEQ_LEN, 8001))
    kept = []
    for seed in (0, 1):
        rows = batches(mix, seed, 0, 2, DEAL, SEQ_LEN)[..., 0].ravel()
        kept.append(sorted({int(row) for row in rows[rows < 1_000_000]}))
        assert len({*rows[rows >= 1_000_000].tolist()}) == 1000, "the other part does not repeat"
    assert kept[0] == kept[1] and len(kept[0]) == 40
    assert len(mix) == 40 * SEQ_LEN * 2, "tokens before the first part repeats"
    with pytest.raises(ValueError, match="parts have limits of their own"):
        batches(mix, 0, 0, 1, 8, SEQ_LEN, 100)


# --- corpora -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    for name, words in (("wiki", "the cat sat"), ("code", "if x: y()")):
        (tmp_path / name).mkdir()
        for i in range(30):
            (tmp_path / name / f"{i:02d}.txt").write_text(f"{name} {i} {words}\n" * 60)
    return tmp_path


def test_a_mixture_is_prepared_opened_and_known_by_its_content(folder):
    weights = {f"text:{folder}/wiki": 0.7, f"text:{folder}/code": 0.3}
    corpus = corpora.mix(weights, quiet=True)
    assert open_corpus(corpus.name, sha256=corpus.sha256).sha256 == corpus.sha256
    same = corpora.mix({name: 10 * weight for name, weight in reversed(weights.items())}, quiet=True)
    assert same.sha256 == corpus.sha256
    others = [corpora.mix(weights | {f"text:{folder}/code": 0.4}, quiet=True)]
    others.append(corpora.mix(weights, unique={f"text:{folder}/code": 9000}, quiet=True))
    assert len({corpus.sha256, *(other.sha256 for other in others)}) == 3
    code, wiki = (part.corpus for part in corpus.parts)
    share = (np.asarray(corpus.held_out) == ord("x")).sum() / 60  # of lines of code
    assert corpus.n_held_out == len(corpus.held_out) and share > 0
    assert len(corpus.held_out.parts[1]) / corpus.n_held_out == pytest.approx(0.7, abs=0.001)
    assert corpus.n_train == min(int(wiki.n_train / 0.7), int(code.n_train / 0.3))
    corpus.verify()
    (code.path / "train.bin").write_bytes(b"x" * code.n_train)
    with pytest.raises(CorpusError, match=r"train\.bin is damaged"):
        open_corpus(corpus.name).verify()


def test_parts_that_share_a_file_are_refused_and_globs_that_do_not_are_taken(folder):
    wiki = f"text:{folder}/wiki"
    with pytest.raises(CorpusError, match=r"07\.txt is in .* what one holds out the other would train on"):
        corpora.mix({wiki: 0.7, f"{wiki}/07.txt": 0.3}, quiet=True)
    with pytest.raises(CorpusError, match="what one holds out"):
        corpora.mix({f"{wiki}/07.txt": 0.7, f"{wiki}/07.txt#again": 0.3}, quiet=True)
    mixed = corpora.mix({f"{wiki}/0*.txt": 0.7, f"{wiki}/1*.txt": 0.3}, quiet=True)
    assert len(mixed.parts) == 2


def test_a_part_that_holds_out_less_than_a_window_is_refused_before_a_run_is_trained(folder, config):
    (folder / "little.txt").write_text("\n\n".join(f"the cat sat {i} times" for i in range(300)))
    weights = {f"text:{folder}/wiki": 0.9, f"text:{folder}/little.txt": 0.1}
    corpus = corpora.mix(weights, quiet=True)
    model = {"model__seq_len": 2048, "model__vocab_size": 256}
    data = {"data__sha256": corpus.sha256, "data__corpus": corpus.name, "data__train_tokens": corpus.n_train}
    run = change(config, batch_tokens=2 * 2048, tokens=4096 * 4, micro_batch=1, **model, **data)
    with pytest.raises(ValueError, match=r"of 'little.*' [\d,]+ tokens are held out, and one window"):
        check_corpus(run, corpus)


def test_an_order_of_parts_is_a_mixture_of_its_own_and_ids_of_before_are_opened(folder):
    names = [f"text:{folder}/{name}" for name in ("1/wiki", "2/code", "3/wiki")]
    for old, new in (("wiki", "1/wiki"), ("code", "2/code"), ("wiki", "3/wiki")):
        shutil.copytree(folder / old, folder / new)
    both = [corpora.mix(dict.fromkeys(parts, 0.5), quiet=True) for parts in (names[:2], names[1:])]
    assert np.array_equal(both[0].parts[0].corpus.train, both[1].parts[1].corpus.train)
    before = both[0].sha256_of_before
    assert before == both[1].sha256_of_before and before in (both[0].sha256, both[1].sha256)
    assert both[0].sha256 != both[1].sha256
    for corpus in both:
        assert open_corpus(corpus.name, sha256=before).data().sha256 == before
    with pytest.raises(CorpusError, match="was asked for"):
        open_corpus(both[0].name, sha256=both[1].sha256 if before == both[0].sha256 else "0" * 64)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mix:", "a mixture is named"),
        ('mix:{"markov:8-1-3-0-50000": 1}', "two parts or more"),
        ('mix:{"markov:8-1-3-0-50000": 1, "markov:8-1-3-1-50000": -1}', "a weight above 0"),
        ('mix:{"markov:8-1-3-0-50000": 1, "markov:8-1-3-1-50000": 0.0001}', "a weight under 1/1000"),
        ('mix:{"markov:8-1-3-0-50000": 1, "markov:9-1-3-1-50000": 1}', "different vocabularies"),
        (
            'mix:{"markov:8-1-3-0-50000": 1, "markov:8-1-3-1-50000": [1, 90000]}',
            r"holds 51,200 .* not 90,000",
        ),
    ],
)
def test_what_is_no_mixture_is_refused(name, message, folder):
    with pytest.raises(CorpusError, match=message):
        corpora.prepare(name, quiet=True)


def test_a_run_on_a_mixture_tells_each_part_s_loss_and_epochs(config, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "data"))
    easy, hard = "markov:8-1-2-0-50000", "markov:8-1-8-3-50000"
    corpus = corpora.mix({easy: 0.25, hard: 0.75}, unique={easy: 320}, quiet=True)
    data = {"data__sha256": corpus.sha256, "data__corpus": corpus.name, "data__train_tokens": corpus.n_train}
    run = change(config, tokens=40 * 128, **data)
    assert run.epochs == pytest.approx(4, rel=0.01), "of the part that is repeated most"
    record = train(
        Trainer(Store(tmp_path / "runs"), jax.local_devices()[:1]),
        run,
        corpus,
        Store(tmp_path / "runs").claim(run),
    )
    row = export.row(run, record | export.provenance(""))
    assert row["unique_tokens"] == 320 + 3840, "the one part four times, the other not once whole"
    assert export.row(run, {"status": "diverged", "steps": 40, "loss": None})["unique_tokens"] is None
    assert export.row(run, {"status": "diverged", "steps": 10, "loss": None})["unique_tokens"] == 1280
    assert row[f"epochs_{easy}"] == pytest.approx(4) and row[f"epochs_{hard}"] == pytest.approx(3840 / 51_200)
    assert record["parts"][easy]["loss"] < record["loss"] < record["parts"][hard]["loss"]
    expected = 0.25 * row[f"loss_{easy}"] + 0.75 * row[f"loss_{hard}"]
    assert record["loss"] == pytest.approx(expected, abs=0.02)
    plain = export.row(config, {"status": "done", "steps": 40, "loss": 2.0})
    export.write([plain, row], tmp_path / "runs.csv")
    lines = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert float(lines[1][f"loss_{easy}"]) == row[f"loss_{easy}"] and lines[0][f"loss_{easy}"] == ""
    assert mixtures.short_name("text:data/wiki.jsonl#body") == "wiki"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["text:a/wiki.txt", "text:b/wiki.txt"], ["a/wiki", "b/wiki"]),
        (["text:x/a/wiki.txt", "text:y/a/wiki.txt", "ids:c"], ["x/a/wiki", "y/a/wiki", "c"]),
        (
            ["text:wiki.jsonl#body", "text:wiki.jsonl#title"],
            ["text:wiki.jsonl#body", "text:wiki.jsonl#title"],
        ),
    ],
)
def test_parts_have_the_shortest_names_that_tell_them_apart(names, short):
    parts = tuple(SimpleNamespace(corpus=SimpleNamespace(name=name)) for name in names)
    found = mixtures.Mixture.by_part(SimpleNamespace(parts=parts))
    assert list(found) == short and list(found.values()) == list(parts)
