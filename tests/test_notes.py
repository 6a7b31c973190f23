"""What a grid is told that is trained as asked but may not be what was meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from lab.commands import cli
from lab.commands.notes import notes
from lab.commands.settings import override
from lab.config import to_json
from lab.models import counts
from lab.store import contents, files
from lab.store.store import Store
from tests.conftest import change, data_folder

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("optim.lr", "optim.learning_rate"),
        ("lr", "optim.learning_rate"),
        ("optim.wd", "optim.weight_decay"),
        ("model.width", "model.d_model"),
        ("model.n_layers", "model.n_layer"),
        ("model.vocab", "model.vocab_size"),
        ("optim.learnin_rate", "optim.learning_rate"),
        ("clip", "optim.clip"),
    ],
)
def test_a_field_is_known_by_what_people_call_it(config, path, meant):
    with pytest.raises(ValueError, match=f"no field '{path}'; was {meant} meant"):
        override(config, f"{path}=1")


def test_budgets_that_replaced_fields_left_behind_are_said(config, tmp_path):
    store = Store(tmp_path)
    fits = change(config, budget=float(counts.run_flops(config)))
    assert not notes(store, [fits])
    (line,) = notes(store, [fits, override(fits, "model.vocab_size=512")])
    assert "1 of 2 runs cost" in line and "times their budget" in line


@pytest.mark.parametrize(
    ("optim", "words"),
    [
        ({"optim__warmup_steps": 10_000}, "1 of 2 runs end inside their warm-up (of up to 10000 updates)"),
        ({"optim__warmup_steps": 5, "optim__horizon_steps": 4}, "the first from 6 of 40 (horizon_steps)"),
        ({"optim__warmup_steps": 5, "optim__horizon_steps": 6}, "the first from 6 of 40 (horizon_steps)"),
        ({"optim__warmup_steps": 5, "optim__horizon_steps": 40}, ""),
        ({"optim__warmup_steps": 5, "optim__horizon_steps": 6, "optim__final_fraction": 0.1}, ""),
        ({"optim__warmup_steps": 5, "optim__horizon_steps": 4, "optim__schedule": "constant"}, ""),
    ],
)
def test_a_schedule_under_which_nothing_is_trained_is_said(config, tmp_path, optim, words):
    config = change(config, tokens=40 * config.batch_tokens)
    said = " ".join(notes(Store(tmp_path), [config, change(config, **optim)]))
    assert words in said if words else "warm-up" not in said and "rate of 0" not in said


def test_files_of_one_s_own_are_found_in_a_store_wherever_a_run_names_them(tmp_path):
    kind = "second.py:second@d3f874aba251"
    for run_id, config in (("a", {"objective": kind}), ("b", {"model": {"kind": kind}, "tokens": 5})):
        (tmp_path / run_id).mkdir()
        files.write_json(tmp_path / run_id / "config.json", config)
    assert contents.own_files(Store(tmp_path)) == {kind: 2}


def test_a_stopped_run_under_another_rate_is_said_to_be_another(config, tmp_path):
    store, other = Store(tmp_path), change(config, optim__learning_rate=0.02)
    folder = store.folder(other.run_id)
    (folder / "checkpoints" / "40").mkdir(parents=True)
    files.write_json(folder / "config.json", to_json(other))
    (line,) = notes(store, [change(config, optim__learning_rate=0.01)])
    assert "1 stopped run in" in line and "optim.learning_rate alone (0.02 there, 0.01 here)" in line
    assert not notes(store, [other]), "it goes on"
    assert not notes(store, [change(config, optim__learning_rate=0.01, seed=3)]), "two fields apart"
    files.write_json(folder / "record.json", {"status": "done"})
    assert not notes(store, [change(config, optim__learning_rate=0.01)]), "it is finished"


def test_a_missing_gpu_is_one_line(tmp_path):
    command = [sys.executable, "-m", "lab", "bench", "--d-model", "8", "--layers", "1", "--heads", "1"]
    environment = os.environ | {"JAX_PLATFORMS": "cuda", "LAB_DATA": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode == 0:
        pytest.skip("this machine has one")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lab: jax finds no device")


def test_a_loss_that_plays_no_part_is_not_spoken_of(tmp_path, capsys):
    rows = "".join(f"{10**n},{2**n},{3 - n / 10}\n" for n in range(5))
    (tmp_path / "optima.csv").write_text("flops,n_opt,val_loss\n" + rows)
    law = ["fit", str(tmp_path / "optima.csv"), "--law", "m1", "--x", "flops", "--y"]
    assert main([*law, "n_opt"]) == 0
    assert "loss" not in capsys.readouterr().out.split("convention")[1].splitlines()[0]
    assert main([*law, "val_loss"]) == 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.vocab_size=5", "has token ids up to 7 and run"),
        ("objective=masked", "'masked' takes 1 ids beyond the text's 8 for its marks; make vocab_size"),
    ],
)
def test_a_plan_refuses_a_vocabulary_without_room_for_the_text(setting, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_DATA", data_folder())
    where = ["--store", str(tmp_path / "runs")]
    assert cli.main(["plan", str(ROOT / "tests" / "tiny.py"), *where, "--set", setting]) == 1
    assert words in capsys.readouterr().err
