"""Tests over all laws at once; a new law needs a subject here: a law and runs that show it."""

import os
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from analysis.fitting import fit, objective_of
from analysis.laws import (
    LAWS,
    BatchSteps,
    BestBatch,
    BestRate,
    BrokenPower,
    Chinchilla,
    CriticalBatch,
    DataConstrained,
    DownstreamError,
    Experts,
    Granularity,
    Joint,
    KaplanData,
    KaplanSteps,
    OverTrained,
    Parallel,
    PowerLaw,
    Precision,
    PurePower,
    Rectified,
    SaturatingPower,
    Sigmoid,
    Tuned,
    TwoSidedPower,
    Vocabulary,
)
from analysis.tables import table

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)


def crossed(*axes) -> tuple[np.ndarray, ...]:
    return tuple(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))


N, D = crossed(np.geomspace(1e7, 1e10, 7), np.geomspace(1e8, 1e11, 7))
S = np.tile(np.geomspace(1e3, 1e6, 7), 7)
REPEATED = crossed(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6), np.array([1e8, 1e9, 1e10]))
BITS = crossed(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 5), np.array([3.0, 4, 6, 8, 16]))
PARTS = crossed(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 5), np.array([1.0, 2, 4, 8, 16]))
WORDS = crossed(np.geomspace(1e7, 1e10, 5), np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5))
STREAMS = crossed(np.geomspace(1e7, 1e10, 9), np.array([1.0, 2, 4, 8]))
ROUTED = crossed(np.geomspace(1e7, 1e10, 7), np.array([1.0, 2, 4, 8, 32, 128, 512]))
SET_UP = crossed(
    np.geomspace(1e8, 1e9, 4),
    np.geomspace(2e9, 1e11, 4),
    np.geomspace(3e-4, 2e-2, 4),
    np.geomspace(16, 2048, 4),
)
X, LOSS, BATCH = np.geomspace(1e3, 1e9, 30), np.linspace(2, 5, 20), np.geomspace(1e5, 1e8, 12)
SUBJECTS = [
    (TRUTH, (N, D)),
    (Joint(E=1.7, A=200.0, B=800.0, alpha=0.4, beta=0.45, gamma=0.8), (N, D)),
    (KaplanData(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103), (N, D)),
    (KaplanSteps(N_c=6.5e13, S_c=2.1e3, alpha_N=0.077, alpha_S=0.76), (N, S)),
    (DataConstrained(1.87, 521.0, 1488.0, 0.353, 0.353, R_D=15.4, R_N=5.3), REPEATED),
    (OverTrained(E=1.5, a=100.0, b=200.0, eta=0.12), (6 * N * D, N, D)),
    (DownstreamError(epsilon=0.85, k=2.1, gamma=0.75), (LOSS,)),
    (PurePower(A=3.0, alpha=0.4), (X,)),
    (PowerLaw(E=0.5, A=3.0, alpha=0.2), (X,)),
    (SaturatingPower(A=3.0, alpha=0.2, gamma=1e-7), (X,)),
    (TwoSidedPower(E=0.5, E0=4.0, B=9.0, alpha=1.5, gamma=0.3), (X,)),
    (BrokenPower(E=0.5, A=3.0, c0=0.1, c1=0.3, d=1e6, f=0.5), (X,)),
    (CriticalBatch(B_star=2.1e8, kappa=1 / 0.21), (LOSS,)),
    (BatchSteps(S_min=3e4, B_crit=2e6), (BATCH,)),
    (BestRate(c=1.79, a=-0.713, b=0.307), (N, D)),  # the constants of Li et al. 2025
    (BestBatch(c=300.0, a=0.1, b=0.4), (N, D)),
    (Precision(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36, gamma=2.67), BITS),
    (
        Granularity(E=0.5, A=18.0, g=2.1, B=30.0, alpha=0.115, beta=0.147, gamma=0.58),
        PARTS,
    ),  # about Krajewski's
    (Vocabulary(E=1.0, A=400.0, A_v=60.0, B=1500.0, alpha=0.34, alpha_v=0.5, beta=0.36), WORDS),
    (Parallel(E=1.3, A=110.0, alpha=0.25, k=0.33), STREAMS),
    (Sigmoid(low=0.12, height=0.6, x0=1e6, s=0.4), (X,)),
    (Rectified(low=0.8, height=2.5, x0=1e5, s=0.5), (X,)),
    (Experts(E=1.2, A=12.0, alpha=0.13, delta=0.3, zeta=0.01, few=2.0, many=300.0), ROUTED),
    (
        Tuned(
            *(1.1, 4e4, 1e6, 0.38, 0.48, 0.25),
            **{"r": 0.02, "r_N": -0.5, "r_D": 0.3, "r_b": 0.3, "h_r": 0.008, "s_r": 0.7},
            **{"b": 2e-4, "b_D": 0.58, "h_b": 0.007, "s_b": 0.3},
        ),
        SET_UP,
    ),  # about Li's runs
]
subjects = pytest.mark.parametrize(
    ("truth", "columns"), SUBJECTS, ids=[type(law).__name__ for law, _ in SUBJECTS]
)


def two_sided(law, x):
    """The y between floor and ceiling at which both sides are equal, by bisection."""
    low, high = np.full(len(x), law.E), np.full(len(x), law.E0)
    for _ in range(200):
        y = (low + high) / 2
        under = (y - law.E) / (law.E0 - y) ** law.alpha < law.B * x**-law.gamma
        low, high = np.where(under, y, low), np.where(under, high, y)
    return y


def constrained(law, n, d, unique):
    """Muennighoff et al. 2023, equations 4 to 6, and the U_N of their appendix A."""
    fresh = np.minimum(d, unique)
    data = fresh + fresh * law.R_D * (1 - np.exp(-(d / fresh - 1) / law.R_D))
    warranted = (law.alpha * law.A / (law.beta * law.B) * fresh**law.beta) ** (1 / law.alpha)
    base = np.minimum(n, warranted)
    size = base + base * law.R_N * (1 - np.exp(-(n / base - 1) / law.R_N))
    return law.E + law.A / size**law.alpha + law.B / data**law.beta


def routed(law, n, experts):
    number = 1 / (1 / (experts - 1 + law.few) + 1 / law.many)
    return law.E + law.A * n**-law.alpha * number ** -(law.delta - law.zeta * np.log(n))


def set_up(law, n, d, rate, batch):
    best = law.b * d**law.b_D
    u = np.log(rate / (law.r * n**law.r_N * d**law.r_D * (batch / best) ** law.r_b))
    v = np.log(batch / best)
    costs = [
        h * 2 * (np.exp(s * x) - 1 - s * x) / s**2
        for h, s, x in ((law.h_r, law.s_r, u), (law.h_b, law.s_b, v))
    ]
    return (law.E + (law.A / n**law.alpha + law.B / d**law.beta) ** law.gamma) * np.exp(sum(costs))


PLAIN = {  # the laws as the papers write them
    Chinchilla: lambda law, n, d: law.E + law.A / n**law.alpha + law.B / d**law.beta,
    Joint: lambda law, n, d: law.E + (law.A / n**law.alpha + law.B / d**law.beta) ** law.gamma,
    KaplanData: lambda law, n, d: ((law.N_c / n) ** (law.alpha_N / law.alpha_D) + law.D_c / d) ** law.alpha_D,
    KaplanSteps: lambda law, n, s: (law.N_c / n) ** law.alpha_N + (law.S_c / s) ** law.alpha_S,
    DataConstrained: constrained,
    OverTrained: lambda law, c, n, d: (
        law.E + (law.a * (d / n) ** law.eta + law.b * (d / n) ** -law.eta) / c**law.eta
    ),
    DownstreamError: lambda law, loss: law.epsilon - law.k * np.exp(-law.gamma * loss),
    PurePower: lambda law, x: law.A / x**law.alpha,
    PowerLaw: lambda law, x: law.E + law.A / x**law.alpha,
    SaturatingPower: lambda law, x: law.A * (1 / x + law.gamma) ** law.alpha,
    TwoSidedPower: two_sided,
    BrokenPower: lambda law, x: (
        law.E + law.A / x**law.c0 * (1 + (x / law.d) ** (1 / law.f)) ** (-law.c1 * law.f)
    ),
    CriticalBatch: lambda law, loss: law.B_star / loss**law.kappa,
    BatchSteps: lambda law, batch: law.S_min * (1 + law.B_crit / batch),
    BestRate: lambda law, n, d: law.c * n**law.a * d**law.b,
    BestBatch: lambda law, n, d: law.c * n**law.a * d**law.b,
    Precision: lambda law, n, d, bits: (
        law.E + law.A / (n * (1 - np.exp(-bits / law.gamma))) ** law.alpha + law.B / d**law.beta
    ),
    Granularity: lambda law, n, d, parts: (
        law.E + (law.g / parts**law.gamma + law.A) / n**law.alpha + law.B / d**law.beta
    ),
    Vocabulary: lambda law, n, v, d: (
        law.E + law.A / n**law.alpha + law.A_v / v**law.alpha_v + law.B / d**law.beta
    ),
    Parallel: lambda law, n, streams: law.E + law.A / (n * (1 + law.k * np.log(streams))) ** law.alpha,
    Sigmoid: lambda law, x: law.low + law.height / (1 + (x / law.x0) ** law.s),
    Rectified: lambda law, x: law.low + law.height * law.x0**law.s / (law.x0**law.s + x**law.s),
    Experts: routed,
    Tuned: set_up,
}


def runs_of(truth, columns, noise=0.0, seed=0, **units) -> table.Runs:
    """The runs of a subject, each input times its entry of `units`."""
    law = type(truth)
    wobble = np.exp(noise * np.random.default_rng(seed).standard_normal(len(columns[0])))
    named = {name: c * units.get(name, 1.0) for name, c in zip(law.inputs, columns, strict=True)}
    return table.from_columns(**named, **{law.output: truth.loss(*columns) * wobble})


def test_every_law_has_a_subject():
    assert {type(law) for law, _ in SUBJECTS} == set(LAWS.values()) == set(PLAIN)


@subjects
def test_a_law_is_the_formula_of_its_paper_for_numbers_arrays_and_draws(truth, columns):
    law = type(truth)
    expected = PLAIN[law](truth, *columns)
    np.testing.assert_allclose(truth.loss(*columns), expected, rtol=1e-11)
    assert truth.loss(*(float(c[3]) for c in columns)) == pytest.approx(expected[3], rel=1e-11)
    draws = np.array(astuple(truth)) * np.array([[1.0], [1.02]])
    drawn = law(*draws.T[:, :, None]).loss(*columns)
    for row, values in zip(drawn, draws, strict=True):
        np.testing.assert_allclose(row, PLAIN[law](law(*values), *columns), rtol=1e-11)
    with pytest.raises(ValueError):
        truth.loss(*columns, columns[0])


@subjects
@pytest.mark.parametrize("objective", ["huber-log", "ls-log"])
def test_a_planted_law_comes_back(truth, columns, objective):
    found = fit(type(truth), runs_of(truth, columns), objective=objective)
    np.testing.assert_allclose(astuple(found.law), astuple(truth), rtol=1e-6)
    assert found.status == "ok"


def test_what_is_held_is_held_whatever_its_unit():
    truth, columns = next(subject for subject in SUBJECTS if type(subject[0]) is Experts)
    found = fit(Experts, runs_of(truth, columns), fixed={"delta": truth.delta, "zeta": truth.zeta})
    assert found.law.delta == pytest.approx(truth.delta) and found.law.zeta == pytest.approx(truth.zeta)
    assert found.law.many == pytest.approx(truth.many, rel=1e-3)


def test_steps_that_do_not_depend_on_the_batch_tell_no_critical_batch():
    for seed in range(3):
        luck = np.random.default_rng(seed).standard_normal((2, 24))
        batch = np.repeat(np.geomspace(1e3, 1e5, 8), 3)
        flat = table.from_columns(batch_tokens=batch, steps=5e3 * np.exp(0.02 * luck[0]))
        assert fit(BatchSteps, flat).status != "ok"
        wide = np.repeat(np.geomspace(3e5, 3e7, 8), 3)
        steps = BatchSteps(5e3, 2e6).loss(wide) * np.exp(0.02 * luck[1])
        told = fit(BatchSteps, table.from_columns(batch_tokens=wide, steps=steps))
        assert told.status == "ok" and told.law.B_crit == pytest.approx(2e6, rel=0.2)


def test_a_column_that_the_law_takes_into_account_is_no_caution():
    truth, columns = next(subject for subject in SUBJECTS if type(subject[0]) is Precision)
    runs = runs_of(truth, columns, noise=0.003)
    assert any("weight_bits" in line for line in fit(Chinchilla, runs).cautions)
    assert not any("weight_bits" in line for line in fit(Precision, runs).cautions)


def test_a_bounded_measure_that_rises_has_its_ceiling_found():
    truth = Sigmoid(low=0.12, height=0.6, x0=1e6, s=-0.4)
    found = fit(Sigmoid, runs_of(truth, (X,), noise=0.003), objective="ls-log")
    assert found.status == "ok" and found.law.s < 0
    assert found.law.low + found.law.height == pytest.approx(0.72, abs=0.005)


@subjects
def test_noise_moves_the_fit_to_a_better_place_than_the_truth(truth, columns):
    runs = runs_of(truth, columns, noise=0.003)
    found = fit(type(truth), runs, objective="ls-log")
    at_truth, residuals = objective_of(truth, runs, objective="ls-log")
    assert found.objective.value <= at_truth.value
    assert at_truth.value == pytest.approx((residuals**2).sum())
    np.testing.assert_allclose(found.law.loss(*columns), truth.loss(*columns), rtol=0.01)


def test_a_long_table_is_searched_on_a_sample_and_fitted_on_every_run():
    truth, rows = SUBJECTS[1][0], 3 * Joint.search
    rng = np.random.default_rng(0)
    columns = np.exp(rng.uniform(16, 23, rows)), np.exp(rng.uniform(18, 25, rows))
    runs = runs_of(truth, columns, noise=0.005)
    found = fit(Joint, runs)
    assert len(found.residuals) == rows and found.status == "ok"
    assert found.objective.value < objective_of(truth, runs)[0].value
    again = fit(Joint, runs, starts=[found.law])
    assert again.objective.value == pytest.approx(found.objective.value, rel=1e-9)


@subjects
def test_log_prediction_and_its_derivatives(truth, columns):
    law = type(truth)
    logs = np.log(columns)
    centre = law.centre(logs)
    logs = (logs - centre[:, None])[:, :: max(1, logs.shape[1] // 9)]
    here = law.shift(law.to_theta(np.array(astuple(truth))), -centre)
    rng = np.random.default_rng(0)
    theta = here + rng.normal(0, 0.02, (3, len(here)))
    log_pred, slope = law.log_predict(theta, logs)
    values = law(*law.from_theta(theta).T[:, :, None])
    np.testing.assert_allclose(np.exp(log_pred), values.loss(*np.exp(logs)), rtol=1e-11)
    pull = rng.normal(size=log_pred.shape)
    bent = law.expand(theta, logs, np.arange(len(here)))[2](pull)
    for i in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[i] = 1e-5
        up, up_slope = law.log_predict(theta + step, logs)
        down, down_slope = law.log_predict(theta - step, logs)
        np.testing.assert_allclose((up - down) / 2e-5, slope[:, i], rtol=1e-5, atol=2e-8)
        change = ((up_slope - down_slope) / 2e-5 * pull[:, None]).sum(2)
        np.testing.assert_allclose(change, bent[:, i], rtol=1e-5, atol=1e-6)


def test_a_term_of_nothing_adds_nothing_and_has_no_slope():
    theta = np.array([[0.5, -np.inf, 1.0, 0.3, 0.4], [0.5, 2.0, 1.0, 0.3, 0.4]])
    logs, pull = np.random.default_rng(0).normal(size=(2, 6)), np.ones((2, 6))
    value, slope, bend = Chinchilla.expand(theta, logs, np.arange(5))
    np.testing.assert_allclose(value[0], np.logaddexp(0.5, 1.0 - 0.4 * logs[1]))
    assert not slope[0, [1, 3]].any() and not bend(pull)[0, [1, 3]].any() and slope[1, [1, 3]].all()


@subjects
def test_a_unit_moves_only_the_parameters_that_carry_it(truth, columns):
    law = type(truth)
    found = fit(law, runs_of(truth, columns)).law
    for v, name in enumerate(law.inputs):
        if name in ("parallel_size", "n_experts"):
            continue  # one stream, or expert, is one
        factor = 1e-3
        # tokens and unique tokens are one unit, as the law compares them
        units = {other: factor for other in law.inputs if (name, other) in SAME or other == name}
        moved = fit(law, runs_of(truth, columns, **units)).law
        changes = {}
        for parameter, unit in law.units.items():
            for w, power, exponent in unit:
                if law.inputs[w] in units:
                    power *= 1.0 if exponent is None else getattr(found, exponent)
                    changes[parameter] = changes.get(parameter, 1.0) * factor**power
        expected = {  # an exponent that carries a unit moves by its logarithm
            p: getattr(found, p) * change if p in law.positive() else getattr(found, p) + np.log(change)
            for p, change in changes.items()
        }
        np.testing.assert_allclose(
            astuple(moved), astuple(replace(found, **expected)), rtol=1e-5, err_msg=str(v)
        )


SAME = {("tokens", "unique_tokens"), ("unique_tokens", "tokens")}


@subjects
def test_centred_parameters_are_the_same_law(truth, columns):
    law, logs = type(truth), np.log(columns)
    theta, centre = law.to_theta(np.array(astuple(truth))), law.centre(logs)
    moved = law.shift(theta, -centre)
    np.testing.assert_allclose(
        law.log_predict(moved[None], logs - centre[:, None])[0],
        law.log_predict(theta[None], logs)[0],
        rtol=1e-9,
        atol=1e-11,
    )
    np.testing.assert_allclose(law.from_theta(law.shift(moved, centre)), astuple(truth), rtol=1e-9)


# at positive exponents all laws fall in all of their inputs but these
OTHERWISE = {(OverTrained, "params"), (OverTrained, "tokens"), (BrokenPower, "x"), (DownstreamError, "loss")}
OTHERWISE |= {(Tuned, "learning_rate"), (Tuned, "batch_tokens"), (Tuned, "tokens"), (Tuned, "params")}
OTHERWISE |= {(Experts, "n_experts"), (BestRate, "tokens"), (BestBatch, "params"), (BestBatch, "tokens")}


@subjects
def test_it_falls_in_its_inputs(truth, columns):
    law, middle = type(truth), [np.median(column) for column in columns]
    for v, name in enumerate(law.inputs):
        least = 1.0 if name in ("parallel_size", "n_experts") else columns[v].min() / 1e3
        span = np.geomspace(least, columns[v].max() * 1e3, 300)
        at = list(middle)
        at[v] = span
        steps = np.diff(truth.loss(*at))
        if (law, name) not in OTHERWISE:
            assert (steps <= 1e-12).all() and (steps < 0).any(), name


@pytest.mark.parametrize(("k", "p"), [(6.0, 1.0), (9.0, 0.93), (2.0, 1.2)])
@pytest.mark.parametrize(
    "truth", [law for law, _ in SUBJECTS if hasattr(law, "optimum")], ids=lambda law: type(law).__name__
)
def test_the_optimum_is_the_minimum_along_its_budget(truth, k, p):
    inputs = type(truth).inputs
    extra = {"unique_tokens": 1e10} if "unique_tokens" in inputs else {}
    for flops in (1e18, 1e22):
        params, tokens = truth.optimum(flops, *extra.values(), k=k, p=p)
        np.testing.assert_allclose(k * params**p * tokens, flops, rtol=1e-9)

        def loss(n, flops=flops):
            at = {"params": n, "tokens": flops / (k * n**p), "flops": flops, **extra}
            return truth.loss(*(at[name] for name in inputs))

        best = loss(params)
        for factor in (0.1, 0.5, 0.99, 1.01, 2.0, 10.0):
            assert loss(params * factor) > best


@pytest.mark.parametrize("p", [1.0, 0.9])
def test_exponents_are_the_slopes_of_the_optimum(p):
    n, d = TRUTH.optimum(np.array([1e18, 1e20]), 6.0, p)
    slopes = [np.log(v[1] / v[0]) / np.log(100) for v in (n, d)]
    np.testing.assert_allclose(TRUTH.exponents(p), slopes, rtol=1e-12)


def test_limits_that_formulas_promise():
    assert TRUTH.loss(1e300, 1e300) == pytest.approx(TRUTH.E)
    assert PowerLaw(0.0, 2.0, 0.5).loss(4.0) == PurePower(2.0, 0.5).loss(4.0) == 1.0
    broken = BrokenPower(E=0.0, A=1.0, c0=0.2, c1=0.5, d=1e6, f=0.3)
    for x, slope in ((1e-3, 0.2), (1e15, 0.7)):
        assert np.log(broken.loss(x) / broken.loss(np.e * x)) == pytest.approx(slope, abs=1e-6)
    two = TwoSidedPower(E=0.5, E0=4.0, B=9.0, alpha=1.5, gamma=0.3)
    y = two.loss(X)
    np.testing.assert_allclose((y - 0.5) / (4.0 - y) ** 1.5, 9.0 * X**-0.3, rtol=1e-9)
    bent = SaturatingPower(A=3.0, alpha=0.2, gamma=1e-7)
    assert bent.loss(1e300) == pytest.approx(3.0 * 1e-7**0.2)
    joint = Joint(1.7, 400.0, 1500.0, 0.34, 0.36, 1.0)
    assert joint.loss(1e9, 1e10) == pytest.approx(TRUTH.loss(1e9, 1e10), rel=1e-14)
    kaplan = KaplanData(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103)
    assert kaplan.loss(6.4e13, np.inf) == 1.0 and kaplan.loss(np.inf, 1.8e13) == 1.0
    batch = BatchSteps(S_min=100.0, B_crit=1e6)
    assert batch.loss(1e6) == pytest.approx(200.0, rel=1e-14)
    assert batch.tokens(1e6) == pytest.approx(2e8, rel=1e-14)


def test_data_seen_once_by_a_warranted_size_is_chinchilla():
    law = DataConstrained(1.7, 400.0, 1500.0, 0.34, 0.36, R_D=15.0, R_N=5.0)
    n, d = TRUTH.optimum(1e21)
    assert law.loss(n, d, d) == pytest.approx(TRUTH.loss(n, d), rel=1e-12)
    assert law.loss(n, d, 10 * d) == law.loss(n, d, d)
    np.testing.assert_allclose(law.optimum(1e21, 1e13), (n, d), rtol=1e-5)
    # four epochs are worth nearly four times the data, and forty far less than forty times
    assert law.loss(n, 4 * d, d) == pytest.approx(TRUTH.loss(n, 3.76 * d), rel=2e-3)
    assert law.loss(n, 400 * d, d) > TRUTH.loss(n, 17 * d)


def test_over_training_is_a_fixed_ratio_and_equal_slopes():
    law = OverTrained(E=1.5, a=100.0, b=200.0, eta=0.12)
    n, d = law.optimum(np.array([1e18, 1e22]))
    np.testing.assert_allclose(d / n, 2.0 ** (1 / 0.24))
    n = np.array([1e8, 1e9])
    for ratio in (20.0, 640.0):
        above = law.loss(6 * ratio * n**2, n, ratio * n) - law.E
        assert np.log(above[0] / above[1]) / np.log(100) == pytest.approx(0.12)


@pytest.fixture(scope="module")
def repeated():
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    return table.read(Path(folder) / "datablations_c4.csv")


FIXED = {  # Muennighoff et al. 2023, held fixed there
    "E": np.exp(0.6254804),
    "A": np.exp(6.255414),
    "B": np.exp(7.3049974),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}


def test_repeated_data_gives_the_published_objective(repeated):
    published = DataConstrained(**FIXED, R_D=15.387756, R_N=5.309743)
    objective, residuals = objective_of(published, repeated)
    assert objective.value == pytest.approx(0.015825935, abs=1e-8) and len(residuals) == 182


def test_repeated_data_has_several_minima_and_it_says_so(repeated):
    found = fit(DataConstrained, repeated, fixed=FIXED)
    assert found.status == "unidentified"
    assert "R_D and R_N are weakly identified" in found.message
    assert found.objective.value == pytest.approx(0.0158047, abs=5e-8)
    ends = [(law["R_D"], law["R_N"], value) for value, law in found.minima]
    for r_d, r_n, value in ((95.4, 1.71, 0.0158047), (15.387756, 5.309743, 0.015825935)):
        assert any(
            abs(a / r_d - 1) < 3e-3 and abs(b / r_n - 1) < 3e-3 and abs(v - value) < 5e-8 for a, b, v in ends
        ), (r_d, r_n, ends)
