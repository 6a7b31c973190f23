"""Truths about stores, claims and devices that mutations once got past."""

import os
import re
import subprocess

import jax
import jax.numpy as jnp
import pytest

from lab.data.tokens import Chars
from lab.models import ops
from lab.store import claims, records
from lab.store import store as store_module
from lab.store.files import Damaged, StoreError, sealed, write_json
from lab.store.records import CURVE, check_record
from lab.store.store import Store

# --- who lives -----------------------------------------------------------------------------------


def test_a_process_has_a_start_while_it_lives_and_none_after(monkeypatch):
    own = claims.process_start(os.getpid())
    assert own.isdecimal() and claims.process_start(os.getpid()) == own
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert claims.process_start(child.pid) is None  # a zombie
    child.wait()
    assert claims.process_start(child.pid) is None
    assert claims.process_start(-1) is claims.process_start(2**70) is None


def test_a_process_whose_status_is_empty_is_going_and_without_proc_signals_tell(monkeypatch, tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = ended.pid

    class Proc:  # a /proc that is there and gives an empty line, or is not there
        there = True

        def __init__(self, path):
            pass

        def read_text(self):
            if not self.there:
                raise FileNotFoundError
            return ""

        def exists(self):
            return self.there

    monkeypatch.setattr(claims, "Path", Proc)
    assert claims.process_start(os.getpid()) is None
    monkeypatch.setattr(Proc, "there", False)
    assert claims.process_start(os.getpid()) == "alive"
    assert claims.process_start(gone) is claims.process_start(2**70) is None
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(PermissionError))
    assert claims.process_start(os.getpid()) == "alive"  # somebody else's


def test_a_claim_of_another_host_counts_until_it_was_silent_for_the_store_s_patience(
    tmp_path, config, monkeypatch
):
    store, clock = Store(tmp_path / "runs", patience=10.0), [0.0]
    monkeypatch.setattr(store_module.time, "monotonic", lambda: clock[0])
    claim = store.claim(config)

    def status(at, beat):
        clock[0] = at
        content = claim.content | {"host": "elsewhere", "beat": beat}
        write_json(claims.claim_path(claim.folder, claim.number), sealed(content))
        return store.status(config.run_id)

    assert [status(at, 0) for at in (100.0, 109.9, 110.0)] == ["running"] * 3
    assert [status(at, 1) for at in (110.1, 120.1, 120.2)] == ["running", "running", "stopped"]
    assert status(121.0, 2) == "running"


# --- what is believed ----------------------------------------------------------------------------


def record_of(config, **fields):
    return {"run_id": config.run_id, "schema": 1, "status": "done", "loss": 2.5, "steps": 40} | fields


def test_a_damaged_record_is_told_by_a_field_and_its_own_value(config, tmp_path):
    path = tmp_path / "record.json"
    for fields, told in (
        ({"seconds": "long", "steps": -1}, "seconds='long'"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 1.0}, "steps=1.0"),
        ({"loss": None}, "loss=None"),
        ({"loss": True}, "loss=True"),
        ({"status": "diverged"}, "loss=2.5"),
        ({"status": "diverged", "loss": "nan"}, "loss='nan'"),
        ({"init_from": "0123456789ab@0"}, "init_from='0123456789ab@0'"),
        ({"schema": 0}, "schema=0"),
        ({"schema": "1"}, "schema='1'"),
    ):
        with pytest.raises(Damaged, match=re.escape(told)):
            check_record(path, config.run_id, record_of(config, **fields))
    check_record(path, config.run_id, record_of(config, steps=0, init_from="0123456789ab@1"))
    check_record(path, config.run_id, record_of(config, status="diverged", loss=None))
    check_record(path, config.run_id, record_of(config, schema=records.SCHEMA, sha256=""))
    with pytest.raises(Damaged, match="checksum is missing"):
        check_record(path, config.run_id, record_of(config, schema=2))
    with pytest.raises(StoreError, match="newer version"):
        check_record(path, config.run_id, record_of(config, schema=records.SCHEMA + 1, sha256=""))


def test_a_curve_goes_on_behind_the_step_of_its_checkpoint(tmp_path, config):
    store = Store(tmp_path / "runs")
    store.claim(config)
    text = store.start_curve(config.run_id, 0)
    lines = [store.add_to_curve(config.run_id, dict.fromkeys(CURVE, 1.5) | {"step": s}) for s in (1, 8, 9)]
    assert store.start_curve(config.run_id, 8) == text + lines[0] + lines[1]
    assert [row["step"] for row in store.curve(config.run_id)] == ["1", "8"]
    assert store.start_curve(config.run_id, 8, text) == text and store.curve(config.run_id) == []


def test_characters_never_seen_count_for_their_mean_in_bytes():
    assert Chars.learn("ab", "aéé€b").unknown_bytes == pytest.approx((2 + 2 + 3) / 3)
    assert Chars.learn("ab", "ba").unknown_bytes == Chars.learn("ab").unknown_bytes == 3.0


# --- what a device does at once ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "unit"), [(None, False), ("flags: fpu avx512f", False), ("flags: fpu amx_bf16 amx_tile", True)]
)
def test_bfloat16_is_multiplied_as_such_where_the_cpu_says_that_it_can(monkeypatch, tmp_path, info, unit):
    if info is not None:
        (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(ops, "Path", lambda _: tmp_path / "cpuinfo")
    assert ops.bfloat16_unit.__wrapped__() is unit


@pytest.mark.parametrize(("wide", "rows"), [(10, 1), (449, 8), (1000, 20)])
def test_no_more_logits_exist_at_once_than_are_allowed(monkeypatch, wide, rows):
    """Of 20 tokens under a vocabulary of 50; a single token's always do."""
    monkeypatch.setattr(ops, "WIDE", wide)
    inputs = (jnp.zeros((2, 10, 3)), jnp.zeros((3, 50)), jnp.zeros((2, 10), int))

    def total(x, readout, targets):
        return ops.cross_entropy(x, readout, targets, "float32").sum()

    for function in (total, jax.grad(total, (0, 1))):
        shapes = re.findall(r"\[(\d+),50\]", str(jax.make_jaxpr(function)(*inputs)))
        assert max(int(size) for size in shapes if size != "3") == rows
