"""The peak a run's speed is measured against."""

import jax
import pytest

from lab.train import measures


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(measures, "LONG", 0.0)


def test_a_peak_is_measured_once_and_again_when_its_file_is_damaged(tmp_path, monkeypatch, quickly):
    device, found = jax.devices()[0], []
    time_products = measures.time_products
    monkeypatch.setattr(measures, "time_products", lambda *a: found.append(time_products(*a)) or found[-1])
    assert (
        measures.peak_flops(tmp_path, device, "float32")
        == measures.peak_flops(tmp_path, device, "float32")
        == found[0]
    )
    measures.peak_flops(tmp_path, device, "bfloat16")
    assert len(found) == 2  # another type has another peak
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace("0", "1", 1))
    assert measures.peak_flops(tmp_path, device, "float32") == found[2]
