"""Layouts that people have: what is a table in them, and what is said of those that are none."""

import gzip
import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.__main__ import main
from analysis.tables import files, table
from analysis.tables.files import load
from analysis.tables.schedule import find_schedule

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


SIZES = "| Model | Params (B) | Tokens (B) | Loss |\n|---|---|---|---|\n"
SIZES += "| {} | 70 | 1,400 | 1.94 |\n| b | 280 | {} | 1.99 |\n"


@pytest.mark.parametrize("name", ["Chinchilla", "Hoffmann et al., 2022", "0.9, 0.95", "rerun, lr 3e-4"])
def test_a_comma_in_prose_makes_no_decimals_of_thousands(tmp_path, name):
    path = tmp_path / "t.md"
    path.write_text(SIZES.format(name, "300"))
    runs = table.read(path)
    assert runs.tokens.tolist() == [1.4e12, 3e11] and any("thousands separated" in n for n in runs.notes)
    path.write_text(SIZES.format(name, "3,000"))  # no whole number beside them
    with pytest.raises(ValueError, match="'1,400' may be a decimal or a thousand"):
        table.read(path)


GERMAN = "Params (Mio);Tokens (Mrd);Val Loss\n{};2,5;3,41\n350;7,25;3,12\n1.300;26,1;2,815\n"


def test_where_a_comma_is_the_decimal_sign_a_dot_may_part_thousands(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(GERMAN.format("125"))
    runs = table.read(path)
    assert runs.params.tolist() == [1.25e8, 3.5e8, 1.3e9] and runs.loss.tolist() == [3.41, 3.12, 2.815]
    path.write_text(GERMAN.format("125").replace("350", "3.500").replace("125", "1.250"))
    with pytest.raises(ValueError, match=r"'1\.250' may be a decimal or a thousand"):
        table.read(path)
    path.write_text(GERMAN.format("0.125"))  # a dot that is a decimal sign for certain
    assert table.read(path).params.tolist() == [1.25e5, 3.5e8, 1.3e6]


def test_a_few_gpus_a_name_and_a_date_make_no_thousands_of_decimals(tmp_path):
    path = tmp_path / "t.tsv"
    rows = zip((1, 2, 4, 8), ("3.142", "2.987", "2.875", "4"), strict=True)
    path.write_text("gpus\tparams\ttokens\tloss\n" + "".join(f"0,1\t{n}e8\t1e9\t{y}\n" for n, y in rows))
    with pytest.raises(ValueError, match="may be a decimal or a thousand"):
        table.read(path).loss.sum()
    path = tmp_path / "t.csv"
    text = "model;date;params;tokens;loss\n1.3B;12.03;1,5e8;1e9;3,142\n2.7B;13.03;3,5e8;2e9;2,987\n"
    path.write_text(text)
    assert table.read(path).loss.tolist() == [3.142, 2.987]


LATEX = r"""
\begin{table}[t] % \begin{tabular}{l} commented out
\caption{What we trained} \centering
\begin{tabular}{@{}l r@{\,}r S[table-format=1.3]@{}}
\toprule
Model & $N$ & \textbf{Tokens (B)} & Val.~loss \\ % 5 \% held out
\cmidrule(lr){2-3}
small & 44{,}000{,}000 & $1.5$ & $3.412 \pm 0.004$ \\
mid \& wide & $4.21\times 10^{8}$ & $8{.}25$ & \textbf{2.93} \\[2pt]
\hline
large & 1.3B & 26 & \underline{2.540(3)} \\
\bottomrule
\end{tabular}
\end{table}
"""


def test_a_tabular_is_read_as_papers_write_it(tmp_path):
    path = tmp_path / "table.tex"
    path.write_text(LATEX)
    runs = table.read(path)
    np.testing.assert_allclose(runs.params, [4.4e7, 4.21e8, 1.3e9])
    np.testing.assert_allclose(runs.tokens, [1.5e9, 8.25e9, 2.6e10])
    np.testing.assert_array_equal(runs.loss, [3.412, 2.93, 2.54])
    assert runs.column("Model").tolist() == ["small", "mid and wide", "large"]
    assert any("spread" in note for note in runs.notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text + text, "holds 2 tabulars"),
        (lambda text: text.replace("small &", r"\multirow{2}{*}{small} &"), "spans rows or columns"),
        (lambda text: text.replace("& 26 ", ""), "row 3: 3 cells where the header has 4"),
        (lambda text: text.replace("& 26 ", r"& \SI{26}{\giga} "), "'.*SI.*giga.*' is not a number"),
    ],
)
def test_a_tabular_that_is_no_plain_table_is_refused(tmp_path, change, said):
    (tmp_path / "table.tex").write_text(change(LATEX))
    with pytest.raises(ValueError, match=said):
        table.read(tmp_path / "table.tex")


def test_what_stands_beside_a_number_in_a_paper_is_no_part_of_it(tmp_path):
    text = (
        r"\begin{tabular*}{\textwidth}[t]{*{3}{>{\bf}r}}"
        "\n"
        r"{Params} & {Tokens} & Loss$^{a}$ \\ \hline"
        "\n"
        r"\phantom{1}2M & \num{1e9} & 3.41$^{*}$ \\ \bf 12M & 2000M & 3.2\cite{a} \\ \end{tabular*}"
    )
    (tmp_path / "table.tex").write_text(text)
    runs = table.read(tmp_path / "table.tex")
    assert runs.params.tolist() == [2e6, 12e6] and runs.tokens.tolist() == [1e9, 2e9]
    assert runs.loss.tolist() == [3.41, 3.2]


def test_a_line_of_units_below_the_header_is_read_into_it(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text("model,Params,Tokens,Loss\n,(M),B,nats/token\na,44,1.5,3.4\nb,120,4,3.1\n")
    runs = table.read(path)
    assert runs.params.tolist() == [44e6, 120e6] and runs.tokens.tolist() == [1.5e9, 4e9]
    assert runs.loss_unit == "nats/token" and runs.rows.tolist() == [1, 2]
    path.write_text("params,tokens,group\n1e9,1e11,b\n1e8,1e10,a\n")  # numbers, though 1e9 is a multiple
    assert load(path).columns["params"] == ("1e9", "1e8")
    path.write_text("size,tokens,loss\nk,1e9,3.5\nm,1e9,3.4\n")  # names, not units
    assert load(path).columns["size"] == ("k", "m")


@given(
    values=st.lists(st.floats(0.01, 900).map(lambda value: f"{value:.4f}"), min_size=2, max_size=5),
    spread=st.floats(0.0001, 0.9),
    form=st.sampled_from(["{} ± {:.3f}", "{}±{:.1e}", "{} +/- {:.3f}", "{} ({:.3f})", "{}(3)"]),
)
def test_a_spread_beside_a_number_is_left_out(values, spread, form):
    cells = [form.format(value, spread) for value in values]
    runs = table.from_columns(params=[1e7] * len(cells), tokens=[1e8] * len(cells), loss=cells)
    np.testing.assert_array_equal(runs.column("loss"), [float(value) for value in values])
    assert any("spread" in note for note in runs.notes)


def test_a_spread_leaves_the_percent_sign_and_the_refusal_of_half_units():
    runs = table.from_columns(params=[1e7] * 2, tokens=[1e8] * 2, error=["12.5 ± 0.3 %", "8.1%"])
    np.testing.assert_allclose(runs.loss, [0.125, 0.081])
    with pytest.raises(ValueError, match="states no unit"):
        table.from_columns(params=["150 ± 3", "70M"], tokens=[1e8] * 2, loss=[3.0, 2.9])


def test_what_was_counted_goes_before_what_was_planned():
    planned = {"params": [1e7, 2e7], "budget": [1e17, 1e17], "loss": [3.0, 2.9]}
    runs = table.from_columns(**planned, steps=[100, 200], batch_tokens=[5e5, 5e5])
    np.testing.assert_array_equal(runs.tokens, [5e7, 1e8])
    np.testing.assert_allclose(table.from_columns(**planned).tokens, [1e17 / 6e7, 1e17 / 12e7])


def test_epochs_from_0_are_as_many_as_from_1(tmp_path):
    ratios = []
    for first in (0, 1):
        for name, faster in (("slow", 1), ("fast", 2)):
            rows = [f"{name},{first + i},{2 + 9 * (faster * (1 + i)) ** -0.5}" for i in range(12)]
            (tmp_path / f"{name}.csv").write_text("\n".join(["run,epoch,loss", *rows]) + "\n")
        both, out = [str(tmp_path / f"{name}.csv") for name in ("slow", "fast")], tmp_path / "out.json"
        assert main(["speedup", *both, "--smooth", "0", "--json", str(out)]) == 0
        ratios.append(json.loads(out.read_text())[0]["ratio"])
    assert ratios[0] == pytest.approx(ratios[1]) == pytest.approx(2, rel=0.03)


def test_a_run_without_a_loss_is_flagged_whatever_word_says_so(tmp_path):
    words = ["OOM", "diverged", "NaN", "failed", ""]
    runs = table.from_columns(params=[1e7] * 6, tokens=[1e8] * 6, loss=["3.5", *words], State=["failed"] * 6)
    assert len(runs.usable()) == 0  # as the state says; without it the loss says so of five
    runs = table.from_columns(params=[1e7] * 6, tokens=[1e8] * 6, loss=["3.5", *words])
    assert len(runs.usable()) == 1 and runs.usable().loss[0] == 3.5


@pytest.mark.parametrize("role", ["params", "tokens", "flops"])
def test_a_ratio_and_one_count_give_the_others(role):
    n, d = np.array([1e7, 2e7, 5e8]), np.array([2e8, 1e9, 1e11])
    known = {"params": n, "tokens": d, "flops": 6 * n * d}[role]
    for name in ("D/N", "tokens per param", "Tokens/Param", "TPP"):
        runs = table.from_columns(**{role: known, name: d / n, "loss": [3.0, 2.9, 2.5]})
        np.testing.assert_allclose([runs.params, runs.tokens, runs.flops], [n, d, 6 * n * d])


def test_steps_count_tokens_where_the_batch_is_said_to(capsys, tmp_path):
    runs = table.from_columns(
        params=[1e7, 2e7], steps=[100, 200], tokens_per_step=[5e5, 5e5], loss=[3.0, 2.9]
    )
    np.testing.assert_array_equal(runs.tokens, [5e7, 1e8])
    (tmp_path / "runs.csv").write_text(
        "params,steps,batch_size,seq_len,loss\n1e7,100,256,1024,3\n2e7,100,256,1024,2.9\n"
    )
    assert main(["fit", str(tmp_path / "runs.csv")]) == 1
    said = capsys.readouterr().err
    assert (
        "tokens may be steps × batch_size × seq_len, or steps × batch_size where the batch counts tokens"
        in said
    )


def test_the_batch_of_tokens_that_is_named_goes_first(capsys, tmp_path):
    """Before a context length beside it, and before a column known by its header."""
    rows = [(n, 100 * (i + 1), 256, 7, 2 + 1 / i) for i, n in enumerate([1e7] * 4 + [2e7] * 4, 1)]
    lines = ["params,steps,batch_size,seq_len,tokens_per_step,loss"]
    lines += [f"{n},{steps},{batch},1024,{other},{loss}" for n, steps, batch, other, loss in rows]
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    runs = table.read(tmp_path / "runs.csv", batch_tokens="batch_size")
    np.testing.assert_array_equal(runs.tokens, [256 * steps for _, steps, *_ in rows])
    assert main(["fit", str(tmp_path / "runs.csv"), "--batch_tokens", "batch_size"]) == 0
    said = capsys.readouterr().out
    assert "tokens = steps·batch_size" in said and "Next: " not in said


def test_files_with_other_headers_say_so(tmp_path, capsys):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("params,tokens,loss\n1e7,1e9,3\n")
    two.write_text("Params (M),Tokens (B),val loss\n20,1,2.9\n")
    assert main(["fit", str(one), str(two)]) == 1
    said = capsys.readouterr().err
    assert f"headers differ: only {one} has params, tokens, loss; only {two} has Params (M), Tokens" in said


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
        assert columns["learning_rate"] == ("0.001", "0.001", "0.0"), (
            "an evaluation has that of the update before"
        )
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


def test_scalars_as_tensorboard_names_its_downloads(tmp_path):
    text = "Wall time,Step,Value\n17.5,100,4.5\n18.5,200,4.25\n"
    sheet = read(tmp_path, text, "run-wide_2-tag-eval_loss.csv")
    assert sheet.columns["run_id"] == ("wide_2",) * 2 and sheet.columns["eval/loss"] == ("4.5", "4.25")


def test_a_trainers_flops_and_tokens_give_its_params(tmp_path):
    params, tokens = 12_582_912, 32_768_000
    history = [{"eval_loss": 5.75 - i, "step": 10 * i} for i in (1, 2)]
    state = {"global_step": 20, "total_flos": 6.0 * params * tokens, "num_input_tokens_seen": tokens}
    (tmp_path / "small.json").write_text(json.dumps({**state, "log_history": history}))
    runs = table.read(tmp_path / "small.json")
    np.testing.assert_allclose(runs.params, params)
    np.testing.assert_allclose(runs.tokens, [tokens / 2, tokens])
    assert any("params = flops/(6·tokens)" in note for note in runs.notes)
    counted = [{**point, "num_input_tokens_seen": 100 * point["step"]} for point in history]  # at each point
    (tmp_path / "own.json").write_text(json.dumps({**state, "log_history": counted}))
    np.testing.assert_allclose(table.read(tmp_path / "own.json").tokens, [1000, 2000])


@pytest.mark.parametrize("nested", [False, True])
def test_keras_history_is_the_curve_of_one_run(tmp_path, nested):
    history = {
        "loss": [5.5, 5.0],
        "val_loss": [5.75, 5.5],
        "accuracy": [0.1, 0.2],
        "val_accuracy": [0.1, 0.15],
    }
    text = json.dumps({"history": history, "epoch": [0, 1]} if nested else history)
    columns = read(tmp_path, text, "wide.json").columns
    assert columns["run_id"] == ("wide", "wide") and columns["epoch"] == ("1", "2")
    assert columns["train_loss"] == ("5.5", "5.0") and columns["val_loss"] == ("5.75", "5.5")
    by_column = {"params": [1, 2], "loss": [5.5, 5.0], "val_loss": [5.75, 5.5]}  # a run table
    assert "run_id" not in read(tmp_path, json.dumps(by_column), "runs.json").columns


def test_lightnings_metrics_are_the_run_of_their_folder(tmp_path):
    for version in ("version_0", "version_1"):
        (tmp_path / version).mkdir()
        text = "epoch,step,train_loss,val_loss\n0,49,5.5,\n0,49,,5.75\n1,99,,5.25\n"
        (tmp_path / version / "metrics.csv").write_text(text)
    runs = table.read(tmp_path, needs={"loss"})
    assert list(runs.usable().columns["run_id"]) == ["version_0"] * 2 + ["version_1"] * 2
    assert runs.roles["loss"] == "val_loss"


def test_several_files_and_a_folder_are_one_table(tmp_path, capsys):
    slow, fast = (lambda x: 2 + 9 * x**-0.5), (lambda x: 2 + 9 * (1.5 * x) ** -0.5)
    (tmp_path / ".hidden").mkdir()
    for name, curve in (("slow.csv", slow), ("fast.csv", fast), (".hidden/no.csv", slow)):
        rows = "".join(f"17.0,{x},{curve(x)}\n" for x in (100, 200, 400, 800, 1600, 3200))
        (tmp_path / name).write_text("Wall time,Step,Value\n" + rows)
    both = [str(tmp_path / "slow.csv"), str(tmp_path / "fast.csv")]
    assert set(load_columns(both)["run_id"]) == {"slow", "fast"} == set(load_columns(tmp_path)["run_id"])
    out = tmp_path / "out.txt"
    assert main(["speedup", *both, "--smooth", "0", "--json", str(out)]) == 0
    (answer,) = json.loads(out.read_text())
    assert answer["run"] == "fast" and answer["axis"] == "Step"
    assert [row["ratio"] for row in answer["rows"]] == pytest.approx([1.5] * 9, rel=0.01)
    assert main(["speedup", str(tmp_path), "--baseline", "slow", "--json", str(out)]) == 0
    assert json.loads(out.read_text())[0]["ratio"] == pytest.approx(1.5, rel=0.03)
    assert "1.5" in capsys.readouterr().out
    assert main(["speedup", both[0]]) == 1 and "needs two runs" in capsys.readouterr().err
    assert main(["speedup", *both, "--baseline", "none"]) == 1


def load_columns(source):
    return files.load_all(source).columns


def test_a_fit_takes_tables_of_several_files(tmp_path, capsys):
    for name, sizes in (("a.csv", (1e6, 4e6, 1.6e7)), ("b.jsonl", (2e6, 8e6, 3e7))):
        rows = [(n, d, 2 + 400 * n**-0.34 + 400 * d**-0.3) for n in sizes for d in (1e8, 1e9, 1e10)]
        lines = ["params,tokens,loss", *(f"{n},{d},{loss}" for n, d, loss in rows)]
        objects = [json.dumps(dict(zip(("params", "tokens", "loss"), row, strict=True))) for row in rows]
        (tmp_path / name).write_text("\n".join(lines if name == "a.csv" else objects))
    assert main(["fit", str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")]) == 0
    assert "18 used, 0 flagged" in capsys.readouterr().out


def test_parquet_is_read_or_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "runs.parquet"
    path.write_bytes(b"PAR1 and more")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"is a Parquet file; pip install pyarrow"):
        load(path)
    monkeypatch.undo()
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = [
        {"params": 1_000_000, "eval": {"loss": 3.5}, "note": None},
        {"params": 2_000_000, "eval": {"loss": 3.25}},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert load(path).columns == {
        "params": ("1000000", "2000000"),
        "eval.loss": ("3.5", "3.25"),
        "note": ("", ""),
    }


@pytest.mark.parametrize("packed", [True, False])
def test_a_line_without_end_fills_no_memory(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(files, "PIECE", 1 << 16)
    monkeypatch.setattr(files, "LONGEST", 1 << 18)
    path = tmp_path / "runs.csv"
    line = b"params,tokens,loss\n" + b"7" * (1 << 19)
    path.write_bytes(gzip.compress(line) if packed else line)
    with pytest.raises(ValueError, match="holds a line of over"):
        load(path)
    monkeypatch.setattr(files, "LARGEST", 1 << 17)
    rows = b"params,tokens,loss\n" + b"7,8,9\n" * (1 << 16)
    path.write_bytes(gzip.compress(rows) if packed else rows)
    with pytest.raises(ValueError, match="keep the rows that are needed"):
        load(path)


@pytest.mark.parametrize(
    ("name", "rate", "kind"),
    [
        ("ours_v2", (1.0, 1.0, 1.0, 1.0), "constant"),
        ("ours_v2", (1.0, 0.7, 0.4, 0.1), "decaying"),
        ("cosine", (1.0, 1.0, 1.0, 1.0), "decaying"),  # the peak rate, written in each row
        ("ours_v2", ("", "", "", ""), "decaying"),
    ],
)
def test_a_schedule_is_judged_by_its_rates_first(tmp_path, name, rate, kind):
    rows = "".join(f"{run},{i},{name},{rate[i]},{5 - i}\n" for run in "ab" for i in range(4))
    (tmp_path / "curves.csv").write_text("run_id,step,schedule,learning_rate,loss\n" + rows)
    curves = table.read(tmp_path / "curves.csv")
    assert find_schedule(curves, curves.columns["run_id"]).kind == kind
