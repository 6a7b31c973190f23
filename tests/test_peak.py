"""The peak a run's speed is measured against."""

import jax
import pytest

from lab.train import peak


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(peak, "LONG", 0.0)


def test_a_peak_is_measured_once_and_again_when_its_file_is_damaged(tmp_path, monkeypatch, quickly):
    device, found = jax.devices()[0], []
    measured = peak.measured
    monkeypatch.setattr(peak, "measured", lambda *a: found.append(measured(*a)) or found[-1])
    assert peak.of(tmp_path, device, "float32") == peak.of(tmp_path, device, "float32") == found[0]
    peak.of(tmp_path, device, "bfloat16")
    assert len(found) == 2  # another type has another peak
    for path in tmp_path.iterdir():
        path.write_text(path.read_text().replace("0", "1", 1))
    assert peak.of(tmp_path, device, "float32") == found[2]
