import numpy as np
import pytest

from analysis.laws import LAWS, Chinchilla, PowerLaw

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)


@pytest.mark.parametrize(("k", "p"), [(6.0, 1.0), (9.0, 0.93), (2.0, 1.2)])
def test_the_optimum_is_the_minimum_along_its_budget(k, p):
    for flops in (1e15, 1e21):
        params, tokens = TRUTH.optimum(flops, k, p)
        np.testing.assert_allclose(k * params**p * tokens, flops, rtol=1e-12)
        best = TRUTH.loss(params, tokens)
        for factor in (0.5, 0.99, 1.01, 2.0):
            assert TRUTH.loss(params * factor, flops / (k * (params * factor) ** p)) > best


@pytest.mark.parametrize("p", [1.0, 0.9])
def test_exponents_are_the_slopes_of_the_optimum(p):
    n, d = TRUTH.optimum(np.array([1e18, 1e20]), 6.0, p)
    slopes = [np.log(v[1] / v[0]) / np.log(100) for v in (n, d)]
    np.testing.assert_allclose(TRUTH.exponents(p), slopes, rtol=1e-12)


@pytest.mark.parametrize("law", LAWS.values())
def test_log_prediction_and_its_derivatives(law):
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(len(law.inputs), 7))
    theta = rng.normal(0.3, 0.2, (3, len(law.names())))
    log_pred, slope = law.log_predict(theta, logs)
    values = law(*law.from_theta(theta).T[:, :, None])
    np.testing.assert_allclose(np.exp(log_pred), values.loss(*np.exp(logs)), rtol=1e-12)
    pull = rng.normal(size=log_pred.shape)
    bent = law.curvature(theta, logs, pull)
    for i in range(theta.shape[1]):
        step = np.zeros(theta.shape[1])
        step[i] = 1e-5
        up, up_slope = law.log_predict(theta + step, logs)
        down, down_slope = law.log_predict(theta - step, logs)
        np.testing.assert_allclose((up - down) / 2e-5, slope[:, i], atol=1e-8)
        change = ((up_slope - down_slope) / 2e-5 * pull[:, None]).sum(2)
        np.testing.assert_allclose(change, bent[:, i], atol=1e-7)


def test_loss_falls_with_params_and_tokens_to_its_floor():
    grid = np.geomspace(1e3, 1e30, 200)
    assert (np.diff(TRUTH.loss(grid, 1e9)) <= 0).all()
    assert (np.diff(TRUTH.loss(1e9, grid)) <= 0).all()
    assert TRUTH.loss(1e300, 1e300) == pytest.approx(TRUTH.E)
    assert PowerLaw(0.0, 2.0, 0.5).loss(4.0) == 1.0


def test_centred_parameters_are_the_same_law():
    theta = Chinchilla.to_theta(np.array([1.7, 400.0, 1500.0, 0.34, 0.36]))
    logs, centre = np.log([[1e7, 1e9], [1e9, 1e10]]), np.array([18.0, 22.0])
    moved = Chinchilla.shift(theta, -centre)
    here = Chinchilla.log_predict(theta[None], logs)[0]
    np.testing.assert_allclose(
        Chinchilla.log_predict(moved[None], logs - centre[:, None])[0], here, rtol=1e-12
    )
