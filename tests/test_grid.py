"""Grids: what is in them, how they group, what they cost."""

import numpy as np
import pytest

from analysis.fitting import fit
from analysis.laws import Chinchilla
from analysis.tables import table
from lab.commands.plan import precision_told
from lab.models import counts
from lab.plan import grid
from lab.plan.precision import exponent_half_width
from tests.conftest import change


def test_a_product_has_every_combination_once(config):
    runs = grid.product(config, optim__learning_rate=[0.1, 0.2], seed=[0, 1, 2])
    assert len({run.run_id for run in runs}) == 6
    assert [(r.optim.learning_rate, r.seed) for r in runs[:3]] == [(0.1, 0), (0.1, 1), (0.1, 2)]
    models = grid.ladder([(1, 16, 2), (2, 16, 2)], vocab_size=8, seq_len=16)
    pairs = grid.product(config, model=models, model__tied=[False, True])  # a part, and a field of it
    assert [(run.model.n_layer, run.model.tied) for run in pairs] == [
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    ]
    with pytest.raises(ValueError, match="no field 'optim__rate'"):
        grid.product(config, optim__rate=[1])


def test_cells_of_a_budget_use_it_up(config):
    models = grid.ladder([(2, 16, 2), (1, 8, 1), (1, 16, 2)], vocab_size=8, seq_len=16)
    sizes = [counts.count_params(model).params for model in models]
    assert sizes == sorted(sizes)
    runs = grid.isoflop(
        {1e8: models, 2e8: models},
        data=config.data,
        batch_tokens=128,
        optim=lambda model, tokens: config.optim,
    )
    for run in runs:
        assert counts.run_flops(run) == pytest.approx(run.budget, rel=0.02)
    shapes = grid.group_by_shape(runs)
    assert len(shapes) == 3 and all(len(group) == 2 for group in shapes.values())
    assert [run.budget for run in next(iter(shapes.values()))] == [2e8, 1e8]  # longest first


def test_too_few_tokens_and_too_many_epochs_are_refused(config):
    models = grid.ladder([(1, 16, 2)], vocab_size=8, seq_len=16)
    make = lambda budget, least: grid.isoflop(  # noqa: E731
        {budget: models},
        data=config.data,
        batch_tokens=128,
        min_tokens=least,
        optim=lambda model, tokens: config.optim,
    )
    with pytest.raises(ValueError, match=r"1 x 16.* under min_tokens=1,000,000.*smaller models"):
        make(1e8, 10**6)
    with pytest.raises(ValueError, match=r"epochs of the .*max_epochs=1;"):
        make(1e12, 0)


def test_a_run_named_twice_is_trained_once(config):
    again = change(config, budget=1e9)
    assert len(grid.unique([config, again, change(config, seed=1)])) == 2


def test_a_price_follows_timed_runs(config):
    twice = change(config, tokens=2 * config.tokens)
    assert grid.price([config, twice]).tokens == 3 * config.tokens
    left = [(config, 1.0), (twice, 1.0), (twice, 1.0)]
    double = 10 * (2 * config.tokens + grid.SCORED) / (config.tokens + grid.SCORED)
    every = 10 + 2 * double + 3 * grid.RUN_SECONDS
    assert grid.seconds_left(left, 2, [(config, 10.0)]) == pytest.approx(every / 2)


def test_what_a_grid_is_said_to_tell_is_what_refits_of_drawn_losses_scatter_by():
    params, ratios = (
        each.ravel() for each in np.meshgrid(np.geomspace(1e4, 3e5, 6), np.geomspace(4, 400, 7))
    )
    tokens = params * ratios
    n, d = (each / np.exp(np.log(each).mean()) for each in (params, tokens))
    rng, found = np.random.default_rng(0), []
    for _ in range(60):
        loss = (0.5 + 0.25 * n**-0.35 + 0.25 * d**-0.35) * np.exp(0.005 * rng.standard_normal(len(n)))
        law = fit(
            Chinchilla, table.from_columns(params=params, tokens=tokens, loss=loss), objective="ls-log"
        ).law
        found.append(law.beta / (law.alpha + law.beta))
    assert exponent_half_width(params, tokens) == pytest.approx(1.96 * np.std(found), rel=0.3)
    assert exponent_half_width(params, tokens, 0.01) > 1.9 * exponent_half_width(params, tokens, 0.005)
    assert np.isnan(exponent_half_width(params[:5], tokens[:5]))


def test_what_is_not_known_of_a_kind_s_scatter_is_not_said_of_it(config):
    def told(**model):
        runs = [
            change(config, **{"model__d_model": 8 * i, "tokens": j * config.tokens}, **model)
            for i in range(1, 5)
            for j in range(1, 5)
        ]
        return " ".join(" ".join(precision_told(runs)).split())

    assert "as this project's Transformers without token shift do, the kind that these are" in told()
    lstm = told(**{"model__kind": "lstm", "model__n_head": 1})
    assert "without token shift do, how lstm scatters is not known" in lstm
