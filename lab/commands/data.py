"""What `python -m lab data list | prepare | show` prints; errors are raised for the caller."""

import json
import os
from math import log

from lab.data.corpora import SPLITS, Corpus, data_directory, list_corpora, open_corpus, prepare
from lab.data.tokens import Bpe

Directory = str | os.PathLike | None


def list_command(directory: Directory = None) -> None:
    """Every corpus that can be named, and those prepared under the data directory."""
    print("corpora that can be prepared:")
    for name, what, licence in list_corpora():
        print(f"  {name}\n      {what} (licence: {licence})")
    root = data_directory(directory)
    metas = sorted(root.glob("*/meta.json"))
    print(f"\nprepared under {root}: {'' if metas else 'none'}")
    for file in metas:
        try:
            meta = json.loads(file.read_text("utf-8"))
            train, held_out = (meta["files"][split]["tokens"] for split in SPLITS)
            print(
                f"  {meta['name']:<24} {meta['tokenizer']['kind']:<8} {train:>12,} training and "
                f"{held_out:,} held-out tokens, sha256 {meta['sha256'][:12]}"
            )
        except (ValueError, KeyError, TypeError):
            print(f"  {file} is damaged; delete its folder and prepare that corpus again")


def prepare_command(name: str, tokenizer: str = "bytes", directory: Directory = None) -> None:
    """Prepare a corpus (at once where that was done before) and say what it holds."""
    corpus = prepare(name, tokenizer, directory)
    corpus.verify()
    print("\n".join(_summary(corpus)))


def show_command(name: str, tokenizer: str = "bytes", directory: Directory = None) -> None:
    """A prepared corpus: its source, splits, documents, baselines and the look of its text."""
    corpus = open_corpus(name, tokenizer, directory=directory)
    lines = _summary(corpus)
    for key in ("source", "licence", "cleaning", "split"):
        lines.append(f"{key:<10} {corpus.meta[key]}")
    lines += ["", "baselines on the held-out text     nats/token  nats/byte  bits/byte"]
    for key, loss in corpus.baselines.items():
        per_byte = loss["nats_per_byte"]
        lines.append(f"  {key:<30} {loss['nats_per_token']:12.4f} {per_byte:10.4f} {per_byte / log(2):10.4f}")
    for split in SPLITS:
        documents = corpus.documents[split]
        lines += ["", f"{split.replace('_', '-')} documents ({len(documents):,}):"]
        lines += [f"  {doc.name:<48} {doc.tokens:>10,} tokens" for doc in documents[:50]]
        if len(documents) > 50:
            lines.append(f"  … and {len(documents) - 50:,} more")
    start = corpus.n_train // 2
    sample = corpus.tokenizer.decode(corpus.train[start : start + 600])
    lines += ["", f"training text from token {start:,}:", *("  | " + x for x in sample.split("\n"))]
    print("\n".join(lines))


def _summary(corpus: Corpus) -> list[str]:
    learned = ""
    if isinstance(corpus.tokenizer, Bpe):
        each = corpus.train_bytes / corpus.n_train
        learned = f", {each:.3f} bytes a token, sha256 {corpus.tokenizer.sha256[:12]}"
    return [
        f"{'corpus':<10} {corpus.name} in {corpus.path}",
        f"{'tokenizer':<10} {corpus.tokenizer.to_json()['kind']}, {corpus.vocab_size} ids{learned}",
        f"{'train':<10} {corpus.n_train:,} tokens, {corpus.train_bytes:,} bytes, "
        f"{len(corpus.documents['train']):,} documents",
        f"{'held out':<10} {corpus.n_held_out:,} tokens, {corpus.held_out_bytes:,} bytes, "
        f"{len(corpus.documents['held_out']):,} documents",
        f"{'sha256':<10} {corpus.sha256}",
    ]
