"""Whatever is in the file, a command on it ends in an answer or in one message: no traceback, no
warning, and nothing computed from cells that are no numbers."""

import contextlib
import gzip
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.laws import Chinchilla
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
SLOW = settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FAST = {"fit": [], "isoflop": [], "frontier": ["--bootstrap", "5"]}


def good() -> list[list[str]]:
    """A header, and the runs of four budgets."""
    runs = synthetic.isoflop(TRUTH, [1e12, 2e12, 4e12, 8e12], noise=0.003)
    names = ["budget", "params", "tokens", "flops", "loss"]
    rows = zip(*(runs.column(name).tolist() for name in names), strict=True)
    return [names, *([f"{value:.6g}" for value in row] for row in rows)]


GOOD = good()
TEXT = "\n".join(",".join(row) for row in GOOD) + "\n"


def run(path: Path, command: str, *further: str) -> tuple[int, str, str]:
    """Exit status and what was printed; any warning is an error."""
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=ResourceWarning)
        try:
            code = main([command, str(path), *FAST.get(command, []), *further])
        except SystemExit as stop:
            code = int(stop.code)
    return code, out.getvalue(), err.getvalue()


def decent(path: Path, command: str, *further: str) -> tuple[int, str]:
    """Run a command and require an answer, or one message on one line."""
    code, out, err = run(path, command, *further)
    assert code in (0, 1), err
    if code:
        assert err.startswith(f"analysis {command}: ") and err.count("\n") == 1, err
        assert len(err) < 3000
    else:
        assert err == "" and out
    return code, out + err


ODD = [
    "",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "0",
    "-3",
    "1e400",
    "-1e400",
    "1e-320",
    "1e308",
    "text",
    "1_000",
    "1,000",
    "3,14",
    "1.4B",
    "10^19",
    "10^999",
    "n/a",
    "-",
    "☃",
    "0x10",
    "1e",
    "''",
    '"',
    '"a',
    "#",
    "a" * 5000,
    "1e18 FLOPs",
    "True",
    "[1]",
    "{}",
    "\x0b",
    "٣",
]


@pytest.mark.parametrize("command", FAST)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 16), st.integers(0, 4), st.sampled_from(ODD) | st.text(max_size=8)),
        max_size=6,
    )
)
@SLOW
def test_changed_cells(command, changes, tmp_path):
    rows = [list(row) for row in GOOD]
    for row, column, text in changes:
        rows[row][column] = text
    path = tmp_path / "t.csv"
    path.write_text(
        "\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8", errors="replace", newline=""
    )
    decent(path, command)


@pytest.mark.parametrize("command", FAST)
@given(
    cuts=st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 40), st.binary(max_size=6)), max_size=4)
)
@SLOW
def test_changed_bytes(command, cuts, tmp_path):
    data = TEXT.encode()
    for start, length, new in cuts:
        data = data[:start] + new + data[start + length :]
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    decent(path, command)


@given(
    changes=st.lists(
        st.tuples(st.integers(1, 16), st.integers(0, 4), st.sampled_from(["", "1e90", "5", "inf"])),
        max_size=40,
    )
)
@settings(SLOW, max_examples=4)
def test_pages_of_changed_tables(changes, tmp_path):
    rows = [list(row) for row in GOOD]
    for row, column, text in changes:
        rows[row][column] = text
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    decent(path, "report", "-o", str(tmp_path / "r.html"), "--bootstrap", "0")


@given(
    picked=st.lists(st.integers(1, 16), max_size=24), column=st.sampled_from(range(5)), constant=st.booleans()
)
@SLOW
def test_rows_picked_at_random_and_a_constant_column(picked, column, constant, tmp_path):
    rows = [GOOD[0], *([*GOOD[i]] for i in picked)]
    if constant:
        for row in rows[1:]:
            row[column] = GOOD[1][column]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    for command in ("fit", "isoflop"):
        decent(path, command)


@given(text=st.text(max_size=200))
@SLOW
def test_any_text_is_refused_or_read(text, tmp_path):
    for name in ("t.csv", "t.json"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
        decent(path, "fit")


@given(
    records=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["params", "tokens", "loss", "x"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
@SLOW
def test_any_json_is_refused_or_read(records, tmp_path):
    import json

    path = tmp_path / "t.json"
    path.write_text(json.dumps(records))
    decent(path, "fit")


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


@pytest.mark.parametrize("command", [*FAST, "report"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty"]),
        (b"\n\n \n", ["empty"]),
        (b"# only\n# comments\n", ["comments only"]),
        (b"params,tokens,loss\n", ["no rows"]),
        (b"1e6,1e8,3.1\n2e6,1e8,3.0\n", ["first line holds numbers", "header"]),
        ("params,tokens,loss,größe\n1e6,1e8,3,1\n".encode("latin-1"), ["line 1", "0xf6", "UTF-8"]),
        ("params,tokens,loss\n1e6,1e8,3\n".encode("utf-16-le"), ["NUL", "UTF-8"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ["PNG image", "CSV"]),
        (b"PK\x03\x04" + bytes(100), ["Excel", "CSV"]),
        (b"PAR1" + bytes(100), ["Parquet", "CSV"]),
        (packed(TEXT)[:-20], ["broken gzip"]),
        (b'params,tokens,loss\n1e6,1e8,"3\n2e6,1e8,3\n', ["quote"]),
        (b"params,tokens,loss\n1e6,1e8,3\n2e6,1e8\n", ["row 2", "2 cells", "3"]),
        (b"params,tokens,loss\n1e6,1e8,3,9\n2e6,1e8,3\n", ["row 1", "4 cells", "3"]),
        (b"params,tokens,loss\n1e6,1e8,3\n2e6,-1e8,3\n", ["row 2", "column tokens", "-1e+08"]),
        (b"params,tokens,loss\n1e6,inf,3\n2e6,1e8,3\n", ["row 1", "column tokens", "inf"]),
        (b"params,tokens,loss\n1e6,1e8,3\n2e6,1e8,big\n", ["row 2", "column loss", "'big'"]),
        (b"params;tokens;loss\n1e6;1e8;2,345\n2e6;1e8;2,346\n", ["column loss", "decimal or a thousand"]),
        (b"params,tokens,c4/loss,wiki/loss\n1e6,1e8,3,3\n", ["--loss", "c4/loss", "wiki/loss"]),
        (b"params,tokens,loss\n1e6,1e8,3\n", ["one row"]),
        (b"params,tokens,loss\n" + b"1e6,1e8,\n" * 12, ["loss is empty"]),
        (b'{"params": 1', ["line 1", "JSON"]),
        (b'[{"params": 1}, 2]', ["row 2", "not a JSON object"]),
        (b"[" * 100_000, ["JSON"]),
    ],
)
def test_what_is_wrong_is_named(command, data, words, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    further = ["-o", str(tmp_path / "r.html"), "--bootstrap", "0"] if command == "report" else []
    code, said = decent(path, command, *further)
    if words == ["one row"]:  # a valley of one size is shown, and called that
        page = tmp_path / "r.html"
        said += page.read_text() if page.exists() else ""
        assert "few" in said or "1 usable run" in said
        return
    assert code == 1 and str(path) in said
    for word in words:
        assert word in said


@pytest.mark.parametrize("command", FAST)
def test_a_folder_a_missing_file_and_a_column_given_twice(command, tmp_path):
    assert "is a folder without tables" in decent(tmp_path, command)[1]
    assert "No such file" in decent(tmp_path / "none.csv", command)[1]
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    code, said = decent(path, command, "--params", "tokens", "--tokens", "tokens")
    assert code == 1 and "given twice" in said and "--params" in said


def test_every_run_flagged_says_why_in_every_command(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("params,tokens,loss,status\n1e6,1e8,3,failed\n2e6,2e8,2.9,failed\n")
    for command in FAST:
        code, said = decent(path, command)
        assert code == 1 and "status is failed" in said, command


def test_an_empty_or_infinite_loss_is_flagged_with_its_row(tmp_path):
    rows = [list(row) for row in GOOD]
    rows[3][4], rows[5][4] = "inf", ""
    path = tmp_path / "t.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    code, said = decent(path, "fit")
    assert code == 0 and f"{len(GOOD) - 3} used, 2 flagged" in said and "(row 3, 5)" in said


def test_an_unidentified_fit_says_which_parameters_are_open(tmp_path):
    params = np.geomspace(1e6, 1e9, 12)
    loss = TRUTH.loss(params, 20 * params)
    path = tmp_path / "t.csv"
    path.write_text(
        "params,tokens,loss\n" + "".join(f"{n},{20 * n},{y}\n" for n, y in zip(params, loss, strict=True))
    )
    _, said = decent(path, "fit")
    line = next(line for line in said.splitlines() if "not determined by these runs" in line)
    assert line.endswith(": A, B, alpha, beta")
    assert "not determined" in next(s for s in said.splitlines() if s.startswith("  alpha"))
