"""Which ways of training a run are put to a compiler, in which order, and what is said where none fits."""

from collections.abc import Iterator

from lab.config import RunConfig
from lab.models import counts
from lab.plan import chips, estimate
from lab.plan.chips import GIB, Slice
from lab.plan.estimate import Layout

ROOM = 0.7  # of the memory: what takes no more of it by arithmetic has always fitted by the compiler
TOO_HIGH = 1.5  # times what the compiler needs, at most, that arithmetic says


def state_bytes(config: RunConfig, at: Layout, on: Slice) -> float:
    """Weights and both moments that lie on a device: what nothing makes smaller but more devices."""
    share = on.devices if at.way == "fsdp" else 1
    return estimate.STATE * counts.count_params(config.model).total / share


def possible(config: RunConfig, on: Slice) -> list[Layout]:
    """Layouts whose state alone fits, the fastest by arithmetic first."""
    return [at for at in estimate.layouts(config, on) if state_bytes(config, at, on) <= on.chip.memory]


def candidates(config: RunConfig, on: Slice) -> Iterator[Layout]:
    """Layouts to be compiled, one after another; `send` what the compiler needed of the last in bytes.

    The first are to say whether the run fits: the fastest of those that by arithmetic leave room to spare,
    else the one that needs least; where that does not fit, none does. Faster ones follow, the fastest first,
    without those that would need more than there is by the compiler's measure, until one fits.
    """
    memory, ordered = on.chip.memory, possible(config, on)
    need = {at: estimate.device_bytes(config, at, on) for at in ordered}
    measure, best = 1 / TOO_HIGH, None
    least = min(ordered, key=need.__getitem__, default=None)
    sure = next((at for at in ordered if need[at] <= ROOM * memory), least)
    for at in dict.fromkeys((sure, least)):
        if at is None:
            return
        found = yield at
        measure = max(measure, found / need[at])
        if found <= memory:
            best = at
            break
    if best is None:
        return
    for at in ordered[: ordered.index(best)]:
        if at != sure and measure * need[at] <= memory:
            found = yield at
            if found <= memory:
                return
            measure = max(measure, found / need[at])


def not_tried(config: RunConfig, on: Slice, tried: dict[Layout, float]) -> list[Layout]:
    """Layouts that arithmetic calls faster than all that fitted, of which it is not known that they do not.

    Args:
      tried: what the compiler needed of each, in bytes.
    """
    ordered = possible(config, on)
    need = {at: estimate.device_bytes(config, at, on) for at in ordered}
    measure = max([1 / TOO_HIGH, *(found / need[at] for at, found in tried.items())])
    faster = []
    for at in ordered:
        if tried.get(at, on.chip.memory + 1) <= on.chip.memory:
            return faster
        if at not in tried and measure * need[at] <= on.chip.memory:
            faster.append(at)
    return []


def larger(on: Slice) -> list[Slice]:
    """Slices of the same chips with more of them, the smallest first."""
    return [at for at in chips.slices_of(on.chip) if at.chips > on.chips]


def holds(config: RunConfig, on: Slice, measure: float = 1.0) -> tuple[str, float]:
    """The smallest larger slice on which a run fits by arithmetic, and the bytes of a device there; ("", 0)
    where there is none.

    Args:
      measure: what the compiler needed here over what arithmetic says.
    """
    for other in larger(on):
        if not estimate.splits(config, other.devices):
            need = (measure * estimate.device_bytes(config, at, other) for at in possible(config, other))
            least = min(need, default=float("inf"))
            if least <= other.chip.memory:
                return other.name, least
    return "", 0.0


def refusal(config: RunConfig, on: Slice, at: Layout, peak: float) -> tuple[str, str]:
    """Of a run that fits in no way: by how much, and what would hold it; and the name of that slice."""
    memory, state = on.chip.memory, state_bytes(config, at, on)
    measure = max(1.0, peak / estimate.device_bytes(config, at, on))
    lacking = f"{(peak - memory) / GIB:.2f} GiB a device too much"
    alone = f"weights and moments alone {state / GIB:.2f}"
    name, least = holds(config, on, measure)
    if name:
        rest = f"{name} would hold it by arithmetic ({least / GIB:.2f} of {memory / GIB:.2f} GiB)"
    else:
        rest = f"no larger slice of {on.chip.name} holds it in batches of {config.batch_size}"
    return f"{lacking} ({alone}); {rest}", name
