"""Best learning rates: planted rules come back, with the coverage that intervals claim."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.frontiers import rates
from analysis.tables import table
from tests.conftest import change

RULE = {"params": -0.4, "tokens": -0.1, "batch_tokens": 0.3}
SIZES, LENGTHS, BATCHES = (3e4, 1e5, 4e5), (5e5, 2e6), (512, 2048)
TRIED = 0.001 * 2.0 ** np.arange(-1, 7)


def planted(place: dict[str, float]) -> float:
    return float(0.9 * np.prod([place[name] ** power for name, power in RULE.items()]))


def sweeps(
    noise: float, seed: int = 0, steep: float = 0.0, tried=TRIED, batches=BATCHES, short: float = 1.0
) -> dict[str, np.ndarray]:
    """A table of losses at rates around each cell's best; `steep`: how much faster it rises above; `short`:
    how many times as fast at the fewest tokens."""
    rng, rows = np.random.default_rng(seed), []
    for params in SIZES:
        for tokens in LENGTHS:
            for batch in batches:
                best = planted({"params": params, "tokens": tokens, "batch_tokens": batch})
                for rate in tried:
                    z = np.log(rate / best)
                    height = 0.03 * z**2 + steep * max(z, 0) ** 3
                    height *= short if tokens == LENGTHS[0] else 1.0
                    loss = (1.5 + 30 * params**-0.3) * np.exp(height + noise * rng.normal())
                    rows.append((params, tokens, batch, rate, loss))
    names = ("params", "tokens", "batch_tokens", "learning_rate", "loss")
    return dict(zip(names, np.array(rows).T, strict=True))


def test_a_planted_rule_comes_back_to_the_last_digits_without_noise():
    found = rates.best_rates(table.from_columns("planted", **sweeps(0.0)))
    assert found.status == "ok" and len(found.sweeps) == 12
    for name, band in found.rule.exponents().items():
        assert band.value == pytest.approx(RULE[name], abs=1e-5)
    far = {"params": 1e9, "tokens": 2e10, "batch_tokens": 1e6}
    assert found.rule.at(far).value == pytest.approx(planted(far), rel=1e-3)
    assert found.price(2) == pytest.approx(np.expm1(0.03 * np.log(2) ** 2), rel=1e-4)


def test_a_rate_is_found_by_its_own_name_and_by_the_usual_ones():
    columns = sweeps(0.0, batches=BATCHES[:1])
    columns["Peak learning rate"] = columns.pop("learning_rate")
    runs = table.from_columns("planted", **columns)
    for setting in ("learning_rate", "Peak learning rate", "peak learning rate"):
        assert rates.best_rates(runs, setting).setting == "Peak learning rate"


@pytest.mark.parametrize("noise, steep", [(0.003, 0.0), (0.01, 0.0), (0.005, 0.01)])
def test_intervals_hold_the_planted_exponents_and_the_rate_four_times_up(noise, steep):
    inside, far = [], {"params": 1.6e6, "tokens": 8e6, "batch_tokens": 2048}
    for seed in range(150):
        found = rates.best_rates(table.from_columns("planted", **sweeps(noise, seed, steep)))
        bands = [(band, RULE[name]) for name, band in found.rule.exponents().items()]
        if not steep:  # a lopsided valley moves all vertices alike
            bands.append((found.rule.at(far), planted(far)))
        inside += [band.low <= truth <= band.high for band, truth in bands]
    assert 0.92 <= np.mean(inside) <= 0.985, np.mean(inside)


def test_short_runs_that_pay_more_for_a_wrong_rate_do_not_bend_the_rule():
    found = rates.best_rates(table.from_columns("planted", **sweeps(0.0005, short=4.0, tried=TRIED[3:])))
    for name, band in found.rule.exponents().items():
        assert band.low < RULE[name] < band.high and band.value == pytest.approx(RULE[name], abs=0.02)


def test_a_best_outside_the_rates_tried_is_named_and_is_no_part_of_the_rule():
    found = rates.best_rates(table.from_columns("planted", **sweeps(0.001, tried=TRIED[:6])))
    for each in found.sweeps:
        over = planted(each.place) / TRIED[5]
        if not 0.95 < over < 1.05:
            assert (each.status == "edge") == (over > 1), each.place
    assert found.status == "ok" and "outside the rates tried" in found.message
    assert found.rule.exponents()["params"].value == pytest.approx(-0.4, abs=0.05)


def test_an_input_that_moves_with_another_has_no_exponent_of_its_own():
    columns = sweeps(0.001, batches=(512,))
    ray = np.isclose(columns["tokens"], 5e5)
    columns = {name: values[ray] for name, values in columns.items()}
    columns["tokens"] = 20 * columns["params"]
    found = rates.best_rates(table.from_columns("ray", **columns))
    assert found.rule.inputs == ("params",) and found.rule.along == ("tokens",)
    assert "tokens moved with params" in found.message


def test_losses_without_a_valley_give_no_rule():
    columns, statuses = sweeps(0.0), []
    for seed in range(30):
        loss = 2 + 0.01 * np.random.default_rng(seed).normal(size=len(columns["loss"]))
        found = rates.best_rates(table.from_columns("flat", **columns | {"loss": loss}))
        assert (found.rule is None) == (found.status != "ok")
        statuses.append(found.status)
    assert statuses.count("flat") >= 28


def test_one_size_and_length_give_their_best_rate_and_say_that_no_rule_follows(tmp_path, capsys):
    columns = sweeps(0.001, seed=1)
    one = (columns["params"] == 1e5) & (columns["tokens"] == 5e5) & (columns["batch_tokens"] == 512)
    path = tmp_path / "one.csv"
    lines = np.stack([values[one] for values in columns.values()], 1).tolist()
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in lines)]))
    assert main(["rates", str(path), "--json", str(tmp_path / "one.json")]) == 0
    out = json.loads((tmp_path / "one.json").read_text())
    (cell,) = out["cells"]
    truth = planted({"params": 1e5, "tokens": 5e5, "batch_tokens": 512})
    assert out["rule"] is None and out["status"] == "few"
    assert cell["best"]["low"] <= truth <= cell["best"]["high"]
    assert main(["rates", str(path), "--at", "params=1e9"]) == 1
    assert "no rule to carry on" in capsys.readouterr().err


def test_the_rates_trained_here_drift_as_parameterizations_say(tmp_path):
    path, out = "experiments/results/transfer.csv", tmp_path / "out.json"
    options = ["--where", "clip==0", "--by", "parameterization", "--figure", str(tmp_path / "x.png")]
    assert main(["rates", path, "--json", str(out), *options]) == 0
    standard, mup = (each["rule"]["exponents"]["params"]["value"] for each in json.loads(out.read_text()))
    assert standard < -0.4 and abs(mup) < 0.1, "params grow as width squared: width^-1, and not at all"
    assert (tmp_path / "x-mup.png").stat().st_size > 10_000


# --- lab rates -----------------------------------------------------------------------------------


def test_the_design_is_the_grid_s_smallest_at_rates_about_its_own(config):
    from lab.plan import grid, tuning

    shapes = [(1, 8, 1), (1, 12, 1), (1, 16, 1), (1, 64, 1)]
    cells = [
        grid.with_fields(
            config, {"model__d_model": width, "model__n_head": 1, "tokens": tokens, "budget": 1e9}
        )
        for _, width, _ in shapes
        for tokens in (2560, 5120)
    ]
    design = tuning.rate_design(cells, sizes=3, lengths=2, rates=5)
    assert sorted({run.model.d_model for run in design}) == [8, 12, 16]
    assert sorted({run.tokens for run in design}) == [2560, 4 * 2560]
    assert sorted({run.optim.learning_rate for run in design}) == [0.0025, 0.005, 0.01, 0.02, 0.04]
    assert len(design) == 3 * 2 * 5 and not any(run.budget for run in design)
    (more,) = tuning.wider(design, [{"params": tuning.params(cells[0].model), "tokens": 2560, "best": 0.1}])
    assert more.optim.learning_rate == 0.08 and more.tokens == 2560
    with pytest.raises(ValueError, match="three rates"):
        tuning.rate_design(cells, rates=2)


def test_of_models_of_equal_params_the_grid_s_first_is_tuned_in_every_process(config):
    from lab.plan import tuning

    several = itertools.product((1, 2), ("float32", "bfloat16"), ("standard", "mup"))
    names = "model__n_head", "model__dtype", "model__parameterization"
    alike = [change(config, **dict(zip(names, each, strict=True))) for each in several]
    assert len({tuning.params(run.model) for run in alike}) == 1
    for i in range(len(alike)):
        turned = alike[i:] + alike[:i]
        assert tuning.smallest(turned, 1) == [turned[0].model]


@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_failed_run_leaves_a_rule_of_the_others_and_is_the_exit_status(config, monkeypatch, fail_fast):
    from lab.commands import rates as command
    from lab.plan import tuning

    seen, edge = [], {"status": "edge", "best": {"value": 1.0}, "tokens": config.tokens}
    found = {"cells": [edge | {"params": tuning.params(config.model)}]}
    grid = SimpleNamespace(name="tiny", configs=lambda: [config])
    monkeypatch.setattr(command.shared, "open_grid", lambda options: (grid, None))
    monkeypatch.setattr(command, "train", lambda options, *_: (seen.append(options.retry) or 1, True))
    monkeypatch.setattr(command, "fitted", lambda *_: (found, "the rule"))
    monkeypatch.setattr(command, "show", lambda *_: 0)
    options = SimpleNamespace(
        sizes=1, lengths=1, batches=1, rates=3, plan=False, out=None, retry="failed", fail_fast=fail_fast
    )
    assert command.run(options) == 1
    assert seen == (["failed"] if fail_fast else ["failed", "", ""])


@pytest.mark.slow
def test_the_command_tunes_a_grid_and_carries_the_rule_to_its_largest_run(lab_command, tmp_path):
    from tests.grids import TINY

    said = lab_command("rates", TINY, "--lengths", 1, "--rates", 4).stdout
    out = json.loads((tmp_path / "out" / "tiny-rates" / "rates.json").read_text())
    assert len(out["cells"]) == 2 and (tmp_path / "out" / "tiny-rates" / "rates.png").exists()
    tried = {len(cell["rates"]) for cell in out["cells"]}
    assert "8/8 runs done" in said and max(tried) > 4, "one best lies outside: rates were added"
    assert (f"the rule's is {out['at'][0]['value']:.3g}" if out["at"] else "no rule for the grid's") in said
