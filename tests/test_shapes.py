"""Where norms stand, what counts as trained, and the small corpora out of packages."""

import importlib
import io
import json
import tarfile

import jax
import numpy as np
import pytest

from experiments import depth, texts
from experiments.reports import tables
from lab.config import ModelConfig
from lab.data import packaged
from lab.data.texts import Say

norms = importlib.import_module("experiments.own.norms")


@pytest.mark.parametrize("place", depth.NORMS)
def test_a_part_of_nothing_leaves_the_stream_or_its_norm(place):
    own = {"settings": {"norms": place}} if place != "pre" else {}
    cfg = ModelConfig(kind=depth.MODEL, n_layer=3, d_model=8, n_head=2, vocab_size=16, seq_len=4, **own)
    params = norms.Net.init(cfg, jax.random.key(0))
    first = jax.tree.map(lambda w: w[0], params["layers"])
    x_BLD = 3 + 2 * jax.random.normal(jax.random.key(1), (2, 4, 8))
    silent = first | {name: 0 * first[name] for name in ("out", "down")}
    kept = norms.block(2, place, norms.scales(place, 3)[0], x_BLD, silent)
    within = place in ("post", "deep")
    wanted = norms.norm(norms.norm(x_BLD, 1.0), 1.0) if within else x_BLD
    np.testing.assert_allclose(kept, wanted, atol=1e-4)
    said = norms.block(2, place, norms.scales(place, 3)[0], x_BLD, first)
    assert np.abs(said - kept).max() > 0.01
    # DeepNorm begins its parts smaller than they are without, sub-LN larger
    assert np.std(first["out"]) == pytest.approx(norms.scales(place, 3)[1] / 8**0.5, rel=0.3)


def test_a_run_that_diverges_or_stays_at_the_frequencies_of_bytes_has_not_trained(tmp_path):
    ended = {0.01: (2.5, 2.6), 0.1: (2.4, 3.3), 1.0: ("", "")}  # by rate; empty: diverged
    rows = [
        {
            "n_layer": 8,
            "settings": "",
            "status": "done" if loss else "diverged",
            "learning_rate": rate,
            "loss": loss,
        }
        for rate, losses in ended.items()
        for loss in losses
    ]
    tables.write_lines(tmp_path / "runs.csv", rows)
    (cell,) = depth.cells(tmp_path / "runs.csv")
    assert (cell.layers, cell.norms, cell.trained, cell.of) == (8, "pre", 3, 6)
    assert cell.rate == 0.01 and np.exp(cell.log_loss) == pytest.approx(np.sqrt(2.5 * 2.6))
    noise = np.log(2.6 / 2.5) / 2**0.5  # of one pair, the only rate at which every seed trains
    assert cell.half == pytest.approx(12.706 * noise / 2**0.5, rel=1e-3)


def test_a_gap_between_kinds_is_a_share_of_the_bits_with_the_noise_of_seeds(tmp_path):
    bits = {("a", "lstm"): (3.0, 3.1), ("a", "transformer"): (2.9, 2.8), ("b", "lstm"): (2.0, 2.0)}
    rows = [
        {"corpus": corpus, "kind": kind, "status": "done", "bits_per_byte": each}
        for (corpus, kind), own in bits.items()
        for each in own
    ]
    tables.write_lines(tmp_path / "runs.csv", rows)
    (one,) = texts.told(tmp_path / "runs.csv")  # of b one kind is missing
    assert one.corpus == "a" and one.ahead == pytest.approx(np.log(3.0 * 3.1 / 2.9 / 2.8) / 2)
    variance = (np.log(3.1 / 3.0) ** 2 + np.log(2.9 / 2.8) ** 2) / 2 / 3
    assert one.half == pytest.approx(3.182 * variance**0.5, rel=1e-3)


def archive(path, files):
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"made-1/{name}")
            entry.size = len(text)
            out.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_names_are_documents_of_a_line_each_and_once(tmp_path, monkeypatch):
    every = [f"N{a}{b}" for a in "ABCDEFGH" for b in "ABCDEFGH"]
    lines = "".join(f"{name.upper():15}0.1 0.1 1\n" for name in every)
    made = archive(tmp_path / "n.tar.gz", {"names/dist.all.last": lines, "names/dist.x.first": "NAA 1 1 1\n"})
    monkeypatch.setattr(packaged, "fetch", lambda *_: made)
    documents = packaged.names("names", tmp_path, Say(quiet=True)).documents
    assert sorted(text for *_, text in documents) == sorted(f"{name.capitalize()}\n" for name in every)
    assert {split for split, *_ in documents} == {"train", "held_out"}
    assert [name for _, name, _ in documents] != sorted(name for _, name, _ in documents)


def test_the_manual_is_the_markdown_of_one_folder(tmp_path, monkeypatch):
    files = {f"docs_nnx/{i}.md": f"# Page {i}\n" * 9 for i in range(8)}
    files |= {"docs_nnx/copy.md": files["docs_nnx/0.md"], "docs_nnx/a.py": "x = 1\n", "docs/1.md": "no\n"}
    made = archive(tmp_path / "f.tar.gz", files)
    monkeypatch.setattr(packaged, "fetch", lambda *_: made)
    documents = packaged.markdown("flax-docs", tmp_path, Say(quiet=True)).documents
    assert len(documents) == 8 and all(text.startswith("# Page") for *_, text in documents)
    assert json.dumps([name for _, name, _ in documents]).count("docs_nnx/") == 8
