"""Published laws computed again: no claim fails, and each depends on its data."""

import json
import os
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.commands.reproduce import PAPERS
from analysis.laws import Chinchilla, KaplanSteps
from analysis.laws.published import KAPLAN_BATCH, PF_DAY, Published
from analysis.papers import besiroglu2024, kaplan_laws, muennighoff2023, pearce2024, shapes
from analysis.papers.claims import Data, Paper, find
from analysis.papers.public import SOURCES

ROOT = Path(__file__).parents[1]
# file -> (the paper that reads it, the column whose numbers are moved)
FILES = {
    "chinchilla_fig4.csv": ("besiroglu2024", "loss"),
    "chinchilla_models.csv": ("hoffmann2022", "d_model"),
    "chinchilla_flop_ratio.csv": ("hoffmann2022", "ffw_size"),
    "datablations_c4.csv": ("muennighoff2023", "loss"),
    "porian_rw_isoflops.csv": ("porian2024", "n_params"),
    "porian_rw_optima.csv": ("porian2024", "n_opt"),
}


def folder() -> Path:
    if not os.environ.get("SCALING_DATA"):
        pytest.skip("SCALING_DATA names no folder of published tables")
    return Path(os.environ["SCALING_DATA"])


def computed(name: str, data: Data, resamples: int = 60) -> Paper:
    few = {"resamples": resamples} if name == "besiroglu2024" else {}
    return PAPERS[name].reproduce(data, **few)


@cache
def as_published(name: str) -> Paper:
    return computed(name, Data(folder()))


@pytest.mark.parametrize("name", PAPERS)
def test_no_claim_of_a_paper_fails(name):
    folder()
    claims = computed(name, find(), resamples=1500).claims
    bad = [f"{c.claim}: {c.published} {c.ours}" for c in claims if c.verdict in ("fail", "no data")]
    assert claims and not bad, "\n".join(bad)
    for claim in claims:
        assert claim.note and claim.paper == name and np.isfinite(claim.ours)
    assert f"| `{name}` | {len(claims)} |" in (ROOT / "docs" / "papers.md").read_text()


def test_the_readme_counts_the_claims():
    rows = re.findall(r"^\| `\w+` \| (\d+) \|", (ROOT / "docs" / "papers.md").read_text(), re.MULTILINE)
    assert f"- {sum(map(int, rows))} claims of papers" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("file", FILES)
def test_other_numbers_in_a_file_give_other_answers(file, tmp_path):
    """Nothing of ours is typed in: every claim that reads the file moves, and no other does."""
    for path in folder().glob("*.csv"):
        shutil.copy(path, tmp_path / path.name)
    name, column = FILES[file]
    header, *rows = (tmp_path / file).read_text().splitlines()
    at = header.split(",").index(column)
    cells = [row.split(",") for row in rows]
    rng = np.random.default_rng(0)
    for i, row in enumerate(cells):  # a tilt along the file, so that slopes move as levels do
        row[at] = repr(float(row[at]) * (1.02 + 0.1 * i / len(cells) + 0.01 * rng.random()))
    (tmp_path / file).chmod(0o644)
    (tmp_path / file).write_text("\n".join([header, *map(",".join, cells)]) + "\n")
    before, after = as_published(name).claims, computed(name, Data(tmp_path)).claims
    (tmp_path / file).unlink()
    without = computed(name, Data(tmp_path)).claims
    assert [c.claim for c in before] == [c.claim for c in after] == [c.claim for c in without]
    reads = [i for i, c in enumerate(without) if c.verdict == "no data"]
    assert reads and all(file in without[i].note for i in reads)
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        assert (old.ours != new.ours) == (i in reads), old.claim
        assert old.published == new.published


def test_every_table_of_the_papers_is_moved_once():
    assert set(FILES) == set(SOURCES)


def test_without_data_the_claims_that_need_none_still_stand(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("SCALING_DATA", raising=False)
    out = tmp_path / "claims.json"
    assert main(["reproduce", "all", "--json", str(out)]) == 0
    claims = json.loads(out.read_text())
    keys = {"paper", "claim", "published", "ours", "tolerance", "verdict", "note"}
    assert all(set(claim) == keys for claim in claims)
    assert {c["verdict"] for c in claims} == {"pass", "explained", "no data"}
    assert all(c["ours"] is None and "csv" in c["note"] for c in claims if c["verdict"] == "no data")
    assert {c["paper"] for c in claims} == set(PAPERS)
    assert "needs chinchilla_fig4.csv" in capsys.readouterr().out


def test_the_command_fails_when_a_claim_does_and_refuses_a_wrong_folder(tmp_path, monkeypatch):
    def broken(data):
        paper = Paper("broken")
        paper.check("one", Published(1.0, "nowhere"), lambda: 2.0, tolerance=0.1, why="")
        return paper

    module = type("module", (), {"reproduce": staticmethod(broken)})
    monkeypatch.setitem(PAPERS, "pearce2024", module)
    assert main(["reproduce", "pearce2024"]) == 1
    assert main(["reproduce", "kaplan2020", "--data", str(tmp_path / "none")]) == 1
    (tmp_path / "file").touch()
    assert main(["reproduce", "kaplan2020", "--figures", str(tmp_path / "file")]) == 1
    assert main(["reproduce", "kaplan2020", "--json", str(tmp_path / "none" / "c.json")]) == 1
    with pytest.raises(SystemExit):
        main(["reproduce", "nobody2020"])


def test_a_disagreement_is_explained_only_by_a_cause_that_is_there():
    paper = Paper("none")
    for found in (True, False):
        paper.check(
            "x",
            Published(1.0, "here"),
            lambda: 2.0,
            tolerance=0.1,
            why="w",
            cause=lambda found=found: (found, "a reason"),
        )
    paper.check(
        "x", Published(1.0, "here"), lambda: 1.05, tolerance=0.1, why="w", cause=lambda: (True, "unasked")
    )
    assert [c.verdict for c in paper.claims] == ["explained", "fail", "pass"]
    assert "unasked" not in paper.claims[2].note


def test_the_command_writes_every_figure_of_a_paper(tmp_path):
    assert main(["reproduce", "pearce2024", "--figures", str(tmp_path)]) == 0
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == set(pearce2024.reproduce(Data(None)).figures) and drawn


@pytest.mark.parametrize("name", PAPERS)
def test_every_figure_is_made_and_says_what_it_is(name):
    folder()
    for label, make in as_published(name).figures.items():
        figure = make()
        assert label.startswith(name) and figure.axes and len(figure.texts[0].get_text()) > 60


def test_kaplans_frontier_is_the_least_loss_at_its_compute():
    law = KaplanSteps(alpha_N=0.077, alpha_S=0.76, N_c=6.5e13, S_c=2.1e3)
    loss, compute = kaplan_laws.frontier(law, np.array([1e7]))
    scale, power = KAPLAN_BATCH["B"].value, 1 / KAPLAN_BATCH["alpha"].value
    sizes = 1e7 * np.geomspace(0.2, 5, 201)
    # at each size, the loss reached with that compute, by bisection over steps
    low, high = np.full(201, 1.0), np.full(201, 1e12)
    for _ in range(200):
        steps = np.sqrt(low * high)
        reached = (law.N_c / sizes) ** law.alpha_N + (law.S_c / steps) ** law.alpha_S
        spent = 6 * sizes * steps * scale / reached**power / PF_DAY
        low, high = np.where(spent < compute, steps, low), np.where(spent < compute, high, steps)
    assert reached.min() == pytest.approx(loss[0], rel=1e-6)
    assert sizes[np.argmin(reached)] == pytest.approx(1e7, rel=0.03)


def test_pearces_compute_is_where_the_loss_is_least():
    law = Chinchilla(E=1.8, A=480.0, B=2085.0, alpha=0.348, beta=0.366)
    for params in (1e4, 1e7, 1e10):
        flops = pearce2024.compute(law, np.array([params]))
        near = params * np.geomspace(0.5, 2, 401)
        loss = law.loss(pearce2024.total(near)[0], flops / (6 * near))
        assert near[np.argmin(loss)] == pytest.approx(params, rel=5e-3)


def test_repeats_are_worth_nothing_more_than_new_tokens_and_one_epoch_is_new():
    law = muennighoff2023.published_law()
    tokens = np.geomspace(1e8, 1e12, 30)
    new = law.loss(1e9, tokens, tokens)
    assert np.all(law.loss(1e9, tokens, tokens / 5) > new)
    assert np.all(np.diff(law.loss(1e7, tokens, 1e9)) <= 0)
    np.testing.assert_allclose(law.loss(1e9, tokens, 2 * tokens), new)


def test_the_objective_is_zero_where_the_law_made_the_data():
    law = Chinchilla(E=1.8, A=480.0, B=2085.0, alpha=0.348, beta=0.366)
    from bench import synthetic

    runs = synthetic.factorial(law, np.geomspace(1e7, 1e9, 4), np.geomspace(1e8, 1e10, 4))
    assert besiroglu2024.objective(law, runs) == pytest.approx(0, abs=1e-20)


def test_parameters_are_counted_from_a_shape():
    from analysis.tables import table

    one = table.from_columns(n_layers=[2.0], d_model=[8.0], ffw_size=[32.0], n_heads=[2.0], kv_size=[4.0])
    assert shapes.parameters(one)[0] == 2 * (5 * 64 + 2 * 256) + 32_000 * 8


def test_without_tables_it_says_at_once_how_to_get_them(monkeypatch, capsys):
    monkeypatch.delenv("SCALING_DATA", raising=False)
    assert main(["reproduce", "pearce2024"]) == 0
    assert "analysis reproduce pearce2024 --download" in capsys.readouterr().err
