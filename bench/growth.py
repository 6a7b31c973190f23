"""How speed and cost grow: over model size, over context, over the number of runs of a grid.

Speed is that of one worker on one core with the others asleep, in float32. Grids are real `lab
run`s of runs of four updates each, so that their time is what a run costs beside its training.
Draws bench/results/growth.png.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import machine, rounds, workers
from bench.options import Options
from bench.peers import shapes
from bench.peers.shapes import Shape
from bench.rounds import Competitor

SIZES = (
    Shape(1, 16, 1),
    Shape(2, 32, 1),
    Shape(2, 64, 2),
    Shape(3, 96, 3),
    Shape(5, 128, 4),
    Shape(5, 192, 6),
    Shape(6, 256, 4),
    Shape(6, 384, 6),
)
CONTEXTS = tuple(Shape(5, 128, 4, context=L, batch=4096 // L) for L in (32, 64, 128, 256, 512, 1024))
GRIDS = (1, 10, 100, 1000)  # runs
STEPS = 4  # of a run of a grid


def measure(options: Options) -> Iterator[dict[str, Any]]:
    results: dict[str, Any] = {"unit": "tokens a second of one worker on one core"}
    quick = (shapes.SHAPES["tiny"], Shape(1, 16, 1, vocab=64, context=32, batch=2))
    for name, which in (("sizes", SIZES), ("contexts", CONTEXTS)):
        results[name] = speeds(quick if options.quick else which, options)
        print("\n".join(lines(name, results[name])), flush=True)
        yield results
    results["grids"] = []
    for runs in (2,) if options.quick else GRIDS:
        options.quiet.wait()
        results["grids"].append(grid(runs, options))
        last = results["grids"][-1]
        print(
            f"{runs} runs of {STEPS} updates: {last['seconds']:.1f} s, {last['seconds_a_run']:.2f} s a run",
            flush=True,
        )
        yield results
    from bench import figures

    figures.growth(results, options.results).savefig(options.results / "growth.png")
    yield results


def speeds(which: tuple[Shape, ...], options: Options) -> list[dict[str, Any]]:
    from lab.launch import processes

    core = machine.cores()[-1:]
    racing = [
        Competitor(
            f"{shape.layers} x {shape.width}, context {shape.context}",
            "ours",
            {"shape": vars(shape), "dtype": "float32"},
            processes.environment(1),
            tuple(core),
        )
        for shape in which
    ]
    crew = rounds.race(racing, options.rounds, options.seconds, options.quiet)
    return [rounds.result(running) for running in crew]


def grid(runs: int, options: Options) -> dict[str, Any]:
    """A real `lab run` of so many tiny runs; all workers of this machine, from cold."""
    shape = shapes.SHAPES["tiny"]
    configs = workers.runs_of(shape, STEPS * shape.tokens, runs, quick=True)  # its own language
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        before = machine.look()
        seconds = workers.lab_run(configs, Path(folder))
        others = machine.others_share(before, machine.look())
    return {"runs": runs, "seconds": seconds, "seconds_a_run": seconds / runs, "others": others}


def lines(title: str, results: list[dict[str, Any]]) -> list[str]:
    out = [f"{title:<24} {'tokens/s':>10} {'GFLOP/s':>8}"]
    for row in results:
        if "failed" in row:
            out.append(f"{row['name']:<24} failed: {row['failed']}")
            continue
        flops = row["rate"] * row["flops_per_token"] / 1e9
        out.append(f"{row['name']:<24} {row['rate']:>10,.0f} {flops:>8.1f}")
    return out
