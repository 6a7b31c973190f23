"""Copies of arrays far larger than the cache: bytes read plus bytes written a second. What the
processor reads in order to write (write allocation) isn't counted."""

from typing import Any

from bench.child import Work


def prepare(task: dict[str, Any]) -> Work:
    import numpy as np

    source = np.ones(task["bytes"] // 8)
    target = np.zeros_like(source)

    def do(n: int) -> None:
        for _ in range(n):
            np.copyto(target, source)

    return Work(do, 2.0 * source.nbytes)
