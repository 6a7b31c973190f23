"""The documents of texts that are on this machine: source, cleaning, and which are held out."""

import glob
import hashlib
import os
import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

HELD_OUT_SHARE = 0.04
HELD_OUT_BYTES = 100_000  # where the corpus is large enough: at most a fifth of it is held out
BLOCK_BYTES = 8192
STDLIB_BYTES = 10_000_000


Say = Callable[[str], None]  # how a source tells what it does or leaves out


class CorpusError(ValueError):
    """A corpus that can't be named, read, split or trusted; the message says what to do."""


class Unavailable(CorpusError):
    """A corpus that can't be had on this machine now, such as a download without network."""


@dataclass(frozen=True)
class Text:
    """What a source gives: documents in order, (name, text), which are held out, and notes."""

    documents: list[tuple[str, str]]
    held_out: frozenset[str]
    notes: dict  # source, licence, cleaning, split


def sizes_of(documents: list[tuple[str, str]]) -> dict[str, int]:
    return {name: len(text.encode()) for name, text in documents}


def choose_held_out(sizes: dict[str, int], most: float = float("inf")) -> frozenset[str]:
    """The documents to hold out, by the order of their names' hashes: about 4 % of the bytes (and
    about `most` bytes, where that is less), and at least 100 kB unless that is over a fifth. Passes
    over a document of more than twice that."""
    total = sum(sizes.values())
    target = max(min(HELD_OUT_SHARE * total, most), min(HELD_OUT_BYTES, total / 5))
    chosen, size = [], 0
    for name in sorted(sizes, key=digest):
        if size >= target:
            break
        if sizes[name] <= 2 * target:
            chosen.append(name)
            size += sizes[name]
    return frozenset(chosen or [min(sizes, key=lambda name: (sizes[name], name))])


def python_stdlib(name: str, root: Path, say: Say) -> Text:
    library = Path(sysconfig.get_paths()["stdlib"])
    skip = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    skip |= {"encodings", "pydoc_data", "lib2to3", "ensurepip"}  # tables, and copies of the rest
    files = [path.relative_to(library) for path in library.rglob("*.py")]
    files = [path for path in files if not skip & set(path.parts)]
    documents, size = [], 0
    for path in sorted(files, key=lambda path: digest(path.as_posix())):
        text = _read_text(library / path)
        if text and size + len(text) <= STDLIB_BYTES:
            documents.append((path.as_posix(), text))
            size += len(text)
    if size < 10 * HELD_OUT_BYTES:
        raise Unavailable(f"{library} holds {size:,} bytes of Python sources, too few for a corpus")
    documents = distinct(sorted(documents))
    sizes: dict[str, int] = defaultdict(int)  # of top-level packages, whose files resemble each other
    for name, size in sizes_of(documents).items():
        sizes[name.split("/")[0]] += size
    packages = choose_held_out(sizes)
    notes = {
        "source": f"the standard library of Python {sys.version.split()[0]} as installed",
        "licence": "PSF-2.0",
        "cleaning": "tests, codec tables, help topics and exact copies left out",
        "split": f"whole top-level modules and packages held out: {', '.join(sorted(packages))}",
    }
    held_out = frozenset(name for name, _ in documents if name.split("/")[0] in packages)
    return Text(documents, held_out, notes)


def user_files(name: str) -> list[tuple[str, Path]]:
    """(name, path) of the files that text:PATH means, in order of name: relative to the folder, or to
    where a glob's wildcards begin, so that no spelling of PATH changes what is held out."""
    where = os.path.expanduser(name[5:])
    root = Path(where)
    if root.is_file():
        return [(root.name, root)]
    if root.is_dir():
        paths = [(path.relative_to(root), path) for path in root.rglob("*")]
        paths = [(rel, path) for rel, path in paths if not any(p[0] == "." for p in rel.parts)]
    else:
        base = Path(*takewhile(lambda part: not glob.has_magic(part), root.parts))
        paths = [(Path(path).relative_to(base), Path(path)) for path in glob.glob(where, recursive=True)]
    files = sorted((rel.as_posix(), path) for rel, path in paths if path.is_file())
    if not files:
        what = "an empty folder" if root.is_dir() else "no file, no folder and no glob that matches"
        raise CorpusError(f"{name}: {os.path.abspath(where)} is {what}; give a path to UTF-8 text")
    return files


def files_stamp(name: str) -> dict[str, str]:
    """Another one where a file of text:PATH came, went or was written to, its old time put back or not."""
    spelled = os.path.exists(os.path.expanduser(name[5:]))  # a glob's files went by their whole paths
    stats = [(rel if spelled else path.as_posix(), path.stat()) for rel, path in user_files(name)]
    return {
        "files": digest(str([(rel, s.st_size, s.st_mtime_ns) for rel, s in stats])),
        "changed": digest(str([s.st_ctime_ns for _, s in stats])),
    }


def user_text(name: str, root: Path, say: Say) -> Text:
    files = user_files(name)
    texts = [(rel, _read_text(path)) for rel, path in files]
    documents = distinct([(rel, text) for rel, text in texts if text])
    skipped = sum(text is None for _, text in texts)
    if skipped:
        say(f"{name}: {skipped} of {len(files)} files are not UTF-8 text and were left out")
    sizes = sizes_of(documents)
    total = sum(sizes.values())
    if total < 2000:
        what = f"{skipped} files are not UTF-8 text, and " if skipped else ""
        raise CorpusError(
            f"{name}: {what}the rest holds {total:,} bytes of text; a corpus needs at least 2,000 "
            "(and some millions to train on)"
        )
    split = "whole files held out, by the order of the hashes of their names"
    held_out = choose_held_out(sizes)
    if sum(sizes[rel] for rel in held_out) > 0.25 * total:
        split = (
            "too few files to hold whole ones out: cut at blank lines into blocks of about "
            "8 kB, some of them held out; neighbours of a held-out block are trained on"
        )
        say(f"{name}: {split}")
        documents = _blocks(documents, min(BLOCK_BYTES, total // 25))
        sizes = sizes_of(documents)
        held_out = choose_held_out(sizes)
        if sum(sizes[rel] for rel in held_out) > 0.5 * total:
            raise CorpusError(f"{name}: the text has no lines to cut it at; give several files")
    if sum(sizes[rel] for rel in held_out) < HELD_OUT_BYTES:
        say(
            f"{name}: only {sum(sizes[rel] for rel in held_out):,} bytes are held out; losses on "
            "them are noisy"
        )
    notes = {
        "source": os.path.abspath(os.path.expanduser(name[5:])),
        "licence": "the user's own",
        "cleaning": "line ends made \\n; Project Gutenberg header and footer and exact copies removed",
        "split": split,
    }
    return Text(documents, held_out, notes)


def _blocks(documents: list[tuple[str, str]], least: int) -> list[tuple[str, str]]:
    """Each document cut at blank lines (inside a huge paragraph: at line ends) into blocks."""
    result = []
    for name, text in documents:
        pieces: list[str] = []
        for paragraph in text.strip("\n").split("\n\n"):
            large = len(paragraph) > 4 * least
            pieces += paragraph.splitlines(keepends=True) if large else [paragraph + "\n\n"]
        blocks = [""]
        for piece in pieces:
            blocks[-1] += piece
            if len(blocks[-1]) >= least:
                blocks.append("")
        result += [
            (f"{name}#{i:05d}", block.strip("\n") + "\n\n") for i, block in enumerate(blocks) if block.strip()
        ]
    return distinct(result)


def _read_text(path: Path) -> str | None:
    """The text of a file, ending with one blank line; None if it isn't UTF-8, "" if empty."""
    data = path.read_bytes()
    if b"\0" in data:
        return None
    try:
        return plain(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None


def plain(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    body = re.search(
        r"^\*\*\* ?START OF TH\w+ PROJECT GUTENBERG[^\n]*\n(.*?)^\*\*\* ?END OF TH\w+ PROJECT",
        text,
        re.DOTALL | re.MULTILINE,
    )
    text = (body[1] if body else text).strip("\n")
    return text + "\n\n" if text.strip() else ""


def distinct(documents: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without exact copies: one would be trained on while the other is held out."""
    first: dict[str, str] = {}
    for name, text in documents:
        first.setdefault(text, name)
    return [(name, text) for text, name in first.items()]


def digest(text: str) -> str:
    return sha256_of(text.encode("utf-8", "surrogateescape"))


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
