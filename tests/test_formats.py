"""Layouts that people have: what is a table in them, and what is said of those that are none."""

import json

import pytest

from analysis.tables import table
from analysis.tables.files import load

LOGS = {
    "bars": "10 | loss 9.1 | lr 1e-3 | 41.2ms\n20 | loss 8.7 | lr 1e-3 | 40.9ms\n",
    "equals": "step=5 loss=4.25 tok/s=8100\nstep=10 loss=4.01 tok/s=8120\n",
    "after output": "Loading tokens\nmodel has 12 layers\n"
    + "".join(f"iter {i}: loss {9 - i}.25, time {i}.5ms\n" for i in range(1, 7)),
    "no header": "small-10m,1e7,4.2\nsmall-20m,2e7,4.1\n",
}


def read(tmp_path, text, name="runs.csv"):
    path = tmp_path / name
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_is_told_what_a_table_is(tmp_path, kind):
    with pytest.raises(ValueError, match=r"log.*a table has a line that names its columns"):
        read(tmp_path, LOGS[kind])


@pytest.mark.parametrize(
    "text",
    [
        "name,loss\nrun 1,3.5\nrun 2,3.25\nrun 3,3.0\n",
        "loss\n3.5\n3.25\n",
        "x1,x2\n1,2\n3,4\n",
        "lr 1 loss\n1 2 3\n",
    ],
)
def test_a_table_is_no_log(tmp_path, text):
    assert read(tmp_path, text).columns


def test_a_markdown_table_is_read_out_of_its_prose(tmp_path):
    text = (
        "# Report\n\nWe trained, with care, | and love:\n\n| name | params | loss |\n|:-----|---:|:--:|\n"
        "| a | 1,000 | 3.5 |\n| b | 2,000 | |\n\nLoss falls, as one sees.\n\n- first | second\n"
    )
    sheet = read(tmp_path, text, "report.md")
    assert sheet.columns == {"name": (" a ", " b "), "params": (" 1,000 ", " 2,000 "), "loss": (" 3.5 ", " ")}


def test_of_two_markdown_tables_none_is_taken(tmp_path):
    text = "| a | b |\n|---|---|\n| 1 | 2 |\n\nand\n\n| c | d |\n|---|---|\n| 3 | 4 |\n"
    with pytest.raises(ValueError, match=r"holds 2 tables .*a .* c "):
        read(tmp_path, text, "report.md")
    bare = "a | b\n--|--\n1 | 2\n"
    assert read(tmp_path, bare, "bare.md").columns == {"a": ("1 ",), "b": (" 2",)}


def test_a_trainers_state_is_its_curve(tmp_path):
    history = [
        {"loss": 5.5, "learning_rate": 1e-3, "step": 10},
        {"eval_loss": 5.75, "step": 10},
        {"loss": 5.25, "learning_rate": 0.0, "step": 20},
        {"train_loss": 5.375, "train_runtime": 60.0, "step": 20},
    ]
    state = {"best_metric": None, "global_step": 20, "log_history": history}
    for folder, name in (("first", "trainer_state.json"), (".", "first.json")):
        (tmp_path / folder).mkdir(exist_ok=True)
        columns = read(tmp_path / folder, json.dumps(state), name).columns
        assert columns["run_id"] == ("first",) * 3
        assert columns["train_loss"] == ("5.5", "", "5.25")
        assert columns["eval_loss"] == ("", "5.75", "") and "loss" not in columns
    runs = table.read(tmp_path / "first.json")
    assert runs.roles["loss"] == "eval_loss"
    with pytest.raises(ValueError, match=r"log_history.*is empty"):
        read(tmp_path, '{"log_history": []}', "none.json")


def test_a_wide_export_is_a_row_for_every_point(tmp_path):
    text = (
        '"Step","big - run - eval/loss","big - run - eval/loss__MIN","small - eval/loss","small - lr"\n'
        "1,4.5,4.25,5.5,0.1\n2,4.0,3.75,,\n"
    )
    assert read(tmp_path, text).columns == {
        "run_id": ("big - run", "big - run", "small"),
        "Step": ("1", "2", "1"),
        "eval/loss": ("4.5", "4.0", "5.5"),
        "lr": ("", "", "0.1"),
    }
    plain = "Step,a - b\n1,2\n"
    assert set(read(tmp_path, plain).columns) == {"Step", "a - b"}


def test_a_tensorboard_scalar_is_a_run_of_its_file(tmp_path):
    sheet = read(tmp_path, "Wall time,Step,Value\n17.5,100,4.5\n18.5,200,4.25\n", "wide_run.csv")
    assert sheet.columns["run_id"] == ("wide_run", "wide_run") and sheet.columns["Value"] == ("4.5", "4.25")
