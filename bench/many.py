"""Many runs, or one run over many devices: tokens a second of each way, beside one device.

On CPU devices are forced (`xla_force_host_platform_device_count`), one a core at most, so this
shows what a way costs, not what it would give on accelerators: there the same command measures
those. The rate is that of all runs and devices of one process together.
"""

from collections.abc import Iterator
from typing import Any, get_args

from bench import machine, rounds
from bench.options import Options
from bench.rounds import Competitor

PACKS = (1, 2, 4, 8)  # runs a device
ONE = "one run on one device"


def competitors(shape: str, options: Options) -> tuple[list[Competitor], dict[str, str]]:
    from lab.launch import processes
    from lab.train.parallel import Way

    cores, on_cpu = machine.cores(), processes.on_cpu()
    core = (cores[-1],) if on_cpu else (None,)
    most = len(cores) if on_cpu else accelerators()
    ways = [way for way in get_args(Way) if way != "jit"]
    task = {"shape": shape, "dtype": "float32", "devices": 1}
    racing = [Competitor(ONE, "spread", task | {"way": "jit"}, processes.environment(1), core)]
    left_out = {}
    for each in PACKS[: 2 if options.quick else None]:
        own = task | {"way": "pack", "each": each}
        name = f"pack of {each} on one device"
        racing.append(Competitor(name, "spread", own, processes.environment(1), core))
    if most < 2:
        left_out["several devices"] = "there is one core, or one accelerator"
    else:
        for way in ways:
            own = task | {"way": way, "devices": most}
            name = f"one run over {most} devices, {way}"
            racing.append(Competitor(name, "spread", own, processes.environment(most)))
    if on_cpu and most > 1:
        name = f"one run on one device of {most} threads"
        threads = processes.environment(1) | {"NPROC": str(most)}
        racing.append(Competitor(name, "spread", task | {"way": "jit"}, threads))
        name = f"{most} workers, one run each"
        racing.append(
            Competitor(name, "spread", task | {"way": "jit"}, processes.environment(1), tuple(cores))
        )
    return racing, left_out


def accelerators() -> int:
    import jax

    return len(jax.local_devices())


def measure(options: Options) -> Iterator[dict[str, Any]]:
    races = []
    for shape in ("tiny",) if options.quick else options.shapes:
        racing, left_out = competitors(shape, options)
        print(f"{shape} float32:", flush=True)
        crew = rounds.race(racing, options.rounds, options.seconds, options.quiet)
        results = [rounds.result(running) for running in crew]
        for running, row in zip(crew, results, strict=True):
            if not running.failed and not crew[0].failed:
                row["over_one_device"] = rounds.ratio(running, crew[0])
        races.append({"shape": shape, "dtype": "float32", "results": results})
        print("\n".join(lines(results)), flush=True)
        unit = "tokens a second of all runs and processes together"
        yield {"unit": unit, "left_out": left_out, "races": races}


def lines(results: list[dict[str, Any]]) -> list[str]:
    out = [f"{'':<34} {'tokens/s':>10} {'of one device':>14}"]
    for row in results:
        times = row.get("over_one_device", {}).get("median")
        cells = f"{row['rate']:>10,.0f} {times:>13.2f}x" if times else f"failed: {row.get('failed')}"
        out.append(f"{row['name']:<34} {cells}")
    return out
