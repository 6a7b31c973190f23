"""Truths that mutations of `analysis` once got past: each test fails for a mutant that all others
passed."""

import re

import numpy as np
import pytest
from scipy import stats

from analysis import fitting, frontiers
from analysis.fitting import fit
from analysis.fitting.solve import Problem
from analysis.fitting.splits import describe_splits, splits
from analysis.fitting.status import distinct_minima, undetermined
from analysis.frontiers import Cost, fit_cost
from analysis.laws import Chinchilla
from analysis.tables import cells, headers, table, units
from analysis.tables.sheets import listed
from bench import synthetic

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
    "mio": 1e6,
    "mega": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "mrd": 1e9,
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
    "yotta": 1e24,
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
    assert str(Cost(9.0, 0.93, "fitted", 0.098)) == (
        "flops = 9·params^0.93·tokens (fitted, largest deviation 9.8 %)"
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
    off = np.exp(0.0496 * np.tile([1, -1, -1, 1], 3))
    runs = table.from_columns(params=size, tokens=20 * size * off, loss=TRUTH.loss(size, 20 * size * off))
    assert "tokens ∝ params^1.00 within 5.0 %" in fit(Chinchilla, runs).message


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


def test_names_in_a_message_are_cut_beyond_sixty_letters():
    assert listed(["x" * 60, "y"]) == "x" * 60 + ", y"
    assert listed(["x" * 61]) == "x" * 59 + "…"
    assert listed("abc", most=3) == "a, b, c" and listed("abcd", most=3) == "a, b, c, ... (4 in all)"


# --- what a table's rows are ---------------------------------------------------------------------


def test_seeds_of_one_cell_are_averaged_and_sizes_three_percent_apart_are_one():
    size, seed = np.array([1e5, 2e5, 2e5, 4e5, 4.08e5, 8e5]), np.array([0.0, 0, 1, 0, 0, 0])
    loss = np.array([3.2, 3.0, 3.3, 2.9, 2.8, 3.1])
    columns = {"params": size, "tokens": 1e12 / 6 / size, "flops": [1e12] * 6, "budget": [1e12] * 6}
    runs = table.from_columns(**columns, loss=loss, seed=seed)
    (valley,) = frontiers.find_optima(runs, draws=2).valleys
    near = np.log([4e5, 4.08e5]).mean()
    np.testing.assert_allclose(valley.log_params, [*np.log([1e5, 2e5]), near, np.log(8e5)])
    means = [np.log(3.2), np.log([3.0, 3.3]).mean(), np.log([2.9, 2.8]).mean(), np.log(3.1)]
    np.testing.assert_allclose(valley.log_loss, means)
    assert valley.repeats.tolist() == [1, 2, 2, 1]


def test_the_frontier_of_a_fit_stands_at_the_budgets_above_zero():
    """By the mean of what their rows achieved; controls have none."""
    runs = synthetic.isoflop(TRUTH, [1e12, 4e12, 1.6e13], sizes=5)
    columns = {name: runs.column(name) for name in ("params", "tokens", "loss", "budget")}
    flops = runs.flops * np.tile([1.0, 1.02, 1.01, 1.0, 0.98], 3)
    columns["budget"] = np.where(np.arange(15) == 4, 0.0, columns["budget"])
    front = frontiers.from_fit(fit(Chinchilla, table.from_columns(**columns, flops=flops)))
    means = [np.exp(np.log(part).mean()) for part in (flops[:4], flops[5:10], flops[10:])]
    np.testing.assert_allclose(front.flops, means)


def several_rates(budget):
    """Twelve cells, three of which hold two rates; then three controls at another, each in a cell."""
    runs = synthetic.factorial(TRUTH, np.geomspace(1e5, 1e6, 4), np.geomspace(1e7, 1e8, 3))
    rows = [*range(12), 0, 5, 7, 1, 2, 3]
    columns = {name: runs.column(name)[rows] for name in ("params", "tokens", "flops")}
    loss = runs.loss[rows] * (1 + 1e-3 * np.arange(18))
    rate = np.r_[np.full(12, 0.01), [0.02] * 3, [0.04] * 3]
    made = table.from_columns(**columns, loss=loss, learning_rate=rate, budget=np.r_[[1e12] * 15, budget])
    return [line for line in made.cautions if "several values of learning_rate" in line]


def test_rates_tried_beside_the_grid_are_no_rivals_and_those_in_it_are():
    (line,) = several_rates([0.0] * 3)
    assert line.startswith("3 cells hold several values of learning_rate at equal params and tokens")
    (line,) = several_rates([1e12] * 3)
    assert line.startswith("6 cells hold")


# --- what parts a fit, and what it leaves open ---------------------------------------------------


def two_sorts(gap, rows=60):
    """Residuals of noise, and of runs of sort b by `gap` less than those of a."""
    rng = np.random.default_rng(0)
    sort, noise = np.arange(rows) % 2, 0.01 * rng.standard_normal(rows)
    columns = {"params": rng.lognormal(14, 1, rows), "tokens": rng.lognormal(18, 1, rows)}
    other = rng.integers(0, 3, rows).astype(float)
    named = np.array(["a", "b"], object)[sort]
    runs = table.from_columns(**columns, loss=3 + noise, optimizer=named, seed=other)
    residuals = noise - gap * sort
    return describe_splits(splits(runs, residuals, [runs.params, runs.tokens])), residuals, sort


def test_a_column_whose_values_part_the_residuals_is_named_with_how_far():
    line, residuals, sort = two_sorts(0.09)
    apart = np.median(residuals[sort == 0]) - np.median(residuals[sort == 1])
    p = stats.kruskal(residuals[sort == 0], residuals[sort == 1]).pvalue
    found = re.search(r"by optimizer \(p = (\S+); medians (\S+) % of the loss apart\)", line)
    assert found[2] == f"{100 * apart:.2g}" and "--by optimizer" in line
    assert float(found[1]) == pytest.approx(p, rel=0.5)  # one digit
    assert two_sorts(0.0)[0] == two_sorts(0.0005)[0] == two_sorts(0.05, rows=10)[0] == ""


def test_a_column_that_follows_size_or_parts_by_chance_alone_is_not_named():
    """At chance 0.01 a table; of forty quiet ones, three are named with probability 0.01."""
    assert sum(bool(two_sorts(0.0, rows)[0]) for rows in range(40, 80)) < 3
    size = np.geomspace(1e5, 1e8, 40)
    band = np.repeat(["small", "large"], 20).astype(object)
    tokens = 1e9 * (1 + np.arange(40) * 7 % 40)  # in no order of size
    runs = table.from_columns(params=size, tokens=tokens, loss=[3.0] * 40, optimizer=band)
    residuals = np.linspace(-0.1, 0.1, 40)
    assert splits(runs, residuals, [runs.params]) == {}
    assert list(splits(runs, residuals, [runs.tokens])) == ["optimizer"]


def test_parameters_that_the_runs_leave_open_are_named_and_others_are_not():
    params, tokens = np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)
    for scale in (1.0, 1.001):  # of the tokens: over a factor 1.005 they show no exponent
        reach = tokens if scale == 1 else np.geomspace(1e9, 1.005e9, 6)
        runs = synthetic.factorial(TRUTH, params, reach, noise=0.003)
        law = fit(Chinchilla, runs).law if scale == 1 else TRUTH
        logs = np.log([runs.params, runs.tokens])
        found = undetermined(law, logs, runs.loss)
        assert found == [] if scale == 1 else {"B", "beta"} <= set(found)
        assert undetermined(law, logs, runs.loss, held=["B", "beta"]) == []


def test_minima_are_distinct_where_an_exponent_is_and_endless_ones_are_none():
    runs = synthetic.factorial(TRUTH, [1e6, 1e7, 1e8], [1e8, 1e9, 1e10])
    logs = np.log([runs.params, runs.tokens])
    problem = Problem(Chinchilla, logs, runs.loss, "ls-log", 1.0, np.arange(5))
    theta = np.tile(Chinchilla.to_theta(np.array([1.2, 25.0, 60.0, 0.4, 0.36])), (4, 1))
    theta[1, Chinchilla.names().index("A")] += 1  # a projection gives coefficients
    theta[2, Chinchilla.names().index("alpha")] *= 2
    theta[3, Chinchilla.names().index("alpha")] *= 3
    assert distinct_minima(problem, np.array([1.0, 1.1, 1.2, np.inf]), theta) == [0, 2]
