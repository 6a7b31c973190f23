"""A corpus that is prepared: its ids, its tokenizer, and whether they are still what they were."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lab.config import DataConfig, RunConfig
from lab.data import tokens
from lab.data.pieces import TRUSTED, Piece, Stream, mapped, sha256_of
from lab.data.texts import SPLITS, CorpusError, digest
from lab.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Document:
    name: str
    tokens: int
    bytes: int | None  # None where an id's bytes are not known


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus; `sha256` is its identity: the tokens of both splits and the tokenizer."""

    name: str
    tokenizer: Tokenizer
    sha256: str
    path: Path
    n_train: int
    n_held_out: int
    train_bytes: int | None
    held_out_bytes: int | None
    documents: dict[str, tuple[Document, ...]]
    baselines: dict[str, dict[str, float]]  # on held_out[1:]: nats_per_token, nats_per_byte
    meta: dict
    asked: str = field(default="bytes", compare=False)  # the tokenizer, as it was called

    def data(self, **others: Any) -> DataConfig:
        """The part of a run's config that says to learn from this corpus, with other fields of it."""
        return DataConfig(
            corpus=self.name, tokenizer=self.asked, sha256=self.sha256, train_tokens=self.n_train, **others
        )

    @property
    def vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    @property
    def bytes_per_token(self) -> np.ndarray:
        """UTF-8 bytes that each id stands for, (vocab_size,); NaN where that is not known."""
        known = self.meta.get("bytes_known", True)
        return self.tokenizer.bytes_per_token if known else np.full(self.vocab_size, np.nan)

    @cached_property
    def pieces(self) -> dict[str, list[Piece]]:
        """Where the ids of each split lie."""
        return pieces_of(self.meta, self.path)

    @cached_property
    def train(self) -> np.ndarray | Stream:
        return mapped(self.pieces["train"])

    @cached_property
    def held_out(self) -> np.ndarray | Stream:
        return mapped(self.pieces["held_out"])

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
        for piece in (piece for split in SPLITS for piece in self.pieces[split]):
            try:
                actual, _ = piece.look(self.path.parent, TRUSTED if piece.within(self.path) else 0)
            except OSError as error:
                raise CorpusError(f"{piece.path} can't be read: {error}. {remedy}") from error
            if actual != piece.sha256:
                raise CorpusError(
                    f"{piece.path} is damaged: its sha256 begins {actual[:12]}, and at preparation it "
                    f"began {piece.sha256[:12]}. {remedy}"
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
            for piece, ids in zip(chain(*self.pieces.values()), self.mapped_parts, strict=True):
                path = Path(piece.path)
                # reading on is fatal
                cut = path.exists() and path.stat().st_size < piece.offset + piece.nbytes
                if cut or sha256_of(ids) != piece.sha256:
                    raise CorpusError(
                        f"tokens were overwritten while they were trained on: {error}"
                    ) from error

    @property
    def mapped_parts(self) -> list:
        """The ids of all pieces, as they were opened."""
        return [part for ids in (self.train, self.held_out) for part in getattr(ids, "parts", [ids])]


def pieces_of(meta: dict, path: Path) -> dict[str, list[Piece]]:
    """Of shards that lie elsewhere, or of the two files under `path`."""
    if "shards" in meta:
        return {split: [Piece(*row) for row in meta["shards"][split]] for split in SPLITS}
    files = meta["files"]
    return {
        split: [
            Piece(
                str(path / f"{split}.bin"), meta["dtype"], 0, files[split]["tokens"], files[split]["sha256"]
            )
        ]
        for split in SPLITS
    }


def identity(meta: dict) -> str:
    """The sha256 by which runs name their data: both token files, tokenizer and type of an id."""
    sums = [meta["files"][split]["sha256"] for split in SPLITS]
    return digest(json.dumps([*sums, meta["tokenizer"], meta["dtype"]], sort_keys=True))


def read_corpus(path: Path, name: str, tokenizer: str = "bytes") -> Corpus:
    how = "" if tokenizer == "bytes" else f" --tokenizer {tokenizer}"
    command = f"python -m lab data prepare '{name}'{how}"
    try:
        meta = json.loads((path / "meta.json").read_text("utf-8"))
        train, held_out = (meta["files"][split] for split in SPLITS)
        corpus = Corpus(
            name=name,
            tokenizer=tokens.from_json(meta["tokenizer"], path),
            sha256=meta["sha256"],
            path=path,
            n_train=train["tokens"],
            n_held_out=held_out["tokens"],
            train_bytes=train["bytes"],
            held_out_bytes=held_out["bytes"],
            documents={s: tuple(Document(*row) for row in meta["documents"][s]) for s in SPLITS},
            baselines=meta["baselines"],
            meta=meta,
            asked=tokenizer,
        )
        for piece in chain(*corpus.pieces.values()):
            size, expected = Path(piece.path).stat().st_size, piece.offset + piece.nbytes
            if size != expected if piece.within(path) else size < expected:
                raise CorpusError(
                    f"{piece.path} is damaged: {size:,} bytes where {expected:,} belong. Run `{command}`"
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


def check_ids(config: RunConfig, corpus: Corpus) -> None:
    """Refuse a model that has fewer ids than its text."""
    if corpus.vocab_size > config.model.vocab_size:
        raise ValueError(
            f"corpus {corpus.name!r} has token ids up to {corpus.vocab_size - 1} and run "
            f"{config.run_id} a vocab_size of {config.model.vocab_size}; make it at least "
            f"{corpus.vocab_size}"
        )
