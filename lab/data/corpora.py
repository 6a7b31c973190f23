"""Named corpora and the token files they become. `prepare` writes DIRECTORY/FOLDER/ once;
`open_corpus` reads it without the network.

    train.bin, held_out.bin   token ids, little-endian uint8, uint16 or uint32
    meta.json                 tokenizer, checksums, documents of each split, source, baselines

Documents follow each other without a separator token; each text ends with one blank line.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from itertools import chain
from pathlib import Path

import numpy as np

from lab.data import mixtures, sources, tokens
from lab.data.baselines import baselines
from lab.data.byte_pairs import Bpe
from lab.data.corpus import Corpus, Document, identity, read_corpus
from lab.data.files import TEXT_KEY, kind_of, user_files
from lab.data.pieces import mapped
from lab.data.shards import Shards
from lab.data.sources import Tokens, as_corpus_error, source_of
from lab.data.texts import SPLITS, CorpusError, Say, Unavailable, digest
from lab.data.tokenizer_files import FromFile, load, sha256_of_tokenizer
from lab.data.workplace import workplace
from lab.data.writing import Writer

__all__ = [
    "Corpus",
    "CorpusError",
    "Document",
    "Unavailable",
    "mix",
    "open_corpus",
    "prepare",
    "prepare_first",
]

FORMAT = 1  # raised when the same source would become other files
Directory = str | os.PathLike | None


def data_directory(directory: Directory = None) -> Path:
    return Path(directory or os.environ.get("LAB_DATA") or "data")


def folder_of(name: str, tokenizer: str, directory: Directory) -> Path:
    """Where a corpus lies once it is prepared.

    Raises:
      CorpusError: there is no such corpus or tokenizer.
    """
    with as_corpus_error():
        tokens.check_name(tokenizer)
    return data_directory(directory) / sources.folder_of(name, tokenizer)


def prepare(name: str, tokenizer: str = "bytes", directory: Directory = None, quiet: bool = False) -> Corpus:
    """Make the token files of a corpus unless they are there already, and open them.

    Args:
      name: of one of `sources.SOURCES`, with PATH or the numbers of the language filled in.
      tokenizer: "bytes", "chars", "bpe-N" for N byte-pair ids learned from the training text, or the
        path of a tokenizer.json or .tiktoken.
        A synthetic language has its own symbols whichever is given.
      directory: where prepared corpora lie; default $LAB_DATA, or data/.
      quiet: say nothing on stderr while working.

    Raises:
      Unavailable: it can't be had now (no network, no sources); CorpusError: anything else.
    """
    if name.startswith(mixtures.PREFIX):
        check_apart(name)
        return mixtures.open_mixture(name, lambda part: prepare(part, tokenizer, directory, quiet))
    path = folder_of(name, tokenizer, directory)
    recipe = {"format": FORMAT, "name": name} | source_of(name).recipe(name)
    if tokens.is_file(tokenizer):
        with as_corpus_error():
            recipe["tokenizer"] = sha256_of_tokenizer(tokenizer)
    with suppress(CorpusError):  # not there, or not whole
        corpus = read_corpus(path, name, tokenizer)
        if recipe | corpus.meta["recipe"] == recipe:  # an older one may lack an entry
            return corpus
    root, say = path.parent, Say(quiet)
    how = "" if name.startswith("ids:") else f" with tokenizer {tokenizer!r}"
    say(f"preparing corpus {name!r}{how} in {path}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with workplace(root, f"{path.name}-{digest(json.dumps(recipe))[:8]}") as work:
            with suppress(CorpusError):  # another process has made it meanwhile
                if (corpus := read_corpus(path, name, tokenizer)).meta["recipe"] == recipe:
                    return corpus
            meta = _write(work, name, tokenizer, root, say) | {"recipe": recipe}
            (work / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
            _put(work, path)
    except OSError as error:
        raise CorpusError(
            f"corpus {name!r} could not be prepared in {root}: {error}. Free some space, make its "
            "source readable, or set LAB_DATA to a folder that can be written"
        ) from error
    return read_corpus(path, name, tokenizer)


def check_apart(name: str) -> None:
    """Refuse a mixture of which two parts hold one file: what one holds out the other would train on."""
    first: dict[tuple[Path, str], str] = {}  # of ids and of plain text a key tells no other text
    for part in (part for part in mixtures.parse(name) if part.startswith(("text:", "ids:"))):
        found, key = user_files(part)
        for _, path in found:
            own = (key or TEXT_KEY) if part.startswith("text:") and kind_of(path) else ""
            if (other := first.setdefault((path.resolve(), own), part)) != part:
                raise CorpusError(
                    f"{path} is in {other!r} and in {part!r}: what one holds out the other would train on; "
                    "leave it out of one by a glob"
                )


def mix(
    weights: Mapping[str, float],
    tokenizer: str = "bytes",
    unique: Mapping[str, int] | None = None,
    directory: Directory = None,
    quiet: bool = False,
) -> Corpus:
    """Several corpora as one, trained on by their weights, which need not sum to 1.

    Args:
      unique: of parts, how many of their training tokens may be used: what a part that is repeated
        teaches is told from what it would if there were more of it.

    Raises:
      CorpusError: a part's weight is too small, or its vocabulary another.

    >>> mix({"text:wiki": 0.7, "text:code": 0.3}, unique={"text:code": 10_000_000})  # doctest: +SKIP
    """
    return prepare(mixtures.name_of(weights, unique), tokenizer, directory, quiet)


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
    if name.startswith(mixtures.PREFIX):
        corpus = mixtures.open_mixture(name, lambda part: open_corpus(part, tokenizer, None, directory))
    else:
        corpus = read_corpus(folder_of(name, tokenizer, directory), name, tokenizer)
    if sha256 is not None and isinstance(corpus, mixtures.Mixture) and sha256 == corpus.sha256_of_before:
        return replace(corpus, sha256=sha256)
    if sha256 is not None and corpus.sha256 != sha256:
        raise CorpusError(
            f"{corpus.path} holds {name!r} with sha256 {corpus.sha256[:12]}, and {sha256[:12]} was "
            f"asked for: the data changed since, or the run's tokenizer is another than {tokenizer!r} "
            "(corpus.data() says it by itself). Prepare it from the source it had then, or start runs anew "
            "on what is there now"
        )
    return corpus


def _write(work: Path, name: str, tokenizer: str, root: Path, say: Say) -> dict:
    """Write the token files into `work`; returns what goes into meta.json."""
    content = source_of(name).read(name, root, say)
    if isinstance(content, Shards):
        with as_corpus_error():
            return described(work, name, content, tokenizer)
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
        with as_corpus_error(f"tokenizer {tokenizer!r}: "):
            writer.add_text(content)
    if isinstance(coder, FromFile):
        coder.save(work)
    if not writer.bytes_known:
        say(f"{name}: tokenizer {tokenizer!r} does not keep the text as it is: bits per byte are left empty")
    held_out_text = writer.close() or content.held_out_bytes
    identified = {"tokenizer": coder.to_json(), "dtype": writer.dtype.str, "files": writer.files()}
    streams = (np.memmap(work / f"{split}.bin", writer.dtype, mode="r") for split in SPLITS)
    return {
        "name": name,
        "sha256": identity(identified),
        "vocab_size": coder.vocab_size,
        **identified,
        **content.notes,
        **({} if writer.bytes_known else {"bytes_known": False}),
        "baselines": baselines(
            *streams,
            held_out_text if writer.bytes_known else None,
            coder.bytes_per_token if writer.bytes_known else np.full(coder.vocab_size, np.nan),
            known,
        ),
        "documents": writer.documents(),
    }


def described(work: Path, name: str, content: Shards, tokenizer: str) -> dict:
    """What goes into meta.json of shards that stay where they are.

    Raises:
      ValueError: ids beyond the tokenizer's.
    """
    coder, pieces = tokens.Ids(content.n_ids), content.pieces
    held_out_text = None
    if tokens.is_file(tokenizer):
        coder = load(tokenizer)
        for piece in chain(*pieces.values()):
            if piece.largest >= coder.vocab_size:
                raise CorpusError(
                    f"{piece.path} has the id {piece.largest:,}, and {tokenizer} has {coder.vocab_size:,} "
                    "ids, from 0; name the tokenizer that made these shards"
                )
        coder.save(work)
        held_out_text = coder.decode_bytes(np.asarray(mapped(pieces["held_out"])))
    elif tokenizer != "bytes":
        raise CorpusError(
            f"{name} has its ids already; its tokenizer is a file, or left out, and not {tokenizer!r}"
        )
    sums = {split: [[piece.sha256, piece.dtype] for piece in pieces[split]] for split in SPLITS}
    files = {
        split: {
            "sha256": digest(json.dumps(sums[split])),
            "tokens": sum(piece.tokens for piece in pieces[split]),
            "bytes": None if split == "train" or held_out_text is None else len(held_out_text),
        }
        for split in SPLITS
    }
    identified = {"tokenizer": coder.to_json(), "dtype": "shards", "files": files}
    return {
        "name": name,
        "sha256": identity(identified),
        "vocab_size": coder.vocab_size,
        **identified,
        **content.notes,
        "shards": {split: [[*astuple(piece)] for piece in pieces[split]] for split in SPLITS},
        "baselines": baselines(*map(mapped, pieces.values()), held_out_text, coder.bytes_per_token, {}),
        "documents": {s: [[Path(p.path).name, p.tokens, None] for p in pieces[s]] for s in SPLITS},
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
            read_corpus(path, other["name"])
            if (mine["sha256"], mine["recipe"]) == (other["sha256"], other["recipe"]):
                return
        aside = work.with_name(f"{work.name}-old")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            continue
        shutil.rmtree(aside, ignore_errors=True)
    raise CorpusError(f"{path} is being replaced by other processes again and again; try later")
