"""Damage of every kind to what a store holds: no traceback, and no damaged number in a table.

Bytes are flipped, cut and put in, and JSON is changed into other JSON, in records, claims, curves,
failures and configs; checkpoints in tests/test_train.py and below.
"""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.commands.run import report_failures
from lab.commands.view import View
from lab.config import from_json, to_json
from lab.store import export
from lab.store.files import sha256
from lab.store.records import CURVE
from lab.store.store import Store
from lab.train import checkpoint
from tests.conftest import change

RECORD = {
    "status": "done",
    "steps": 40,
    "loss": 1.25,
    "seconds": 2.0,
    "bits_per_byte": 0.5,
    "loss_se": 0.125,
    "tokens_per_second": 100.0,
    "device": "cpu",
}
FILES = ("record.json", "curve.csv", "claim-0.json", "failure.json", "config.json")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
BYTES = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("put"), st.integers(0, 10**6), st.integers(0, 255)),
)
BUDGET = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def mutated(found: bytes, change: tuple[str, int, int]) -> bytes:
    kind, place, value = change
    place %= max(1, len(found))
    if kind == "flip":
        return found[:place] + bytes([found[place] ^ (1 << value)]) + found[place + 1 :]
    return found[:place] if kind == "cut" else found[:place] + bytes([value]) + found[place:]


@pytest.fixture
def stored(tmp_path, config, monkeypatch):
    """A finished run and a failed one, their files, and the two rows and curves they make."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files are written
    store, other = Store(tmp_path / "runs", patience=0.0), change(config, seed=1)
    for run in (config, other):
        store.claim(run).release()
        text = store.start_curve(run.run_id, 0)
        for step in (1, 40):
            text += store.add_to_curve(run.run_id, dict.fromkeys(CURVE, 1.5) | {"step": step})
    store.write_record(config.run_id, RECORD | {"curve_sha256": sha256(text)})
    store.write_failure(config.run_id, {"run_id": config.run_id, "error": "x"})
    store.write_failure(other.run_id, {"run_id": other.run_id, "error": "x"})
    files = {path: path.read_bytes() for path in store.root.glob("*/*") if path.is_file()}
    return store, [config, other], files


def everything_a_user_does(store, configs, folder):
    """Rows and curves, after every command that reads the store was run on it."""
    view = View(store, configs, 1)
    view.read(quiet=True)
    view.summary(), view.table()
    report_failures(store, configs)
    export.write_curves(store, configs, folder / "curves.csv")
    rows = export.rows(store, configs)
    export.write(rows, folder / "runs.csv")
    return rows, (folder / "curves.csv").read_text().splitlines()[1:]


def check(stored, folder):
    store, configs, _ = stored
    right_row = export.row(configs[0], RECORD | {"schema": 2})
    rows, curves = everything_a_user_does(store, configs, folder)
    for row in rows:
        if row["status"] == "damaged":
            assert row["loss"] is row["tokens"] is row["flops"] is row["seconds"] is None
        else:
            assert row == right_row
    flops = {line.split(",")[5] for line in curves}
    assert flops <= {"1.5"} and len(curves) in (0, 2)
    claims = [store.claim(run) for run in configs]  # a worker comes by
    for claim in filter(None, claims):
        claim.release()


@BUDGET
@given(name=st.sampled_from(FILES), change=BYTES)
def test_bytes_flipped_cut_or_put_in(stored, tmp_path, name, change):
    restore(stored)
    for path in stored[2]:
        if path.name == name:
            path.write_bytes(mutated(stored[2][path], change))
    check(stored, tmp_path)


@BUDGET
@given(name=st.sampled_from([n for n in FILES if n.endswith("json")]), data=st.data())
def test_json_changed_into_other_json(stored, tmp_path, name, data):
    restore(stored)
    for path in stored[2]:
        if path.name == name:
            content = json.loads(stored[2][path])
            key = data.draw(st.sampled_from([*content, "sha256", "retried_as", "step"]))
            content[key] = data.draw(JSON)
            path.write_text(json.dumps(content))
    check(stored, tmp_path)


def restore(stored):
    """The store as it was."""
    store, _, files = stored
    for path in store.root.glob("*/*"):
        if path not in files:
            path.unlink()
    for path, found in files.items():
        path.write_bytes(found)


@BUDGET
@given(data=st.data())
def test_a_mutated_config_is_refused_in_words_or_is_a_config(config, data):
    content = to_json(config)
    part = data.draw(st.sampled_from([content, content["model"], content["optim"]]))
    part[data.draw(st.sampled_from([*part, "new"]))] = data.draw(JSON)
    try:
        found = from_json(content)
    except ValueError:
        return
    assert len(found.run_id) == 12 and from_json(to_json(found)) == found


def test_flips_in_a_checkpoint_give_the_same_arrays_or_none(tmp_path):
    state = {"w": np.arange(6, dtype=np.float32), "step": np.int32(3)}
    kept = checkpoint.Checkpoints(tmp_path / "checkpoints")
    kept.save(3, state, "curve")
    kept.wait()
    files = {p: p.read_bytes() for p in (tmp_path / "checkpoints" / "3").rglob("*") if p.is_file()}
    rng, refused = np.random.default_rng(0), 0
    paths = sorted(files)
    for _ in range(250):
        path = paths[rng.integers(len(paths))]
        kind = ("flip", "cut", "put")[rng.integers(3)]
        path.write_bytes(mutated(files[path], (kind, int(rng.integers(10**6)), 3)))
        try:
            arrays, curve = kept.read(3, state)
        except Exception:  # whatever it is, `restore` sets the checkpoint aside
            refused += 1
        else:
            np.testing.assert_array_equal(arrays["0001"], state["w"])
            assert arrays["0000"] == 3 and curve == "curve"
        path.write_bytes(files[path])
    kept.close()
    assert refused > 50
