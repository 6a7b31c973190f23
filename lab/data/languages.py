"""Languages whose loss is known without training a Transformer: synthetic ones, whose entropy rate
is computed, and n-gram models, whose loss on held-out text a real run must beat.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np

from lab.data.grammars import Grammar, entropy, parse_grammar

MAX_CONTEXTS = 2000
CHUNK = 1 << 22  # tokens whose n-grams are counted at once
MARKOV_NAME = "markov:SYMBOLS-ORDER-BRANCHING-SEED[-TOKENS]"
SYNTHETIC = ("markov:", "grammar:")  # how their corpora's names begin


@dataclass(frozen=True, kw_only=True)
class Markov:
    """A stationary source: each token is drawn given the `order` before it.

    Each of the n_symbols**order contexts has `branching` distinct successors, picked uniformly,
    with probabilities drawn from a flat Dirichlet. A draw whose chain is not ergodic (more than one
    closed class, or a period) is thrown away and drawn again from the same seed. Contexts outside
    the one closed class never occur, since documents start in the stationary distribution.
    """

    n_symbols: int = 16
    order: int = 2
    branching: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order < 1 or self.seed < 0:
            raise ValueError(f"{self}: order must be at least 1 and seed at least 0")
        if self.order > 16 or not 2 <= self.n_symbols**self.order <= MAX_CONTEXTS:
            raise ValueError(
                f"{self.n_symbols} symbols and order {self.order} make "
                f"{self.n_symbols}^{self.order} contexts; choose from 2 to {MAX_CONTEXTS}"
            )
        if not 2 <= self.branching <= self.n_symbols:
            raise ValueError(
                f"branching={self.branching}: each context needs from 2 to n_symbols="
                f"{self.n_symbols} successors (with 1 the language would have no entropy)"
            )

    @property
    def unknown(self) -> int:
        """Tokens at a document's start whose probability the source does not tell."""
        return self.order

    @property
    def n_contexts(self) -> int:
        return self.n_symbols**self.order

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """successors_SB (symbols), probs_SB, and the contexts of the closed class, sorted."""
        for attempt in range(100):
            rng = np.random.default_rng([self.seed, attempt])
            ranks = rng.random((self.n_contexts, self.n_symbols)).argsort(axis=1)
            successors = np.sort(ranks[:, : self.branching], axis=1)
            probs = rng.dirichlet(np.ones(self.branching), self.n_contexts)
            closed = _ergodic_class(self._next(np.arange(self.n_contexts)[:, None], successors))
            if closed is not None:
                return successors, probs, closed
        raise ValueError(f"{self}: 100 draws gave no ergodic chain; use more branching")

    def _next(self, context: np.ndarray, symbol: np.ndarray) -> np.ndarray:
        return context * self.n_symbols % self.n_contexts + symbol

    @cached_property
    def stationary(self) -> np.ndarray:
        """How often each context occurs, (contexts,): solved from pi P = pi, sum pi = 1."""
        successors, probs, closed = self._table
        n = len(closed)
        to = np.searchsorted(closed, self._next(closed[:, None], successors[closed]))
        balance = -np.eye(n)
        np.add.at(balance, (to, np.arange(n)[:, None]), probs[closed])
        balance[-1] = 1.0  # one balance equation follows from the others; this one is the sum
        pi = np.zeros(self.n_contexts)
        pi[closed] = np.linalg.solve(balance, np.eye(n)[-1]).clip(0)
        return pi / pi.sum()

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no model can go below on average: sum_s pi(s) H(next | s)."""
        _, probs, _ = self._table
        return float(self.stationary @ entropy(probs))

    def floor(self, context: int) -> float:
        """Nats per target that no model can go below on average over windows of `context` tokens:
        `entropy_rate`, but for the first order - 1 targets, whose context is cut."""
        cut = min(self.order, context)
        ends = (self.stationary.reshape(-1, self.n_symbols**k).sum(axis=0) for k in range(1, cut + 1))
        nats = [float(entropy(p)) for p in ends]  # of the last 1, 2, ... symbols of a context
        early = nats[-1] - nats[0]  # by the chain rule, of the targets with too little before them
        return (early + (context - cut + 1) * self.entropy_rate) / context

    def documents(self, count: int, length: int, seed: int) -> np.ndarray:
        """`count` independent stationary documents, (count, length) symbols."""
        if length <= self.order:
            raise ValueError(f"a document of {length} tokens is no longer than order={self.order}")
        successors, probs, _ = self._table
        ceiling = probs.cumsum(axis=1)[:, :-1]  # the last successor takes all that is left
        rng = np.random.default_rng([self.seed, 1 << 20, seed])
        context = rng.choice(self.n_contexts, size=count, p=self.stationary)
        tokens = np.empty((length, count), np.int32)
        for place in range(self.order):
            tokens[place] = context // self.n_symbols ** (self.order - 1 - place) % self.n_symbols
        for place in range(self.order, length):
            branch = (rng.random(count)[:, None] >= ceiling[context]).sum(axis=1)
            tokens[place] = successors[context, branch]
            context = self._next(context, tokens[place])
        return np.ascontiguousarray(tokens.T)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """One stationary document of n symbols."""
        return self.documents(1, n, seed)[0]

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Nats (log probability) of each token given the `order` before it, along the last axis.

        NaN where the context is unknown (the first `order` tokens); -inf for what can't be said.
        """
        tokens = np.asarray(tokens, np.int64)
        successors, probs, _ = self._table
        dense = np.zeros((self.n_contexts, self.n_symbols))
        np.put_along_axis(dense, successors, probs, axis=1)
        length = tokens.shape[-1]
        context = sum(
            tokens[..., k : length - self.order + k] * self.n_symbols ** (self.order - 1 - k)
            for k in range(self.order)
        )
        out = np.full(tokens.shape, np.nan)
        with np.errstate(divide="ignore"):
            out[..., self.order :] = np.log(dense[context, tokens[..., self.order :]])
        return out


def parse_markov(name: str) -> tuple[Markov, int | None]:
    """The source and, where given, the number of tokens that a corpus name asks for."""
    match = re.fullmatch(r"markov:(\d+)-(\d+)-(\d+)-(\d+)(?:-(\d+))?", name)
    if not match:
        raise ValueError(f"{name!r}: a synthetic language is named {MARKOV_NAME}, as markov:16-2-4-0")
    n_symbols, order, branching, seed = (int(part) for part in match.groups()[:4])
    tokens = int(match[5]) if match[5] else None
    return Markov(n_symbols=n_symbols, order=order, branching=branching, seed=seed), tokens


Language = Markov | Grammar


def parse_language(name: str) -> tuple[Language, int | None]:
    """The language of a corpus name that begins as one of `SYNTHETIC`, and its tokens if given."""
    return (parse_grammar if name.startswith("grammar:") else parse_markov)(name)


def _ergodic_class(next_SB: np.ndarray) -> np.ndarray | None:
    """The states of the one closed, aperiodic class of the chain, sorted; None if there is none."""
    start = 0
    while True:
        forward = _levels(next_SB, start)
        reached = forward >= 0
        backward = _reaching(next_SB, start)
        if not (reached & ~backward).any():
            break  # whatever `start` reaches leads back to it: its class is closed
        start = int(np.flatnonzero(reached & ~backward)[0])
    if not backward.all():
        return None  # some state never gets here, so there is another closed class
    closed = np.flatnonzero(reached)
    steps = forward[closed][:, None] + 1 - forward[next_SB[closed]]
    period = 0
    for step in np.unique(np.abs(steps)):
        period = gcd(period, int(step))
    return closed if period == 1 else None


def _levels(next_SB: np.ndarray, start: int) -> np.ndarray:
    """Steps from `start` to each state, -1 where it never comes."""
    level = np.full(len(next_SB), -1)
    frontier, depth = np.array([start]), 0
    while len(frontier):
        level[frontier] = depth
        frontier, depth = np.unique(next_SB[frontier]), depth + 1
        frontier = frontier[level[frontier] < 0]
    return level


def _reaching(next_SB: np.ndarray, goal: int) -> np.ndarray:
    """Which states can come to `goal`."""
    can = np.zeros(len(next_SB), bool)
    can[goal] = True
    while True:
        grown = can | can[next_SB].any(axis=1)
        if (grown == can).all():
            return can
        can = grown


def ngram_nats(train: np.ndarray, held_out: np.ndarray, vocab_size: int) -> list[np.ndarray]:
    """Nats of each token of `held_out[1:]` under a unigram, bigram and trigram model of `train`.

    Unigram: add-one over the vocabulary. Longer: interpolated Witten-Bell (Bell, Cleary & Witten
    1990), p_n(c|h) = (count(hc) + T(h) p_{n-1}(c|h')) / (count(h) + T(h)), where T(h) is the number
    of distinct tokens seen after h. The trigram's first token, whose context is cut, is scored
    with the bigram.
    """
    held_out = np.asarray(held_out, np.int64)
    singles = _grams(train, 0, vocab_size)
    prob = (_found(*singles, held_out) + 1) / (len(train) + vocab_size)
    result = [-np.log(prob[1:])]
    held_code = held_out
    for order in (1, 2):
        if len(train) <= order or len(held_out) <= order:
            result.append(result[-1])
            continue
        before = held_code[:-1]
        held_code = before * vocab_size + held_out[order:]
        grams, gram_counts = _grams(train, order, vocab_size)
        contexts, first = np.unique(grams // vocab_size, return_index=True)
        kinds = np.diff(np.append(first, len(grams)))
        total = np.add.reduceat(gram_counts, first)
        count_hc = _found(grams, gram_counts, held_code)
        count_h, kinds_h = _found(contexts, total, before), _found(contexts, kinds, before)
        backoff = prob[order:]
        mixed = (count_hc + kinds_h * backoff) / np.maximum(count_h + kinds_h, 1)
        prob = np.concatenate([prob[:order], np.where(count_h > 0, mixed, backoff)])
        result.append(-np.log(prob[1:]))
    return result


def _grams(tokens: np.ndarray, order: int, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
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


def _found(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """values[keys == wanted], 0 where a key is not there; keys are sorted."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
