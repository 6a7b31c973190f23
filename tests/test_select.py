"""`--law auto`: forms chosen and weighed by rolling forecasts that see no row to be forecast."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.commands.fit import show
from analysis.fitting import regression, select
from analysis.fitting.prediction import HONEST
from analysis.laws import Chinchilla, Joint
from analysis.tables.table import from_columns

JOINT = Joint(E=1.5, A=2000.0, B=30000.0, alpha=0.6, beta=0.65, gamma=0.5)
CHINCHILLA = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
BUDGETS = np.geomspace(1e17, 1.28e19, 8)


def isoflops(law, noise=0.002, seed=0, budgets=BUDGETS):
    flops = np.repeat(budgets, 7)
    params = law.optimum(flops)[0] * np.tile(np.geomspace(0.2, 5, 7), len(budgets))
    tokens = flops / 6 / params
    loss = law.loss(params, tokens) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(flops)))
    return from_columns(params=params, tokens=tokens, flops=flops, loss=loss)


def errors_beyond(law, runs):
    """Of auto, and of Chinchilla's form, at the optima of 8 and 32 times the largest compute; percent."""
    at = law.optimum(np.array([8, 32]) * runs.flops.max())
    fits = fitting.intervals(fitting.fit("auto", runs), "auto", 100), fitting.fit("chinchilla", runs)
    said = fitting.predict(fits[0], params=at[0], tokens=at[1])
    truth = law.loss(*at)
    assert ((said.low < truth) & (truth < said.high)).all()
    width = np.log(said.high / said.low)
    assert width[1] > width[0] > 0
    return fits[0], 100 * np.abs(said.value / truth - 1), 100 * np.abs(fits[1].law.loss(*at) / truth - 1)


def test_a_form_that_is_not_chinchillas_is_found_and_forecasts_better():
    chosen, auto, other = errors_beyond(JOINT, isoflops(JOINT))
    assert type(chosen.law) is Joint and "joint" in chosen.message
    assert auto[1] < 0.6 * other[1] and auto[1] < 1


def test_where_chinchillas_form_holds_nearly_nothing_is_lost():
    _, auto, other = errors_beyond(CHINCHILLA, isoflops(CHINCHILLA))
    assert (auto < other + 0.3).all()


def test_forecasts_are_made_from_rows_below_each_cut_alone(monkeypatch):
    seen = []

    def spy(law, runs, **options):
        seen.append((runs.flops.max(), options.get("starts")))
        return whole(law, runs, **options)

    whole = regression.fit
    monkeypatch.setattr(regression, "fit", spy)
    runs = isoflops(CHINCHILLA)
    forms = select.select(runs).forms
    tops = [flops / runs.flops.max() for flops, _ in seen]
    assert tops == sorted(tops)  # starts are from fits before, so from no row above
    assert {round(top, 9) for top in tops} == {0.25, 0.5, 1.0}
    moved = runs.loss * np.where(runs.flops > runs.flops.max() / 4.1, 1.05, 1.0)
    errors = [form.error for form in select.select(runs.with_column("loss", moved, "moved")).forms]
    assert min(errors) > 0.008 > 2 * min(form.error for form in forms if form.name == "chinchilla")


def test_the_best_at_a_compute_is_the_best_of_all_its_rows_in_whatever_order():
    compute, loss = np.array([2, 1, 2, 4, 1, 2 + 1e-12]), np.array([3.1, 4.2, 3.0, 3.3, 4.0, 3.2])
    least = np.array([3.0, 4.0, 3.0, 3.0, 4.0, 3.0])
    for order in (np.arange(6), np.arange(6)[::-1], np.argsort(loss)):
        said = select.excess(compute[order], loss[order])
        np.testing.assert_allclose(said, np.log(loss / least)[order])


def test_one_form_of_joint_keeps_its_floor_at_two_thirds_of_the_least_loss():
    runs = isoflops(replace(JOINT, E=0.1), noise=0.0005)
    least = runs.loss.min()
    assert 0.1 < 0.5 * least
    forms = [form for form in select.select(runs).forms if form.name == "joint"]
    (high,), (free,) = ([form for form in forms if bool(form.floor) == floor] for floor in (True, False))
    assert high.law.E > 0.6 * least and free.law.E < 0.5 * least  # moved with the law to the largest runs
    assert free.error < high.error
    assert "floor >= 0.67 of the least loss" in str(high)


def test_a_form_is_fitted_to_the_rows_of_its_least_error_and_told_from_others_at_ten_times_that():
    member = regression.fit(Chinchilla, isoflops(CHINCHILLA)), CHINCHILLA
    all_, near, nearer = (("joint", 0.0, within, np.inf) for within in (np.inf, 0.3, 0.08))
    others = [(name, 0.0, np.inf, np.inf) for name in ("chinchilla", "kaplan-nd", "power")]
    members = dict.fromkeys([nearer, near, all_, *others], member)
    forms = select.weigh(members, dict(zip(members, (0.002, 0.001, 0.005, 0.001, 0.01, np.inf), strict=True)))
    rows = {form.name: form.within for form in forms}
    weights = {form.name: form.weight / forms[0].weight for form in forms}
    assert rows["joint"] == 0.3
    assert weights["chinchilla"] == weights["joint"] == 1 and weights["power"] == 0
    assert weights["kaplan-nd"] == pytest.approx(0.5, abs=0.01)
    untold = select.weigh(members, {})
    assert {(form.within, form.weight) for form in untold} == {(np.inf, 0.25)}


def test_forms_of_like_errors_weigh_alike_and_predict_is_their_mean():
    runs = isoflops(JOINT, noise=0.005)
    fitted = fitting.intervals(fitting.fit("auto", runs), "wild", 100)
    forms = fitted.forms
    weights = np.array([form.weight for form in forms])
    errors = [form.error for form in forms]
    assert weights.sum() == pytest.approx(1) and errors == sorted(errors)
    assert len(forms) == 4 and errors[-1] < 2 * errors[0] and weights[-1] > 0.95 * weights[0]
    assert {(form.name, form.floor) for form in forms} == set(select.FORMS)
    at = 1e9, 1e10
    logs = np.array([np.log(form.law.loss(*at)) for form in forms])
    said = fitting.predict(fitted, params=at[0], tokens=at[1])
    assert np.log(said.value[0]) == pytest.approx(weights @ logs)
    spread = np.sqrt(weights @ (logs - weights @ logs) ** 2)
    beyond = np.log(at[0] * at[1] / (runs.params * runs.tokens).max())
    least = HONEST * 1.96 * np.hypot(spread, beyond * forms[0].error)
    assert least < np.log(said.high[0] / said.value[0]) < 5 * least
    near = fitting.predict(fitted, params=runs.params[-4:-3], tokens=runs.tokens[-4:-3])
    assert np.log(near.high[0] / near.low[0]) < 0.05


def test_the_frontier_of_auto_is_the_mean_of_the_forms_and_holds_the_truth():
    fitted = fitting.intervals(fitting.fit("auto", isoflops(JOINT)), "auto", 100)
    front = frontiers.from_fit(fitted)
    flops = 8 * BUDGETS[-1:]
    size, _, loss = front.at(flops)
    logs = np.array([np.log(form.law.optimum(flops)[0][0]) for form in fitted.forms])
    weights = np.array([form.weight for form in fitted.forms])
    assert np.log(size.value[0]) == pytest.approx(weights @ logs)
    spread = np.sqrt(weights @ (logs - weights @ logs) ** 2)
    assert np.log(size.high[0] / size.value[0]) > 1.96 * spread > 0
    params, tokens = JOINT.optimum(flops)
    assert size.low[0] < params[0] < size.high[0]
    assert loss.low[0] < JOINT.loss(params, tokens)[0] < loss.high[0]
    a = front.params_exponent
    assert a.low < JOINT.exponents()[0] < a.high


def test_a_table_on_one_ray_has_a_status_and_numbers_but_no_end_beyond_it():
    size = np.geomspace(1e7, 1e9, 9)
    runs = from_columns(params=size, tokens=20 * size, loss=CHINCHILLA.loss(size, 20 * size))
    for law in ("auto", *dict(select.FORMS)):
        fitted = fitting.fit(law, runs)
        assert fitted.status == "unidentified" and np.isfinite(list(fitted.parameters.values())).all()
    fitted = fitting.intervals(fitting.fit("auto", runs), "wild", 50)
    assert "no larger rows" in fitted.message
    said = fitting.predict(fitted, params=[1e8, 1e10], tokens=[2e9, 2e11])
    assert np.isfinite(said.value).all() and np.isfinite(said.high[0])
    assert (said.low[1], said.high[1]) == (0, np.inf)


def test_parameters_cannot_be_held_and_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="--law NAME"):
        fitting.fit("auto", isoflops(JOINT), fixed={"E": 0.0})
    with pytest.raises(ValueError, match="it needs at least"):
        fitting.fit("auto", isoflops(JOINT).select(np.arange(4)))


def test_the_commands_say_what_was_chosen(tmp_path, capsys):
    runs = isoflops(JOINT)
    rows = zip(runs.params, runs.tokens, runs.loss, strict=True)
    path, out = tmp_path / "runs.csv", tmp_path / "out.json"
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    assert main(["fit", str(path), "--law", "auto", "--json", str(out)]) == 0
    answer = json.loads(out.read_text())
    assert answer["law"] == "Joint" and answer["forms"][0]["name"] == "joint"
    assert sum(form["weight"] for form in answer["forms"]) == pytest.approx(1)
    assert len(answer["dropped"]) + answer["runs"] == len(runs)
    assert "auto chose by the errors of rolling forecasts" in capsys.readouterr().out
    at = ["--at", "params=1e9,tokens=2e10", "--json", str(out)]
    assert main(["predict", str(path), "--law", "auto", *at]) == 0
    answer = json.loads(out.read_text())
    assert main(["frontier", str(path), "--law", "auto", "--method", "fit"]) == 0
    assert "frontier by fit of auto" in capsys.readouterr().out
    assert answer["rows"][0]["low"] < JOINT.loss(1e9, 2e10) < answer["rows"][0]["high"] and answer["forms"]


def test_fit_counts_the_rows_that_auto_leaves_out(capsys):
    runs = isoflops(CHINCHILLA)
    form = select.Form("chinchilla", 0.0, 0.3, np.inf, 55, 0.1, 1.0, "ok", CHINCHILLA)
    found = replace(regression.fit(Chinchilla, runs), dropped=[(3, "left out by auto")], forms=(form,))
    show(None, runs, found)
    assert "55 used, 1 flagged" in capsys.readouterr().out
