"""Layouts that people have: what is a table in them, and what is said of those that are none."""

import pytest

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
