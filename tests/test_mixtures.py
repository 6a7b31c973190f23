"""Rows that are no points of one law are told by the table's own columns, and change no number."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.laws import Chinchilla
from analysis.tables import cautions, synthetic, table

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
CONTROLS = 4


def grid() -> dict[str, np.ndarray]:
    """Columns of an isoFLOP grid of 35 runs, with names."""
    runs = synthetic.isoflop(TRUTH, np.geomspace(1e18, 1e20, 5), sizes=7, noise=0.003)
    return {name: column for name, column in runs.columns.items() if name != "epochs"}


def with_controls() -> dict[str, np.ndarray]:
    """The same, with the first cells again, 20 % worse and without a budget."""
    plain = grid()
    beside = {name: column[:CONTROLS] for name, column in plain.items()}
    beside["loss"], beside["budget"] = 1.2 * beside["loss"], np.zeros(CONTROLS)
    beside["run_id"] = np.array([f"c0n7r01{i}dead" for i in range(CONTROLS)], object)
    return {name: np.concatenate([plain[name], beside[name]]) for name in plain}


def write(path: Path, columns: dict) -> Path:
    lines = [",".join(columns)]
    lines += [",".join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


COMMANDS = {
    "fit": (),
    "isoflop": (),
    "frontier": ("--method", "fit", "--intervals", "none"),
    "decide": ("--budget", "1e20", "--bootstrap", "10"),
}


def result(tmp_path, command: str, *arguments) -> dict:
    out = tmp_path / "found.json"
    assert run(command, *arguments, *COMMANDS[command], "--json", out) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_controls_beside_a_grid_are_counted_named_and_left_out_only_on_request(tmp_path, capsys, command):
    path = write(tmp_path / "runs.csv", with_controls())
    said = [line for line in result(tmp_path, command, path)["cautions"] if "budget" in line]
    (line,) = [line for line in said if line.startswith(f"{CONTROLS} of 39 runs")]
    assert "(c0n7r010, c0n7r011, c0n7r012, ...)" in line
    assert '--where "budget > 0"' in line
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count(f"{CONTROLS} of 39 runs") == 1
    found = result(tmp_path, command, path, "--where", "budget > 0")
    assert not any("budget > 0" in line for line in found["cautions"])


def test_a_caution_changes_no_number(tmp_path):
    mixed = with_controls()
    bare = {name: column for name, column in mixed.items() if name != "budget"}
    with_it = result(tmp_path, "fit", write(tmp_path / "a.csv", mixed))
    without = result(tmp_path, "fit", write(tmp_path / "b.csv", bare))
    assert with_it["cautions"] and not without["cautions"]
    assert with_it["parameters"] == without["parameters"]


def test_the_committed_grid_warns_of_its_eight_controls():
    runs = table.read(Path(__file__).parents[1] / "experiments/results/chinchilla2022.csv")
    (line,) = runs.cautions
    assert line.startswith("8 of 42 runs (4620902f, 9fc4ef9a, 97e7f09c, ...)")
    assert runs.where("budget > 0").cautions == []


@pytest.mark.parametrize("empty", [0.0, -1.0, np.nan])
def test_no_budget_is_zero_or_empty_and_all_or_none_is_no_mixture(empty):
    columns = grid()
    for rows, expected in ((slice(0, 3), 3), (slice(0, 0), 0), (slice(None), 0)):
        budget = columns["budget"].copy()
        budget[rows] = empty
        found, line = cautions.without_budget({**columns, "budget": budget}, {"budget": "budget"})
        assert found.sum() == expected and bool(line) == bool(expected)


def test_a_flagged_row_is_no_part_of_a_mixture():
    columns = with_controls()
    status = np.where(columns["budget"] > 0, "done", "diverged").astype(object)
    assert table.from_columns(**columns, status=status).cautions == []


MIXED = ("corpus", "data_sha256", "tokenizer", "loss_kind")
RECIPE = ("schedule", "experiment", "kind", "parameterization", "dtype")


@pytest.mark.parametrize("name", [*MIXED, *RECIPE, "vocab_size", "seq_len"])
def test_several_values_of_a_column_are_one_line_that_names_it_and_by_ends_it(name):
    columns = grid()
    number = name in ("vocab_size", "seq_len")
    values = np.array([256.0, 512.0] if number else ["first", "second"], None if number else object)
    kinds = values[np.arange(35) % 2]
    runs = table.from_columns(**columns, **{name: kinds})
    (line,) = runs.cautions
    assert f"2 values of {name} ({values[0]:g}, {values[1]:g})" in line if number else name in line
    assert f"--by {name}" in line and ("no points of one law" in line) == (name not in RECIPE)
    for group in runs.by(name).values():
        assert group.cautions == []


def test_a_corpus_and_its_checksum_are_told_once():
    columns = grid()
    kind = np.arange(35) % 2
    names = {
        "corpus": np.array(["a", "b"], object)[kind],
        "data_sha256": np.array(["12ab", "34cd"], object)[kind],
    }
    (line,) = table.from_columns(**columns, **names).cautions
    assert "corpus (a, b)" in line and "sha256" not in line


@pytest.mark.parametrize(
    ("name", "values"),
    [("corpus", ["'a'", "'b'"]), ("tokenizer", ["'a'", "'b'"]), ("vocab_size", ["256", "512"])],
)
def test_decide_refuses_losses_of_several_texts(tmp_path, capsys, name, values):
    columns = grid()
    columns[name] = np.array([value.strip("'") for value in values], object)[np.arange(35) % 2]
    path = write(tmp_path / "runs.csv", columns)
    assert run("decide", path, *COMMANDS["decide"]) == 1
    error = capsys.readouterr().err
    assert "no points of one law" in error and f"--by {name}" in error and error.count("\n") == 1
    assert run("decide", path, *COMMANDS["decide"], "--anyway") == 0
    assert run("decide", path, *COMMANDS["decide"], "--where", f"{name} == {values[0]}") == 0


def test_a_column_that_the_law_takes_in_is_no_mixture(tmp_path, capsys):
    sizes = np.array([256.0, 512, 1024, 2048, 4096])
    columns = {
        "params": np.full(5, 1e6),
        "tokens": np.full(5, 1e8),
        "vocab_size": sizes,
        "loss": 1 + sizes**-0.3,
    }
    path = write(tmp_path / "runs.csv", columns)
    assert table.read(path).cautions
    assert run("fit", path, "--law", "power", "--x", "vocab_size", "--y", "loss") == 0
    assert "CAUTION" not in capsys.readouterr().out


def test_rivals_in_a_cell_are_counted_and_missing_values_are_no_rivals():
    columns = {
        "params": np.array([1.0, 1, 2, 2, 3]),
        "tokens": np.ones(5),
        "lr": np.array([0.1, 0.2, 0.1, 0.1, 0.3]),
        "batch_size": np.array([8.0, np.nan, 8, 16, 8]),
    }
    roles = {"params": "params", "tokens": "tokens"}
    assert cautions.rivals(columns, roles) == {"lr": 1, "batch_size": 1}
    assert cautions.rivals(columns, {**roles, "batch_tokens": "lr"}) == {"batch_size": 1}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-1, 3)), min_size=1))
def test_rivals_are_what_a_loop_counts(rows):
    params, tokens, rate = (np.array(column, float) for column in zip(*rows, strict=True))
    columns = {"params": params, "tokens": tokens, "lr": np.where(rate < 0, np.nan, rate)}
    cells = {}
    for n, d, r in rows:
        cells.setdefault((n, d), set()).update({r} - {-1})
    expected = sum(len(values) > 1 for values in cells.values())
    roles = {"params": "params", "tokens": "tokens"}
    assert cautions.rivals(columns, roles).get("lr", 0) == expected
