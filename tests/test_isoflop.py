import os
from pathlib import Path

import numpy as np
import pytest

from analysis import frontiers
from analysis.frontiers.minima import akima, interpolate
from analysis.frontiers.replicates import seed_noise
from analysis.laws import Chinchilla
from analysis.tables import table
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
BUDGETS = [8e11, 1.6e12, 3.2e12, 6.4e12]


def published(name: str) -> Path:
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    return Path(folder) / name


@pytest.mark.parametrize("method", frontiers.VALLEY_METHODS)
def test_planted_optima_come_back(method):
    runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=9)
    iso = frontiers.find_optima(runs, method=method)
    for valley in iso.valleys:
        params, tokens = TRUTH.optimum(valley.budget)
        assert valley.status == "ok"
        assert valley.params == pytest.approx(params, rel=0.03)
        assert valley.tokens == pytest.approx(tokens, rel=0.03)
        assert valley.loss == pytest.approx(TRUTH.loss(params, tokens), rel=1e-3)
        assert 6 * valley.params * valley.tokens == pytest.approx(valley.flops, rel=1e-3)


def test_the_minimum_of_the_akima_curve_is_its_minimum():
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=8))
    for _ in range(50):
        y = rng.normal(size=8)
        place, height, _ = interpolate(x, y[None], 1.0)
        dense = akima(x, y, np.linspace(x[0], x[-1], 20001))
        assert height[0] == pytest.approx(dense.min(), abs=1e-4)
        assert height[0] <= dense.min() + 1e-12
        assert akima(x, y, place)[0] == pytest.approx(height[0], abs=1e-9)


def test_akima_agrees_with_scipy():
    from scipy.interpolate import Akima1DInterpolator

    rng = np.random.default_rng(1)
    x, y = np.sort(rng.normal(size=9)), rng.normal(size=9)
    at = np.linspace(x[0], x[-1], 101)
    np.testing.assert_allclose(akima(x, y, at), Akima1DInterpolator(x, y)(at), atol=1e-10)


@pytest.mark.parametrize("method", frontiers.VALLEY_METHODS)
@pytest.mark.parametrize(("centre", "end"), [(20.0, "smallest"), (0.05, "largest")])
def test_a_profile_without_a_valley_is_an_edge_and_stays_out_of_the_exponent(method, centre, end):
    good = synthetic.isoflop(TRUTH, BUDGETS[:3], sizes=7)
    bad = synthetic.isoflop(TRUTH, BUDGETS[3:], sizes=7, centre=centre)
    names = ("budget", "params", "tokens", "flops", "loss")
    both = table.from_columns(**{n: np.concatenate([good.column(n), bad.column(n)]) for n in names})
    iso = frontiers.find_optima(both, method=method)
    assert [p.status for p in iso.valleys] == ["ok", "ok", "ok", "edge"]
    assert end in iso.valleys[3].message
    for valley in iso.valleys:  # beyond its sizes, too, a budget gives the tokens that C = 6·N·D leaves
        assert 6 * valley.params * valley.tokens == pytest.approx(valley.flops, rel=1e-3)
    alone = frontiers.from_isoflop(frontiers.find_optima(good, method=method))
    found = frontiers.from_isoflop(iso)
    assert found.params_exponent.value == pytest.approx(alone.params_exponent.value, rel=1e-9)
    assert "6.4e+12 (edge)" in found.message


def test_two_sizes_are_few_and_a_valley_below_the_noise_is_flat():
    few = frontiers.find_optima(synthetic.isoflop(TRUTH, BUDGETS, sizes=2))
    assert {p.status for p in few.valleys} == {"few"}
    assert frontiers.from_isoflop(few).status == "few"


@pytest.mark.filterwarnings("error")
def test_a_budget_without_a_minimum_has_no_optimum_at_all():
    """Neither of a lone run, which interpolates anything, nor of sizes that only noise brings near."""
    sizes = {1e20: [1e8], 3e20: [1e8, 3.2e8, 9e8], 1e21: np.geomspace(1e8, 1e9, 9)}
    params = np.concatenate(list(sizes.values()))
    flops = np.concatenate([np.full(len(at), budget) for budget, at in sizes.items()])
    tokens = flops / (6 * params)
    loss = TRUTH.loss(params, tokens) * np.exp(0.01 * np.random.default_rng(0).normal(size=len(params)))
    runs = table.from_columns(params=params, tokens=tokens, loss=loss, flops=flops)
    iso = frontiers.find_optima(runs, method="parabola")
    front = frontiers.from_isoflop(iso)
    few = np.array(front.point_status) == "few"
    assert few.tolist() == [True, True, False]
    for band in (front.params, front.tokens, front.loss):
        assert np.isnan(band.value[few]).all() and np.isfinite(band.value[~few]).all()
    found = []
    for seed in range(8):
        runs = synthetic.isoflop(TRUTH, BUDGETS, span=1.5, noise=0.02, replicates=6, seed=seed)
        found += [p.status for p in frontiers.find_optima(runs, draws=100).valleys]
    assert found.count("ok") < 0.2 * len(found)


def test_noise_is_what_replicate_seeds_show():
    runs = synthetic.isoflop(TRUTH, BUDGETS, noise=0.004, replicates=40, seed=2)
    iso = frontiers.find_optima(runs)
    assert iso.noise.sigma == pytest.approx(0.004, rel=0.35) and "seed" in iso.noise.source
    bare = table.from_columns(**{n: runs.column(n) for n in ("budget", "params", "tokens", "flops", "loss")})
    assert "residuals" in frontiers.find_optima(bare).noise.source


def test_a_column_that_differs_makes_runs_no_replicates():
    runs = synthetic.isoflop(TRUTH, BUDGETS, noise=0.004, replicates=3)
    columns = {n: runs.column(n) for n in ("budget", "params", "tokens", "flops", "loss", "seed")}
    iso = frontiers.find_optima(table.from_columns(**columns, learning_rate=np.arange(len(runs)) * 1.0))
    assert "residuals" in iso.noise.source


def test_losses_of_a_mixture_s_parts_are_no_settings():
    runs = synthetic.isoflop(TRUTH, BUDGETS, noise=0.004, replicates=3)
    columns = {n: runs.column(n) for n in ("budget", "params", "tokens", "flops", "loss", "seed")}
    parts = {"loss_wiki": columns["loss"] * 1.1, "loss_se_wiki": columns["loss"] / 100}
    assert "seed" in frontiers.find_optima(table.from_columns(**columns, **parts)).noise.source
    other = {"loss_weight": columns["loss"] * 1.1}  # no part: no error stands beside it
    assert "residuals" in frontiers.find_optima(table.from_columns(**columns, **other)).noise.source


def test_intervals_hold_the_truth_and_both_methods():
    held = 0
    for seed in range(20):
        runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=7, noise=0.002, replicates=3, seed=seed)
        iso = frontiers.find_optima(runs, draws=300)
        found = frontiers.from_isoflop(iso)
        held += found.params_exponent.low <= TRUTH.exponents()[0] <= found.params_exponent.high
        for valley in iso.valleys:
            assert valley.low <= valley.params <= valley.high
            assert np.isnan(valley.other_params) or valley.low <= valley.other_params <= valley.high
    assert held >= 16


def test_budgets_by_column_by_list_and_by_gaps_are_the_same_groups():
    runs = synthetic.isoflop(TRUTH, BUDGETS)
    bare = table.from_columns(params=runs.params, tokens=runs.tokens, flops=runs.flops, loss=runs.loss)
    found = [
        frontiers.find_optima(runs),
        frontiers.find_optima(bare),
        frontiers.find_optima(bare, budgets=BUDGETS),
    ]
    for iso in found[1:]:
        assert [p.params for p in iso.valleys] == pytest.approx([p.params for p in found[0].valleys])
    with pytest.raises(ValueError, match="no run lies within 10 %"):
        frontiers.find_optima(runs, budgets=[1e20])
    smear = table.from_columns(params=np.geomspace(1e5, 1e7, 60), tokens=[1e8] * 60, loss=[3.0] * 60)
    with pytest.raises(ValueError, match="give --budgets"):
        frontiers.find_optima(smear)


@pytest.mark.parametrize(
    ("experiment", "published_a", "parabola_a"),
    [
        ("1_kaplan_repro", 0.835, 0.838),
        ("2_count_head", 0.700, 0.694),
        ("3_short_warmup", 0.606, 0.593),
        ("4_cosine_matched", 0.572, 0.549),
        ("5_tuned_const", 0.497, 0.500),
    ],
)
def test_porian_exponents(experiment, published_a, parabola_a):
    runs = table.read(published("porian_rw_isoflops.csv"), where=f"experiment == '{experiment}'")
    for method, value, tolerance in (("interpolate", published_a, 0.01), ("parabola", parabola_a, 0.03)):
        found = frontiers.from_isoflop(frontiers.find_optima(runs, method=method))
        assert found.params_exponent.value == pytest.approx(value, abs=tolerance)
        assert found.params_exponent.low < published_a < found.params_exponent.high


@pytest.mark.parametrize("window", [1.0, 1.5, 2.0])
def test_chinchilla_approach_2(window):
    runs = table.read(published("chinchilla_fig4.csv"), where="outlier == 0")
    budgets = [6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21]
    iso = frontiers.find_optima(runs, method="parabola", window=window, budgets=budgets)
    found = frontiers.from_isoflop(iso)
    assert found.params_exponent.value == pytest.approx(0.51, abs=0.03)
    assert found.tokens_exponent.value == pytest.approx(0.495, abs=0.03)


STEEP = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.5, beta=0.25)  # valleys far from symmetric


def checked(law=STEEP, method="parabola", window=2.0, noise=0.0, **design):
    runs = synthetic.isoflop(law, np.geomspace(1e18, 1e21, 5), noise=noise, **design)
    iso = frontiers.find_optima(runs, method=method, window=window, draws=20)
    return frontiers.from_isoflop(iso)


@pytest.mark.parametrize("centre", [0.4, 1.0, 2.5])
def test_the_bias_check_is_what_the_method_does_to_a_planted_law(centre):
    found = checked(centre=centre, sizes=9)
    check = found.bias_check
    assert check.status == "ok"
    assert check.a_from_law == pytest.approx(STEEP.exponents()[0], abs=1e-4)
    assert check.a_by_method == pytest.approx(found.params_exponent.value, abs=1e-4)
    planted = STEEP.optimum(found.flops[-1])[0]
    assert check.params_ratio == pytest.approx(found.params.value[-1] / planted, rel=1e-3)
    far = 1e24
    extended = found.at([far])[0].value / STEEP.optimum(far)[0]
    assert check.at([far]) == pytest.approx(extended, rel=2e-3)


def test_a_lopsided_ladder_biases_the_parabola_a_narrow_one_does_not_and_interpolation_hardly():
    wide, narrow = checked(sizes=9, span=40).bias_check, checked(sizes=9, span=2).bias_check
    low, high = (checked(sizes=6, centre=c).bias_check for c in (0.4, 2.5))
    assert wide.params_ratio > 1.05 and abs(wide.shift) < 2e-3
    assert abs(narrow.params_ratio - 1) < 0.005 and abs(narrow.shift) < 5e-4
    assert high.params_ratio < 0.97 and high.shift > 1e-3 > -1e-3 > low.shift
    for design in ({"span": 40}, {"centre": 2.5}, {"centre": 0.4}):
        smooth = checked(method="interpolate", sizes=9, **design).bias_check
        assert abs(smooth.params_ratio - 1) < 0.02 and abs(smooth.shift) < 5e-4


def test_noise_moves_the_exponent_but_hardly_its_bias():
    quiet, noisy = checked(sizes=9, centre=2.5), checked(sizes=9, centre=2.5, noise=0.002)
    assert noisy.params_exponent.value != pytest.approx(quiet.params_exponent.value, abs=1e-4)
    assert noisy.bias_check.shift == pytest.approx(quiet.bias_check.shift, abs=2e-3)
    assert noisy.bias_check.params_ratio == pytest.approx(quiet.bias_check.params_ratio, abs=0.02)


def test_without_a_law_the_bias_is_not_checked_and_that_is_said():
    one_size = frontiers.from_isoflop(frontiers.find_optima(synthetic.isoflop(TRUTH, [1e12], sizes=5)))
    check = one_size.bias_check
    assert check.status != "ok" and np.isnan([check.shift, check.params_ratio]).all()
    assert "not checked" in str(check) and "Chinchilla" in str(check)
    assert np.isnan(check.at([1e15])).all()


def test_the_interval_of_a_minimums_loss_reaches_to_both_sides_of_the_truth():
    """The least of noisy losses lies low; intervals that do not allow for it miss above alone."""
    gaps, missed, plain = [], [], []
    for seed in range(20):
        runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=6, noise=0.012, seed=seed)
        known = frontiers.Noise(0.012, 0, "planted")
        for p in frontiers.find_optima(runs, draws=100, seed=seed, noise=known).valleys:
            if p.status in ("ok", "flat"):
                gap = np.log(TRUTH.loss(*TRUTH.optimum(p.flops)) / p.loss)
                gaps.append((gap, p.sunk))
                missed.append(gap > np.log(p.loss_high / p.loss))
                plain.append(gap > np.log(p.loss_high / p.loss) - 2 * p.sunk)
    seen, told = np.mean(gaps, 0)
    assert seen > 0.003 and 0.5 < told / seen < 2
    assert np.mean(missed) < 0.12 < np.mean(plain)


@pytest.mark.parametrize(
    "more",
    [
        lambda c: {"val_ppl": np.exp(c["loss"])},
        lambda c: {"eval_accuracy": 1 / c["loss"]},
        lambda c: {"run_name": [f"r{i}" for i in range(len(c["loss"]))]},
        lambda c: {"train_hours": np.arange(1.0, 1 + len(c["loss"]))},
        lambda c: {"Seed": c.pop("seed")},
    ],
)
def test_seeds_are_told_whatever_else_was_measured(more):
    runs = synthetic.isoflop(TRUTH, BUDGETS, noise=0.01, replicates=4)
    columns = {name: runs.columns[name] for name in ("params", "tokens", "flops", "loss", "budget", "seed")}
    plain, other = seed_noise([table.from_columns(**columns)]), dict(columns)
    further = more(other)
    found = seed_noise([table.from_columns(**other, **further)])
    assert (found.sigma, found.freedom) == (plain.sigma, plain.freedom) and plain.freedom == 4
