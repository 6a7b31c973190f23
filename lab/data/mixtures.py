"""Corpora trained on together, each with a weight: `mix:{"text:wiki": 0.7, "text:code": 0.3}`.

Every 1,000 examples of a run hold as many of each part as its weight says, in an order that the seed
shuffles. An example's part, and its place among those of the part, are computed from its number: a run's data
stay a function of (tokens, seed, step), and of no part a window comes twice in an epoch of its own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lab.data import batches
from lab.data.corpus import Corpus
from lab.data.pieces import Stream
from lab.data.texts import CorpusError, digest
from lab.data.tokens import Ids

PREFIX = "mix:"
NO_LIMIT = "unique_tokens limits one corpus; a mixture's parts have limits of their own, in their mix"
DEAL = 1000  # examples in which the weights hold exactly


@dataclass(frozen=True)
class Part:
    corpus: Corpus
    count: int  # examples of a deal
    unique: int  # training tokens that may be used

    @property
    def share(self) -> float:
        return self.count / DEAL


@dataclass(frozen=True)
class Mix:
    """The training ids of a mixture. Its length is what can be trained on before a part repeats."""

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return min(part.unique * DEAL // part.count for part in self.parts)

    def __getitem__(self, places: slice) -> np.ndarray:
        """A look at the first part's."""
        return self.parts[0].corpus.train[places]

    def cut(self, example: np.ndarray, seed: int, seq_len: int, unique_tokens: int | None) -> np.ndarray:
        """The windows that are the examples of a run, (..., seq_len + 1)."""
        if unique_tokens is not None:
            raise ValueError(NO_LIMIT)
        number, place = self.dealt(example, seed)
        windows = np.empty((*example.shape, seq_len + 1), np.int32)
        for i, part in enumerate(self.parts):
            here, ids = number == i, part.corpus.train
            unique = part.unique if part.unique < len(ids) else None
            window = batches.windows_of(place[here], seed, len(ids), seq_len, unique)
            windows[here] = batches.cut(ids, window * seq_len, seq_len)
        return windows

    def dealt(self, example: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Of which part each example is, and which of the part's examples."""
        deal, place = np.divmod(np.asarray(example, np.int64), DEAL)
        for which in np.unique(deal):
            here = deal == which
            place[here] = batches.permute(place[here], DEAL, seed, int(which))
        ends = np.cumsum([part.count for part in self.parts])
        number = np.searchsorted(ends, place, side="right")
        counts = np.array([part.count for part in self.parts])
        return number, deal * counts[number] + place - (ends - counts)[number]


@dataclass(frozen=True)
class Mixture(Corpus):
    """A corpus of corpora. What is held out is of each part as much as its weight says."""

    parts: tuple[Part, ...] = ()
    sha256_of_before: str = ""  # which left out the order of the parts: that of their names

    @cached_property
    def train(self) -> Mix:  # type: ignore[override]
        return Mix(self.parts)

    @cached_property
    def held_out(self) -> Stream:  # type: ignore[override]
        whole = min(len(part.corpus.held_out) / part.count for part in self.parts)
        return Stream([part.corpus.held_out[: int(whole * part.count)] for part in self.parts])

    def verify(self) -> None:
        for part in self.parts:
            part.corpus.verify()

    def verify_again(self) -> None:
        for part in self.parts:
            part.corpus.verify_again()

    def by_part(self) -> dict[str, Part]:
        """The parts by the short names that tell them apart in a table."""
        names = short_names([part.corpus.name for part in self.parts])
        return dict(zip(names, self.parts, strict=True))


def short_names(names: list[str]) -> list[str]:
    """The shortest that tell parts apart."""
    for words in range(1, max(map(len, names))):
        short = [short_name(name, words) for name in names]
        if len({*short}) == len(names):
            return short
    return names


def short_name(name: str, words: int = 1) -> str:
    """The last words of a path, or a name as it is: text:data/wiki.jsonl is wiki, or data/wiki."""
    word, _, path = name.partition(":")
    if word not in ("text", "ids"):
        return name
    parts = Path(path.partition("#")[0]).with_suffix("").parts
    return "/".join(parts[-words:])


def name_of(weights: Mapping[str, float], unique: Mapping[str, int] | None = None) -> str:
    """The name by which a mixture is prepared and opened; see `parse`."""
    unique = dict(unique or {})
    if unknown := set(unique) - set(weights):
        raise CorpusError(f"unique names {sorted(unknown)[0]!r}, which is no part of the mixture")
    return PREFIX + json.dumps({p: [w, unique[p]] if p in unique else w for p, w in weights.items()})


def parse(name: str) -> dict[str, tuple[float, int]]:
    """The weight of each part, and the training tokens of it that may be used (0: all)."""
    form = 'a mixture is named mix:{"NAME": WEIGHT, ...}, or with a limit of tokens "NAME": [WEIGHT, TOKENS]'
    try:
        parts = json.loads(name.removeprefix(PREFIX))
        pairs = {part: value if isinstance(value, list) else [value, 0] for part, value in parts.items()}
        weights = {part: (float(weight), int(tokens)) for part, (weight, tokens) in pairs.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CorpusError(f"{name}: {form} ({error})") from error
    if len(weights) < 2 or not all(
        0 < weight < float("inf") and tokens >= 0 for weight, tokens in weights.values()
    ):
        raise CorpusError(f"{name}: {form}; it has two parts or more, each with a weight above 0")
    return weights


def open_mixture(name: str, opened: Callable[[str], Corpus]) -> Mixture:
    """The mixture of a name, whose parts are opened, or prepared, by a function."""
    weights = parse(name)
    counts = dealt_counts({part: weight for part, (weight, _) in weights.items()})
    parts = []
    for part in sorted(weights):
        corpus, tokens = opened(part), weights[part][1]
        if tokens > corpus.n_train:
            raise CorpusError(f"{name}: {part!r} holds {corpus.n_train:,} training tokens, not {tokens:,}")
        parts.append(Part(corpus, counts[part], tokens or corpus.n_train))
    first = parts[0].corpus
    bare = all(isinstance(part.corpus.tokenizer, Ids) for part in parts)  # ids of nobody knows what
    for part in parts:
        if part.corpus.tokenizer != first.tokenizer and not bare:
            raise CorpusError(
                f"{name}: {first.name!r} and {part.corpus.name!r} have different vocabularies, of "
                f"{first.vocab_size:,} and {part.corpus.vocab_size:,} ids; give "
                "mix(..., tokenizer=FILE) the tokenizer.json that all were made with, or take texts alone"
            )
    return mixture(name, tuple(parts))


def mixture(name: str, parts: tuple[Part, ...]) -> Mixture:
    first, splits = parts[0].corpus, ("train", "held_out")
    identified = [[part.corpus.sha256, part.count, part.unique] for part in parts]
    sizes = [(part.corpus.train_bytes, part.corpus.held_out_bytes) for part in parts]
    known: Any = [None if None in column else sum(column) for column in zip(*sizes, strict=True)]
    corpus = Mixture(
        name=name,
        tokenizer=max((part.corpus.tokenizer for part in parts), key=lambda each: each.vocab_size),
        asked=first.asked,
        sha256=digest(json.dumps(["mix", *identified])),
        path=first.path.parent,
        n_train=len(Mix(parts)),
        n_held_out=0,
        train_bytes=known[0],
        held_out_bytes=known[1],
        documents={s: tuple(d for part in parts for d in part.corpus.documents[s]) for s in splits},
        baselines={},
        meta={
            "source": ", ".join(f"{part.share:g} {part.corpus.name}" for part in parts),
            "licence": ", ".join(dict.fromkeys(part.corpus.meta["licence"] for part in parts)),
            "cleaning": "that of its parts",
            "split": "that of its parts; as much of each as its weight says",
            "bytes_known": all(part.corpus.meta.get("bytes_known", True) for part in parts),
        },
        parts=parts,
        sha256_of_before=digest(json.dumps(["mix", *sorted(identified)])),
    )
    object.__setattr__(corpus, "n_held_out", len(corpus.held_out))
    return corpus


def shares(name: str) -> dict[str, float]:
    """What share of a mixture's tokens is of each part, by its short name."""
    counts = dealt_counts({part: weight for part, (weight, _) in parse(name).items()})
    return dict(
        zip(short_names(sorted(counts)), (counts[part] / DEAL for part in sorted(counts)), strict=True)
    )


def dealt_counts(weights: dict[str, float]) -> dict[str, int]:
    """How many of a deal's examples are of each part: the largest remainders are rounded up."""
    total = sum(weights.values())
    exact = {part: DEAL * weight / total for part, weight in weights.items()}
    counts = {part: int(share) for part, share in exact.items()}
    order = sorted(weights, key=lambda part: (counts[part] - exact[part], part))
    for part in order[: DEAL - sum(counts.values())]:
        counts[part] += 1
    if small := [part for part in weights if not counts[part]]:
        raise CorpusError(
            f"{small[0]!r} has a weight under 1/{DEAL} of the mixture; give it more, or leave it out"
        )
    return counts
