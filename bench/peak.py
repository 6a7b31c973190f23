"""What this machine can do, and what share of it our step uses.

Matrix products of 2048 x 2048 in each library, copies of 512 MB, on one core and on all. The
utilisation of a shape is its exact training FLOPs (every product, attention halved for causality)
times the tokens a second of the part `grid`, over the fastest product on all cores: of its dtype,
or of float32 where that is faster, since bfloat16 can be multiplied in it without loss.
"""

import json
from collections.abc import Iterator
from typing import Any

from bench import machine, rounds
from bench.grid import OURS, missing
from bench.options import Options
from bench.rounds import Competitor

SIZE, QUICK_SIZE = 2048, 64
COPIED = 512 << 20  # bytes; twice the largest cache that has been met


def competitors(options: Options) -> list[Competitor]:
    """One process a core, each pinned and single-threaded, as many as the name says."""
    from lab.launch import processes

    cores, one = machine.cores(), processes.environment(1)
    size = QUICK_SIZE if options.quick else SIZE
    racing = []
    some, every = (cores[-1:], "one core"), (cores, f"{len(cores)} cores")
    for places, what in [every] if options.quick else [some, every]:
        for library in ("jax", "numpy", "torch"):
            if library == "torch" and missing(options.peer_python, "torch"):
                continue
            for dtype in ("float32", "bfloat16"):
                if (library, dtype) == ("numpy", "bfloat16"):
                    continue  # it has none
                task = {"library": library, "dtype": dtype, "size": size, "threads": 1}
                python = {"python": options.peer_python} if library == "torch" else {}
                name = f"{library} {dtype}, {what}"
                racing.append(Competitor(name, "products", task, one, tuple(places), **python))
        task = {"bytes": 1 << 20 if options.quick else COPIED}
        racing.append(Competitor(f"copy, {what}", "memory", task, one, tuple(places)))
    return racing


def measure(options: Options) -> Iterator[dict[str, Any]]:
    racing = competitors(options)
    crew = rounds.race(racing, options.rounds, min(1.0, options.seconds), options.quiet)
    results = [rounds.result(running) for running in crew]
    for row in results:
        rate = row.get("failed") or f"{row['rate'] / 1e9:,.1f} G{'B' if 'bytes' in row else 'FLOP'}/s"
        print(f"{row['name']:<28} {rate:>16}")
    best = peaks(results)
    shares = utilisation(options, best)
    for share in shares:
        print(
            f"{share['shape']} {share['dtype']}: {share['flops_per_second'] / 1e9:,.1f} GFLOP/s, "
            f"{100 * share['utilisation']:.0f} % of the fastest product"
        )
    yield {
        "unit": "FLOPs (or, of copies, bytes) a second",
        "results": results,
        "peak": best,
        "utilisation": shares,
    }


def peaks(results: list[dict[str, Any]]) -> dict[str, float]:
    """The fastest product of each dtype on all cores, FLOPs a second."""
    cores = len(machine.cores())
    best: dict[str, float] = {}
    for row in results:
        if "dtype" in row and "rate" in row and row["processes"] == cores:
            best[row["dtype"]] = max(best.get(row["dtype"], 0.0), row["rate"])
    return best


def utilisation(options: Options, best: dict[str, float]) -> list[dict[str, Any]]:
    """Of the races that the part `grid` left beside this one's results; [] when there are none."""
    path = options.results / "grid.json"
    if not path.exists():
        return []
    out = []
    for race in json.loads(path.read_text())["races"]:
        ours = next((row for row in race["results"] if row["name"] == OURS and "rate" in row), None)
        if ours and race["dtype"] in best:
            flops = ours["flops_per_token"] * ours["rate"]
            top = max(best[race["dtype"]], best.get("float32", 0.0))
            out.append(
                {
                    "shape": race["shape"],
                    "dtype": race["dtype"],
                    "flops_per_second": flops,
                    "utilisation": flops / top,
                }
            )
    return out
