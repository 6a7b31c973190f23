"""The planner page: its own plans are `decide`'s, a refused table gets no numbers, names are text."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.commands.planner import data_of, page, script
from analysis.decisions import plans
from analysis.decisions.answer import plan_bands
from analysis.decisions.counted import law_with_draws
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table

TABLE = Path(__file__).parents[1] / "experiments/results/quickstart.csv"


@pytest.fixture(scope="module")
def found():
    fitted = fitting.resample(fit(Chinchilla, table.read(TABLE)), 60)
    return fitted, frontiers.fit_cost(fitted.runs)


def test_200_random_questions_are_answered_as_decide_does_to_four_digits(found, tmp_path):
    if not shutil.which("node"):
        pytest.skip("no node on this machine")
    fitted, cost = found
    rng, data, law = np.random.default_rng(0), data_of(fitted, cost), law_with_draws(fitted)
    questions = []
    for i in range(200):
        asked = {"budget": 10 ** rng.uniform(11, 20)}
        if i % 2:
            asked = {"loss": fitted.law.E + rng.uniform(0.02, 1)}
        questions.append({**asked, "serve": 10 ** rng.uniform(5, 9) if i % 3 == 0 else 0})
    words = f"{script(page(data, 'x'))}\nconst all = {json.dumps([data, questions])};\n"
    words += "const text = (k, v) => (v === Infinity ? 'inf' : v);\n"
    words += "console.log(JSON.stringify(all[1].map(q => plan(all[0], q)), text))"
    path = tmp_path / "planner.js"
    path.write_text(words)
    done = subprocess.run(["node", path], capture_output=True, text=True, check=True)
    for question, said in zip(questions, json.loads(done.stdout), strict=True):
        serve = float(question["serve"])
        if "loss" in question:
            best = plans.cheapest(law, cost, question["loss"], serve)
        else:
            best = plans.optimum(law, cost, question["budget"], serve)
        for name, band in plan_bands(law, cost, best, serve).items():
            ours = [np.nan if x is None else float(x) for x in said[name]]
            theirs = [band.value, band.low, band.high]
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=f"{question} {name}")


def test_one_script_alone_may_run_and_names_are_text(found):
    evil = "</script><script>alert(1)</script>$x$ TITLE DATA"
    html = page(data_of(*found) | {"cautions": [evil]}, evil)
    assert html.count("<script") == 2 and html.count("</script>") == 2 and "&lt;/script&gt;" in html
    digest = base64.b64encode(hashlib.sha256(script(html).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html and not re.search(r"https?://|\bon\w+=", html)
    data = re.search(r'id="law">(.*?)</script>', html, re.S)[1]
    assert json.loads(data)["cautions"] == [evil] and len(html) < 600_000


def test_a_table_that_decide_refuses_gets_a_page_without_numbers(tmp_path):
    path, out = tmp_path / "ray.csv", tmp_path / "p.html"
    rows = [(n, 20 * n, 1.7 + 400 * n**-0.34 + 410 * (20 * n) ** -0.28) for n in np.geomspace(1e7, 1e9, 9)]
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{y}\n" for n, d, y in rows))
    assert main(["planner", str(path), "-o", str(out)]) == 1
    data = json.loads(re.search(r'id="law">(.*?)</script>', out.read_text(), re.S)[1])
    assert list(data) == ["refused"] and "unidentified" in data["refused"]
