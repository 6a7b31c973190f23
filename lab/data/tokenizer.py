"""What every tokenizer can do: text to ids and back, and the UTF-8 bytes each id stands for.

Losses are in nats per token. What makes two tokenizers comparable is nats or bits per byte, so
every tokenizer knows `bytes_per_token`: a span of tokens scores total nats / ln 2 / total bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from itertools import islice
from typing import ClassVar

import numpy as np


class Tokenizer:
    """A kind is a frozen dataclass of what it was learned to be; its name and its fields are written
    into meta.json. It says its `vocabulary` and how to `encode`."""

    kind: ClassVar[str]
    vocabulary: Sequence[bytes]  # what each id stands for, in UTF-8

    @property
    def vocab_size(self) -> int:
        """Ids run 0..vocab_size-1."""
        return len(self.vocabulary)

    @property
    def n_text_ids(self) -> int:
        """Ids below it stand for a text."""
        return self.vocab_size

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        """Bytes that each id stands for, (vocab_size,)."""
        return np.array([float(len(token)) for token in self.vocabulary])

    def encode(self, text: str) -> np.ndarray:
        raise NotImplementedError

    def encode_all(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        return map(self.encode, texts)

    def encode_known(self, text: str) -> np.ndarray:
        """The ids of a text, which give it back; ValueError where the vocabulary lacks a character."""
        return self.encode(text)

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """The ids that `decode_bytes` gives `data` back from; ValueError where there are none."""
        try:
            return self.encode_known(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"byte {error.start} is not UTF-8, which this run's tokenizer reads; a run on bytes "
                "compresses any file"
            ) from error

    def decode_bytes(self, ids: np.ndarray) -> bytes:
        return b"".join(map(self.vocabulary.__getitem__, np.asarray(ids).tolist()))

    def decode(self, ids: np.ndarray) -> str:
        """A sampled sequence may break off inside a character: such bytes become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def to_json(self) -> dict:
        return {"kind": self.kind} | {field.name: getattr(self, field.name) for field in fields(self)}


class Batched(Tokenizer):
    """One whose library encodes many texts at a time: on all cores. It says how in `encode_part`."""

    def encode_part(self, texts: list[str]) -> Iterable[list[int]]:
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        return next(self.encode_all([text]))

    def encode_all(self, texts: Iterable[str]) -> Iterator[np.ndarray]:
        texts = iter(texts)
        while part := [*islice(texts, 256)]:
            for text in part:
                utf8(text)  # refuses what UTF-8 can't hold, with the place
            for ids in self.encode_part(part):
                yield np.array(ids, id_dtype(self.vocab_size))


def id_dtype(vocab_size: int) -> np.dtype:
    """The smallest little-endian unsigned type that holds every id."""
    return np.dtype("|u1" if vocab_size <= 1 << 8 else "<u2" if vocab_size <= 1 << 16 else "<u4")


def utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {error.start} of the text, {text[error.start]!r}, is half of a surrogate "
            "pair and no character; decode the source as UTF-8 before tokenizing it"
        ) from error
