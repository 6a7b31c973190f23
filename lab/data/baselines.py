"""Losses on held-out text that need no training by gradient, which a run must beat: n-gram models
and general compressors."""

import gzip
import lzma

import numpy as np

CHUNK = 1 << 22  # tokens whose n-grams are counted at once
MOST_TOKENS = 200_000_000  # of training: of more, n-grams are not counted (an hour and all memory)


def baselines(
    train: np.ndarray,
    held_out: np.ndarray,
    held_out_bytes: bytes | None,
    bytes_per_token: np.ndarray,
    known: dict[str, float],
) -> dict[str, dict[str, float | None]]:
    """Of n-grams where `train` is not too long, gzip and xz, and those `known` in nats a token: each on
    held_out[1:], in nats per token and per byte. Without known bytes n-grams alone, per token."""
    targets, size = len(held_out) - 1, bytes_per_token[held_out[1:]].sum()
    totals = {}
    if len(train) <= MOST_TOKENS:
        nats = ngram_nats(train, held_out, len(bytes_per_token))
        totals = {n: x.sum() for n, x in zip(("unigram", "bigram", "trigram"), nats, strict=True)}
    if text := held_out_bytes:
        compressed = {"gzip": len(gzip.compress(text, 9, mtime=0)), "xz": len(lzma.compress(text))}
        totals |= {program: 8 * np.log(2) * n * size / len(text) for program, n in compressed.items()}
    totals |= {name: loss * targets for name, loss in known.items()}
    return {
        name: {
            "nats_per_token": float(total / targets),
            "nats_per_byte": float(total / size) if size > 0 else None,
        }
        for name, total in totals.items()
    }


def ngram_nats(train: np.ndarray, held_out: np.ndarray, vocab_size: int) -> list[np.ndarray]:
    """Nats of each token of `held_out[1:]` under a unigram, bigram and trigram model of `train`.

    Unigram: add-one over the vocabulary. Longer: interpolated Witten-Bell (Bell, Cleary & Witten
    1990), p_n(c|h) = (count(hc) + T(h) p_{n-1}(c|h')) / (count(h) + T(h)), where T(h) is the number
    of distinct tokens seen after h. The trigram's first token, whose context is cut, is scored
    with the bigram.
    """
    held_out = np.asarray(held_out, np.int64)
    singles = count_grams(train, 0, vocab_size)
    prob = (find_counts(*singles, held_out) + 1) / (len(train) + vocab_size)
    result = [-np.log(prob[1:])]
    held_code = held_out
    for order in (1, 2):
        if len(train) <= order or len(held_out) <= order:
            result.append(result[-1])
            continue
        before = held_code[:-1]
        held_code = before * vocab_size + held_out[order:]
        grams, gram_counts = count_grams(train, order, vocab_size)
        contexts, first = np.unique(grams // vocab_size, return_index=True)
        kinds = np.diff(np.append(first, len(grams)))
        total = np.add.reduceat(gram_counts, first)
        count_hc = find_counts(grams, gram_counts, held_code)
        count_h, kinds_h = find_counts(contexts, total, before), find_counts(contexts, kinds, before)
        backoff = prob[order:]
        mixed = (count_hc + kinds_h * backoff) / np.maximum(count_h + kinds_h, 1)
        prob = np.concatenate([prob[:order], np.where(count_h > 0, mixed, backoff)])
        result.append(-np.log(prob[1:]))
    return result


def count_grams(tokens: np.ndarray, order: int, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The different runs of order + 1 tokens as numbers in base vocab_size, sorted, and how often
    each occurs; a chunk at a time, since 100 MB of text at once would take gigabytes."""
    space = vocab_size ** (order + 1)
    dense = space <= 4 * len(tokens)
    totals, parts = np.zeros(space if dense else 0, np.int64), []
    for start in range(0, len(tokens) - order, CHUNK):
        part = np.asarray(tokens[start : start + CHUNK + order], np.int64)
        code = part[: len(part) - order]
        for k in range(1, order + 1):
            code = code * vocab_size + part[k : len(part) - order + k]
        if dense:
            totals += np.bincount(code, minlength=space)
        else:
            parts.append(np.unique(code, return_counts=True))
    if dense:
        found = np.flatnonzero(totals)
        return found, totals[found]
    codes, counts = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    found, place = np.unique(codes, return_inverse=True)
    return found, np.bincount(place, weights=counts).astype(np.int64)


def find_counts(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """values[keys == wanted], 0 where a key is not there; keys are sorted."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
