"""The ids of a split as they lie on disk: one file or many, mapped and read as one array."""

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.texts import CorpusError

TRUSTED = 1 << 30  # bytes: a larger piece is not read again while its file's size and times stay
CHUNK = 1 << 24
HASHED = ".hashed"
AROUND = 1 << 16  # bytes that the kernel maps about a place that is read
KEPT = 1 << 28  # bytes of large files that stay mapped in memory


@dataclass(frozen=True)
class Piece:
    """Ids that follow each other in a file."""

    path: str
    dtype: str
    offset: int  # bytes before the first
    tokens: int
    sha256: str = ""  # of the ids' bytes
    largest: int = 0  # id

    @property
    def nbytes(self) -> int:
        return self.tokens * np.dtype(self.dtype).itemsize

    def map(self) -> np.ndarray:
        return np.memmap(self.path, self.dtype, "r", self.offset, (self.tokens,))

    def chunks(self) -> Iterator[np.ndarray]:
        """All of it, a part at a time, into memory that is given back."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            for start in range(0, self.nbytes, CHUNK):
                data = file.read(min(CHUNK, self.nbytes - start))
                if len(data) < min(CHUNK, self.nbytes - start):
                    raise CorpusError(
                        f"{self.path} is cut short: it ends {self.nbytes - start - len(data):,} bytes early"
                    )
                yield np.frombuffer(data, self.dtype)

    def within(self, folder: Path) -> bool:
        return Path(self.path).parent == folder

    def stamp(self) -> tuple[int, ...]:
        stat = os.stat(self.path)
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino

    def look(self, kept: Path, trusted: int = TRUSTED) -> tuple[str, int]:
        """Its checksum and largest id, read once in a process while the file is not touched; of a piece of
        more than `trusted` bytes once at all: what was found is kept under `kept`."""
        if self.nbytes <= trusted:
            return read(self, self.stamp())
        about = json.dumps([os.path.abspath(self.path), self.dtype, self.offset, self.tokens, self.stamp()])
        file = kept / HASHED / hashlib.sha256(about.encode()).hexdigest()[:32]
        if file.exists():
            sha256, largest = file.read_text().split()
            return sha256, int(largest)
        sha256, largest = read(self, self.stamp())
        file.parent.mkdir(exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(f"{sha256} {largest}")
        new.replace(file)
        return sha256, largest


@cache
def read(piece: Piece, stamp: tuple[int, ...]) -> tuple[str, int]:
    sha256, largest = hashlib.sha256(), 0
    for ids in piece.chunks():
        sha256.update(ids)
        largest = max(largest, int(ids.max()))
        if int(ids.min()) < 0:
            raise CorpusError(f"{piece.path} holds the id {int(ids.min())}, which is below 0")
    return sha256.hexdigest(), largest


class Stream:
    """Arrays of ids one after another, read as one array of one axis."""

    def __init__(self, parts: Sequence[np.ndarray]):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.dtype = np.result_type(*parts)
        self.large = [part._mmap for part in parts if isinstance(part, np.memmap) and part.nbytes > TRUSTED]
        self.mapped = 0
        for file in self.large:
            file.madvise(mmap.MADV_RANDOM)  # else each window has much read beside it

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    def __getitem__(self, places: Any) -> np.ndarray:
        if isinstance(places, slice):
            places = np.arange(*places.indices(len(self)))
        places = np.asarray(places)
        places = np.where(places < 0, places + len(self), places)
        which = np.searchsorted(self.ends, places, side="right")
        ids = np.empty(places.shape, self.dtype)
        for number in np.unique(which):
            part, here = self.parts[number], which == number
            ids[here] = part[places[here] - (self.ends[number] - len(part))]
        self.let_go(places)
        return ids

    def let_go(self, places: np.ndarray) -> None:
        """Unmap what was read of large files now and then: else all of them stays in memory in the end."""
        windows = places.size // max(1, places.shape[-1] if places.ndim else 1)
        self.mapped += AROUND * windows + places.size * self.dtype.itemsize
        if self.large and self.mapped > KEPT:
            self.mapped = 0
            for file in self.large:
                file.madvise(mmap.MADV_DONTNEED)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)


def mapped(pieces: Sequence[Piece]) -> Any:
    """The ids of pieces as one array; of a single one that is not large it is NumPy's own."""
    alone = len(pieces) == 1 and pieces[0].nbytes <= TRUSTED
    return pieces[0].map() if alone else Stream([piece.map() for piece in pieces])
