"""A vocabulary of known structure: what goes with which word is known exactly, and so is what one word is to
another.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from lab.data.grammars import Sentences

MOST = 4096  # words


@dataclass(frozen=True, kw_only=True)
class Attributes(Sentences):
    """Pairs of a word and a context. A word is a value of each attribute, the v-th of them 1/v as likely as
    the first; a context tells of one attribute: which, is drawn with equal chances, and then the context,
    from the distribution of the word's value, which is drawn from a flat Dirichlet. Words are symbols 0..,
    the last attribute's value running fastest; contexts are the next, an attribute's after the other's.

    So log P(w, c) / P(w) P(c) depends on the word's value of c's attribute alone: by what two words differ
    that differ in one attribute is the same whatever their others.
    """

    values: int = 6
    attributes: int = 3
    contexts: int = 24  # of each attribute
    seed: int = 0
    form: ClassVar[str] = "attributes:VALUES-ATTRIBUTES-CONTEXTS-SEED[-TOKENS]"
    sentence: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.values < 2 or not 1 <= self.attributes <= 12 or self.contexts < 2 or self.seed < 0:
            raise ValueError(
                f"{self}: 2 values and contexts at least, 1 to 12 attributes, a seed of 0 or more"
            )
        if self.words > MOST:
            raise ValueError(f"{self}: {self.words:,} words; choose at most {MOST:,}")

    @property
    def words(self) -> int:
        return self.values**self.attributes

    @property
    def n_symbols(self) -> int:
        return self.words + self.attributes * self.contexts

    @property
    def rank(self) -> int:
        """Of the matrix of what goes with what: one, and each attribute's values but one."""
        return 1 + self.attributes * (min(self.values, self.contexts) - 1)

    @cached_property
    def values_WA(self) -> np.ndarray:
        """Each word's value of each attribute, (words, attributes)."""
        return np.stack(np.unravel_index(np.arange(self.words), (self.values,) * self.attributes), 1)

    @cached_property
    def word_probs(self) -> np.ndarray:
        """(words,)"""
        each = 1 / np.arange(1, self.values + 1)
        return (each / each.sum())[self.values_WA].prod(1)

    @cached_property
    def told_AVC(self) -> np.ndarray:
        """Of an attribute's contexts given its value, (attributes, values, contexts)."""
        rng = np.random.default_rng([self.seed, 2])
        return rng.dirichlet(np.ones(self.contexts), (self.attributes, self.values))

    @cached_property
    def context_probs(self) -> np.ndarray:
        """Of each context given a word, (words, attributes * contexts)."""
        own = [self.told_AVC[a, self.values_WA[:, a]] for a in range(self.attributes)]
        return np.concatenate(own, 1) / self.attributes

    @property
    def joint(self) -> np.ndarray:
        """Probability of each pair, (words, attributes * contexts)."""
        return self.word_probs[:, None] * self.context_probs

    def documents(self, count: int, length: int, seed: int) -> np.ndarray:
        """`count` documents of whole pairs, (count, length) symbols; an odd length is cut."""
        rng = np.random.default_rng([self.seed, 1 << 20, seed])
        shape = (count, -(-length // 2))
        words = np.searchsorted(self.word_probs.cumsum()[:-1], rng.random(shape), "right")
        told = rng.integers(0, self.attributes, shape)  # which attribute
        row = told * self.values + self.values_WA[words, told]
        ceilings = self.told_AVC.cumsum(2)[:, :, :-1].reshape(-1, self.contexts - 1)
        ladder = (np.arange(len(ceilings))[:, None] + ceilings).ravel()  # each row's, one after the other
        within = np.searchsorted(ladder, row + rng.random(shape), "right") - row * (self.contexts - 1)
        contexts = told * self.contexts + within
        pairs = np.stack([words, self.words + contexts], 2)
        return np.ascontiguousarray(pairs.reshape(count, -1)[:, :length], np.int32)

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Nats (log probability) of each token given all before it, along the last axis, on which whole pairs
        follow each other; -inf for what can't be said.

        Raises:
          ValueError: the last pair is cut.
        """
        tokens = np.asarray(tokens, np.int64)
        if tokens.shape[-1] % 2:
            raise ValueError(f"{tokens.shape[-1]} tokens cut a pair")
        word, context = (tokens[..., which::2] for which in (0, 1))
        context = context - self.words
        word_ok, context_ok = word < self.words, (context >= 0) & (word < self.words)
        word, context = np.where(word_ok, word, 0), np.where(context_ok, context, 0)
        with np.errstate(divide="ignore"):
            first = np.log(word_ok * self.word_probs[word])
            second = np.log(context_ok * self.context_probs[word, context])
        return np.stack([first, second], -1).reshape(tokens.shape)

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no model can go below on average."""
        return float(-(self.joint * np.log(self.joint)).sum() / 2)
