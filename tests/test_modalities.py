"""Bytes that are no text, by models of text: what is planted comes back."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import modalities
from experiments.reports import tables
from lab.config import ModelConfig
from lab.models import tree
from lab.trained import compress


def test_a_model_that_knows_nothing_needs_eight_bits_and_samples_are_what_they_are_called():
    cfg = ModelConfig(d_model=8, n_layer=1, n_head=1, vocab_size=256, seq_len=64)
    shapes = jax.eval_shape(lambda: tree.init(cfg, jax.random.key(0)))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    run = SimpleNamespace(config=SimpleNamespace(model=cfg), params=nothing)
    samples = modalities.samples(np.arange(modalities.LONG) % 7)
    assert {len(sample) for sample in samples.values()} == {modalities.LONG}
    assert modalities.bits(run, samples["image"]) == pytest.approx(8, abs=1e-5)
    packed = {name: compress.compressed_sizes(sample)["xz -9e"] for name, sample in samples.items()}
    assert packed["text"] < packed["code"] < packed["image"] < packed["noise"]
    assert packed["sound"] < packed["noise"]


def test_a_planted_rise_over_size_and_what_is_left_of_it_over_noise_come_back(tmp_path):
    shared = {"how": "whole", "error": 0.1, "early": 5, "late": 4} | dict.fromkeys(modalities.OTHERS, 3.0)
    own = {1_000: 0.4, 10_000: -0.2, 100_000: 0.3}  # of a run, whatever it reads
    rows = [
        {"run_id": f"r{N}", "params": N, "sample": name, "bits": 5 + rise * np.log10(N) + off} | shared
        for name, rise in (("text", -1.0), ("image", 2.5), ("noise", 2.0))
        for N, off in own.items()
    ]
    tables.write_lines(tmp_path / "modalities.csv", rows)
    found = modalities.cells(tmp_path / "modalities.csv")
    _, low, high = modalities.slope(found["image", "whole"])
    assert low < 2.5 < high and high - low > 1
    left = modalities.over(found["image", "whole"], found["noise", "whole"])
    assert modalities.slope(left) == pytest.approx((0.5, 0.5, 0.5), abs=1e-6)
    first, *_, last = modalities.answer(tmp_path / "modalities.csv")
    assert first.startswith("bits a byte: text 0.30 (gzip 3.00), image 17.80")
    assert last.endswith("image, whole +0.50 (+0.50, +0.50)")
