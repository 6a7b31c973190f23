"""The main part: tokens a second of the whole machine on three shapes, beside what a user would
pick instead.

All train GPT-2's arrangement with AdamW and clipping on random tokens that lie in memory; the step
is timed, not the reading of data. Everybody's rate is that of the whole machine: one process a
core working at the same time, or one process with a thread a core, whichever the name says.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench import machine, rounds
from bench.options import Options
from bench.rounds import Competitor, Running

DTYPES = ("float32", "bfloat16")
OURS = "this lab"


def competitors(shape: str, dtype: str, options: Options) -> tuple[list[Competitor], dict[str, str]]:
    """Who races, and who is left out and why."""
    from lab.launch import processes

    cores = machine.cores()[-1:] if options.quick else machine.cores()
    each, together = tuple(cores), (None,)
    task = {"shape": shape, "dtype": dtype}
    threads = {"OMP_NUM_THREADS": str(len(cores))}
    one = {"OMP_NUM_THREADS": "1"}
    many = f"1 x {len(cores)}"  # processes x threads
    single = f"{len(cores)} x 1"
    racing = [
        Competitor(OURS, "ours", task, processes.environment(1), each),
        Competitor(f"plain JAX, {many}", "plain", task),
    ]
    left_out = {}
    if options.nanodo:
        folder = task | {"folder": str(options.nanodo.resolve())}
        racing.append(Competitor(f"NanoDO, {many}", "nanodo", folder))
    else:
        left_out["NanoDO"] = "name its checkout with --nanodo DIR"
    torch = missing(options.peer_python, "torch")
    peers: dict[str, tuple[str, dict[str, Any]]] = {}
    if torch:
        left_out["nanoGPT"] = left_out["transformers"] = torch
    else:
        if why := missing(options.peer_python, "transformers"):
            left_out["transformers"] = why
        else:
            peers["transformers"] = "huggingface", {}
        if options.nanogpt:
            peers["nanoGPT"] = "nanogpt", {"folder": str(options.nanogpt.resolve())}
        else:
            left_out["nanoGPT"] = "name its checkout with --nanogpt DIR"
    for name, (kind, more) in peers.items():
        for mode in ("eager", "compile") if kind == "nanogpt" and not options.quick else ("eager",):
            own = task | more | {"mode": mode}
            racing += [
                Competitor(
                    f"{name} {mode}, {many}",
                    kind,
                    own | {"threads": len(cores)},
                    threads,
                    together,
                    options.peer_python,
                ),
                Competitor(
                    f"{name} {mode}, {single}", kind, own | {"threads": 1}, one, each, options.peer_python
                ),
            ]
    return racing, left_out


@cache
def missing(python: str, package: str) -> str | None:
    """Why a package can't be raced from an interpreter, or None."""
    if python == sys.executable:
        there = importlib.util.find_spec(package) is not None
    else:
        command = [python, "-c", f"import importlib.util as u, sys; sys.exit(not u.find_spec({package!r}))"]
        there = subprocess.run(command, env=os.environ, stderr=subprocess.DEVNULL).returncode == 0
    return None if there else f"{package} is not installed for {Path(python).name} (the extra bench)"


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The results so far, after every race."""
    races = []
    for shape in ["tiny"] if options.quick else options.shapes:
        for dtype in options.dtypes[:1] if options.quick else options.dtypes:
            print(f"{shape} {dtype}:", flush=True)
            racing, left_out = competitors(shape, dtype, options)
            began = machine.now()
            crew = rounds.race(racing, options.rounds, options.seconds, options.quiet)
            races.append({"date": began} | compare(shape, dtype, crew))
            print("\n".join(lines(races[-1])), flush=True)
            yield {
                "unit": "tokens a second of the whole machine",
                "left_out": left_out,
                "peer_versions": peer_versions(options.peer_python),
                "races": races,
            }


@cache
def peer_versions(python: str) -> dict[str, str]:
    command = [
        python,
        "-c",
        "import json; from bench import machine; "
        "print(json.dumps(machine.versions('torch', 'transformers', 'numpy')))",
    ]
    answer = subprocess.run(command, cwd=rounds.ROOT, capture_output=True, text=True)
    return json.loads(answer.stdout) if answer.returncode == 0 else {}


def compare(shape: str, dtype: str, crew: list[Running]) -> dict[str, Any]:
    ours, *peers = crew
    results = [rounds.result(running) for running in crew]
    for running, row in zip(peers, results[1:], strict=True):
        if not running.failed and not ours.failed:
            row["ours_over_it"] = rounds.ratio(ours, running)
            row["ours_over_it_per_processor_second"] = rounds.ratio(ours, running, "per_processor_second")
    return {"shape": shape, "dtype": dtype, "results": results, "best": best(results[1:])}


def best(peers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fastest way of each peer, and how many times as fast this lab is."""
    fastest: dict[str, dict[str, Any]] = {}
    for row in sorted((p for p in peers if "ours_over_it" in p), key=lambda p: -p["rate"]):
        family = row["name"].split(",")[0].removesuffix(" eager").removesuffix(" compile")
        fastest.setdefault(family, {"name": row["name"], "ours_over_it": row["ours_over_it"]})
    return fastest


def lines(race: dict[str, Any]) -> list[str]:
    """One race as a table."""
    out = [
        f"{race['shape'] + ' ' + race['dtype']:<34} {'tokens/s':>10} {'this lab is':>12} "
        f"{'rounds':>13} {'per cpu s':>10} {'others':>7}"
    ]
    for row in race["results"]:
        if "failed" in row:
            out.append(f"{row['name']:<34} failed: {row['failed']}")
            continue
        times = row.get("ours_over_it")
        ratio = f"{times['median']:.2f} times" if times else ""
        ends = f"{times['low']:.2f}-{times['high']:.2f}" if times else ""
        shares = [turn["others"] for turn in row["turns"] if turn["others"] is not None]
        others = f"{100 * max(shares):.0f} %" if shares else "?"
        out.append(
            f"{row['name']:<34} {row['rate']:>10,.0f} {ratio:>12} {ends:>13} "
            f"{row['per_processor_second']:>10,.0f} {others:>7}"
        )
    for row in race["best"].values():
        out.append(f"  beside {row['name']}: {row['ours_over_it']['median']:.2f} times as fast")
    return out
