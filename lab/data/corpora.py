"""Named corpora and the token files they become. `prepare` writes DIRECTORY/FOLDER/ once;
`open_corpus` reads it without the network.

    train.bin, held_out.bin   token ids, little-endian uint8, uint16 or uint32
    meta.json                 tokenizer, checksums, documents of each split, source, baselines

Documents follow each other without a separator token; each text ends with one blank line.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from lab.data import tokens
from lab.data.baselines import baselines
from lab.data.byte_pairs import Bpe
from lab.data.sources import Tokens, as_corpus_error, source_of
from lab.data.texts import SPLITS, CorpusError, Say, Unavailable, digest
from lab.data.tokenizer import Tokenizer, id_dtype
from lab.data.workplace import workplace
from lab.data.writing import Writer

FORMAT = 1  # raised when the same source would become other files
Directory = str | os.PathLike | None


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
        return self._ids("train")

    @cached_property
    def held_out(self) -> np.ndarray:
        return self._ids("held_out")

    def _ids(self, split: str) -> np.ndarray:
        return np.memmap(self.path / f"{split}.bin", id_dtype(self.vocab_size), mode="r")

    def verify(self) -> None:
        """Read both token files and compare their checksums with those of the preparation: 0.1 s
        for 100 MB, once in a process for files that have not changed since.

        Raises:
          CorpusError: one of them, or meta.json, is not what was written at preparation.
        """
        remedy = f"Delete {self.path} and run `python -m lab data prepare '{self.name}'`"
        if identity(self.meta) != self.sha256:
            raise CorpusError(
                f"{self.path / 'meta.json'} is damaged: it does not match its own sha256, "
                f"{self.sha256[:12]}. {remedy}"
            )
        for split in SPLITS:
            file, expected = self.path / f"{split}.bin", self.meta["files"][split]["sha256"]
            try:
                stat = file.stat()
                stamp = stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
                actual = sha256_of_file(file, stamp)
            except OSError as error:
                raise CorpusError(f"{file} can't be read: {error}. {remedy}") from error
            if actual != expected:
                raise CorpusError(
                    f"{file} is damaged: its sha256 begins {actual[:12]}, and at preparation it "
                    f"began {expected[:12]}. {remedy}"
                )

    def verify_again(self) -> None:
        """`verify`, before anything learned from the tokens is kept: costs nothing where no file was
        touched. Files that were replaced, not written into, leave those that are mapped as they were.

        Raises:
          CorpusError: tokens were overwritten since they were opened.
        """
        try:
            self.verify()
        except CorpusError as error:
            for split, mapped in zip(SPLITS, (self.train, self.held_out), strict=True):
                file = self.path / f"{split}.bin"
                cut = file.exists() and file.stat().st_size < mapped.nbytes  # reading on would be fatal
                if cut or hashlib.sha256(mapped).hexdigest() != self.meta["files"][split]["sha256"]:
                    raise CorpusError(
                        f"tokens were overwritten while they were trained on: {error}"
                    ) from error


def identity(meta: dict) -> str:
    """The sha256 by which runs name their data: both token files, tokenizer and type of an id."""
    sums = [meta["files"][split]["sha256"] for split in SPLITS]
    return digest(json.dumps([*sums, meta["tokenizer"], meta["dtype"]], sort_keys=True))


@cache
def sha256_of_file(path: Path, stamp: tuple[int, ...]) -> str:
    """Read again only when the file was replaced or written to since, as its stamp tells."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_directory(directory: Directory = None) -> Path:
    return Path(directory or os.environ.get("LAB_DATA") or "data")


def folder_of(name: str, tokenizer: str, directory: Directory) -> Path:
    """Where a corpus lies once it is prepared.

    Raises:
      CorpusError: there is no such corpus or tokenizer.
    """
    with as_corpus_error():
        tokens.check_name(tokenizer)
    return data_directory(directory) / source_of(name).folder(name, tokenizer)


def prepare(name: str, tokenizer: str = "bytes", directory: Directory = None, quiet: bool = False) -> Corpus:
    """Make the token files of a corpus unless they are there already, and open them.

    Args:
      name: of one of `sources.SOURCES`, with PATH or the numbers of the language filled in.
      tokenizer: "bytes", "chars", or "bpe-N" for N byte-pair ids learned from the training text.
        A synthetic language has its own symbols whichever is given.
      directory: where prepared corpora lie; default $LAB_DATA, or data/.
      quiet: say nothing on stderr while working.

    Raises:
      Unavailable: it can't be had now (no network, no sources); CorpusError: anything else.
    """
    path = folder_of(name, tokenizer, directory)
    recipe = {"format": FORMAT, "name": name} | source_of(name).recipe(name)
    with suppress(CorpusError):  # not there, or not whole
        corpus = _read(path, name)
        if recipe | corpus.meta["recipe"] == recipe:  # an older one may lack an entry
            return corpus
    root, say = path.parent, Say(quiet)
    say(f"preparing corpus {name!r} with tokenizer {tokenizer!r} in {path}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with workplace(root, f"{path.name}-{digest(json.dumps(recipe))[:8]}") as work:
            with suppress(CorpusError):  # another process has made it meanwhile
                if (corpus := _read(path, name)).meta["recipe"] == recipe:
                    return corpus
            meta = _write(work, name, tokenizer, root, say) | {"recipe": recipe}
            (work / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
            _put(work, path)
    except OSError as error:
        raise CorpusError(
            f"corpus {name!r} could not be prepared in {root}: {error}. Free some space, make its "
            "source readable, or set LAB_DATA to a folder that can be written"
        ) from error
    return _read(path, name)


def prepare_first(
    names: Sequence[str], tokenizer: str = "bytes", directory: Directory = None, quiet: bool = False
) -> Corpus:
    """The first of `names` that can be had; what was passed over, and why, goes to stderr."""
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            return prepare(name, tokenizer, directory, quiet)
        except Unavailable as error:
            if following is None:
                raise
            Say()(
                f"\n{'!' * 78}\nWARNING: corpus {name!r} can't be had: {error}\nGoing on with "
                f"{following!r} INSTEAD. Losses are not comparable with those on {name!r}.\n"
                f"{'!' * 78}\n"
            )
    raise CorpusError("prepare_first was given no names")


def open_corpus(
    name: str, tokenizer: str = "bytes", sha256: str | None = None, directory: Directory = None
) -> Corpus:
    """A corpus prepared before, without network; with `sha256`, exactly the one it names."""
    corpus = _read(folder_of(name, tokenizer, directory), name)
    if sha256 is not None and corpus.sha256 != sha256:
        raise CorpusError(
            f"{corpus.path} holds {name!r} with sha256 {corpus.sha256[:12]}, and {sha256[:12]} was "
            "asked for: the data changed since. Prepare it from the source it had then, or start "
            "runs anew on what is there now"
        )
    return corpus


def _write(work: Path, name: str, tokenizer: str, root: Path, say: Say) -> dict:
    """Write the token files into `work`; returns what goes into meta.json."""
    content = source_of(name).read(name, root, say)
    with as_corpus_error(f"tokenizer {tokenizer!r}: "):
        coder = content.tokenizer if isinstance(content, Tokens) else tokens.learn(tokenizer, content)
    if isinstance(coder, Bpe):
        say(f"{coder.vocab_size} byte-pair ids learned, sha256 {coder.sha256[:12]}")
    writer, known = Writer(work, coder), {}
    if isinstance(content, Tokens):
        known = content.losses
        for split in SPLITS:
            for name_of, ids, size in content.documents[split]:
                writer.add(split, name_of, ids, size)
    else:
        writer.add_text(content)
    held_out_text = writer.close() or content.held_out_bytes
    identified = {"tokenizer": coder.to_json(), "dtype": writer.dtype.str, "files": writer.files()}
    streams = (np.memmap(work / f"{split}.bin", writer.dtype, mode="r") for split in SPLITS)
    return {
        "name": name,
        "sha256": identity(identified),
        "vocab_size": coder.vocab_size,
        **identified,
        **content.notes,
        "baselines": baselines(*streams, held_out_text, coder.bytes_per_token, known),
        "documents": writer.documents(),
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
        with suppress(CorpusError, OSError, ValueError, KeyError):  # what lies there is damaged
            mine, other = (json.loads((p / "meta.json").read_text("utf-8")) for p in (work, path))
            _read(path, other["name"])
            if (mine["sha256"], mine["recipe"]) == (other["sha256"], other["recipe"]):
                return
        aside = work.with_name(f"{work.name}-old")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            continue
        shutil.rmtree(aside, ignore_errors=True)
    raise CorpusError(f"{path} is being replaced by other processes again and again; try later")


def _read(path: Path, name: str) -> Corpus:
    command = f"python -m lab data prepare '{name}'"
    try:
        meta = json.loads((path / "meta.json").read_text("utf-8"))
        train, held_out = (meta["files"][split] for split in SPLITS)
        corpus = Corpus(
            name=name,
            tokenizer=tokens.from_json(meta["tokenizer"]),
            sha256=meta["sha256"],
            path=path,
            n_train=train["tokens"],
            n_held_out=held_out["tokens"],
            train_bytes=train["bytes"],
            held_out_bytes=held_out["bytes"],
            documents={s: tuple(Document(*row) for row in meta["documents"][s]) for s in SPLITS},
            baselines=meta["baselines"],
            meta=meta,
        )
        for split in SPLITS:
            file = path / f"{split}.bin"
            size, expected = (
                file.stat().st_size,
                meta["files"][split]["tokens"] * np.dtype(meta["dtype"]).itemsize,
            )
            if size != expected:
                raise CorpusError(
                    f"{file} is damaged: {size:,} bytes where {expected:,} belong. Run `{command}`"
                )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = f"is not prepared: there is no {error.filename}" if missing else f"can't be read: {error}"
        raise CorpusError(f"corpus {name!r} {what}. Run `{command}`") from error
    except CorpusError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path / 'meta.json'} is damaged ({error!r}); run `{command}`") from error
    return corpus
