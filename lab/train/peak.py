"""How many FLOPs a second one device does at its best: measured once and kept in the store.

    STORE/.peaks/KEY.json     the device, the type, the versions, and the FLOP/s

The measure is the fastest square product of its type, large enough that starting it costs nothing.
"""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from lab.store.files import StoreError, is_number, read_json, sealed, sha256, write_json

TIMES = 5  # a product; the fastest counts, since others may use the machine
LONG = 0.01  # seconds that a product must take to be believed


def of(folder: Path, device: jax.Device, dtype: str) -> float:
    """FLOP/s of `device` in products of `dtype` with sums in float32."""
    about = {"device": device.device_kind, "dtype": dtype, "jax": jax.__version__}
    path = folder / f"{sha256(json.dumps(about, sort_keys=True))[:12]}.json"
    try:
        known = (read_json(path) or {}).get("flops_per_second")
        if is_number(known) and known > 0:
            return known
    except StoreError:
        pass  # damaged: measured again
    found = measured(device, dtype)
    folder.mkdir(exist_ok=True)
    write_json(path, sealed(about | {"flops_per_second": found}))
    return found


def measured(device: jax.Device, dtype: str) -> float:
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
