import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.decisions import add_prices, least_compute, least_loss, planned_run, plans
from analysis.decisions.answer import to_band
from analysis.fitting import fit
from analysis.frontiers import SIX, Cost
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
# Hoffmann's constants to three digits, as quoted with their example; known at second hand
SARDANA = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
OTHER = Cost(9.0, 0.93, "another")
costs = pytest.mark.parametrize("price", [SIX, OTHER], ids=["6nd", "k-p"])
served = pytest.mark.parametrize("serve", [0.0, 1e11, 1e13])

laws = st.builds(
    Chinchilla,
    E=st.floats(0.5, 3.0),
    A=st.floats(5.0, 5e3),
    B=st.floats(5.0, 5e3),
    alpha=st.floats(0.1, 0.8),
    beta=st.floats(0.1, 0.8),
)
prices = st.builds(Cost, k=st.floats(2.0, 12.0), p=st.floats(0.8, 1.1), source=st.just("drawn"))
budgets = st.floats(15.0, 26.0).map(lambda power: 10.0**power)
serving = st.one_of(st.just(0.0), st.floats(6.0, 16.0).map(lambda power: 10.0**power))


def about(params, reach=30.0, count=4001):
    return np.exp(np.log(params) + np.linspace(-np.log(reach), np.log(reach), count))


def falls(*values) -> bool:
    """Each value is at most the one before, to rounding."""
    return all(b <= a * (1 + 1e-10) for a, b in pairwise(values))


@settings(deadline=None, max_examples=60)
@given(laws, prices, budgets, serving)
def test_no_size_on_a_grid_beats_the_optimum_and_a_grid_comes_close(law, price, flops, serve):
    best = plans.optimum(law, price, flops, serve)
    tried = plans.plan_at_size(law, price, flops, about(best.params), serve)
    assert best.total == pytest.approx(flops, rel=1e-9) and best.tokens > 0
    assert best.loss <= tried.loss.min() * (1 + 1e-12)
    assert tried.loss.min() == pytest.approx(float(best.loss), rel=1e-5)


@settings(deadline=None, max_examples=60)
@given(laws, prices, st.floats(0.01, 3.0), serving)
def test_no_size_on_a_grid_is_cheaper_than_the_cheapest(law, price, above, serve):
    loss = law.E + above
    best = plans.cheapest(law, price, loss, serve)
    assert law.loss(best.params, best.tokens) == pytest.approx(loss, rel=1e-9)
    tried = plans.plan_to_loss(law, price, loss, about(best.params, 5.0), serve)
    assert best.total <= tried.total.min() * (1 + 1e-9)
    assert tried.total.min() == pytest.approx(float(best.total), rel=1e-4)


@settings(deadline=None, max_examples=40)
@given(laws, prices, budgets, serving)
def test_least_loss_and_least_compute_are_one_question_asked_twice(law, price, flops, serve):
    best = plans.optimum(law, price, flops, serve)
    again = plans.cheapest(law, price, best.loss, serve)
    assert again.total == pytest.approx(flops, rel=1e-6)
    assert plans.wasted_share(law, price, best, serve) == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(laws, prices, budgets, st.floats(6.0, 15.0), st.floats(1.1, 50.0))
def test_more_serving_trains_a_smaller_model_for_longer_and_more_compute_lowers_loss(
    law, price, flops, power, times
):
    serve = 10.0**power
    little, much = (plans.optimum(law, price, flops, s) for s in (serve, times * serve))
    none = plans.optimum(law, price, flops)
    assert falls(none.params, little.params, much.params)
    assert falls(much.loss, little.loss, none.loss)
    assert plans.optimum(law, price, flops * times, serve).loss < little.loss
    bests = [plans.cheapest(law, price, none.loss, s) for s in (0.0, serve, times * serve)]
    assert falls(*(plan.params for plan in bests))
    assert falls(*(plan.tokens for plan in bests[::-1]))
    assert falls(*(plan.total for plan in bests[::-1]))


@costs
def test_serving_nothing_is_the_plain_optimum(price):
    params, tokens = TRUTH.optimum(1e21, price.k, price.p)
    plain, hardly = (plans.optimum(TRUTH, price, 1e21, serve) for serve in (0.0, 1.0))
    assert (plain.params, plain.tokens) == (params, tokens) and plain.total is plain.flops
    assert (hardly.params, hardly.tokens) == pytest.approx((params, tokens), rel=1e-9)
    goal = plans.cheapest(TRUTH, price, plain.loss)
    assert (goal.params, goal.tokens) == pytest.approx((params, tokens), rel=1e-9)


def test_a_served_token_costs_a_third_of_a_trained_one():
    plan = plans.make_plan(SIX, 1e9, 2e10, 2.5, serve=1e12)
    assert plan.flops == pytest.approx(6e9 * 2e10) and plan.total - plan.flops == 2e9 * 1e12
    plan = plans.make_plan(OTHER, 1e9, 2e10, 2.5, serve=1e12)
    assert plan.total - plan.flops == pytest.approx(OTHER.flops(1e9, 1e12) / 3)


def test_sardanas_seven_billion_for_thirteen_and_two_trillion_tokens_served():
    """Their figure 1: the quality of a Chinchilla-optimal 13B, with 2e12 tokens served, costs
    1.7e22 FLOPs (17 %) less from a 7B model trained for longer."""
    total = SARDANA.alpha + SARDANA.beta
    unit = SARDANA.optimum(6.0)[0]
    large = plans.optimum(SARDANA, SIX, 6 * (13e9 / unit) ** (total / SARDANA.beta))
    assert large.params == pytest.approx(13e9)
    best = plans.cheapest(SARDANA, SIX, large.loss, 2e12)
    plain = plans.make_plan(SIX, large.params, large.tokens, large.loss, 2e12).total
    assert best.params == pytest.approx(7e9, rel=0.01) and best.tokens > 2 * large.tokens
    assert plain - best.total == pytest.approx(1.7e22, rel=0.02)
    assert 1 - best.total / plain == pytest.approx(0.17, abs=0.005)


@costs
@served
def test_both_ends_of_a_range_of_sizes_lie_on_its_edge(price, serve):
    best = plans.optimum(TRUTH, price, 1e21, serve)
    ends = plans.size_range(TRUTH, price, 1e21, best.loss * 1.005, serve)
    assert ends[0] < best.params < ends[1]
    for end in ends:
        loss = plans.plan_at_size(TRUTH, price, 1e21, end, serve).loss
        assert loss == pytest.approx(best.loss * 1.005, rel=1e-9)
    goal = plans.cheapest(TRUTH, price, 2.2, serve)
    for end in plans.size_range(TRUTH, price, 2 * goal.total, 2.2, serve):
        assert plans.plan_to_loss(TRUTH, price, 2.2, end, serve).total == pytest.approx(2 * goal.total)
    assert np.isnan(plans.size_range(TRUTH, price, 1e21, best.loss * 0.999, serve)).all()


def test_the_least_size_reaches_a_loss_with_endless_tokens_only():
    params, tokens = plans.limits(TRUTH, 2.0)
    assert TRUTH.loss(params, np.inf) == pytest.approx(2.0)
    assert TRUTH.loss(np.inf, tokens) == pytest.approx(2.0)
    assert np.isinf(plans.plan_to_loss(TRUTH, SIX, 2.0, params * 0.999).tokens)
    assert np.isfinite(plans.plan_to_loss(TRUTH, SIX, 2.0, params * 1.001).tokens)
    below = plans.cheapest(TRUTH, SIX, TRUTH.E, 1e12)
    assert np.isinf([below.params, below.tokens, below.total, *plans.limits(TRUTH, 1.6)]).all()


@costs
def test_data_that_suffices_is_no_limit_and_less_of_it_costs_more(price):
    free = plans.optimum(TRUTH, price, 1e22)
    for unique in (np.inf, 1e18, float(free.tokens)):
        same = plans.capped_optimum(TRUTH, price, 1e22, unique)
        assert (same.params, same.tokens, same.loss) == (free.params, free.tokens, free.loss)
    bests = [plans.capped_optimum(TRUTH, price, 1e22, free.tokens * f) for f in (0.999, 0.3, 0.1, 0.01)]
    losses = [float(plan.loss) for plan in bests]
    assert free.loss <= losses[0] < losses[1] < losses[2] < losses[3]
    assert bests[0].params == pytest.approx(free.params, rel=0.02)  # no jump where data runs out
    assert losses[0] == pytest.approx(free.loss, rel=1e-5)
    for plan in bests:
        assert plan.total == pytest.approx(1e22)
        unique = plan.tokens / 2
        tried = about(plan.params, 100.0)
        best = plans.capped_optimum(TRUTH, price, 1e22, unique)
        grid = plans.capped_loss(TRUTH, price, tried, price.tokens(tried, 1e22), unique, plans.DECAY)
        assert best.loss <= grid.min() * (1 + 1e-9)


@costs
def test_endless_compute_ends_at_the_floor_of_the_data(price):
    floor = plans.capped_floor(TRUTH, price, 1e9)
    near = plans.capped_optimum(TRUTH, price, 1e27, 1e9).loss
    assert floor < near * (1 + 1e-12) and near == pytest.approx(float(floor), rel=1e-4)
    assert floor > TRUTH.E


@served
def test_a_unit_of_tokens_moves_only_tokens(serve):
    unit = 1e3
    law = replace(TRUTH, B=TRUTH.B * unit**TRUTH.beta)
    plain, scaled = (
        plans.optimum(TRUTH, SIX, 1e21, serve),
        plans.optimum(law, Cost(6 / unit, 1.0, "per thousandth"), 1e21, serve * unit),
    )
    assert scaled.params == pytest.approx(plain.params, rel=1e-9)
    assert scaled.loss == pytest.approx(plain.loss, rel=1e-9)
    assert scaled.tokens == pytest.approx(plain.tokens * unit, rel=1e-9)


@served
def test_draws_side_by_side_are_each_draw_alone(serve):
    rng = np.random.default_rng(0)
    values = np.array([1.7, 400.0, 1500.0, 0.34, 0.36]) * np.exp(0.05 * rng.normal(size=(20, 5)))
    drawn = Chinchilla(*values.T[:, :, None])
    many = (
        plans.optimum(drawn, SIX, 1e21, serve).params,
        plans.cheapest(drawn, SIX, 2.6, serve).total,
        plans.size_range(drawn, SIX, 1e21, 3.0, serve)[0],
        plans.capped_optimum(drawn, SIX, 1e21, 1e9).params,
    )
    for i in (0, 7, 19):
        law = Chinchilla(*values[i])
        alone = (
            plans.optimum(law, SIX, 1e21, serve).params,
            plans.cheapest(law, SIX, 2.6, serve).total,
            plans.size_range(law, SIX, 1e21, 3.0, serve)[0],
            plans.capped_optimum(law, SIX, 1e21, 1e9).params,
        )
        np.testing.assert_allclose([each[i, 0] for each in many], alone, rtol=1e-9)


@pytest.fixture(scope="module")
def fitted():
    runs = synthetic.isoflop(TRUTH, [1e19, 1e20, 1e21], sizes=9, noise=0.003, replicates=2)
    columns = {name: column for name, column in runs.columns.items() if name != "epochs"}
    runs = replace(runs, columns=columns)
    return fitting.resample(fit(Chinchilla, runs), 200)


def test_an_answer_holds_the_truth_and_its_alternatives_cost_more(fitted):
    found = least_loss(fitted, SIX, 1e21)
    truth = plans.optimum(TRUTH, SIX, 1e21)
    for name, value in (("params", truth.params), ("tokens", truth.tokens), ("loss", truth.loss)):
        one = found.plan[name]
        assert one.low <= one.value <= one.high and one.value == pytest.approx(value, rel=0.2)
    assert found.times_largest_run == pytest.approx(1.0) and found.notes == []
    rows = dict(found.alternatives)
    for name in ("size × 0.25", "size × 0.5", "size × 2", "size × 4"):
        assert rows[name]["extra_loss"].value > 0 and 0 < rows[name]["wasted_compute"].value < 1
    own = rows["size × 1"]["wasted_compute"]
    assert own.value == pytest.approx(0, abs=1e-9) and own.high > 0
    within = rows["smallest within 1 % waste"]["params"], rows["largest within 1 % waste"]["params"]
    assert within[0].value < found.plan["params"].value < within[1].value


def test_intervals_of_an_optimum_mostly_hold_the_truth_at_the_quickstarts_number_of_runs():
    law, held = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36), []
    truth = plans.optimum(law, SIX, 3e13)
    for seed in range(12):
        runs = synthetic.isoflop(law, [4.5e11, 9e11, 1.8e12, 3.6e12], sizes=7, noise=0.005, seed=seed)
        found = least_loss(fitting.resample(fit(Chinchilla, runs), 100), SIX, 3e13).plan
        held.append(found["params"].low <= truth.params <= found["params"].high)
    assert sum(held) >= 9  # P(< 9 of 12 | 95 %) < 3e-3


def test_draws_out_of_reach_are_counted_and_make_the_end_infinite(fitted):
    floors = np.sort(fitted.draws[:, 0])
    middle = float(max(floors[100], fitted.law.E) + 1e-4)
    found = least_compute(fitted, SIX, middle)
    lost = int((floors >= middle).sum())
    assert found.unreachable_draws == lost > 5
    assert f"{lost} of 200 draws" in found.message
    for name in ("params", "tokens", "flops"):
        assert np.isinf(found.plan[name].high) and np.isfinite(found.plan[name].low)
    assert np.isinf(dict(found.alternatives)["smallest, with endless tokens"]["params"].high)
    with pytest.raises(ValueError, match=r"floor E = 1\.\d+ \(95 %"):
        least_compute(fitted, SIX, float(fitted.law.E))


def test_draws_without_an_optimum_are_said(fitted):
    draws = fitted.draws.copy()
    draws[:3, 3], draws[3] = -0.1, np.nan
    found = least_loss(replace(fitted, draws=draws), SIX, 1e21)
    assert found.draws == 196
    assert "3 of 200 draws have an exponent" in found.message and "1 of 200 resa" in found.message
    assert dict(found.alternatives)["size × 1"]["wasted_compute"].high < 0.5
    goal = least_compute(replace(fitted, draws=draws), SIX, 2.4)
    assert goal.unreachable_draws == 0 and np.isfinite(goal.plan["params"].high)
    nothing = least_compute(replace(fitted, draws=None), SIX, 2.4)
    assert nothing.unreachable_draws == 0 and np.isnan(nothing.plan["params"].high)
    plain = least_loss(replace(fitted, draws=None), SIX, 1e21)
    assert np.isnan(dict(plain.alternatives)["size × 2"]["wasted_compute"].high)
    assert np.isnan(plain.plan["params"].low) and plain.notes == []


def test_far_extrapolation_and_untested_ratios_are_said(fitted):
    assert "noise, not a bend in the law" in least_loss(fitted, SIX, 1e23).message
    assert "bend" not in least_loss(fitted, SIX, 5e21).message
    assert "5 × the table's largest run" in least_loss(fitted, SIX, 5e21).message
    assert "untested" in least_loss(fitted, SIX, 1e21, serve=1e16).message


def test_a_table_that_repeats_data_is_said(fitted):
    epochs = np.where(fitted.runs.params > np.median(fitted.runs.params), 3.0, 0.5)
    runs = replace(fitted.runs, columns={**fitted.runs.columns, "epochs": epochs})
    found = least_loss(replace(fitted, runs=runs), SIX, 1e21)
    assert f"{(epochs > 1).sum()} of {len(runs)} runs saw tokens more than once" in found.message


def test_a_planned_run_is_compared_with_the_best(fitted):
    best = least_loss(fitted, SIX, 1e20).plan
    good = planned_run(fitted, SIX, best["params"].value, best["tokens"].value)
    poor = planned_run(fitted, SIX, 4 * best["params"].value, best["tokens"].value / 4)
    assert good.plan["wasted_compute"].value == pytest.approx(0, abs=1e-9)
    assert poor.plan["wasted_compute"].value > 0.1
    law, single = good.plan["loss"], good.plan["run_loss"]
    assert single.low < law.low < law.value < law.high < single.high
    assert single.value == law.value
    assert poor.plan["loss"].value - good.plan["loss"].value == pytest.approx(poor.plan["extra_loss"].value)


def test_prices_follow_compute(fitted):
    found = add_prices(least_loss(fitted, SIX, 3.6e21, serve=1e10), 1e15, 2.0)
    assert found.plan["device_hours"].value == pytest.approx(1000)
    assert found.plan["money"].value == pytest.approx(2000)


def test_interval_ends_do_not_interpolate_into_infinity():
    def band(value, *draws):
        return to_band(np.array([value, *draws])[:, None])

    some = band(50.0, *range(90), *[np.inf] * 10, np.nan)
    assert some.low == 2.0 and np.isinf(some.high)
    assert band(50.0, *range(99), np.inf, np.inf).high == 98.0
    assert np.isinf(band(50.0, *range(98), np.inf, np.inf, np.inf).high)
    assert band(50.0, *range(101)).high == pytest.approx(97.5)
    assert np.isnan(band(1.0, np.nan).low)


# --- the command


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    runs = synthetic.isoflop(TRUTH, [1e19, 1e20, 1e21], sizes=7, noise=0.003, replicates=2)
    names = ("params", "tokens", "flops", "loss", "budget")
    rows = zip(*(runs.column(name).tolist() for name in names), strict=True)
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    path.write_text("\n".join([",".join(names), *(",".join(map(repr, r)) for r in rows)]) + "\n")
    return path


def run(path, *arguments) -> int:
    return main(["decide", str(path), "--bootstrap", "40", *map(str, arguments)])


QUESTIONS = [
    ("budget", ["--budget", "1e22"]),
    ("budget", ["--budget", "1e22", "--serve", "1e12"]),
    ("budget", ["--budget", "1e22", "--data-cap", "1e9"]),
    ("target_loss", ["--target-loss", "2.4"]),
    ("target_loss", ["--target-loss", "2.4", "--serve", "1e12", "--overhead", "1.5"]),
    ("run", ["--run", "1e9,1e11"]),
]


@pytest.mark.parametrize(("key", "question"), QUESTIONS, ids=[" ".join(q) for _, q in QUESTIONS])
def test_every_question_writes_its_keys_and_its_figure(csv, tmp_path, capsys, key, question):
    out, figure = tmp_path / "d.json", tmp_path / "d.png"
    prices = ["--flops-per-second", "4e14", "--price-per-hour", "2", "-v"]
    assert run(csv, *question, *prices, "--json", out, "--figure", figure) == 0
    assert figure.read_bytes()[:4] == b"\x89PNG"
    found = json.loads(out.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert next(iter(found)) == "question" and key in found and found["status"] == "ok"
    for name in ("params", "tokens", "flops", "loss", "device_hours", "money"):
        assert set(found["answer"][name]) == {"value", "low", "high"}
    assert all("name" in each for each in found["alternatives"]) and found["assumptions"]
    text = capsys.readouterr().out
    assert (
        "loss in the table's own unit" in text
        and "nats" not in text
        and "training: flops = " in text
        and "otherwise" in text
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "1e22", "--intervals", "profile"], "no draws"),
        (["--target-loss", "1.2"], "not above the fitted floor E"),
        (["--budget", "1e-3"], "no model"),
        (["--budget", "1e300"], "no model"),
        (["--budget", "1e22", "--serve", "1e30"], "no model"),
        (["--budget", "1e22", "--serve", "1e12", "--data-cap", "1e9"], "together"),
        (["--target-loss", "2.4", "--data-cap", "1e9"], "--data-cap goes with --budget"),
        (["--run", "1e9,1e11", "--serve", "1e12"], "--serve goes with"),
        (["--run", "1e9"], "--run takes two numbers"),
        (["--budget", "1e22", "--overhead", "2"], "--overhead goes with"),
        (["--budget", "1e22", "--price-per-hour", "2"], "--flops-per-second"),
        (["--budget", "1e22", "--repeat-decay", "15,5"], "--repeat-decay goes with"),
        (["--budget", "1e22", "--data-cap", "1e9", "--repeat-decay", "15"], "two numbers"),
        (["--budget", "1e22", "--figure", "/nowhere/at/all.png"], "no folder"),
    ],
)
def test_refusals_are_one_line_and_status_1(csv, capsys, arguments, words):
    assert run(csv, *arguments) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--budget", "1e22", "--target-loss", "2"],
        ["--budget", "-1"],
        ["--budget", "1e22", "--serve", "0"],
        ["--target-loss", "2", "--overhead", "1"],
    ],
)
def test_wrong_usage_is_status_2(csv, arguments):
    with pytest.raises(SystemExit) as caught:
        run(csv, *arguments)
    assert caught.value.code == 2


def test_a_fit_that_is_not_ok_decides_only_when_told_to(tmp_path, capsys):
    params = np.geomspace(1e7, 1e9, 9)
    path, out = tmp_path / "ray.csv", tmp_path / "d.json"
    rows = zip(params, 20 * params, TRUTH.loss(params, 20 * params), strict=True)
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{y}\n" for n, d, y in rows))
    assert run(path, "--budget", "1e20", "--json", out) == 1
    said = capsys.readouterr()
    assert "unidentified" in said.err and "--anyway" in said.err and not said.out
    assert not out.exists()
    figure = tmp_path / "d.svg"
    assert run(path, "--budget", "1e20", "--anyway", "--json", out, "--figure", figure) == 0
    text = capsys.readouterr().out
    assert text.startswith("A GUESS, the fit is unidentified. Train ")
    assert json.loads(out.read_text())["status"] == "unidentified" and figure.exists()


def test_published_points_give_the_published_allocation():
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    runs = table.read(Path(folder) / "chinchilla_fig4.csv", where="outlier == 0")
    # the paper's constants are those of least absolute deviations
    found = least_loss(fit(Chinchilla, runs, objective="l1-log"), frontiers.fit_cost(runs), 5.76e23)
    assert found.plan["params"].value == pytest.approx(72.3e9, rel=0.01)
    assert found.plan["tokens_per_param"].value == pytest.approx(18.4, rel=0.01)
