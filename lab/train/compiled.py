"""What a TPU's own compiler says of a step, on a machine without one: a process that answers a question.

`python -m lab.train.compiled` reads it, a line of JSON, from standard input, and watches that until it ends:
it dies with who asked. It says what it knows as soon as it knows it, a line of JSON each: {"compiling":
LAYOUT}, {"compiled": LAYOUT with bytes}, {"answer": all so far}. Nothing is run: arguments are shapes
(`parallel.ahead`).
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from jax.experimental import topologies

from lab.config import RunConfig, from_json, userfile
from lab.plan import chips, estimate
from lab.plan.chips import Slice
from lab.plan.estimate import Layout, Probe
from lab.plan.search import candidates, not_tried
from lab.train import parallel

Say = Callable[..., None]
NO_TIME = "no time was left for the compiler's estimate"
SUMMED = "bytes summed over all buffers: this jaxlib gives no peak"
AT_ONCE = {  # weights gathered before a product, not in a loop over devices of which one turn is counted
    "xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000"
}
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
USED = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?)")
REQUIRED = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)")


def devices(on: Slice) -> tuple:
    """The devices of a slice, none of which is here."""
    settings: dict[str, Any] = {}
    if on.chips == 1:
        settings["chips_per_host_bounds"] = (1, 1, 1)
    if on.chip.name == "v4":  # a chip's two halves as one device
        settings["chip_config_name"] = "megacore"
    found = topologies.get_topology_desc(platform="tpu", topology_name=on.name, **settings).devices
    return tuple(found)


def memory_wanted(message: str) -> tuple[float, float] | None:
    """(needed, available) bytes as the compiler says when there is not enough memory."""
    found = USED.search(message) or REQUIRED.search(message)
    if not found:
        return None
    return float(found[1]) * UNITS[found[2]], float(found[3]) * UNITS[found[4]]


def peak_bytes(memory: Any) -> tuple[int, bool]:
    """Bytes that a device needs at the most, and whether they are the compiler's own number, in which buffers
    that take turns in one place count once. An older jaxlib gives none; the sum of all buffers says more."""
    if peak := getattr(memory, "peak_memory_in_bytes", 0):
        return peak, True
    parts = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return parts + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes, False


def look(config: RunConfig, at: Layout, on: Slice, where: tuple, **said: Any) -> dict[str, Any]:
    """What the compiler says of one program: `peak` bytes a device of those `available`, whether that is its
    `own` number, and processor seconds to `compile`; where it made one, `flops` and `seconds` of a device (of
    a loop's body once), whether `kernels` are in it. What it refused has a peak above that."""
    shape = replace(config, micro_batch=0 if said.get("flat") else at.micro_batch).shape
    jitted, args = parallel.ahead(shape, at.way, where, remat=at.remat, **said)
    lowered = jitted.lower(*args)
    began = time.process_time()
    try:
        program = lowered.compile(compiler_options=AT_ONCE if said.get("flat") else None)
    except Exception as error:
        wanted = memory_wanted(str(error)) if "RESOURCE_EXHAUSTED" in str(error) else None
        if wanted is None:
            raise
        needed, available = wanted  # rounded to hundredths: they may look equal
        said = {"peak": max(needed, available + 1), "available": available, "own": True}
        return said | {"compile": time.process_time() - began}
    peak, own = peak_bytes(program.memory_analysis())
    cost = program.cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    return {
        "peak": peak,
        "available": on.chip.memory,
        "own": own,
        "compile": time.process_time() - began,
        "flops": cost.get("flops", 0.0),
        "seconds": cost.get("optimal_seconds", 0.0),
        "kernels": "tpu_custom_call" in lowered.as_text(),
    }


def fits(said: dict[str, Any]) -> bool:
    return said["peak"] <= said["available"]


def search(
    config: RunConfig, on: Slice, compile: Callable[[Layout], dict[str, Any]], say: Say, seconds: float
) -> tuple[Layout, dict[str, Any], list[dict[str, Any]]]:
    """The fastest layout that was seen to fit, or that which needs least; what the compiler says of it; all
    tried. Once one fits, no faster one is begun after so many seconds."""
    began, order = time.monotonic(), candidates(config, on)
    tried: list[dict[str, Any]] = []
    best: tuple[Layout, dict[str, Any]] | None = None
    at = next(order)
    while True:
        say(compiling=asdict(at))
        said = compile(at)
        tried.append(asdict(at) | {"bytes": said["peak"]})
        say(compiled=tried[-1] | {"fits": fits(said), "available": said["available"]})
        if best is None or fits(said):
            best = at, said
            if fits(said):
                say(answer=found(config, on, at, said, tried) | {"refused": NO_TIME})
        try:
            at = order.send(said["peak"])
        except StopIteration:
            return *best, tried
        if fits(best[1]) and time.monotonic() - began > seconds:
            return *best, tried


def found(
    config: RunConfig, on: Slice, at: Layout, said: dict[str, Any], tried: list[dict[str, Any]]
) -> dict[str, Any]:
    """What is known of a shape by what was compiled, its speed aside."""
    needed = {Layout(each["way"], each["micro_batch"], each["remat"]): each["bytes"] for each in tried}
    known = {
        "fits": fits(said),
        "peak_bytes": said["peak"],
        "available_bytes": said["available"],
        "compile_seconds": said["compile"],
        "tried": tried,
        "not_tried": [asdict(each) for each in not_tried(config, on, needed)] if fits(said) else [],
        **asdict(at),
    }
    return known if said["own"] else known | {"memory": SUMMED}


def of_probe(config: RunConfig, probe: Probe) -> RunConfig:
    model = replace(config.model, n_layer=probe.layers, vocab_size=probe.vocab)
    tokens = probe.sequences * model.seq_len
    return replace(
        config,
        model=model,
        batch_tokens=tokens,
        tokens=100 * tokens,
        micro_batch=0,
        init_from="",
        trunk=False,
    )


def answer(
    config: RunConfig, on: Slice, say: Say = lambda **line: None, seconds: float = 0.0
) -> dict[str, Any]:
    """Of one shape: whether it fits and how, and what a step takes, or in `refused` why that is not said.
    After so many seconds no faster way of training it is looked for."""
    where = devices(on)
    at, said, tried = search(config, on, lambda at: look(config, at, on, where), say, seconds)
    known = found(config, on, at, said, tried)
    if not known["fits"]:
        return known
    say(answer=known | {"refused": NO_TIME}, timing=asdict(at))
    try:
        probes = estimate.probes(config, len(where), at.micro_batch)
        numbers = [(probe, look(of_probe(config, probe), at, on, where, flat=True)) for probe in probes]
        if not all(fits(about) for _, about in numbers):
            raise estimate.Nonsense("a part of the step does not fit without its loops")
        return known | {"seconds": estimate.compiled_step(config, at, on, numbers)}
    except estimate.Nonsense as error:
        return known | {"refused": str(error)}


def tell(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def end_with_who_asked() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_who_asked, daemon=True).start()
    userfile.allow(asked["files"])
    config = from_json(asked["config"], where="question")
    try:
        tell(answer=answer(config, chips.find(asked["on"]), tell, asked["seconds"]))
    except Exception as error:
        if os.environ.get("LAB_TRACEBACK"):
            raise
        tell(error=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}")
    sys.stderr.flush()
    os._exit(0)  # libtpu's own threads would take seconds to end


if __name__ == "__main__":
    main()
