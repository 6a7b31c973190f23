import os
from pathlib import Path

import numpy as np
import pytest

from analysis import synthetic, table, uncertainty
from analysis.fit import fit
from analysis.laws import Chinchilla

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
PARAMS, TOKENS = np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 1e11, 7)


def test_equal_seeds_give_equal_draws_and_others_do_not():
    found = fit(Chinchilla, synthetic.factorial(TRUTH, PARAMS, TOKENS, noise=0.01))
    a, b, c = (uncertainty.pairs(found, 50, seed).draws for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_resample_refitted_alone_is_the_same_draw():
    runs = synthetic.factorial(TRUTH, PARAMS, TOKENS, noise=0.01)
    found = fit(Chinchilla, runs)
    draws = uncertainty.pairs(found, 3, seed=5).draws
    counts = np.random.default_rng(5).multinomial(49, np.full(49, 1 / 49), size=3)
    for count, draw in zip(counts, draws, strict=True):
        rows = np.repeat(np.arange(49), count)
        alone = table.of(
            params=runs.params[rows], tokens=runs.tokens[rows], loss=runs.loss[rows],
            copy=np.arange(49.0),
        )  # fmt: skip
        np.testing.assert_allclose(
            list(fit(Chinchilla, alone).parameters.values()), draw, rtol=1e-4
        )


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = 0
    for seed in range(30):
        runs = synthetic.factorial(TRUTH, PARAMS, TOKENS, noise=0.01, seed=seed)
        found = uncertainty.pairs(fit(Chinchilla, runs), 100, seed)
        low, high = np.percentile(found.law_draws().exponents()[0], [2.5, 97.5])
        held += low <= TRUTH.exponents()[0] <= high
    assert 23 <= held <= 30  # P(< 23 | 95 %) < 1e-4


def test_more_noise_gives_wider_intervals():
    widths = []
    for noise in (0.002, 0.02):
        runs = synthetic.factorial(TRUTH, PARAMS, TOKENS, noise=noise)
        low, high = uncertainty.pairs(fit(Chinchilla, runs), 100).interval("alpha")
        widths.append(high - low)
    assert widths[1] > 4 * widths[0]


def test_published_standard_errors_come_back():
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    runs = table.read(Path(folder) / "chinchilla_fig4.csv", where="outlier == 0")
    found = uncertainty.pairs(fit(Chinchilla, runs), 1000)
    published = {"A": 124.5, "B": 1293, "E": 0.0257, "alpha": 0.0154, "beta": 0.0206}
    for i, name in enumerate(found.law.names()):
        assert found.draws[:, i].std() == pytest.approx(published[name], rel=0.15), name
