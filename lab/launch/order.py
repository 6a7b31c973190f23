"""What a launcher is asked for, besides the runs: nothing of it is part of a run's id."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType
from typing import Literal

from lab.config import RunConfig, userfile
from lab.models import counts
from lab.plan.grid import group_by_shape
from lab.plan.trunk import families

Refresh = Callable[[], None]  # called often while a launcher waits
End = Literal["finished", "stopped", "submitted"]


# names of `models.target.POLICIES`, without jax
REMAT = ("nothing", "dots", "everything")
NO_JAX = "there is no jax here: pip install 'scaling-law-lab[lab]', or [cuda] or [tpu]"


class LaunchError(RuntimeError):
    """Runs can't be brought to machines as asked; says why and what to do."""


@dataclass(frozen=True)
class Order:
    """How a grid is to be trained."""

    workers: int = 0  # at once; 0 leaves it to the launcher
    hosts: int = 1  # a run is spread over, one process each
    host: int | None = None  # which of them this is; None starts all of them here
    devices: int = 1  # of each host that a run is spread over
    way: str = ""  # "" is jit on one device and mesh on several
    tensor: int = 1  # of the devices share each product, under fsdp
    remat: str = ""  # what of a block is kept for its gradient; "" is by the platform
    pack: str = ""  # runs at once on each device; "auto" measures; "" is auto on an accelerator
    save_seconds: float = 15.0
    fail_fast: bool = False
    until: float = 1.0  # of each run's updates: it stops at the first point of its curve from there on
    commit: str = ""
    options: dict[str, str] = field(default_factory=dict)  # for the engine, in its own words
    wait: bool = True  # else a launcher whose engine keeps the jobs returns once it has them
    pinned: bool = True  # a worker to a core (CPU); not where an engine deals the cores out
    files: dict[str, str] = field(default_factory=userfile.named)  # of the user's, that may be imported

    def __post_init__(self) -> None:
        for name, least in (("workers", 0), ("hosts", 1), ("devices", 1), ("tensor", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} {getattr(self, name)}: it must be at least {least}")
        if self.hosts > 1 and self.way not in ("", "mesh", "fsdp"):
            raise ValueError(f"--hosts {self.hosts} --way {self.way}: several hosts need --way mesh or fsdp")
        if self.way == "jit" and self.devices > 1 and not self.pack:
            raise ValueError(
                f"--devices {self.devices} --way jit: jit trains on one device; leave --way out for mesh, or "
                "take fsdp or pmap"
            )
        if self.tensor > 1 and (self.way != "fsdp" or self.devices * self.hosts % self.tensor):
            raise ValueError(
                f"--tensor {self.tensor} --devices {self.devices} --way {self.way or 'mesh'}: it needs --way "
                "fsdp and a number of devices that it divides"
            )
        if self.pack not in ("", "auto") and not (self.pack.isdecimal() and int(self.pack)):
            raise ValueError(f"--pack {self.pack}: a number of runs a device, from 1 on, or auto")
        if self.pack and (self.hosts > 1 or self.way not in ("", "jit")):
            other = f"--hosts {self.hosts}" if self.hosts > 1 else f"--way {self.way}"
            raise ValueError(
                f"--pack {self.pack} gives each device runs of its own, and {other} spreads one "
                "run over several: choose one of the two"
            )

    def runs_a_device(self, on_cpu: bool) -> int | None:
        """How many runs are packed on each device; 0 leaves it to be measured, None packs none."""
        if self.pack:
            return 0 if self.pack == "auto" else int(self.pack)
        return None if on_cpu or self.way or self.devices * self.hosts > 1 else 0


def read_options(settings: Sequence[str]) -> dict[str, str]:
    """`name=value` each.

    Raises:
      ValueError: one is written otherwise, or named twice.
    """
    options: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        name = name.strip().lstrip("-")
        if not equals or not name:
            raise ValueError(f"--launcher-option {setting}: write it name=value")
        if name in options:
            raise ValueError(f"--launcher-option {name} is given twice")
        options[name] = value.strip()
    return options


def parts(configs: Sequence[RunConfig], at_least: int) -> list[list[RunConfig]]:
    """The grid dealt to workers that may never meet: runs of one shape together, since they share
    a compiled program, the costliest part first. Where shapes are fewer than `at_least` the
    costliest are halved, so that a sweep of one shape is shared too; but a trunk stays with its
    branches, so that no worker waits for another's."""
    groups = [families(part) for part in group_by_shape(configs).values()]
    while len(groups) < at_least and (several := [group for group in groups if len(group) > 1]):
        costliest = max(several, key=lambda group: cost(chain.from_iterable(group)))
        groups.remove(costliest)
        groups += [costliest[0::2], costliest[1::2]]
    return sorted((list(chain.from_iterable(group)) for group in groups), key=cost, reverse=True)


def cost(part: Iterable[RunConfig]) -> float:
    return sum(counts.spent_flops(config) for config in part)


def engine(name: str) -> ModuleType:
    """A library of the extra `cluster`, imported only here."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise LaunchError(f"this launcher needs {name}: pip install 'scaling-law-lab[cluster]'") from error
