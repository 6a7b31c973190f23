"""The ids of a split as they lie on disk: one file or many, mapped and read as one array."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lab.data.texts import CorpusError

TRUSTED = 1 << 30  # bytes: more are not mapped, nor read again while their file's size and times stay
CHUNK = 1 << 24
HASHED = ".hashed"


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


class Filed:
    """The ids of a piece, read from its file where they are asked for. A page that is mapped would be memory
    of this process, and how many lie about a place that is looked at is the kernel's to choose."""

    def __init__(self, piece: Piece):
        self.piece, self.dtype = piece, np.dtype(piece.dtype)
        self.file = open(piece.path, "rb", buffering=0)  # of it as it is now, whatever takes its place

    def __len__(self) -> int:
        return self.piece.tokens

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Those at places (n,), in a call for each run of places that follow each other.

        Raises:
          CorpusError: the file ends before.
        """
        ids = np.empty(len(places), self.dtype)
        data, size = memoryview(ids).cast("B"), ids.itemsize
        ends = [*(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        for begin, end in zip([0, *ends], ends, strict=False):
            at, wanted = self.piece.offset + int(places[begin]) * size, (end - begin) * size
            if os.preadv(self.file.fileno(), [data[begin * size : end * size]], at) < wanted:
                raise CorpusError(f"{self.piece.path} is cut short: it ends before byte {at + wanted:,}")
        return ids

    def chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), CHUNK):
            yield self[np.arange(start, min(start + CHUNK, len(self)))]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.concatenate([*self.chunks()]).astype(dtype or self.dtype, copy=False)


def sha256_of(ids: np.ndarray | Filed) -> str:
    sha256 = hashlib.sha256()
    for part in ids.chunks() if isinstance(ids, Filed) else [ids]:
        sha256.update(part)
    return sha256.hexdigest()


class Stream:
    """Arrays of ids one after another, read as one array of one axis."""

    def __init__(self, parts: Sequence[np.ndarray | Filed]):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.dtype = np.result_type(*(part.dtype for part in parts))

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
        return ids

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)


def mapped(pieces: Sequence[Piece]) -> Any:
    """The ids of pieces as one array; of a single one that is not large it is NumPy's own. Of many bytes none
    is mapped."""
    if sum(piece.nbytes for piece in pieces) > TRUSTED:
        return Stream([Filed(piece) for piece in pieces])
    return pieces[0].map() if len(pieces) == 1 else Stream([piece.map() for piece in pieces])
