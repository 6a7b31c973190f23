"""What names of runs state of params and tokens, and what they leave open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables import table
from analysis.tables.named import settle
from analysis.tables.names import parse

PARAMS = ["{m}M", "n{m}M", "N={n}", "params={n}", "{m}Mparams", "params_{m}M", "n_params={n}", "N{e}", "{m}m"]
TOKENS = ["{t}Mtok", "D={d}", "tokens={d}", "{t}M_tokens", "tokens_{t}M", "d={f}", "D{f}", "{t}MT"]
NOISE = [
    "gpt2",
    "2024-01-31",
    "20240131",
    "12-30-05",
    "lr3e-4",
    "lr=0.001",
    "seed3",
    "s1",
    "224px",
    "vocab50k",
    "a1b2c",
    "00017",
    "4bit",
    "d512",
    "l8",
    "bs256",
    "A100-40G",
    "550e8400-e29b-41d4",
    "8h",
    "v2.5",
    "10ep",
    "img64x64",
]


def sizes(name):
    stated = parse(name)
    return settle(stated, True), stated.numbers.get("params"), stated.numbers.get("tokens")


@given(
    st.integers(10, 9999),
    st.integers(10, 9999),
    st.sampled_from(PARAMS),
    st.sampled_from(TOKENS),
    st.lists(st.sampled_from(NOISE), max_size=4, unique=True),
    st.sampled_from("-_ ,/"),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=300)
def test_what_a_name_states_is_read_or_said_to_be_unclear_and_never_something_else(
    m, t, params, tokens, noise, mark, random
):
    values = {"m": m / 10, "n": m * 10**5, "e": f"{m / 10}e6", "t": t, "d": t * 10**6, "f": f"{t}e6"}
    parts = [params.format(**values), tokens.format(**values), *noise]
    random.shuffle(parts)
    unclear, n, d = sizes(mark.join(parts))
    if not unclear:
        np.testing.assert_allclose([n, d], [m * 1e5, t * 1e6])
    else:  # a word that may belong to the number before it or behind it
        assert "_" in params or "_" in tokens


@given(st.lists(st.sampled_from(NOISE), max_size=6), st.sampled_from("-_ ,/"))
@settings(deadline=None)
def test_dates_pixels_rates_and_seeds_are_no_sizes(noise, mark):
    assert sizes(mark.join(noise))[1:] == (None, None)


@pytest.mark.parametrize(
    ("name", "n", "d"),
    [
        ("pythia-70m-deduped", 70e6, None),
        ("run-d512_l8_n10M", 10e6, None),
        ("Qwen2.5-0.5B", 0.5e9, None),
        ("olmo-190M_3.8BT", 190e6, 3.8e9),
        ("tokens_3B_params_124M", 124e6, 3e9),
        ("3B_tokens-124M_params", 124e6, 3e9),
        ("mixtral-8x7B", None, None),
    ],
)
def test_names_as_people_give_them(name, n, d):
    assert sizes(name) == ("", n, d)


@pytest.mark.parametrize("name", ["70M-1B", "7B-2T", "30B-A3B", "opt-125m-8k", "gpt_124M_tokens_3B"])
def test_what_may_be_read_in_two_ways_is_unclear(name):
    unclear, n, d = sizes(name)
    assert unclear and n is None and d is None


def curves(names, steps=(50, 100), **more):
    names = [name for name in names for _ in steps]
    loss = 2 + np.arange(len(names)) / 100
    columns = {"run_id": names, "step": [*steps] * (len(names) // len(steps)), "val_loss": loss}
    return table.from_columns(**columns, **more)


def test_rows_of_a_curve_have_their_share_of_the_tokens_of_its_run():
    runs = curves(["1M_20Mtok", "2M_40Mtok"])
    np.testing.assert_array_equal(runs.params, [1e6, 1e6, 2e6, 2e6])
    np.testing.assert_array_equal(runs.tokens, [1e7, 2e7, 2e7, 4e7])
    assert (
        "read from the names of runs (column 'run_id')" in runs.cautions[0] and "by step" in runs.cautions[0]
    )
    once = table.from_columns(run_id=["1M_20Mtok", "2M_40Mtok"], step=[50, 100], loss=[3.0, 2.5])
    np.testing.assert_array_equal(once.tokens, [2e7, 4e7])


def test_steps_times_batch_times_context_are_tokens_whether_the_table_or_the_name_counts_the_steps():
    runs = curves(["1M_b8_ctx64", "2M_b16_ctx64"])
    np.testing.assert_array_equal(runs.tokens, [50 * 512, 100 * 512, 50 * 1024, 100 * 1024])
    named = table.from_columns(name=["n1M_steps2k_bs8_seq64", "n3M_steps3k_bs8_seq64"], loss=[3.0, 2.5])
    np.testing.assert_array_equal(named.tokens, [2000 * 512, 3000 * 512])


def test_a_curve_that_ends_before_its_run_is_left_out():
    planned = curves(["1M_20Mtok_steps200", "2M_40Mtok_steps100"])
    np.testing.assert_array_equal(planned.tokens, [5e6, 1e7, 2e7, 4e7])
    names = ["1M_20Mtok", "2M_20Mtok", "3M_20Mtok", "4M_40Mtok"]  # the last has seen half of its tokens
    runs = curves(names)
    assert np.isnan(runs.tokens[-2:]).all() and (runs.reasons[-2:] == "tokens cannot be told").all()
    assert (runs.reasons[:-2] == "").all()


def test_names_that_state_no_size_are_left_out_where_they_are_few_and_refused_where_not():
    names = ["1M_20Mtok", "2M_40Mtok", "3M_40Mtok", "debug"]
    runs = table.from_columns(name=names, loss=[3.0, 2.5, 2.4, 9.0])
    assert list(runs.reasons) == ["", "", "", "params cannot be told"]
    few = table.from_columns(name=["1M_20Mtok", "a", "b", "c"], loss=[3.0, 2.5, 2.4, 9.0])
    with pytest.raises(ValueError, match="no column for params"):
        few.column("params")


def test_refusals_say_what_to_write():
    for names, found in (
        (["70M-1B", "160M-2B"], "hold 160M and 2B|hold 70M and 1B"),
        (["70M", "1B"], "params alone"),
    ):
        with pytest.raises(ValueError, match=rf"({found}).*gpt-124M_2\.5Btok or N=1\.24e8,D=2\.5e9"):
            table.from_columns(name=names, loss=[3.0, 2.5]).column("tokens")


def test_a_column_that_counts_is_never_overruled_by_a_name():
    runs = table.from_columns(name=["1M_20Mtok", "2M_40Mtok"], params=[5e6, 6e6], loss=[3.0, 2.5])
    np.testing.assert_array_equal(runs.params, [5e6, 6e6])
    np.testing.assert_array_equal(runs.tokens, [2e7, 4e7])
