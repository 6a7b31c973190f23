"""Held-out forecasts that all err to one side are seen, though no single one is far off."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.audit import forecast
from analysis.audit.forecast import Step, hold_out, pooled_score
from analysis.decisions import least_loss
from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic

SMALL = Chinchilla(E=1.04, A=39.9, B=1745.4, alpha=0.41, beta=0.58)
RESULTS = Path(__file__).parents[1] / "experiments/results"


def steps(*errors: float, trained: int = 1000) -> list[Step]:
    """Forecasts that many standard errors too high."""
    runs = table.from_columns(params=[1e6], tokens=[1e8], loss=[3.0])
    one = np.ones(1)
    return [
        Step(1e12 * 2**i, 2.0, trained, 5, runs, one, one, 0.01 * z, 0.01 * abs(z), 0.02, 0.01)
        for i, z in enumerate(errors)
    ]


@pytest.mark.parametrize(
    ("errors", "severity"),
    [
        ((1.7, 1.6, 1.8), "warn"),
        ((-1.7, -1.6, -1.8), "warn"),  # none beyond 2, all to one side
        ((1.7, -1.6, 1.8), "ok"),
        ((1.0, 1.1, 0.9), "ok"),
        ((1.8,), "ok"),
        ((0.0, 0.0, 3.5), "warn"),
    ],
)
def test_errors_to_one_side_add_up(errors, severity):
    found = hold_out(steps(*errors))
    assert found.severity == severity
    assert found.figures["together"] == pytest.approx(np.sum(errors) / np.sqrt(len(errors)), rel=1e-2)
    if severity == "warn" and 0 not in errors:
        assert f"{len(errors)} of {len(errors)} forecasts" in found.message
        assert ("too high" in found.message) == (errors[0] > 0)


def test_a_standard_error_of_few_runs_counts_for_less():
    assert pooled_score(steps(2, 2, trained=10)) < 0.85 * pooled_score(steps(2, 2))


def clean(seed: int, bend: float = 0.0):
    """A small isoFLOP grid of 28 runs; `bend` lowers log loss by the square of ln compute."""
    budgets = 4.5e11 * 2.0 ** np.arange(4)
    runs = synthetic.isoflop(SMALL, budgets, sizes=6, noise=0.005, replicates=4, seed=seed)
    columns = dict(runs.columns)
    columns["loss"] = columns["loss"] * np.exp(-bend * np.log(columns["flops"] / budgets[0]) ** 2)
    return table.from_columns(**columns)


def score(runs) -> float:
    return pooled_score(forecast.steps(runs, "huber-log", 1e-3))


def test_on_clean_tables_the_sum_is_standard_normal_and_a_bend_shifts_it():
    plain = np.array([score(clean(seed)) for seed in range(30)])
    assert 0.7 < plain.std() < 1.4 and abs(plain.mean()) < 0.5
    assert (np.abs(plain) > forecast.ONE_SIDED).sum() <= 2
    bent = np.array([score(clean(seed, bend=0.03)) for seed in range(5)])
    assert (bent > forecast.ONE_SIDED).all()


@pytest.mark.parametrize(
    ("name", "warned"),
    [("chinchilla2022", True), ("chinchilla2022-bpe", True), ("chinchilla2022-reviews", False)],
)
def test_the_two_grids_whose_forecasts_missed_are_told_and_the_one_that_held_is_not(name, warned):
    """At 4 times the largest budget the measured losses lay 12.5 and 6.4 % below the laws of the
    first two, and 1 % off the third's (experiments/predictions.csv)."""
    fitted = fit(Chinchilla, table.read(RESULTS / f"{name}.csv", where="budget > 0"))
    assert bool(forecast.caution(fitted)) == warned
    found = least_loss(fitting.resample(fitted, 10), frontiers.fit_cost(fitted.runs), 2.88e13)
    assert ("too high" in found.message) == warned


def test_decide_prints_and_writes_it(tmp_path, capsys):
    out = tmp_path / "found.json"
    path = str(RESULTS / "chinchilla2022.csv")
    question = ["--where", "budget > 0", "--budget", "2.88e13", "--bootstrap", "10"]
    assert main(["decide", path, *question, "--json", str(out)]) == 0
    assert "3 of 3 forecasts" in " ".join(capsys.readouterr().out.split())
    assert any("3 of 3 forecasts" in line for line in json.loads(out.read_text())["cautions"])


def test_a_row_without_a_budget_is_no_level():
    runs = clean(0)
    columns = dict(runs.columns)
    columns["budget"] = np.where(np.arange(len(runs)) == 3, 0.0, columns["budget"])
    label = forecast.levels(table.from_columns(**columns))
    near = np.abs(np.log(columns["flops"] / columns["flops"][3])) < 0.1
    assert len(set(label[near])) == 1
