"""Ids that other programs wrote: their shards, read where they lie and never copied.

    .bin          uint16 (nanoGPT), or as llm.c's header says; of another type it is named ids:PATH#uint32
    .bin + .idx   Megatron
    .npy          whole numbers of any type

Those whose names say that they are for validation are held out.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lab.data.files import user_files
from lab.data.local import MOST_HELD_OUT
from lab.data.pieces import Piece
from lab.data.texts import HELD_OUT_SHARE, SPLITS, CorpusError, Say

LLM_C = {20240520: "<u2", 20240801: "<u4"}  # its magic numbers
LLM_C_HEADER = 1024  # bytes
MEGATRON = b"MMIDIDX\x00\x00"
MEGATRON_TYPES = {1: "|u1", 2: "|i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
MOST_IDS = 1 << 24  # no vocabulary is so large: the file holds another type
HELD_OUT_NAME = re.compile(r"(?<![a-z])(val|valid|validation|eval|dev|test|held[-_]?out)(?![a-z])", re.I)
LEAST = 2000


@dataclass(frozen=True)
class Shards:
    """What a source gives whose ids are known and lie in files: the pieces of each split."""

    pieces: dict[str, list[Piece]]
    notes: dict

    @property
    def n_ids(self) -> int:
        return 1 + max(piece.largest for split in SPLITS for piece in self.pieces[split])


def id_shards(name: str, root: Path, say: Say) -> Shards:
    """The shards that ids:PATH or ids:PATH#TYPE names. Those called val, valid, dev, test or held_out are
    held out; where none is, the end of the last one."""
    files, dtype = user_files(name)
    if dtype and dtype not in ("uint8", "uint16", "uint32", "int32", "int64"):
        raise CorpusError(
            f"{name}: {dtype!r} is no type of ids; there are uint16, uint32, uint8, int32 and int64"
        )
    known = [path for _, path in files if path.suffix in (".bin", ".npy")]
    if not known:
        raise CorpusError(f"{name}: none of its {len(files)} files is a shard of ids (.bin or .npy)")
    whole = [shard(path, np.dtype(dtype or "u2").newbyteorder("<").str, bool(dtype)) for path in known]
    if (total := sum(piece.tokens for piece in whole)) < LEAST:
        raise CorpusError(
            f"{name} holds {total:,} ids; a corpus needs at least {LEAST:,} (and some millions to train on)"
        )
    halves, split = divide(whole)
    say(f"{name}: {split}")
    pieces = {half: look(halves[half], root) for half in SPLITS}
    check_copies(pieces)
    source = os.path.abspath(os.path.expanduser(name.partition(":")[2]))
    notes = {
        "source": source,
        "licence": "the user's own",
        "cleaning": "none: ids as they were",
        "split": split,
    }
    return Shards(pieces, notes)


def shard(path: Path, dtype: str, stated: bool) -> Piece:
    """A file as one piece.

    Raises:
      CorpusError: it is cut, or not what its name says.
    """
    size = path.stat().st_size
    if path.suffix == ".npy":
        try:
            ids = np.load(path, mmap_mode="r")
        except ValueError as error:
            raise CorpusError(f"{path} is cut short or no array of NumPy: {error}") from error
        if ids.dtype.kind not in "ui":
            raise CorpusError(f"{path} holds {ids.dtype} and no ids, which are whole numbers")
        if not ids.flags.c_contiguous:
            raise CorpusError(f"{path} lies column after column; write it by np.ascontiguousarray")
        return Piece(str(path), ids.dtype.str, ids.offset, ids.size)
    if (index := path.with_suffix(".idx")).exists():
        dtype, lengths, _ = megatron(index)
        expected = int(lengths.sum()) * np.dtype(dtype).itemsize
        return whole_piece(path, dtype, 0, expected, size, f"as {index.name} says")
    header = np.fromfile(path, "<i4", 3)
    if len(header) == 3 and int(header[0]) in LLM_C and not stated:
        dtype = LLM_C[int(header[0])]
        expected = int(header[2]) * np.dtype(dtype).itemsize
        return whole_piece(path, dtype, LLM_C_HEADER, expected, size - LLM_C_HEADER, "as its header says")
    each = np.dtype(dtype).itemsize
    piece = whole_piece(path, dtype, 0, size // each * each or each, size, f"of {np.dtype(dtype)}")
    if not stated and looks_wider(np.fromfile(path, "<u2", 1 << 16)):
        raise CorpusError(
            f"{path} looks like ids of uint32, read as uint16; name it ids:PATH#uint32 (or #uint16)"
        )
    return piece


def whole_piece(path: Path, dtype: str, offset: int, expected: int, size: int, why: str) -> Piece:
    if size != expected:
        raise CorpusError(
            f"{path} is cut in the middle: {size:,} bytes of ids where {expected:,} belong {why}; "
            "fetch or write it again"
        )
    return Piece(str(path), dtype, offset, expected // np.dtype(dtype).itemsize)


def megatron(index: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """The type of the ids beside an .idx, the lengths of its sequences, and the first sequence of each
    document, with the number of sequences at the end."""
    data = index.read_bytes()
    if data[:9] != MEGATRON or len(data) < 34 or data[17] not in MEGATRON_TYPES:
        raise CorpusError(f"{index} is no index of Megatron's (version 1), or of floats")
    sequences, documents = (int(n) for n in np.frombuffer(data, "<u8", 2, 18))
    if len(data) != 34 + 12 * sequences + 8 * documents:
        raise CorpusError(f"{index} is cut in the middle: it is to tell of {sequences:,} sequences")
    lengths = np.frombuffer(data, "<i4", sequences, 34)
    return MEGATRON_TYPES[data[17]], lengths, np.frombuffer(data, "<i8", documents, 34 + 12 * sequences)


def looks_wider(ids: np.ndarray) -> bool:
    """Whether every other one of these uint16 is the high half of a small uint32."""
    low, high = ids[::2], ids[1::2]
    return len(high) > 100 and high.max() < 16 and len(np.unique(low)) > 8 * len(np.unique(high))


def divide(whole: list[Piece]) -> tuple[dict[str, list[Piece]], str]:
    """Shards into training and held-out ones, and how that was done."""
    named = [piece for piece in whole if HELD_OUT_NAME.search(Path(piece.path).stem)]
    train = [piece for piece in whole if piece not in named]
    if named and train:
        held_out, left = [], MOST_HELD_OUT
        for piece in named:
            held_out += [part(piece, 0, min(piece.tokens, left))] * (left > 0)
            left -= held_out[-1].tokens if held_out else 0
        names = ", ".join(Path(piece.path).name for piece in named[:5])
        split = f"held out by name: {names}" + ", ..." * (len(named) > 5)
        return {
            "train": train,
            "held_out": held_out,
        }, split + f"; of them the first {MOST_HELD_OUT:,} ids" * (left <= 0)
    last = whole[-1]
    share = HELD_OUT_SHARE if len(whole) > 1 or last.tokens > 1e6 else 0.2
    wanted = min(MOST_HELD_OUT, int(share * sum(piece.tokens for piece in whole)), last.tokens // 2)
    if not wanted:
        raise CorpusError(f"{last.path} is too small to hold a part of it out; call one of the shards val")
    at, where = boundary(last, last.tokens - wanted)
    size, name = last.tokens - at, Path(last.path).name
    split = f"no shard is called val: the last {size:,} ids of {name} are held out, {where}"
    rest = [*whole[:-1], part(last, 0, at)]
    return {"train": rest, "held_out": [part(last, at, last.tokens - at)]}, split


def boundary(piece: Piece, near: int) -> tuple[int, str]:
    """A place to cut a shard at: between documents where they are known."""
    index = Path(piece.path).with_suffix(".idx")
    if not piece.path.endswith(".bin") or not index.exists():
        return near, "cut where no document need end"
    _, lengths, documents = megatron(index)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[documents]
    starts = starts[(starts > 0) & (starts < piece.tokens)]
    if not len(starts):
        return near, "cut inside its only document"
    return int(starts[np.argmin(np.abs(starts - near))]), "cut between documents"


def part(piece: Piece, start: int, tokens: int) -> Piece:
    return replace(piece, offset=piece.offset + start * np.dtype(piece.dtype).itemsize, tokens=tokens)


def look(pieces: Sequence[Piece], root: Path) -> list[Piece]:
    """The pieces with their checksums and largest ids, read on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [*pool.map(lambda piece: piece.look(root, trusted=0), pieces)]
    for piece, (_, largest) in zip(pieces, found, strict=True):
        if largest >= MOST_IDS:
            raise CorpusError(
                f"{piece.path} read as {np.dtype(piece.dtype)} has the id {largest:,}, and no vocabulary is "
                "so large; name its type, such as ids:PATH#uint16"
            )
    return [replace(p, sha256=sha256, largest=n) for p, (sha256, n) in zip(pieces, found, strict=True)]


def check_copies(pieces: dict[str, list[Piece]]) -> None:
    first: dict[str, str] = {}
    for split in SPLITS:
        for piece in pieces[split]:
            if (other := first.setdefault(piece.sha256, piece.path)) != piece.path:
                raise CorpusError(
                    f"{piece.path} holds the same ids as {other}; leave one of them out by a glob"
                )
