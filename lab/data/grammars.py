"""A hierarchical language of known entropy: a probabilistic grammar of fixed depth in which every
sentence has one parse.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

LONGEST = 2048  # tokens of a sentence: a document holds whole ones


class Sentences:
    """A language of independent sentences of one length."""

    sentence: int  # tokens of one
    entropy_rate: float  # nats per token

    def floor(self, context: int) -> float:
        """Nats per target that no model can go below on average over windows of `context` tokens:
        `entropy_rate` where these hold whole sentences, since then no context is cut.

        Raises:
          ValueError: they do not, and then it is higher by what is not computed here.
        """
        if context % self.sentence:
            raise ValueError(
                f"windows of {context} tokens cut the sentences of {self.sentence}; take a multiple"
            )
        return self.entropy_rate


@dataclass(frozen=True, kw_only=True)
class Grammar(Sentences):
    """Sentences of branching**depth tokens, each grown from one root by `depth` rounds of rules.

    Each level has its own n_symbols symbols. Each symbol has `rules` rules, each rewriting it to
    `branching` symbols of the level below; the lowest level's are the tokens. The rules of a level
    are distinct tuples, drawn without replacement, so a tuple tells its rule and with it the symbol
    above: a sentence has exactly one parse (the random hierarchy model of Cagnetta et al. 2024,
    arXiv 2307.02129, here with rules and roots that differ in probability, drawn from flat
    Dirichlets). Sentences are independent and follow each other without a mark.
    """

    n_symbols: int = 16
    rules: int = 4
    branching: int = 2
    depth: int = 4
    seed: int = 0
    form: ClassVar[str] = "grammar:SYMBOLS-RULES-BRANCHING-DEPTH-SEED[-TOKENS]"

    def __post_init__(self) -> None:
        if self.n_symbols < 2 or self.depth < 1 or self.branching < 2 or self.seed < 0:
            raise ValueError(f"{self}: symbols and branching must be at least 2, depth 1 and seed 0")
        if self.depth > 11 or self.branching**self.depth > LONGEST:
            raise ValueError(
                f"branching {self.branching} and depth {self.depth} make sentences of "
                f"{self.branching}^{self.depth} tokens; choose at most {LONGEST}"
            )
        tuples = self.n_symbols**self.branching
        if not 1 <= self.rules * self.n_symbols <= min(tuples, 1 << 16) or tuples > 1 << 40:
            raise ValueError(
                f"{self.n_symbols} symbols of {self.rules} rules need {self.rules * self.n_symbols}"
                f" different tuples of {self.branching} symbols, and there are {tuples}; choose "
                f"from 1 to {min(tuples, 1 << 16) // self.n_symbols} rules"
            )

    @property
    def sentence(self) -> int:
        """Tokens of a sentence."""
        return self.branching**self.depth

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """root_V; and for every level, from the top: right_TVRB (symbols) and probs_TVR."""
        rng = np.random.default_rng([self.seed, 0])
        V, R, B = self.n_symbols, self.rules, self.branching
        root = rng.dirichlet(np.ones(V))
        right, probs = [], []
        for _ in range(self.depth):
            codes = rng.choice(V**B, size=V * R, replace=False)
            digits = codes[:, None] // V ** np.arange(B)[::-1] % V
            right.append(digits.reshape(V, R, B))
            probs.append(rng.dirichlet(np.ones(R), V))
        return root, np.array(right), np.array(probs)

    @cached_property
    def entropy_rate(self) -> float:
        """Nats per token that no model can go below on average: the entropy of the root and of
        every rule, each times how often it is expected in a sentence, over the sentence's length.

        Exact, because a sentence's derivation can be read off it.
        """
        root, right, probs = self._table
        nats, expected = entropy(root), root  # of each symbol of the level, in a sentence
        for right_VRB, probs_VR in zip(right, probs, strict=True):
            nats += float(expected @ entropy(probs_VR))
            below = np.zeros(self.n_symbols)
            np.add.at(below, right_VRB, (expected[:, None] * probs_VR)[:, :, None])
            expected = below
        return float(nats) / self.sentence

    def documents(self, count: int, length: int, seed: int) -> np.ndarray:
        """`count` independent documents of whole sentences, (count, length) symbols; a length that
        no whole number of sentences makes is rounded up and cut."""
        rng = np.random.default_rng([self.seed, 1 << 20, seed])
        out = np.empty((count, length), np.int32)
        for start in range(0, count, 256):  # bounds the memory; more documents begin with the same
            some = out[start : start + 256]
            some[:] = self._grow(rng, len(some), length)
        return out

    def _grow(self, rng: np.random.Generator, count: int, length: int) -> np.ndarray:
        root, right, probs = self._table
        sentences = -(-length // self.sentence)
        level = rng.choice(self.n_symbols, size=(count * sentences, 1), p=root)
        for right_VRB, probs_VR in zip(right, probs, strict=True):
            ceiling = probs_VR.cumsum(axis=1)[:, :-1]
            rule = (rng.random(level.shape)[..., None] >= ceiling[level]).sum(axis=-1)
            level = right_VRB[level, rule].reshape(len(level), -1)
        return level.reshape(count, -1)[:, :length]

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Nats (log probability) of each token given all before it in its sentence, along the last
        axis, on which sentences follow each other from the first place on.

        -inf for what can't be said; NaN after it in that sentence.
        """
        tokens = np.asarray(tokens, np.int64)
        flat = tokens.reshape(-1, tokens.shape[-1])
        short = -flat.shape[-1] % self.sentence
        rows = np.pad(flat, ((0, 0), (0, short))).reshape(-1, self.sentence)
        out = np.empty(rows.shape)
        for start in range(0, len(rows), 4096):  # bounds the memory
            out[start : start + 4096] = self._sentences(rows[start : start + 4096])
        out = out.reshape(len(flat), -1)[:, : flat.shape[-1]]
        return out.reshape(tokens.shape)

    def _sentences(self, rows_SN: np.ndarray) -> np.ndarray:
        """`log_probs` of whole sentences: differences of the log probabilities of their prefixes.

        A level's inside_SNV holds, for each place and symbol, the probability that it grows the
        tokens seen below, over its largest, whose logarithm is in scale_SN; 1 where none is seen. A
        new token changes one place of each level.
        """
        root, right, probs = self._table
        S, V, B, T = len(rows_SN), self.n_symbols, self.branching, self.depth
        inside = [np.ones((S, self.sentence // B**up, V)) for up in range(T + 1)]  # tokens first
        scale = [np.zeros((S, self.sentence // B**up)) for up in range(T + 1)]
        before_S, out_SN = np.zeros(S), np.empty(rows_SN.shape)
        for place in range(self.sentence):
            inside[0][:, place] = np.arange(V) == rows_SN[:, place, None]
            for up in range(1, T + 1):
                at = place // B**up
                below = slice(at * B, (at + 1) * B)
                grown_SVR = probs[T - up][None]
                for b in range(B):
                    grown_SVR = grown_SVR * inside[up - 1][:, at * B + b][:, right[T - up][:, :, b]]
                grown_SV = grown_SVR.sum(axis=2)
                most_S = grown_SV.max(axis=1)
                most_S[most_S == 0] = 1.0  # nothing grows this: the zeros stay
                inside[up][:, at] = grown_SV / most_S[:, None]
                scale[up][:, at] = scale[up - 1][:, below].sum(axis=1) + np.log(most_S)
            with np.errstate(divide="ignore", invalid="ignore"):
                now_S = np.log(inside[T][:, 0] @ root) + scale[T][:, 0]
                out_SN[:, place] = now_S - before_S
            before_S = now_S
        return out_SN


def entropy(p: np.ndarray) -> np.ndarray:
    """Nats, along the last axis."""
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)
