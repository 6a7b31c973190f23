"""Square matrix products, by jax, numpy or torch: what the arithmetic units can do at best."""

from typing import Any

from bench.child import Work


def prepare(task: dict[str, Any]) -> Work:
    size, dtype = task["size"], task["dtype"]
    multiply = {"jax": by_jax, "numpy": by_numpy, "torch": by_torch}[task["library"]]
    return Work(multiply(size, dtype, task["threads"]), 2.0 * size**3)


def by_jax(size: int, dtype: str, threads: int):
    import jax
    import jax.numpy as jnp

    a, b = (jax.random.normal(jax.random.key(i), (size, size)).astype(dtype) for i in (0, 1))
    # sums in float32, as in the lab's step
    product = jax.jit(lambda a, b: jnp.dot(a, b, preferred_element_type=jnp.float32))

    def do(n: int) -> None:
        for _ in range(n):
            c = product(a, b)
        jax.block_until_ready(c)

    return do


def by_numpy(size: int, dtype: str, threads: int):
    import numpy as np

    a, b = (np.random.default_rng(i).normal(size=(size, size)).astype(dtype) for i in (0, 1))
    out = np.empty_like(a)

    def do(n: int) -> None:
        for _ in range(n):
            np.matmul(a, b, out=out)

    return do


def by_torch(size: int, dtype: str, threads: int):
    import torch

    torch.set_num_threads(threads)
    a, b = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))

    def do(n: int) -> None:
        for _ in range(n):
            a @ b

    return do
