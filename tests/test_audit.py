"""Each defect planted in a clean table is found, and nothing else is."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.audit import Audit, audit, audit_runs, design, forecast, valleys
from analysis.audit.findings import LONGEST, SEVERITIES, WORDS, Finding, headline_of, in_short, verdict_of
from analysis.audit.neighbourhood import neighbourhood, refit_beside
from analysis.audit.parameters import parameter_profiles
from analysis.audit.rows import levels
from analysis.fitting import fit
from analysis.frontiers.replicates import seed_noise
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.kinds import clusters
from bench import synthetic

TRUTH = Chinchilla(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.36)
BUDGETS = np.geomspace(1e18, 1e21, 7)
NOISE = 0.003


def grid(**options) -> dict[str, np.ndarray]:
    """Columns of a clean isoFLOP grid of 66 runs: seven budgets, nine sizes, four equal seeds."""
    options = {"sizes": 9, "span": 30.0, "noise": NOISE, "replicates": 3, **options}
    runs = synthetic.isoflop(TRUTH, BUDGETS, **options)
    return {name: column for name, column in runs.columns.items() if name != "epochs"}


def looked(columns: dict, **options) -> Audit:
    return audit_runs(table.from_columns("planted", **columns), **{"resamples": 60, **options})


def severity(found: Audit) -> dict[str, str]:
    return {finding.code: finding.severity for finding in found.findings}


def against(found: Audit) -> set[str]:
    return {f.code for f in found.findings if f.severity in ("warn", "refuse")}


def message(found: Audit, code: str) -> str:
    return next(f.message for f in found.findings if f.code == code)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_table_is_ok(seed):
    found = looked(grid(seed=seed))
    assert found.verdict == "ok" and not against(found)
    assert set(severity(found)) == set(WORDS) - {"extrapolation", "sample"}
    assert severity(found)["noise"] == "ok"
    assert found.headline().startswith("Nothing found against it")


def test_a_clean_table_without_noise_is_ok():
    assert looked(grid(noise=0.0, replicates=0)).verdict == "ok"


def scaled(columns: dict, rows, factor) -> dict:
    return {**columns, "loss": np.where(rows, columns["loss"] * factor, columns["loss"])}


def ray(columns):
    tokens = 20 * columns["params"]
    return {"params": columns["params"], "tokens": tokens, "loss": TRUTH.loss(columns["params"], tokens)}


def one_budget(columns):
    return {name: column[columns["budget"] == BUDGETS[3]] for name, column in columns.items()}


def one_size(columns):
    return {
        "params": np.full(8, 1e8),
        "tokens": np.geomspace(1e9, 1e11, 8),
        "loss": TRUTH.loss(1e8, np.geomspace(1e9, 1e11, 8)),
    }


def three_sizes(columns):
    n, d = (m.ravel() for m in np.meshgrid([1e7, 1e8, 1e9], np.geomspace(1e9, 1e12, 8)))
    noise = np.exp(1e-4 * np.random.default_rng(0).standard_normal(24))
    return {"params": n, "tokens": d, "loss": TRUTH.loss(n, d) * noise}


def at_random(columns, share: float):
    return np.random.default_rng(1).random(len(columns["loss"])) < share


def curves(columns):
    ids = np.array([f"{params:.6g}" for params in columns["params"]], object)
    ids[::2] = [f"{i}" for i in range(len(ids[::2]))]
    again = {name: np.repeat(column, 2) for name, column in columns.items() if name != "seed"}
    again["tokens"] = again["tokens"] * np.tile([1.0, 0.9], len(ids))
    again["flops"] = 6 * again["params"] * again["tokens"]
    again["loss"] = TRUTH.loss(again["params"], again["tokens"]) * np.repeat(
        columns["loss"] / TRUTH.loss(columns["params"], columns["tokens"]), 2
    )
    return again


PLANTED = {
    "one-ray": (ray, set()),
    "one-ray (a budget)": (one_budget, {"few-levels"}),
    "one-ray (a size)": (one_size, set()),
    "few-levels": (three_sizes, set()),
    "edge": (lambda c: grid(centre=25.0), {"flat-profile", "condition"}),
    "repeated": (lambda c: {**c, "epochs": c["tokens"] / np.median(c["tokens"])}, set()),
    "mixed": (lambda c: {**c, "corpus": np.array(["a", "b"] * 33, object)}, {"edge"}),
    "mixed (rates)": (lambda c: {**c, "learning_rate": np.arange(66.0) % 2}, {"edge"}),
    "mid-curve": (curves, {"hold-out"}),
    "unfinished": (
        lambda c: {**c, "status": np.where(at_random(c, 0.2), "diverged", "done").astype(object)},
        {"edge"},
    ),
    "units": (
        lambda c: {
            n: v / 1e9 if n == "params" else v for n, v in c.items() if n != "flops" and n != "budget"
        },
        set(),
    ),
    "units (logarithm)": (
        lambda c: {n if n != "loss" else "loss (log)": v if n != "loss" else np.log(v) for n, v in c.items()},
        {"bend", "hold-out"},
    ),
    "repeated (of a set)": (
        lambda c: (
            {n if n != "tokens" else "dataset_size": v for n, v in c.items() if n != "flops"}
            | {"epochs": np.full(66, 4.0), "dataset_size": c["tokens"] / 4}
        ),
        {"approaches", "edge"},
    ),
    "conventions": (
        lambda c: {**c, "flops": c["flops"] * np.where(np.arange(66) == 9, 100, 1)},
        {"hold-out", "approaches"},
    ),
    "conventions (per token)": (lambda c: {**c, "flops": c["flops"] / c["tokens"]}, {"approaches", "edge"}),
    "countings": (
        lambda c: {**c, "non_embedding_params": c["params"] - 0.7 * np.sqrt(c["params"] * c["params"].min())},
        set(),
    ),
    "hold-out": (lambda c: scaled(c, c["budget"] == BUDGETS[-1], 1.02), {"influence", "objectives", "bend"}),
    "outliers": (
        lambda c: scaled(c, at_random(c, 0.15), 1.3),
        {"objectives", "edge", "approaches", "noise", "hold-out"},
    ),
    "objectives": (
        lambda c: scaled(c, np.argsort(np.argsort(c["params"])) < 3, 1.3),
        {"outliers", "edge", "approaches", "hold-out"},
    ),
    "noise": (
        lambda c: scaled(
            c,
            np.ones(66, bool),
            np.exp(
                0.02 * np.sin(2.5 * np.log(c["params"] * c["tokens"]) + np.log(c["params"] / c["tokens"]))
            ),
        ),
        {
            "objectives",
            "hold-out",
            "influence",
            "edge",
            "approaches",
            "flat-profile",
            "outliers",
            "floor-against-exponent",
        },
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found_and_no_other(name):
    plant, also = PLANTED[name]
    code = name.split(" ")[0]
    found = looked(plant(grid()))
    assert code in against(found), severity(found)
    assert against(found) <= {code, *also}
    assert found.verdict == ("refuse" if code == "one-ray" or "per token" in name else "warn")
    assert WORDS[code] in found.headline() and WORDS[code] in found.badge()


def test_a_ray_is_named_and_nothing_is_fitted_to_it():
    found = looked(ray(grid()))
    assert "one ray" in message(found, "one-ray") and found.fitted is None
    assert "one budget" in message(looked(one_budget(grid())), "one-ray")
    assert "same params" in message(looked(one_size(grid())), "one-ray")


def test_rows_of_one_curve_are_told_with_the_option_that_resamples_curves():
    assert "(--cluster run_id)" in message(looked(curves(grid())), "mid-curve")


def test_edges_are_named_by_budget():
    found = looked(grid(centre=25.0))
    told = message(found, "edge")
    for budget in BUDGETS:
        assert f"{budget:.3g} (smallest)" in told


def test_bits_among_nats_are_guessed():
    table = grid()
    found = looked(scaled(table, at_random(table, 0.15), 1 / np.log(2)))
    assert "1/ln 2: bits?" in message(found, "outliers")
    assert found.verdict == "refuse" and "bits beside nats" in message(found, "fit")


def test_one_scale_that_bends_the_law_is_named():
    sizes = np.geomspace(1e7, 1e10, 8)
    runs = synthetic.factorial(TRUTH, sizes, np.geomspace(1e9, 1e12, 8), noise=NOISE)
    found = looked(scaled(dict(runs.columns), runs.params == sizes[0], 1.03))
    told = next(f for f in found.findings if f.code == "influence")
    assert told.severity == "warn"
    assert told.figures["without"] == told.figures["scales"][0] == "params 1e+07 (8 runs)"


def test_frontiers_of_different_tables_disagree():
    runs = table.from_columns(**grid())
    other = replace(TRUTH, alpha=0.6, A=4e4)
    iso = frontiers.find_optima(synthetic.isoflop(other, BUDGETS, sizes=9, span=30.0, noise=1e-4))
    fitted = fitting.resample(fit(Chinchilla, runs), 60)
    found = valleys.approaches(iso, fitted, frontiers.fit_cost(runs))
    assert found.severity == "warn" and "DISAGREE" in found.message
    own = valleys.approaches(frontiers.find_optima(runs), fitted, frontiers.fit_cost(runs))
    assert own.severity in ("ok", "note")


@pytest.mark.parametrize(("at", "expected"), [(1e20, "ok"), (3e21, "note"), (1e23, "warn"), (1e26, "refuse")])
def test_extrapolation_is_judged_by_its_factor(at, expected):
    found = looked(grid(), at=[at])
    assert severity(found)["extrapolation"] == expected
    told = next(f for f in found.findings if f.code == "extrapolation")
    flops = grid()["flops"]
    assert told.figures["flops"] == pytest.approx(max(1.0, at / flops.max()))
    assert found.verdict == {"note": "ok"}.get(expected, expected)


def test_the_condition_grows_as_the_design_nears_a_ray():
    indices = []
    for width in (30.0, 4.0, 1.7):
        n = np.geomspace(1e7, 1e10, 8)
        n, ratio = (m.ravel() for m in np.meshgrid(n, 20 * np.geomspace(1, width, 4)))
        runs = table.from_columns(params=n, tokens=n * ratio, loss=TRUTH.loss(n, n * ratio))
        found = looked(dict(runs.columns))
        told = next(f for f in found.findings if f.code == "condition")
        indices.append(told.figures["index"])
        assert told.figures["condition"] == pytest.approx(told.figures["index"] ** 2)
    assert indices[0] < indices[1] < indices[2] and told.severity == "warn"


def test_what_is_held_is_held_in_every_refit():
    columns = grid(replicates=0, seed=3)
    held = audit_runs(
        table.from_columns(**columns), fitted=fit(Chinchilla, table.from_columns(**columns), fixed={"E": 1.9})
    )
    others = next(each.figures for each in held.findings if each.code == "objectives")
    for name in ("l1-log", "ls-log"):
        again = fit(Chinchilla, table.from_columns(**columns), objective=name, fixed={"E": 1.9}).law
        assert others[name]["a"] == pytest.approx(again.exponents()[0], abs=1e-3)
    free = looked(columns)
    assert [step.bias for step in held.steps] != [step.bias for step in free.steps]


def test_a_second_count_that_cannot_be_fitted_leaves_the_audit_and_suffixes_are_read():
    columns = grid(replicates=0)
    odd = np.where(np.arange(columns["params"].size) % 2, 1e-5, 1.0) * columns["params"]
    found = looked({**columns, "trainable_params": odd})
    assert severity(found)["countings"] == "note" and "trainable_params" in message(found, "countings")
    other = 0.3 * np.sqrt(columns["params"] * columns["params"].min()) + 0.1 * columns["params"]
    found = looked({**columns, "non_embedding_params": [f"{value / 1e6:.6f}M" for value in other]})
    assert "countings" in against(found)


def test_a_unit_taken_twice_is_refused():
    columns = grid(replicates=0)
    twice = {"params": 1e6 * columns["params"], "tokens": 1e9 * columns["tokens"], "loss": columns["loss"]}
    found = looked(twice)
    assert severity(found)["units"] == "refuse" and "a unit taken twice" in message(found, "units")


def test_one_row_that_is_wrecked_is_warned_of_and_what_to_look_at():
    columns = grid(replicates=0)
    columns["loss"] = columns["loss"].copy()
    columns["loss"][30] = 4 * columns["loss"][30]
    found = looked(columns)
    assert severity(found)["outliers"] == "warn" and "row 31; loss up to 299 %" in message(found, "outliers")
    columns["loss"][30] *= 1.05 / 4
    assert severity(looked(columns))["outliers"] == "note"


def test_what_the_package_did_itself_is_no_doubt():
    columns = {name: column for name, column in grid(replicates=0).items() if name != "loss"}
    loss = grid(replicates=0)["loss"]
    assert severity(looked({**columns, "val_ppl": np.exp(loss)}))["units"] == "ok"
    for header, log in (("ln_ppl", loss), ("log10_loss", np.log10(loss)), ("log_perplexity", loss)):
        assert severity(looked({**columns, header: log}))["units"] == "ok"
    assert severity(looked({**columns, "val_loss (ln)": np.log(loss)}))["units"] == "warn"
    assert severity(looked({**columns, "log2_bpb": np.log2(loss)}))["units"] == "warn"
    assert severity(looked({**columns, "error (%)": 12 * loss}))["units"] == "ok"
    assert severity(looked({**columns, "bpb": loss / 2.9}))["units"] == "ok"  # stated, and so said


def test_tokens_that_follow_from_too_few_flops_name_the_column_of_these():
    columns = grid(replicates=0)
    small = {"N": columns["params"], "compute": columns["flops"] / 1e18, "loss": columns["loss"]}
    found = looked(small)
    assert "flops/(6·params): see that column compute counts FLOPs" in message(found, "units")
    assert all("?." not in line for line in found.against())
    found = looked({**columns, "flops": 1e3 * columns["flops"]})
    assert message(found, "conventions").startswith("Flops/(6·params·tokens) lies at 1e+03:")


def test_a_long_note_ends_at_a_clause_and_never_in_the_middle_of_one():
    first = (
        "The exponent a is 0.45; " + "it is 0.5 by another, outside (0.4, 0.46); " * 6 + "so it hangs on that"
    )
    short = in_short(f"{first}. And more.")
    assert (
        len(short) <= LONGEST and short.endswith("outside (0.4, 0.46)") and short.startswith("the exponent")
    )
    assert in_short("It is 3.") == "it is 3"


@pytest.mark.parametrize("objective", ["huber-log", "l1-log", "ls-log"])
def test_a_profile_is_the_objective_with_the_parameter_held(objective):
    """Its rise, in one unit along each curve and for all three parameters."""
    runs = table.from_columns(**grid(replicates=0))
    fitted = fit(Chinchilla, runs, objective=objective)
    found = parameter_profiles(neighbourhood(fitted))
    assert list(found) == ["alpha", "beta", "E"]
    units = []
    for name, one in found.items():
        assert (np.diff(one.values) >= 0).all() and one.value == fitted.parameters[name]
        assert one.low < one.value < one.high
        for i in (np.abs(one.roots + 3).argmin(), np.abs(one.roots - 2).argmin()):
            held = fit(Chinchilla, runs, objective=objective, fixed={name: float(one.values[i])})
            rise = held.objective.value - fitted.objective.value
            units.append(2 * rise / one.roots[i] ** 2)
    np.testing.assert_allclose(units, units[0], rtol=2e-3)


def test_the_ends_are_those_of_the_fits_own_profile_intervals():
    fitted = fit(Chinchilla, table.from_columns(**grid(replicates=0)))
    found = parameter_profiles(neighbourhood(fitted))
    with_ends = fitting.intervals(fitted, "profile")
    for name, one in found.items():
        assert (one.low, one.high) == pytest.approx(with_ends.interval(name), rel=1e-6)


@pytest.mark.parametrize("objective", ["huber-log", "ls-log", "ls"])
def test_a_floor_held_a_standard_error_off_moves_the_others_as_a_refit_does(objective):
    runs = table.from_columns(**grid(replicates=0))
    fitted = fit(Chinchilla, runs, objective=objective)
    near = neighbourhood(fitted)
    for side, law in zip((-1, 1), refit_beside(near, "E"), strict=True):
        floor = fitted.law.E * np.exp(side * near.error("E"))
        held = fit(Chinchilla, runs, objective=objective, fixed={"E": floor}).parameters
        assert law == pytest.approx(held, rel=5e-3)


def test_the_standard_errors_of_squares_are_those_of_regression():
    """Against the curvature of the sum of squares, by least squares' own covariance."""
    from scipy.optimize import curve_fit

    runs = table.from_columns(**grid(replicates=0))
    fitted = fit(Chinchilla, runs, objective="ls")
    near = neighbourhood(fitted)
    start = list(fitted.parameters.values())

    def loss(logs, *values):
        return Chinchilla(*values).loss(*np.exp(logs))

    _, covariance = curve_fit(
        loss, np.log([runs.params, runs.tokens]), runs.loss, p0=start, x_scale=start, method="trf"
    )
    names = Chinchilla.names()
    i, j = names.index("alpha"), names.index("E")
    assert near.error("alpha") == pytest.approx(np.sqrt(covariance[i, i]), rel=0.01)
    between = covariance[i, j] / np.sqrt(covariance[i, i] * covariance[j, j])
    assert near.correlation("E", "alpha") == pytest.approx(between, rel=0.01)


def test_the_noise_about_a_robust_fit_is_that_of_the_runs():
    found = []
    for seed in range(30):
        sizes, lengths = np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 1e12, 5)
        runs = synthetic.factorial(TRUTH, sizes, lengths, noise=NOISE, seed=seed)
        found.append(neighbourhood(fit(Chinchilla, runs)).noise)
    assert np.mean(found) == pytest.approx(NOISE, rel=0.1)


def test_forecasts_train_on_smaller_compute_alone():
    runs = table.from_columns(**grid())
    found = forecast.steps(runs, "huber-log", 1e-3)
    assert [round(s.flops / 1e17) for s in found] == [round(b / 1e17) for b in BUDGETS[2:]]
    for step in found:
        below = runs.select(runs.flops < 0.99 * step.runs.flops.min())
        assert step.trained == len(below)
        law = fit(Chinchilla, below).law
        np.testing.assert_allclose(step.predicted, law.loss(step.runs.params, step.runs.tokens))
        assert step.bias == pytest.approx(np.median(np.log(step.predicted / step.observed)))
        assert step.factor == pytest.approx(np.sqrt(10), rel=1e-3)
    last = forecast.steps(runs, "huber-log", 1e-3, "largest")
    assert len(last) == 1 and last[0].flops == found[-1].flops


def test_a_known_bias_of_the_largest_scale_comes_back():
    columns = scaled(grid(), grid()["budget"] == BUDGETS[-1], 1.02)
    found = looked(columns, hold_out="largest")
    told = next(f for f in found.findings if f.code == "hold-out")
    assert told.figures["bias"] == pytest.approx(-np.log(1.02), abs=4e-3) and "too low" in told.message


def test_a_run_trained_again_under_another_code_is_no_replicate():
    """Two of one seed lie nearer than two seeds do: they would make the noise small."""
    rows = {"params": [1e6] * 3, "tokens": [1e8] * 3, "loss": [3.0, 3.03, 3.0001], "seed": [0, 1, 0]}
    made = table.from_columns(**rows, code=np.array(["a", "a", "b"], object))
    noise = seed_noise([made])
    assert noise.freedom == 1
    assert noise.sigma == pytest.approx(np.std([np.log(3.00005), np.log(3.03)], ddof=1), rel=1e-3)
    assert np.isnan(seed_noise([made.where("seed == 0")]).sigma)


def test_replicates_are_rows_equal_but_for_their_seed():
    runs = table.from_columns(**grid())
    noise = seed_noise([runs])
    middle = runs.select(
        (runs.budget == BUDGETS[3]) & (runs.params == np.median(runs.params[runs.budget == BUDGETS[3]]))
    )
    assert (noise.freedom, noise.cells) == (3, 1) and len(middle) == 4
    assert noise.sigma == pytest.approx(np.log(middle.loss).std(ddof=1))
    assert np.isnan(seed_noise([table.from_columns(**ray(grid()))]).sigma)


@given(st.lists(st.floats(1, 9), min_size=14, max_size=40), st.integers(1, 4), st.randoms())
@settings(max_examples=60, deadline=None)
def test_groups_of_many_levels_part_no_runs_of_one_and_do_not_depend_on_the_order(logs, times, random):
    values = np.repeat(np.exp(logs), times)
    order = list(range(len(values)))
    random.shuffle(order)
    label = levels(values)
    np.testing.assert_array_equal(label[order], levels(values[order]))
    assert label.max() < 12
    for each in values:
        assert len(set(label[values == each])) == 1


@given(st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=30), st.randoms())
@settings(max_examples=60, deadline=None)
def test_levels_do_not_depend_on_the_order_of_rows(values, random):
    label = clusters(np.array(values), 0.03)
    order = list(range(len(values)))
    random.shuffle(order)
    again = clusters(np.array(values)[order], 0.03)
    np.testing.assert_array_equal(label[order], again)
    assert sorted(set(label)) == list(range(label.max() + 1))
    for i in range(len(values)):
        for j in range(len(values)):
            if values[i] <= values[j]:
                assert label[i] <= label[j]
                if label[i] < label[j]:
                    assert np.log(values[j] / values[i]) > 0.029


@given(st.lists(st.sampled_from(SEVERITIES), max_size=6))
def test_the_verdict_is_the_worst_severity_notes_aside(severities):
    findings = [Finding(code, s, "x") for code, s in zip(WORDS, severities, strict=False)]
    expected = next((word for word in ("refuse", "warn") if word in severities), "ok")
    assert verdict_of(findings) == expected
    assert "\n" not in headline_of(findings)


def write(path: Path, columns: dict) -> Path:
    lines = [",".join(columns)]
    lines += [",".join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_writes_its_keys_its_figure_and_its_status(tmp_path, capsys):
    good = write(tmp_path / "good.csv", grid())
    out, figure = tmp_path / "a.json", tmp_path / "a.png"
    options = ["--bootstrap", 40, "--json", out]
    assert run("audit", good, *options, "--figure", figure, "--at", "3e21") == 0
    found = json.loads(out.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert list(found) == ["verdict", "findings"] and found["verdict"] == "ok"
    for finding in found["findings"]:
        assert list(finding) == ["code", "severity", "message", "figures"]
        assert "nan" not in finding["message"] and "\n" not in finding["message"]
    assert figure.read_bytes()[:4] == b"\x89PNG"
    text = capsys.readouterr().out
    assert "Verdict ok: " in text and "hold-out" in text
    bad = write(tmp_path / "bad.csv", ray(grid()))
    assert run("audit", bad, *options) == 1
    assert "REFUSE" in capsys.readouterr().out
    assert json.loads(out.read_text())["verdict"] == "refuse"


def test_groups_are_audited_alone_and_one_refusal_is_the_status(tmp_path, capsys):
    good, bad = grid(replicates=0), ray(grid(replicates=0))
    columns = {name: np.concatenate([good[name], bad[name]]) for name in bad}
    columns["kind"] = np.repeat(["good", "bad"], 63)
    path, out = write(tmp_path / "t.csv", columns), tmp_path / "a.json"
    assert run("audit", path, "--by", "kind", "--bootstrap", 0, "--json", out) == 1
    found = json.loads(out.read_text())
    assert [(each["group"], each["verdict"]) for each in found] == [("good", "ok"), ("bad", "refuse")]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"params": [1e6], "tokens": [1e8], "loss": [3.0]}, "needs at least 6"),
        ({"params": [1e6, 2e6], "loss": [3.0, 2.9]}, "no column for"),
        ({"params": [1e6], "tokens": [1e8], "loss": ["x"]}, "not a number"),
        ({"params": [1e6], "tokens": [1e8], "loss": [""]}, "every run is flagged"),
    ],
)
def test_wrong_tables_end_in_one_message(tmp_path, capsys, columns, words):
    path = write(tmp_path / "t.csv", columns)
    assert run("audit", path) == 1
    out = capsys.readouterr()
    assert words in (out.out + out.err).replace("\n" + " " * 33, " ")
    assert "Traceback" not in out.err and out.err.count("\n") <= 1


def published(name: str) -> Path:
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    return Path(folder) / name


def test_chinchillas_five_outliers_are_seen_to_move_the_exponents():
    path = published("chinchilla_fig4.csv")
    every = audit_runs(table.read(path))
    told = next(f for f in every.findings if f.code == "outliers")
    assert told.severity == "warn" and {1, 2, 3, 4} <= set(told.figures["rows"])
    assert told.figures["a"] == pytest.approx(0.565, abs=2e-3)
    clean = audit_runs(table.read(path, where="outlier == 0"))
    assert clean.verdict == "ok"
    # Besiroglu et al. 2024: standard errors .0154 and .0206 by bootstrap
    for one, error in zip(clean.profiles.values(), (0.0154, 0.0206), strict=False):
        assert 0.5 * error < (one.high - one.low) / 3.92 < 1.5 * error


def test_porians_experiments_are_mixed_and_kaplans_floor_is_open():
    path = published("porian_rw_isoflops.csv")
    runs = table.read(path)
    mixed = next(f for f in design.check(runs) if f.code == "mixed")
    assert mixed.severity == "warn" and "--by experiment" in mixed.message
    kaplan = audit_runs(runs.by("experiment")["1_kaplan_repro"], resamples=60)
    assert {"condition", "flat-profile"} <= against(kaplan)
    assert "no end below" in message(kaplan, "flat-profile")


def test_of_very_many_rows_what_takes_refits_is_looked_at_in_a_sample(monkeypatch):
    monkeypatch.setattr("analysis.audit.audit.MOST", 50)
    found = looked(grid())
    assert message(found, "sample").startswith("profiles, floor, objectives") and found.verdict == "ok"
    assert "50 of the 66 runs" in message(found, "sample") and len(found.fitted.runs) == 66
    assert sum(len(step.runs) for step in found.steps) < 50


def test_a_column_name_that_may_be_of_models_is_not_said_to_be_missing():
    columns = grid()
    columns["Name"] = columns.pop("run_id")
    assert message(looked(columns), "mid-curve").startswith("Name may name models or runs")


def test_what_decide_says_of_very_many_rows_is_of_a_sample_too(monkeypatch):
    fitted, seen = fitting.fit(Chinchilla, table.from_columns("planted", **grid())), []
    monkeypatch.setattr("analysis.audit.audit.MOST", 50)
    monkeypatch.setattr("analysis.audit.forecast.caution", lambda fewer: seen.append(len(fewer.runs)) or "")
    audit.cautions(fitted)
    assert seen == [50]
