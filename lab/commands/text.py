"""python -m lab sample | compress | decompress: what a trained run says, and what it packs."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import tyro

from lab.store import contents
from lab.store.store import Store

RunId = Annotated[
    str,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN_ID", help="of a finished run of the store, or its first digits"),
]
File = Annotated[
    Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE", help="that is to be packed or unpacked")
]
Folder = Annotated[Path, tyro.conf.arg(metavar="DIR", help="the folder of runs")]
Output = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE")]


def sample(
    run_id: RunId,
    /,
    *,
    prompt: str,
    temperature: float = 0.8,
    tokens: int = 400,
    top_k: int = 0,
    seed: int = 0,
    store: Folder = Path("runs"),
) -> int:
    """Write on from a text with a run's final weights.

    Args:
      prompt: what the text begins with; the model sees as much of its end as its context holds.
      temperature: what logits are divided by; 0 takes the likeliest token each time.
      tokens: how many to add.
      top_k: draw from the k likeliest tokens only; 0 means from all.
      seed: of the draw; the same seed gives the same text on the same machine.
    """
    if not prompt:
        raise ValueError(
            "the prompt is empty: the model tells what follows a text and needs one token of it at "
            "least, such as a line break (--prompt $'\\n')"
        )
    run, tokenizer = opened(store, run_id)
    from lab.trained import sample as sampling

    ids, cfg = sampling.encode(tokenizer, prompt), run.config.model
    sampling.check(ids, tokens, temperature, top_k)
    unseen = max(0, len(ids) - cfg.seq_len)
    print(
        described(run)
        + (
            f"; the first {unseen} of the prompt's {len(ids)} tokens are out of its context of {cfg.seq_len}"
            if unseen
            else ""
        ),
        file=sys.stderr,
    )
    drawn = sampling.sample(
        cfg,
        run.params,
        ids,
        tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        spoken=sampling.spoken(tokenizer),
    )
    print(prompt + tokenizer.decode(list(drawn)))
    return 0


def compress(
    run_id: RunId,
    file: File,
    /,
    *,
    output: Output = None,
    store: Folder = Path("runs"),
    unverified: bool = False,
) -> int:
    """Pack a file by what a run's model foresees of it, and tell its size beside gzip's, bzip2's
    and xz's. The packed file can be unpacked with the same run on the same kind of machine.

    Args:
      output: where to; default FILE.lab.
      unverified: do not unpack it again to see that it comes back, which takes about as many times
        as long as the context has tokens.
    """
    text, output = content(file), new_file(output or file.with_name(file.name + ".lab"))
    if not text:
        raise ValueError(f"{file} is empty: there is nothing to pack")
    run, tokenizer = opened(store, run_id)
    from lab.trained import compress as packing

    began = time.monotonic()
    packed = packing.compress(run, tokenizer, text)
    spent = time.monotonic() - began
    print(described(run), file=sys.stderr)
    if unverified:
        print(f"packed in {spent:.1f} s; NOT unpacked again", file=sys.stderr)
    else:
        began = time.monotonic()
        if packing.decompress(run, tokenizer, packed) != text:
            raise ValueError(f"{file}: what was packed does not come back")
        print(
            f"packed in {spent:.1f} s, and came back byte for byte in {time.monotonic() - began:.1f} s",
            file=sys.stderr,
        )
    write(output, packed)
    sizes = {
        f"{output.name}": len(packed),
        "  and the model's weights, 4 bytes each": len(packed) + packing.weight_bytes(run),
        **packing.others(text),
    }
    print(f"{'':<42}{'bytes':>12} {'bits/byte':>10}\n{file.name:<42}{len(text):>12,}")
    for name, size in sizes.items():
        print(f"{name:<42}{size:>12,} {8 * size / len(text):>10.3f}")
    return 0


def decompress(file: File, /, *, output: Output = None, store: Folder = Path("runs")) -> int:
    """Unpack a file of `lab compress`: byte for byte what went in, or nothing.

    Args:
      output: where to; default FILE without its .lab.
    """
    packed = content(file)
    if output is None and file.suffix != ".lab":
        raise ValueError(f"{file} does not end in .lab: name the output with -o")
    output = new_file(output or file.with_suffix(""))
    from lab.trained import compress as packing

    try:
        header, _ = packing.read_header(packed)
        run, tokenizer = opened(store, header.run_id)
        text = packing.decompress(run, tokenizer, packed)
    except packing.NotTheText as error:
        raise ValueError(f"{file}: {error}; nothing was written") from error
    write(output, text)
    print(f"{output}: {len(text):,} bytes", file=sys.stderr)
    return 0


def opened(store: Path, run_id: str):
    """A finished run with its weights, and its tokenizer; a slip in its name is told at once."""
    contents.find(Store(store), run_id)
    from lab.trained import weights

    run = weights.trained(Store(store), run_id)
    return run, run.corpus().tokenizer


def content(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(f"{file}: {'a folder' if file.is_dir() else 'no such file'}; name a file")
    return file.read_bytes()


def described(run) -> str:
    from lab.plan.grid import describe_model

    config, loss = run.config, run.record["loss"]
    return (
        f"run {config.run_id}: {describe_model(config.model)}, on "
        f"{config.data.corpus}, held-out loss {loss:.4f} nats/token"
    )


def new_file(path: Path) -> Path:
    if path.exists():
        raise ValueError(f"{path} is there already: name another output with -o")
    return path


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
