"""The documents in a user's files: plain text, lines of JSON, tables, packed or not; one at a time."""

import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from lab.data.rows import line_texts, optional, table_texts
from lab.data.texts import CorpusError, Say, digest, plain

TEXT_KEY = "text"
IDS = (".bin", ".npy")
PACKED = (".gz", ".zst")
LINES, TABLES = (".jsonl", ".ndjson", ".json"), (".parquet", ".arrow", ".feather")
LARGE = 1 << 28  # bytes: a text file beyond is read in sections and never one document
SECTION = 1 << 24
BLOCK_CHARACTERS = 8192


def user_files(name: str) -> tuple[list[tuple[str, Path]], str]:
    """(name, path) of the files that text:PATH or text:PATH#KEY means, in order of name, and the key
    of the text in lines of JSON and in tables. A folder and a glob of its files name them alike."""
    where, key = os.path.expanduser(name.partition(":")[2]), ""
    files = list(matches(where))
    if not files and "#" in where and not Path(where).exists():
        where, _, key = where.rpartition("#")
        files = list(matches(where))
    if not files:
        what = "an empty folder" if Path(where).is_dir() else "no file, no folder and no glob that matches"
        wanted = "shards of ids" if name.startswith("ids:") else "UTF-8 text"
        raise CorpusError(f"{name}: {os.path.abspath(where)} is {what}; give a path to {wanted}")
    return sorted((rel.as_posix(), path) for rel, path in files), key


def matches(where: str) -> Iterator[tuple[Path, Path]]:
    """The files that a path or a glob names, each with its place under the folder named."""
    root = Path(where)
    if root.is_dir():
        paths = [(path.relative_to(root), path) for path in root.rglob("*")]
        paths = [(rel, path) for rel, path in paths if not any(part[0] == "." for part in rel.parts)]
    elif root.is_file():
        paths = [(Path(root.name), root)]
    else:
        while glob.has_magic(str(root)):
            root = root.parent
        paths = [(Path(path).relative_to(root), Path(path)) for path in glob.glob(where, recursive=True)]
    yield from ((rel, path) for rel, path in paths if path.is_file())


def files_stamp(name: str) -> dict[str, str]:
    """Another one where a file of text:PATH came, went or was written to, its old time put back or not."""
    files, key = user_files(name)
    # a glob's files went by their whole paths
    spelled = os.path.exists(os.path.expanduser(name.partition(":")[2]))
    stats = [(rel if spelled else path.as_posix(), path.stat()) for rel, path in files]
    by_key = [key] * any(kind_of(path) or path.suffix in IDS for _, path in files)
    return {
        "files": digest(str([(rel, s.st_size, s.st_mtime_ns) for rel, s in stats] + by_key)),
        "changed": digest(str([s.st_ctime_ns for _, s in stats])),
    }


def kind_of(path: Path) -> str:
    """How a file's documents are found, by its name: a suffix of LINES or TABLES, or "" for text."""
    suffixes = [suffix for suffix in path.suffixes if suffix not in PACKED]
    last = suffixes[-1] if suffixes else ""
    if last == ".json" and path.suffix == ".json" and not has_lines(path):
        return ""
    return last if last in LINES + TABLES else ""


def has_lines(path: Path) -> bool:
    """Whether a .json holds an object a line; one that is spread over lines is a text."""
    with open(path, "rb") as file:
        return file.readline().rstrip().endswith(b"}") and file.read(1) == b"{"


@dataclass(frozen=True)
class Files:
    """The documents of files, in order: (name, text), and None for a file that is no UTF-8 text."""

    files: list[tuple[str, Path]]
    key: str  # "" means TEXT_KEY
    say: Say
    least: int = 0  # characters of the blocks that documents are cut into; 0: they are left whole

    def is_text(self, number: int) -> bool:
        return not kind_of(self.files[number][1])

    @property
    def unit(self) -> str:
        return "files" if all(map(self.is_text, range(len(self.files)))) else "documents"

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for _, path in self.files)

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        total, before = self.size, 0
        self.say.progress(0, total)
        for name, path in self.files:
            with open(path, "rb") as raw:
                try:
                    for document in self.documents(name, path, raw):
                        self.say.progress(before + raw.tell(), total)
                        yield document
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise CorpusError(f"{path} is damaged or cut short: {error}; fetch it again") from error
                except UnicodeDecodeError as error:
                    raise CorpusError(f"{path} is no UTF-8 text: {error}; leave it out by a glob") from error
            before += path.stat().st_size
        self.say.progress(total, total)

    def documents(self, name: str, path: Path, raw: BinaryIO) -> Iterator[tuple[str, str | None]]:
        kind = kind_of(path)
        if kind in TABLES:
            texts = table_texts(path, kind, self.key or TEXT_KEY)
        elif kind:
            texts = line_texts(path, unpacked(raw, path), self.key or TEXT_KEY)
        else:
            yield from self.text(name, unpacked(raw, path))
            return
        for place, text in texts:
            if text := plain(text):
                yield from self.blocks(f"{name}:{place}", [text])

    def text(self, name: str, file: BinaryIO) -> Iterator[tuple[str, str | None]]:
        whole = SECTION if self.least else LARGE
        start = file.read(whole + 1)
        if len(start) > whole:
            for i, block in enumerate(cut(sections(start, file), self.least or BLOCK_CHARACTERS)):
                yield f"{name}#{i:05d}", block
        elif (text := decoded(start)) is None:
            yield name, None
        elif text:
            yield from self.blocks(name, [text])

    def blocks(self, name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
        if not self.least:
            yield name, texts[0]
            return
        for i, block in enumerate(cut(texts, self.least)):
            yield f"{name}#{i:05d}", block


def read_text(path: Path) -> str | None:
    """The text of a file, ending with one blank line; None if it isn't UTF-8, "" if empty."""
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str | None:
    try:
        return None if b"\0" in data else plain(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None


def unpacked(raw: BinaryIO, path: Path) -> BinaryIO:
    """The file's bytes, unpacked where its name says that they are packed."""
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if path.suffix == ".zst":
        zstandard = optional("zstandard", path)
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


def sections(start: bytes, file: BinaryIO) -> Iterator[str]:
    """A text of any size in pieces that end at line ends, its line ends made \\n.

    Raises:
      UnicodeDecodeError: it isn't UTF-8.
    """
    rest, first = b"", True
    for data in chain([start], iter(lambda: file.read(SECTION), b"")):
        data = rest + data
        at = data.rfind(b"\n") + 1
        data, rest = data[:at], data[at:]
        if b"\0" in data:
            raise UnicodeDecodeError("utf-8", data, data.find(b"\0"), 1, "a zero byte")
        text = data.decode("utf-8-sig" if first and data else "utf-8")
        first = first and not data
        yield text.replace("\r\n", "\n").replace("\r", "\n")
    yield rest.decode("utf-8-sig" if first else "utf-8").replace("\r", "\n")


def cut(texts: Iterator[str] | list[str], least: int) -> Iterator[str]:
    """The blocks of a text that is given in pieces: cut at blank lines, and inside a huge paragraph at
    line ends, as soon as a block has `least` characters."""
    block: list[str] = []
    size = 0
    for piece in pieces(texts, 4 * least):
        block.append(piece)
        size += len(piece)
        if size >= least:
            yield from closed(block)
            block, size = [], 0
    yield from closed(block)


def closed(block: list[str]) -> Iterator[str]:
    text = "".join(block)
    if text.strip():
        yield text.strip("\n") + "\n\n"


def pieces(texts: Iterator[str] | list[str], large: int) -> Iterator[str]:
    """Paragraphs, each with the blank line after it; lines of the large ones."""
    pending, inside, begun = "", False, False
    for text in texts:
        pending += text
        if not begun:
            pending = pending.lstrip("\n")
            begun = bool(pending)
        *whole, pending = pending.split("\n\n")
        for paragraph in whole:
            yield from lines(paragraph) if inside or len(paragraph) > large else [paragraph + "\n\n"]
            inside = False
        if len(pending.rstrip("\n")) > large:
            *whole, pending = lines(pending)
            yield from whole
            inside = True
    pending = pending.rstrip("\n")
    yield from lines(pending) if inside or len(pending) > large else [pending + "\n\n"]


def lines(paragraph: str) -> list[str]:
    return paragraph.splitlines(keepends=True)
