"""`lab data list | prepare | show`: the corpora there are, and what is in one."""

import argparse
import json
import shlex
from math import log

from lab.commands import shared
from lab.commands.experiment import CommandError
from lab.data.byte_pairs import Bpe
from lab.data.corpora import Corpus, data_directory, open_corpus, prepare
from lab.data.sources import SOURCES, SPLITS
from lab.data.tokenizer_files import FromFile

WORDS = (
    "List, prepare or show corpora of text. One is fetched, cleaned, split and tokenized once. They lie in "
    "the folder that LAB_DATA names, by default data/."
)
HELP = {
    "name": "of a corpus, such as shakespeare, linux-6.1, text:PATH for your own file, folder or glob, "
    'ids:PATH for shards of ids, or \'mix:{"text:wiki": 0.7, "text:code": 0.3}\' for a mixture; '
    "`lab data list` shows them all",
    "--text-key": "the key (JSON lines) or column (Parquet, Arrow) that holds the text of a document, by "
    "default text; it becomes a part of the name, text:PATH#KEY",
    "--tokenizer": "bytes, chars, bpe-N (N byte pairs learned from the corpus's training part), or the "
    "path of a tokenizer.json or .tiktoken",
}


def add(commands) -> None:
    parser = commands.add_parser("data", help=WORDS, description=WORDS)
    shared.option_adder(parser, HELP)("--tokenizer", default="bytes", metavar="KIND")
    actions = parser.add_subparsers(dest="action", required=True, help="what to do")
    shared.command(actions, "list", list_all)
    for name, run in (("prepare", prepare_one), ("show", show)):
        option = shared.option_adder(shared.command(actions, name, run), HELP)
        option("name", nargs="?", metavar="NAME")
        option("--tokenizer", default=argparse.SUPPRESS, metavar="KIND")
        option("--text-key", default="", metavar="KEY")


def list_all(options: argparse.Namespace) -> int:
    """List every corpus that can be named, and those prepared."""
    print("corpora that can be prepared:")
    for source in SOURCES.values():
        print(f"  {source.name}\n      {source.what} (licence: {source.licence})")
    root = data_directory()
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
    print("Next: python -m lab data prepare NAME")
    return 0


def prepare_one(options: argparse.Namespace) -> int:
    """Prepare a corpus (at once where that was done before) and say what it holds."""
    corpus = prepare(name_of(options), options.tokenizer)
    corpus.verify()
    print("\n".join(summary(corpus)))
    words = [name_of(options), *["--tokenizer", options.tokenizer] * (options.tokenizer != "bytes")]
    print(f"Next: python -m lab data show {shlex.join(words)}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Show a prepared corpus: its source, splits, documents, baselines and the look of its text."""
    corpus = open_corpus(name_of(options), options.tokenizer)
    lines = summary(corpus)
    lines += [f"{key:<10} {corpus.meta[key]}" for key in ("source", "licence", "cleaning", "split")]
    lines += ["", "baselines on the held-out text     nats/token  nats/byte  bits/byte"]
    for key, loss in corpus.baselines.items():
        line, per_byte = f"  {key:<30} {loss['nats_per_token']:12.4f}", loss["nats_per_byte"]
        lines.append(line + (f" {per_byte:10.4f} {per_byte / log(2):10.4f}" if per_byte else ""))
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
    return 0


def name_of(options: argparse.Namespace) -> str:
    if not options.name:
        raise CommandError(f"lab data {options.action} needs a name; `lab data list` shows them")
    return options.name + f"#{options.text_key}" * bool(options.text_key)


def summary(corpus: Corpus) -> list[str]:
    learned = ""
    if isinstance(corpus.tokenizer, Bpe | FromFile):
        each = f", {corpus.train_bytes / corpus.n_train:.3f} bytes a token" if corpus.train_bytes else ""
        learned = f"{each}, sha256 {corpus.tokenizer.sha256[:12]}"
    return [
        f"{'corpus':<10} {corpus.name} in {corpus.path}",
        f"{'tokenizer':<10} {corpus.tokenizer.to_json()['kind']}, {corpus.vocab_size} ids{learned}",
        f"{'train':<10} {corpus.n_train:,} tokens{in_bytes(corpus.train_bytes)}, "
        f"{len(corpus.documents['train']):,} documents",
        f"{'held out':<10} {corpus.n_held_out:,} tokens{in_bytes(corpus.held_out_bytes)}, "
        f"{len(corpus.documents['held_out']):,} documents",
        f"{'sha256':<10} {corpus.sha256}",
    ]


def in_bytes(size: int | None) -> str:
    return f", {size:,} bytes" if size is not None else ""
