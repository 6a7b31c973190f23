"""Predictions of new runs: planted laws come back, and 95 % intervals cover 95 %."""

import json

import numpy as np
import pytest

from analysis import figures, fitting
from analysis.__main__ import main
from analysis.laws import Chinchilla, DownstreamError, PowerLaw, PurePower
from analysis.tables.table import from_columns

LAW = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
ERRORS = DownstreamError(epsilon=0.85, k=2.0, gamma=0.9)
PARAMS, TOKENS = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))


def table(path, noise=0.003, seed=0, **columns):
    rng = np.random.default_rng(seed)
    loss = LAW.loss(PARAMS, TOKENS) * np.exp(noise * rng.standard_normal(PARAMS.size))
    columns = {"params": PARAMS, "tokens": TOKENS, "loss": loss} | columns
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    return path


def predicted(tmp_path, *arguments, status=0):
    out = tmp_path / "out.json"
    assert main(["predict", *map(str, arguments), "--json", str(out)]) == status
    return json.loads(out.read_text())


@pytest.mark.parametrize("objective", ["huber-log", "ls-log"])
def test_a_planted_law_is_predicted_with_both_intervals(tmp_path, objective):
    runs = table(tmp_path / "runs.csv")
    where = ["--at", "params=7e9,tokens=2T; tokens=1e10 , params=70M", "--at", "params=1e8,flops=6e18"]
    answer = predicted(tmp_path, runs, *where, "--objective", objective)
    truth = LAW.loss(np.array([7e9, 7e7, 1e8]), np.array([2e12, 1e10, 1e10]))
    for row, loss in zip(answer["rows"], truth, strict=True):
        assert row["predicted"] == pytest.approx(loss, rel=0.01)
        assert row["run_low"] < row["low"] < row["predicted"] < row["high"] < row["run_high"]
    assert [row["times_range"] for row in answer["rows"]] == pytest.approx([20, 1, 1])
    assert answer["status"] == "ok" and answer["mape"] is None and answer["rows"][0]["measured"] is None


def test_what_a_table_of_places_measured_is_compared(tmp_path, capsys):
    runs, points = table(tmp_path / "runs.csv"), tmp_path / "points.csv"
    truth = LAW.loss(np.array([3e9, 5e9]), np.array([2e11, 1e12]))
    points.write_text(
        "Model Size (B),Training Tokens (B),val_loss,status\n"
        f"3,200,{1.02 * truth[0]},done\n5,1000,{0.99 * truth[1]},done\n"
        "4,1000,9.9,crashed\n7,2000,,\n9,,2.0,done\n"
    )
    answer = predicted(tmp_path, runs, "--at-table", points)
    rows = answer["rows"]
    assert [row["row"] for row in rows] == [1, 2, 3, 4]
    assert [row["measured"] is None for row in rows] == [False, False, True, True]
    said, measured = (np.array([row[name] for row in rows[:2]]) for name in ("predicted", "measured"))
    assert answer["mape"] == pytest.approx(100 * np.mean(np.abs(said / measured - 1)))
    spread = ((measured - measured.mean()) ** 2).sum()
    assert answer["r2"] == pytest.approx(1 - ((said - measured) ** 2).sum() / spread)
    assert answer["compared"] == 2 and "1 rows lack an input" in capsys.readouterr().out


@pytest.mark.parametrize(("law", "rows"), [("m1", 15), ("m2", 120)])  # by profile, by resampling
def test_intervals_of_the_law_and_of_a_new_run_cover_95_percent(law, rows):
    seeds, noise = 200, 0.01
    truth = PurePower(A=30.0, alpha=0.1) if law == "m1" else PowerLaw(E=1.0, A=30.0, alpha=0.2)
    x = np.geomspace(1e6, 1e10, rows)
    true, hits = truth.loss(8e10), np.zeros(2)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        runs = from_columns(x=x, y=truth.loss(x) * np.exp(noise * rng.standard_normal(x.size)))
        fitted = fitting.intervals(fitting.fit(law, runs, objective="ls-log"), "auto", 100)
        said = fitting.predict(fitted, x=8e10)
        new = true * np.exp(noise * rng.standard_normal())
        hits += [
            (said.low <= true)[0] & (true <= said.high)[0],
            ((said.run_low <= new) & (new <= said.run_high))[0],
        ]
    assert (0.9 <= hits / seeds).all() and (hits / seeds <= 0.985).all(), hits / seeds


def test_a_loss_goes_on_to_an_error_that_stays_inside_its_bounds(tmp_path):
    runs = table(tmp_path / "runs.csv")
    loss = np.linspace(2.0, 4.0, 20)
    wobble = np.exp(0.02 * np.random.default_rng(1).standard_normal(20))
    rows = [f"{a},{b}" for a, b in zip(loss, ERRORS.loss(loss) * wobble, strict=True)]
    (tmp_path / "errors.csv").write_text("\n".join(["loss,error", *rows]) + "\n")
    where = "params=5e8,tokens=5e10;params=10,tokens=10;params=1e15,tokens=1e18"
    answer = predicted(tmp_path, runs, "--at", where, "--downstream", tmp_path / "errors.csv")
    near, *far = (row["error"] for row in answer["rows"])
    assert near["predicted"] == pytest.approx(float(ERRORS.loss(LAW.loss(5e8, 5e10))), rel=0.03)
    assert near["run_low"] < near["low"] < near["predicted"] < near["high"] < near["run_high"]
    for row in far:
        assert 0 <= row["run_low"] <= row["low"] <= row["high"] <= row["run_high"] <= 1
    assert answer["downstream"]["status"]


def test_a_loss_goes_on_to_errors_of_losses_in_its_own_unit_alone(tmp_path, capsys):
    text = table(tmp_path / "runs.csv").read_text()
    (tmp_path / "runs.csv").write_text(text.replace("loss", "loss (nats/token)", 1))
    loss = np.linspace(0.7, 1.2, 12)
    rows = [f"{a},{b}" for a, b in zip(loss, ERRORS.loss(loss), strict=True)]
    where = ["--at", "params=5e8,tokens=5e10", "--downstream", str(tmp_path / "errors.csv")]
    (tmp_path / "errors.csv").write_text("\n".join(["loss (bits/byte),error", *rows]) + "\n")
    assert main(["predict", str(tmp_path / "runs.csv"), *where]) == 1
    assert "nats/token and --downstream holds bits/byte" in capsys.readouterr().err
    (tmp_path / "errors.csv").write_text("\n".join(["loss,error", *rows]) + "\n")
    assert main(["predict", str(tmp_path / "runs.csv"), *where]) == 0
    assert "losses predicted lie outside those of" in " ".join(capsys.readouterr().out.split())


def test_a_unit_that_is_not_applied_is_refused(tmp_path, capsys):
    text = table(tmp_path / "runs.csv", vocab=np.geomspace(4, 64, PARAMS.size)).read_text()
    (tmp_path / "runs.csv").write_text(text.replace("vocab", "vocab_params (M)", 1))
    law = ["--law", "vocabulary", "--vocab_params", "vocab_params (M)"]
    assert main(["fit", str(tmp_path / "runs.csv"), *law]) == 1
    assert "the unit in its header is not applied to vocab_params" in capsys.readouterr().err


def test_a_share_that_rises_is_predicted_as_errors_between_0_and_1(tmp_path):
    compute = np.geomspace(1e17, 1e21, 12)
    right = 1 - np.minimum(0.3 + 30 * compute**-0.1, 0.95) * np.exp(0.05 * np.cos(np.arange(12)))
    rows = [f"{c},{share}" for c, share in zip(compute, right, strict=True)]
    (tmp_path / "runs.csv").write_text("\n".join(["C,accuracy", *rows]) + "\n")
    law = ["--law", "power", "--x", "C", "--y", "accuracy"]
    answer = predicted(tmp_path, tmp_path / "runs.csv", *law, "--at", "C=1e10;x=1e30")
    for row in answer["rows"]:
        assert all(0 <= row[name] <= 1 for name in ("run_low", "low", "predicted", "high", "run_high"))
    assert answer["unit"] == "a share of errors"


def test_a_fit_that_is_not_ok_says_so_beside_its_predictions(tmp_path, capsys):
    ray = tmp_path / "ray.csv"
    ray.write_text(
        "params,tokens,loss\n"
        + "".join(f"{n},{20 * n},{LAW.loss(n, 20 * n)}\n" for n in np.geomspace(1e7, 1e9, 9))
    )
    answer = predicted(tmp_path, ray, "--at", "params=1e8,tokens=1e10", "--intervals", "none")
    assert answer["status"] == "unidentified" and "one ray" in answer["message"]
    assert "GUESS" in capsys.readouterr().out
    assert answer["rows"][0]["low"] is None


def test_what_the_audit_has_against_a_forecast_is_said_with_it(tmp_path, capsys):
    where = ["--at", "params=1e10,tokens=1e12"]
    assert predicted(tmp_path, table(tmp_path / "clean.csv", seed=1), *where)["against"] == []
    said = capsys.readouterr().out
    assert said.startswith("Chinchilla at params 1e10, tokens 1e12: loss 2.0")
    assert "10 times beyond the runs in params" in " ".join(said.partition("\n\n")[0].split())
    clipped = LAW.loss(PARAMS, TOKENS) * np.exp(0.003 * np.random.default_rng(0).standard_normal(PARAMS.size))
    runs = table(tmp_path / "clipped.csv", loss=np.maximum(clipped, np.sort(clipped)[3]))
    answer = predicted(tmp_path, runs, *where)
    assert answer["status"] == "ok" and answer["verdict"] == "warn"
    assert any("too low" in line for line in answer["against"])
    assert "Against it: " in capsys.readouterr().out.partition("Chinchilla prediction")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the two"),
        (["--at", "params=7e9"], "tokens missing; write"),
        (["--at", "params=7e9,tokens=-1"], "'tokens=-1' is not NAME=NUMBER"),
        (["--at", "params=7e9,tokens=many"], "'tokens=many' is not NAME=NUMBER"),
        (["--at", "params=7e9,token=2e9"], "no input 'token'; it has params, tokens"),
        (["--at", "params=7e9,params=8e9"], "params is given twice"),
        (["--at", "params=7e9,tokens=2e9,flops=6e18"], "flops follows from params and tokens"),
        (["--at", " ; "], "--at is empty"),
        (["--at-table", "bits.csv"], "fitted in nats/token and --at-table holds bits/byte"),
        (["--at-table", "empty.csv"], "no row has all of params, tokens"),
    ],
)
def test_wrong_places_are_refused_by_name(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "runs.csv", **{"perplexity": np.ones(PARAMS.size)})
    text = (tmp_path / "runs.csv").read_text().replace("loss", "loss (nats)", 1)
    (tmp_path / "runs.csv").write_text(text)
    (tmp_path / "bits.csv").write_text("params,tokens,val_bpb\n1e9,1e11,0.8\n")
    (tmp_path / "empty.csv").write_text("params,tokens,loss\n1e9,,0.8\n,1e9,2\n")
    assert main(["predict", "runs.csv", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_each_group_is_predicted_at_its_own_places(tmp_path):
    runs = tmp_path / "runs.csv"
    table(runs, 0.0, group=["a"] * PARAMS.size)
    more = table(tmp_path / "more.csv", 0.0, group=["b"] * PARAMS.size).read_text().splitlines()[1:]
    doubled = [
        ",".join([*cells[:2], str(2 * float(cells[2])), cells[3]]) for cells in (r.split(",") for r in more)
    ]
    runs.write_text(runs.read_text() + "\n".join(doubled) + "\n")
    points = tmp_path / "points.csv"
    points.write_text("params,tokens,group\n1e9,1e11,b\n1e8,1e10,a\n")
    groups = predicted(tmp_path, runs, "--at-table", points, "--by", "group")
    a, b = (group["rows"] for group in groups)
    assert [len(a), len(b)] == [1, 1]
    assert a[0]["predicted"] == pytest.approx(LAW.loss(1e8, 1e10), rel=1e-4)
    assert b[0]["predicted"] == pytest.approx(2 * LAW.loss(1e9, 1e11), rel=1e-4)


def test_a_law_of_ones_own_is_predicted(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from analysis.laws import Sum, Term\n"
        "@dataclass(frozen=True)\nclass Mine(Sum):\n    E: float\n    A: float\n    alpha: float\n"
        "    inputs: ClassVar = ('flops',)\n    terms: ClassVar = (Term('E'), Term('A', ((0, 'alpha'),)))\n"
        "    grid: ClassVar = {'alpha': (0.05, 0.1, 0.3)}\n"
    )
    flops = np.geomspace(1e18, 1e21, 12)
    rows = "".join(f"{c},{1.5 + 40 * c**-0.1}\n" for c in flops)
    (tmp_path / "runs.csv").write_text("flops,loss\n" + rows)
    answer = predicted(
        tmp_path, tmp_path / "runs.csv", "--law", f"{tmp_path}/mine.py:Mine", "--at", "flops=1e22"
    )
    assert answer["rows"][0]["predicted"] == pytest.approx(1.5 + 40 * 1e22**-0.1, rel=1e-4)


def test_the_figure_shows_places_with_their_intervals_among_the_runs(tmp_path):
    fitted = fitting.fit(
        Chinchilla, from_columns(params=PARAMS, tokens=TOKENS, loss=LAW.loss(PARAMS, TOKENS))
    )
    inputs = {"params": np.array([5e9, 1e7]), "tokens": np.array([1e12, 1e10])}
    value = fitted.law.loss(*inputs.values())
    said = fitting.Prediction(value, value - 0.1, value + 0.1, value - 0.2, value + 0.2)
    fig = figures.plot_places(fitted, inputs, said, np.array([np.nan, 2.0]))
    runs, places, measured = fig.axes[0].collections[0], *fig.axes[0].collections[-2:]
    assert len(runs.get_offsets()) == PARAMS.size
    np.testing.assert_allclose(places.get_offsets(), np.transpose([inputs["tokens"], value]))
    np.testing.assert_allclose(measured.get_offsets(), [[1e10, 2.0]])
    ends = [bar.get_segments() for bar in fig.axes[0].collections[1:3]]
    assert [np.ptp(bar[0][:, 1]) for bar in ends] == pytest.approx([0.4, 0.2])
    out = tmp_path / "p.svg"
    predicted(tmp_path, table(tmp_path / "t.csv"), "--at", "params=5e9,tokens=1e12", "--figure", out)
    assert out.stat().st_size > 1000
