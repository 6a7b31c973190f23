"""What share of a run's minute is spent outside its training steps, and on what.

Real workers, one a core, each with one run of about a minute, a stopwatch in their functions; and
the same runs by `lab run`, whose clock starts before the command and ends after it.
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import machine, rounds, workers
from bench.grid import OURS
from bench.options import Options
from bench.peers import shapes
from bench.rounds import Competitor

MINUTE = 60.0


def measure(options: Options) -> Iterator[dict[str, Any]]:
    from lab.launch import processes

    name = "tiny" if options.quick else options.shapes[0]
    shape, cores = shapes.SHAPES[name], machine.cores()
    task = {"shape": name, "dtype": "float32"}
    alone = Competitor(OURS, "ours", task, processes.environment(1), tuple(cores))
    race = rounds.race([alone], 1 if options.quick else 3, options.seconds, options.quiet)[0]
    if race.failed:
        raise RuntimeError(f"our own step failed: {race.failed}")
    rate = rounds.median(race, "rate") / len(cores)  # tokens a second of one worker
    tokens = max(20, round(rate * (0.2 if options.quick else MINUTE) / shape.tokens)) * shape.tokens
    configs = workers.runs_of(shape, tokens, len(cores), quick=options.quick)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options.quiet.wait()
        before = machine.look()
        times = workers.work(configs, Path(folder) / "traced", cores)
        others = machine.others_share(before, machine.look())
        seconds = workers.lab_run(configs, Path(folder))
    shares = parts(times)
    stepping = tokens / rate
    results = {
        "shape": name,
        "tokens_of_a_run": tokens,
        "runs": len(configs),
        "others": others,
        "worker_seconds": statistics.median(each.moments["end"] for each in times),
        "shares_of_the_worker": shares,
        "step_alone_tokens_per_second": rate,
        "lab_run_seconds": seconds,
        "lab_run_outside_the_step": 1 - stepping / seconds,
    }
    print("\n".join(lines(results)))
    yield results


def parts(times: list[workers.Times]) -> dict[str, float]:
    """Medians over workers of each share of the whole life of a worker, start included."""
    rows = []
    for each in times:
        life = each.moments["end"]
        known = {name: seconds / life for name, seconds in each.inside.items()}
        rows.append(known | {"start of the process": each.moments["claimed"] / life})
    names = sorted({name for row in rows for name in row})
    shares = {name: statistics.median(row.get(name, 0.0) for row in rows) for name in names}
    return shares | {"all else": max(0.0, 1 - sum(shares.values()))}


def lines(results: dict[str, Any]) -> list[str]:
    shares = sorted(results["shares_of_the_worker"].items(), key=lambda item: -item[1])
    out = [
        f"a worker's {results['worker_seconds']:.1f} s on {results['shape']}, "
        f"{results['tokens_of_a_run']:,} tokens:"
    ]
    out += [f"  {name:<24} {100 * share:>6.2f} %" for name, share in shares]
    outside = f"{100 * results['lab_run_outside_the_step']:.1f} % of them outside the step"
    return [*out, f"lab run, start to end: {results['lab_run_seconds']:.1f} s, {outside}"]
