"""A text as the arithmetic code of what a model did not foresee of it, and back, bit for bit.

The ids are cut into streams of about equal length, coded side by side. A stream is read in windows
that overlap by one token, as held-out text is scored, so its size is the loss: nats / ln 2 bits a
token, and log2(vocab_size) for the first of each stream.

Both directions must see the same frequencies. They run one compiled program on arrays of one
shape, round its float32 probabilities to integers and use integers from there on. Coding gives a
window whole; decoding gives what it has of it, zeros after that, once for each token. That a
position's numbers do not depend, to the last bit, on what stands after it is a property of the
program, not of mathematics: it holds as tests find it on CPU, for one version of jax on one kind
of device with as many cores. A file says on which it was made and has the text's checksum, so a
text that comes back wrong is noticed and refused.
"""

import bz2
import json
import lzma
import os
import zlib
from dataclasses import asdict, dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import ModelConfig
from lab.data.tokenizer import Tokenizer
from lab.models import ops, tree
from lab.store.files import sha256
from lab.trained.coder import Decoder, Encoder
from lab.trained.weights import Trained, check_tells_all

MAGIC = b"lab compressed 1\n"
SCALE = 1 << 24  # frequencies of a token's alternatives sum to about this
STREAMS = 64  # at most, side by side ...
EACH = 2048  # ... of so many tokens at least: one costs its first token and a byte or two


class NotTheText(ValueError):
    """A file that can't be given back: damaged, or other weights, device or version."""


@dataclass(frozen=True)
class Header:
    """What decoding must know, and what it must check."""

    run_id: str
    weights: str  # sha256
    text: str  # sha256
    bytes: int
    tokens: int
    sizes: list[int]  # of the coded streams, in bytes
    machine: str


def machine() -> str:
    """On what the program runs, as far as its bits may depend on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = jax.local_devices()[0]
    return f"jax {jax.__version__}, {device.device_kind}, {cores if device.platform == 'cpu' else 1} cores"


@partial(jax.jit, static_argnums=0)
def cumulative(cfg: ModelConfig, params: tree.Params, tokens_SL: jax.Array) -> jax.Array:
    """For each position the frequencies of all ids before each id, and their sum: (S, L, V + 1)
    int32. No id has none."""
    p_SLV = jax.nn.softmax(tree.apply(cfg, params, tokens_SL))
    frequency_SLV = 1 + (p_SLV * SCALE).astype(jnp.int32)
    return jnp.pad(jnp.cumsum(frequency_SLV, axis=-1), ((0, 0), (0, 0), (1, 0)))


@jax.jit
def intervals(table_SLW: jax.Array, ids_SL: jax.Array) -> jax.Array:
    """Each id's start, the next one's, and the sum: (S, L, 3)."""
    ends = jnp.stack([ids_SL, ids_SL + 1, jnp.full_like(ids_SL, table_SLW.shape[2] - 1)], axis=-1)
    return jnp.take_along_axis(table_SLW, ends, axis=-1)


@jax.jit
def at_position(table_SLW: jax.Array, position: jax.Array) -> jax.Array:
    return table_SLW[:, position]


def stream_lengths(cfg: ModelConfig, n_tokens: int) -> list[int]:
    """Tokens of each stream. Their number is a power of two, since each is a program of its own,
    and their probabilities fit in memory."""
    most = min(STREAMS, ops.WIDE // (cfg.seq_len * cfg.vocab_size), n_tokens // EACH)
    streams = 1 << max(1, most).bit_length() - 1
    each, more = divmod(n_tokens, streams)
    return [each + (stream < more) for stream in range(streams)]


def encode(cfg: ModelConfig, params: tree.Params, ids: np.ndarray) -> list[bytes]:
    """The coded streams of a text's ids."""
    if not len(ids):
        return [b""]
    lengths, L, V = stream_lengths(cfg, len(ids)), cfg.seq_len, cfg.vocab_size
    S, ends = len(lengths), np.cumsum(lengths)
    windows = -(-max(lengths[0] - 1, 0) // L)
    padded = np.zeros((S, windows * L + 1), np.int32)
    for row, end, n in zip(padded, ends, lengths, strict=True):
        row[:n] = ids[end - n : end]
    coders = [Encoder() for _ in lengths]
    for coder, row in zip(coders, padded, strict=True):
        coder.add(int(row[0]), 1, V)
    for begin in range(0, windows * L, L):
        table = cumulative(cfg, params, padded[:, begin : begin + L])
        targets_SL = padded[:, begin + 1 : begin + L + 1]
        parts = np.asarray(intervals(table, targets_SL)).tolist()
        for coder, row, n in zip(coders, parts, lengths, strict=True):
            for start, end, total in row[: max(0, n - 1 - begin)]:
                coder.add(start, end - start, total)
    return [coder.finish() for coder in coders]


def decode(cfg: ModelConfig, params: tree.Params, streams: list[bytes], n_tokens: int) -> np.ndarray:
    """The ids that `encode` was given: one run of the program for each token of a stream."""
    if not n_tokens:
        return np.zeros(0, np.int64)
    lengths, L, V = stream_lengths(cfg, n_tokens), cfg.seq_len, cfg.vocab_size
    decoders = [Decoder(stream) for stream in streams]
    ids_ST = np.zeros((len(lengths), lengths[0]), np.int32)
    ids_ST[:, 0] = [decoder.take(range(V + 1)) for decoder in decoders]
    window_SL = np.zeros((len(lengths), L), np.int32)
    for place in range(1, lengths[0]):
        position = (place - 1) % L
        if position == 0:
            window_SL[:] = 0
        window_SL[:, position] = ids_ST[:, place - 1]
        tables = np.asarray(at_position(cumulative(cfg, params, window_SL), position)).tolist()
        for row, decoder, table, n in zip(ids_ST, decoders, tables, lengths, strict=True):
            if place < n:
                row[place] = decoder.take(table)
    return np.concatenate([row[:n] for row, n in zip(ids_ST, lengths, strict=True)])


def compress(run: Trained, tokenizer: Tokenizer, text: bytes) -> bytes:
    """The file that `decompress` gives `text` back from."""
    check_tells_all(run.config.model)
    ids = tokenizer.encode_bytes(text)
    streams = encode(run.config.model, jax.device_put(run.params), ids)
    header = Header(
        run_id=run.config.run_id,
        weights=run.sha256,
        text=sha256(text),
        bytes=len(text),
        tokens=len(ids),
        sizes=[len(stream) for stream in streams],
        machine=machine(),
    )
    first_line = json.dumps(asdict(header), separators=(",", ":")).encode()
    rest = first_line + b"\n" + b"".join(streams)
    return MAGIC + seal(rest) + rest


def seal(rest: bytes) -> bytes:
    """Tells a damaged file before hours are spent on it."""
    return sha256(rest)[:16].encode() + b"\n"


def read_header(packed: bytes) -> tuple[Header, list[bytes]]:
    """What `compress` wrote, taken apart.

    Raises:
      NotTheText: it is not whole, or no such file.
    """
    if not packed.startswith(MAGIC):
        raise NotTheText("it was not made by `lab compress`")
    at = len(MAGIC) + len(seal(b""))
    if packed[len(MAGIC) : at] != seal(packed[at:]):
        raise NotTheText("it is damaged, or part of it is missing: its checksum is another")
    first_line, _, body = packed[at:].partition(b"\n")
    try:
        header = Header(**json.loads(first_line))
    except TypeError as error:
        raise NotTheText("it was made by another version of the lab") from error
    ends = np.cumsum(header.sizes)
    return header, [body[end - n : end] for end, n in zip(ends, header.sizes, strict=True)]


def decompress(run: Trained, tokenizer: Tokenizer, packed: bytes) -> bytes:
    """The text, whole and right.

    Raises:
      NotTheText: the file is damaged, or made with other weights or on another machine.
    """
    header, streams = read_header(packed)
    if header.weights != run.sha256:
        raise NotTheText(
            f"it was made with other weights of run {header.run_id} (sha256 {header.weights[:12]}, "
            f"and the store has {run.sha256[:12]}): the run was trained again elsewhere"
        )
    ids = decode(run.config.model, jax.device_put(run.params), streams, header.tokens)
    if len(ids) == 0 or ids.max() < tokenizer.vocab_size:
        text = tokenizer.decode_bytes(ids)
        if sha256(text) == header.text:
            return text
    raise NotTheText(
        f"what comes out is not what went in. It was made on {header.machine}, and this is "
        f"{machine()}: the model's probabilities must be the same to the last bit"
    )


def weight_bytes(run: Trained) -> int:
    """Of the model as it is kept, float32: what a receiver who lacks it would have to be sent."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(run.params))


def compressed_sizes(text: bytes) -> dict[str, int]:
    """Bytes that general compressors make of a text, each at its best level."""
    sizes = {
        "gzip -9": len(zlib.compress(text, 9, wbits=31)),
        "bzip2 -9": len(bz2.compress(text, 9)),
        "xz -9e": len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
    }
    try:
        import zstandard
    except ImportError:
        return sizes
    return sizes | {"zstd -22": len(zstandard.ZstdCompressor(level=22).compress(text))}
