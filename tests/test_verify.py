"""`lab verify-resume`: that it finds a difference, and that it finds none for real."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from lab.launch import verify
from lab.store.records import CURVE
from lab.store.store import Store
from tests import tiny
from tests.conftest import ROOT, data_folder
from tests.grids import TINY

RECORD = {"status": "done", "steps": 40, "loss": 1.25, "seconds": 2.0, "devices": 1, "way": "jit"}


def stored(folder, config, loss=1.5, **record):
    store = Store(folder)
    store.claim(config).release()
    store.start_curve(config.run_id, 0)
    for step in (1, 40):
        store.add_to_curve(config.run_id, dict.fromkeys(CURVE, loss) | {"step": step})
    if record.get("status") == "diverged":
        record["loss"] = None
    store.write_record(config.run_id, RECORD | record)
    return store


def compared(tmp_path, config, exact, loss=1.5, **record):
    told = []
    stores = stored(tmp_path / "a", config), stored(tmp_path / "b", config, loss, **record)
    return verify.compare(*stores, config.run_id, exact, told.append), told[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "equal to the last bit"),
        ({"seconds": 9.0}, "equal to the last bit"),
        ({"loss": math.nextafter(1.5, 2)}, "DIFFERENT in point 1, point 2"),
        ({"bits_per_byte": 1.0}, "DIFFERENT in record's bits_per_byte"),
    ],
)
def test_one_bit_is_a_difference_and_time_is_none(tmp_path, config, change, words):
    right, told = compared(tmp_path, config, exact=True, **change)
    assert right == ("equal" in words) and words in told


@pytest.mark.parametrize(("loss", "right"), [(1.5000001, True), (1.51, False)])
def test_on_other_devices_losses_agree_within_float_error(tmp_path, config, loss, right):
    found, told = compared(tmp_path, config, exact=False, loss=loss, devices=2, way="mesh")
    assert found == right and f"{abs(1.5 / loss - 1):.1e}" in told


@pytest.mark.parametrize(("other", "agree"), [("done", False), ("diverged", True)])
def test_a_run_that_diverged_agrees_with_one_that_diverged_alone(tmp_path, config, other, agree):
    diverged = stored(tmp_path / "a", config, status="diverged")
    again = stored(tmp_path / "b", config, status=other)
    assert verify.compare(diverged, again, config.run_id, False, lambda line: None) == agree


def test_a_run_too_fast_to_be_killed_is_tried_again_with_more_checkpoints(tmp_path, config, monkeypatch):
    store, asked = Store(tmp_path), []

    def too_fast_at_first(store, config, place, every):
        asked.append(every)
        assert not store.folder(config.run_id).exists(), "what the try before left is gone"
        store.folder(config.run_id).mkdir(parents=True)
        if len(asked) < 2:
            raise verify.TooFast("ended")
        return 7, 1.0

    monkeypatch.setattr(verify, "kill_in_the_middle", too_fast_at_first)
    assert verify.kill_in_time(store, config, verify.Place(), 0.3) == (7, 1.0)
    assert asked == [0.3, 0.0]


@pytest.mark.parametrize(("way", "words"), [("jit", "to the last bit"), ("fsdp", "within the float error")])
def test_another_way_on_one_device_is_held_to_float_error(tmp_path, config, monkeypatch, way, words):
    told, trained = [], lambda store, config, place: stored(store.root, config, way=place.how) and 1.0
    monkeypatch.setattr(verify, "train", trained)
    monkeypatch.setattr(verify, "kill_in_time", lambda *_: (7, 1.0))
    assert verify.verify(config, verify.Place(), [verify.Place(1, way)], told.append, tmp_path)
    assert words in told[-1]


def verified(tmp_path, *options):
    env = os.environ | {"PYTHONPATH": str(ROOT), "LAB_DATA": data_folder(), "TMPDIR": str(tmp_path)}
    longest = max(tiny.runs(), key=lambda run: run.steps)
    longer = replace(longest, tokens=4 * longest.tokens)  # so that it can be killed in its middle
    command = [sys.executable, "-m", "lab", "verify-resume", str(TINY), longer.run_id[:6]]
    command += ["--set", f"tokens={longer.tokens}"]
    command += options
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
    return done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_a_run_killed_and_resumed_is_the_run_left_alone(tmp_path):
    assert "equal to the last bit" in verified(tmp_path)


@pytest.mark.slow
def test_a_run_saved_on_eight_devices_is_gone_on_with_on_one_two_and_four(tmp_path):
    said = verified(tmp_path, "--from-devices", "8", "--devices", "1", "2", "4")
    print(said)  # shown with -rP
    assert all(f"resumed on {n}" in said for n in ("1 device by jit", "2 devices", "4 devices"))
    assert said.count("within the float error allowed") == 3


def test_a_run_that_is_not_there_is_told(lab_command):
    said = lab_command("verify-resume", TINY, "abc", code=1).stderr
    assert "'abc' names 0 of the 4 runs" in said and len(said.splitlines()) == 1
