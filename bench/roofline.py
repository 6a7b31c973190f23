"""What an accelerator would give by roofline: a prediction, to be checked where there is one.

A step of R runs packed in one program takes the longest of three: its arithmetic at the peak of the
matrix units, its bytes at the bandwidth of the memory, its kernels at the least time between two
of them. Nothing is taken off for imperfect overlap, which makes it too good; a compiler that fuses
more than is assumed here moves fewer bytes, which makes it too bad.
"""

from dataclasses import dataclass
from math import ceil

from bench.peers.shapes import SHAPES, Shape

PACKS = (1, 8, 64)
LIMITS = ("arithmetic", "memory", "dispatch")


@dataclass(frozen=True)
class Device:
    """Published peaks of one device; `tile` and `kernel_seconds` are what is assumed of it."""

    name: str
    flops: float  # a second, dense bfloat16 products
    bandwidth: float  # bytes a second, main memory
    tile: int  # matrix units work on multiples of this
    kernel_seconds: float  # least time between the starts of two kernels of one program


DEVICES = (Device("H100 SXM", 989e12, 3.35e12, 16, 2.5e-6), Device("TPU v5e", 197e12, 0.819e12, 128, 0.5e-6))


def products(shape: Shape) -> list[tuple[int, int]]:
    """(contracted, produced) width of every product that a token meets going forward."""
    D, L, heads = shape.width, shape.context, shape.heads
    attention = [(D // heads, L), (L, D // heads)] * heads  # the whole square, masked or not
    block = [(D, D)] * 4 + [(D, 4 * D), (4 * D, D)] + attention
    return block * shape.layers + [(D, shape.vocab)]


def step_flops(shape: Shape, tile: int) -> float:
    """Of one update of one run as the device executes it: widths rounded up to its tiles."""
    whole = sum(2 * tile**2 * ceil(k / tile) * ceil(n / tile) for k, n in products(shape))
    return 3.0 * whole * shape.tokens


def weights(shape: Shape) -> int:
    """Those of the matrices and tables."""
    D = shape.width
    return 12 * shape.layers * D**2 + (shape.vocab + shape.context) * D


def step_bytes(shape: Shape) -> float:
    """Of one update of one run. 40 a weight: float32, read twice, its gradient written and read,
    AdamW reading and writing it and two moments. Of activations (16 D + 3 F + 3 H L a layer and
    token, 3 V for the readout) 2 bytes, written and read, and their gradients again."""
    D = shape.width
    width = shape.layers * (16 * D + 3 * 4 * D + 3 * shape.heads * shape.context) + 3 * shape.vocab
    return 40.0 * weights(shape) + 4 * 2.0 * width * shape.tokens


def step_kernels(shape: Shape) -> int:
    """A guess: 40 a layer forward and backward, 30 for both ends and the optimiser."""
    return 40 * shape.layers + 30


def seconds(device: Device, shape: Shape, runs: int) -> dict[str, float]:
    """Of one update of `runs` packed runs, by what would limit it."""
    return {
        "arithmetic": runs * step_flops(shape, device.tile) / device.flops,
        "memory": runs * step_bytes(shape) / device.bandwidth,
        "dispatch": step_kernels(shape) * device.kernel_seconds,
    }


def lines() -> list[str]:
    """The table of docs/performance.md."""
    out = [
        "| device | shape | runs packed | arithmetic, µs | memory, µs | dispatch, µs | limit | tokens/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for device in DEVICES:
        for name in ("S", "M", "L"):
            for runs in PACKS:
                limits = seconds(device, SHAPES[name], runs)
                limit = max(LIMITS, key=limits.__getitem__)
                rate = runs * SHAPES[name].tokens / limits[limit]
                each = " | ".join(f"{1e6 * limits[what]:,.0f}" for what in LIMITS)
                out.append(f"| {device.name} | {name} | {runs} | {each} | {limit} | {rate / 1e6:,.1f} M |")
    return out
