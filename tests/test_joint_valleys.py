"""All valleys at once: what was planted comes back, intervals hold it, and the headline holds every way."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis import frontiers
from analysis.__main__ import main
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs
from bench.valleys import DESIGNS

A = 0.57  # the planted exponent
BUDGETS = 1e12 * 2.0 ** np.arange(4)


def planted(
    noise: float = 0.0,
    seed: int = 0,
    budgets=BUDGETS,
    reach: float = 1.2,
    sizes: int = 6,
    bend=0.05,
    lean=0.0,
):
    """Valleys of exactly the fitted form: least loss, 2 - 0.05·k nats, at ln N = 10 + A·ln(C / 1e12)."""
    rng, rows = np.random.default_rng(seed), []
    for k, c in enumerate(budgets):
        for z in np.linspace(-reach, reach, sizes):
            shift = np.log(c / budgets[0])
            log_loss = (
                np.log(2 - 0.05 * k) + bend * np.exp(-0.1 * shift) * z**2 / 2 + (0.004 + lean * k) * z**3
            )
            n = np.exp(10 + A * shift + z)
            rows.append((c, n, c / 6 / n, np.exp(log_loss + noise * rng.standard_normal())))
    budget, params, tokens, loss = np.array(rows).T
    return table.from_columns("planted", budget=budget, params=params, tokens=tokens, loss=loss)


def test_the_planted_valleys_come_back():
    iso = frontiers.find_optima(planted(), method="joint", draws=20)
    front = frontiers.from_isoflop(iso, frontiers.SIX)
    assert front.status == "ok" and front.params_exponent.value == pytest.approx(A, abs=1e-4)
    assert [v.params for v in iso.valleys] == pytest.approx(
        [np.exp(10 + A * np.log(2) * k) for k in range(4)], rel=1e-3
    )
    assert [v.loss for v in iso.valleys] == pytest.approx([2 - 0.05 * k for k in range(4)], rel=1e-5)
    assert iso.joint.theta[0, 3:] == pytest.approx([-0.1, 0.004], abs=1e-3)
    size, tokens, _ = front.at([1.6e13])
    assert size.value[0] == pytest.approx(np.exp(10 + A * np.log(16)), rel=1e-3)
    assert 6 * size.value[0] * tokens.value[0] == pytest.approx(1.6e13, rel=1e-3)


def test_its_intervals_hold_the_exponent_about_as_often_as_they_say():
    inside, widths = [], []
    for seed in range(60):
        iso = frontiers.find_optima(planted(0.004, seed), method="joint", draws=100)
        low, high = np.percentile(iso.joint.theta[1:, 1], [2.5, 97.5])
        inside.append(low <= A <= high)
        widths.append(high - low)
    assert 0.88 <= np.mean(inside) <= 1.0
    assert 0.05 < np.median(widths) < 0.3


def test_misfit_widens_and_seeds_that_say_more_are_counted_in():
    quiet, loud = (frontiers.find_optima(planted(s), method="joint", draws=100) for s in (0.001, 0.01))
    assert loud.noise.sigma > 5 * quiet.noise.sigma
    runs = planted(0.001)
    seeds = np.zeros(len(runs), int)
    columns = {name: np.append(runs.columns[name], runs.columns[name][:1]) for name in runs.columns}
    columns["loss"][-1] *= 1.05
    twice = table.from_columns("twice", **columns, seed=np.append(seeds, 1))
    iso = frontiers.find_optima(twice, method="joint", draws=100)
    assert "differ only in seed" in iso.noise.source and iso.noise.sigma > 5 * quiet.noise.sigma


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        (planted(budgets=BUDGETS[:1]), "few"),  # one budget has no exponent
        (planted(budgets=BUDGETS[:3], sizes=3), "few"),  # 9 points for 8 numbers
        (planted(0.02, bend=0.001, reach=0.3), "flat"),
    ],
    ids=["one budget", "few points", "no bend"],
)
def test_what_cannot_be_fitted_says_so(runs, status):
    iso = frontiers.find_optima(runs, method="joint", draws=50)
    front = frontiers.from_isoflop(iso, frontiers.SIX)
    assert front.status == status and {v.status for v in iso.valleys} == {status}
    assert status == "flat" or not np.isfinite(front.params_exponent.value)


def test_a_minimum_beyond_the_sizes_is_an_edge():
    runs = planted()
    small = runs.select(runs.params < np.exp(10 + 0.7 * np.log(runs.budget / 1e12)) * 0.95)
    words = [v.status for v in frontiers.find_optima(small, method="joint", draws=20).valleys]
    assert words[0] == "edge" and "largest" in str(
        frontiers.find_optima(small, method="joint", draws=20).valleys[0].message
    )


@pytest.mark.parametrize("level", [lambda flops: 3 + 0 * flops, lambda flops: 3 - 0.1 * np.log(flops / 1e12)])
def test_losses_that_do_not_depend_on_size_have_no_valley(level):
    runs = planted(noise=0.01)
    same = table.from_columns(
        "same", budget=runs.budget, params=runs.params, tokens=runs.tokens, loss=level(runs.budget)
    )
    iso = frontiers.find_optima(same, method="joint", draws=20)
    assert {valley.status for valley in iso.valleys} == {"flat"}


def simulated(name: str, noise: float | None = None, seed: int = 0) -> tuple[Chinchilla, Runs]:
    law, columns, usual = DESIGNS[name]
    gaps = np.random.default_rng(seed).standard_normal(len(columns["params"]))
    loss = law.loss(columns["params"], columns["tokens"]) * np.exp((usual if noise is None else noise) * gaps)
    return law, table.from_columns("simulated", loss=loss, **columns)


def test_the_rule_takes_the_least_expected_error_and_its_interval_holds_every_defensible_way():
    law, runs = simulated("plain")
    choice = frontiers.choose_valleys(runs, frontiers.SIX, draws=200)
    assert choice.chosen.method == "joint" == min(choice.ways, key=lambda way: way.error).method
    a = choice.frontier.params_exponent
    for way in choice.defensible:
        assert way.error <= 3 * choice.chosen.error
        assert a.low <= way.front.params_exponent.value <= a.high
        size = way.front.at([1e14])[0].value[0]
        held = choice.frontier.at([1e14])[0]
        assert held.low[0] <= size * (1 + 1e-9) and size <= held.high[0] * (1 + 1e-9)
    assert a.value == choice.chosen.front.params_exponent.value
    assert a.low <= law.exponents()[0] <= a.high


@pytest.mark.parametrize(("noise", "chosen"), [(1e-6, "parabola"), (None, "joint")])
def test_bias_decides_where_noise_is_small_and_noise_where_it_is_large(noise, chosen):
    """Lopsided valleys, whose lean changes with compute: the joint form is off by .01, and sharp."""
    _, runs = simulated("lopsided", noise)
    assert frontiers.choose_valleys(runs, frontiers.SIX, draws=100).chosen.method == chosen


def test_ways_that_differ_by_more_than_the_noise_are_said_to():
    """Valleys that lean ever more have their parabolas' bottoms ever further off, which no law tells."""
    choice = frontiers.choose_valleys(planted(1e-4, reach=0.9, sizes=9, lean=0.005), frontiers.SIX, draws=100)
    a = choice.frontier.params_exponent
    assert a.value < A - 0.05 and a.low <= A <= a.high, "interpolation alone has it"
    assert choice.beyond_noise and "MORE than the noise" in str(choice)
    choice = frontiers.choose_valleys(simulated("plain")[1], frontiers.SIX, draws=100)
    assert not choice.beyond_noise and "within the noise" in str(choice)


def write_simulated(file: Path) -> Path:
    """The plain simulated grid as a table."""
    _, runs = simulated("plain")
    names = ("budget", "params", "tokens", "loss")
    rows = zip(*(runs.columns[name] for name in names), strict=True)
    file.write_text("\n".join([",".join(names), *(",".join(map(repr, map(float, row))) for row in rows)]))
    return file


def test_the_valley_that_is_asked_for_is_shown_else_the_favoured_one(tmp_path, capsys):
    file = write_simulated(tmp_path / "runs.csv")
    for command, option in (("frontier", "--valley"), ("isoflop", "--method")):
        further = ["--method", "isoflop"] if command == "frontier" else []
        for asked, shown in ((None, "joint"), ("interpolate", "interpolate"), ("parabola", "parabola")):
            main([command, str(file), *further, *([option, asked] if asked else [])])
            assert f"frontier by isoflop, {shown}" in capsys.readouterr().out, (command, asked)


def test_the_command_line_keeps_its_numbers_and_adds_a_headline(tmp_path, capsys):
    file = write_simulated(tmp_path / "runs.csv")
    out = tmp_path / "out.json"
    for valley in ("interpolate", "joint"):
        main(
            [
                "frontier",
                str(file),
                "--method",
                "isoflop",
                "--valley",
                valley,
                "--at",
                "1e13",
                "--json",
                str(out),
                "-v",
            ]
        )
        said = json.loads(out.read_text())
        (said,) = said if isinstance(said, list) else [said]
        assert said["method"] == f"isoflop, {valley}"
        front = frontiers.from_isoflop(frontiers.find_optima(table.read(file), method=valley))
        assert said["params_exponent"]["value"] == front.params_exponent.value
        head = said["headline"]
        assert head["chosen"] == "joint" and len(head["points"]) == 1
        assert {way["method"] for way in head["ways"]} == {"interpolate", "parabola", "joint"}
        assert "headline" in capsys.readouterr().out
