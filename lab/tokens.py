"""Tokenizers: text to ids and back, and the UTF-8 bytes each id stands for.

Losses are in nats per token. What makes two tokenizers comparable is nats or bits per byte, so
every tokenizer knows `bytes_per_token`: a span of tokens scores total nats / ln 2 / total bytes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNKNOWN = "\ufffd"  # what the id of never-seen characters is decoded to


@dataclass(frozen=True)
class Bytes:
    """Ids 0..255 are the bytes of the text in UTF-8. Nothing is ever unknown."""

    @property
    def vocab_size(self) -> int:
        return 256

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.ones(256)

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_utf8(text), np.uint8)

    def decode(self, ids: np.ndarray) -> str:
        """A sampled sequence may break off inside a character: such bytes become U+FFFD."""
        return np.asarray(ids).astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def to_json(self) -> dict:
        return {"kind": "bytes"}


@dataclass(frozen=True)
class Chars:
    """Ids are the characters seen in training, sorted; the last id is any never seen there.

    `unknown_bytes` is what an unknown token counts for in bytes. `learn` sets it to the mean over
    the unknown characters of the held-out text, so that summing `bytes_per_token` over the whole
    held-out stream gives its true size.
    """

    alphabet: str
    unknown_bytes: float = 3.0

    def __post_init__(self) -> None:
        if list(self.alphabet) != sorted(set(self.alphabet)):
            raise ValueError("the alphabet of a character tokenizer must be sorted and distinct")
        if self.vocab_size > 1 << 16:
            raise ValueError(
                f"{len(self.alphabet)} distinct characters do not fit 16-bit ids; use bytes"
            )

    @classmethod
    def learn(cls, training: str, held_out: str = "") -> "Chars":
        alphabet = "".join(sorted(set(training)))
        seen = set(alphabet)
        sizes = [len(_utf8(char)) for char in held_out if char not in seen]
        return cls(alphabet, sum(sizes) / len(sizes)) if sizes else cls(alphabet)

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet) + 1

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.array([len(char.encode()) for char in self.alphabet] + [self.unknown_bytes])

    def encode(self, text: str) -> np.ndarray:
        _utf8(text)  # refuses what UTF-8 can't hold, with the place
        return self._id_of_code[_codes(text)]

    @cached_property
    def _id_of_code(self) -> np.ndarray:
        id_of_code = np.full(0x110000, len(self.alphabet), id_dtype(self.vocab_size))
        id_of_code[_codes(self.alphabet)] = np.arange(len(self.alphabet))
        return id_of_code

    def decode(self, ids: np.ndarray) -> str:
        return _lookup(self.alphabet + UNKNOWN, ids)

    def to_json(self) -> dict:
        fields = {"alphabet": self.alphabet, "unknown_bytes": self.unknown_bytes}
        return {"kind": "chars", **fields}


@dataclass(frozen=True)
class Symbols:
    """The ids of a synthetic language, each written as one character to make samples readable."""

    n_symbols: int

    @property
    def vocab_size(self) -> int:
        return self.n_symbols

    @cached_property
    def characters(self) -> str:
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        more = "".join(chr(0x4E00 + i) for i in range(self.n_symbols - len(letters)))
        return (letters + more)[: self.n_symbols]

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.array([float(len(char.encode())) for char in self.characters])

    def encode(self, text: str) -> np.ndarray:
        strange = sorted(set(text) - set(self.characters))
        if strange:
            raise ValueError(
                f"{strange[0]!r} is no symbol of this language; it has {self.characters!r}"
            )
        id_of = {char: i for i, char in enumerate(self.characters)}
        return np.array([id_of[char] for char in text], id_dtype(self.n_symbols))

    def decode(self, ids: np.ndarray) -> str:
        return _lookup(self.characters, ids)

    def to_json(self) -> dict:
        return {"kind": "symbols", "n_symbols": self.n_symbols}


Tokenizer = Bytes | Chars | Symbols


def from_json(data: dict) -> Tokenizer:
    """The tokenizer that `to_json` wrote."""
    kinds = {"bytes": Bytes, "chars": Chars, "symbols": Symbols}
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"tokenizer kind {kind!r} is unknown; there are {', '.join(kinds)}")
    return kinds[kind](**fields)


def id_dtype(vocab_size: int) -> np.dtype:
    """The smallest little-endian unsigned type that holds every id."""
    return np.dtype("|u1" if vocab_size <= 256 else "<u2")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"character {error.start} of the text, {text[error.start]!r}, is half of a surrogate "
            "pair and no character; decode the source as UTF-8 before tokenizing it"
        ) from error


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _lookup(characters: str, ids: np.ndarray) -> str:
    return _codes(characters)[np.asarray(ids).astype(np.int64)].tobytes().decode("utf-32-le")
