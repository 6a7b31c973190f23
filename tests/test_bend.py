"""A bend inside a table is seen before a forecast carries the law past it."""

import numpy as np
import pytest

from analysis import fitting
from analysis.__main__ import main
from analysis.audit import audit_runs
from analysis.audit.bend import Bend, check, find_bend
from analysis.frontiers import Cost
from analysis.laws import Chinchilla
from bench import bend

LAW = Chinchilla(E=1.5, A=400.0, B=1200.0, alpha=0.34, beta=0.36)
AT = bend.TOP / 10
SIX = Cost(6.0, 1.0, "6nd")


def breaks(params, tokens):
    """The reducible loss falls faster above a tenth of the largest compute."""
    falls = np.maximum(1.0, 6 * params * tokens / AT) ** -0.1
    return LAW.E + (LAW.loss(params, tokens) - LAW.E) * falls


@pytest.fixture(scope="module")
def bent():
    return bend.draw(breaks, LAW, bend.TOP, np.random.default_rng(0))


def test_forecasts_that_miss_are_refused_and_those_of_laws_that_hold_are_not():
    judged = {kind: [bend.judge(kind, seed) for seed in range(6)] for kind in bend.KINDS}
    assert not any(refused for _, refused in judged["clean"])
    assert max(miss for miss, _ in judged["clean"]) < bend.WITHIN
    missed = [refused for kind in bend.KINDS for miss, refused in judged[kind] if miss > bend.WITHIN]
    assert len(missed) > 6 and np.mean(missed) >= 0.8


def test_a_bend_is_told_where_it_is_and_to_which_side(bent):
    fitted = fitting.fit(Chinchilla, bent)
    flops = np.array([bend.TOP / 8, 8 * bend.TOP])
    found = find_bend(fitted, flops, fitted.law.optimum(flops))
    assert AT / 3 < found.knot < 3 * AT and found.slope < 0
    assert found.missed[0] == 0 < found.missed[1]  # the law of the small runs is too high
    np.testing.assert_array_equal(found.speaks_against(0.03), [False, True])


def test_a_bend_is_the_same_in_another_unit_whatever_the_objective(bent):
    flops, shifts = np.array([8 * bend.TOP]), []
    for unit in (1.0, 100.0):
        runs = bent.with_column("loss", unit * bent.loss, "another unit")
        fitted = fitting.fit(Chinchilla, runs, objective="ls")
        shifts.append(find_bend(fitted, flops, fitted.law.optimum(flops)).shift[0])
    assert shifts[1] == pytest.approx(shifts[0], rel=0.02)


def test_a_bend_that_is_not_clear_forbids_what_it_would_move_by_much_more_than_is_asked():
    faint = Bend(knot=AT, slope=-0.01, z=-1.0, shift=np.array([0.05, 0.03]), missed=np.array([0.0, -0.01]))
    assert not faint.speaks_against(0.03).any()
    np.testing.assert_array_equal(faint.forbids(0.03), [True, False])
    np.testing.assert_array_equal(faint.forbids(0.02), [True, True])


def test_the_audit_warns_of_a_bend_and_refuses_what_is_asked_for_beyond_it(bent):
    found = {each.code: each for each in audit_runs(bent, at=[8 * bend.TOP], resamples=0).findings}
    assert found["bend"].severity == "refuse" and "The law bends" in found["bend"].message
    (alone,) = check(fitting.fit(Chinchilla, bent), SIX)
    assert alone.severity == "warn"
    clean = bend.draw(LAW.loss, LAW, bend.TOP, np.random.default_rng(0))
    (none,) = check(fitting.fit(Chinchilla, clean), SIX, [8 * bend.TOP])
    assert none.severity == "ok"


def test_a_forecast_across_a_bend_is_refused_by_the_command(bent, tmp_path, capsys):
    rows = zip(bent.params, bent.tokens, bent.loss, strict=True)
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    assert main(["predict", str(path), "--within", "3", "--at", "params=1e9,flops=8e19"]) == 1
    assert "the law bends" in capsys.readouterr().err
