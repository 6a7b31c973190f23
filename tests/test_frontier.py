import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.fitting import Band, fit
from analysis.laws import Chinchilla, Joint, KaplanData, OverTrained, PowerLaw
from analysis.tables import table
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
BUDGETS = np.geomspace(1e12, 1.6e13, 5)


def test_cost_is_found_in_the_table_and_6nd_is_recognised():
    runs = synthetic.isoflop(TRUTH, BUDGETS, k=9.0, p=0.93)
    found = frontiers.fit_cost(runs)
    assert (found.k, found.p) == pytest.approx((9.0, 0.93)) and found.deviation < 1e-9
    assert frontiers.fit_cost(runs, "6nd") == frontiers.SIX
    assert (frontiers.fit_cost(synthetic.isoflop(TRUTH, BUDGETS)).k, found.tokens(1e6, 1e15)) == (
        6.0,
        pytest.approx(1e15 / (9 * 1e6**0.93)),
    )


@pytest.mark.parametrize(("k", "p"), [(6.0, 1.0), (9.0, 0.93)])
def test_both_approaches_give_the_planted_frontier_under_one_cost(k, p):
    runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=9, k=k, p=p)
    by_valley = frontiers.from_isoflop(frontiers.find_optima(runs))
    by_fit = frontiers.from_fit(fit(Chinchilla, runs))
    a, b = TRUTH.exponents(p)
    for found, tolerance in ((by_valley, 0.01), (by_fit, 1e-3)):
        assert found.params_exponent.value == pytest.approx(a, abs=tolerance)
        assert found.tokens_exponent.value == pytest.approx(b, abs=tolerance)
        np.testing.assert_allclose(found.params.value, TRUTH.optimum(BUDGETS, k, p)[0], rtol=0.03)
    assert by_valley.cost == by_fit.cost


@pytest.mark.parametrize("method", ["isoflop", "fit"])
def test_extrapolation_mostly_holds_the_truth_and_widens(method):
    far, held = np.array([4e12, 1e14]), []
    params, tokens = TRUTH.optimum(far)
    for seed in range(12):
        runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=9, noise=0.002, replicates=4, seed=seed)
        if method == "isoflop":
            found = frontiers.from_isoflop(frontiers.find_optima(runs, draws=300))
        else:
            found = frontiers.from_fit(fitting.resample(fit(Chinchilla, runs), 100))
        bands = found.at(far)
        truth = (params, tokens, TRUTH.loss(params, tokens))
        held.append([(b.low < t) & (t < b.high) for b, t in zip(bands, truth, strict=True)])
        assert bands[0].high[1] / bands[0].low[1] > bands[0].high[0] / bands[0].low[0]
    assert np.mean(held, axis=0).min() >= 0.7
    with pytest.raises(ValueError, match="positive"):
        found.at([0.0])


def test_points_carry_intervals_around_their_values():
    runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=7, noise=0.002, replicates=4)
    found = frontiers.from_isoflop(frontiers.find_optima(runs))
    for band in (found.params, found.tokens, found.loss):
        assert (band.low <= band.value).all() and (band.value <= band.high).all()


def test_agreement_is_said_and_disagreement_too():
    runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=9, noise=0.002, replicates=4)
    valley = frontiers.from_isoflop(frontiers.find_optima(runs))
    fitted = frontiers.from_fit(fitting.resample(fit(Chinchilla, runs), 200))
    assert "agree" in frontiers.describe_agreement(valley, fitted)
    other = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.2, beta=0.6)
    far = synthetic.isoflop(other, BUDGETS, sizes=9, noise=0.002, replicates=4)
    away = frontiers.from_fit(fitting.resample(fit(Chinchilla, far), 200))
    assert "DISAGREE" in frontiers.describe_agreement(valley, away)
    assert "no interval" in frontiers.describe_agreement(valley, frontiers.from_fit(fit(Chinchilla, runs)))
    six = frontiers.from_fit(fit(Chinchilla, runs), frontiers.Cost(9.0, 0.9, "other"))
    assert "different costs" in frontiers.describe_agreement(valley, six)


@pytest.mark.parametrize(
    "truth",
    [
        Joint(E=1.5, A=2000.0, B=30000.0, alpha=0.6, beta=0.65, gamma=0.5),
        KaplanData(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103),
        OverTrained(E=1.5, a=100.0, b=200.0, eta=0.12),
    ],
    ids=lambda law: type(law).__name__,
)
def test_any_law_with_an_optimum_has_a_frontier(truth):
    runs = synthetic.factorial(TRUTH, np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6), noise=0.0)
    loss = truth.loss(*(runs.column(name) for name in type(truth).inputs))
    fitted = fit(type(truth), runs.with_column("loss", loss, "planted"))
    front = frontiers.from_fit(fitted)
    params, tokens = truth.optimum(np.array([1e18, 1e22]))
    found = front.at([1e18, 1e22])
    np.testing.assert_allclose(found[0].value, params, rtol=1e-4)
    np.testing.assert_allclose(found[1].value, tokens, rtol=1e-4)
    assert front.params_exponent.value == pytest.approx(np.log(params[1] / params[0]) / np.log(1e4), rel=1e-4)


def test_a_law_without_optimum_and_a_single_budget_are_refused():
    x = np.geomspace(1, 100, 9)
    line = fit(PowerLaw, table.from_columns(x=x, y=1 + x**-0.5))
    with pytest.raises(ValueError, match="no optimum"):
        frontiers.from_fit(line, frontiers.SIX, np.array([1e12]))
    single = frontiers.from_isoflop(frontiers.find_optima(synthetic.isoflop(TRUTH, [1e12])))
    assert single.status == "few"
    with pytest.raises(ValueError, match="fewer than two budgets"):
        single.at([1e13])


def test_an_exponent_that_is_not_known_is_unknown_whatever_its_draws_say():
    assert str(Band(np.nan, 0.1, 0.9)) == "unknown" == str(Band(np.nan, np.nan, np.nan))
    assert str(Band(0.5, np.nan, np.nan)) == "0.500"
    assert str(Band(0.5, 0.1, 0.9)) == "0.500 (0.100, 0.900)"


def test_no_params_at_all_leave_room_for_endless_tokens_without_a_warning():
    assert frontiers.SIX.tokens(0.0, 1e12) == np.inf


@pytest.mark.parametrize("budgets", [3, 4])
def test_where_a_minimum_was_seen_the_loss_said_is_that_minimum_s(budgets):
    """Too few to fit a floor to, which there is: a law without one passes beside them."""
    law = Chinchilla(E=1.8, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    runs = synthetic.isoflop(law, 1e15 * 4.0 ** np.arange(budgets), sizes=7, noise=0.003)
    front = frontiers.from_isoflop(frontiers.find_optima(runs, draws=200))
    said = front.at(front.flops)[2]
    np.testing.assert_allclose(said.value, front.loss.value, rtol=1e-9)
    np.testing.assert_allclose(said.low, front.loss.low, rtol=2e-3)
    np.testing.assert_allclose(said.high, front.loss.high, rtol=2e-3)
    assert (said.low < said.value).all() and (said.value < said.high).all()
