"""Any law decides: plans by search are those in closed form; laws of every kind answer or are refused."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from analysis import fitting
from analysis.__main__ import main
from analysis.decisions import doubts, least_loss, plans, searched
from analysis.decisions.counted import law_with_draws
from analysis.frontiers import SIX, Cost
from analysis.laws import LAWS, Chinchilla, Joint, Sum, Term
from analysis.tables.table import from_columns

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
JOINT = Joint(E=1.5, A=2000.0, B=30000.0, alpha=0.6, beta=0.65, gamma=0.5)
OTHER = Cost(9.0, 0.93, "another")
OWN = """
from dataclasses import dataclass
from typing import ClassVar
from analysis.laws import Sum, Term

@dataclass(frozen=True)
class Mine(Sum):
    E: float
    A: float
    B: float
    gamma: float
    inputs: ClassVar = ("params", "tokens")
    terms: ClassVar = (Term("E"), Term("A", ((0, "gamma"),)), Term("B", ((1, "gamma"),)))
    grid: ClassVar = {"gamma": (0.1, 0.3, 0.6)}
"""


@dataclass(frozen=True)
class Tilted(Sum):
    """Chinchilla's law with its terms in another order, and no optimum of its own."""

    A: float
    alpha: float
    B: float
    beta: float
    E: float

    inputs: ClassVar = ("params", "tokens")
    terms: ClassVar = (Term("A", ((0, "alpha"),)), Term("B", ((1, "beta"),)), Term("E"))
    grid: ClassVar = {"alpha": (0.3,), "beta": (0.3,)}


@pytest.mark.parametrize("serve", [0.0, 1e12])
def test_plans_by_search_are_those_in_closed_form(serve):
    searching = Tilted(**vars(TRUTH))
    assert plans.closed(TRUTH) and not plans.closed(searching)
    for flops in (1e18, 1e22):
        pair = [plans.optimum(law, OTHER, flops, serve) for law in (TRUTH, searching)]
        np.testing.assert_allclose(pair[1].params, pair[0].params, rtol=1e-5)
        np.testing.assert_allclose(pair[1].loss, pair[0].loss, rtol=1e-10)
    for question in (plans.cheapest, lambda *a: plans.plan_to_loss(*a[:3], 1e9, a[3])):
        pair = [question(law, OTHER, 2.4, serve) for law in (TRUTH, searching)]
        np.testing.assert_allclose(pair[1].total, pair[0].total, rtol=1e-6)
    np.testing.assert_allclose(plans.limits(searching, 2.4), plans.limits(TRUTH, 2.4), rtol=1e-8)
    assert np.isinf(plans.cheapest(searching, OTHER, 1.69).params)
    assert np.isinf(plans.plan_to_loss(searching, OTHER, 1.9, 1e5).tokens)


def test_a_loss_that_rises_again_far_out_is_reached_where_it_first_falls_to_the_target():
    tokens = np.array([(400 / 0.15) ** (1 / 0.3), np.inf])
    found = searched.reach(
        lambda d: 1.7 + 400 * d**-0.3 + 0.01 * np.maximum(np.log(d / 1e13), 0), np.array([1.85, 1.7])
    )
    np.testing.assert_allclose(found, tokens)


def test_sizes_of_every_draw_of_auto_lie_on_their_edge_and_endless_data_is_no_drift():
    """A draw's loss drifts with compute, so nothing is known of it at 1e100 tokens."""
    runs = isoflops(TRUTH, np.geomspace(1e19, 6.4e20, 4), 0.003)
    law = law_with_draws(fitting.intervals(fitting.fit("auto", runs), "pairs", resamples=100))
    for flops, above in ((3e21, 1.005), (1e24, 1.1)):
        best = plans.optimum(law, SIX, flops)
        least, greatest = plans.size_range(law, SIX, flops, above * best.loss)
        assert (least < best.params).all() and (best.params < greatest).all()
        for end in (least, greatest):
            said = plans.plan_at_size(law, SIX, flops, end).loss
            np.testing.assert_allclose(said, above * best.loss, rtol=1e-9)
    for end in plans.limits(law, 2.3):
        low, high = np.percentile(end[1:], [2.5, 97.5])
        assert end[0, 0] / 10 < low < end[0, 0] < high < 10 * end[0, 0]


def isoflops(law, budgets, noise=0.001):
    flops = np.repeat(budgets, 7)
    params = law.optimum(flops)[0] * np.tile(np.geomspace(0.2, 5, 7), len(budgets))
    wobble = np.exp(noise * np.random.default_rng(0).standard_normal(len(flops)))
    return from_columns(
        params=params,
        tokens=flops / 6 / params,
        flops=flops,
        loss=law.loss(params, flops / 6 / params) * wobble,
    )


RUNS = isoflops(JOINT, np.geomspace(1e17, 1.28e19, 8))


def write(path, runs):
    rows = zip(runs.params, runs.tokens, runs.loss, strict=True)
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    return str(path)


@pytest.mark.parametrize("law", ["joint", "kaplan-nd", "over-trained", "own"])
def test_every_law_decides_and_its_answer_is_its_own(law, tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    name = f"{tmp_path}/own.py:Mine" if law == "own" else law
    table, out = write(tmp_path / "runs.csv", RUNS), tmp_path / "out.json"
    ask = ["decide", table, "--law", name, "--anyway", "--bootstrap", "20", "--json", str(out)]
    assert main([*ask, "--budget", "1e20"]) == 0
    answer = json.loads(out.read_text())["answer"]
    fitted = fitting.fit(LAWS.get(law) or law_of(name), RUNS)
    at = {"params": answer["params"]["value"], "tokens": answer["tokens"]["value"], "flops": 1e20}
    said = fitted.law.loss(*(at[key] for key in fitted.inputs))
    assert answer["loss"]["value"] == pytest.approx(said, rel=1e-6)
    for factor in (0.5, 2.0):
        at |= {"params": factor * answer["params"]["value"], "tokens": answer["tokens"]["value"] / factor}
        assert fitted.law.loss(*(at[key] for key in fitted.inputs)) > said
    assert answer["params"]["low"] < answer["params"]["value"] < answer["params"]["high"]


def test_a_law_without_exponents_has_its_page(tmp_path):
    table, page = write(tmp_path / "runs.csv", RUNS), tmp_path / "page.html"
    ask = ["report", table, "--law", "kaplan-nd", "--intervals", "none", "-o", str(page)]
    assert main([*ask, "--budgets", "6.4e18,1.28e19"]) == 0
    assert "KaplanData" in page.read_text()


def law_of(name):
    from analysis.laws.find import find_law

    return find_law(name)


def test_auto_decides_by_the_mean_of_its_forms_and_refuses_what_they_cannot_tell():
    fitted = fitting.resample(fitting.fit("auto", RUNS), 20)
    answer = least_loss(fitted, Cost(6.0, 1.0, "6nd"), 1e20)
    params, tokens = (answer.plan[name].value for name in ("params", "tokens"))
    said = fitting.predict(fitted, params=params, tokens=tokens).value[0]
    assert answer.plan["loss"].value == pytest.approx(said, rel=1e-9)
    assert answer.plan["loss"].low < answer.plan["loss"].value < answer.plan["loss"].high
    assert doubts(fitted, params, tokens, 0.05) == []
    assert "differ there" in doubts(fitted, 1e13, 1e15, 0.001)[0]
    bent = np.where(RUNS.flops > 5e18, 1.08, 1.0) * RUNS.loss
    why = doubts(fitting.fit("joint", RUNS.with_column("loss", bent, "bent")), params, tokens, 0.01)
    assert any("own largest runs" in line for line in why)


def test_a_law_of_other_inputs_is_refused_by_name():
    law = fitting.fit("chinchilla", RUNS)
    with pytest.raises(ValueError, match="BestRate gives learning_rate"):
        law_with_draws(replace(law, law=LAWS["best-rate"](1.0, -0.7, 0.3)))
    with pytest.raises(ValueError, match="Experts takes in n_experts"):
        law_with_draws(replace(law, law=LAWS["experts"](1.0, 10.0, 0.1, 0.3, 0.01, 2.0, 300.0)))
    assert float(searched.floor(TRUTH)) == pytest.approx(1.7)
