"""Truths about fits that mutations once got past: formulas by hand, and both sides of
thresholds."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from analysis import fitting
from analysis.fitting import fit
from analysis.fitting.bootstrap import grouped
from analysis.fitting.profile import crossings, leverage
from analysis.fitting.solve import Problem, project, solve_damped
from analysis.fitting.splits import follows, splits
from analysis.fitting.status import degeneracy, fit_status, rival_minimum, undetermined, vagueness
from analysis.laws import Chinchilla, DataConstrained, PurePower
from analysis.laws.beyond import worth
from analysis.tables import table
from bench import synthetic
from tests.test_laws import subjects

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
PARAMS, TOKENS = np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)
NAMES = Chinchilla.names()


def problem_of(law, params=PARAMS, tokens=TOKENS, free=range(5), name="ls-log"):
    """The law's own losses on a grid, as a regression; and where it is solved."""
    runs = synthetic.factorial(law, params, tokens)
    theta = Chinchilla.to_theta(np.array([[getattr(law, name) for name in NAMES]]))[0]
    logs = np.log([runs.params, runs.tokens])
    return Problem(Chinchilla, logs, runs.loss, name, 1e-3, np.array(free)), theta


# --- how a fit is judged -------------------------------------------------------------------------


def test_starts_agree_where_the_least_objective_is_nothing():
    fitted = fit(Chinchilla, synthetic.factorial(TRUTH, PARAMS, TOKENS), objective="ls-log")
    assert fitted.objective.value < 1e-15
    assert int(re.match(r"(\d+) starts agree", fitted.message)[1]) > 1


def test_a_fit_needs_a_run_more_than_parameters():
    runs = synthetic.factorial(TRUTH, PARAMS[:3], TOKENS[:2])
    assert fit(Chinchilla, runs).law.E > 0
    with pytest.raises(
        ValueError, match=r"5 usable runs \(1 flagged.* for the 5 coefficients .* at least 6$"
    ):
        fit(Chinchilla, flag_one(runs))


def flag_one(runs):
    columns = {name: runs.column(name) for name in ("params", "tokens", "loss")}
    return table.from_columns(**columns, status=np.array(["failed"] + ["done"] * 5, object))


@pytest.mark.parametrize(("name", "within"), [("ls-log", 2 * 1.92 / 36), ("huber-log", 1.92 / 36)])
def test_another_minimum_is_a_rival_within_the_likelihood_ratio_s_95_percent(name, within):
    problem, _ = problem_of(TRUTH, name=name)
    best = dict(zip(NAMES, (1.2, 25.0, 60.0, 0.4, 0.36), strict=True))
    for higher, rivals in ((0.98 * within, True), (1.02 * within, False), (1e-7, True)):
        text = rival_minimum(problem, ((2.0, best), (2.0 * np.exp(higher), best | {"alpha": 0.2})))
        assert bool(text) is rivals
        if rivals:
            assert text.startswith("2 minima fit these runs about equally well, from alpha = 0.4,")
            assert (
                f"alpha = 0.2, beta = 0.36, whose objective is {100 * np.expm1(higher):.2g} % higher" in text
            )
    assert rival_minimum(problem, ((0.0, best), (1e-9, best | {"alpha": 0.2}))) == ""


@pytest.mark.parametrize(("off", "ray"), [(0.0496, True), (0.0504, False)])
def test_runs_within_five_percent_of_a_ray_are_on_it(off, ray):
    size = np.geomspace(1e6, 1e9, 12)
    tokens = 20 * size * np.exp(off * np.tile([1, -1, -1, 1], 3))
    logs = np.log([size, tokens])
    problem = Problem(Chinchilla, logs - logs.mean(1)[:, None], size, "ls-log", 1.0, np.arange(5))
    assert bool(degeneracy(Chinchilla, problem)) is ray


@pytest.mark.parametrize(
    ("law", "free", "status"),
    [
        (TRUTH, range(5), "ok"),
        (Chinchilla(1.1e-3, 25.0, 60.0, 0.1, 0.1), range(5), "ok"),
        (Chinchilla(0.2e-3, 25.0, 60.0, 0.1, 0.1), range(5), "edge"),
        (Chinchilla(0.2e-3, 25.0, 60.0, 0.1, 0.1), range(1, 5), "ok"),
        (Chinchilla(1.2, 1.0, 60.0, 1.1e-4, 0.36), range(1, 5), "ok"),
        (Chinchilla(1.2, 1.0, 60.0, 0.9e-4, 0.36), range(1, 5), "edge"),
    ],
)
def test_a_floor_or_an_exponent_at_zero_is_an_edge_where_it_is_fitted(law, free, status):
    """E beside the least loss: a thousandth. An exponent: 1e-4."""
    problem, theta = problem_of(law, free=free)
    share = law.E / problem.output.min()
    if law.E < 0.1:  # at one and a fifth, or four fifths, of the limit
        law = Chinchilla(law.E * (1.2e-3 if status == "ok" else 0.8e-3) / share, *theta_values(law)[1:])
        problem, theta = problem_of(law, free=free)
    found = fit_status(problem, theta, True, 3, ((1e-3, {}),))
    assert found[0] == status, found


def theta_values(law):
    return [getattr(law, name) for name in NAMES]


def test_an_axis_of_two_values_is_few_and_a_search_cut_off_has_failed():
    for levels, status in ((3, "ok"), (2, "few")):
        problem, theta = problem_of(TRUTH, tokens=TOKENS[:levels], free=range(1, 5))
        found = fit_status(problem, theta, True, 3, ((1e-3, {}),))
        assert found[0] == status
    assert found[1] == "only 2 distinct values of tokens; a curve needs 3"
    problem, theta = problem_of(TRUTH)
    assert fit_status(problem, theta, False, 3, ((1e-3, {}),))[0] == "failed"


def spread_about(law, logs, name, limit, times):
    """Residuals (R,) of one size and two signs under which the textbook's standard error of a parameter,
    spread · √(J Jᵀ)⁻¹ of log(E + A N^-alpha + B D^-beta), is so many times a limit; and all errors."""
    n, d = np.exp(logs)
    y, first, second = law.loss(n, d), law.A * n**-law.alpha, law.B * d**-law.beta
    rows = np.stack([law.E / y, first / y, second / y, -first / y * logs[0], -second / y * logs[1]])
    unit = np.sqrt(np.diag(np.linalg.inv(rows @ rows.T)))
    spread = times * limit / unit[NAMES.index(name)]
    signs = np.where(np.arange(len(y)) % 2, 1, -1)
    return spread / 1.4826 * signs, dict(zip(NAMES, spread * unit, strict=True))


WIDE = Chinchilla(E=1.2, A=0.8, B=0.6, alpha=0.4, beta=0.36)  # of sizes and tokens about 1


@pytest.mark.parametrize("times", [0.98, 1.02])
@pytest.mark.parametrize(("name", "limit"), [("alpha", 0.4), ("beta", 0.36), ("E", 1.0), ("A", 1.0)])
def test_what_is_left_open_has_a_standard_error_above_its_value_or_a_factor_e(name, limit, times):
    problem, theta = problem_of(WIDE, np.geomspace(0.03, 30, 6), np.geomspace(0.03, 30, 6))
    residuals, errors = spread_about(WIDE, problem.logs, name, limit, times)
    limits = {"E": 1.0, "A": 1.0, "B": 1.0, "alpha": 0.4, "beta": 0.36}
    output = problem.output * np.exp(residuals)
    expected = [other for other in NAMES if errors[other] > limits[other]]
    assert (name in expected) == (times > 1)
    assert undetermined(WIDE, problem.logs, output) == expected
    noisy = Problem(Chinchilla, problem.logs, output, "ls-log", 1.0, np.arange(5))
    text, opened = vagueness(Chinchilla, noisy, theta), [n for n in expected if n in ("alpha", "beta")]
    assert bool(text) == bool(opened)
    if opened:
        size = limits[opened[0]]
        assert text.startswith(
            f"{opened[0]} = {size:.3g} has a standard error of about {errors[opened[0]]:.2g}:"
        )


def test_a_member_without_a_step_leaves_the_others_theirs():
    """One whose derivatives are no numbers makes the whole batch's system singular."""
    rng = np.random.default_rng(0)
    half, gradient = rng.standard_normal((3, 4, 9)), rng.standard_normal((3, 4))
    hessian, damping = half @ half.transpose(0, 2, 1), np.array([0.1, 1.0, 0.3])
    steps = solve_damped(hessian, hessian, gradient, damping)
    assert (np.einsum("sf,sf->s", steps, gradient) < 0).all()
    hessian[1], gradient[1] = np.nan, np.nan
    np.testing.assert_allclose(solve_damped(hessian, hessian, gradient, damping)[[0, 2]], steps[[0, 2]])


@subjects
def test_at_the_right_exponents_the_projection_gives_the_right_coefficients(truth, columns):
    law = type(truth)
    if law is DataConstrained:  # of sizes that the data warrants: alpha is beta, and A / B is 0.35
        warranted = columns[0] < 0.05 * np.minimum(columns[1], columns[2])
        columns = tuple(column[warranted] for column in columns)
    values = {name: np.array([getattr(truth, name)]) for name in law.grid}
    theta = project(law, np.log(columns), truth.loss(*columns), values, {})
    np.testing.assert_allclose(law.from_theta(theta)[0], [getattr(truth, n) for n in law.names()], rtol=1e-3)


# --- what parts residuals ------------------------------------------------------------------------


def test_groups_follow_values_that_they_cut_into_stretches_or_nearly():
    values = np.arange(40.0)
    stretches = np.repeat([0, 1], 20)
    assert follows(stretches, values) and follows(stretches, -values)
    twice = stretches.copy()
    twice[[3, 30]] = 1, 0  # five changes where one would do
    assert not follows(twice, values) and not follows(np.arange(40) % 2, values)
    many = np.repeat(np.arange(8), 5)
    for moved, near in ((0, True), (1, True), (2, False)):  # 7 changes, 9 and 11; up to 9.1
        code = many.copy()
        code[[2, 12][:moved]] = [7, 6][:moved]
        assert follows(code, values) == near
    three = np.repeat([0, 1, 0], [10, 20, 10])
    assert not follows(three, values)


@pytest.mark.parametrize("along", ["params", "tokens", "flops", "tokens/params"])
def test_a_column_that_follows_an_input_of_the_law_is_a_size_and_no_setting(along):
    """What a law of another form leaves in its residuals is no column's."""
    runs = synthetic.factorial(TRUTH, PARAMS, TOKENS)
    n, d = runs.params, runs.tokens
    value = {"params": n, "tokens": d, "flops": n * d, "tokens/params": d / n}[along]
    level = np.unique(np.round(np.log(value), 6), return_inverse=True)[1]
    third = 3 * level // (level.max() + 1)
    words = np.array(["a", "b", "c"], object)[third]
    loss = runs.loss * np.exp(0.05 * (third - 1))
    named = {"params": n, "tokens": d, "flops": 6 * n * d, "loss": loss}
    fitted = fit(Chinchilla, table.from_columns(**named, flavour=words), objective="ls-log")
    assert not [line for line in fitted.cautions if "residuals" in line]
    half = (np.arange(36) + np.arange(36) // 6) % 2
    words = np.array(["a", "b"], object)[half]
    columns = named | {"loss": runs.loss * np.exp(0.05 * half)}
    fitted = fit(Chinchilla, table.from_columns(**columns, flavour=words), objective="ls-log")
    assert [line for line in fitted.cautions if "residuals fall apart by flavour" in line]


@pytest.mark.parametrize(
    ("rows", "known", "named"),
    [(60, 30, False), (60, 34, True), (11, 11, False), (12, 12, True), (20_100, 20_100, True)],
)
def test_a_column_known_of_half_the_rows_or_less_or_of_eleven_parts_nothing(rows, known, named):
    """Of more than 20,000 rows so many are looked at."""
    rng = np.random.default_rng(0)
    sort, noise = np.arange(rows) % 2, 0.01 * rng.standard_normal(rows)
    words = np.array(["a", "b"], object)[sort]
    words[known:] = ""
    columns = {"params": rng.lognormal(14, 1, rows), "tokens": rng.lognormal(18, 1, rows)}
    runs = table.from_columns(**columns, loss=3 + noise, optimizer=words)
    assert bool(splits(runs, noise - 0.2 * sort, [runs.params, runs.tokens])) is named


# --- intervals -----------------------------------------------------------------------------------


def test_of_few_runs_a_new_one_lies_within_student_s_t_of_the_law():
    runs = synthetic.factorial(TRUTH, PARAMS, TOKENS, noise=0.02)
    fitted = fitting.intervals(fit(Chinchilla, runs, objective="ls-log"), "profile")
    new = fitting.predict(fitted, params=[3e7, 3e10], tokens=[3e9, 3e12])
    residuals = np.log(runs.loss) - np.log(fitted.law.loss(runs.params, runs.tokens))
    reach = stats.t.ppf(0.975, 31) * np.sqrt((residuals**2).sum() / 31)
    for end, law in ((new.run_high, new.high), (new.run_low, new.low)):
        expected = np.hypot(np.log(law / new.value), reach)
        np.testing.assert_allclose(np.abs(np.log(end / new.value)), expected, rtol=1e-9)


def test_an_interval_ends_where_the_root_passes_its_limit():
    x = np.array([-3.0, -1.5, -0.5, 0.5, 1.0, 4.0])
    assert crossings(0.0, x, 2 * x, 2.0) == pytest.approx((-1.0, 1.0))
    assert crossings(0.0, x, np.where(x < 0, x / 4, 2 * x), 2.0) == (-np.inf, 1.0)
    assert crossings(0.5, np.empty(0), np.empty(0), 2.0) == (0.5, 0.5)
    assert crossings(0.0, x, np.r_[-9, -2, -1, 1, np.nan, 8], 2.0) == pytest.approx((-1.5, 1.0))


def test_leverage_is_the_diagonal_of_the_hat_matrix():
    slope = np.random.default_rng(0).standard_normal((3, 20)) * [[1], [1e4], [1e-6]]
    hat = slope.T @ np.linalg.inv(slope @ slope.T) @ slope
    np.testing.assert_allclose(leverage(slope), np.diag(hat), rtol=1e-6)
    alone = np.zeros((1, 4))
    alone[0, 2] = 1  # a row that decides a parameter by itself
    np.testing.assert_allclose(leverage(alone), [0, 0, 0.99, 0])


def test_clusters_as_few_as_parameters_are_refused_and_six_are_named():
    columns = {"params": np.geomspace(1e6, 1e9, 8), "tokens": np.geomspace(1e8, 1e9, 8), "loss": [3.0] * 8}
    fitted = SimpleNamespace(runs=table.from_columns(**columns), law=DataConstrained, fixed={})
    assert len(DataConstrained.names()) == 7
    with pytest.raises(ValueError, match=r"^table: 7 clusters \(a, b, c, d, e, f\) cannot be resampled"):
        grouped(fitted, "pairs", np.array(list("abcdefgg")))
    assert grouped(fitted, "pairs", np.array(list("hgfedcba"))).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_wild_draws_spread_as_residuals_over_one_less_their_leverage():
    """A line through logarithms: the slope's variance is the sum of (x - mean)²/S² (r / (1 - h))²."""
    x = np.r_[np.linspace(0, 1, 11), 4.0]
    noise = 0.05 * np.random.default_rng(3).standard_normal(12)
    runs = table.from_columns(x=np.exp(x), y=np.exp(1 - 0.5 * x + noise))
    fitted = fit(PurePower, runs, objective="ls-log")
    centred = x - x.mean()
    leverages = 1 / 12 + centred**2 / (centred @ centred)
    assert leverages[-1] > 0.8
    scaled = fitted.residuals / (1 - leverages)
    expected = np.sqrt((centred**2 * scaled**2).sum()) / (centred @ centred)
    drawn = fitting.resample(fitted, 4000, kind="wild").draws[:, 1]
    assert drawn.std() == pytest.approx(expected, rel=0.05)  # 4.5 standard errors
    assert drawn.mean() == pytest.approx(fitted.law.alpha, abs=5 * expected / np.sqrt(4000))


def test_repeated_data_is_worth_what_the_law_of_it_says():
    """All of the first pass; of endless ones, its share and R_D times as much (Muennighoff et al., eq. 5)."""
    assert worth(np.array([1.0, 1e6]), 1.0, 15.4).tolist() == pytest.approx([1.0, 16.4])
    law = DataConstrained(1.87, 521.0, 1488.0, 0.353, 0.353, R_D=15.4, R_N=5.3)
    passes = np.array([1.0, 2.5, 8.0])
    once = law.loss(1e6, worth(passes * 1e9, 1e9, law.R_D), 1e12)
    np.testing.assert_allclose(law.loss(1e6, passes * 1e9, 1e9), once)
