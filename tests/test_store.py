"""Who holds a run, what counts as finished, and what a reader may find half-written."""

import json
import os
import subprocess
import sys
import threading

import pytest

from lab import export
from lab.store import Store, StoreError, claim_path, newest_claim, replace_file, write_json
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
        "import json, os, sys, time; from lab.config import from_json; from lab.store import Store;"
        "claim = Store(sys.argv[1]).claim(from_json(json.loads(sys.argv[2])));"
        "print(bool(claim), flush=True);"
        f"{then}"
    )
    from lab.config import to_json

    return subprocess.Popen(
        [sys.executable, "-c", code, str(store.root), json.dumps(to_json(config))],
        stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(os.path.dirname(__file__)),
    )  # fmt: skip


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


def test_the_first_record_wins_and_a_finished_run_is_never_claimed(store, config):
    store.claim(config)
    assert store.write_record(config.run_id, RECORD)
    assert not store.write_record(config.run_id, RECORD | {"loss": 9.0})
    assert store.record(config.run_id)["loss"] == 1.25
    assert store.claim(config) is None and store.status(config.run_id) == "done"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"run_id": "x"}', "\xff" * 9])
def test_a_damaged_record_is_named_and_never_read(store, config, text):
    store.claim(config)
    store.folder(config.run_id).joinpath("record.json").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=r"record\.json is damaged.*delete"):
        store.record(config.run_id)
    assert store.status(config.run_id) == "damaged"


def test_a_curve_is_cut_back_to_its_checkpoint_and_survives_a_torn_line(store, config):
    store.claim(config)
    names = (
        "step",
        "tokens",
        "flops",
        "loss",
        "train_loss",
        "grad_norm",
        "learning_rate",
        "seconds",
    )
    store.start_curve(config.run_id, 0)
    for at in (1, 5, 9):
        store.add_to_curve(
            config.run_id, {name: at / 3 if name == "loss" else at for name in names}
        )
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
    for run, record in (
        (config, RECORD),
        (diverged, {"status": "diverged", "steps": 3, "loss": None}),
    ):
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
