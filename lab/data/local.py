"""The documents of texts that are on this machine: Python's own sources, and a user's files."""

import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lab.data.files import BLOCK_CHARACTERS, Files, read_text, user_files
from lab.data.texts import (
    HELD_OUT_BYTES,
    SPLITS,
    CorpusError,
    Say,
    Text,
    Unavailable,
    choose,
    choose_held_out,
    digest,
    distinct,
    in_splits,
    key_of,
    sha256_of,
    sizes_of,
)

STDLIB_BYTES = 10_000_000
MOST_HELD_OUT = 10_000_000  # bytes, of a large corpus: every finished run is scored on all of them


def python_stdlib(name: str, root: Path, say: Say) -> Text:
    library = Path(sysconfig.get_paths()["stdlib"])
    skip = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    skip |= {"encodings", "pydoc_data", "lib2to3", "ensurepip"}  # tables, and copies of the rest
    files = [path.relative_to(library) for path in library.rglob("*.py")]
    files = [path for path in files if not skip & set(path.parts)]
    documents, size = [], 0
    for path in sorted(files, key=lambda path: digest(path.as_posix())):
        text = read_text(library / path)
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
    held_out = [name for name, _ in documents if name.split("/")[0] in packages]
    return Text(in_splits(documents, held_out), notes)


def user_text(name: str, root: Path, say: Say) -> Text:
    """Documents are files, lines of JSON or rows of a table, whole; blocks of them where they are too few."""
    files = Files(*user_files(name), say)
    alone = len(files.files) == 1 and files.is_text(0)  # a single document has to be cut
    found = survey(files) if not alone else None
    split = f"whole {files.unit} held out, by the order of the hashes of their names"
    if found is None or held_share(found) > 0.25:
        least = BLOCK_CHARACTERS
        if (total := files.size) < 25 * 4 * least:  # what is left of small files has to be measured
            found = found or survey(files)
            check_size(name, found)
            total = int(found.sizes[found.first].sum())
            least = min(BLOCK_CHARACTERS, total // 25)
        split = (
            "too few files to hold whole ones out: cut at blank lines into blocks of about "
            "8 kB, some of them held out; neighbours of a held-out block are trained on"
        )
        files = replace(files, least=least)
        found = survey(files)
        check_size(name, found)
        say(f"{name}: {split}")
        if held_share(found) > 0.5:
            raise CorpusError(f"{name}: the text has no lines to cut it at; give several files")
    check_size(name, found)
    if found.skipped:
        say(f"{name}: {found.skipped} of {len(files.files)} files are not UTF-8 text and were left out")
    if (size := int(found.sizes[found.held_out].sum())) < HELD_OUT_BYTES:
        say(f"{name}: only {size:,} bytes are held out; losses on them are noisy")
    notes = {
        "source": os.path.abspath(os.path.expanduser(name[5:])),
        "licence": "the user's own",
        "cleaning": "line ends made \\n; Project Gutenberg header and footer and exact copies removed",
        "split": split,
    }
    return Text(Chosen(files, found), notes)


@dataclass(frozen=True)
class Survey:
    """What is known of each document of a text, by its place: 33 bytes a document."""

    sizes: np.ndarray  # bytes
    keys: np.ndarray  # of their names
    first: np.ndarray  # whether no earlier one has the same text
    held_out: np.ndarray  # places
    skipped: int  # files that hold no text


def survey(documents: Files) -> Survey:
    """Go through all documents once."""
    rows, copies, skipped = [], [], 0
    part: list[tuple[int, int]] = []
    for name, text in documents:
        if text is None:
            skipped += 1
            continue
        data = text.encode("utf-8", "surrogatepass")
        part.append((len(data), key_of(name)))
        copies.append(sha256_of(data)[:32])
        if len(part) == 1 << 14:
            rows.append(compact(part, copies))
            part, copies = [], []
    rows.append(compact(part, copies))
    sizes, keys, marks = (np.concatenate(column) for column in zip(*rows, strict=True))
    first = np.zeros(len(sizes), bool)
    first[np.unique(marks, return_index=True)[1]] = True
    places = np.flatnonzero(first)
    held_out = places[choose(sizes[places], keys[places], MOST_HELD_OUT)] if len(places) else places
    return Survey(sizes, keys, first, held_out, skipped)


def compact(part: list, copies: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes, keys = (np.array([row[i] for row in part], t) for i, t in enumerate((np.int64, np.uint64)))
    marks = np.array([bytes.fromhex(copy) for copy in copies], "S16")
    return sizes, keys, marks


def held_share(found: Survey) -> float:
    return found.sizes[found.held_out].sum() / max(1, found.sizes[found.first].sum())


def check_size(name: str, found: Survey) -> None:
    if (total := int(found.sizes[found.first].sum())) < 2000:
        what = f"{found.skipped} files are not UTF-8 text, and " if found.skipped else ""
        raise CorpusError(
            f"{name}: {what}the rest holds {total:,} bytes of text; a corpus needs at least 2,000 "
            "(and some millions to train on)"
        )


@dataclass(frozen=True)
class Chosen:
    """The documents that were surveyed, copies left out, with their splits."""

    files: Files
    found: Survey

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        held_out = np.zeros(len(self.found.sizes), bool)
        held_out[self.found.held_out] = True
        documents = ((name, text) for name, text in self.files if text is not None)
        for first, held, (name, text) in zip(self.found.first, held_out, documents, strict=True):
            if first:
                yield SPLITS[int(held)], name, text
