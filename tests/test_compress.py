"""What was packed comes back byte for byte, and its size is the model's loss."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.commands import cli
from lab.data import batches
from lab.data.byte_pairs import Bpe
from lab.data.tokens import Bytes, Chars, Symbols
from lab.models import tree
from lab.store.store import Store
from lab.trained import compress, weights
from lab.trained.coder import Decoder, Encoder
from tests.test_recurrent import build
from tests.trained import TEXT, finished, on_sheep

frequencies = st.lists(st.integers(1, 3) | st.integers(1, 1 << 24), min_size=1, max_size=9)
coded = st.lists(
    frequencies.flatmap(lambda f: st.tuples(st.just(f), st.integers(0, len(f) - 1))), max_size=60
)


@given(coded)
@settings(max_examples=100, deadline=None)
def test_an_arithmetic_code_gives_back_its_symbols_and_costs_their_bits(symbols):
    encoder, bits = Encoder(), 0.0
    for f, symbol in symbols:
        encoder.add(sum(f[:symbol]), f[symbol], sum(f))
        bits += math.log2(sum(f) / f[symbol])
    packed = encoder.finish()
    decoder = Decoder(packed)
    assert [decoder.take([0, *np.cumsum(f).tolist()]) for f, _ in symbols] == [s for _, s in symbols]
    assert 8 * len(packed) <= bits + 16 + len(symbols) * 2**-23


def test_a_carry_runs_through_bytes_of_ones():
    """The last symbol of nearly everything, again and again, then the very last of all."""
    encoder, total = Encoder(), (1 << 32) - 1
    symbols = [(total - 1, 1), *[(0, total - 1)] * 3, *[(total - 2, 2)] * 20, (0, 1), (total - 1, 1)]
    for start, f in symbols:
        encoder.add(start, f, total)
    decoder = Decoder(encoder.finish())
    for start, f in symbols:
        table = [0, start, start + f, total] if start else [0, f, total]
        assert decoder.take(table) == (1 if start else 0)


@pytest.mark.parametrize("wrong", [(0, 0, 5), (3, 3, 5), (-1, 2, 5), (0, 1, 1 << 32)])
def test_frequencies_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="does not fit"):
        Encoder().add(*wrong)


def untrained(kind, n_head=1, vocab=256):
    """A model with opinions: some of its probabilities are far from even."""
    cfg = build(kind, n_head=n_head, vocab_size=vocab)
    params = tree.init(cfg, jax.random.key(0))
    return cfg, params | {"readout_DV": 20 * params["readout_DV"]}


MODELS = {kind: untrained(kind, n) for kind, n in (("lstm", 1), ("gru", 1), ("transformer", 2))}


@pytest.mark.parametrize("kind", MODELS)
@given(st.binary(max_size=80) | st.text(max_size=20).map(str.encode))
@settings(max_examples=334, deadline=None)
def test_whatever_was_coded_comes_back(kind, text):
    """1,002 texts in all; streams of 8 tokens and more, so that up to 8 go side by side."""
    cfg, params = MODELS[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compress, "EACH", 8)
        ids = np.frombuffer(text, np.uint8)
        streams = compress.encode(cfg, params, ids)
        assert compress.decode(cfg, params, streams, len(ids)).astype(np.uint8).tobytes() == text


@pytest.mark.parametrize("kind", MODELS)
def test_frequencies_do_not_depend_on_what_comes_after_to_the_last_bit(kind):
    """What decoding rests on: a window that is not yet full gives the same integers."""
    cfg, params = MODELS[kind]
    rng = np.random.default_rng(0)
    for streams in (1, 4):
        whole = rng.integers(0, 256, (streams, 8)).astype(np.int32)
        table = np.asarray(compress.cumulative(cfg, params, whole))
        for seen in range(1, 9):
            part = np.where(np.arange(8) < seen, whole, 0)
            found = np.asarray(compress.cumulative(cfg, params, part))
            np.testing.assert_array_equal(found[:, :seen], table[:, :seen])
        assert (np.diff(table) > 0).all() and table[..., -1].max() < 1.001 * compress.SCALE


@pytest.fixture(scope="module")
def sheep(tmp_path_factory):
    """A store with a trained LSTM, and the run."""
    folder = tmp_path_factory.mktemp("sheep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DATA", str(folder / "data"))
        config = on_sheep(folder)
        store = Store(folder / "runs")
        finished(store, config)
        run = weights.read(store, config.run_id)
        corpus = run.corpus()
    return folder, run, corpus


def test_held_out_text_has_the_size_that_its_loss_foretells(sheep):
    _, run, corpus = sheep
    cfg, ids = run.config.model, np.asarray(corpus.held_out)
    windows, mask = batches.eval_windows(ids, cfg.seq_len)
    nats = float((np.asarray(tree.nats(cfg, run.params, jnp.asarray(windows))) * mask).sum())
    assert nats / mask.sum() == pytest.approx(run.record["loss"], rel=1e-5)
    foretold = nats / math.log(2) / 8
    size = sum(map(len, compress.encode(cfg, run.params, ids)))
    assert len(ids) > 10_000 and size == pytest.approx(foretold, rel=0.01)
    packed = compress.compress(run, Bytes(), ids.tobytes())
    assert len(packed) == pytest.approx(size, abs=400)  # the header
    assert 8 * len(packed) / len(ids) < 3, "it learned nothing: the test shows little"


def test_a_damaged_file_is_refused_wherever_it_was_damaged(sheep):
    _, run, _ = sheep
    packed = compress.compress(run, Bytes(), TEXT[:300].encode())
    assert compress.decompress(run, Bytes(), packed) == TEXT[:300].encode()
    for at in range(len(packed)):
        broken = packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]
        with pytest.raises(compress.NotTheText):
            compress.decompress(run, Bytes(), broken)
    for end in range(len(packed)):
        with pytest.raises(compress.NotTheText):
            compress.read_header(packed[:end])


def test_other_weights_and_another_machine_s_probabilities_are_refused(sheep, monkeypatch):
    _, run, _ = sheep
    packed = compress.compress(run, Bytes(), bytes(range(99, 0, -1)))  # dear: every bit counts
    other = weights.Trained(run.config, run.record, jax.tree.map(lambda a: a + 1, run.params))
    with pytest.raises(compress.NotTheText, match="other weights"):
        compress.decompress(other, Bytes(), packed)
    exact = compress.cumulative
    monkeypatch.setattr(compress, "cumulative", lambda *a: exact(*a) + jnp.arange(257))
    with pytest.raises(compress.NotTheText, match=r"what comes out.*last bit"):
        compress.decompress(run, Bytes(), packed)


@pytest.mark.parametrize(
    ("tokenizer", "text", "wrong", "words"),
    [
        (Bytes(), b"\xff\x00a", None, ""),
        (Chars(" ab\u00ed"), "a b\u00ed".encode(), b"abc", "'c' is not in the vocabulary"),
        (Chars(" ab"), b"ab", b"a\xffb", "byte 1 is not UTF-8"),
        (Symbols(3), b"abc", b"abd", "'d' is no symbol"),
        (Bpe(((104, 101), (256, 108))), "hel d\u00eda".encode(), b"\xff", "byte 0 is not UTF-8"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_every_tokenizer_gives_back_the_bytes_or_says_why_not(tokenizer, text, wrong, words):
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(text)) == text
    if wrong is not None:
        with pytest.raises(ValueError, match=words):
            tokenizer.encode_bytes(wrong)


@pytest.fixture
def lab(sheep, tmp_path, monkeypatch, capsys):
    """`python -m lab ...` in an empty folder, in this process."""
    monkeypatch.setenv("LAB_DATA", str(sheep[0] / "data"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        found = cli.main([*map(str, arguments), "--store", str(sheep[0] / "runs")])
        said = capsys.readouterr()
        assert found == code, said.err
        return said

    return run


def test_a_file_is_packed_and_unpacked_by_the_commands(sheep, lab, tmp_path):
    text, run_id = TEXT[-3000:].encode(), sheep[1].config.run_id
    (tmp_path / "flock.txt").write_bytes(text)
    said = lab("compress", run_id[:4], "flock.txt")
    assert "came back byte for byte" in said.err and "lstm 1 x 32" in said.err
    assert all(word in said.out for word in ("gzip -9", "bzip2 -9", "xz -9e", "weights, 4 bytes"))
    assert f"{(tmp_path / 'flock.txt.lab').stat().st_size:,}" in said.out
    lab("decompress", "flock.txt.lab", "-o", "again.txt")
    assert (tmp_path / "again.txt").read_bytes() == text


def test_a_text_is_written_on_by_the_command(sheep, lab):
    said = lab("sample", sheep[1].config.run_id[:4], "--prompt", "7 sheep jump", "--tokens", 40)
    assert said.out.startswith("7 sheep jump") and len(said.out.encode()) >= 50
    assert "lstm 1 x 32" in said.err
    said = lab("sample", sheep[1].config.run_id, "--prompt", "sheep " * 5, "--tokens", 1)
    assert "the first 14 of the prompt's 30 tokens are out of its context of 16" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("sample", "RUN", "--prompt", ""), "the prompt is empty"),
        (("sample", "0123", "--prompt", "a"), "names 0 runs"),
        (("sample", "../x", "--prompt", "a"), "names 0 runs"),
        (("compress", "RUN", "wolves.txt"), "no such file"),
        (("compress", "RUN", "here.txt", "-o", "here.txt"), "is there already"),
        (("decompress", "here.txt"), "does not end in .lab"),
        (("decompress", "here.txt", "-o", "x"), "here.txt: it was not made by `lab compress`"),
    ],
)
def test_wrong_input_ends_in_one_line(sheep, lab, tmp_path, arguments, words):
    (tmp_path / "here.txt").write_text("two wolves")
    run_id = sheep[1].config.run_id
    said = lab(*(run_id if word == "RUN" else word for word in arguments), code=1)
    assert words in said.err and said.err.count("\n") <= 2 and not (tmp_path / "x").exists()
