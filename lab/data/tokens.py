"""Tokenizers of bytes, characters and symbols; and every kind by its name: `learn`, `from_json`."""

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from lab.data.byte_pairs import Bpe, bpe_size
from lab.data.texts import Text
from lab.data.tokenizer import Tokenizer, id_dtype, utf8
from lab.data.tokenizer_files import FromFile, HuggingFace, Tiktoken, is_file, load

UNKNOWN = "\ufffd"  # what the id of never-seen characters is decoded to
LEARN_CHARACTERS = 16_000_000  # of training text, spread evenly, that byte pairs are learned from


@dataclass(frozen=True)
class Bytes(Tokenizer):
    """Ids 0..255 are the bytes of the text in UTF-8. Nothing is ever unknown."""

    kind = "bytes"
    vocabulary = tuple(bytes([i]) for i in range(256))

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(utf8(text), np.uint8)

    def encode_bytes(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8)


@dataclass(frozen=True)
class Chars(Tokenizer):
    """Ids are the characters seen in training, sorted; the last id is any never seen there.

    `unknown_bytes` is what an unknown token counts for in bytes. `learn` sets it to the mean over
    the unknown characters of the held-out text, so that summing `bytes_per_token` over the whole
    held-out stream gives its true size.
    """

    alphabet: str
    unknown_bytes: float = 3.0
    kind = "chars"

    def __post_init__(self) -> None:
        if list(self.alphabet) != sorted(set(self.alphabet)):
            raise ValueError("the alphabet of a character tokenizer must be sorted and distinct")

    @classmethod
    def learn(cls, training: Iterable[str], held_out: Iterable[str] = ()) -> "Chars":
        """Of texts; a single one is its characters."""
        seen = set().union(*training)
        sizes = [len(utf8(char)) for text in held_out for char in text if char not in seen]
        alphabet = "".join(sorted(seen))
        return cls(alphabet, sum(sizes) / len(sizes)) if sizes else cls(alphabet)

    @cached_property
    def vocabulary(self) -> list[bytes]:
        return [char.encode() for char in self.alphabet + UNKNOWN]

    @property
    def n_text_ids(self) -> int:
        return len(self.alphabet)

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.array([*map(len, self.vocabulary[:-1]), self.unknown_bytes])

    def encode(self, text: str) -> np.ndarray:
        utf8(text)  # refuses what UTF-8 can't hold, with the place
        return self._id_of_code[_codes(text)]

    def encode_known(self, text: str) -> np.ndarray:
        if unknown := sorted(set(text) - set(self.alphabet)):
            raise ValueError(
                f"{unknown[0]!r} is not in the vocabulary, which has the {len(self.alphabet)} "
                f"characters of the training text: {self.alphabet!r}"
            )
        return self.encode(text)

    @cached_property
    def _id_of_code(self) -> np.ndarray:
        id_of_code = np.full(0x110000, len(self.alphabet), id_dtype(self.vocab_size))
        id_of_code[_codes(self.alphabet)] = np.arange(len(self.alphabet))
        return id_of_code


@dataclass(frozen=True)
class Symbols(Tokenizer):
    """The ids of a synthetic language, each written as one character to make samples readable."""

    n_symbols: int
    kind = "symbols"

    @cached_property
    def characters(self) -> str:
        letters = string.ascii_letters + string.digits
        more = "".join(chr(0x4E00 + i) for i in range(self.n_symbols - len(letters)))
        return (letters + more)[: self.n_symbols]

    @cached_property
    def vocabulary(self) -> list[bytes]:
        return [char.encode() for char in self.characters]

    def encode(self, text: str) -> np.ndarray:
        id_of = {char: i for i, char in enumerate(self.characters)}
        if unknown := sorted(set(text) - set(id_of)):
            raise ValueError(f"{unknown[0]!r} is no symbol of this language; it has {self.characters!r}")
        return np.array([id_of[char] for char in text], id_dtype(self.n_symbols))


@dataclass(frozen=True)
class Ids(Tokenizer):
    """Ids whose vocabulary nobody has told: they stand for no text and no known number of bytes."""

    n_ids: int
    kind = "ids"

    @property
    def vocab_size(self) -> int:
        return self.n_ids

    @cached_property
    def bytes_per_token(self) -> np.ndarray:
        return np.full(self.n_ids, np.nan)

    def encode(self, text: str) -> np.ndarray:
        raise ValueError(
            "these tokens are ids of an unknown vocabulary, which no text becomes; prepare the shards "
            "with the tokenizer that made them"
        )

    def decode_bytes(self, ids: np.ndarray) -> bytes:
        return " ".join(map(str, np.asarray(ids).tolist())).encode()


def check_name(name: str) -> None:
    """Raises ValueError: no tokenizer has this name."""
    if not (name in ("bytes", "chars") or is_file(name) or bpe_size(name)):
        raise ValueError(
            f"tokenizer {name!r} is unknown; there are 'bytes', 'chars', byte pairs such as 'bpe-1024', and "
            "files: tokenizer.json, .tiktoken"
        )


def learn(name: str, text: Text) -> Tokenizer:
    """The tokenizer of a name; what is learned is learned from the training documents.

    Raises:
      ValueError: they don't give as large a vocabulary, or what learns it is not installed.
    """
    if name == "bytes":
        return Bytes()
    if is_file(name):
        return load(name)
    if name == "chars":
        return Chars.learn(texts_of(text, "train"), texts_of(text, "held_out"))
    every = -(-sum(map(len, texts_of(text, "train"))) // LEARN_CHARACTERS)
    return Bpe.learn(islice(texts_of(text, "train"), 0, None, every), bpe_size(name))


def texts_of(text: Text, wanted: str) -> Iterator[str]:
    return (document for split, _, document in text.documents if split == wanted)


KINDS = {kind.kind: kind for kind in (Bytes, Chars, Symbols, Bpe, Ids, HuggingFace, Tiktoken)}


def from_json(data: dict, folder: Path | None = None) -> Tokenizer:
    """The tokenizer that `to_json` wrote; one that has a file finds it in the corpus's folder."""
    values = dict(data)
    if "merges" in values:
        values["merges"] = tuple((left, right) for left, right in values["merges"])
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"tokenizer kind {kind!r} is unknown; there are {', '.join(KINDS)}")
    if issubclass(KINDS[kind], FromFile):
        values["path"] = (folder or Path()) / f"tokenizer{KINDS[kind].suffix}"
    return KINDS[kind](**values)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
