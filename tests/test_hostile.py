"""Damaged and hostile input: one clear line, no traceback, nothing that a terminal or a spreadsheet obeys."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.commands.terminal import Printable, printable
from analysis.laws import Chinchilla
from analysis.tables import table
from lab.commands.cli import main as lab
from lab.store import export
from lab.store.claims import read_claim, take
from lab.store.failures import failure_of
from lab.store.files import Damaged, is_number, read_json, sealed
from lab.store.store import Store

ROOT = Path(__file__).parents[1]
LAW = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
PARAMS, TOKENS = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 4)))
LOSS = LAW.loss(PARAMS, TOKENS)
OSC, RTL = "\x1b]0;owned\x07\x1b[2J", "\u202egnp.exe"


def write(path, columns):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


# --- stores ------------------------------------------------------------------------------------


@pytest.fixture
def stored(config, tmp_path):
    """An experiment of one run, and the folder of that run in its store."""
    (tmp_path / "mine.py").write_text(
        f"from lab.config import from_json\nCONFIG = {json.dumps(as_tree(config))!r}\n"
        "import json\ndef runs():\n    return [from_json(json.loads(CONFIG))]\n"
    )
    store = Store(tmp_path / "runs")
    store.folder(config.run_id).mkdir(parents=True)
    return str(tmp_path / "mine.py"), store, store.folder(config.run_id)


def as_tree(config):
    from lab.config import to_json

    return to_json(config)


def commands(stored, tmp_path, capsys):
    """What status and export say, which go on whatever lies in the store."""
    experiment, store, _ = stored
    said = []
    for arguments in (["status"], ["export", "-o", str(tmp_path / "runs.csv")]):
        assert lab([arguments[0], experiment, "--store", str(store.root), *arguments[1:]]) in (0, 1)
        said.append("".join(capsys.readouterr()))
    return said


@pytest.mark.parametrize("field", ["steps", "loss", "seconds", "schema"])
def test_a_whole_number_beyond_floats_in_a_record_is_damage_and_named(stored, tmp_path, capsys, field):
    run_id = stored[2].name
    record = {"run_id": run_id, "status": "done", "schema": 1, "loss": 2.5, "steps": 4, "seconds": 1.0}
    text = json.dumps(record | {field: 0}).replace(f'"{field}": 0', f'"{field}": 1{"0" * 400}')
    (stored[2] / "record.json").write_text(text)
    commands(stored, tmp_path, capsys)
    (row,) = (tmp_path / "runs.csv").read_text().splitlines()[1:]
    assert "damaged" in row and "record.json" in row and "401 digits" in row
    assert not is_number(10**400)


def test_a_whole_number_beyond_floats_in_a_claim_blocks_nothing(stored, tmp_path, capsys):
    (stored[2] / "claim-0.json").write_text('{"host": "a/b/c", "beat": 1, "step": 1' + "0" * 400 + "}")
    assert read_claim(stored[2])["host"] == "?"  # waited for, then taken over
    commands(stored, tmp_path, capsys)
    assert take(stored[2], 1)


def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(stored, tmp_path, capsys):
    os.mkfifo(stored[2] / "record.json")
    began = time.monotonic()
    commands(stored, tmp_path, capsys)
    assert time.monotonic() - began < 10
    with pytest.raises(Damaged, match=r"record.json is damaged: it is no file"):
        read_json(stored[2] / "record.json")


def test_marks_in_claims_and_failures_do_not_reach_the_terminal(stored, config, tmp_path, capsys):
    (stored[2] / "claim-0.json").write_text(
        json.dumps(sealed({"host": OSC + RTL, "pid": 1, "started": "1", "beat": 1}))
    )
    failure = failure_of(config, ValueError(OSC + RTL), None)
    (stored[2] / "failure.json").write_text(json.dumps(failure))
    for said in commands(stored, tmp_path, capsys):
        assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert "\\x1b]0;owned" in read_json(stored[2] / "failure.json")["error"]
    assert read_claim(stored[2])["host"].startswith("\\x1b")


def test_formulas_in_an_exported_table_are_texts(config, tmp_path):
    record = {"status": "done", "steps": 4, "loss": 2.5, "host": "=cmd|'/c calc'!A0", "device": "@sum(1)"}
    row = export.row(config, record, "+1+1") | {"reason": "-1+1"}
    export.write([row], tmp_path / "runs.csv")
    runs = table.read(tmp_path / "runs.csv")
    cells = [runs.columns[name][0] for name in ("host", "device", "experiment", "reason")]
    assert cells == ["'=cmd|'/c calc'!A0", "'@sum(1)", "'+1+1", "'-1+1"]
    assert runs.loss[0] == 2.5


# --- tables ------------------------------------------------------------------------------------


def test_true_is_no_number_in_json(tmp_path, capsys):
    rows = [{"params": n, "tokens": d, "loss": y} for n, d, y in zip(PARAMS, TOKENS, LOSS, strict=True)]
    rows[3]["loss"] = True
    (tmp_path / "runs.json").write_text(json.dumps(rows))
    assert main(["fit", str(tmp_path / "runs.json")]) == 1
    assert "row 4, column loss: 'true' is not a number" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["params", "tokens"])
@pytest.mark.parametrize("some", [slice(3, 4), slice(0, None, 2)])
@pytest.mark.parametrize("command", [["fit"], ["decide", "--budget", "1e21"], ["isoflop"]])
def test_units_mixed_inside_a_column_are_refused(tmp_path, capsys, which, some, command):
    columns = {"params": PARAMS.copy(), "tokens": TOKENS.copy(), "loss": LOSS}
    columns[which][some] /= 1e6
    path = write(tmp_path / "runs.csv", columns)
    assert main([command[0], path, *command[1:]]) == 1
    said = capsys.readouterr().err
    assert f"column {which}" in said and "units are mixed inside it" in said and "--where" in said


def test_flops_tell_a_unit_mixed_into_a_dense_column(tmp_path, capsys):
    columns = {"params": PARAMS.copy(), "tokens": TOKENS, "flops": 6 * PARAMS * TOKENS, "loss": LOSS}
    columns["params"][[2, 7]] /= 1e3
    assert main(["fit", write(tmp_path / "runs.csv", columns)]) == 1
    assert "row 3: flops are 1e+03 times" in capsys.readouterr().err
    columns["params"], columns["flops"] = np.geomspace(1e3, 1e9, 20), 6 * np.geomspace(1e3, 1e9, 20) * TOKENS
    columns["params"][:10] /= 1e6
    columns["flops"][:10] /= 1e6  # a wide design whose three columns agree
    assert main(["fit", write(tmp_path / "wide.csv", columns)]) == 0


def test_a_cell_without_a_unit_far_below_those_with_one_is_refused(tmp_path, capsys):
    size = [f"{n / 1e6:.0f}M" for n in PARAMS]
    assert main(["fit", write(tmp_path / "runs.csv", {"params": size, "tokens": TOKENS, "loss": LOSS})]) == 0
    size[4] = "1000"
    assert main(["fit", write(tmp_path / "runs.csv", {"params": size, "tokens": TOKENS, "loss": LOSS})]) == 1
    assert "'1000' states no unit, and '10M' does" in capsys.readouterr().err


def test_figures_of_groups_do_not_overwrite_each_other_and_name_them(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    texts, saved = [], Figure.savefig

    def savefig(self, *given, **more):
        texts.append(" ".join(text.get_text() for text in self.texts))
        return saved(self, *given, **more)

    monkeypatch.setattr(Figure, "savefig", savefig)
    groups = ["a/b", "a_b", "a b", "A b"]
    columns = {"params": [*PARAMS] * 4, "tokens": [*TOKENS] * 4, "loss": [*LOSS] * 4}
    columns["group"] = [group for group in groups for _ in PARAMS]
    path = write(tmp_path / "runs.csv", columns)
    assert main(["fit", path, "--by", "group", "--figure", str(tmp_path / "law.svg")]) == 0
    assert len(list(tmp_path.glob("law*.svg"))) == 4
    assert [f"group = {group}" in text for group, text in zip(groups, texts, strict=True)] == [True] * 4


def test_long_names_are_cut_and_marks_are_shown_as_what_they_are(tmp_path, capsys):
    long = "x" * 5000
    columns = {f"{OSC}note": [RTL] * 20, "params": PARAMS, "tokens": TOKENS, f"val_loss {long}": LOSS}
    path = write(tmp_path / "runs.csv", columns)
    for arguments in (
        ["fit", path],
        ["fit", path, "--loss", "no"],
        ["audit", path],
        ["fit", path, "--by", f"{OSC}note"],
    ):
        main(arguments)
        said = "".join(capsys.readouterr())
        assert said and not {"\x1b", "\x07", "\u202e"} & set(said)
        assert max(map(len, said.splitlines())) < 3000 and long not in said
    assert printable(f"a\tb\n{OSC}é") == "a\tb\n\\x1b]0;owned\\x07\\x1b[2Jé"


def test_budgets_two_percent_apart_are_said_and_can_be_parted(tmp_path, capsys):
    params = np.geomspace(1e7, 1e8, 6)
    rows = [(n, c / 6 / n) for c in (1e18, 1.02e18, 1e19) for n in params]
    n, d = np.array(rows).T
    path = write(tmp_path / "runs.csv", {"params": n, "tokens": d, "loss": LAW.loss(n, d)})
    assert main(["isoflop", path]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "two lumps, 1e+18 and 1.02e+18, 2 % apart" in said and "--budgets 1e+18,1.02e+18" in said
    out = tmp_path / "out.json"
    assert main(["isoflop", path, "--budgets", "1e18,1.02e18,1e19", "--json", str(out)]) == 0
    assert "18 of 18 runs lie within" in " ".join(capsys.readouterr().out.split())


# --- the machine around ------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["analysis", "lab"])
def test_ctrl_c_in_imports_is_one_line(package, tmp_path):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n")
    command = [
        sys.executable,
        "-m",
        package,
        *(["fit", "runs.csv"] if package == "analysis" else ["plan", "mine.py"]),
    ]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 130 and done.stderr == f"{package}: interrupted\n"


def test_ctrl_c_in_a_fit_is_one_line(tmp_path):
    path = write(
        tmp_path / "runs.csv",
        {"params": PARAMS, "tokens": TOKENS, "loss": LOSS * (1 + 0.01 * np.sin(PARAMS))},
    )
    command = [sys.executable, "-m", "analysis", "fit", path, "--intervals", "pairs", "--bootstrap", "200000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and said == "analysis: interrupted\n"


@pytest.mark.parametrize("utf8", ["1", "0"])
def test_paths_and_cells_beyond_ascii_in_a_locale_without(tmp_path, utf8):
    (tmp_path / "tést").mkdir()
    columns = {"params": PARAMS, "tokens": TOKENS, "loss": LOSS, "größe": ["ü"] * 20}
    path = tmp_path / "tést" / "rüns.csv"
    write(path, columns)
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
    for arguments in (["fit", str(path), "--by", "größe"], ["report", str(path), "-o", f"{path}.html"]):
        command = [sys.executable, "-m", "analysis", *arguments]
        done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr


def test_text_goes_to_a_stream_in_an_encoding_without_its_letters(tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        Printable(stream).write("6·N ≤ ü\n")
    assert (tmp_path / "out").read_text("ascii") == "6\\xb7N \\u2264 \\xfc\n"
