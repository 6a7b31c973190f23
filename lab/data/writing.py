"""How documents become token files: a document at a time, going on where a process was killed."""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lab.data.texts import SPLITS, Text
from lab.data.tokenizer import Tokenizer, id_dtype
from lab.data.tokenizer_files import FromFile

LISTED = 100_000  # documents: of more, meta.json tells the files they are from
SAVE_SECONDS = 20.0
AT_ONCE = 1 << 22  # characters that are given to a tokenizer together
PROGRESS, HELD_OUT_TEXT = "progress.json", "held_out.text"


@dataclass
class Half:
    """One split's file while it grows."""

    file: BinaryIO
    sha256: Any
    tokens: int = 0
    bytes: int = 0
    count: int = 0  # documents
    documents: dict[str, list[int]] = field(default_factory=dict)  # tokens and bytes by name

    def enter(self, name: str, tokens: int, size: int) -> None:
        row = self.documents.setdefault(name, [0, 0])
        row[0] += tokens
        row[1] += size


class Writer:
    """Both token files in a folder, and what meta.json says of them."""

    def __init__(self, work: Path, coder: Tokenizer):
        self.work, self.dtype = work, id_dtype(coder.vocab_size)
        before = json.loads((work / PROGRESS).read_text()) if (work / PROGRESS).exists() else {}
        if before.get("tokenizer") != json.loads(json.dumps(coder.to_json())):
            before = {}
        self.coder, self.done, self.saved = coder, before.get("done", 0), time.monotonic()
        self.halves = {split: self.open(split, before.get(split, {})) for split in SPLITS}
        self.bytes_known = before.get("bytes_known", True)  # whether ids stand for the bytes of their text
        self.text = opened(work / HELD_OUT_TEXT, before.get("text", 0))

    def open(self, split: str, before: dict[str, Any]) -> Half:
        """What was written to a split's file before is read again for its checksum."""
        path = self.work / f"{split}.bin"
        file = opened(path, before.get("tokens", 0) * self.dtype.itemsize)
        with path.open("rb") as again:
            return Half(file, hashlib.file_digest(again, "sha256"), **before)

    def add(self, split: str, name: str, ids: np.ndarray, size: int) -> None:
        half, data = self.halves[split], np.ascontiguousarray(ids, self.dtype)
        half.file.write(data)
        half.sha256.update(data)
        half.tokens += len(ids)
        half.bytes += size
        half.count += 1
        if half.count == LISTED + 1:
            listed, half.documents = half.documents, {}
            for old, row in listed.items():
                half.enter(file_of(old), *row)
        half.enter(file_of(name) if half.count > LISTED else name, len(ids), size)
        self.done += 1

    def add_text(self, text: Text) -> None:
        """The documents in the tokenizer's ids, those left out that a process before has written."""
        for part in parts(islice(text.documents, self.done, None)):
            encoded = self.coder.encode_all([document for _, _, document in part])
            for (split, name, document), ids in zip(part, encoded, strict=True):
                data = document.encode()
                if split == "held_out":
                    self.text.write(data)
                if isinstance(self.coder, FromFile) and self.coder.bytes_per_token[ids].sum() != len(data):
                    self.bytes_known = False
                self.add(split, name, ids, len(data))
            if time.monotonic() > self.saved + SAVE_SECONDS:
                self.save()

    def save(self) -> None:
        """What is needed to go on from here, once the files are on disk as far as it says."""
        state: dict[str, Any] = {
            "done": self.done,
            "tokenizer": self.coder.to_json(),
            "text": self.text.tell(),
            "bytes_known": self.bytes_known,
        }
        for split, half in self.halves.items():
            half.file.flush()
            state[split] = {k: v for k, v in vars(half).items() if k not in ("file", "sha256")}
        self.text.flush()
        new = self.work / f"{PROGRESS}.new"
        new.write_text(json.dumps(state))
        new.replace(self.work / PROGRESS)
        self.saved = time.monotonic()

    def close(self) -> bytes:
        """The held-out text as it was before it became ids; what only going on needed is gone."""
        for file in (self.text, *(half.file for half in self.halves.values())):
            file.close()
        text = (self.work / HELD_OUT_TEXT).read_bytes()
        (self.work / HELD_OUT_TEXT).unlink()
        (self.work / PROGRESS).unlink(missing_ok=True)
        return text

    def files(self) -> dict[str, dict[str, Any]]:
        return {
            split: {"sha256": half.sha256.hexdigest(), "tokens": half.tokens, "bytes": half.bytes}
            for split, half in self.halves.items()
        }

    def documents(self) -> dict[str, list[list[Any]]]:
        return {
            split: [[n, *row] for n, row in half.documents.items()] for split, half in self.halves.items()
        }


def opened(path: Path, size: int) -> BinaryIO:
    """A file to go on writing after its first `size` bytes."""
    file = path.open("ab")
    file.truncate(size)
    file.seek(size)
    return file


def file_of(document: str) -> str:
    return re.sub(r"[:#]\d+(#\d+)?$", "", document)


def parts(documents: Iterable[tuple[str, str, str]]) -> Iterator[list[tuple[str, str, str]]]:
    """Lists of documents that are not too many or too large to be encoded together."""
    part, size = [], 0
    for document in documents:
        part.append(document)
        size += len(document[2])
        if size >= AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part
