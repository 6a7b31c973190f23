import json
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import fitting
from analysis.__main__ import main
from analysis.commands.suggest_grid import shape
from analysis.decisions.suggest import FORM, Target, noise_of, suggest
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import suggest as bench
from bench.compare import BASE, cells
from lab.commands.experiment import load
from lab.config import DataConfig
from lab.data import corpora


def drawn(n, d, noise=0.004, number=0, **more):
    loss = BASE.loss(n, d) * np.exp(noise * np.random.default_rng(number).standard_normal(len(n)))
    return table.from_columns("drawn", params=n, tokens=d, flops=6 * n * d, loss=loss, **more)


@pytest.fixture(scope="module")
def fitted():
    return fit(Chinchilla, drawn(*cells(3, 4)))


@pytest.mark.parametrize("name", ["exponent", "loss", "multiplier"])
def test_the_runs_cost_what_may_be_spent_and_some_of_them_check_the_form(fitted, name):
    found = suggest(fitted, Target(name, 1e14), 4e13)
    assert 0.75 * 4e13 < found.flops.sum() <= 4e13, "of both arms, where there are two"
    assert found.after < found.before
    assert found.form.any() and found.flops[found.form].sum() <= 2 * FORM * 4e13
    assert found.flops.min() >= 0.99 * fitted.runs.flops.min()  # no smaller than what a law was seen on


def test_more_flops_leave_less_to_know(fitted):
    widths = [suggest(fitted, Target("exponent", 1e14), flops).after for flops in (1e13, 4e13, 1.6e14)]
    assert widths == sorted(widths, reverse=True) and widths[0] > 1.2 * widths[2]


def test_one_run_that_diverged_is_no_noise():
    n, d = (np.repeat(each, 3) for each in cells(3, 4))
    seeds = {"seed": np.tile([0.0, 1.0, 2.0], len(n) // 3)}
    clean = drawn(n, d, **seeds)
    spoilt = clean.with_column("loss", np.where(np.arange(len(n)) == 7, 7.3, clean.loss), "one diverged")
    without, noisy = (noise_of(fit(Chinchilla, runs)) for runs in (clean, spoilt))
    assert without == pytest.approx(0.004, rel=0.4) and noisy == pytest.approx(without, rel=0.1)
    few = fit(Chinchilla, drawn(*(each[:8] for each in cells(3, 4))))
    spare = len(few.runs) - 5
    assert noise_of(few) == pytest.approx(np.sqrt((few.residuals**2).sum() / spare)), (
        "of few none is left out"
    )


def test_the_width_that_is_expected_is_that_of_refits(fitted):
    found = suggest(fitted, Target("exponent", 1e14), 1e14)
    n = np.concatenate([fitted.runs.params, found.params])
    d = np.concatenate([fitted.runs.tokens, found.tokens])
    draws = [fit(Chinchilla, drawn(n, d, found.noise, seed), objective="ls-log").law for seed in range(25)]
    half = 1.96 * np.std([law.exponents()[0] for law in draws])
    assert half == pytest.approx(found.simulated, rel=0.4)
    assert found.simulated < 1.2 * found.after  # which holds the form's doubt too


def test_suggested_runs_tell_more_than_as_many_flops_at_random(fitted):
    found = suggest(fitted, Target("exponent", 1e14), 4e13)
    rng, widths = np.random.default_rng(1), {"suggested": [], "random": []}
    n, d = (
        np.concatenate([own, more])
        for own, more in zip(cells(3, 4), (found.params, found.tokens), strict=True)
    )
    pool_n, pool_d = cells(3, 12)
    for seed in range(3):
        order, spent, kept = rng.permutation(np.repeat(np.arange(len(pool_n)), 3)), 0.0, []
        for i in order:
            if spent + 6 * pool_n[i] * pool_d[i] <= 4e13:
                kept.append(i)
                spent += 6 * pool_n[i] * pool_d[i]
        random = [
            np.concatenate([own, pool[kept]]) for own, pool in zip(cells(3, 4), (pool_n, pool_d), strict=True)
        ]
        for name, places in (("suggested", (n, d)), ("random", random)):
            law = fitting.intervals(
                fit(Chinchilla, drawn(*places, number=seed), objective="ls-log"), "profile"
            )
            low, high = law.band(lambda law: np.atleast_1d(law.exponents()[0]))
            widths[name].append(float(high[0] - low[0]))
    assert np.median(widths["suggested"]) < 0.9 * np.median(widths["random"])


def test_without_exponents_in_the_runs_usual_ones_are_planned_with_and_said():
    n, d = cells(3, 3)
    flat = drawn(n, d * 0 + 1e6, 0.02)
    found = suggest(fit(Chinchilla, flat), Target("exponent", 1e14), 4e13)
    assert "planned with 0.35" in found.note and len(found.flops)


def write(path, runs):
    names = list(dict.fromkeys(runs.columns))
    rows = zip(*(runs.columns[name] for name in names), strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_the_grid_is_one_that_lab_takes_with_the_settings_of_the_table(tmp_path, monkeypatch, capsys):
    n, d = cells(3, 4)
    shape = {
        "n_layer": np.full(len(n), 2.0),
        "d_model": 8 * np.round(np.sqrt(n) / 40) + 8,
        "n_head": np.ones(len(n)),
    }
    text = {"corpus": np.full(len(n), "shakespeare", object), "norm": np.full(len(n), "layernorm", object)}
    more = {
        "seq_len": np.full(len(n), 64.0),
        "learning_rate": 0.01 * (n / 1e5) ** -0.4,
        "seed": np.zeros(len(n)),
    }
    path = write(tmp_path / "runs.csv", drawn(n, d, **shape, **text, **more))
    grid = tmp_path / "more.py"
    asked = [
        "suggest",
        path,
        "--for",
        "exponent",
        "--flops",
        "4e13",
        "-o",
        grid,
        "--json",
        tmp_path / "s.json",
    ]
    assert main([str(word) for word in asked]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("by simulation)")
    data = DataConfig(corpus="shakespeare", sha256="0" * 64, train_tokens=10**9, max_epochs=100)
    stub = SimpleNamespace(vocab_size=256, data=lambda **_: data)
    monkeypatch.setattr(corpora, "prepare", lambda name, tokenizer: stub)
    configs = load(str(grid)).configs()
    found = json.loads((tmp_path / "s.json").read_text())
    assert len(configs) == sum(run["seeds"] for run in found["runs"])
    assert {config.model.norm for config in configs} == {"layernorm"}
    assert {config.model.d_model for config in configs} <= set(shape["d_model"])
    rates = dict(zip(shape["d_model"], more["learning_rate"], strict=True))
    assert all(c.optim.learning_rate == pytest.approx(rates[c.model.d_model], rel=0.5) for c in configs)


def test_a_trackers_table_gives_its_rates_and_the_grid_asks_for_its_corpus_first(tmp_path, capsys):
    n, d = cells(3, 4)
    n, d = 1000 * n, 10 * d
    names = {"params": "config.n_params", "tokens": "config.tokens", "loss": "summary.val_loss"}
    runs = drawn(n, d)
    columns = {own: runs.columns[name] for name, own in names.items()} | {"config.lr": np.full(len(n), 7e-4)}
    path, grid = tmp_path / "wandb.csv", tmp_path / "more.py"
    lines = [",".join(map(repr, map(float, row))) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    assert main(["suggest", str(path), "--for", "exponent", "--flops", "4e17", "-o", str(grid)]) == 0
    said, written = capsys.readouterr().out, grid.read_text()
    assert f"Next: set CORPUS in {grid} first, then python -m lab plan {grid}" in said
    assert "e+" not in said  # 20M, not 2e+07
    settings = [line for line in written.splitlines() if line[:1].isupper()]
    assert settings[0].startswith("CORPUS = ") and "SET THIS" in settings[0]
    cells_of = load(str(grid)).module.CELLS
    assert {cell[4] for cell in cells_of} == {7e-4}
    assert all(width % (2 * heads) == 0 and width <= 128 * heads for _, width, heads, *_ in cells_of)


def test_an_invented_model_has_heads_no_wider_than_128():
    runs = drawn(*cells(3, 4))
    for params in np.geomspace(1e3, 1e11, 200):
        _, width, heads = shape(runs, params)
        assert width % (2 * heads) == 0 and width / heads <= 128


@pytest.mark.parametrize("asked", ["loss", "exponent@1e15", "floor", "loss@much"])
def test_what_cannot_be_asked_for_is_refused(asked, capsys):
    with pytest.raises(SystemExit):
        main(["suggest", "runs.csv", "--for", asked, "--flops", "1e12"])
    assert asked.removeprefix("loss@") in capsys.readouterr().err


def test_it_chooses_among_the_cells_of_a_table_where_one_is_given(tmp_path):
    cells_of = [(n, d) for n in (7e4, 3e5, 1.1e6) for d in (3e6, 2e7)]
    lines = [f"{n:.0f},{d:.0f}" for n, d in cells_of]
    (tmp_path / "cells.csv").write_text("\n".join(["params,tokens", *lines]) + "\n")
    said = tmp_path / "said.json"
    asked = [
        "--for",
        "exponent",
        "--flops",
        "5e13",
        "--among",
        str(tmp_path / "cells.csv"),
        "--json",
        str(said),
    ]
    assert main(["suggest", "experiments/results/quickstart.csv", *asked]) == 0
    chosen = {(run["params"], run["tokens"]) for run in json.loads(said.read_text())["runs"]}
    assert chosen and chosen <= set(cells_of)


def test_no_choice_of_rows_is_expected_to_be_as_narrow_as_all(fitted, monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 200)
    runs, target = fitted.runs, Target("exponent", 1e14)
    first, total = np.argsort(runs.flops)[:7], runs.flops.sum()
    least = [bench.at_best(runs, first, target, share * total) for share in (0.3, 0.6, 1.0)]
    assert least[0] > least[1] > least[2] == pytest.approx(1, abs=1e-6)
