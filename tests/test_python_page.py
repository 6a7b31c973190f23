"""docs/python.md, block by block, and what `import analysis` costs and accepts."""

import os
import pickle
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

import analysis
import lab
from analysis.__main__ import main
from analysis.laws import LAWS, Chinchilla
from lab.models import counts
from lab.store.files import StoreError

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.S)


def test_every_block_of_the_page_runs_and_prints(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    (tmp_path / "runs").symlink_to(ROOT / "tests/stores/before")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
        assert capsys.readouterr().out.strip(), block
    sizes = {name: leaf.size for name, leaf in np.load("weights.npz").items()}
    assert sum(sizes.values()) == counts.count_params(names["run"].config.model).total
    for name in ("law.png", "frontier.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    fitted = names["fitted"]
    low, high = fitted.interval("alpha")
    assert f"{fitted.law.alpha:.4g}  ({low:.4g}, {high:.4g})" in repr(fitted) and low < high
    assert repr(fitted).splitlines()[1] == f"status {fitted.status}: {fitted.message}"
    assert len(names["mine"]) == 20


def test_importing_it_imports_nothing_heavy_and_every_name_is_there():
    code = "import sys, analysis; print(sorted({'numpy', 'scipy', 'matplotlib', 'jax'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip() == "[]"
    code = "import sys; from analysis.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('\\n', sorted({'numpy', 'scipy', 'matplotlib', 'jax'} & set(sys.modules)))"
    last = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout
    assert last.splitlines()[-1].strip() == "[]"
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name in analysis.HOMES:
        assert (getattr(analysis, name).__doc__ and f"`{name}" in page) or name == "LAWS"
    with pytest.raises(AttributeError, match="nothing_like_it"):
        analysis.nothing_like_it  # noqa: B018


class Frame:
    """What a data frame is to `read`: names, and a column by its name."""

    def __init__(self, columns):
        self.columns, self.data = np.array(list(columns)), columns

    def __getitem__(self, name):
        return self.data[name]


def test_a_dict_a_frame_and_a_file_of_the_same_columns_are_one_table(tmp_path):
    truth = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    n, d = (m.ravel() for m in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    loss = [*truth.loss(n, d)[:-1].tolist(), None]  # a run that is not done
    columns = {"params": n.tolist(), "tokens": d, "loss": loss, "tag": ["a", "b"] * 8}
    rows = zip(*columns.values(), strict=True)
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    sources = (path, columns, Frame(columns))
    first, *others = (analysis.read(source, where="tag == 'b' or tokens > 2e9") for source in sources)
    assert len(first) == 14 and len(first.dropped()) == 1
    for runs in others:
        assert runs.dropped() == first.dropped()
        np.testing.assert_allclose(runs.usable().loss, first.usable().loss)


def test_a_law_goes_by_its_name():
    n, d = (m.ravel() for m in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    truth = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    runs = analysis.read({"params": n, "tokens": d, "loss": truth.loss(n, d)})
    found = analysis.fit("chinchilla", runs)
    assert found.law == analysis.fit(LAWS["chinchilla"], runs).law
    with pytest.raises(ValueError, match="'chincilla' is not one of chinchilla, joint"):
        analysis.fit("chincilla", runs)


class Missing:
    """The NA of pandas: it equals nothing, and is neither true nor false."""

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


def planted(**more) -> dict:
    n, d = (m.ravel() for m in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    noise = np.exp(0.01 * np.random.default_rng(0).normal(size=16))
    truth = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    return {"params": n, "tokens": d, "loss": truth.loss(n, d) * noise, **more}


def test_a_cell_that_is_not_there_is_a_gap_whatever_the_frame_writes_for_it():
    loss = planted()["loss"].tolist()
    for nothing in (None, float("nan"), np.datetime64("NaT"), Missing()):
        runs = analysis.read(Frame(planted(loss=[nothing, *loss[1:]], tag=[nothing, *"b" * 15])))
        np.testing.assert_array_equal(runs.usable().loss, loss[1:])
        assert runs.column("tag").tolist() == ["", *"b" * 15]


@pytest.mark.parametrize("kind", ["profile", "pairs"])
def test_a_fit_is_kept_with_its_intervals(kind):
    fitted = analysis.intervals(analysis.fit("chinchilla", analysis.read(planted())), kind, resamples=50)
    assert pickle.loads(pickle.dumps(fitted)).interval("alpha") == fitted.interval("alpha")


def test_a_frontier_is_kept_and_says_the_same_of_any_budget():
    at = np.geomspace(1e7, 1e9, 7)
    sizes, budgets = (axis.ravel() for axis in np.meshgrid(at, np.geomspace(1e18, 1e20, 5)))
    truth = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    losses = truth.loss(sizes, budgets / (6 * sizes))
    runs = analysis.read({"params": sizes, "flops": budgets, "loss": losses})
    valleys = analysis.find_optima(runs)
    for front in map(analysis.frontier, (analysis.fit("chinchilla", runs), valleys)):
        kept = pickle.loads(pickle.dumps(front))
        for band, again in zip(front.at([1e19, 1e22]), kept.at([1e19, 1e22]), strict=True):
            assert str(band) == str(again) and np.isfinite(again.value).all()


def test_several_numbers_are_printed_as_one_is():
    params, _, _ = analysis.frontier(analysis.fit("chinchilla", analysis.read(planted()))).at([1e20, 1e21])
    assert str(params) == repr(params) == f"{params.value[0]:.4g}, {params.value[1]:.4g}"


def test_what_a_notebook_hands_over_wrongly_is_said():
    runs = analysis.read(planted())
    fitted = analysis.intervals(analysis.fit("chinchilla", runs))
    for call, words in {
        "fit(runs, 'chinchilla')": "a str is no table of runs; analysis.read",
        "fit(runs, runs)": "law .* is not one of chinchilla, joint",
        "find_optima(planted())": "a dict is no table of runs",
        "trace_envelope(planted())": "a dict is no table of runs",
        "audit(planted())": "a dict is no table of runs",
        "read(np.zeros((3, 3)))": "a ndarray names no columns; give a path, a dict of columns or a frame",
        "read({'N': [1, 2], 'D': [3]})": "columns differ in length: N has 2, D has 1",
        "predict(fitted, params=1e9)": "Chinchilla tells of params, tokens, all .* by name; here is params",
        "predict(fitted, params=1e9, tokens=1e9, flops=1)": "here is params, tokens, flops",
        "intervals(fitted, 'bootstrap')": "'bootstrap' are not one of auto, none, profile, pairs,",
        "frontier(runs)": "no frontier of a Runs: of Fit, Isoflop, Envelope",
        "figure(runs)": "no figure of a Runs: of Fit, .*, Comparison",
    }.items():
        with pytest.raises(ValueError, match=words):
            eval(f"analysis.{call}", {**globals(), **locals()})
    with pytest.raises(ValueError, match="Chinchilla has no parameter 'a'; it has E, A, B, alpha, beta"):
        fitted.interval("a")


@pytest.mark.parametrize("columns", [{}, {"params": [], "tokens": [], "loss": []}])
def test_no_rows_is_said(columns):
    with pytest.raises(ValueError, match="no rows"):
        analysis.read(columns)


def test_a_store_is_a_table_without_jax_and_a_frame_where_pandas_is(tmp_path):
    code = "import sys, lab; t = lab.load('tests/stores/before'); print(len(t.rows), 'jax' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"], done.stderr
    table = lab.load(ROOT / "tests/stores/before")
    runs = analysis.read(table)
    assert runs.loss.tolist() == table["loss"] and "2 done" in repr(table)
    with pytest.raises(KeyError):
        table["no such column"]
    with pytest.raises(StoreError, match="there is no store"):
        lab.load(tmp_path / "nowhere")
    pandas = pytest.importorskip("pandas")
    assert isinstance(table.to_frame(), pandas.DataFrame) and list(table.to_frame()) == [*table]
    assert runs.to_frame()["loss"].tolist() == table["loss"]


def test_a_notebook_says_what_the_commands_say(capsys):
    """The verdict of `analysis audit`, the answer of `analysis compare`; both print in a few lines."""
    results = ROOT / "experiments/results"
    audit = analysis.audit(analysis.read(results / "activation.csv"), hold_out="none")
    assert repr(audit).startswith(f"verdict {audit.verdict}: ") and len(repr(audit)) < 3000
    assert next(iter(signature(analysis.audit).parameters)) == "runs" and callable(analysis.audit)
    base, arm = analysis.read(results / "activation.csv").by("activation").values()
    found = analysis.compare(base, arm, names=("gelu", "swiglu"), draws=200)
    assert main(["compare", str(results / "activation.csv"), "--arm", "activation", "--draws", "200"]) == 0
    said = " ".join(capsys.readouterr().out.split())  # in lines of a screen's width
    assert said.startswith(repr(found).splitlines()[0])
    for result in (audit, found):
        assert analysis.figure(result).axes
