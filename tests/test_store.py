"""Who holds a run, what counts as finished, and what a reader may find half-written."""

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from analysis.tables import table
from lab.commands import cli
from lab.store import export
from lab.store.claims import claim_path, newest_claim, take
from lab.store.files import StoreError, replace_file, sealed, sha256, write_json
from lab.store.records import CURVE
from lab.store.store import Store
from tests.conftest import change

RECORD = {"status": "done", "steps": 40, "loss": 1.25, "seconds": 2.0}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs", patience=0.2)


def test_a_run_is_claimed_once_and_free_again_when_released(store, config):
    claim = store.claim(config)
    assert claim and claim.held() and store.status(config.run_id) == "running"
    assert store.claim(config) is None
    claim.release()
    assert store.status(config.run_id) == "stopped"
    again = store.claim(config)
    assert again.held() and not claim.held()


def test_of_many_that_claim_at_once_one_gets_it(store, config):
    for _ in range(20):
        barrier, got = threading.Barrier(8), []

        def grab(barrier=barrier, got=got):
            barrier.wait()
            got.append(store.claim(config))

        threads = [threading.Thread(target=grab) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        winners = [claim for claim in got if claim]
        assert len(winners) == 1
        winners[0].release()


def other_process_claims(store, config, then="os._exit(0)"):
    """Another process of this host claims the run and then dies, or does what is said."""
    code = (
        "import json, os, sys, time; from lab.config import from_json; from lab.store.store import Store;"
        "claim = Store(sys.argv[1]).claim(from_json(json.loads(sys.argv[2])));"
        "print(bool(claim), flush=True);"
        f"{then}"
    )
    from lab.config import to_json

    return subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), json.dumps(to_json(config))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )


def test_a_claim_long_silent_elsewhere_is_told_as_silent_and_not_as_running(store, tmp_path, capsys):
    from tests import tiny

    silent, fresh, *_ = tiny.runs()
    for run, age in ((silent, 3600), (fresh, 0)):
        path = claim_path(store.claim(run).folder, 0)
        write_json(path, sealed(json.loads(path.read_text()) | {"host": "node7/x", "beat": 3}))
        os.utime(path, (time.time() - age,) * 2)
    assert cli.main(["status", tiny.__file__, "--store", str(store.root)]) == 0
    said = capsys.readouterr().out
    assert "(1 silent, 1 running, 2 left)" in said
    assert re.search(r"silent +1  since 2\d{3}-.* \(on node7\); `lab run` takes such a run", said)
    assert store.status(silent.run_id) == "running"  # a clock decides nothing


def test_a_dead_process_of_this_host_is_taken_over_at_once(store, config):
    process = other_process_claims(store, config, "time.sleep(60)")
    assert process.stdout.readline() == "True\n"
    assert store.claim(config) is None  # it lives
    process.kill()
    process.wait()
    assert store.claim(config).held()


def test_a_claim_from_elsewhere_is_taken_over_only_when_its_beat_stands_still(store, config):
    claim = store.claim(config)
    path = claim_path(claim.folder, claim.number)
    for beat in range(3):  # another host's clock does not matter, its beat does
        write_json(path, claim.content | {"host": "elsewhere", "beat": beat})
        assert store.claim(config) is None
        threading.Event().wait(0.15)
    threading.Event().wait(0.25)
    assert store.claim(config) is not None


def test_a_worker_that_comes_back_late_neither_beats_nor_overwrites(store, config):
    old = store.claim(config)
    write_json(claim_path(old.folder, old.number), old.content | {"released": True})
    new = store.claim(config)
    old.beat(step=7)
    assert not old.held() and new.held() and newest_claim(new.folder) == new.number
    assert "step" not in store.holder(config.run_id)


def test_a_claim_made_after_several_others_is_none(store, config, monkeypatch):
    def take_late(folder, number):  # suspended between its look and its claim
        monkeypatch.undo()
        for _ in range(3):
            store.claim(config).release()
        kept.append(store.claim(config))
        return take(folder, number)

    store.claim(config).release()
    kept = []
    monkeypatch.setattr("lab.store.store.take", take_late)
    assert store.claim(config) is None
    assert kept[0].held() and store.holder(config.run_id)["nonce"] == kept[0].content["nonce"]


def test_the_first_record_wins_and_a_finished_run_is_never_claimed(store, config):
    store.claim(config)
    assert store.write_record(config.run_id, RECORD)
    assert not store.write_record(config.run_id, RECORD | {"loss": 9.0})
    assert store.record(config.run_id)["loss"] == 1.25
    assert store.claim(config) is None and store.status(config.run_id) == "done"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"run_id": "x"}', "\xff" * 9, "[" * 10**5])
def test_a_damaged_record_is_named_and_never_read(store, config, text):
    store.claim(config)
    store.folder(config.run_id).joinpath("record.json").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=r"record\.json is damaged.*sets it aside"):
        store.record(config.run_id)
    assert store.status(config.run_id) == "damaged"


def finished(store, config, **record):
    """A run with a curve and a record that knows it."""
    store.claim(config).release()
    curve = draw_curve(store, config)
    store.write_record(config.run_id, RECORD | {"curve_sha256": sha256(curve)} | record)
    return store.folder(config.run_id)


def draw_curve(store, config):
    text = store.start_curve(config.run_id, 0)
    for at in (1, 5, 9):
        row = {name: at / 3 if name == "loss" else at for name in CURVE}
        text += store.add_to_curve(config.run_id, row)
    return text


def flip(path, place, bit=0):
    found = bytearray(path.read_bytes())
    found[place] ^= 1 << bit
    path.write_bytes(found)


def test_a_digit_changed_in_a_record_makes_it_a_damaged_row_without_numbers(store, config, tmp_path):
    path = finished(store, config) / "record.json"
    path.write_text(path.read_text().replace("1.25", "1.26"))
    (row,) = export.rows(store, [config], "x")
    assert row["status"] == "damaged" and "checksum" in row["reason"]
    assert row["loss"] is row["tokens"] is row["flops"] is row["seconds"] is None
    assert row["params"] > 0  # the config is known
    export.write([row], tmp_path / "runs.csv")
    read = table.read(tmp_path / "runs.csv")
    assert read.dropped() == [(1, "status is damaged")]


def test_a_damaged_record_is_kept_under_another_name_and_the_run_is_free_again(store, config):
    path = finished(store, config) / "record.json"
    flip(path, path.read_bytes().index(b"1.25") + 2)
    was = path.read_bytes()
    assert store.status(config.run_id) == "damaged"
    claim = store.claim(config)
    assert claim.held() and store.record(config.run_id) is None
    (kept,) = claim.folder.glob("damaged-*")
    assert kept.name == "damaged-record.json" and kept.read_bytes() == was
    assert store.write_record(config.run_id, RECORD)


def test_a_record_that_can_not_be_read_now_is_not_called_damaged(store, config):
    path = finished(store, config) / "record.json"
    path.unlink()
    path.mkdir()  # reading it is an error of the system, not of its content
    assert store.status(config.run_id) == "unreadable" and store.claim(config) is None
    assert path.exists()


def test_records_of_before_checksums_are_read_and_said(store, config, capsys):
    path = finished(store, config) / "record.json"
    old = json.loads(path.read_text()) | {"schema": 1}
    for name in ("sha256", "curve_sha256"):
        del old[name]
    write_json(path, old)
    (row,) = export.rows(store, [config], "x")
    assert row["loss"] == 1.25 and row["reason"] is None and row["schema"] == 1
    assert "1 of 1 records have no checksum" in capsys.readouterr().err
    write_json(path, old | {"schema": 2})  # a new one that lost its checksum
    assert store.status(config.run_id) == "damaged"


def test_a_changed_curve_of_a_finished_run_stays_out_of_the_table(store, config, tmp_path, capsys):
    path = finished(store, config) / "curve.csv"
    export.write_curves(store, [config], tmp_path / "curves.csv")
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 4
    path.write_text(path.read_text().replace("9,9", "9,8"))
    export.write_curves(store, [config], tmp_path / "curves.csv")
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1
    assert "curve.csv is damaged" in capsys.readouterr().err


def test_a_curve_is_cut_back_to_its_checkpoint_and_survives_a_torn_line(store, config):
    store.claim(config)
    draw_curve(store, config)
    with store.folder(config.run_id).joinpath("curve.csv").open("a") as file:
        file.write("12,")
    store.start_curve(config.run_id, 5)
    rows = store.curve(config.run_id)
    assert [int(row["step"]) for row in rows] == [1, 5]
    assert float(rows[1]["loss"]) == 5 / 3  # to the last bit


def test_names_can_not_leave_the_folder(store):
    for name in ("../../etc", "0" * 11, "0" * 12 + "/..", ""):
        with pytest.raises(StoreError, match="no run id"):
            store.folder(name)


def test_a_folder_that_can_not_be_written_is_told_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"can't be written.*--store"):
        Store(tmp_path / "file" / "runs").prepare()


def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "kept.json"
    write_json(path, {"loss": 1.0})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "half")
    assert json.loads(path.read_text()) == {"loss": 1.0} and list(tmp_path.iterdir()) == [path]


def test_the_run_table_has_achieved_counts_and_empty_cells_for_the_unknown(store, config, tmp_path):
    diverged = change(config, seed=1)
    for run, record in ((config, RECORD), (diverged, {"status": "diverged", "steps": 3, "loss": None})):
        store.claim(run)
        store.write_record(run.run_id, record)
    rows = export.rows(store, [config, diverged, change(config, seed=2)], "x")
    assert [row["status"] for row in rows] == ["done", "diverged"]
    assert rows[0]["tokens"] == 40 * 128 and rows[1]["tokens"] == 3 * 128
    assert set(rows[0]) == set(export.COLUMNS)
    export.write(rows, tmp_path / "runs.csv")
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    second = dict(zip(lines[0].split(","), lines[2].split(","), strict=True))
    assert second["loss"] == "" and second["bits_per_byte"] == "" and second["seed"] == "1"
