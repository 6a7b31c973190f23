"""python -m bench.laws: our fit of Chinchilla's law beside other packages' on the same points.

Every tool gets the 240 points of Hoffmann et al.'s Figure 4 (chinchilla_fig4.csv of SCALING_DATA,
else a table drawn from a known law) and the settings its authors recommend for such data. Tools
take turns, so that a busy spell of the machine falls on all of them; medians are printed and
written to bench/results/laws.json. A tool that is not installed is named and left out.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads; same for all

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple
from importlib import import_module, util
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.laws import Chinchilla, published
from analysis.tables import table
from analysis.tables.runs import Runs
from bench import machine, synthetic
from bench.options import Options
from bench.packages import TOOLS, Tool

RESULTS = Path(__file__).parent / "results" / "laws.json"
TRUTH = Chinchilla(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # of the fallback


def points(path: str | None) -> Runs:
    """The table to fit: a file, else the published points, else a drawn one of the same shape."""
    if path:
        return table.read(path).usable()
    folder = os.environ.get("SCALING_DATA")
    if folder and Path(folder, "chinchilla_fig4.csv").is_file():
        return table.read(Path(folder, "chinchilla_fig4.csv"), where="outlier == 0").usable()
    print("no chinchilla_fig4.csv in SCALING_DATA: 240 points drawn from Besiroglu's law instead")
    params, tokens = np.geomspace(6e7, 1.6e10, 16), np.geomspace(1e9, 5e11, 15)
    return synthetic.factorial(TRUTH, params, tokens, noise=0.008)


def present(tool: Tool) -> str | None:
    """Why a tool is left out, or None."""
    if tool.package and util.find_spec(tool.package.replace("-", "_")) is None:
        return f"not installed (pip install {tool.package})"
    return None


def timed(function, *arguments):
    """(seconds, what it gave)."""
    start = time.perf_counter()
    given = function(*arguments)
    return time.perf_counter() - start, given


def measure_tools(tools: list[Tool], runs: Runs, repeats: int, resamples: int) -> dict[str, dict]:
    """Each tool's answers and median seconds; every round takes all of them in turn."""
    measured = {tool.name: {"fit": [], "interval": []} for tool in tools}
    for tool in tools:
        if tool.package:
            import_module(tool.package.replace("-", "_"))  # not part of a fit's time
    for turn in range(repeats):
        for tool in tools:
            mine = measured[tool.name]
            if "failed" in mine or (tool.once and turn):
                continue
            try:
                seconds, mine["law"] = timed(tool.fit, runs)
                mine["fit"].append(seconds)
                if tool.interval:
                    seconds, mine["a_interval"] = timed(tool.interval, runs, resamples)
                    mine["interval"].append(seconds)
            except Exception as error:  # a peer's, of any kind: the others are still measured
                mine["failed"] = f"{type(error).__name__}: {error}"
    return measured


def compare_with_ours(tool: Tool, mine: dict, runs: Runs, right: float) -> dict:
    """One tool's line: what it reached in our objective, and how near its own it came."""
    if "failed" in mine:
        return {"settings": tool.settings, "failed": mine["failed"]}
    law = mine["law"]
    own = None
    if tool.minimises in ("huber-log", "ls"):
        best = fitting.fit(Chinchilla, runs, objective=tool.minimises).objective.value
        own = fitting.objective_of(law, runs, objective=tool.minimises)[0].value / best - 1
    reached = fitting.objective_of(law, runs)[0].value
    return {
        "settings": tool.settings,
        "minimises": tool.minimises,
        "parameters": asdict(law),
        "a": float(law.exponents()[0]),
        "a_interval": mine.get("a_interval"),
        "objective": reached,
        "above_right_minimum": reached / right - 1,
        "above_best_of_own_objective": own,
        "repeats": len(mine["fit"]),
        "fit_seconds": statistics.median(mine["fit"]),
        "interval_seconds": statistics.median(mine["interval"]) if mine["interval"] else None,
    }


HEADER = (
    f"{'':<20} {'objective':>10} {'% above':>9} {'% own':>9} "
    + " ".join(f"{name:>8}" for name in Chinchilla.names())
    + f" {'a':>6} {'95 % of a':>16} {'fit s':>8} {'95 % s':>8}"
)


def line(name: str, row: dict) -> str:
    if "failed" in row:
        return f"{name:<20} failed: {row['failed']}"
    values = astuple(Chinchilla(**row["parameters"]))
    parts = " ".join(f"{v:>8.5g}" for v in values)
    ends = row["a_interval"]
    low_high = "none" if ends is None else f"({ends[0]:.3f}, {ends[1]:.3f})"
    slow = "-" if row["interval_seconds"] is None else f"{row['interval_seconds']:.3g}"
    own = row["above_best_of_own_objective"]
    above = 100 * round(row["above_right_minimum"], 8) + 0.0  # no "-0"
    return (
        f"{name:<20} {row['objective']:.8f} {above:>9.2g} "
        f"{'-' if own is None else format(100 * round(own, 8), '.2g'):>9} {parts} {row['a']:.4f} "
        f"{low_high:>16} {row['fit_seconds']:>8.3g} {slow:>8}"
    )


def compare(runs: Runs, without: list[str], repeats: int, resamples: int) -> dict:
    """All tools that are installed on the same points: prints the table, gives the results."""
    best = fitting.fit(Chinchilla, runs).objective.value
    chosen = [tool for tool in TOOLS if tool.name not in without]
    missing = {tool.name: why for tool in chosen if (why := present(tool))}
    for name, why in missing.items():
        print(f"{name}: {why}")
    tools = [tool for tool in chosen if tool.name not in missing]
    measured = measure_tools(tools, runs, repeats, resamples)
    known = published.OBJECTIVES["minimum"].value
    right = (
        known
        if abs(best - known) < 1e-9
        else min(
            [best]
            + [fitting.objective_of(own["law"], runs)[0].value for own in measured.values() if "law" in own]
        )
    )
    results = {t.name: compare_with_ours(t, measured[t.name], runs, right) for t in tools}
    whose = "an independent refit" if right == known else "the lowest reached here"
    print(f"{len(runs)} points of {runs.source}; right minimum {right:.11f} ({whose})")
    print(HEADER)
    for name, row in results.items():
        print(line(name, row))
    packages = ["numpy", "scipy", *(tool.package for tool in tools if tool.package)]
    return {
        "versions": machine.versions(*packages),
        "points": len(runs),
        "table": Path(runs.source).name,
        "resamples": resamples,
        "right_minimum": right,
        "missing": missing,
        "tools": results,
    }


def measure(options: Options) -> Iterator[dict]:
    """The part of `python -m bench`."""
    options.quiet.wait()
    before = machine.look()
    results = compare(points(None), [], options.rounds, 20 if options.quick else 1000)
    yield results | {"others_meanwhile": machine.others_share(before, machine.look())}


def main(arguments: list[str] | None = None) -> int:
    top = argparse.ArgumentParser(prog="python -m bench.laws", description=__doc__.split("\n")[0])
    top.add_argument("--table", metavar="CSV", help="other points to fit")
    top.add_argument("--repeats", type=int, default=5)
    top.add_argument("--resamples", type=int, default=1000, help="of every bootstrap")
    top.add_argument("--without", default="", metavar="NAME,NAME", help="tools to leave out")
    top.add_argument("--json", metavar="FILE", default=str(RESULTS))
    options = top.parse_args(arguments)
    if options.repeats < 1 or options.resamples < 2:
        top.error("--repeats needs at least 1, --resamples at least 2")
    unknown = set(filter(None, options.without.split(","))) - {tool.name for tool in TOOLS[1:]}
    if unknown:
        top.error(f"--without {unknown.pop()}: choose from {', '.join(t.name for t in TOOLS[1:])}")
    try:
        results = compare(
            points(options.table), options.without.split(","), options.repeats, options.resamples
        )
    except ValueError as error:
        print(f"bench.laws: {error}", file=sys.stderr)
        return 1
    record = {"date": machine.now(), "machine": machine.describe()} | results
    Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
