"""The planner page: its own plans are `decide`'s, a refused table gets no numbers, names are text."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import fitting, frontiers, headline
from analysis.__main__ import main
from analysis.commands import answers, planner
from analysis.commands.planner import data_of, page, script
from analysis.decisions import plans
from analysis.decisions.answer import plan_bands
from analysis.decisions.counted import law_with_draws
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table
from lab.config import DataConfig
from lab.data import corpora
from lab.models import counts

TABLE = Path(__file__).parents[1] / "experiments/results/quickstart.csv"


@pytest.fixture(scope="module")
def found():
    fitted = fitting.resample(fit(Chinchilla, table.read(TABLE)), 60)
    return fitted, frontiers.fit_cost(fitted.runs)


def test_200_random_questions_are_answered_as_decide_does_to_four_digits(found, tmp_path):
    fitted, cost = found
    rng, data, law = np.random.default_rng(0), data_of(fitted, cost), law_with_draws(fitted)
    questions = []
    for i in range(200):
        asked = {"budget": 10 ** rng.uniform(11, 20)}
        if i % 2:
            asked = {"loss": fitted.law.E + rng.uniform(0.02, 1)}
        questions.append({**asked, "serve": 10 ** rng.uniform(5, 9) if i % 3 == 0 else 0})
    said_of_all = in_node(tmp_path, "all[1].map(q => plan(all[0], q))", [data, questions])
    for question, said in zip(questions, said_of_all, strict=True):
        serve = float(question["serve"])
        if "loss" in question:
            best = plans.cheapest(law, cost, question["loss"], serve)
        else:
            best = plans.optimum(law, cost, question["budget"], serve)
        for name, band in plan_bands(law, cost, best, serve).items():
            ours = [np.nan if x is None else float(x) for x in said[name]]
            theirs = [band.value, band.low, band.high]
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=f"{question} {name}")
        for name, times in (("half", 0.5), ("twice", 2.0)):
            size = best.params[:1] * times
            if "loss" in question:
                other = plans.plan_to_loss(fitted.law, cost, question["loss"], size, serve)
            else:
                other = plans.plan_at_size(fitted.law, cost, question["budget"], size, serve)
            theirs = plans.wasted_share(fitted.law, cost, other, serve)
            np.testing.assert_allclose(said[name], theirs, rtol=1e-4, atol=1e-9, err_msg=f"{question}")


def in_node(tmp_path, expression: str, given) -> list:
    """What the page's script makes of an expression over `all`, which is given."""
    if not shutil.which("node"):
        pytest.skip("no node on this machine")
    words = f"{script(page({}, 'x'))}\nconst all = {json.dumps(given)};\n"
    words += "const text = (k, v) => (v === Infinity ? 'inf' : v);\n"
    path = tmp_path / "planner.js"
    path.write_text(f"{words}console.log(JSON.stringify({expression}, text))")
    done = subprocess.run(["node", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def as_csv(runs, names=("params", "tokens", "flops", "loss")) -> str:
    lines = zip(*(runs.column(name).tolist() for name in names), strict=True)
    return "\n".join([",".join(names), *(",".join(map(repr, line)) for line in lines)])


def test_a_pasted_table_is_fitted_as_fit_does_to_five_digits(found, tmp_path):
    fitted, cost = found
    runs = fitted.runs
    other = as_csv(runs).replace(",", ";").replace("params", '"N"').replace("loss", "Val_Loss")
    whole, again = in_node(tmp_path, "all.map(text => fitTable(text))", [as_csv(runs), other])
    names = ("E", "A", "B", "alpha", "beta")
    np.testing.assert_allclose(whole["law"], [fitted.parameters[name] for name in names], rtol=1e-5)
    np.testing.assert_allclose([whole["cost"]["k"], whole["cost"]["p"]], [cost.k, cost.p], rtol=1e-9)
    assert again["law"] == whole["law"] and whole["runs"] == len(runs) and len(whole["draws"]) > 280
    ours, theirs = np.array(whole["draws"]), fitted.draws
    spread = [np.std(draws[:, 3], ddof=1) for draws in (ours, theirs)]
    assert 0.6 < spread[0] / spread[1] < 1.7  # two bootstraps of pairs, of 300 draws and of 60


def test_of_a_pasted_curve_the_last_row_that_has_a_loss_is_the_run(tmp_path):
    rows = [f"r{n},{n}e6,{d}e8,{4 - n / 10 - d / 10 if d < 4 else ''}" for n in (1, 2) for d in (1, 2, 3, 4)]
    runs, left = in_node(tmp_path, "read(all)", "\n".join(["run_id,params,tokens,val_loss", *rows]))
    assert [each["d"] for each in runs] == [3e8, 3e8] and left == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2", "no column for params"),
        ("params,tokens,loss\n1e6,1e8,3\n2e6,1e8,2.9", "2 usable runs"),
        (
            "params,tokens,loss\n" + "".join(f"{n}e6,{20 * n}e6,{3 - n / 20}\n" for n in range(1, 9)),
            "one ray",
        ),
    ],
)
def test_a_pasted_table_that_tells_nothing_is_refused(tmp_path, text, words):
    attempt = "all.map(text => { try { return fitTable(text) } catch (error) { return error.message } })"
    assert words in in_node(tmp_path, attempt, [text])[0]


def test_a_plan_is_copied_as_a_grid_whose_runs_cost_the_budget(found, tmp_path, monkeypatch):
    fitted, cost = found
    data, asked = data_of(fitted, cost), [{"budget": 2e12}, {"loss": 1.75}, {"budget": 1e16}]
    assert data["grid"]["shapes"] and data["grid"]["seq_len"] > 0
    files = in_node(tmp_path, "all[1].map(q => gridFile(all[0], q))", [data, asked])
    unique = int(data["grid"]["unique_tokens"])  # fewer than the plans take: they are repeated

    def text_of(max_epochs):
        return DataConfig(corpus="x", sha256="0" * 64, train_tokens=unique, max_epochs=max_epochs)

    bare = {"grid": {}, **{name: each for name, each in data.items() if name != "grid"}}
    (own,) = in_node(tmp_path, "all[1].map(q => gridFile(all[0], q))", [bare, asked[:1]])
    exec(own, names := {})
    with pytest.raises(corpora.CorpusError, match="'set-your-corpus' is unknown"):
        names["runs"]()  # no text of another's is trained on unasked
    corpus = SimpleNamespace(vocab_size=256, data=text_of)
    monkeypatch.setattr(corpora, "prepare", lambda name, tokenizer: corpus)
    for question, text in zip(asked, files, strict=True):
        exec(text, names := {})
        runs = names["runs"]()
        wanted = plans.optimum(fitted.law, cost, question["budget"]) if "budget" in question else None
        sizes = [counts.count_params(run.model).params for run in runs]
        assert len(runs) >= 3 and len({run.budget for run in runs}) == 1
        for run in runs:
            assert counts.run_flops(run) == pytest.approx(run.budget, rel=0.05)
        if wanted:
            assert runs[0].budget == pytest.approx(question["budget"], rel=1e-4)
            assert min(sizes) < wanted.params < max(sizes)


def test_one_script_alone_may_run_and_names_are_text(found):
    evil = "</script><script>alert(1)</script>$x$ TITLE DATA"
    html = page(data_of(*found) | {"cautions": [evil]}, evil)
    assert html.count("<script") == 2 and html.count("</script>") == 2 and "&lt;/script&gt;" in html
    digest = base64.b64encode(hashlib.sha256(script(html).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html and "unsafe" not in html.partition("<title>")[0]
    assert not re.search(r"https?://|\bon\w+=", html)
    data = re.search(r'id="law">(.*?)</script>', html, re.S)[1]
    assert json.loads(data)["cautions"] == [evil] and len(html) < 600_000


def test_a_table_that_decide_refuses_gets_a_page_without_numbers(tmp_path):
    path, out = tmp_path / "ray.csv", tmp_path / "p.html"
    rows = [(n, 20 * n, 1.7 + 400 * n**-0.34 + 410 * (20 * n) ** -0.28) for n in np.geomspace(1e7, 1e9, 9)]
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{y}\n" for n, d, y in rows))
    assert main(["planner", str(path), "-o", str(out)]) == 1
    data = json.loads(re.search(r'id="law">(.*?)</script>', out.read_text(), re.S)[1])
    assert list(data) == ["refused"] and "unidentified" in data["refused"]


def test_the_page_says_the_evidence_that_decide_calls(tmp_path, monkeypatch):
    best = SimpleNamespace(how_sure="Evidence: weak: made up.", trusted=False)
    monkeypatch.setattr(answers, "of_table", lambda options, runs, fitted: best)
    out = tmp_path / "p.html"
    assert main(["planner", str(TABLE), "-o", str(out), "--intervals", "none"]) == 0
    data = json.loads(re.search(r'id="law">(.*?)</script>', out.read_text(), re.S)[1])
    assert data["sure"] == best.how_sure and data["headline"] is None


def test_beyond_too_few_budgets_the_page_tells_the_loss_and_the_evidence_that_decide_does(tmp_path):
    law, budgets = Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28), np.repeat(1e18 * 4.0 ** np.arange(4), 7)
    size = law.optimum(budgets, 6.0, 1.0)[0] * np.tile(np.geomspace(0.25, 4, 7), 4)
    loss = law.loss(size, budgets / 6 / size) * np.exp(0.005 * np.random.default_rng(0).standard_normal(28))
    path, out = tmp_path / "few.csv", tmp_path / "p.html"
    runs = table.from_columns(params=size, tokens=budgets / 6 / size, flops=budgets, loss=loss)
    path.write_text(as_csv(runs))
    assert main(["planner", str(path), "-o", str(out)]) == 0
    data = json.loads(re.search(r'id="law">(.*?)</script>', out.read_text(), re.S)[1])
    inside, beyond = {"budget": 2e19}, {"budget": 1e23}
    said = in_node(tmp_path, "all[1].map(q => headline(all[0], q))", [data, [inside, beyond]])
    assert said[0]["loss"] and not said[1]["loss"], "there the law tells it"
    words = in_node(tmp_path, "all[1].map(c => evidence(all[0], c))", [data, [2e19, 1e23]])
    assert "weak" not in words[0] and "weak" in words[1]


def test_a_budget_alone_is_answered_by_the_table_s_headline_as_decide_answers_it(tmp_path):
    runs = table.read(TABLE)
    fitted, cost = fit(Chinchilla, runs), frontiers.fit_cost(runs)
    best = headline.choose([frontiers.choose_valleys(runs, cost, fitted).frontier])
    data = {"headline": planner.ladder_of(best, float(runs.flops.max()))}
    budgets = np.geomspace(1.1e-4, 0.9e8, 40) * runs.flops.max()
    said = in_node(tmp_path, "all[1].map(q => headline(all[0], q))", [data, [{"budget": b} for b in budgets]])
    own = dict(zip(("params", "tokens", "loss"), best.front.at(budgets), strict=True))
    for i, each in enumerate(said):
        for name, band in own.items():
            assert each[name][0] == pytest.approx(band.value[i], rel=5e-5)
            assert each[name][1:] == pytest.approx([band.low[i], band.high[i]], rel=3e-3)
    others = [{"budget": 1e13, "serve": 1e9}, {"loss": 2.0}, {"budget": 1e13, "cap": 1e6}, {"budget": 1e40}]
    assert in_node(tmp_path, "all[1].map(q => headline(all[0], q))", [data, others]) == [None] * 4
