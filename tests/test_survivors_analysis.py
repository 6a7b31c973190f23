"""Truths that mutations of `analysis` once got past: each test fails for a mutant that all others
passed."""

import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.fitting import fit
from analysis.frontiers import Cost, fit_cost
from analysis.laws import Chinchilla
from analysis.tables import cells, headers, synthetic, table, units

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
K, P = 90.0, 0.8  # flops = 90 · params^0.8 · tokens: far from 6·N·D


def by_fit(runs):
    return frontiers.from_fit(fitting.intervals(fit(Chinchilla, runs), "profile"))


def by_valleys(runs):
    return frontiers.from_isoflop(frontiers.find_optima(runs, draws=200))


def by_envelope(_):
    """Of ten sizes' curves to one end in FLOPs, with noise between them."""
    ends, rng = (1e12, 1e15), np.random.default_rng(1)
    sizes = np.geomspace(*(TRUTH.optimum(end, K, P)[0] for end in ends), 10)
    points = np.geomspace(1e-4, 1, 50)
    n, share = (grid.ravel() for grid in np.meshgrid(sizes, points, indexing="ij"))
    tokens = share * 1e15 / (K * n**P)
    loss = TRUTH.loss(n, tokens) * np.exp(np.repeat(0.002 * rng.standard_normal(10), 50))
    run_id = np.repeat([f"run{i}" for i in range(10)], 50).astype(object)
    curves = table.from_columns(run_id=run_id, params=n, tokens=tokens, flops=K * n**P * tokens, loss=loss)
    return frontiers.from_envelope(frontiers.trace_envelope(curves, draws=1000))


@pytest.mark.parametrize("method", [by_fit, by_valleys, by_envelope])
def test_tokens_follow_from_params_by_the_cost_in_every_interval(method):
    """params^p · tokens is what a budget buys, so b = 1 - p a, and the ends of b are those of a."""
    budgets = np.geomspace(1e12, 1.6e13, 5)
    runs = synthetic.isoflop(TRUTH, budgets, sizes=7, noise=0.002, replicates=4, k=K, p=P)
    found = method(runs)
    a, b = found.params_exponent, found.tokens_exponent
    assert (found.cost.k, found.cost.p) == pytest.approx((K, P), rel=1e-6)
    assert a.low < a.value < a.high and b.low < b.value < b.high
    ends = (1 - P * a.high, 1 - P * a.value, 1 - P * a.low)
    assert (b.low, b.value, b.high) == pytest.approx(ends, abs=2e-3 * (b.high - b.low) + 1e-9)
    known = np.isfinite(found.params.low)
    assert known.any()
    for one, other in (("low", "high"), ("value", "value"), ("high", "low")):
        n, d = getattr(found.params, one)[known], getattr(found.tokens, other)[known]
        np.testing.assert_allclose(K * n**P * d, found.flops[known], rtol=2e-3)
    for far in (found.flops[[0, -1]], [1e17]):
        params, tokens, _ = found.at(far)
        for one, other in (("low", "high"), ("high", "low")):
            bought = K * getattr(params, one) ** P * getattr(tokens, other)
            np.testing.assert_allclose(bought, far, rtol=1e-2)


def test_noise_of_cubics_through_the_valleys_comes_back_over_many_seeds():
    """A cubic through seven sizes leaves three degrees of freedom a valley."""
    budgets, variances = [1e12, 2e12, 4e12], []
    for seed in range(200):
        runs = synthetic.isoflop(TRUTH, budgets, sizes=7, span=6.0, noise=0.01, seed=seed)
        bare = table.from_columns(
            **{n: runs.column(n) for n in ("budget", "params", "tokens", "flops", "loss")}
        )
        found = frontiers.find_optima(bare, window=10.0, draws=2)
        assert "cubics" in found.noise.source and found.noise.freedom == 9
        variances.append(found.noise.sigma**2)
    assert np.mean(variances) == pytest.approx(0.01**2, rel=0.12)  # 3.6 standard errors


@pytest.mark.parametrize("side", [1, -1])
def test_runs_whose_noise_leans_to_one_side_are_predicted_to_lean_to_it(side):
    """Of exponential noise, 3.0 lies between the median and its 97.5 % end, 0.67 the other way."""
    rng = np.random.default_rng(0)
    size, tokens = (m.ravel() for m in np.meshgrid(np.geomspace(1e6, 1e9, 20), np.geomspace(1e8, 1e11, 20)))
    noise = side * 0.02 * (rng.exponential(size=400) - 1)
    runs = table.from_columns(params=size, tokens=tokens, loss=TRUTH.loss(size, tokens) * np.exp(noise))
    found = fitting.intervals(fit(Chinchilla, runs, objective="ls-log"), "pairs", resamples=50)
    new = fitting.predict(found, params=3e7, tokens=3e9)
    law = np.log([new.high / new.value, new.value / new.low])  # its own doubt, added in squares
    runs = np.log([new.run_high / new.value, new.value / new.run_low])
    up, down = np.sqrt(runs**2 - law**2)[:, 0] / 0.02
    long, short = (up, down) if side > 0 else (down, up)
    assert long == pytest.approx(3.0, rel=0.15) and short == pytest.approx(0.67, abs=0.25)


WORTH = {
    "k": 1e3,
    "kilo": 1e3,
    "thousand": 1e3,
    "thousands": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "mil": 1e6,
    "mega": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "g": 1e9,
    "giga": 1e9,
    "billion": 1e9,
    "billions": 1e9,
    "t": 1e12,
    "tn": 1e12,
    "tera": 1e12,
    "trillion": 1e12,
    "trillions": 1e12,
    "p": 1e15,
    "peta": 1e15,
    "e": 1e18,
    "exa": 1e18,
    "z": 1e21,
    "zetta": 1e21,
    "y": 1e24,
}
IN_CELLS = ("k", "thousand", "m", "mn", "million", "b", "bn", "g", "billion", "t", "tn", "trillion")


def test_every_word_for_a_unit_is_worth_what_it_says():
    assert {word for word in WORTH if word[:-1] not in WORTH or word[-1] != "s"} == {*units.MULTIPLES}
    for word, worth in WORTH.items():
        for written in (word, word.upper(), word.capitalize()):
            assert units.multiple(written) == worth, written
            assert headers.parse(f"params ({written})") == headers.Header("params", worth, written)
    for word in IN_CELLS:
        assert cells.number(f"1.5{word}")[0] == 1.5 * WORTH[word]
        assert cells.number(f"1.5 {word.upper()} tokens")[0] == 1.5 * WORTH[word]
    for letter in "pez":
        assert cells.number(f"2 {letter.upper()}FLOPs")[0] == 2 * WORTH[letter]


def test_a_coefficient_is_held_where_it_was_put_and_only_along_with_its_exponents():
    """Inside, inputs are divided by their means: A · N^-alpha there is another number's A."""
    runs = synthetic.factorial(TRUTH, np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6))
    fixed = {"A": TRUTH.A, "alpha": TRUTH.alpha, "E": TRUTH.E}
    law = fit(Chinchilla, runs, fixed=fixed).law
    assert (law.A, law.alpha, law.E) == pytest.approx((TRUTH.A, TRUTH.alpha, TRUTH.E), rel=1e-12)
    assert (law.B, law.beta) == pytest.approx((TRUTH.B, TRUTH.beta), rel=1e-4)
    with pytest.raises(ValueError, match="A can be fixed only along with alpha"):
        fit(Chinchilla, runs, fixed={"A": TRUTH.A})


# --- numbers in sentences ------------------------------------------------------------------------


def test_a_cost_says_how_far_the_table_lies_from_it():
    assert str(Cost(9.0, 0.93, "fitted", 0.021)) == (
        "flops = 9·params^0.93·tokens (fitted, largest deviation 2.1 %)"
    )
    assert str(Cost(6.0, 1.0, "6·N·D", 4e-4)) == "flops = 6·params·tokens (6·N·D)"
    runs = synthetic.isoflop(TRUTH, [1e12, 4e12], sizes=5, k=9.0, p=0.93)
    off = np.where(np.arange(10) % 2, 1.03, 1.0)
    columns = {name: runs.column(name) for name in ("params", "tokens", "loss")}
    cost = fit_cost(table.from_columns(**columns, flops=runs.flops * off))
    law = 9.0 * runs.params**0.93 * runs.tokens
    ratio = runs.flops * off / cost.flops(runs.params, runs.tokens)
    assert cost.deviation == pytest.approx(np.abs(ratio - 1).max(), rel=1e-6) and cost.deviation > 0.01
    np.testing.assert_allclose(runs.flops, law)


def test_runs_on_one_ray_are_said_to_lie_on_it_as_nearly_as_they_do():
    size = np.geomspace(1e6, 1e9, 12)
    off = np.exp(0.02 * np.tile([1, -1, -1, 1], 3))
    runs = table.from_columns(params=size, tokens=20 * size * off, loss=TRUTH.loss(size, 20 * size * off))
    assert "tokens ∝ params^1.00 within 2.0 %" in fit(Chinchilla, runs).message


def test_a_valley_names_its_sizes_and_flops_without_budgets_their_span():
    runs = synthetic.isoflop(TRUTH, [1e12, 2e12, 4e12], sizes=5)
    valley = frontiers.find_optima(runs, draws=2).valleys[0]
    low, high = runs.params[runs.budget == 1e12][[0, -1]]
    assert f"5 sizes from {low:.3g} to {high:.3g} params" in valley.message
    size, n = np.geomspace(1e5, 1e7, 400), np.arange(400)
    smear = {"params": size, "tokens": [1e8] * 400, "loss": 3 - n / 1000}
    with pytest.raises(ValueError, match=r"table: flops run from 6e\+13 to 6e\+15 without a gap"):
        frontiers.find_optima(table.from_columns(**smear))
    with pytest.raises(ValueError, match="table: 12 runs have 12 different flops"):
        frontiers.find_optima(
            table.from_columns(params=4.0 ** n[:12], tokens=[1e8] * 12, loss=3 - n[:12] / 100)
        )
