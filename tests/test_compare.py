import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.commands import compare_answer
from analysis.decisions.compare import compare
from analysis.decisions.fairness import comparable
from analysis.decisions.ladders import join
from analysis.fitting import Band
from analysis.laws import Chinchilla
from analysis.tables import table
from bench.compare import BASE, cells, multiple

BETTER = replace(BASE, A=0.94 * BASE.A, B=0.92 * BASE.B)


def ladder(law: Chinchilla, noise: float = 0.0, number: int = 0, luck=None, **columns):
    n, d = cells(4, 5)
    luck = np.random.default_rng(number).standard_normal(len(n)) if luck is None else luck
    loss = law.loss(n, d) * np.exp(noise * luck)
    return table.from_columns("drawn", params=n, tokens=d, flops=6 * n * d, loss=loss, **columns)


def compared(base, arm, **options):
    return compare(join(base, arm, ("base", "arm")), draws=200, **options)


def write(path: Path, runs, **more) -> Path:
    columns = {name: runs.column(name) for name in ("params", "tokens", "flops", "loss") if runs.has(name)}
    columns |= {name: np.full(len(runs), value, object) for name, value in more.items()}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments) -> int:
    return main(["compare", *map(str, arguments), "--draws", "200"])


def test_a_planted_multiplier_comes_back_at_every_budget_and_beyond():
    found = compared(ladder(BASE, 1e-5), ladder(BETTER, 1e-5, 1), at=[1e15])
    for row in found.budgets:
        assert row.compute.value == pytest.approx(multiple(BETTER, row.flops), rel=1e-3)
    assert found.budgets[-1].extrapolated and not found.answer.extrapolated
    assert found.status == "ok" and found.shared == {"exponents": True, "floor": True}


def test_multipliers_of_tokens_and_params_reach_the_loss_of_the_arm():
    found = compared(ladder(BASE, 1e-5), ladder(BETTER, 1e-5, 1)).answer
    n, d = BETTER.optimum(found.flops)
    for tokens, params in ((found.tokens.value, 1), (1, found.params.value)):
        assert BASE.loss(n * params, d * tokens) == pytest.approx(BETTER.loss(n, d), rel=1e-4)


def test_a_drift_is_told_with_its_sign_and_where_the_arms_cross():
    n, d = 3e5, 5e6  # better below, worse above
    drifting = replace(BASE, beta=0.30, alpha=0.36)
    drifting = replace(drifting, A=BASE.A * n ** (0.36 - 0.4), B=BASE.B * d ** (0.30 - 0.36))
    found = compared(ladder(BASE, 0.001), ladder(drifting, 0.001, 1))
    assert found.trend.value < 0.95 and found.trend_p < 0.05 and not found.shared["exponents"]
    assert multiple(drifting, found.crossing.value) == pytest.approx(1, abs=0.1)
    assert found.crossing.low < found.crossing.value < found.crossing.high


def test_equal_arms_are_worth_one_and_turned_round_the_multiplier_inverts():
    same = compared(ladder(BASE, 0.004), ladder(BASE, 0.004)).answer.compute
    assert same.value == pytest.approx(1, rel=1e-6) and same.low <= 1 <= same.high
    there = compared(ladder(BASE, 0.003), ladder(BETTER, 0.003, 1)).answer.compute
    back = compared(ladder(BETTER, 0.003, 1), ladder(BASE, 0.003)).answer.compute
    assert there.value * back.value == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("number", [3, 10, 45])
def test_a_floor_that_noise_made_leaves_equal_arms_equal_far_beyond(number):
    """One pair in twenty: floors are told apart at p < .05, and alone they made one arm worth up to 4.4 times
    (1.4 to 28) the other's compute."""
    arms = (ladder(BASE, 0.004, 2 * number + i) for i in range(2))
    found = compared(*arms, at=[1e15])
    beyond = found.budgets[-1].compute
    assert not found.shared["floor"] and not 0.5 < beyond.value < 2
    assert beyond.low < 1 < beyond.high and found.trend_p > 0.05


def test_runs_that_share_their_luck_are_drawn_as_pairs_and_tell_more():
    luck = np.random.default_rng(5).standard_normal(20)
    own = np.random.default_rng(6).standard_normal(20)
    widths = []
    for seed in (0.0, 1.0):  # of the arm; another seed is no pair
        arm = ladder(BETTER, 0.005, luck=luck + 0.1 * own, seed=np.full(20, seed))
        found = compared(ladder(BASE, 0.005, luck=luck, seed=np.zeros(20)), arm)
        widths.append(np.log(found.answer.compute.high / found.answer.compute.low))
        assert found.pairs == (20 if not seed else 0)
    assert widths[0] < 0.4 * widths[1]


def test_a_form_that_misses_the_best_runs_is_not_believed():
    n, d = np.meshgrid(np.geomspace(1e4, 3e6, 9), 1e12 * 3.0 ** np.arange(8), indexing="ij")
    n, flops = n.ravel(), d.ravel()
    d = flops / 6 / n
    arms = []
    for scale in (1.0, 1.05):  # far from the best no law holds: losses rise with the square of the distance
        best, _ = BASE.optimum(flops)
        frontier = BASE.loss(*BASE.optimum(flops * scale))
        loss = frontier * np.exp(0.02 * np.log(n / best) ** 2)
        keep = np.abs(np.log(n / best)) < 4
        columns = {"params": n, "tokens": d, "flops": flops, "loss": loss}
        arms.append(table.from_columns("bent", **{name: c[keep] for name, c in columns.items()}))
    found = compared(*arms)
    assert found.answer.compute.low < 1.05 < found.answer.compute.high
    assert found.answer.compute.value == pytest.approx(1.05, abs=0.04)
    assert any("best" in note for note in found.notes)


def test_three_cells_do_not_tell_a_law_of_params_and_tokens_and_are_compared_by_compute():
    """Rungs of one design, about one ratio but not on a straight ray: five parameters through three points
    once answered 1.4e-4 times the compute for an arm that was ahead on every rung."""
    n, d = np.array([4e3, 1.1e4, 3.3e4]).repeat(2), np.array([2e5, 6e5, 1e6]).repeat(2)
    luck = 1 + 0.002 * np.random.default_rng(0).standard_normal((2, 6))
    arms = [
        table.from_columns("drawn", params=n, tokens=d, flops=6 * n * d, loss=law.loss(n, d) * each)
        for law, each in zip((BASE, BETTER), luck, strict=True)
    ]
    found = compared(*arms)
    assert "3 pairs of params and tokens, too few for a law" in " ".join(found.notes)
    assert 1 < found.answer.compute.value < 3


def recipe(path: Path, scale: float, budgets=(1e18, 1e19, 1e20)) -> Path:
    lines = [f"{c:g},{1.6 + 60 * (scale * c) ** -0.1:.5f}" for c in budgets]
    path.write_text("\n".join(["flops,loss", *lines]) + "\n")
    return path


def test_three_budgets_of_compute_alone_are_answered_with_a_floor_or_refused_with_what_is_missing(
    tmp_path, capsys
):
    old, new = recipe(tmp_path / "old.csv", 1), recipe(tmp_path / "new.csv", 2)
    assert run(old, new, "--fix", "E=1.6", "--at", "1e22", "--json", tmp_path / "o.json") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("new is worth 2 times the compute of old (")
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["status"] == "few" and {"budgets", "trend", "shared", "status"} <= set(found)
    for row in found["budgets"]:
        assert row["multiplier"] == pytest.approx(2, rel=0.01) and row["low"] <= 2 <= row["high"]
    two = [recipe(tmp_path / f"{name}.csv", scale, (1e18, 1e19)) for name, scale in (("a", 1), ("b", 2))]
    assert run(*two) == 1
    said = capsys.readouterr().err
    assert "4 runs for 4 coefficients" in said and "--fix E=" in said
    assert run(*two, "--fix", "E=9") == 1 and "not below the least loss" in capsys.readouterr().err


def test_an_arm_that_the_baseline_never_reaches_fails_without_a_warning():
    rng, arms = np.random.default_rng(0), []
    for flops, floor in ((np.geomspace(1e16, 1e18, 8), 2.8), (np.geomspace(1e19, 1e21, 8), 1.6)):
        loss = (floor + 60 * flops**-0.1) * np.exp(0.01 * rng.standard_normal(8))
        arms.append(table.from_columns("drawn", flops=flops, loss=loss))
    with np.errstate(invalid="raise"):
        found = compared(*arms)
    assert found.status == "failed" and found.answer.compute.value == np.inf and np.isnan(found.seeds)
    assert ": no multiplier at 1e21 FLOPs: the baseline never reaches" in found.headline


def test_arms_of_one_table_each_against_the_baseline_with_wider_intervals(tmp_path, capsys):
    paths = [
        write(tmp_path / f"{i}.csv", ladder(law, 0.004, i), way=name)
        for i, (name, law) in enumerate({"plain": BASE, "good": BETTER, "same": BASE}.items())
    ]
    head, *rest = (path.read_text().splitlines() for path in paths)
    whole = tmp_path / "all.csv"
    whole.write_text("\n".join([*head, *(line for lines in rest for line in lines[1:])]) + "\n")
    assert run(whole, "--arm", "way", "--baseline", "plain", "--json", tmp_path / "o.json") == 0
    found = json.loads((tmp_path / "o.json").read_text())
    assert [each["arm"] for each in found] == ["good", "same"] and found[0]["level"] == 0.975
    assert run(whole, "--arm", "way", "--where", "way!='same'", "--json", tmp_path / "one.json") == 0
    one = json.loads((tmp_path / "one.json").read_text())
    wide, narrow = (each["budgets"][-1]["high"] / each["budgets"][-1]["low"] for each in (found[0], one))
    assert wide > narrow
    capsys.readouterr()
    assert run(whole) == 1 and "--arm COL" in capsys.readouterr().err
    assert run(whole, "--arm", "way", "--baseline", "nobody") == 1


def test_losses_that_do_not_compare_are_refused_or_corrected(tmp_path, capsys):
    base, arm = ladder(BASE, 0.003), ladder(BETTER, 0.003, 1)
    a = write(tmp_path / "a.csv", base, eval_set="wiki")
    b = write(tmp_path / "b.csv", arm, eval_set="code")
    assert run(a, b) == 1 and "eval_set (wiki and code)" in capsys.readouterr().err
    assert run(a, b, "--anyway") == 0 and "CAUTION" in capsys.readouterr().out
    for path, runs, unit in ((a, base, "bits/token"), (b, arm, "nats/token")):
        text = write(path, runs).read_text()
        path.write_text(text.replace("loss", f"loss ({unit})", 1))
    assert run(a, b) == 1 and "bits/token and nats/token do not compare" in capsys.readouterr().err
    write(b, arm)
    assert run(a, b) == 0 and "of b state no unit" in " ".join(capsys.readouterr().out.split())
    a = write(tmp_path / "a.csv", base, tokenizer="bytes")
    b = write(tmp_path / "b.csv", arm, tokenizer="bpe")
    assert run(a, b) == 1 and "bits_per_byte" in capsys.readouterr().err
    for path, runs, name, factor in ((a, base, "bytes", 1.0), (b, arm, "bpe", 3.0)):  # longer tokens
        runs = runs.with_column("loss", runs.loss * factor, "of its tokens")
        lines = write(path, runs, tokenizer=name).read_text().splitlines()
        bits = [f"{line},{loss / factor:.6f}" for line, loss in zip(lines[1:], runs.loss, strict=True)]
        path.write_text("\n".join([lines[0] + ",bits_per_byte", *bits]) + "\n")
    assert run(a, b, "--json", tmp_path / "o.json") == 0
    found = json.loads((tmp_path / "o.json").read_text())["budgets"][-1]
    assert found["low"] < multiple(BETTER, found["flops"]) < found["high"]


def test_unequal_budgets_and_unequal_tuning_are_said(tmp_path, capsys):
    n, d = cells(4, 5)
    arm = table.from_columns(
        "more", params=n, tokens=1.1 * d, flops=6.6 * n * d, loss=BETTER.loss(n, 1.1 * d)
    )
    base = ladder(BASE, 0.003)
    found = compared(base, arm)
    assert any("+10.0 %" in note for note in found.notes)
    assert found.answer.compute.value == pytest.approx(multiple(BETTER, found.answer.flops), rel=0.03)
    a, b = (
        write(tmp_path / "a.csv", base, lr=0.1),
        write(tmp_path / "b.csv", ladder(BETTER, 0.003, 1), lr=0.1),
    )
    lines = b.read_text().splitlines()
    b.write_text("\n".join([*lines, *(line.rpartition(",")[0] + ",0.2" for line in lines[1:])]) + "\n")
    assert run(a, b, "--best-of", "cell") == 0
    assert run(a, b) == 0 and "b had 2 values of lr tried a cell" in " ".join(capsys.readouterr().out.split())


def test_arms_that_tried_several_rates_are_compared_at_their_best(tmp_path, capsys):
    """Whether both are in one table or not, and of one table within each arm: none loses its runs to the
    better one."""
    lines = ["arm,lr,params,tokens,flops,loss"]
    for arm, law in (("base", BASE), ("better", BETTER)):
        runs = ladder(law, 1e-5)
        for lr, worse in ((0.01, 1.0), (0.02, 1.04), (0.005, 1.1)):
            rows = zip(runs.params, runs.tokens, runs.flops, worse * runs.loss, strict=True)
            lines += [f"{arm},{lr},{n},{d},{c},{loss}" for n, d, c, loss in rows]
    whole, out = tmp_path / "whole.csv", tmp_path / "out.json"
    whole.write_text("\n".join(lines) + "\n")
    for options in ([], ["--best-of", "cell"]):
        assert run(whole, "--arm", "arm", *options, "--json", out) == 0
        found = json.loads(out.read_text())["budgets"][-1]
        assert found["multiplier"] == pytest.approx(multiple(BETTER, found["flops"]), rel=1e-3)
    assert "the best run of each" in " ".join(capsys.readouterr().out.split())


def test_a_multiplier_of_time_takes_speeds_that_are_steady_within_a_size():
    def timed(law, *seeds):  # each two speeds in a thousand tokens a second, of the first size and the others
        n, d = (np.repeat(each, 2) for each in cells(4, 5))
        pace = np.concatenate([seeds[0], np.resize(seeds[-1], len(n) - 2)])
        return table.from_columns(
            "timed", params=n, tokens=d, flops=6 * n * d, loss=law.loss(n, d), tokens_per_second=pace
        )

    base = timed(BASE, [10, 15])
    joined = join(base, timed(BETTER, [5, 7.5]), ("base", "arm"))
    assert joined.speed == pytest.approx(0.5) and not joined.notes
    joined = join(base, timed(BETTER, [9.078, 76.544], [5, 5]), ("base", "arm"))
    assert joined.speed is None and joined.notes[0].startswith("no multiplier of time, ")
    assert "runs of arm of one size did from" in joined.notes[0]


def test_single_curves_are_compared_by_steps_to_equal_loss(tmp_path, capsys):
    for name, speed in (("slow", 1.0), ("fast", 2.0)):
        lines = [f"{step},{2 + 30 * (speed * step) ** -0.5:.6f}" for step in range(10, 2000, 10)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["step,loss", *lines]) + "\n")
    assert run(tmp_path / "slow.csv", tmp_path / "fast.csv", "--json", tmp_path / "o.json") == 0
    said = capsys.readouterr().out
    assert said.startswith("fast reaches slow's losses 2 times as fast in step")
    assert f"Next: python -m analysis speedup {tmp_path / 'slow.csv'} {tmp_path / 'fast.csv'}" in said
    assert run(tmp_path / "slow.csv", tmp_path / "fast.csv", "-o", tmp_path / "o.html", "--at", "1e18") == 1
    assert "--output and --at: for ladders of runs" in capsys.readouterr().err
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["status"] == "few" and found["budgets"][-1]["multiplier"] == pytest.approx(2, rel=0.03)


def test_the_figure_is_drawn(tmp_path):
    a = write(tmp_path / "a.csv", ladder(BASE, 0.003))
    b = write(tmp_path / "b.csv", ladder(BETTER, 0.003, 1))
    assert run(a, b, "--figure", tmp_path / "f.svg", "--at", "1e15") == 0
    assert "Compute multiplier of b" in (tmp_path / "f.svg").read_text()


def test_what_is_said_of_both_arms_is_said_once():
    columns = {"params": [1e6, 2e6] * 2, "tokens": [1e8, 1e8, 2e8, 2e8], "loss": [3.0, 2.9, 2.8, 2.7]}
    columns["code"] = np.array(["old", "new"] * 2, object)
    _, notes = comparable((table.from_columns(**columns),) * 2, ("base", "arm"))
    assert next(note for note in notes if "2 values of code" in note).startswith("base and arm: ")
    assert sum("2 values of code" in note for note in notes) == 1


def test_the_page_holds_the_answer_with_its_cautions_and_escapes_names(tmp_path, capsys):
    a = write(tmp_path / "a.csv", ladder(BASE, 0.003))
    b = write(tmp_path / "b<i>.csv", ladder(BETTER, 0.003, 1))
    known = ("--caution", "b trains at an end", "--json", tmp_path / "o.json")
    assert run(a, b, "-o", tmp_path / "page.html", *known) == 0
    said = capsys.readouterr().out
    assert "CAUTION     b trains at an end" in said and "its loss" in said
    assert all(str(path) in shlex.split(said.splitlines()[-1]) for path in (a, b))
    assert json.loads((tmp_path / "o.json").read_text())["cautions"] == ["b trains at an end"]
    html = (tmp_path / "page.html").read_text()
    assert '<div class="answer warn"><p>b trains at an end</p>' in html
    assert "b&lt;i&gt; is worth" in html and "b<i>" not in html and "data:image/svg" in html


def test_a_best_size_that_none_was_trained_near_is_an_edge():
    n, flops = np.tile(np.array([6.0, 8.0, 11.0, 15.0]), 4), np.repeat(1e12 * 3.0 ** np.arange(4), 4)
    n = n * BASE.optimum(flops.max())[0]
    arms = []
    for law, number in ((BASE, 0), (BETTER, 1)):
        luck = np.random.default_rng(number).standard_normal(len(n))
        loss = law.loss(n, flops / 6 / n) * np.exp(0.0005 * luck)
        arms.append(table.from_columns("large", params=n, tokens=flops / 6 / n, flops=flops, loss=loss))
    found = compared(*arms)
    assert found.status == "edge" and "add sizes" in found.message


@pytest.mark.parametrize(
    ("low", "high", "largest", "grade", "surer"),
    [
        (1.2, 1.6, 1e12, "strong", "more seeds of both arms"),
        (1.2, 1.6, 1e11, "moderate", "runs of base at 1.4e11 FLOPs"),  # its curve is read beyond them
        (1.2, 4.5, 1e12, "moderate", "more seeds of both arms"),
        (1.2, 5.0, 1e12, "weak", "more seeds of both arms"),
        (0.9, 1.2, 1e12, "weak", "7 times these runs"),
    ],
)
def test_evidence_is_graded_by_what_is_known_of_the_size_and_advice_mends_it(
    low, high, largest, grade, surer
):
    each = SimpleNamespace(
        answer=SimpleNamespace(compute=Band(1.4, low, high), flops=1e11),
        ladders=SimpleNamespace(runs=[SimpleNamespace(flops=np.array([1e10, largest]))]),
        baseline="base",
        status="ok",
        seeds=7.0,
        trend_p=0.5,
    )
    assert compare_answer.grade(each) == grade and compare_answer.surer(each).startswith(surer)
    each.status = "few"
    assert compare_answer.grade(each) == "weak"
