"""What accelerators are: published peaks, the memory that a program finds, the price. No other file says it.

Peaks: docs.cloud.google.com/tpu/docs (v5e, v5p, v6e, tpu7x); of the others from memory, after Jouppi et al.
2020 and 2023 (v2 to v4) and NVIDIA's data sheets (dense products). Memory: of a TPU what its compiler says
that a program may fill (libtpu 0.0.42.1); of a GPU the 75 % that jax takes, unless it is told another by
XLA_PYTHON_CLIENT_MEM_FRACTION. Prices: lists on demand in the United States, rounded, from memory; they
change, and `--price` says yours. Looked at on 2026-11-28.
"""

import re
from dataclasses import dataclass
from math import prod

DATE = "2026-11-28"
GIB = 2**30
JAX_SHARE = 0.75  # of a GPU's memory
SMALL_2D = "1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16"
SMALL_3D = "1x1x1 2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8"
CARDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # of a GPU


@dataclass(frozen=True)
class Chip:
    """One kind of chip. What a program sees as a device is a chip, or one of its two halves."""

    name: str
    flops: float  # a second, dense bfloat16 products
    memory: float  # bytes of a device that a program may fill
    bandwidth: float  # bytes a second, its memory
    link: float  # bytes a second that it sends to others
    dollars: float | None = None  # an hour
    watts: float | None = None  # at most; None where nobody has published it
    slices: str = ""  # of a TPU: the topologies that its compiler knows
    halves: int = 1  # devices a chip

    @property
    def is_tpu(self) -> bool:
        return bool(self.slices)


def gpu(name: str, memory: float, **facts: float) -> Chip:
    return Chip(name, memory=JAX_SHARE * memory, **facts)


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v2", 46e12, 7.48 * GIB, 0.7e12, 0.12e12, None, 280, "2x2", 2),
        Chip("v3", 123e12, 15.48 * GIB, 0.9e12, 0.16e12, None, 262, "2x2 4x4", 2),
        Chip("v4", 275e12, 30.75 * GIB, 1.228e12, 0.3e12, 3.22, 192, SMALL_3D),
        Chip("v5e", 197e12, 15.75 * GIB, 0.819e12, 0.2e12, 1.2, None, SMALL_2D),
        Chip("v5p", 459e12, 95.74 * GIB, 2.765e12, 0.6e12, 4.2, None, SMALL_3D),
        Chip("v6e", 918e12, 31.25 * GIB, 1.638e12, 0.4e12, 2.7, None, SMALL_2D),
        Chip("tpu7x", 2307e12, 94.75 * GIB, 7.37e12, 0.6e12, 12.0, None, "2x2x1 2x2x2 4x4x4", 2),
        gpu("a100", 85.9e9, flops=312e12, bandwidth=2.04e12, link=0.3e12, dollars=2.0, watts=400),
        gpu("h100", 84.93e9, flops=989e12, bandwidth=3.35e12, link=0.45e12, dollars=3.0, watts=700),
        gpu("h200", 150.7e9, flops=989e12, bandwidth=4.8e12, link=0.45e12, dollars=3.8, watts=700),
        gpu("b200", 192.0e9, flops=2250e12, bandwidth=8.0e12, link=0.9e12, dollars=5.0, watts=1000),
    )
}


@dataclass(frozen=True)
class Slice:
    """Chips that train one run together."""

    name: str  # v5e:2x4, h100x8
    chip: Chip
    chips: int

    @property
    def topology(self) -> str:
        return self.name.partition(":")[2]

    @property
    def devices(self) -> int:
        """What a program sees."""
        return self.chips * self.chip.halves

    @property
    def hosts(self) -> int:
        """Machines: of 8 GPUs, or of 4 chips of a TPU (8 where a slice has no more and lies flat)."""
        each = 8 if not self.chip.is_tpu or (self.chips == 8 and self.name.count("x") == 1) else 4
        return max(1, self.chips // each)

    @property
    def device_flops(self) -> float:
        return self.chip.flops / self.chip.halves

    @property
    def device_bandwidth(self) -> float:
        return self.chip.bandwidth / self.chip.halves


def named(kind: str) -> Chip | None:
    """The chip that JAX calls `kind`, such as "TPU v5 lite" or "NVIDIA H100 80GB HBM3"; None of a processor
    and of what is not known here."""
    word = kind.casefold()
    if found := re.search(r"tpu ?(v?\d+\w?)( lite)?", word):
        name = found[1] + "e" * bool(found[2])
        return CHIPS.get({"v5": "v5p", "7x": "tpu7x"}.get(name, name))
    return next(
        (chip for chip in CHIPS.values() if not chip.is_tpu and chip.name in re.split(r"\W", word)), None
    )


def slices_of(chip: Chip) -> list[Slice]:
    """All that there are of a chip, the smallest first."""
    names = [f"{chip.name}:{topology}" for topology in chip.slices.split()]
    found = map(find, names or [f"{chip.name}x{n}" for n in CARDS])
    return sorted(found, key=lambda on: on.chips)


def find(name: str) -> Slice:
    """The chips that `--on` names.

    Raises:
      ValueError: there are none of that name; says which there are.
    """
    kind, _, topology = name.partition(":")
    if kind in CHIPS and topology in CHIPS[kind].slices.split():
        return Slice(name, CHIPS[kind], prod(map(int, topology.split("x"))))
    card = re.fullmatch(r"([a-z]\w*?)(?:x(\d+))?", name)
    if card and card[1] in CHIPS and not CHIPS[card[1]].is_tpu and int(card[2] or 1) in CARDS:
        return Slice(name, CHIPS[card[1]], int(card[2] or 1))
    known = [f"{chip.name}:{chip.slices.replace(' ', '|')}" for chip in CHIPS.values() if chip.is_tpu]
    cards = [f"{chip.name}xN" for chip in CHIPS.values() if not chip.is_tpu]
    raise ValueError(
        f"--on {name}: no such chips; name one of {', '.join(known)}, or {', '.join(cards)} with N of "
        f"{', '.join(map(str, CARDS))}"
    )
