"""The standard page: of a grid whose experiment draws none of its own, and of a refused table."""

import re
from pathlib import Path

import pytest

from analysis.__main__ import main
from lab.commands import cli
from lab.store.store import Store
from tests import tiny

GRID = "from tests.tiny import runs\n"


def finish(store: Store, config, loss: float) -> None:
    claim = store.claim(config)
    store.write_record(
        config.run_id, {"status": "done", "steps": config.steps, "loss": loss, "curve_sha256": "0"}
    )
    claim.release()


def test_a_grid_without_a_report_gets_a_page_and_without_runs_a_reason(tmp_path, monkeypatch, capsys):
    path, store = tmp_path / "mine.py", Store(tmp_path / "runs")
    path.write_text(GRID)
    store.prepare()
    words = ["report", str(path), "--store", str(store.root), "--out", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "runs is finished in" in capsys.readouterr().err and not (tmp_path / "out").exists()
    for i, config in enumerate(tiny.runs()):
        finish(store, config, 3.0 - 0.1 * i)
    assert cli.main(words) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "no frontier could be made" in page and tiny.runs()[0].run_id in page
    assert f"page: {tmp_path / 'out/report.html'}" in capsys.readouterr().out


def test_a_refused_table_has_a_page_that_says_why(tmp_path, capsys):
    path, page = tmp_path / "two.csv", tmp_path / "r.html"
    path.write_text("params,tokens,flops,loss,name\n1e5,1e7,6e12,2.0,<script>\n1e5,2e7,12e12,1.9,b\n")
    assert main(["report", str(path), "-o", str(page)]) == 1
    error, html = capsys.readouterr().err, page.read_text()
    assert "it needs at least 6" in error and str(page) in error and error.count("\n") == 1
    assert "it needs at least 6" in html and "no frontier could be made" in html
    assert html.count("<script") == 2 and "default-src 'none'" in html


@pytest.mark.parametrize("seen", ["run_id,params,flops,loss\na,1e5,1e9,3\na,1e5,1e10,2.5\nb,1e6,1e10,2.7\n"])
def test_training_curves_are_drawn_as_vectors_with_text(tmp_path, seen):
    table = Path(__file__).parents[1] / "experiments/results/quickstart.csv"
    curves, page = tmp_path / "curves.csv", tmp_path / "r.html"
    curves.write_text(seen)
    words = ["report", str(table), "-o", str(page), "--bootstrap", "0", "--curves", str(curves)]
    assert main(words) == 0
    html = page.read_text()
    assert "<h2>Training curves</h2>" in html and "data:image/png" not in html
    # what the answer is by is what is drawn
    assert (
        "By valleys of equal compute (isoflop, joint), params" in html
        and "minima by one curve through all valleys" in html
    )
    assert len(re.findall('<figure class="chart', html)) == 5 and page.stat().st_size < 600_000
    assert html.count('<g class="line r') > 3 and "2 runs, of 100k to 1M parameters" in html
