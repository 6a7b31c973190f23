"""Batches of training windows and windows of held-out text, as pure functions of their arguments.

The training tokens are cut into windows of seq_len + 1 with stride seq_len: one epoch predicts
each token once. Example e of a run (e = step * batch_size + row) is window permutation(e mod n) of
epoch e // n, so a batch depends on (tokens, seed, step) alone: resuming needs no loader state, and
several hosts each take their rows of the same batch (`rows=slice(host, None, n_hosts)`).

The permutation is a keyed Feistel network on the next even number of bits, walked along its cycles
until it falls inside 0..n-1 (Black & Rogaway 2002): a bijection for every n, with no table. Its
round keys come from (seed, epoch) by SplitMix64 (Steele, Lea & Flood 2014).
"""

from typing import Any

import numpy as np

ROUNDS = 6
CORRUPTED, SPAN = 0.15, 3  # of a window's tokens, in spans of so many on average (Raffel et al. 2020)
SUBSET_KEY = 0x5EED  # which windows `unique_tokens` keeps is the same for every seed
WORD = (1 << 64) - 1


def batches(
    tokens: np.ndarray,
    seed: int,
    first_step: int,
    n_steps: int,
    batch_size: int,
    seq_len: int,
    unique_tokens: int | None = None,
    rows: slice = slice(None),
) -> np.ndarray:
    """The training batches of n_steps steps, (n_steps, batch_size, seq_len + 1) int32.

    No window repeats within an epoch; a batch may straddle two. `unique_tokens` limits training to
    a fixed, seed-independent set of windows spread over the corpus, and a smaller set lies inside
    every larger one. `rows` picks rows of each batch, so that each host reads only its own.
    """
    if first_step < 0:
        raise ValueError(f"step={first_step} is before the first step, 0")
    steps = np.arange(first_step, first_step + n_steps, dtype=np.int64)
    example = steps[:, None] * batch_size + np.arange(batch_size)[rows]
    if hasattr(tokens, "dealt"):  # a mixture, whose parts have windows each of its own
        return tokens.cut(example, seed, seq_len, unique_tokens)
    window = windows_of(example, seed, len(tokens), seq_len, unique_tokens)
    return cut(tokens, window * seq_len, seq_len)


def windows_of(
    example: np.ndarray, seed: int, n_train: int, seq_len: int, unique_tokens: int | None = None
) -> np.ndarray:
    """Which window of the training tokens each example of a run is."""
    total = n_windows(n_train, seq_len)
    used = n_windows(n_train, seq_len, unique_tokens)
    epoch, place = np.divmod(np.asarray(example, np.int64), used)
    window = np.empty_like(place)
    for which in np.unique(epoch):
        here = epoch == which
        window[here] = permute(place[here], used, seed, int(which))
    return window if used == total else permute(window, total, SUBSET_KEY, 0)


def n_windows(n_train: int, seq_len: int, unique_tokens: int | None = None) -> int:
    """Windows in one epoch of the corpus, or of the `unique_tokens` of it that are used."""
    total = (n_train - 1) // seq_len
    if total < 1:
        raise ValueError(
            f"the corpus holds {n_train:,} tokens and one window of seq_len={seq_len} needs "
            f"{seq_len + 1:,}; use a shorter seq_len or a larger corpus"
        )
    if unique_tokens is None:
        return total
    if unique_tokens < seq_len:
        raise ValueError(f"unique_tokens={unique_tokens} is less than one window of seq_len={seq_len}")
    if unique_tokens > n_train:
        raise ValueError(
            f"unique_tokens={unique_tokens:,} is more than the {n_train:,} training tokens of the "
            "corpus; leave it out to use all of them"
        )
    return min(total, unique_tokens // seq_len)


def eval_windows(
    stream: np.ndarray, seq_len: int, n_tokens: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Windows (W, seq_len + 1) of a held-out stream in order, and mask (W, seq_len) of its targets.

    All of it: targets are stream[1:], each counted once. Where seq_len does not divide them, the
    last window is moved back to end with the stream and its mask leaves out what was counted
    before. With n_tokens: about that many targets in whole windows spread evenly over the stream,
    always the same. Any array along the stream is cut the same way.
    """
    n_targets = len(stream) - 1
    n_whole = n_windows(len(stream), seq_len)
    if n_tokens is not None and n_tokens < n_targets:
        wanted = min(n_whole, max(1, round(n_tokens / seq_len)))
        chosen = (2 * np.arange(wanted) + 1) * n_whole // (2 * wanted)
        return cut(stream, chosen * seq_len, seq_len), np.ones((wanted, seq_len), bool)
    start = np.arange(n_whole) * seq_len
    mask = np.ones((n_whole, seq_len), bool)
    left = n_targets - n_whole * seq_len
    if left:
        start = np.append(start, n_targets - seq_len)
        mask = np.concatenate([mask, np.arange(seq_len)[None] >= seq_len - left])
    return cut(stream, start, seq_len), mask


def shift(tokens: Any) -> tuple[Any, Any]:
    """Inputs and targets of windows (..., L + 1), each (..., L): every token but the first is told from those
    before it."""
    return tokens[..., :-1], tokens[..., 1:]


def spans_of(seq_len: int) -> tuple[int, int, int]:
    """How many tokens of a window span corruption reads, how many it cuts out of these, in how many spans:
    the most whose text and answer fill seq_len + 1 places.

    Raises:
      ValueError: a window is too short for one.
    """
    for length in range(seq_len, 1, -1):
        noise = max(1, round(CORRUPTED * length))
        spans = max(1, round(noise / SPAN))
        if length + 2 * spans + 1 <= seq_len + 1 and length - noise >= spans:
            return length, noise, spans
    raise ValueError(f"seq_len={seq_len} is too short to cut a span out of; take 8 or more")


def permute(place: np.ndarray, n: int, seed: int, epoch: int) -> np.ndarray:
    """Where a keyed bijection of 0..n-1 sends each place: Feistel, walked until below n."""
    half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    key = _mix_int(_mix_int(seed) + epoch)
    keys = [np.uint64(_mix_int(key + turn)) for turn in range(1, ROUNDS + 1)]

    def once(value: np.ndarray) -> np.ndarray:
        left, right = value >> half, value & low
        for key in keys:
            left, right = right, left ^ (_mix(right + key) & low)
        return (left << half) | right

    value = once(np.asarray(place).astype(np.uint64))
    while (outside := value >= np.uint64(n)).any():
        value[outside] = once(value[outside])
    return value.astype(np.int64)


def _mix(value: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser; unsigned 64-bit arrays wrap around."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _mix_int(value: int) -> int:
    return int(_mix(np.array([value & WORD], np.uint64))[0])


def cut(stream: np.ndarray, start: np.ndarray, seq_len: int) -> np.ndarray:
    """The windows (..., seq_len + 1) of a stream that begin at these places."""
    windows = stream[start[..., None] + np.arange(seq_len + 1)]
    return windows.astype(np.int32) if np.issubdtype(windows.dtype, np.integer) else np.asarray(windows)
