"""The bench beside other packages: ours alone when none is installed, and a broken one is told."""

import json

import pytest

from bench import laws, packages


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.delenv("SCALING_DATA", raising=False)

    def main(*more: str, tools=laws.TOOLS[:1]) -> tuple[int, dict]:
        monkeypatch.setattr(laws, "TOOLS", tools)
        out = tmp_path / "laws.json"
        status = laws.main(["--repeats", "1", "--resamples", "20", "--json", str(out), *more])
        return status, json.loads(out.read_text()) if out.exists() else {}

    return main


def test_without_data_and_peers_our_own_fit_is_measured(run, capsys):
    absent = packages.Tool("absent", "no-such-package", "", "ls", packages.ours)
    status, record = run(tools=(laws.TOOLS[0], absent))
    mine = record["tools"]["this project"]
    assert status == 0 and list(record["tools"]) == ["this project"]
    assert mine["above_right_minimum"] == pytest.approx(0, abs=1e-12)
    assert mine["a_interval"][0] < mine["a"] < mine["a_interval"][1] and mine["fit_seconds"] > 0
    assert "not installed" in record["missing"]["absent"]
    assert "absent: not installed (pip install no-such-package)" in capsys.readouterr().out


def test_a_package_that_breaks_is_told_and_the_others_go_on(run, capsys):
    def broken(runs):
        raise RuntimeError("no fit today")

    bad = packages.Tool("bad", "", "", "ls", broken)
    status, record = run(tools=(bad, laws.TOOLS[0]))
    assert status == 0 and record["tools"]["bad"]["failed"] == "RuntimeError: no fit today"
    assert "objective" in record["tools"]["this project"]
    assert "failed: RuntimeError" in capsys.readouterr().out


def test_a_worse_minimum_is_shown_as_such(run):
    def near(runs):
        law = packages.ours(runs)
        return type(law)(law.E, law.A * 1.05, law.B, law.alpha, law.beta)

    _, record = run(tools=(laws.TOOLS[0], packages.Tool("near", "", "", "huber-log", near)))
    assert record["tools"]["near"]["above_right_minimum"] > 1e-3
    assert record["tools"]["near"]["above_best_of_own_objective"] > 1e-3


def test_wrong_input_is_refused_in_a_line(run, tmp_path, capsys):
    assert run("--table", str(tmp_path / "none.csv"))[0] == 1
    assert capsys.readouterr().err.count("\n") == 1
    for wrong in (("--repeats", "0"), ("--without", "nobody")):
        with pytest.raises(SystemExit):
            run(*wrong)
