import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.laws import LAWS, Chinchilla
from bench import synthetic
from tests.test_laws import SUBJECTS

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)


@pytest.fixture(scope="module")
def runs_csv(tmp_path_factory):
    """Two groups of one grid, as a file, with one diverged run."""
    runs = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12, 6.4e12], noise=0.003, replicates=2)
    names = ["budget", "params", "tokens", "flops", "loss", "seed"]
    lines = [",".join([*names, "group", "status"])]
    for group in ("one", "two"):
        for i in range(len(runs)):
            values = [f"{runs.column(name)[i]!r}".split("(")[-1].rstrip(")") for name in names]
            lines.append(",".join([*values, group, "done"]))
        lines.append(f"8e11,1e6,1e6,8e11,,0,{group},diverged")
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def loads(path: Path):
    return json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))


def test_fit_writes_its_keys_and_says_its_conventions(runs_csv, tmp_path, capsys):
    out, figure = tmp_path / "fit.json", tmp_path / "law.png"
    where = "group == 'one'"
    code = run("fit", runs_csv, "--where", where, "--bootstrap", 20, "--json", out, "--figure", figure)
    assert code == 0 and figure.read_bytes()[:4] == b"\x89PNG"
    found = loads(out)
    assert list(found) == [
        "law",
        "parameters",
        "objective",
        "runs",
        "dropped",
        "starts_agreeing",
        "status",
        "message",
        "intervals",
        "cautions",
    ]
    assert list(found["parameters"]) == ["E", "A", "B", "alpha", "beta"]
    for value in found["parameters"].values():
        assert value["low"] < value["high"]
    assert list(found["objective"]) == ["name", "delta", "reduction", "value"]
    assert found["objective"]["reduction"] == "sum" and found["runs"] == 26
    assert found["dropped"] == [{"row": 27, "reason": "status is diverged"}]
    text = capsys.readouterr().out
    assert (
        "loss in the table's own unit" in text
        and "nats" not in text
        and "status is diverged" in text
        and "26 used" in text
    )


def test_without_bootstrap_the_ends_are_those_that_are_printed(runs_csv, tmp_path, capsys):
    out = tmp_path / "fit.json"
    assert run("fit", runs_csv, "--by", "group", "--json", out) == 0
    found, printed = loads(out), capsys.readouterr().out
    assert [each["group"] for each in found] == ["one", "two"]
    floor = found[0]["parameters"]["E"]
    assert "E {value:.4g} ({low:.3g} to {high:.3g})".format(**floor) in " ".join(printed.split())
    assert found[0]["parameters"]["A"]["low"] is None, "nobody asked for it, and the audit does not trace it"
    assert found[0]["parameters"] == found[1]["parameters"]


KEYS = [
    "method",
    "convention",
    "cost",
    "params_exponent",
    "tokens_exponent",
    "points",
    "status",
    "message",
    "bias_check",
    "cautions",
]


def test_isoflop_writes_its_keys(runs_csv, tmp_path):
    out, figure = tmp_path / "iso.json", tmp_path / "iso.png"
    where = "group == 'one'"
    assert run("isoflop", runs_csv, "--where", where, "--json", out, "--figure", figure) == 0
    found = loads(out)
    assert list(found) == [*KEYS, "headline"] and len(found["points"]) == 4 and figure.exists()
    for point in found["points"]:
        assert list(point) == ["flops", "params", "tokens", "loss", "low", "high", "status"]
        assert point["low"] <= point["params"] <= point["high"]
    assert set(found["params_exponent"]) == {"value", "low", "high"}
    bias = found["bias_check"]
    assert bias["shift"] == pytest.approx(bias["a_by_method"] - bias["a_from_law"])
    assert bias["params_ratio"] == pytest.approx(1, abs=0.05) and bias["at"] == []


def test_frontier_by_all_methods_extrapolates_and_compares(runs_csv, tmp_path, capsys):
    out, figure = tmp_path / "f.json", tmp_path / "f.svg"
    arguments = ["--where", "group == 'one'", "--bootstrap", 30, "--at", "1e13,1e14"]
    assert run("frontier", runs_csv, *arguments, "--json", out, "--figure", figure) == 0
    found = loads(out)
    assert len(found) == 2 and [list(each) for each in found] == [
        ["group", *KEYS, "headline"],
        ["group", *KEYS],
    ]
    assert [p["flops"] for p in found[0]["points"]] == [1e13, 1e14]
    assert found[1]["bias_check"] is None
    assert [p["flops"] for p in found[0]["bias_check"]["at"]] == [1e13, 1e14]
    text = capsys.readouterr().out
    assert "agree" in text.lower() and "bias check" in text
    assert run("frontier", runs_csv, *arguments, "--method", "fit", "--cost", "6nd") == 0


def test_report_is_one_file(runs_csv, tmp_path):
    page = tmp_path / "page.html"
    assert run("report", runs_csv, "--where", "group == 'two'", "--bootstrap", 20, "-o", page) == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_power_law_of_any_two_columns(tmp_path):
    x = np.geomspace(1e3, 1e9, 12)
    path, out = tmp_path / "xy.csv", tmp_path / "xy.json"
    path.write_text(
        "c,n\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), (0.3 * x**0.5).tolist(), strict=True))
    )
    assert run("fit", path, "--law", "power", "--x", "c", "--y", "n", "--fix", "E=0", "--json", out) == 0
    found = loads(out)["parameters"]
    assert found["A"]["value"] == pytest.approx(0.3) and found["alpha"]["value"] == pytest.approx(-0.5)


def written(path: Path, **columns) -> Path:
    cells = zip(*(np.asarray(column, float).tolist() for column in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(repr, row)) for row in cells)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", LAWS)
def test_every_law_fits_from_the_command_line(name, tmp_path):
    truth, columns = next(s for s in SUBJECTS if type(s[0]) is LAWS[name])
    law = LAWS[name]
    path = written(
        tmp_path / "t.csv",
        **dict(zip(law.inputs, columns, strict=True)),
        **{law.output: truth.loss(*columns)},
    )
    named = ["--x", "x", "--y", "y"] if law.inputs == ("x",) else []
    out = tmp_path / "fit.json"
    assert run("fit", path, "--law", name, *named, "--json", out) == 0
    for parameter, value in loads(out)["parameters"].items():
        assert value["value"] == pytest.approx(getattr(truth, parameter), rel=1e-5)


def test_a_column_of_another_name_plays_a_laws_input(tmp_path, capsys):
    truth, (n, d, u) = next(s for s in SUBJECTS if type(s[0]).__name__ == "DataConstrained")
    path = written(tmp_path / "t.csv", N=n, D=d, pool=u, loss=truth.loss(n, d, u))
    assert run("fit", path, "--law", "data-constrained") == 1
    error = capsys.readouterr().err
    assert "unique_tokens" in error and "--unique_tokens" in error and "pool" in error
    assert run("fit", path, "--law", "data-constrained", "--unique_tokens", "pool") == 0
    assert "ok:" in capsys.readouterr().out
    figure = ["--unique_tokens", "pool", "--figure", tmp_path / "f.png"]
    assert run("fit", path, "--law", "data-constrained", *figure) == 0
    assert (tmp_path / "f.png").read_bytes()[:4] == b"\x89PNG"


def test_what_comes_next_keeps_the_law_and_is_nothing_that_is_refused(runs_csv, capsys):
    for law, said in (("auto", f"Next: python -m analysis audit {runs_csv} --law auto"), ("chinchilla", "")):
        assert run("fit", runs_csv, "--law", law, "--intervals", "none") == 0
        assert capsys.readouterr().out.endswith(f"{said or f'Next: python -m analysis audit {runs_csv}'}\n")
    assert run("fit", runs_csv, "--law", "power", "--x", "flops", "--y", "loss") == 0
    assert "Next: " not in capsys.readouterr().out  # the audit is of params and tokens


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "{missing}"], "cannot be read"),
        (["fit", "{runs}", "--where", "nothing == 1"], "no column 'nothing'"),
        (["fit", "{runs}", "--where", "loss > 100"], "no row is left"),
        (["fit", "{runs}", "--loss", "nope"], "no column 'nope'"),
        (["fit", "{runs}", "--where", "params < 20000"], "usable runs"),
        (["fit", "{runs}", "--law", "power"], "--x COL --y COL"),
        (["fit", "{runs}", "--fix", "gamma=1"], "no parameter 'gamma'"),
        (["isoflop", "{runs}", "--budgets", "1e30"], "within 10 %"),
        (["fit", "{runs}", "--by", "nope"], "nope"),
        (["fit", "{runs}", "--json", "{missing}/x/y.json"], "no folder"),
        (["report", "{runs}", "-o", "report.pdf"], "--output report.pdf: the page is HTML"),
        (["planner", "{runs}", "-o", "page"], "name it FILE.html"),
    ],
)
def test_refusals_are_one_line_and_status_1(runs_csv, tmp_path, capsys, arguments, words):
    filled = [a.format(runs=runs_csv, missing=tmp_path / "missing") for a in arguments]
    assert run(*filled) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fit"],
        ["fit", "x", "--law", "nope"],
        ["fit", "x", "--delta", "-1"],
        ["isoflop", "x", "--budgets", "1e18,zero"],
    ],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2


def test_published_points_through_the_command(tmp_path):
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    out = tmp_path / "fit.json"
    fit = ("fit", Path(folder) / "chinchilla_fig4.csv", "--where", "outlier==0", "--intervals", "none")
    assert run(*fit, "--json", out) == 0
    assert loads(out)["objective"]["value"] == pytest.approx(0.00101827402, abs=1e-9)
    table = Path(folder) / "porian_rw_isoflops.csv"
    for name, exponent in (("1_kaplan_repro", 0.835), ("5_tuned_const", 0.497)):
        assert run("isoflop", table, "--where", f"experiment == '{name}'", "--json", out) == 0
        assert loads(out)["params_exponent"]["value"] == pytest.approx(exponent, abs=0.01)


def test_a_refused_group_is_named_and_the_others_go_on(tmp_path, capsys):
    runs = synthetic.factorial(TRUTH, np.geomspace(1e5, 1e7, 4), np.geomspace(1e6, 1e8, 4), 0.003)
    columns = zip(runs.params, runs.tokens, runs.loss, ["few"] * 3 + ["many"] * 13, strict=True)
    rows = [",".join(map(str, cells)) for cells in columns]
    path, out = tmp_path / "runs.csv", tmp_path / "fit.json"
    path.write_text("\n".join(["params,tokens,loss,group", *rows]) + "\n")
    assert run("fit", path, "--by", "group", "--json", out) == 1
    assert "group = few: " in capsys.readouterr().err
    assert [found["group"] for found in loads(out)] == ["many"]


def test_a_refusal_takes_no_longer_than_the_fit_that_it_rests_on(tmp_path):
    rng, rows = np.random.default_rng(0), 800
    params, tokens, other = 10 ** rng.uniform(6, 9, rows), 10 ** rng.uniform(8, 11, rows), np.arange(rows) % 2
    loss = TRUTH.loss(params, tokens) * np.exp(0.05 * other + 0.003 * rng.standard_normal(rows))
    lines = zip(params, tokens, loss, np.where(other, "new", "old"), strict=True)
    path = tmp_path / "runs.csv"
    path.write_text(
        "params,tokens,loss,team\n" + "\n".join(",".join(map(str, line)) for line in lines) + "\n"
    )

    def seconds(*arguments, status):
        start = time.process_time()
        assert run(*arguments) == status
        return time.process_time() - start

    seconds("fit", path, "--intervals", "none", status=0)  # what is imported is, by now
    fitted = seconds("fit", path, "--intervals", "none", status=0)
    for command, status in (("decide", 1), ("isoflop", 1), ("fit", 0)):
        assert seconds(command, path, status=status) < 1.5 * fitted + 0.5, command


def test_budgets_asked_for_are_answered_by_the_law_where_no_valley_has_a_minimum(tmp_path, capsys):
    """And the same number stands in what is printed and in --json."""
    grid = synthetic.isoflop(TRUTH, [8e11, 1.6e12, 3.2e12], sizes=3, span=2.0, centre=8.0)
    path, out = tmp_path / "few.csv", tmp_path / "few.json"
    columns = ("params", "tokens", "loss")
    rows = zip(*(getattr(grid, name).tolist() for name in columns), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(repr, row)) for row in rows)]) + "\n")
    code = run("frontier", path, "--at", "1e13", "--intervals", "none", "--json", out)
    said, (valleys, law) = capsys.readouterr().out, loads(out)
    assert code == 0 and "nothing at the budgets asked for" in said
    assert valleys["points"] == [] and law["points"][0]["params"] == pytest.approx(
        float(said.split("1e+13")[1].split()[0]), rel=1e-3
    )


def test_json_is_of_the_way_of_finding_valleys_that_is_printed(runs_csv, tmp_path, capsys):
    out = tmp_path / "isoflop.json"
    assert run("isoflop", runs_csv, "--where", "group == 'one'", "--json", out) == 0
    found, said = loads(out), capsys.readouterr().out
    assert f"frontier by {found['method']}" in said
    band = found["params_exponent"]
    assert f"a = {band['value']:.3f} ({band['low']:.3f}, {band['high']:.3f})" in said
    assert found["params_exponent"] == found["headline"]["params_exponent"]
