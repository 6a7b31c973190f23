"""Laws of whole training curves: what is planted comes back, and a part says the rest under known rates."""

import json

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.fitting.whole import Curve, fit_curves, forecast_rest, gains
from analysis.laws.whole import Momentum, MultiPower, parts
from analysis.tables.learning import multiplier, rates_of
from analysis.tables.table import from_columns
from lab.train import schedule

STEPS = 1200
SEEN = np.unique(np.concatenate([np.geomspace(20, 800, 12), np.linspace(850, STEPS, 8)]).astype(int))
PEAK = 0.01
SCHEDULES = {
    "cosine": multiplier("cosine", STEPS, STEPS, 60),
    "constant": multiplier("constant", STEPS, STEPS, 60),
    "cooled": multiplier("constant", STEPS, STEPS, 60, 0.3),
}
PLANTED = [
    Momentum(L0=2.0, A=0.9, C=0.4, alpha=0.6, decay=0.99),
    MultiPower(L0=2.0, A=0.9, B=30.0, alpha=0.6, beta=0.5, gamma=0.5, C=1.5),
]


def curve(law, name="cosine", noise=0.0, seed=0):
    rates = PEAK * SCHEDULES[name]
    noisy = np.exp(noise * np.random.default_rng(seed).standard_normal(len(SEEN)))
    return Curve(f"{name}{seed}", 1e6, rates, SEEN, law.loss(rates, SEEN) * noisy)


@pytest.mark.parametrize("law", PLANTED, ids=["momentum", "multi-power"])
def test_a_planted_law_comes_back_from_curves_of_two_schedules_and_says_a_third(law):
    found = fit_curves(type(law), [curve(law), curve(law, "constant")])
    third = curve(law, "cooled")
    np.testing.assert_allclose(found.loss(third.rates, SEEN), third.losses, rtol=2e-3)
    assert (found.L0, found.alpha) == (pytest.approx(law.L0, rel=0.02), pytest.approx(law.alpha, rel=0.1))


@pytest.mark.parametrize("law", PLANTED, ids=["momentum", "multi-power"])
def test_the_rest_is_said_before_the_rate_falls_by_what_other_runs_gained(law):
    others = [curve(law, "cooled", 1e-3, seed) for seed in (1, 2, 3)]
    known = gains([(other, fit_curves(type(law), [other])) for other in others])
    mine = curve(law, "cooled")
    rest = forecast_rest(type(law), mine, 0.65, known)
    assert mine.falls_at > rest.cut
    assert np.abs(rest.errors(rest.predicted)).max() < 1 < rest.errors(rest.steady)[-1]


def test_a_constant_rate_says_nothing_of_a_fall_and_few_points_nothing_at_all():
    steady = curve(PLANTED[0], "constant")
    assert gains([(steady, fit_curves(Momentum, [steady]))]) == {}
    assert forecast_rest(Momentum, steady, 0.01) is None
    with pytest.raises(ValueError, match="3 coefficients"):
        fit_curves(Momentum, [steady.part(np.arange(3))])


def test_a_fall_that_is_divided_into_many_parts_is_the_same_fall():
    drops = np.full(5000, 2e-4)
    where, each = parts(drops)
    assert len(where) <= 400 and each.sum() == pytest.approx(1.0) and (np.diff(where) > 0).all()


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("cooldown", [0.0, 0.2, -0.2])
def test_the_rates_of_a_run_are_those_it_was_trained_with(kind, cooldown):
    mine = multiplier(kind, 90, 100, 7, cooldown, 0.1)
    trained = [schedule.multiplier(kind, step, 7.0, 100.0, cooldown, 0.1) for step in range(0, 90, 8)]
    np.testing.assert_allclose(mine[::8], trained, rtol=1e-5)


def test_the_command_reads_schedules_from_the_run_table_and_draws_its_figure(tmp_path, capsys):
    law, rows, runs = PLANTED[1], ["run_id,step,params,loss"], []
    for seed in range(4):
        one = curve(law, "cosine", 1e-3, seed)
        rows += [f"r{seed},{step},1e6,{loss}" for step, loss in zip(SEEN, one.losses, strict=True)]
        runs.append(f"r{seed},cosine,{PEAK},{STEPS},60,1e6,1e8,2.5")
    table, kept, out, figure = (tmp_path / name for name in ("c.csv", "r.csv", "o.json", "f.png"))
    table.write_text("\n".join(rows) + "\n")
    header = "run_id,schedule,learning_rate,steps,warmup_steps,params,tokens,loss"
    kept.write_text("\n".join([header, *runs]) + "\n")
    ask = ["curves", str(table), "--json", str(out)]
    assert main([*ask, "--runs", str(kept), "--figure", str(figure)]) == 0
    answer = json.loads(out.read_text())
    assert answer["median"]["last"] < 1.5 and len(answer["runs"]) == 4 and figure.stat().st_size > 10_000
    assert "falls along 4 of them" in capsys.readouterr().out
    assert main(ask) == 1
    assert "learning rate of each point is not known" in capsys.readouterr().err


def test_rows_of_no_update_and_runs_of_few_points_are_left_out_and_gaps_of_the_rate_bridged(tmp_path, capsys):
    one = curve(PLANTED[1], "constant")
    points = zip(SEEN, one.losses, strict=True)
    whole = [f"a,{step},1e6,{loss},{one.rates[step - 1]}" for step, loss in points]
    gaps = [row if i % 3 != 1 else row[: row.rindex(",") + 1] for i, row in enumerate(whole)]
    less = ["a,0,1e6,9.5,1e-9", "a,,1e6,2.9,.01", "b,10,1e6,5,.01", "b,20,1e6,4,.01"]
    said = []
    for rows in (whole, [*less, *whole], gaps):
        (tmp_path / "c.csv").write_text("\n".join(["run_id,step,params,loss,learning_rate", *rows]) + "\n")
        assert main(["curves", str(tmp_path / "c.csv"), "--json", str(tmp_path / "o.json")]) == 0
        (run,) = json.loads((tmp_path / "o.json").read_text())["runs"]
        said.append((run["predicted"], run["measured"], run["cut"]))
        left = "rows of step 0 or of none (2), runs of under 4 points (1)" in capsys.readouterr().out
        assert left == (len(rows) > len(whole))
    assert said[0] == said[1] == pytest.approx(said[2], rel=0.01)
    (tmp_path / "c.csv").write_text("\n".join(["run_id,step,params,loss,learning_rate", *less]) + "\n")
    assert main(["curves", str(tmp_path / "c.csv")]) == 1
    assert "no run has 4 points" in capsys.readouterr().err


def test_a_curve_that_ends_an_update_after_its_run_table_s_steps_has_a_rate_there():
    points = from_columns(step=SEEN.astype(float), loss=np.full(len(SEEN), 3.0))
    row = {"schedule": ["cosine"], "learning_rate": [PEAK], "warmup_steps": [60.0]}
    rates = [rates_of(points, from_columns(**row, steps=[float(n)])) for n in (STEPS - 1, STEPS)]
    np.testing.assert_array_equal(*rates)
