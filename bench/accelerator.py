"""What an accelerator does, beside what `lab plan` says of it: a planned step, ways, attention, packs.

All in one process, since a TPU belongs to one at a time, and within minutes: what is not begun by `LIMIT` is
left out and named. On forced CPU devices it shows that it runs (`--quick`), and no speed.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bench import accelerators
from bench.child import Work, timed
from bench.options import Options
from bench.peers import shapes, spread

LIMIT = 360.0  # seconds, after which nothing more is begun
COMPILER = 120.0  # of them for the TPU's compiler, which is asked what it expects
PACKS = (1, 2, 4, 8, 16, 32)
ATTENTION = (8, 1024, 12, 64)  # sequences, context, heads, width of a head
Task = tuple[str, str, Callable[[], dict[str, Any]]]  # group, name, what measures it


def measure(options: Options) -> Iterator[dict[str, Any]]:
    from lab.launch import processes

    if processes.on_cpu() and not options.quick:
        raise RuntimeError("there is no accelerator here; --quick tries this part on forced CPU devices")
    processes.spare_libtpu(os.environ)
    import jax

    devices, began = tuple(jax.local_devices()), time.monotonic()
    on = slice_of(devices)
    found = {"device": devices[0].device_kind, "devices": len(devices), "on": on and on.name}
    print(f"{len(devices)} x {devices[0].device_kind}: {on.name if on else 'no chip that is known: no MFU'}")
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for group, name, work in tasks(options, devices, on):
        if time.monotonic() - began > LIMIT:
            left_out[f"{group}: {name}"] = f"{LIMIT:.0f} s were over"
        else:
            rows.append({"group": group, "name": name} | told(work))
            print(line(rows[-1]), flush=True)
        yield found | {"left_out": left_out, "rows": rows, "took_seconds": time.monotonic() - began}


def told(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured, or what failed: the rest is measured all the same."""
    try:
        return work()
    except Exception as error:
        first = (str(error).strip() or "?").splitlines()[0][:200]
        return {"failed": f"{type(error).__name__}: {first}"}


def slice_of(devices: Sequence[Any]) -> Any:
    """The chips that are here, as `lab plan --on` names them; None where they are not known."""
    from lab.plan import chips

    chip = chips.named(devices[0].device_kind)
    if chip is None:
        return None
    return next((at for at in chips.slices_of(chip) if at.devices == len(devices)), None)


def tasks(options: Options, devices: tuple, on: Any) -> Iterator[Task]:
    """The most wanted first."""
    yield "plan", "as planned", partial(planned, options, devices, on)
    shape = shapes.SHAPES["tiny" if options.quick else "M"]
    one = partial(spread_over, options, shape, on=on)
    yield "ways", "one device", partial(one, devices[:1], "jit")
    if len(devices) > 1:
        for way in ("mesh", "fsdp", "pmap"):
            yield "ways", f"{len(devices)} devices, {way}", partial(one, devices, way)
        if len(devices) % 2 == 0:
            yield "ways", f"{len(devices)} devices, fsdp, tensor 2", partial(one, devices, "fsdp", tensor=2)
    for name in ("kernel", "plain"):
        yield "attention", name, partial(attention, options, devices[0], name, on)
    for name in ("tiny",) if options.quick else ("S", "M"):
        pack = partial(spread_over, options, shapes.SHAPES[name], on=on)
        for each in PACKS[: 2 if options.quick else None]:
            yield "packs", f"{name}, {each} on one device", partial(pack, devices[:1], "jit", each=each)


def planned(options: Options, devices: tuple, on: Any) -> dict[str, Any]:
    """124 M as `lab plan --on` would train it on these chips, beside what the plan expects."""
    from lab.commands import on as plan_on
    from lab.launch import compilers
    from lab.models.target import target_of

    config = accelerators.runs("bench" if options.quick else "124M")[0]
    way, remat, plan = "mesh" if len(devices) > 1 else "jit", "", None
    if on is not None:
        ask = on.chip.is_tpu and not compilers.missing()
        said = next(compilers.ask([config], on.name, COMPILER)) if ask else {}
        plan = plan_on.row([config], on, on.chip.dollars, said)
        way, remat = plan["way"], plan["remat"]
        config = replace(config, micro_batch=plan["micro_batch"])
    work = spread.work(config, way, devices, on=target_of(devices[0], remat=remat))
    row = {"model": config.model.name, "way": way, "remat": remat, "micro_batch": config.micro_batch}
    row |= rate_of(work, options) | {"plan": plan}
    row["mfu"] = mfu(config, row["rate"], len(devices), on)
    row["expected"] = plan and plan["tokens_per_second"]
    stats = devices[0].memory_stats() or {}
    return row | {"peak_bytes": stats.get("peak_bytes_in_use")}


def spread_over(
    options: Options, shape: shapes.Shape, devices: tuple, way: str, on: Any, each: int = 0, tensor: int = 1
) -> dict[str, Any]:
    """A step of one run by a way, or of a pack, beside the roofline of the plan."""
    from bench.peers import ours
    from lab.plan import chips, estimate

    config = ours.config_of(shape, "bfloat16")
    work = spread.work(config, way, devices, each=each, tensor=tensor)
    row = rate_of(work, options)
    row["mfu"], row["expected"] = mfu(config, row["rate"], len(devices), on), None
    if on is not None and not each and way != "pmap" and tensor == 1:
        at = estimate.Layout(way, config.batch_size, "nothing")
        here = chips.Slice(on.name, on.chip, len(devices) // on.chip.halves or 1)
        row["expected"] = config.batch_tokens / estimate.step_seconds(config, at, here)
    return row


def attention(options: Options, device: Any, name: str, on: Any) -> dict[str, Any]:
    """Causal attention and its gradient in bfloat16: by the chip's kernel, or by plain products."""
    import jax
    import jax.numpy as jnp

    from lab.models import kernels
    from lab.models.target import Target

    B, L, H, K = (2, 128, 2, 64) if options.quick else ATTENTION
    target = Target({"cuda": "gpu", "rocm": "gpu"}.get(device.platform, device.platform), "bfloat16")
    q, k, v = jax.random.normal(jax.random.key(0), (3, B, L, H, K), jnp.float32)

    def out(q, k, v):
        if name == "kernel":
            return kernels.attention(K**-0.5 * q, k, v, target)
        low = (t.astype(jnp.bfloat16) for t in (q, k, v))
        return jax.nn.dot_product_attention(*low, is_causal=True, implementation="xla")

    if name == "kernel" and jax.eval_shape(out, q, k, v) is None:
        raise RuntimeError(f"no kernel of {device.platform} takes {B} x {L} x {H} x {K}")
    step = jax.jit(jax.grad(lambda *t: out(*t).astype(jnp.float32).sum(), (0, 1, 2)))

    def do(n: int) -> None:
        for _ in range(n):
            found = step(q, k, v)
        jax.block_until_ready(found)

    row = rate_of(Work(do, B * L), options)
    flops = 6 * H * L * K * row["rate"]  # a second: forward, twice that for the gradient, half masked
    return row | {"mfu": on and flops / on.device_flops, "expected": None}


def rate_of(work: Work, options: Options) -> dict[str, Any]:
    """Tokens a second, compiling left out, which is told apart."""
    began = time.perf_counter()
    work.do(1)
    compiled = time.perf_counter() - began
    once, _ = timed(work, 1)
    n = max(1, min(10_000, round(options.seconds / once)))
    seconds, _ = timed(work, n)
    return {"rate": n * work.size / seconds, "updates": n, "seconds": seconds, "compile_seconds": compiled}


def mfu(config: Any, rate: float, devices: int, on: Any) -> float | None:
    from lab.models import counts

    return on and counts.flops_exact(config.model) * rate / (devices * on.device_flops)


def line(row: dict[str, Any]) -> str:
    head = f"{row['group']:<10} {row['name']:<28} "
    if "failed" in row:
        return f"{head}failed: {row['failed']}"
    used = "" if row["mfu"] is None else f", MFU {row['mfu']:.1%}"
    expected = row["expected"]
    plan = f", the plan says {expected:,.0f}: {row['rate'] / expected:.0%} of it" if expected else ""
    held = f", {row['peak_bytes'] / 2**30:.2f} GiB at the peak" if row.get("peak_bytes") else ""
    if held and row["plan"]:
        held += f" of {row['plan']['peak_bytes'] / 2**30:.2f} planned"
    return f"{head}{row['rate']:>12,.0f} tokens/s{used}{plan}{held}, first in {row['compile_seconds']:.1f} s"
