"""Tokenizers: text to ids and back, and the UTF-8 bytes each id stands for.

Losses are in nats per token. What makes two tokenizers comparable is nats or bits per byte, so
every tokenizer knows `bytes_per_token`: a span of tokens scores total nats / ln 2 / total bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
            raise ValueError(f"{len(self.alphabet)} distinct characters do not fit 16-bit ids; use bytes")

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
            raise ValueError(f"{strange[0]!r} is no symbol of this language; it has {self.characters!r}")
        id_of = {char: i for i, char in enumerate(self.characters)}
        return np.array([id_of[char] for char in text], id_dtype(self.n_symbols))

    def decode(self, ids: np.ndarray) -> str:
        return _lookup(self.characters, ids)

    def to_json(self) -> dict:
        return {"kind": "symbols", "n_symbols": self.n_symbols}


@dataclass(frozen=True)
class Bpe:
    """Byte-pair encoding on bytes (Sennrich et al. 2016; Radford et al. 2019, whose cut of text
    into words is used): ids 0..255 are the bytes, and each merge of two ids makes the next one.

    Nothing is ever unknown. Learning and encoding need the package `tokenizers`; decoding and
    counting bytes do not, so prepared data is read without it.
    """

    merges: tuple[tuple[int, int], ...]

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> "Bpe":
        """The `vocab_size` ids that merge the most frequent pairs of `texts`, training text only.

        Raises:
          ValueError: the texts have no pairs left before there are as many.
        """
        library = _tokenizers()
        coder = library.Tokenizer(library.models.BPE())
        coder.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = library.pre_tokenizers.ByteLevel.alphabet()
        coder.train_from_iterator(
            texts,
            library.trainers.BpeTrainer(
                vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
            ),
        )
        found, id_of = [], {bytes([i]): i for i in range(256)}
        byte_of = {char: byte for byte, char in _letters().items()}
        for pair in json.loads(coder.to_str())["model"]["merges"]:
            left, right = (bytes(byte_of[char] for char in part) for part in pair)
            found.append((id_of[left], id_of[right]))
            id_of.setdefault(left + right, len(id_of))
        if len(id_of) < vocab_size:
            raise ValueError(
                f"the training text gives a byte-pair vocabulary of {len(id_of)} ids, and "
                f"{vocab_size} were asked for; ask for fewer, or take more text"
            )
        return cls(tuple(found))

    @cached_property
    def vocabulary(self) -> list[bytes]:
        """The bytes of each id. Two merges may make the same bytes; the first one's id counts."""
        known = {bytes([i]): i for i in range(256)}
        listed = list(known)
        for left, right in self.merges:
            if known.setdefault(listed[left] + listed[right], len(listed)) == len(listed):
                listed.append(listed[left] + listed[right])
        return listed

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def sha256(self) -> str:
        """Of the merges, which are the whole vocabulary."""
        return hashlib.sha256(json.dumps(self.to_json()["merges"]).encode()).hexdigest()

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.array([float(len(token)) for token in self.vocabulary])

    @cached_property
    def _coder(self) -> Any:
        library, letters = _tokenizers(), _letters()
        words = ["".join(letters[byte] for byte in token) for token in self.vocabulary]
        merges = [(words[left], words[right]) for left, right in self.merges]
        ids = {word: i for i, word in enumerate(words)}
        coder = library.Tokenizer(library.models.BPE(vocab=ids, merges=merges))
        coder.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        return coder

    def encode(self, text: str) -> np.ndarray:
        return next(self.encode_all([text]))

    def encode_all(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Each text's ids, many texts at a time: on all cores."""
        for start in range(0, len(texts), 256):
            part = texts[start : start + 256]
            for text in part:
                _utf8(text)  # refuses what UTF-8 can't hold, with the place
            for coded in self._coder.encode_batch_fast(part):
                yield np.array(coded.ids, id_dtype(self.vocab_size))

    def decode(self, ids: np.ndarray) -> str:
        """A sampled sequence may break off inside a character: such bytes become U+FFFD."""
        joined = b"".join(self.vocabulary[i] for i in np.asarray(ids).astype(np.int64))
        return joined.decode("utf-8", errors="replace")

    def to_json(self) -> dict:
        return {"kind": "bpe", "merges": [list(pair) for pair in self.merges]}


def bpe_size(tokenizer: str) -> int:
    """The ids that a name such as bpe-1024 asks for; 0 for any other name.

    Raises:
      ValueError: so many ids can't be.
    """
    match = re.fullmatch(r"bpe-([0-9]+)", tokenizer)
    if match and not 257 <= int(match[1]) <= 1 << 16:
        raise ValueError(f"tokenizer {tokenizer!r}: a byte-pair vocabulary has 257 to 65536 ids")
    return int(match[1]) if match else 0


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(
            "byte-pair vocabularies are learned and applied by the package tokenizers, which is "
            "not here: pip install 'tokenizers>=0.21,<1' (the extra `bpe`)"
        ) from error
    return tokenizers


def _letters() -> dict[int, str]:
    """GPT-2's printable character for each byte, in which `tokenizers` writes byte-level words."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


Tokenizer = Bytes | Chars | Symbols | Bpe


def from_json(data: dict) -> Tokenizer:
    """The tokenizer that `to_json` wrote."""
    kinds = {"bytes": Bytes, "chars": Chars, "symbols": Symbols, "bpe": Bpe}
    fields = dict(data)
    if "merges" in fields:
        fields["merges"] = tuple((left, right) for left, right in fields["merges"])
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
