"""What a run would take on chips that are not here: by arithmetic, or from what their compiler says.

A step's time is the longest of its products at the peak of the matrix units, its bytes at the bandwidth of
the memory and its kernels at the least time between two of them, and then what it sends at the speed of the
links: a bound, since nothing else is taken off for imperfect overlap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.config import ModelConfig, RunConfig
from lab.models import counts
from lab.plan.chips import Slice

WIDE = 2**25  # logits that a step holds at once on an accelerator (models.ops.FAR_WIDE)
READOUT_AGAIN = 4 / 3  # of its time where logits are made in parts, and again for the gradient
STATE = 12  # bytes a weight: itself and two moments, float32
UPDATE = 28  # bytes a weight that AdamW reads and writes
KERNEL_SECONDS = {True: 0.5e-6, False: 2.5e-6}  # least time between two kernels, on a TPU and a GPU: guesses
EQUAL = 0.05  # a difference of times that arithmetic does not know
MADE_AGAIN = {  # of the forward pass, by what is kept of a block; those that keep more first
    "everything": 0.0,
    "dots": 0.1,
    "nothing": 1.0,
}


@dataclass(frozen=True)
class Layout:
    """How a run may be trained on several chips."""

    way: str  # jit, mesh, fsdp
    micro_batch: int  # sequences whose gradients are made at once, on all devices together
    remat: str  # what of a block is kept for its gradient


class Nonsense(ValueError):
    """The compiler's numbers can't be what a step takes."""


def splits(config: RunConfig, devices: int) -> str:
    """Why a batch can't be split over so many devices; "" where it can."""
    batch = config.micro_batch or config.batch_size
    if batch % devices == 0:
        return ""
    wanted = max(1, round(batch / devices)) * devices
    name = f"micro_batch={wanted}" if config.micro_batch else f"batch_tokens={wanted * config.model.seq_len}"
    return f"a batch of {batch} sequences does not split over {devices} devices: take {name}"


def layouts(config: RunConfig, on: Slice) -> list[Layout]:
    """All ways of training it there, the fastest by arithmetic first; among equals a whole state on each
    device, then the largest micro-batch."""
    n, B = on.devices, config.batch_size
    micro = [B // k for k in range(1, B // n + 1) if B % k == 0 and (B // k) % n == 0]
    if config.micro_batch:
        micro = [config.micro_batch]
    ways = ("jit",) if n == 1 else ("mesh", "fsdp")
    found = [Layout(way, m, remat) for way in ways for m in micro for remat in MADE_AGAIN]
    about = {at: round(math.log(step_seconds(config, at, on)) / EQUAL) for at in found}
    return sorted(found, key=about.__getitem__)


def device_bytes(config: RunConfig, at: Layout, on: Slice) -> float:
    """Rough peak of a device: weights, moments and gradients, its share of them under fsdp; what is kept of a
    micro-batch for the gradient; the logits held at once, and their gradient."""
    model, n = config.model, on.devices
    weights = counts.count_params(model).total
    share = n if at.way == "fsdp" else 1
    tokens = at.micro_batch // n * model.seq_len
    layers = model.n_layer
    each = kept_numbers(model) / layers
    kept = {"everything": layers * each, "dots": layers * each / 2, "nothing": layers * model.d_model + each}
    gathered = 2 * 4 * weights / layers if share > 1 else 0  # of one layer: its weights and their gradients
    logits = 3 * min(tokens * model.vocab_size, WIDE)
    accumulated = 4 * weights / share if at.micro_batch < config.batch_size else 0
    return (STATE + 4) * weights / share + accumulated + gathered + 4 * (tokens * kept[at.remat] + logits)


def kept_numbers(model: ModelConfig) -> float:
    """As `counts.kept`, without the squares of attention: accelerators' kernels keep none."""
    squares = model.n_layer * 3 * model.n_head * model.seq_len
    return counts.kept(model) - squares * (counts.by_formula(model) and model.kind == "transformer")


def step_seconds(config: RunConfig, at: Layout, on: Slice) -> float:
    """The longest of the four; what is sent is not hidden behind the others."""
    limits = step_limits(config, at, on)
    return limits.pop("links") + max(limits.values())


def step_limits(config: RunConfig, at: Layout, on: Slice) -> dict[str, float]:
    """Seconds of an update, by what would limit it."""
    model, n = config.model, on.devices
    weights, tokens = counts.count_params(model).total, config.batch_tokens / n
    again = 1 + MADE_AGAIN[at.remat] / 3
    # float32 is multiplied as bfloat16 on a TPU and as TF32 on a GPU, unless jax is told otherwise
    peak = on.device_flops * (1 if on.chip.is_tpu or model.dtype == "bfloat16" else 0.5)
    parts = config.batch_size / at.micro_batch
    share = n if at.way == "fsdp" else 1
    moved = UPDATE * weights / share + 12 * weights * parts
    moved += 8 * tokens * (kept_numbers(model) + 3 * model.vocab_size)
    sent = 0.0
    if n > 1:  # fsdp: weights twice, gradients once, for each micro-batch; mesh: gradients there and back
        sent = 4 * weights * (n - 1) / n * (3 * parts if at.way == "fsdp" else 2)
    return {
        "arithmetic": again * counts.flops_exact(model, causal=False) * tokens / peak,
        "memory": moved / on.device_bandwidth,
        "dispatch": parts * (40 * model.n_layer + 30) * KERNEL_SECONDS[on.chip.is_tpu],
        "links": sent / (on.chip.link / on.chip.halves),
    }


# --- what the compiler says of small steps, extended -----------------------------------------


@dataclass(frozen=True)
class Probe:
    """A step of few layers and a small vocabulary, without a loop: the compiler counts a loop's body once."""

    layers: int
    vocab: int
    sequences: int  # of all devices together


def probes(config: RunConfig, devices: int, micro_batch: int = 0) -> list[Probe]:
    """One layer, two layers, and one layer with a larger vocabulary where the model's own would be cut in
    parts: all numbers of a step are linear in these. Of sequences as many as a micro-batch has, where that is
    few: each one's weights are read again, and small products take longer than their share."""
    L, B = config.model.seq_len, (micro_batch or config.batch_size) // devices
    each = max(n for n in range(1, B + 1) if B % n == 0 and (n == 1 or n * L <= 4096))
    most = WIDE // (each * L)  # above it logits are made in a loop
    vocab = config.model.vocab_size
    if vocab <= most:
        return [Probe(1, vocab, each * devices), Probe(2, vocab, each * devices)]
    large = max(256, most // 256 * 256)
    small = max(128, large // 4)
    return [Probe(n, v, each * devices) for n, v in ((1, small), (2, small), (1, large))]


def extend(config: RunConfig, said: Sequence[tuple[Probe, float]]) -> float:
    """A number of the whole model's step over `said[0]`'s sequences, from those of the probes.

    Raises:
      Nonsense: a negative or no number, or one that does not grow with the model.
    """
    (one, first), (_, second) = said[:2]
    numbers = [number for _, number in said]
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise Nonsense(f"the compiler says {', '.join(f'{number:.3g}' for number in numbers)}")
    if second <= first:
        raise Nonsense(f"the compiler says {second:.3g} of two layers and {first:.3g} of one")
    whole = first + (config.model.n_layer - 1) * (second - first)
    if len(said) == 3:
        wide, third = said[2]
        if third <= first:
            raise Nonsense(
                f"the compiler says {third:.3g} of {wide.vocab} tokens and {first:.3g} of {one.vocab}"
            )
        slope = READOUT_AGAIN * (third - first) / (wide.vocab - one.vocab)
        whole += (config.model.vocab_size - one.vocab) * slope
    return whole


def compiled_step(
    config: RunConfig, at: Layout, on: Slice, said: Sequence[tuple[Probe, dict[str, float]]]
) -> float:
    """Seconds of an update by the compiler's estimates, of the probes in their order.

    Raises:
      Nonsense: they are none, do not count the model's products, or are above the peak.
    """
    number = lambda name: [(probe, about[name]) for probe, about in said]  # noqa: E731
    sequences = said[0][0].sequences
    tokens = sequences * config.model.seq_len / on.devices
    exact = counts.flops_exact(config.model) * tokens
    flops = (
        extend(config, number("flops"))
        + (1 + attention_again(at)) * kernel_flops(config.model, said) * tokens
    )
    if not 0.9 < flops / exact < 4:
        raise Nonsense(f"the compiler counts {flops / exact:.2g} times the products of the model")
    seconds = extend(config, number("seconds"))
    seconds += 2 * kernel_flops(config.model, said) * tokens / on.device_flops  # at half of the peak
    share = on.devices if at.way == "fsdp" else 1
    update = UPDATE * counts.count_params(config.model).total / share / on.device_bandwidth
    parts = config.batch_size / sequences
    step = parts * seconds - (parts - 1) * min(update, 0.9 * seconds)
    bound = counts.flops_exact(config.model) * config.batch_tokens / (on.devices * on.device_flops)
    if step < bound:
        raise Nonsense(f"the compiler says {step:.3g} s a step, faster than the chip's peak ({bound:.3g} s)")
    return step


def attention_again(at: Layout) -> float:
    return MADE_AGAIN[at.remat] / 3


def kernel_flops(model: ModelConfig, said: Sequence[tuple[Probe, dict[str, float]]]) -> float:
    """Of a token, in attention's own kernels where the program has them: the compiler can't see into them."""
    if not said[0][1].get("kernels"):
        return 0.0
    square = counts.flops_exact(model, causal=False) - counts.flops_exact(model)
    return square * (model.seq_len + 1) / max(1, model.seq_len - 1)


# --- what it comes to ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Bill:
    """Of runs of one shape, one after another on a slice."""

    tokens_per_second: float
    mfu: float  # of the chips' peak, FLOPs in the exact convention
    hours: float
    dollars: float | None
    joules: float | None  # at the most that the chips draw; hosts and cooling left out


def bill(configs: Sequence[RunConfig], on: Slice, seconds: float, dollars: float | None) -> Bill:
    """What runs of one shape cost at so many seconds a step; `dollars` a chip and hour."""
    first = configs[0]
    rate = first.batch_tokens / seconds
    mfu = counts.flops_exact(first.model) * rate / (on.chips * on.chip.flops)
    hours = sum(config.steps - config.branch_step for config in configs) * seconds / 3600
    money = None if dollars is None else hours * on.chips * dollars
    joules = None if on.chip.watts is None else hours * 3600 * on.chips * on.chip.watts
    return Bill(rate, mfu, hours, money, joules)
