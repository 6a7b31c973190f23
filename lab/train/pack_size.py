"""How many runs of a shape one device trains best at once: measured once and kept in the store.

    STORE/.packs/KEY.json     the shape, the device, the versions, and tokens/s by runs a device

The clock chooses here how many runs share a program, and so their rounding: runs in a pack are
promised to float error only, whatever its size.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from lab.config import RunConfig
from lab.store.failures import kind_of
from lab.store.files import StoreError, is_number, read_json, sealed, sha256, write_json
from lab.train import pack
from lab.train.run import fresh, program

TIMED_SECONDS = 0.5  # of dispatches of one size, after one that warms up
GAIN = 1.05  # a size that is not so much faster than the half of it ends the search


def best(folder: Path, config: RunConfig, devices: Sequence[jax.Device], most: int) -> int:
    """The runs a device, `most` at most, at which runs of this one's shape get the most tokens/s;
    1 where packing does not pay. Sizes are doubled until they stop paying or fitting."""
    about = {
        "shape": dataclasses.asdict(config.shape),
        "device": devices[0].device_kind,
        "memory": (devices[0].memory_stats() or {}).get("bytes_limit"),
        "jax": jax.__version__,
    }
    key = sha256(json.dumps(about, sort_keys=True))[:12]
    known = kept(folder / f"{key}.json")
    size, chosen, rates = 1, 1, dict(known)
    while True:
        if size not in rates:
            rates[size] = measured(config, devices[0], size)
        if size > 1 and rates[size] < GAIN * rates[chosen]:
            break
        chosen = size
        if 2 * size > most:
            break
        size *= 2
    if rates != known:
        folder.mkdir(exist_ok=True)
        told = {str(size): rates[size] for size in sorted(rates)}
        write_json(folder / f"{key}.json", sealed(about | {"tokens_per_second": told}))
    return chosen


def kept(path: Path) -> dict[int, float]:
    """What was measured before: tokens/s by runs a device, 0 where they did not fit."""
    try:
        found = (read_json(path) or {}).get("tokens_per_second", {})
        return {int(size): rate for size, rate in found.items() if is_number(rate)}
    except (StoreError, ValueError, AttributeError):
        return {}


def measured(config: RunConfig, device: jax.Device, size: int) -> float:
    """Tokens/s of `size` runs together on one device; 0 when its memory does not hold them."""
    try:
        return timed(config, device, size)
    except Exception as error:
        if kind_of(error) != "out of memory":
            raise
        return 0.0


def timed(config: RunConfig, device: jax.Device, size: int) -> float:
    shape, alone = config.shape, program(config.shape, "jit", (device,))
    width = (shape.steps_per_dispatch, shape.batch_size, shape.model.seq_len + 1)
    tokens_SBL = np.random.default_rng(0).integers(0, shape.model.vocab_size, width, np.int32)
    if size == 1:
        step, state, tokens = alone.train.step, alone.train.place(fresh(alone, config)), tokens_SBL
    else:
        packed = pack.compiled(shape, (device,), size)
        step, state = packed.step, packed.fill(fresh(alone, config))
        tokens = np.broadcast_to(tokens_SBL, (size, *width))
    n, dispatches = np.int32(shape.steps_per_dispatch), 0
    state, metrics = step(state, tokens, n)
    jax.block_until_ready(metrics)
    began = time.perf_counter()
    while time.perf_counter() - began < TIMED_SECONDS or not dispatches:
        state, metrics = step(state, tokens, n)
        jax.block_until_ready(metrics)
        dispatches += 1
    return size * config.batch_tokens * int(n) * dispatches / (time.perf_counter() - began)
