"""Tokenizers that others learned, by their files: tokenizer.json of Hugging Face, and tiktoken's."""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from lab.data.byte_pairs import byte_of_letter, library
from lab.data.texts import sha256_of
from lab.data.tokenizer import Batched

SUFFIXES = (".json", ".tiktoken")
# what a .tiktoken does not hold, by its name: how text is cut into words (openai/tiktoken,
# openai_public.py), and how many ids there are with the special ones
GPT2_WORDS = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
GPT4_WORDS = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
KNOWN = {
    "gpt2": (GPT2_WORDS, 50_257),
    "r50k_base": (GPT2_WORDS, 50_257),
    "p50k_base": (GPT2_WORDS, 50_281),
    "cl100k_base": (GPT4_WORDS, 100_277),
}


@dataclass(frozen=True)
class FromFile(Batched):
    """A tokenizer whose file lies in the corpus's folder; what it is, is the file's sha256. Special ids
    stand for no text, and text that looks like one is text."""

    sha256: str
    path: Path = field(compare=False)
    suffix: ClassVar[str]

    def to_json(self) -> dict:
        return {name: value for name, value in super().to_json().items() if name != "path"}

    def save(self, folder: Path) -> None:
        (folder / f"tokenizer{self.suffix}").write_bytes(self.path.read_bytes())


@dataclass(frozen=True)
class HuggingFace(FromFile):
    """tokenizer.json. Encoding needs the package `tokenizers`; decoding and counting bytes do not."""

    kind = "huggingface"
    suffix = ".json"

    @cached_property
    def definition(self) -> dict:
        try:
            definition = json.loads(self.path.read_text("utf-8"))
            return definition | {"model": definition["model"] | {"vocab": definition["model"]["vocab"]}}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is no tokenizer.json of Hugging Face: {error!r}") from error

    @cached_property
    def vocabulary(self) -> list[bytes]:
        words = self.definition["model"]["vocab"]
        ids = words if isinstance(words, dict) else {word: i for i, (word, _) in enumerate(words)}
        added = self.definition.get("added_tokens") or []
        tokens = [b""] * (1 + max([*ids.values(), *(token["id"] for token in added)]))
        means = self.meaning()
        for word, i in ids.items():
            tokens[i] = means(word)
        for token in added:
            tokens[token["id"]] = b"" if token.get("special") else token["content"].encode()
        return tokens

    def meaning(self) -> Any:
        """What gives the bytes of a word of the vocabulary."""
        parts = str([self.definition.get(part) for part in ("decoder", "pre_tokenizer", "normalizer")])
        if "'ByteLevel'" in parts:
            byte_of = byte_of_letter()
            return lambda word: b"".join(bytes([byte_of[c]]) if c in byte_of else c.encode() for c in word)
        space = "▁" if "▁" in parts or "'Metaspace'" in parts else None

        def plain(word: str) -> bytes:
            if match := re.fullmatch(r"<0x([0-9A-F]{2})>", word):
                return bytes([int(match[1], 16)])
            return (word.replace(space, " ") if space else word.removeprefix("##")).encode()

        return plain

    @cached_property
    def _coder(self) -> Any:
        coder = library().Tokenizer.from_file(str(self.path))
        coder.encode_special_tokens = True
        coder.no_truncation()
        coder.no_padding()
        return coder

    def encode_part(self, texts: list[str]) -> Iterable[list[int]]:
        return (encoded.ids for encoded in self._coder.encode_batch_fast(texts, add_special_tokens=False))


@dataclass(frozen=True)
class Tiktoken(FromFile):
    """Lines of a token in base64 and its id. Encoding needs the package `tiktoken`."""

    words: str = ""  # the pattern by which text is cut; "" where it is not known
    n_ids: int = 0
    kind = "tiktoken"
    suffix = ".tiktoken"

    @cached_property
    def ranks(self) -> dict[bytes, int]:
        try:
            lines = [line.split() for line in self.path.read_bytes().splitlines() if line.strip()]
            return {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
        except ValueError as error:
            raise ValueError(f"{self.path} is no file of tiktoken's: {error}") from error

    @cached_property
    def vocabulary(self) -> list[bytes]:
        tokens = [b""] * max(self.n_ids, 1 + max(self.ranks.values()))
        for token, rank in self.ranks.items():
            tokens[rank] = token
        return tokens

    @cached_property
    def _coder(self) -> Any:
        if not self.words:
            raise ValueError(
                f"{self.path} does not say how text is cut into words, and its name is none of "
                f"{', '.join(KNOWN)}; it counts the bytes of shards of ids, and text wants a tokenizer.json"
            )
        try:
            import tiktoken
        except ImportError as error:
            raise ValueError(
                f"{self.path} encodes by the package tiktoken, which is not here: pip install "
                "tiktoken (the extra `data`)"
            ) from error
        return tiktoken.Encoding("", pat_str=self.words, mergeable_ranks=self.ranks, special_tokens={})

    def encode_part(self, texts: list[str]) -> Iterable[list[int]]:
        return self._coder.encode_ordinary_batch(texts)


def is_file(name: str) -> bool:
    """Whether a tokenizer is asked for by its file."""
    return name.endswith(SUFFIXES)


def sha256_of_tokenizer(name: str) -> str:
    """Raises ValueError: there is no such file."""
    try:
        return sha256_of(Path(name).expanduser().read_bytes())
    except OSError as error:
        raise ValueError(f"tokenizer {name!r} can't be read: {error}") from error


def load(name: str) -> FromFile:
    """The tokenizer of a file.

    Raises:
      ValueError: there is none, or it is no tokenizer's.
    """
    path, sha256 = Path(name).expanduser(), sha256_of_tokenizer(name)
    if path.suffix == ".json":
        coder: FromFile = HuggingFace(sha256, path)
    else:
        coder = Tiktoken(sha256, path, *KNOWN.get(path.stem, ()))
    _ = coder.vocabulary  # refuses a foreign file
    return coder
