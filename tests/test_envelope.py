import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import frontiers
from analysis.__main__ import main
from analysis.frontiers import heights
from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.table import from_columns
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
STEEP = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.5, beta=0.25)
LOW, HIGH = 1e12, 1e15


def ladder(law, sizes=14, room=2.0):
    """Sizes from below the best at LOW to above the best at HIGH."""
    return np.geomspace(law.optimum(LOW)[0] / room, law.optimum(HIGH)[0] * room, sizes)


def traced(law=TRUTH, ends=(HIGH,), sizes=14, points="all", smooth=0.1, draws=0, **curves):
    rows = synthetic.curves(law, ladder(law, sizes), ends, **curves)
    return frontiers.trace_envelope(rows, draws=draws, points=points, smooth=smooth)


@pytest.mark.parametrize("law", [TRUTH, STEEP])
@pytest.mark.parametrize("losses", [30, 400])
def test_curves_of_a_law_give_its_exponents_and_its_optima(law, losses):
    found = traced(law, losses=losses)
    front = frontiers.from_envelope(found, frontiers.SIX)
    a, b = law.exponents()
    assert front.params_exponent.value == pytest.approx(a, abs=0.015)
    assert front.tokens_exponent.value == pytest.approx(b, abs=0.015)
    inside = np.array(found.status) == "ok"
    best, _ = law.optimum(found.flops[inside])
    step = np.log(ladder(law)[1] / ladder(law)[0])
    assert np.abs(np.log(found.params[inside] / best)).max() < 0.8 * step
    np.testing.assert_allclose(6 * found.params * found.tokens, found.flops, rtol=1e-3)
    np.testing.assert_allclose(found.loss, law.loss(found.params, found.tokens), rtol=1e-3)


def test_the_best_of_the_smallest_or_largest_size_is_an_edge_and_stays_out():
    whole = traced()
    small, large = ladder(TRUTH)[[0, -1]]
    for n, word in zip(whole.params, whole.status, strict=True):
        assert (word == "edge") == (n in (small, large))
    cut = ladder(TRUTH)[:8]  # the best at HIGH is beyond all of these
    rows = synthetic.curves(TRUTH, cut, (HIGH,))
    found = frontiers.trace_envelope(rows, draws=0)
    assert found.status[-1] == "edge" and found.params[-1] == cut[-1]
    front = frontiers.from_envelope(found)
    assert front.params_exponent.value == pytest.approx(TRUTH.exponents()[0], abs=0.03)
    assert "edge" in front.message


def test_a_decaying_schedule_biases_the_envelope_and_that_is_told_from_the_curves_alone():
    """Runs of equal tokens: at one compute, small models are further through their schedule."""
    last = 30 * TRUTH.optimum(HIGH)[1]
    keys = {"ends": (), "tokens": (last / 8, last / 4, last / 2, last), "share": 1e-5, "losses": 60}
    plain, high = (traced(inflation=share, **keys) for share in (0.0, 0.1))
    clean, biased = (frontiers.from_envelope(found) for found in (plain, high))
    assert plain.schedule.kind == "unknown" and "ASSUMES" in clean.message
    assert clean.status == "ok"
    assert high.schedule.kind == "decaying" and not high.trusted
    assert biased.status == "unidentified" and "NOT losses at those tokens" in biased.message
    a = TRUTH.exponents()[0]
    assert clean.params_exponent.value == pytest.approx(a, abs=0.02)
    assert abs(biased.params_exponent.value - a) > 0.04


def test_final_points_alone_are_not_biased():
    ends = np.geomspace(LOW, HIGH, 7)
    a = TRUTH.exponents()[0]
    for share in (0.0, 0.1):
        found = traced(ends=ends, inflation=share, points="final")
        front = frontiers.from_envelope(found)
        assert front.status == "ok" and found.trusted
        assert front.params_exponent.value == pytest.approx(a, abs=0.03)
        assert (found.progress == 1).all()


def told(**columns):
    rows = synthetic.curves(TRUTH, ladder(TRUTH, 5), (HIGH,))
    runs = np.unique(rows.column("run_id").astype(str))
    share = rows.tokens / (HIGH / 6 / rows.params)
    made = {name: make(share) for name, make in columns.items() if callable(make)}
    named = {n: rows.columns[n] for n in ("run_id", "params", "tokens", "flops", "loss")}
    last = share > 0.999
    listed = {name: np.array([value] * len(runs)) for name, value in columns.items() if not callable(value)}
    table_of_runs = from_columns(
        "runs",
        run_id=runs.astype(object),
        params=rows.params[last],
        tokens=rows.tokens[last],
        loss=rows.loss[last],
        **listed,
    )
    return frontiers.trace_envelope(
        from_columns("curves", **named, **made), table=table_of_runs, draws=0
    ).schedule


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"schedule": "cosine"}, "decaying"),
        ({"schedule": "constant"}, "constant"),
        ({"schedule": "constant", "cooldown_fraction": 0.0}, "constant"),
        ({"schedule": "constant", "cooldown_fraction": 0.2}, "decaying"),
        ({"schedule": "linear", "final_fraction": 1.0}, "constant"),
        ({"lr_scheduler_type": "WSD"}, "decaying"),
        ({"horizon_steps": 100.0}, "decaying"),
        ({"learning_rate": 0.01}, "unknown"),  # a run's peak says nothing of its course
        ({"lr": lambda share: 0.01 * (1 - share) + 1e-5}, "decaying"),
        ({"lr": lambda share: 0.01 * np.minimum(1, 50 * share)}, "constant"),
        ({}, "unknown"),
    ],
)
def test_the_schedule_is_told_by_whatever_column_tells_it(columns, kind):
    assert told(**columns).kind == kind


def test_intervals_are_of_runs_and_mostly_hold_the_truth():
    held, wide = 0, []
    for seed in range(10):
        found = traced(sizes=16, noise=0.002, draws=200, seed=seed, ends=(HIGH / 5, HIGH))
        front = frontiers.from_envelope(found)
        a = front.params_exponent
        held += a.low <= TRUTH.exponents()[0] <= a.high
        wide.append(a.high - a.low)
        n, d, loss = front.at([1e17])
        assert n.low < n.value < n.high and d.low < d.value < d.high and loss.low <= loss.value
    assert held >= 8
    dense = [traced(sizes=16, noise=0.002, draws=200, ends=(HIGH / 5, HIGH), losses=n) for n in (30, 300)]
    few, many = (frontiers.from_envelope(found).params_exponent for found in dense)
    assert many.high - many.low > 0.7 * (few.high - few.low)  # more points of a run are no more runs


def test_smoothing_averages_noise_along_a_curve():
    rows = synthetic.curves(TRUTH, ladder(TRUTH), (HIGH,), losses=3000)
    rng = np.random.default_rng(0)
    noisy = from_columns(
        **{n: rows.columns[n] for n in ("run_id", "params", "tokens", "flops")},
        loss=rows.loss * np.exp(0.01 * rng.standard_normal(len(rows))),
    )
    a = TRUTH.exponents()[0]
    rough, smooth = (frontiers.trace_envelope(noisy, smooth=width, draws=0) for width in (0.0, 0.2))
    assert frontiers.from_envelope(smooth).params_exponent.value == pytest.approx(a, abs=0.05)
    truth = TRUTH.loss(*TRUTH.optimum(smooth.flops))
    assert np.abs(np.log(smooth.loss / truth)).max() < 0.25 * np.abs(np.log(rough.loss / truth)).max()


def test_sizes_and_flops_come_from_the_run_table():
    rows = synthetic.curves(TRUTH, ladder(TRUTH, 6), (HIGH,))
    last = np.append(rows.column("run_id")[1:] != rows.column("run_id")[:-1], True)
    runs = from_columns(
        "runs",
        run_id=rows.column("run_id")[last],
        params=2 * rows.params[last],
        tokens=rows.tokens[last],
        flops=9 * rows.params[last] * rows.tokens[last],
        status=np.array(["done"] * 5 + ["diverged"], object),
    )
    bare = from_columns("curves", **{n: rows.columns[n] for n in ("run_id", "tokens", "loss")})
    found = frontiers.trace_envelope(bare, table=runs, draws=0)
    assert set(found.params) <= set(2 * ladder(TRUTH, 6)[:5])
    np.testing.assert_allclose(4.5 * found.params * found.tokens, found.flops, rtol=1e-3)
    assert any("diverged" in reason for _, reason in found.source.dropped())
    other = from_columns("other", run_id=np.array(["x"], object), params=[1e6], tokens=[1e9])
    with pytest.raises(ValueError, match="name their runs alike"):
        frontiers.trace_envelope(bare, table=other)


def columns(rows, **changed):
    return {n: rows.columns[n] for n in ("run_id", "params", "tokens", "flops", "loss")} | changed


def test_refusals_say_what_is_missing():
    rows = synthetic.curves(TRUTH, ladder(TRUTH, 4), (HIGH,))
    with pytest.raises(ValueError, match="--run-id COL"):
        frontiers.trace_envelope(from_columns(**{n: rows.columns[n] for n in ("params", "tokens", "loss")}))
    with pytest.raises(ValueError, match="a curve is one model's"):
        frontiers.trace_envelope(
            from_columns(**columns(rows, params=rows.params * np.geomspace(1, 2, len(rows))))
        )
    two = synthetic.curves(TRUTH, ladder(TRUTH, 2), (HIGH,))
    with pytest.raises(ValueError, match="2 size"):
        frontiers.trace_envelope(two)
    with pytest.raises(ValueError, match="two budgets or more"):
        frontiers.trace_envelope(rows, points="final")
    three = frontiers.from_envelope(
        frontiers.trace_envelope(synthetic.curves(TRUTH, ladder(TRUTH, 3), (HIGH,)))
    )
    assert three.status == "few"
    with pytest.raises(ValueError, match="no line to extend"):
        three.at([1e20])


@pytest.fixture
def files(tmp_path):
    """A grid's run table and its curves, whose schedule decays."""
    law, sizes, ends = TRUTH, ladder(TRUTH, 10), np.geomspace(LOW, HIGH, 5)
    rows = synthetic.curves(law, sizes, ends, inflation=0.05, noise=0.001)
    last = np.append(rows.column("run_id")[1:] != rows.column("run_id")[:-1], True)
    names = ("run_id", "params", "tokens", "flops", "loss")
    for name, kept, extra in (("curves", np.ones(len(rows), bool), ""), ("runs", last, ",cosine")):
        lines = [",".join(names) + (",schedule,budget" if extra else "")]
        for i in np.flatnonzero(kept):
            cells = [str(rows.column(n)[i]) for n in names]
            budget = f",{ends[np.abs(np.log(ends / rows.flops[i])).argmin()]:.6g}" if extra else ""
            lines.append(",".join(cells) + extra + budget)
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_command_writes_the_frontiers_keys_and_a_figure(files, capsys):
    out, figure = files / "e.json", files / "e.png"
    curves, runs = str(files / "curves.csv"), str(files / "runs.csv")
    options = ["--runs", runs, "--bootstrap", "50", "--at", "1e17", "--json", str(out)]
    assert main(["envelope", curves, *options, "--figure", str(figure)]) == 0
    found = json.loads(out.read_text())
    assert list(found)[:7] == [
        "method",
        "convention",
        "cost",
        "params_exponent",
        "tokens_exponent",
        "points",
        "status",
    ]
    assert found["status"] == "unidentified" and found["points"][0]["flops"] == 1e17
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert "NOT losses at those tokens" in capsys.readouterr().out.replace("\n              ", " ")
    assert main(["envelope", runs, "--points", "final", "--bootstrap", "0"]) == 0
    assert "95" not in capsys.readouterr().out.split("a = ")[1].split("\n")[0]


def test_all_three_approaches_stand_side_by_side_under_one_cost(files, capsys):
    out = files / "f.json"
    arguments = [
        "frontier",
        str(files / "runs.csv"),
        "--curves",
        str(files / "curves.csv"),
        "--bootstrap",
        "50",
        "--points",
        "final",
        "--json",
        str(out),
    ]
    for cost_kind in ("table", "6nd"):
        assert main([*arguments, "--cost", cost_kind]) == 0
        found = json.loads(out.read_text())
        assert [each["method"].split()[0].strip(",") for each in found] == ["isoflop", "fit", "envelope"]
        assert len({each["cost"] for each in found}) == 1
        for each in found:
            assert each["params_exponent"]["value"] == pytest.approx(TRUTH.exponents()[0], abs=0.05)
    text = capsys.readouterr().out
    assert "side by side" in text and "3 pairs of methods" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frontier", "{runs}", "--method", "envelope"], "--curves FILE"),
        (["frontier", "{runs}", "--method", "fit", "--curves", "{curves}"], "--curves goes with"),
        (["envelope", "{curves}", "--runs", "{missing}"], "cannot be read"),
        (["envelope", "{curves}", "--run-id", "nope"], "no column nope"),
        (["envelope", "{runs}"], "no run has more than one point"),
        (["envelope", "{curves}", "--points", "final", "--where", "flops < 1e9"], "two budgets"),
    ],
)
def test_wrong_input_is_told_in_a_line(files, capsys, arguments, words):
    paths = {name: files / f"{name}.csv" for name in ("runs", "curves", "missing")}
    code = main([a.format(**paths) for a in arguments])
    error = capsys.readouterr().err
    assert code == 1 and words in error and error.count("\n") == 1


def test_agreement_of_three_names_every_pair():
    runs = synthetic.isoflop(TRUTH, np.geomspace(1e12, 1.6e13, 5), sizes=9, noise=0.002)
    valley = frontiers.from_isoflop(frontiers.find_optima(runs))
    said = frontiers.describe_agreements([valley, valley, valley])
    assert len(said) == 2 and said[0] == "3 pairs of methods: 3 agree."
    assert said[1].count(f" by {valley.method}") == 3
    other = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.2, beta=0.6)
    away = frontiers.from_isoflop(
        frontiers.find_optima(synthetic.isoflop(other, np.geomspace(1e12, 1.6e13, 5), sizes=9, noise=0.002))
    )
    said = frontiers.describe_agreements([valley, valley, away])
    assert said[0] == "3 pairs of methods: 1 agree, 2 agree in part." and len(said) == 4
    assert said[2].startswith("Agree in part: ") and said[2].count(" with ") == 2
    assert frontiers.describe_agreements([valley]) == []


def test_the_figure_holds_its_words_and_says_when_not_to_be_trusted():
    from analysis.figures import plot_envelope
    from tests.test_figures import inside, words

    for share, points in ((0.1, "all"), (0.0, "final")):
        found = traced(ends=np.geomspace(LOW, HIGH, 5), inflation=share, points=points, draws=20)
        front = frontiers.from_envelope(found)
        figure = plot_envelope(found, front)
        text = " ".join(words(figure).split())
        assert ("not to be trusted" in text) == (points == "all")
        assert str(front.params_exponent) in text and inside(figure)
    (left, right), (low, high) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    ends = np.exp([(curve.log_flops[-1], curve.log_loss[-1]) for curve in found.curves])
    assert (np.array([left, low]) < ends).all() and (ends < np.array([right, high])).all()


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_no_run_lies_below_the_envelope_whatever_the_order_of_the_rows(seed):
    rng = np.random.default_rng(seed)
    ends = HIGH * rng.uniform(0.05, 1, 3)
    rows = synthetic.curves(TRUTH, ladder(TRUTH, 6), ends, noise=0.05, seed=seed, losses=12)
    mixed = rows.select(rng.permutation(len(rows)))
    found, again = (frontiers.trace_envelope(each, draws=0) for each in (rows, mixed))
    np.testing.assert_allclose(found.loss, again.loss)
    assert found.run == again.run
    at = np.log(found.flops)
    for curve in found.curves:
        height = heights.interpolate(curve.log_flops, curve.log_loss, at)
        assert (np.log(found.loss) <= height + 1e-12).all()
        own = np.array(found.run) == curve.run
        np.testing.assert_allclose(np.log(found.loss[own]), height[own])
        assert (found.params[own] == curve.params).all()


def test_a_table_read_from_a_file_with_text_ids_keeps_runs_apart(tmp_path):
    path = tmp_path / "c.csv"
    lines = ["run,N,D,loss"]
    for run, n in enumerate((1e6, 2e6, 4e6)):
        lines += [f"{run},{n},{d},{TRUTH.loss(n, d)}" for d in np.geomspace(1e7, 1e9, 8)]
    path.write_text("\n".join(lines) + "\n")
    found = frontiers.trace_envelope(table.read(path), draws=0)
    assert len(found.curves) == 3
