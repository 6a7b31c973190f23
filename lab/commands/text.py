"""`lab sample | compress | decompress`: what a trained run says, and what it packs."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from lab.commands import shared
from lab.config import userfile
from lab.plan.grid import describe_model
from lab.store import contents
from lab.store.files import replace_file
from lab.store.store import Store

HELP = shared.HELP | {
    "run_id": "of a finished run of the store, or its first digits",
    "--prompt": "what the text begins with; the model sees as much of its end as its context holds",
    "--temperature": "what logits are divided by; 0 takes the likeliest token each time",
    "--tokens": "how many to add",
    "--top-k": "draw from the K likeliest tokens only; 0 means from all",
    "--seed": "of the draw; the same seed gives the same text on the same machine",
    "file": "that is to be packed or unpacked",
    "--output": "where to; by default FILE.lab, and in unpacking FILE without its .lab",
    "--code": "the FILE.py of your own that the run was trained with; repeatable. No other file is imported",
    "--unverified": "do not unpack it again to see that it comes back, which takes about as many times as "
    "long as the context has tokens",
}


def add(commands) -> None:
    parsers = {}
    for name, run in (("sample", run_sample), ("compress", run_compress), ("decompress", run_decompress)):
        parsers[name] = shared.command(commands, name, run)
        option = shared.option_adder(parsers[name], HELP)
        if name != "decompress":
            option("run_id", metavar="RUN_ID")
        if name != "sample":
            option("file", type=Path, metavar="FILE")
            option("-o", "--output", type=Path, metavar="FILE")
        option("--store", **shared.STORE)
        option("--code", type=Path, action="append", default=[], metavar="FILE.py")
    option = shared.option_adder(parsers["sample"], HELP)
    option("--prompt", required=True, metavar="TEXT")
    option("--temperature", type=float, default=0.8, metavar="T")
    option("--tokens", **shared.COUNT, default=400)
    option("--top-k", type=int, default=0, metavar="K")
    option("--seed", type=int, default=0, metavar="S")
    option = shared.option_adder(parsers["compress"], HELP)
    option("--unverified", **shared.FLAG)


def run_sample(options: argparse.Namespace) -> int:
    """Write on from a text with a run's final weights."""
    if not options.prompt:
        raise ValueError(
            "the prompt is empty: the model tells what follows a text and needs one token of it at "
            "least, such as a line break (--prompt $'\\n')"
        )
    run, tokenizer = load_run(options, options.run_id)
    from lab.trained import sample

    ids, cfg = tokenizer.encode_known(options.prompt), run.config.model
    sample.check(ids, options.tokens, options.temperature, options.top_k)
    message, unseen = describe_trained(run), len(ids) - cfg.seq_len
    if unseen > 0:
        message += f"; the first {unseen} of the prompt's {len(ids)} tokens are out of its context"
        message += f" of {cfg.seq_len}"
    print(message, file=sys.stderr)
    drawn = sample.sample(
        cfg,
        run.params,
        ids,
        options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        seed=options.seed,
        n_ids=tokenizer.n_text_ids,
    )
    print(options.prompt + tokenizer.decode(list(drawn)))
    return 0


def run_compress(options: argparse.Namespace) -> int:
    """Pack a file by what a run's model foresees of it. Its size is told beside gzip's, bzip2's and xz's.
    The packed file can be unpacked with the same run on the same kind of machine."""
    file = options.file
    text, output = read(file), new_file(options.output or file.with_name(file.name + ".lab"))
    if not text:
        raise ValueError(f"{file} is empty: there is nothing to pack")
    run, tokenizer = load_run(options, options.run_id)
    from lab.trained import compress

    began = time.monotonic()
    packed = compress.compress(run, tokenizer, text)
    done = time.monotonic()
    print(describe_trained(run), file=sys.stderr)
    check = "; NOT unpacked again"
    if not options.unverified:
        if compress.decompress(run, tokenizer, packed) != text:
            raise ValueError(f"{file}: what was packed does not come back")
        check = f", and came back byte for byte in {time.monotonic() - done:.1f} s"
    print(f"packed in {done - began:.1f} s{check}", file=sys.stderr)
    replace_file(output, packed)
    sizes = {
        f"{output.name}": len(packed),
        "  and the model's weights, 4 bytes each": len(packed) + compress.weight_bytes(run),
        **compress.compressed_sizes(text),
    }
    print(f"{'':<42}{'bytes':>12} {'bits/byte':>10}\n{file.name:<42}{len(text):>12,}")
    for name, size in sizes.items():
        print(f"{name:<42}{size:>12,} {8 * size / len(text):>10.3f}")
    print(f"Next: python -m lab decompress {shlex.quote(str(output))} -o {shlex.quote(file.name + '.again')}")
    return 0


def run_decompress(options: argparse.Namespace) -> int:
    """Unpack a file of `lab compress`: byte for byte what went in, or nothing."""
    file = options.file
    packed = read(file)
    if options.output is None and file.suffix != ".lab":
        raise ValueError(f"{file} does not end in .lab: name the output with -o")
    output = new_file(options.output or file.with_suffix(""))
    from lab.trained import compress

    try:
        header, _ = compress.read_header(packed)
        run, tokenizer = load_run(options, header.run_id)
        text = compress.decompress(run, tokenizer, packed)
    except compress.NotTheText as error:
        raise ValueError(f"{file}: {error}; nothing was written") from error
    replace_file(output, text)
    print(f"{output}: {len(text):,} bytes", file=sys.stderr)
    return 0


def load_run(options: argparse.Namespace, run_id: str):
    """A finished run with its weights, and its tokenizer; a slip in its name is told at once."""
    store = Store(options.store)
    for path in options.code:
        userfile.name_file(userfile.find(str(path), "--code"))
    contents.find(store, run_id)
    from lab.trained import weights

    run = weights.read(store, run_id)
    return run, run.corpus().tokenizer


def describe_trained(run) -> str:
    config, loss = run.config, run.record["loss"]
    return (
        f"run {config.run_id}: {describe_model(config.model)}, on {config.data.corpus}, "
        f"held-out loss {loss:.4f} nats/token"
    )


def read(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(f"{file}: {'a folder' if file.is_dir() else 'no such file'}; name a file")
    return file.read_bytes()


def new_file(path: Path) -> Path:
    if path.exists():
        raise ValueError(f"{path} is there already: name another output with -o")
    return path
