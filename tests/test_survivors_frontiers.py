"""Truths about valleys, costs, countings and lines that mutations once got past."""

import numpy as np
import pytest

from analysis import frontiers
from analysis.frontiers import fit_cost, heights
from analysis.frontiers.conventions import without_attention
from analysis.frontiers.lines import birge_ratio
from analysis.frontiers.minima import akima_slopes
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
PARAMS, TOKENS = np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 6)


def test_optima_off_their_line_by_more_than_their_noise_widen_it():
    x, rng = np.linspace(-1, 1, 6), np.random.default_rng(0)
    noise = rng.standard_normal((6, 4000))
    noise = 0.1 * (noise - noise.mean(1, keepdims=True)) / noise.std(1, keepdims=True)
    for off, ratio in ((0.05, 1.0), (0.3, np.sqrt(6 * 9 / 4))):
        y = 2 * x + off * np.array([1, -1, 1, 1, -1, 1])
        assert birge_ratio(x, y, y[:, None] + noise, np.array([2.0, 0.0])) == pytest.approx(ratio, rel=1e-9)
    assert birge_ratio(x[:2], x[:2] + np.array([1, -1]), noise[:2], np.array([2.0, 0.0])) == 1.0


def test_noise_names_the_cells_that_hold_several_seeds():
    runs = synthetic.isoflop(TRUTH, [1e12, 2e12, 4e12], sizes=5, noise=0.01, replicates=2)
    found = frontiers.find_optima(runs, draws=2)
    noise = found.noise
    assert not [note for note in found.notes if "averaged" in note or "best counts" in note]
    assert (noise.source, noise.freedom) == ("3 runs in 1 cell that differ only in seed", 2)
    same = runs.loss[(runs.budget == 2e12) & (runs.params == runs.params[runs.column("seed") == 1][0])]
    assert len(same) == 3 and noise.sigma == pytest.approx(np.log(same).std(ddof=1))


def test_of_runs_of_one_size_that_differ_in_more_than_a_seed_the_best_counts():
    size, rate = np.array([1e5, 2e5, 2e5, 4e5, 8e5]), np.array([1, 1, 2, 1, 1.0])
    columns = {"params": size, "tokens": 1e12 / 6 / size, "flops": [1e12] * 5, "budget": [1e12] * 5}
    loss = np.array([3.2, 3.1, 3.0, 2.9, 3.1])
    found = frontiers.find_optima(table.from_columns(**columns, loss=loss, rate=rate), draws=2)
    assert [note for note in found.notes if "the best counts" in note]
    np.testing.assert_allclose(found.valleys[0].log_loss, np.log([3.2, 3.0, 2.9, 3.1]))


def test_without_noise_or_cubics_no_interval_is_said():
    runs = synthetic.isoflop(TRUTH, [1e12, 4e12, 1.6e13], sizes=4)
    bare = table.from_columns(**{n: runs.column(n) for n in ("budget", "params", "tokens", "flops", "loss")})
    found = frontiers.find_optima(bare, draws=50)
    assert found.noise.source.startswith("no replicate seeds") and np.isnan(found.noise.sigma)
    for band in (*frontiers.from_isoflop(found).at([1e12, 1e14]), frontiers.from_isoflop(found).loss):
        assert np.isfinite(band.value).all() and np.isnan(band.low).all() and np.isnan(band.high).all()


def test_akima_s_slopes_through_a_straight_line_are_its_own():
    x = np.array([0.0, 1.0, 2.5, 3.0, 7.0])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(akima_slopes(x, np.stack([2 * x + 1, 0 * x])), [[2] * 5, [0] * 5])


def test_a_bias_is_said_in_percent_of_the_law_s_size():
    found = frontiers.BiasCheck("ok", "", a_from_law=0.5, a_by_method=0.47, params_ratio=0.92, flops=3e15)
    assert "give a = 0.470, the law a = 0.500 (shift -0.030)" in str(found)
    assert str(found).endswith("lie -8.0 % from the law's at 3e+15 FLOPs")
    assert str(frontiers.BiasCheck("few", "no runs")) == "not checked: no runs"
    assert frontiers.Cost(6.0, 1.0, "6·N·D").deviation == 0


def test_a_size_of_no_runs_has_no_final_points():
    assert [part.tolist() for part in heights.final_points((), "log_loss")] == [[], []]


@pytest.mark.parametrize(("off", "source"), [(1.9e-3, "6·N·D"), (2.1e-3, "fitted")])
def test_a_cost_is_6nd_where_every_row_is_within_a_fifth_of_a_percent(off, source):
    runs = synthetic.factorial(TRUTH, PARAMS, TOKENS)
    columns = {name: runs.column(name) for name in ("params", "tokens", "loss")}
    flops = 6 * runs.params * runs.tokens * np.where(np.arange(36) == 7, 1 + off, 1.0)
    cost = fit_cost(table.from_columns(**columns, flops=flops))
    assert source in cost.source and (cost.k, cost.p) == pytest.approx((6, 1), rel=0.01)
    assert (cost.p == 1 and cost.k == 6) == (off < 2e-3)


@pytest.mark.parametrize(("share", "left"), [(0.79, True), (0.81, False)])
def test_attention_of_more_than_four_fifths_of_the_flops_is_another_counting(share, left):
    shape = {"n_layer": [4.0] * 3, "d_model": [64.0, 64, 128], "seq_len": [1023.0] * 3}
    tokens, params = np.full(3, 1e8), np.array([1e6, 1.1e6, 2e6])
    attention = 6 * 4 * np.array(shape["d_model"]) * 1024 * tokens
    flops = attention / np.array([0.5, share, 0.5])
    runs = table.from_columns(params=params, tokens=tokens, flops=flops, loss=[3.0, 2.9, 2.8], **shape)
    found = without_attention(runs)
    assert (found is not None) is left
    if left:
        np.testing.assert_allclose(found, flops - attention)


@pytest.mark.parametrize("options", [{"levels": 1}, {"smooth": -0.1}, {"smooth": np.nan}, {"points": "some"}])
def test_an_envelope_of_one_level_or_of_bins_below_zero_is_refused(options):
    curves = synthetic.curves(TRUTH, PARAMS[:4], ends=(1e15,), losses=12)
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        frontiers.trace_envelope(curves, draws=0, **options)
    assert frontiers.trace_envelope(curves, draws=0, levels=2, smooth=0.0).flops.shape == (2,)
