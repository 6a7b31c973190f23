"""Truths about tables that mutations once got past: what lies on either side of each threshold."""

import numpy as np
import pytest

from analysis.tables import budgets, cautions, roles, schedule, states, table, units
from analysis.tables.cells import number
from analysis.tables.delimited import find_delimiter
from analysis.tables.headers import parse
from analysis.tables.mixed import refuse_mixed_units
from analysis.tables.schedule import Curve
from bench import synthetic

# --- units and counts ----------------------------------------------------------------------------


def counted(params, tokens, flops):
    size = np.ones(6) * np.linspace(1, 1.01, 6)
    made = table.from_columns(params=params * size, tokens=tokens * size, flops=flops * size, loss=3 - size)
    return [line for line in made.cautions if "cells" not in line]


@pytest.mark.parametrize(
    ("times", "doubted"), [(19.5, False), (20.6, True), (1 / 19.5, False), (1 / 20.6, True)]
)
def test_flops_are_doubted_where_twenty_times_from_6nd(times, doubted):
    lines = counted(1e6, 1e8, times * 6 * 1.005 * 1e14)
    assert [f"flops are about {times:.2g} times" in line for line in lines] == [True] * doubted


def test_counts_are_doubted_below_ten_thousand_and_above_a_tenth_of_a_quintillion():
    assert counted(1.0e4, 1e8, 6e12) == counted(1e6, 0.98e17, 5.9e23) == []
    assert counted(0.99e4, 1e8, 6e12) == [], "flops agree with them"
    (small,) = counted(0.99e4, 1e8, 4.5e12)
    assert small.startswith("params from 9.9e+03 to 1e+04 look small for counts; if params is in thousands")
    (large,) = counted(1e6, 1.005e17, 6e23)
    assert large == "tokens up to 1.02e+17: its unit may be counted twice"


def test_a_budget_ten_percent_off_the_flops_is_called_stale():
    size = np.geomspace(1e5, 1e6, 5)
    columns = {"params": size, "tokens": 1e12 / 6 / size, "loss": 3 - np.arange(5) / 10, "flops": [1e12] * 5}
    for share, off in ((1.09, 0), (0.92, 0), (1.12, 2), (0.88, 2)):
        budget = np.where(np.arange(5) < 2, 1e12 / share, 1e12)
        made = table.from_columns(**columns, budget=budget)
        (line,) = [line for line in made.cautions if "flops decide" in line] or [""]
        assert line.startswith(f"budget is over 10 % off the flops of {off} of 5 rows, which are") == bool(
            off
        )


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("loss (nats)", "nats/token"),
        ("loss (bits)", "bits/token"),
        ("loss (bits/byte)", "bits/byte"),
        ("val_bpc", "bits/char"),
        ("top1 error", "a share of errors"),
        ("loss", units.UNSTATED),
    ],
)
def test_a_loss_has_the_unit_that_its_header_states(header, unit):
    found = parse(header)
    assert units.loss_unit(found.words, found.unit) == unit


@pytest.mark.parametrize(
    ("cell", "value"),
    [("10^299", 1e299), ("2^-299", 2.0**-299), ("10^-301", 0.0), ("10^301", np.inf), ("3 × 10^-300", 0.0)],
)
def test_powers_beyond_three_hundred_are_none_or_endless(cell, value):
    assert number(cell) == (pytest.approx(value, rel=1e-12), "powers worked out")


@pytest.mark.parametrize(
    ("cell", "value", "how"),
    [
        ("1.234", 1234.0, "thousands separated"),
        ("1.234,5", 1234.5, "thousands separated, decimal comma"),
        ("3,14", 3.14, "decimal comma"),
        ("1e3", 1000.0, ""),
        ("3.14", np.nan, "bad"),
    ],
)
def test_where_a_comma_is_the_decimal_sign_a_dot_parts_thousands(cell, value, how):
    assert number(cell, ",") == (pytest.approx(value, nan_ok=True), how)


# --- which runs share a budget -------------------------------------------------------------------


def at_flops(flops, **more):
    """Runs of rising size at these flops."""
    flops = np.asarray(flops, float)
    size = np.geomspace(1e5, 1e6, len(flops))
    loss = 3 - np.arange(len(flops)) / 100
    return table.from_columns(params=size, tokens=flops / 6 / size, flops=flops, loss=loss, **more)


def grouped(flops, given=None):
    return [(budget, len(rows)) for budget, rows in budgets.group(at_flops(flops), given, [])]


def test_rows_within_ten_percent_are_of_a_budget_that_is_given():
    flops = 1e12 * np.array([0.88, 0.91, 1, 1.09, 1.11, 3.7, 4])
    assert grouped(flops, [4e12, 1e12]) == [(1e12, 3), (4e12, 2)]


def test_steps_of_five_percent_part_budgets_and_a_third_of_the_rows_may_be_budgets():
    def steps(by):
        return np.exp(np.cumsum([0, *by]))

    alike = steps([0.02, 0.049, 0.02, 0.9, 0.049, 0.049])
    assert [count for _, count in grouped(1e12 * alike)] == [4, 3]
    apart = 1e12 * steps([0.02, 0.051, 0.02, 0.9, 0.049, 0.049, 0.001, 0.001])
    assert [count for _, count in grouped(apart)] == [2, 2, 5]
    np.testing.assert_allclose(grouped(apart)[0][0], 1e12 * np.exp(0.01))
    with pytest.raises(ValueError, match="8 runs have 3 different flops"):
        grouped(apart[:-1])


def test_a_budget_s_flops_run_over_no_more_than_thirty_percent():
    (one,) = grouped(1e12 * np.exp(np.linspace(0, 0.29, 9)))
    assert one[1] == 9
    wide = 1e12 * np.exp([*np.linspace(0, 0.31, 9), 2, 2, *np.linspace(4, 4.6, 16)])
    with pytest.raises(ValueError, match=r"flops run from 1e\+12 to 1.36e\+12 without a gap"):
        grouped(wide)


@pytest.mark.parametrize("off", [1.19, 1 / 1.19, 1.21, 1 / 1.21])
def test_a_budget_whose_rows_lie_a_fifth_off_their_median_is_none(off):
    flops = np.array([1, 1, 1, 1, off, 4, 4, 4, 4, 4]) * 1e12
    runs = at_flops(flops, budget=[1e12] * 5 + [4e12] * 5)
    told = budgets.uneven(runs)
    assert told.startswith("budget is no budget: rows of one have flops up to 1.2 times their median") == (
        max(off, 1 / off) > 1.2
    )
    assert budgets.uneven(at_flops(3 * flops[[0, 1, 5, 6]], budget=[1e12] * 2 + [4e12] * 2)) == ""


def test_levels_of_compute_worth_a_budget_have_four_sizes_and_lie_apart():
    """At most nine, in rising order; of rows that ten percent reach, one level."""
    levels = np.repeat(1e12 * 2.0 ** np.arange(10), [5, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    sizes = [size for _, size in budgets.dense(at_flops(levels))]
    assert sizes == [5] + [4] * 8
    assert budgets.dense(at_flops([1e12] * 3 + [4e12] * 4)) == [(4e12, 4)]
    near = budgets.dense(at_flops([1e12] * 4 + [1.23e12] * 5))
    assert near == [(1.2e12, 5)]
    assert budgets.dense(at_flops([1e12] * 4 + [1.3e12] * 5)) == [(1e12, 4), (1.3e12, 5)]


# --- cells, settings, names ----------------------------------------------------------------------


def test_a_cell_holds_several_values_where_two_known_ones_differ():
    cell = np.array([0, 0, 1, 1, 2, 2, 3])
    assert cautions.cells_of_several(cell, np.array([0, 1, 1, 1, -1, 0, 0])) == 1
    assert cautions.cells_of_several(cell, np.array([0, 1, 2, 0, 0, 0, 5])) == 2
    assert cautions.cells_of_several(cell, np.full(7, -1)) == 0


def controls(count):
    """Nine runs of a design and some beside it."""
    size = np.geomspace(1e5, 1e6, 9 + count)
    names = np.array([f"run-{i:02d}-of-many" for i in range(9 + count)], object)
    budget = np.array([1e12] * 9 + [0] * count)
    made = table.from_columns(
        run_id=names,
        params=size,
        tokens=1e12 / 6 / size,
        loss=3 - size / 1e7,
        flops=[1e12] * (9 + count),
        budget=budget,
    )
    return cautions.without_budget(made.columns, made.roles)


def test_runs_beside_the_design_are_counted_and_three_are_named():
    beside, line = controls(3)
    assert beside.tolist() == [False] * 9 + [True] * 3
    assert line.startswith(
        "3 of 12 runs (run-09-o, run-10-o, run-11-o) have no budget and the others have one"
    )
    assert controls(4)[1].startswith("4 of 13 runs (run-09-o, run-10-o, run-11-o, ...) have no budget")
    assert controls(0)[1] == ""


@pytest.mark.parametrize(("kinds", "shown"), [(3, "(a, b, c)"), (4, "(a, b, c, ...)")])
def test_three_values_of_a_column_are_written_out(kinds, shown):
    values = np.array(list("abcd"[:kinds]) * 6, object)
    rows = 6 * kinds
    size = np.repeat(np.geomspace(1e5, 1e6, 6), kinds)
    columns = {"params": size, "tokens": [1e8] * rows, "loss": 3 + np.arange(rows) / 100}
    (line,) = table.from_columns(**columns, flavour=values).cautions
    assert f"6 of 6 cells of equal params and tokens hold runs that differ in flavour {shown}:" in line
    (line,) = table.from_columns(**columns, optimizer=values).cautions
    assert line.startswith(f"the runs hold {kinds} values of optimizer {shown};")


def test_a_header_of_two_words_over_one_column_is_one_name():
    assert find_delimiter(["final loss", "3.1", "3.0"]) == ","
    assert find_delimiter(["params tokens loss", "1e6 1e8 3.1"]) == " "
    assert find_delimiter(["loss", "3.1"]) == ","


def test_of_headers_that_may_be_the_loss_a_held_out_one_is_first_and_a_training_one_last():
    order = "val_loss loss paloma_loss val_bpb bpb c4_bpb ppl train_loss train_bpb train_ppl".split()
    ranks = [roles.rank("loss", parse(name)) for name in order]
    assert ranks == sorted(set(ranks))
    assert ranks[-4] < roles.TRAINING <= ranks[-3] and ranks[-1] < roles.UNFIT


# --- curves and their ends -----------------------------------------------------------------------


def test_a_rate_that_stays_tells_nothing_and_one_that_falls_by_a_tenth_decays():
    names = np.repeat(["a", "b"], 3)

    def falls(end):
        return schedule.by_rate(np.array([0, 1e-3, end * 1e-3, 1e-3, 1e-3, 1e-3]), names, "lr")

    for level in ([1e-3] * 3, [0.0] * 3, [1e-3, 1e-3, 1e-3 * (1 - 1e-7)]):
        assert schedule.by_rate(np.array(level * 2), names, "lr") is None
    assert (falls(0.91).kind, falls(0.91).message) == ("constant", "lr does not fall along any curve")
    assert (falls(0.89).kind, falls(0.89).message) == ("decaying", "lr falls along 1 of 2 curves")


def lengths(gap, runs=4):
    """One size's runs to several lengths; a longer one lies above a shorter's end by `gap`, and below
    the shorter's earlier points."""
    x = np.linspace(10, 10 + 0.2 * runs, 5 * runs + 1)
    curves = []
    for i in range(runs):
        seen = x[: 5 * (i + 1) + 1]
        loss = 2 - 0.1 * seen
        loss[-1] -= gap
        curves.append(Curve(f"run{i}", 1e6, seen + 20, seen, loss))
    return curves


@pytest.mark.parametrize(("gap", "told"), [(0.0029, False), (0.0031, True), (0.05, True)])
def test_longer_runs_above_shorter_ones_tell_a_schedule_that_decays(gap, told):
    found = schedule.by_gap(lengths(gap))
    assert (found is not None) is told
    if told:
        assert found.kind == "decaying" and f"lie {100 * np.expm1(gap):.2g} % above" in found.message
        assert "over 6 pairs" in found.message
    assert schedule.by_gap(lengths(gap, runs=2)) is None


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_a_run_is_over_from_ninety_nine_percent_on(whole):
    share = whole * np.array([0.5, 0.985, 0.99, 1.0])
    ((rows, reason),) = states.unfinished({"progress": share})
    assert rows.tolist() == [True, True, False, False]
    assert reason == f"progress is below {whole:g}: before the end of its run"
    assert list(states.unfinished({"progress": whole * np.array([0.5, 0.98])})) == []
    ((rows, _),) = states.unfinished({"step": np.array([500, 985, 995.0]), "max_steps": np.full(3, 1000.0)})
    assert rows.tolist() == [True, True, False]


def test_synthetic_curves_begin_at_a_thousandth_of_their_tokens():
    from analysis.laws import Chinchilla

    law = Chinchilla(E=1.2, A=25.0, B=60.0, alpha=0.4, beta=0.36)
    runs = synthetic.curves(law, [1e5], tokens=[1e8])
    assert runs.tokens.max() == pytest.approx(1e8) and runs.tokens.min() == pytest.approx(1e5)
    np.testing.assert_allclose(runs.loss, law.loss(runs.params, runs.tokens))
    above = synthetic.curves(law, [1e5], tokens=[1e8], inflation=0.1)
    left = 1 - runs.tokens / 1e8
    np.testing.assert_allclose(above.loss, runs.loss * np.exp(0.1 * left))


def test_tiny_models_whose_flops_agree_are_counts_and_others_may_lack_a_unit():
    """Twelve models of 600 to 9,000 weights: flops of 6 N D, with attention 1.4 times that, say that both
    are counts."""
    params, tokens = (each.ravel() for each in np.meshgrid(np.geomspace(600, 9000, 4), [2e4, 5e4, 2e5]))
    loss = 1.5 + 9 / params**0.3 + 20 / tokens**0.3
    columns = {"params": params, "tokens": tokens, "loss": loss}
    said = [
        " ".join(table.from_columns(**columns, **more).cautions)
        for more in ({}, *({"flops": times * params * tokens} for times in (6.2, 8.5, 6e3)))
    ]
    assert ["look small for counts" in line for line in said] == [True, False, False, True]


def test_rows_whose_flops_are_in_another_unit_are_refused_with_how_far_they_are_off():
    params, tokens = np.geomspace(1e7, 1e8, 6), np.geomspace(1e9, 2e9, 6)
    flops = 6 * params * tokens * np.where(np.arange(6) == 2, 1e-3, 1)
    runs = table.from_columns(params=params, tokens=tokens, flops=flops, loss=np.linspace(3, 2, 6))
    words = r"row 3: flops are 0.001 times 6·params·tokens \(1 such rows\), and 1 times in most rows"
    with pytest.raises(ValueError, match=words):
        refuse_mixed_units(runs)
