"""Batches through the permutation: nothing repeats in an epoch, nothing depends on the order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.data.batches import batches, eval_windows, n_windows, permute, windows_of

SEEDS = st.integers(0, 2**63)


def batch(tokens, seed, step, *rest, **rows):
    return batches(tokens, seed, step, 1, *rest, **rows)[0]


@given(st.integers(1, 3000), SEEDS, st.integers(0, 1000))
def test_the_permutation_is_a_bijection_for_every_n(n, seed, epoch):
    assert sorted(permute(np.arange(n), n, seed, epoch)) == list(range(n))


def test_the_permutation_spreads_every_window_over_every_place():
    n, keys = 37, 4000
    places = np.array([permute(np.arange(n), n, seed, 0) for seed in range(keys)])
    for place in (0, 1, 18, 36):
        counts = np.bincount(places[:, place], minlength=n)
        chi2 = ((counts - keys / n) ** 2 / (keys / n)).sum()
        assert chi2 < (n - 1) + 5 * np.sqrt(2 * (n - 1))
    step = np.diff(places, axis=1) % n  # neighbours are not sent to neighbours
    assert abs((step == 1).mean() - 1 / n) < 0.005


@settings(deadline=None)
@given(st.integers(1, 200), SEEDS, st.integers(1, 7), st.integers(1, 9))
def test_each_epoch_predicts_every_window_once(n, seed, seq_len, batch_size):
    tokens = np.arange(n * seq_len + 1)
    n_steps = -(-3 * n // batch_size)
    rows = batches(tokens, seed, 0, n_steps, batch_size, seq_len).reshape(-1, seq_len + 1)
    assert (np.diff(rows, axis=1) == 1).all(), "a window is a run of the text"
    for epoch in range(3):
        targets = rows[epoch * n : (epoch + 1) * n, 1:]
        np.testing.assert_array_equal(np.sort(targets, axis=None), tokens[1:])
    if n > 20:
        assert not np.array_equal(rows[:n], rows[n : 2 * n]), "each epoch has its own order"


@settings(deadline=None)
@given(SEEDS, st.integers(0, 500), st.integers(1, 6), st.integers(1, 8), st.booleans())
def test_several_steps_at_once_equal_one_at_a_time(seed, first, n_steps, batch_size, limited):
    tokens = np.random.default_rng(0).integers(0, 256, 1000).astype(np.uint8)
    unique = 300 if limited else None
    together = batches(tokens, seed, first, n_steps, batch_size, 8, unique)
    assert together.dtype == np.int32 and together.shape == (n_steps, batch_size, 9)
    for step in reversed(range(n_steps)):
        one = batch(tokens, seed, first + step, batch_size, 8, unique)
        np.testing.assert_array_equal(one, together[step])


@given(SEEDS, st.integers(0, 50), st.integers(1, 5))
def test_hosts_reading_their_rows_make_up_the_batch(seed, step, n_hosts):
    tokens = np.arange(500)
    whole = batch(tokens, seed, step, 8, 10)
    for host in range(n_hosts):
        rows = slice(host, None, n_hosts)
        np.testing.assert_array_equal(batch(tokens, seed, step, 8, 10, rows=rows), whole[rows])


def test_seeds_give_different_orders_of_the_same_windows():
    a, b = (windows_of(np.arange(99), seed, 1000, 10) for seed in (0, 1))
    assert not np.array_equal(a, b)
    assert sorted(a) == sorted(b) == list(range(99))


def test_unique_tokens_keep_the_same_windows_for_every_seed_nested_and_spread():
    def kept(unique, seed, examples):
        return set(windows_of(np.arange(examples), seed, 10_001, 10, unique).tolist())

    small, large = kept(500, 1, 50), kept(3000, 1, 300)
    assert len(small) == 50 and len(large) == 300, "no repeats within their epoch"
    assert small == kept(500, 2, 50) == kept(509, 3, 200)
    assert small < large
    assert all(sum(w // 200 == part for w in large) > 30 for part in range(5))
    assert kept(10_000, 4, 1000) == set(range(1000))


def test_all_tokens_unique_is_no_limit():
    tokens = np.arange(1001)
    limited = batches(tokens, 5, 0, 9, 7, 10, unique_tokens=1000)
    np.testing.assert_array_equal(limited, batches(tokens, 5, 0, 9, 7, 10))


@given(st.integers(2, 300), st.integers(1, 40))
def test_evaluation_counts_every_target_once_in_order(n, seq_len):
    stream = np.arange(n).astype(np.uint16)
    if n <= seq_len:
        with pytest.raises(ValueError, match="holds"):
            eval_windows(stream, seq_len)
        return
    windows, mask = eval_windows(stream, seq_len)
    assert windows.shape == (len(mask), seq_len + 1) and windows.dtype == np.int32
    np.testing.assert_array_equal(windows[:, 1:][mask], stream[1:])
    np.testing.assert_array_equal(windows[:, :-1] + 1, windows[:, 1:])


def test_the_cheap_evaluation_is_a_fixed_even_subset_of_the_whole():
    stream = np.arange(10_000)
    windows, mask = eval_windows(stream, 100, 1000)
    assert mask.all() and mask.shape == (10, 100)
    assert (windows[:, 0] % 100 == 0).all()
    gaps = np.diff(windows[:, 0])
    assert gaps.max() - gaps.min() <= 100 and windows[0, 0] < 1000 and windows[-1, 0] > 9000
    everything, _ = eval_windows(stream, 100, 10**9)
    np.testing.assert_array_equal(everything, eval_windows(stream, 100)[0])


def test_a_sources_own_nats_are_cut_like_the_tokens():
    tokens = np.arange(1000)
    nats = np.where(tokens < 2, np.nan, tokens / 7)
    cut, mask = eval_windows(nats, 64)
    windows, same_mask = eval_windows(tokens, 64)
    np.testing.assert_array_equal(mask, same_mask)
    assert np.isnan(cut).sum() == 2 and cut.dtype == float
    np.testing.assert_array_equal(cut[1:], windows[1:] / 7)


def test_bad_sizes_are_refused_with_numbers():
    with pytest.raises(ValueError, match=r"holds 50 tokens .* needs 65"):
        batch(np.zeros(50, np.uint8), 0, 0, 4, 64)
    with pytest.raises(ValueError, match="less than one window"):
        n_windows(1000, 64, unique_tokens=63)
    with pytest.raises(ValueError, match="more than the 1,000 training tokens"):
        n_windows(1000, 64, unique_tokens=2000)
    with pytest.raises(ValueError, match="before the first step"):
        batch(np.zeros(500, np.uint8), 0, -1, 4, 64)
