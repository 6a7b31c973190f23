"""Synthetic languages, whose entropy rate is computed: a Markov source, and `parse_language`, which
also knows grammars, tasks, attributes and drawn images."""

import re
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import numpy as np

from lab.data.attributes import Attributes
from lab.data.glyphs import Glyphs
from lab.data.grammars import Grammar, entropy
from lab.data.tasks import TASKS, Task

MAX_CONTEXTS = 2000


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
    form: ClassVar[str] = "markov:SYMBOLS-ORDER-BRANCHING-SEED[-TOKENS]"  # of its corpora's names

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


Language = Markov | Grammar | Task | Attributes
LANGUAGES = {
    "markov": Markov,
    "grammar": Grammar,
    "glyphs": Glyphs,
    "attributes": Attributes,
    **TASKS,
}  # by the first word of their corpora's names


def parse_language(name: str) -> tuple[Language, int | None]:
    """The language and, where given, the number of tokens that a corpus name asks for."""
    word, _, numbers = name.partition(":")
    language = LANGUAGES[word]
    names = [field.name for field in fields(language)]
    values = (
        [int(number) for number in numbers.split("-")] if re.fullmatch("[0-9]+(-[0-9]+)*", numbers) else []
    )
    if not 0 <= len(values) - len(names) <= 1:
        raise ValueError(f"{name!r}: a synthetic language of this kind is named {language.form}")
    tokens = values[len(names)] if len(values) > len(names) else None
    return language(**dict(zip(names, values, strict=False))), tokens


def _ergodic_class(next_SB: np.ndarray) -> np.ndarray | None:
    """The states of the one closed, aperiodic class of the chain, sorted; None if there is none."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, shortest_path

    S, B = next_SB.shape
    steps = csr_array((np.ones(S * B), next_SB.ravel(), np.arange(0, S * B + 1, B)), (S, S))
    label = connected_components(steps, connection="strong")[1]
    left = np.unique(label[(label[next_SB] != label[:, None]).any(axis=1)])  # classes with a way out
    closed = np.flatnonzero(~np.isin(label, left))
    if len(set(label[closed])) != 1:
        return None
    depth = shortest_path(steps, unweighted=True, indices=closed[0])
    around = np.abs(depth[closed][:, None] + 1 - depth[next_SB[closed]]).astype(int)
    return closed if np.gcd.reduce(around.ravel()) == 1 else None
