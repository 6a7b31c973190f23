"""Tasks that are learned in context, as languages: what answers a sentence's question stands in the sentence
itself and in no other, so no weight can hold it. Their entropy is known, as any language's here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from lab.data.grammars import Sentences

LONGEST = 2048  # tokens of a sentence: a document holds whole ones
SIMULATED = 4096  # sentences behind an entropy that no sum gives


class Task(Sentences):
    """Independent sentences of one length, a power of two: marks, of which there is one at least, and the
    content. Windows of so many tokens, or of whole numbers of sentences, cut none."""

    seed: int
    vocabulary: int  # symbols of the content; the mark is the next
    length: int  # tokens of the content
    form: ClassVar[str]

    def __post_init__(self) -> None:
        if self.seed < 0 or self.length < 1 or self.sentence > LONGEST:
            raise ValueError(f"{self}: the seed is 0 or more, and a sentence of 2 to {LONGEST} tokens")

    @property
    def n_symbols(self) -> int:
        return self.vocabulary + 1

    @property
    def sentence(self) -> int:
        """Tokens of a sentence."""
        return 1 << self.length.bit_length()

    @property
    def choices(self) -> int:
        """Among how many symbols an answer's token is."""
        return self.vocabulary

    @property
    def asked(self) -> np.ndarray:
        """Which tokens of a sentence are its answer, (sentence,)."""
        return np.pad(self.told, (self.sentence - self.length, 0))

    @property
    def told(self) -> np.ndarray:
        """... of its content, (length,)."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """The contents of so many sentences, (count, length)."""
        raise NotImplementedError

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        """Probability of each token of contents given those before it, for one who knows the task."""
        raise NotImplementedError

    def documents(self, count: int, length: int, seed: int) -> np.ndarray:
        """`count` documents of whole sentences, (count, length) symbols; a length that no whole number of
        sentences makes is rounded up and cut."""
        rng = np.random.default_rng([self.seed, 1 << 20, seed])
        each = -(-length // self.sentence)
        content = self.draw(rng, count * each)
        marked = np.pad(content, ((0, 0), (self.sentence - self.length, 0)), constant_values=self.vocabulary)
        return np.ascontiguousarray(marked.reshape(count, -1)[:, :length], np.int32)

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Nats (log probability) of each token given all before it in its sentence, along the last axis, on
        which whole sentences follow each other; -inf for what can't be said.

        Raises:
          ValueError: the last sentence is cut.
        """
        tokens = np.asarray(tokens, np.int64)
        if tokens.shape[-1] % self.sentence:
            raise ValueError(f"{tokens.shape[-1]} tokens cut the sentences of {self.sentence}")
        rows, marks = tokens.reshape(-1, self.sentence), self.sentence - self.length
        known = rows[:, marks:] < self.vocabulary
        with np.errstate(divide="ignore"):
            content = np.log(known * self.chances(np.where(known, rows[:, marks:], 0)))
            begin = np.log((rows[:, :marks] == self.vocabulary).astype(float))
        return np.concatenate([begin, content], 1).reshape(tokens.shape)

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no model can go below on average. A mean over sentences: exact where all are
        equally likely, as of copies, recall and sums, else by simulation."""
        rng = np.random.default_rng([self.seed, 1])
        nats = -np.log(self.chances(self.draw(rng, SIMULATED))).sum(1)
        return float(nats.mean()) / self.sentence


@dataclass(frozen=True, kw_only=True)
class Copy(Task):
    """A random word, and the same again: what an induction head does (Olsson et al. 2022)."""

    symbols: int = 16
    word: int = 15
    seed: int = 0
    form: ClassVar[str] = "copy:SYMBOLS-WORD-SEED[-TOKENS]"

    vocabulary = property(lambda self: self.symbols)
    length = property(lambda self: 2 * self.word)
    told = property(lambda self: np.arange(self.length) >= self.word)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.tile(rng.integers(0, self.symbols, (count, self.word)), 2)

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        first, second = np.split(content_SN, 2, axis=1)
        return np.concatenate([np.full(first.shape, 1 / self.symbols), 1.0 * (first == second)], 1)


@dataclass(frozen=True, kw_only=True)
class Recall(Task):
    """Keys, each with its value, then some of the keys again, each asking for its value (Arora et al. 2023,
    arXiv 2312.04927). Keys are symbols 0.., values the next; a key asks anew however often it was asked."""

    symbols: int = 16  # of keys, and as many of values
    pairs: int = 8
    queries: int = 7
    seed: int = 0
    form: ClassVar[str] = "recall:SYMBOLS-PAIRS-QUERIES-SEED[-TOKENS]"

    vocabulary = property(lambda self: 2 * self.symbols)
    choices = property(lambda self: self.symbols)
    length = property(lambda self: 2 * (self.pairs + self.queries))
    told = property(
        lambda self: (np.arange(self.length) > 2 * self.pairs) & (np.arange(self.length) % 2 == 1)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.pairs <= self.symbols:
            raise ValueError(f"{self}: pairs have different keys, from 1 to {self.symbols} of them")

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        keys = rng.random((count, self.symbols)).argsort(1)[:, : self.pairs]
        values = rng.integers(self.symbols, 2 * self.symbols, keys.shape)
        asked = rng.integers(0, self.pairs, (count, self.queries))
        which = np.concatenate([np.tile(np.arange(self.pairs), (count, 1)), asked], 1)
        both = [np.take_along_axis(of, which, 1) for of in (keys, values)]
        return np.stack(both, 2).reshape(count, -1)

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        keys, values = content_SN[:, ::2], content_SN[:, 1::2]
        own, P = keys[:, : self.pairs], self.pairs
        match = keys[:, :, None] == own[:, None]  # (S, pairs + queries, pairs)
        before = np.tril(np.ones((keys.shape[1], P), bool), -1)
        fresh = ~(match & before).any(2) & (keys < self.symbols)
        found = np.take_along_axis(values[:, :P], match.argmax(2), 1)
        of_keys = np.where(
            np.arange(keys.shape[1]) < P, fresh / (self.symbols - before.sum(1)), match.any(2) / P
        )
        given = (values >= self.symbols) / self.symbols
        of_values = np.where(np.arange(keys.shape[1]) < P, given, values == found)
        return np.stack([of_keys, of_values], 2).reshape(content_SN.shape)


@dataclass(frozen=True, kw_only=True)
class Sums(Task):
    """Two numbers and their sum, digit by digit and without carry: a_i, b_i and (a_i + b_i) modulo `modulus`
    follow each other, for each i."""

    modulus: int = 8
    digits: int = 5
    seed: int = 0
    form: ClassVar[str] = "sums:MODULUS-DIGITS-SEED[-TOKENS]"

    vocabulary = property(lambda self: self.modulus)
    length = property(lambda self: 3 * self.digits)
    told = property(lambda self: np.arange(self.length) % 3 == 2)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        a, b = rng.integers(0, self.modulus, (2, count, self.digits))
        return np.stack([a, b, (a + b) % self.modulus], 2).reshape(count, -1)

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        a, b, total = (content_SN[:, place::3] for place in range(3))
        drawn = np.full(a.shape, 1 / self.modulus)
        right = total == (a + b) % self.modulus
        return np.stack([drawn, drawn, right], 2).reshape(content_SN.shape)


@dataclass(frozen=True, kw_only=True)
class Bigrams(Task):
    """A walk on a Markov chain that no other sentence has: each symbol's successors are drawn for the
    sentence from a Dirichlet distribution of weights 1/2. Who knows that alone foretells by (n_ij + 1/2) /
    (n_i + V/2), of the pairs seen so far (Krichevsky & Trofimov 1981), and nobody does better."""

    symbols: int = 4
    walk: int = 63
    seed: int = 0
    form: ClassVar[str] = "bigrams:SYMBOLS-WALK-SEED[-TOKENS]"

    vocabulary = property(lambda self: self.symbols)
    length = property(lambda self: self.walk)
    told = property(lambda self: np.arange(self.length) >= self.length // 2)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        ceiling = rng.dirichlet(np.full(self.symbols, 0.5), (count, self.symbols)).cumsum(2)[:, :, :-1]
        out = np.empty((count, self.walk), np.int64)
        out[:, 0] = rng.integers(0, self.symbols, count)
        for place in range(1, self.walk):
            of = ceiling[np.arange(count), out[:, place - 1]]
            out[:, place] = (rng.random(count)[:, None] >= of).sum(1)
        return out

    def chances(self, content_SN: np.ndarray) -> np.ndarray:
        S, V = len(content_SN), self.symbols
        seen, rows = np.full((S, V, V), 0.5), np.arange(S)
        out = np.full(content_SN.shape, 1 / V)
        for place in range(1, content_SN.shape[1]):
            before, now = content_SN[:, place - 1], content_SN[:, place]
            out[:, place] = seen[rows, before, now] / seen[rows, before].sum(1)
            seen[rows, before, now] += 1
        return out


TASKS = {"copy": Copy, "recall": Recall, "sums": Sums, "bigrams": Bigrams}  # by the first word of their names
