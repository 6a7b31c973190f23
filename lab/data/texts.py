"""What a text corpus is: its documents, which of them are held out, how their text is cleaned."""

import hashlib
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "held_out")
HELD_OUT_SHARE = 0.04
HELD_OUT_BYTES = 100_000  # where the corpus is large enough: at most a fifth of it is held out


class CorpusError(ValueError):
    """A corpus that can't be named, read, split or trusted; the message says what to do."""


class Unavailable(CorpusError):
    """A corpus that can't be had on this machine now, such as a download without network."""


class Say:
    """How preparing tells on stderr what it does, what it leaves out and how far it is."""

    def __init__(self, quiet: bool = False):
        self.quiet, self.began, self.shown = quiet, time.monotonic(), 0.0

    def __call__(self, message: str) -> None:
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)

    def progress(self, done: int, total: int) -> None:
        """A line that is written over, on a terminal, of bytes read so far."""
        now = time.monotonic()
        if done == 0:
            self.began = self.shown = now
        over = done >= total and self.shown > self.began
        if self.quiet or not (over or now > self.shown + 0.5) or not sys.stderr.isatty():
            return
        self.shown, seconds = now, now - self.began
        bar, speed = "#" * round(30 * done / total), done / 1e6 / seconds
        left = f"{seconds * (total - done) / max(done, 1):,.0f} s left"
        line = f"[{bar:<30}] {done / 1e6:,.0f} of {total / 1e6:,.0f} MB, {speed:,.0f} MB/s, {left}"
        print(f"\r{line}\x1b[K", end="\n" if over else "", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Text:
    """What a source gives: its documents in order, (split, name, text), which may be gone through
    more than once, and notes: source, licence, cleaning, split."""

    documents: Iterable[tuple[str, str, str]]
    notes: dict


def in_splits(documents: list[tuple[str, str]], held_out: Iterable[str]) -> list[tuple[str, str, str]]:
    """(name, text) of each document with its split before them."""
    held_out = frozenset(held_out)
    return [(SPLITS[name in held_out], name, text) for name, text in documents]


def sizes_of(documents: list[tuple[str, str]]) -> dict[str, int]:
    return {name: len(text.encode()) for name, text in documents}


def choose_held_out(sizes: dict[str, int], most: float = float("inf")) -> frozenset[str]:
    """The documents to hold out, by name; see `choose`."""
    names = sorted(sizes)
    chosen = choose(np.array([sizes[name] for name in names]), np.array([*map(key_of, names)]), most)
    return frozenset(names[i] for i in chosen)


def choose(sizes: np.ndarray, keys: np.ndarray, most: float = float("inf")) -> np.ndarray:
    """Which documents to hold out, by the order of their names' hashes: about 4 % of the bytes (and
    about `most` bytes, where that is less), and at least 100 kB unless that is over a fifth. Passes
    over a document of more than twice that; where that leaves none, the smallest is held out."""
    total = int(sizes.sum())
    target = max(min(HELD_OUT_SHARE * total, most), min(HELD_OUT_BYTES, total / 5))
    order = np.argsort(keys, kind="stable")
    order = order[sizes[order] <= 2 * target]
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = order[before < target]
    return chosen if len(chosen) else np.array([np.argmin(sizes)])


def key_of(name: str) -> np.uint64:
    """The first 64 bits of a name's hash, which order names as the whole hash does."""
    return np.uint64(int(digest(name)[:16], 16))


def plain(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    body = "PROJECT GUTENBERG" in text and re.search(
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
