"""`ok` means usable: what runs leave open is named, and a table that tells is not called in doubt."""

from dataclasses import replace

import numpy as np
import pytest

from analysis import fitting
from analysis.laws import Chinchilla, PowerLaw
from analysis.tables import synthetic, table

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
WIDE = np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)


def grid(params, tokens, noise=0.005, seed=0, law=TRUTH, **columns):
    """Losses of every pair under a law and noise."""
    n, d = (each.ravel() for each in np.meshgrid(params, tokens))
    luck = np.exp(noise * np.random.default_rng(seed).standard_normal(n.size))
    return table.from_columns(params=n, tokens=d, loss=law.loss(n, d) * luck, **columns)


def power(rows, law, noise=0.005, seed=0):
    x = np.geomspace(1e3, 1e7, rows)
    luck = np.exp(noise * np.random.default_rng(seed).standard_normal(rows))
    return table.from_columns(x=x, y=law(x) * luck)


@pytest.mark.parametrize("noise", [0.005, 0.01])
@pytest.mark.parametrize("law", [TRUTH, replace(TRUTH, E=1.69, B=410.7, beta=0.28)])
def test_designs_of_two_decades_are_ok(law, noise):
    factorial = [fitting.fit(Chinchilla, grid(*WIDE, noise, seed, law)).status for seed in range(12)]
    tables = [
        synthetic.isoflop(law, np.geomspace(1e18, 1e21, 6), sizes=7, noise=noise, seed=s) for s in range(12)
    ]
    valleys = [fitting.fit(Chinchilla, runs).status for runs in tables]
    assert (factorial + valleys).count("ok") >= 23


@pytest.mark.parametrize(
    ("params", "tokens", "word"),
    [
        (WIDE[0][::2], WIDE[1][::2], "9 runs for the 5 parameters"),
        (np.geomspace(1e8, 2e8, 5), np.geomspace(1e10, 2e10, 5), ""),
        ([1e8], np.geomspace(1e9, 1e11, 20), "same params"),
        (np.geomspace(2e8, 2.4e8, 6), WIDE[1], "alpha"),
    ],
)
def test_designs_that_cannot_tell_are_not(params, tokens, word):
    fits = [fitting.fit(Chinchilla, grid(params, tokens, seed=seed)) for seed in range(8)]
    assert [found.status for found in fits].count("ok") == 0
    assert word in " ".join(found.message for found in fits)


def test_a_ladder_whose_floor_may_be_nothing_says_so_and_what_would_settle_it():
    """Four sizes at four ratios of tokens to params: losses with noise of 1.5 % leave E open."""
    params = np.repeat([1.9e8, 3.7e8, 7.6e8, 1.3e9], 4)
    tokens = params * np.tile([20, 40, 100, 200], 4)
    said = []
    for seed in range(6):
        luck = np.exp(0.015 * np.random.default_rng(seed).standard_normal(16))
        runs = table.from_columns(params=params, tokens=tokens, loss=TRUTH.loss(params, tokens) * luck)
        said.append(fitting.fit(Chinchilla, runs))
    assert [found.status for found in said].count("unidentified") >= 5
    opened = [found for found in said if "E is open below" in found.message]
    assert opened and all("larger params and tokens" in found.message for found in opened)
    held = fitting.fit(Chinchilla, opened[0].runs, fixed={"E": 1e-3})
    assert held.objective.value < 1.3 * opened[0].objective.value, "no floor fits about as well"


def test_four_points_under_three_parameters_are_few():
    found = fitting.fit(PowerLaw, power(4, lambda x: 1 + 30 * x**-0.5, noise=0.001))
    assert found.status == "few" and "4 runs for the 3 parameters" in found.message
    assert fitting.fit(PowerLaw, power(8, lambda x: 1 + 30 * x**-0.5, noise=0.001)).status == "ok"


def test_a_curve_that_bends_where_the_law_does_not_is_not_ok():
    """A sigmoid of log x is no power law; whatever floor comes out is the form's."""
    sigmoid = lambda x: 0.25 + 0.6 / (1 + (x / 1e5) ** 0.9)  # noqa: E731
    found = fitting.fit(PowerLaw, power(16, sigmoid, noise=0.003))
    assert found.status != "ok"
    straight = [
        fitting.fit(PowerLaw, power(16, lambda x: 0.25 + 9 * x**-0.3, 0.01, s)).status for s in range(20)
    ]
    assert straight.count("ok") >= 19


def test_runs_of_several_kinds_are_not_one_law_whatever_the_column_is_called():
    kind = np.tile(["a", "b", "c"], 12).astype(object)
    runs = grid(*WIDE, zebra=kind)
    assert fitting.fit(Chinchilla, runs).status == "ok", "a column that changes nothing"
    factor = np.select([kind == "a", kind == "b"], [1.0, 1.04], 1.08)
    mixed = table.from_columns(params=runs.params, tokens=runs.tokens, loss=runs.loss * factor, zebra=kind)
    found = fitting.fit(Chinchilla, mixed)
    assert found.status == "unidentified" and "--by zebra" in found.message


def test_open_ends_and_open_intervals_are_the_same_thing():
    """What the status calls open below has a profile that goes on to zero, and a positive number's
    interval has no end below zero."""
    opened = fitting.fit(Chinchilla, grid(np.geomspace(1e8, 4e8, 4), np.geomspace(1e10, 4e10, 4), 0.01, 1))
    assert opened.status == "unidentified"
    ends = fitting.intervals(opened, "profile")
    assert ends.interval("E")[0] < 0.1 and all(ends.interval(name)[0] >= 0 for name in "EAB")
    clear = fitting.intervals(fitting.fit(Chinchilla, grid(*WIDE)), "profile")
    assert all(np.isfinite(clear.interval(name)).all() for name in Chinchilla.names())


def test_two_minima_of_one_objective_are_rivals():
    """The steep exponent of two levels of tokens may be anything: starts end in several, equally good."""
    runs = grid(WIDE[0], [1e9, 1e11], 0.002)
    found = fitting.fit(Chinchilla, runs)
    assert found.status == "unidentified", found.message
