import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis import fitting, frontiers
from analysis.__main__ import main
from analysis.fitting import profile
from analysis.frontiers import conventions, ledger, optima
from analysis.laws import Chinchilla
from analysis.report import countings as countings_of_page
from analysis.tables.table import from_columns
from bench import synthetic

TRUTH = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
BUDGETS = np.geomspace(1e12, 6.4e13, 7)


def counted(noise=0.0, vocab=64, sizes=22, budgets=BUDGETS, replicates=0):
    """A grid whose loss follows TRUTH in hidden + readout; a model of width d has 20·d³ hidden
    weights and a readout and an embedding of d·vocab each. All sizes share one ladder."""
    width = np.geomspace(3, 60, sizes)
    hidden, readout = 20 * width**3, vocab * width * 10
    n = hidden + readout
    rows = []
    for budget in budgets:
        best = TRUTH.optimum(budget)[0]
        near = np.abs(np.log(n / best)) < 1.6
        rows += [
            (budget, *cells, seed)
            for cells in zip(n[near], hidden[near], readout[near], strict=True)
            for seed in range(1 + replicates)
        ]
    budget, n, hidden, readout, seed = np.array(rows).T
    d = budget / 6 / n
    rng = np.random.default_rng(0)
    loss = TRUTH.loss(n, d) * np.exp(noise * rng.standard_normal(len(n)))
    return from_columns(
        "grid",
        budget=budget,
        params=n,
        params_hidden=hidden,
        params_readout=readout,
        params_embed=readout,
        tokens=d,
        flops=budget,
        loss=loss,
        seed=seed,
    )


def names(runs):
    return [str(each) for each in conventions.by_columns(runs)]


def test_every_counting_that_the_columns_allow_the_tables_own_first():
    assert names(counted()) == [
        "N = hidden + readout, C = table's flops",
        "N = hidden, C = table's flops",
        "N = hidden, C = 6·N·D",
        "N = hidden + readout + embedding, C = table's flops",
        "N = hidden + readout + embedding, C = 6·N·D",
    ]
    runs = counted()
    bare = from_columns(params=runs.params, tokens=runs.tokens, loss=runs.loss)
    assert names(bare) == ["N = table's params, C = table's flops"]
    more = from_columns(params=runs.params, tokens=runs.tokens, flops=1.3 * runs.flops, loss=runs.loss)
    assert names(more) == ["N = table's params, C = table's flops", "N = table's params, C = 6·N·D"]


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_a_counting_that_is_no_size_in_some_row_is_left_out(size):
    runs = counted()
    hidden = runs.columns["params_hidden"].copy()
    hidden[3] = size  # as of a model without layers: it has no logarithm
    changed = replace(runs, columns={**runs.columns, "params_hidden": hidden})
    assert "hidden" not in {each.params for each in conventions.by_columns(changed)}


def test_flops_without_attention_are_the_matrices_alone():
    layers, width, length, tokens = (
        np.array(v, float) for v in ([2, 3, 4], [16, 32, 64], [128, 128, 128], [1e6, 2e6, 4e6])
    )
    n = 12 * layers * width**2
    flops = 6 * n * tokens + 12 * layers * width * (length + 1) / 2 * tokens
    runs = from_columns(
        params=n,
        tokens=tokens,
        flops=flops,
        loss=[3.0, 2.5, 2.2],
        n_layer=layers,
        d_model=width,
        seq_len=length,
    )
    np.testing.assert_allclose(conventions.without_attention(runs), 6 * n * tokens)
    # equal to 6·N·D, so it is not counted again
    assert names(runs) == ["N = table's params, C = table's flops", "N = table's params, C = 6·N·D"]


def pairs(found):
    return fitting.resample(found, 60)


def exponents(entries, approach):
    return {str(e.convention): e.exponent.value for e in entries if e.approach == approach}


def truth_under(hidden_of, flops_of):
    """Local exponent of the planted optimum in another count, by brute force: the best size on a
    fine ladder at each of many FLOP values of that count."""
    width = np.geomspace(3, 60, 4000)
    hidden, readout = 20 * width**3, 640 * width
    n, counted_n, per_token = (hidden + readout, hidden_of(hidden, readout), flops_of(hidden, readout))
    flops = np.geomspace(2e12, 3e13, 40)
    best = [np.argmin(TRUTH.loss(n, c / per_token)) for c in flops]
    return np.polyfit(np.log(flops), np.log(counted_n[best]), 1)[0]


@pytest.mark.parametrize(
    ("name", "count", "per_token"),
    [
        ("N = hidden + readout, C = table's flops", lambda h, r: h + r, lambda h, r: 6 * (h + r)),
        ("N = hidden, C = table's flops", lambda h, r: h, lambda h, r: 6 * (h + r)),
        ("N = hidden, C = 6·N·D", lambda h, r: h, lambda h, r: 6 * h),
        ("N = hidden + readout + embedding, C = 6·N·D", lambda h, r: h + 2 * r, lambda h, r: 6 * (h + 2 * r)),
    ],
)
def test_recounted_valleys_have_the_planted_optimum_of_that_counting(name, count, per_token):
    entries = ledger.make_ledger(conventions.by_columns(counted()), methods=("isoflop",))
    found = exponents(entries, "isoflop")
    assert found[name] == pytest.approx(truth_under(count, per_token), abs=0.02)


def test_leaving_out_the_readout_raises_the_exponent_by_both_approaches():
    """Pearce & Song 2024: Kaplan's count gives the larger exponent."""
    entries = ledger.make_ledger(
        conventions.by_columns(counted(noise=0.001, replicates=1)), add_intervals=pairs
    )
    for approach in ("isoflop", "fit"):
        found = exponents(entries, approach)
        own = found["N = hidden + readout, C = table's flops"]
        assert found["N = hidden, C = 6·N·D"] > own + 0.03
        assert found["N = hidden + readout + embedding, C = 6·N·D"] < own - 0.01
    for entry in entries:
        assert entry.moved.value == pytest.approx(
            entry.exponent.value
            - exponents(entries, entry.approach)["N = hidden + readout, C = table's flops"]
        )
    kaplan = next(e for e in entries if e.approach == "fit" and "hidden, C = 6" in str(e.convention))
    band, own = kaplan.moved, kaplan.exponent
    assert band.low <= band.value <= band.high
    # compared resample by resample, the move is known better than either exponent
    assert band.high - band.low < own.high - own.low


def test_the_pages_countings_are_the_ledgers():
    runs = counted(noise=2e-3)
    fitted, countings = fitting.fit(Chinchilla, runs), conventions.by_columns(runs)
    drawn = countings_of_page.count(countings, fitted)
    entries = ledger.make_ledger(countings, methods=("fit",), add_intervals=lambda fit: fit)
    assert [each.name for each in drawn] == [str(each.convention) for each in entries] and len(drawn) > 3
    told = [each.exponent.value for each in entries]
    np.testing.assert_allclose([each.exponent for each in drawn], told, rtol=1e-6)
    html = "".join(countings_of_page.section(runs, fitted))
    assert all(f"{value:.3f}" in html for value in told) and 'id="countings"' in html
    one = from_columns(
        params=runs.params, tokens=runs.tokens, flops=6 * runs.params * runs.tokens, loss=runs.loss
    )
    assert countings_of_page.section(one, fitting.fit(Chinchilla, one)) == []


def test_sizes_that_stand_alone_cannot_be_interpolated_and_the_fit_goes_on():
    runs = synthetic.isoflop(TRUTH, BUDGETS, sizes=7)
    hidden = 1e-3 * runs.params**1.4
    alone = from_columns(
        budget=runs.budget,
        params=runs.params,
        tokens=runs.tokens,
        flops=runs.flops,
        loss=runs.loss,
        params_hidden=hidden,
    )
    entries = ledger.make_ledger(conventions.by_columns(alone), add_intervals=lambda found: found)
    six = [e for e in entries if str(e.convention) == "N = hidden, C = 6·N·D"]
    assert six[0].frontier is None and "interpolate" in six[0].message
    assert six[0].agreement == "none" and six[1].frontier is not None


def test_noise_told_from_seeds_goes_along_with_interpolated_budgets():
    entries = ledger.make_ledger(
        conventions.by_columns(counted(noise=0.002, replicates=2)), methods=("isoflop",)
    )
    assert all(np.isfinite(entry.exponent.low) for entry in entries)
    grid = ledger.interpolate_budgets(entries[0].convention.runs, 5)
    known = frontiers.Noise(0.002, 9, "elsewhere")
    assert frontiers.find_optima(grid, noise=known).noise.source == "elsewhere"


def test_one_counting_alone_says_that_nothing_was_compared(tmp_path, capsys):
    runs = counted()
    path, out = tmp_path / "t.csv", tmp_path / "l.json"
    lines = [
        f"{n!r},{d!r},{y!r}"
        for n, d, y in zip(runs.params.tolist(), runs.tokens.tolist(), runs.loss.tolist(), strict=True)
    ]
    path.write_text("\n".join(["params,tokens,loss", *lines]) + "\n")
    assert main(["ledger", str(path), "--bootstrap", "0", "--json", str(out)]) == 0
    assert "nothing could be" in " ".join(capsys.readouterr().out.split())
    found = json.loads(out.read_text())
    assert len(found["rows"]) == 2 and "nothing could be compared" in found["message"]


def written(runs, path):
    header = list(runs.columns)
    cells = zip(*(runs.columns[name].tolist() for name in header), strict=True)
    path.write_text("\n".join([",".join(header), *(",".join(map(repr, row)) for row in cells)]) + "\n")
    return str(path)


def test_the_exponents_of_one_fit_under_several_costs_take_one_search(monkeypatch):
    fitted = fitting.intervals(fitting.fit(Chinchilla, counted(0.001, 64, 12, BUDGETS[::2])), "profile")
    costs = [frontiers.SIX, frontiers.Cost(9.0, 0.9, "another")]
    alone = [frontiers.from_fit(fitted, cost, BUDGETS[:0]).params_exponent for cost in costs]
    searches, minimise = [], profile.minimise
    monkeypatch.setattr(profile, "minimise", lambda *a, **k: searches.append(1) or minimise(*a, **k))
    both = optima.growths(fitted, costs)
    assert len(searches) == 2  # the whole profile, and again near its ends
    for band, own in zip(both, alone, strict=True):
        parts = [(each.value, each.low, each.high) for each in (band, own)]
        np.testing.assert_allclose(*parts, rtol=1e-6)
    assert both[1].value > both[0].value


def test_the_command_writes_a_row_for_every_counting_and_approach(tmp_path, capsys):
    path, out = written(counted(noise=0.001), tmp_path / "t.csv"), tmp_path / "l.json"
    figure = tmp_path / "l.png"
    options = ["--bootstrap", "20", "--json", str(out), "--figure", str(figure)]
    assert main(["ledger", path, *options]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 10 and figure.read_bytes()[:4] == b"\x89PNG"
    assert list(rows[0]) == [
        "convention",
        "params",
        "flops",
        "approach",
        "params_exponent",
        "moved",
        "tokens_exponent",
        "against_first",
        "cost",
        "runs",
        "status",
        "message",
    ]
    assert rows[0]["against_first"] == "first" and rows[0]["moved"]["value"] == 0
    text = capsys.readouterr().out
    for row in rows:
        assert row["params"] in text and row["flops"] in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--convention", "nope"], "nope"),
        (["--budgets", "1e30"], "within 10 %"),
        (["--method", "isoflop"], "budgets cannot be told apart"),
    ],
)
def test_wrong_input_is_told_in_a_line(tmp_path, capsys, options, words):
    runs = counted()
    spread = np.random.default_rng(0).uniform(1, 4, len(runs))
    bare = from_columns(params=runs.params, tokens=runs.tokens * spread, loss=runs.loss)
    code = main(["ledger", written(bare, tmp_path / "t.csv"), *options])
    error = capsys.readouterr().err
    assert code == 1 and words in error and error.count("\n") == 1


def test_the_figure_has_a_row_for_every_counting_inside_the_sheet():
    from analysis.figures import plot_ledger
    from tests.test_figures import inside

    entries = ledger.make_ledger(conventions.by_columns(counted(noise=0.001)), add_intervals=pairs)
    figure = plot_ledger(entries)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [name.replace(", C", "\nC") for name in names(counted())]
    assert inside(figure)


def test_porians_countings_give_the_published_walk():
    folder = os.environ.get("SCALING_DATA")
    if not folder:
        pytest.skip("SCALING_DATA names no folder of published tables")
    from analysis.tables import table

    runs = table.read(Path(folder) / "porian_rw_isoflops.csv")
    entries = ledger.make_ledger(conventions.by_value(runs, "experiment"), methods=("isoflop",))
    found = exponents(entries, "isoflop")
    published = {
        "1_kaplan_repro": 0.835,
        "2_count_head": 0.706,
        "3_short_warmup": 0.602,
        "4_cosine_matched": 0.571,
        "5_tuned_const": 0.497,
    }
    for name, value in published.items():
        assert found[name] == pytest.approx(value, abs=0.01)
    assert next(e for e in entries if str(e.convention) == "2_count_head").agreement == "disagree"
