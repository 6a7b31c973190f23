"""Interpolated Kneser-Ney n-grams: the best that counting alone foretells (Kneser & Ney 1995; Chen & Goodman
1998, TR-10-98, section 4.1.6)."""

from collections.abc import Iterator

import numpy as np

from lab.data.baselines import count_grams, find_counts


def nats(train: np.ndarray, held_out: np.ndarray, vocab_size: int, order: int) -> np.ndarray:
    """Nats of each token of held_out[1:], (H - 1,), given the `order` - 1 before it, or as many as there are.

    The longest grams count how often they occur, shorter ones how many tokens they follow; of each count
    n1 / (n1 + 2 n2) goes to the next shorter, and at last to all tokens alike, where n1 and n2 are the
    grams counted once (one where none is) and twice.

    Raises:
      ValueError: an order whose grams have no number below 2^63, or no gram to count.
    """
    if not 1 <= order <= 62 / np.log2(vocab_size) or len(train) < order:
        raise ValueError(
            f"order {order} of {vocab_size} tokens, {len(train)} to train on: no gram can be counted"
        )
    held_out = np.asarray(held_out, np.int64)
    prob = np.full(len(held_out), 1.0 / vocab_size)
    code = np.zeros(len(held_out) + 1, np.int64)  # of the context that ends before each token
    for n, (codes, counts) in enumerate(counted(train, vocab_size, order)):
        here = code[: len(held_out) - n] * vocab_size + held_out[n:]
        once, twice = max((counts == 1).sum(), 1), (counts == 2).sum()
        discount = once / (once + 2 * twice)
        contexts, first = np.unique(codes // vocab_size, return_index=True)
        totals, kinds = np.add.reduceat(counts, first), np.diff(np.append(first, len(codes)))
        of, each = find_counts(contexts, totals, here // vocab_size), find_counts(codes, counts, here)
        left = discount * find_counts(contexts, kinds, here // vocab_size) * prob[n:]
        prob[n:] = np.where(of > 0, (np.maximum(each - discount, 0) + left) / np.maximum(of, 1), prob[n:])
        code = here
    return -np.log(prob[1:])


def counted(train: np.ndarray, vocab_size: int, order: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(numbers of the grams in base vocab_size, sorted, their counts) of 1 to `order` tokens."""
    for n in range(1, order):
        longer = count_grams(train, n, vocab_size)[0]
        yield np.unique(longer % vocab_size**n, return_counts=True)
    yield count_grams(train, order - 1, vocab_size)
