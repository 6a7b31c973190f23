"""What a machine is measured for once: its peak, and the runs of a shape that pay in a pack.

    STORE/.peaks/KEY.json     the device, the type, the versions, and FLOP/s
    STORE/.packs/KEY.json     the shape, the device, the versions, and tokens/s by runs a device

The clock chooses how many runs share a program, and so their rounding: runs in a pack are promised
to float error only, whatever its size.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab.config import RunConfig
from lab.models.target import Target, target_of
from lab.store.failures import kind_of
from lab.store.files import StoreError, is_number, read_json, sealed, sha256, write_json
from lab.train.parallel import compile_step
from lab.train.step import initial_state

TIMES = 5  # a product; the fastest counts, since others may use the machine
LONG = 0.01  # seconds that a product must take to be believed
TIMED_SECONDS = 0.5  # of dispatches of one size, after one that warms up
GAIN = 1.05  # a size that is not so much faster than the half of it ends the search


def measure_once(folder: Path, about: dict[str, Any], name: str, measure: Callable[[Any], Any]) -> Any:
    """`measure(earlier)`, where `earlier` is what it gave for the same things before; None at first and
    where that is damaged."""
    path = folder / f"{sha256(json.dumps(about, sort_keys=True))[:12]}.json"
    try:
        earlier = (read_json(path) or {}).get(name)
    except StoreError:
        earlier = None
    value = measure(earlier)
    if value != earlier:
        folder.mkdir(exist_ok=True)
        write_json(path, sealed(about | {name: value}))
    return value


def peak_flops(folder: Path, device: jax.Device, dtype: str) -> float:
    """FLOP/s of `device` in products of `dtype` with sums in float32."""
    about = {"device": device.device_kind, "dtype": dtype, "jax": jax.__version__}

    def measure(earlier: Any) -> float:
        return earlier if is_number(earlier) and earlier > 0 else time_products(device, dtype)

    return measure_once(folder, about, "flops_per_second", measure)


def time_products(device: jax.Device, dtype: str) -> float:
    """FLOP/s of the fastest square product, large enough that starting it costs nothing."""
    product = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
    size = 512
    while True:
        a = jax.device_put(jnp.ones((size, size), dtype), device)
        jax.block_until_ready(product(a, a))
        times = []
        for _ in range(TIMES):
            began = time.perf_counter()
            jax.block_until_ready(product(a, a))
            times.append(time.perf_counter() - began)
        if min(times) > LONG or size >= 16_384:
            return 2 * size**3 / min(times)
        size *= 2


def best_pack(folder: Path, config: RunConfig, device: jax.Device, most: int, remat: str = "") -> int:
    """The runs a device, `most` at most, at which runs of this one's shape get the most tokens/s, with what
    `remat` says kept of a block; 1 where packing does not pay. Sizes are doubled until they stop paying or
    fitting."""
    about = {
        "shape": dataclasses.asdict(config.shape),
        "device": device.device_kind,
        "memory": (device.memory_stats() or {}).get("bytes_limit"),
        "jax": jax.__version__,
        **({"remat": remat} if remat else {}),
    }
    best = 1

    def measure(earlier: Any) -> dict[str, float]:
        nonlocal best
        sizes = earlier.items() if isinstance(earlier, dict) else ()
        rates = {size: rate for size, rate in sizes if is_number(rate)}
        size = 1
        while size <= most:
            if str(size) not in rates:
                rates[str(size)] = time_pack(config, device, size, target_of(device, remat=remat))
            if size > 1 and rates[str(size)] < GAIN * rates[str(best)]:
                break
            best, size = size, 2 * size
        return rates

    measure_once(folder, about, "tokens_per_second", measure)
    return best


def time_pack(config: RunConfig, device: jax.Device, size: int, on: Target | None = None) -> float:
    """Tokens/s of `size` runs together on one device; 0 when its memory does not hold them."""
    try:
        seconds = dispatch_seconds(config, device, size, on)
        next(seconds)
        timed = [next(seconds)]
        while sum(timed) < TIMED_SECONDS:
            timed.append(next(seconds))
    except Exception as error:
        if kind_of(error) != "out of memory":
            raise
        return 0.0
    return size * config.batch_tokens * config.shape.steps_per_dispatch * len(timed) / sum(timed)


def dispatch_seconds(
    config: RunConfig, device: jax.Device, size: int = 1, on: Target | None = None
) -> Iterator[float]:
    """What one dispatch after another of `size` runs takes, by the program that trains them; the first
    compiles."""
    shape = config.shape
    program = compile_step(shape, "jit", (device,), on, each=size if size > 1 else 0)
    tokens_SBL = np.random.default_rng(0).integers(0, shape.model.vocab_size, shape.dispatch, np.int32)
    tokens_RSBL = np.broadcast_to(tokens_SBL, (size, *tokens_SBL.shape))
    states = program.place(initial_state(config))
    while True:
        began = time.perf_counter()
        states, metrics = program.step(states, tokens_RSBL, np.int32(shape.steps_per_dispatch))
        jax.block_until_ready(metrics)
        yield time.perf_counter() - began
