"""Byte pairs, learned and applied by the package `tokenizers`."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lab.data.tokenizer import Batched

MOST_IDS = 1 << 20


@dataclass(frozen=True)
class Bpe(Batched):
    """Byte-pair encoding on bytes (Sennrich et al. 2016; Radford et al. 2019, whose cut of text
    into words is used): ids 0..255 are the bytes, and each merge of two ids makes the next one.

    Nothing is ever unknown. Learning and encoding need the package `tokenizers`; decoding and
    counting bytes do not, so prepared data is read without it.
    """

    merges: tuple[tuple[int, int], ...]
    kind = "bpe"

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> "Bpe":
        """The `vocab_size` ids that merge the most frequent pairs of `texts`, training text only.

        Raises:
          ValueError: the texts have no pairs left before there are as many.
        """
        package = library()
        coder = _byte_level(package.models.BPE())
        alphabet = coder.pre_tokenizer.alphabet()
        trainer = package.trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
        )
        coder.train_from_iterator(texts, trainer)
        merges, id_of = [], {bytes([i]): i for i in range(256)}
        byte_of = byte_of_letter()
        for pair in json.loads(coder.to_str())["model"]["merges"]:
            left, right = (bytes(byte_of[char] for char in part) for part in pair)
            merges.append((id_of[left], id_of[right]))
            id_of.setdefault(left + right, len(id_of))
        if len(id_of) < vocab_size:
            raise ValueError(
                f"the training text gives a byte-pair vocabulary of {len(id_of)} ids, and "
                f"{vocab_size} were asked for; ask for fewer, or take more text"
            )
        return cls(tuple(merges))

    @cached_property
    def vocabulary(self) -> list[bytes]:
        """The bytes of each id. Two merges may make the same bytes; the first one's id counts."""
        tokens = [bytes([i]) for i in range(256)]
        known = set(tokens)
        for left, right in self.merges:
            if (merged := tokens[left] + tokens[right]) not in known:
                known.add(merged)
                tokens.append(merged)
        return tokens

    @property
    def sha256(self) -> str:
        """Of the merges, which are the whole vocabulary."""
        return hashlib.sha256(json.dumps(self.merges).encode()).hexdigest()

    @cached_property
    def _coder(self) -> Any:
        letters = _letters()
        words = ["".join(letters[byte] for byte in token) for token in self.vocabulary]
        merges = [(words[left], words[right]) for left, right in self.merges]
        ids = {word: i for i, word in enumerate(words)}
        return _byte_level(library().models.BPE(vocab=ids, merges=merges))

    def encode_part(self, texts: list[str]) -> Iterable[list[int]]:
        return (encoded.ids for encoded in self._coder.encode_batch_fast(texts))


def bpe_size(tokenizer: str) -> int:
    """The ids that a name such as bpe-1024 asks for; 0 for any other name.

    Raises:
      ValueError: so many ids can't be.
    """
    match = re.fullmatch(r"bpe-([0-9]+)", tokenizer)
    if match and not 257 <= int(match[1]) <= MOST_IDS:
        raise ValueError(f"tokenizer {tokenizer!r}: a byte-pair vocabulary has 257 to {MOST_IDS} ids")
    return int(match[1]) if match else 0


def library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(
            "byte-pair vocabularies are learned and applied by the package tokenizers, which is "
            "not here: pip install 'tokenizers>=0.21,<1' (the extra `bpe`)"
        ) from error
    return tokenizers


def _byte_level(model: Any) -> Any:
    package = library()
    coder = package.Tokenizer(model)
    coder.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return coder


def _letters() -> dict[int, str]:
    """GPT-2's printable character for each byte, in which `tokenizers` writes byte-level words."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


def byte_of_letter() -> dict[str, int]:
    return {char: byte for byte, char in _letters().items()}
