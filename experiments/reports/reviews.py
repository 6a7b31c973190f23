"""Film reviews with labels, and what a probe of a model's states makes of those that nothing read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.config import RunConfig
from lab.data import batches
from lab.data.corpora import Corpus
from lab.data.downloads import review_labels
from lab.data.texts import Say
from lab.trained import probe

WORDS = 1000  # the most frequent, for the probe of word counts
DRAWS = 2000


@dataclass(frozen=True)
class Labelled:
    """Reviews as ids, and 1 where the writer liked the film."""

    texts: list[np.ndarray]
    labels: np.ndarray


def reviews(
    corpus: Corpus, configs: Sequence[RunConfig], learn: int, test: int, last: int = 0
) -> tuple[Labelled, Labelled]:
    """Reviews to learn a probe from, and others to test it on: of the held-out ones and those of which no run
    read a window, in this order. Reviews shorter than a window and a byte are left out; of the others the
    `last` bytes are kept, or all."""
    shortest = max(config.model.seq_len for config in configs) + 1
    labels = review_labels(corpus.path.parent, Say(quiet=True))
    rng, unread = np.random.default_rng(0), ~was_read(corpus, configs)
    known, tested = [], []
    for split in ("held_out", "train"):
        documents = corpus.documents[split]
        ends = np.cumsum([document.tokens for document in documents])
        for i in rng.permutation(len(documents)):
            if documents[i].tokens < shortest:
                continue
            own = slice(int(ends[i]) - documents[i].tokens, int(ends[i]))
            free = len(tested) < test and (split == "held_out" or unread[own].all())
            if free or (len(known) < learn and split == "train"):
                ids = np.asarray(getattr(corpus, split)[own])[-last:]
                (tested if free else known).append((ids, labels[documents[i].name]))
    return tuple(Labelled([t for t, _ in part], np.array([y for _, y in part])) for part in (known, tested))


def was_read(corpus: Corpus, configs: Sequence[RunConfig]) -> np.ndarray:
    """Which training tokens any run read, (n_train,)."""
    read = np.zeros(corpus.n_train, bool)
    longest: dict[tuple, int] = {}
    for config in configs:
        key = config.data_seed, config.model.seq_len
        longest[key] = max(longest.get(key, 0), config.steps * config.batch_size)
    for (seed, seq_len), examples in longest.items():
        for window in batches.windows_of(np.arange(examples), seed, corpus.n_train, seq_len):
            read[window * seq_len : (window + 1) * seq_len + 1] = True
    return read


@dataclass(frozen=True)
class Probed:
    """Which of the tested reviews are told right, (T,) each."""

    linear: np.ndarray
    unit: np.ndarray
    index: int  # of the unit

    def row(self) -> dict[str, str]:
        """As a table has it: of the reviews a bit each, in hexadecimal digits."""
        packed = {name: np.packbits(getattr(self, name)).tobytes().hex() for name in ("linear", "unit")}
        return {"tested": str(len(self.linear)), "index": str(self.index), **packed}


def probed(known: np.ndarray, tested: np.ndarray, learn: Labelled, test: Labelled) -> Probed:
    """Probes of features (T, D) of the reviews to learn from, and what they make of those to test."""
    linear, unit = probe.fit_linear(known, learn.labels), probe.best_unit(known, learn.labels)
    return Probed(linear.right(tested, test.labels), unit.right(tested, test.labels), unit.index)


def bits(row: dict[str, str], name: str) -> np.ndarray:
    """Which of the tested reviews are told right, (T,), from a table's row."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(row[name]), np.uint8))[: int(row["tested"])].astype(bool)


def byte_counts(texts: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.bincount(text, minlength=256) / len(text) for text in texts])


def word_counts(texts: Sequence[np.ndarray], vocabulary: Sequence[bytes]) -> np.ndarray:
    """Which of these words each text has."""
    return np.array([np.isin(vocabulary, words(text)) for text in texts], float)


def words(text: np.ndarray) -> list[bytes]:
    return bytes(text.astype(np.uint8)).lower().replace(b",", b" ").replace(b".", b" ").split()


def frequent(texts: Sequence[np.ndarray]) -> list[bytes]:
    """The words that most texts have."""
    found, counts = np.unique([word for text in texts for word in set(words(text))], return_counts=True)
    return [*found[np.argsort(-counts, kind="stable")[:WORDS]]]


def share(rights_ST: np.ndarray, less_ST: np.ndarray | None = None) -> tuple[float, float, float]:
    """The mean share told right by several seeds, less that of others on the same reviews, and its 95 %
    interval over reviews and seeds, both drawn anew."""
    rng, own = np.random.default_rng(0), rights_ST.astype(float)
    draws = []
    for _ in range(DRAWS):
        at = rng.integers(0, own.shape[1], own.shape[1])
        drawn = [
            part[rng.integers(0, len(part), len(part))].mean(0)[at].mean()
            for part in (own, less_ST)
            if part is not None
        ]
        draws.append(drawn[0] - sum(drawn[1:]))
    mean = own.mean() - (0 if less_ST is None else less_ST.mean())
    return float(mean), *map(float, np.percentile(draws, [2.5, 97.5]))


def percent(found: tuple[float, float, float]) -> str:
    mean, low, high = (100 * value for value in found)
    return f"{mean:.1f} % ({low:.1f}, {high:.1f})"
