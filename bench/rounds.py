"""Competitors take turns: every round all of them, one computing while the others sleep.

What slows a machine for a while falls on all competitors, so ratios are taken inside a round and
their median over rounds is the answer. A turn during which others used the machine is repeated.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.machine import Quiet

ROOT = Path(__file__).parents[1]
TRIES = 3  # of a turn during which others used the machine


@dataclass(frozen=True)
class Competitor:
    """One way of doing the work, by one process or by several at once."""

    name: str
    kind: str  # a module of bench.peers
    task: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int | None, ...] = (None,)  # one process each, pinned there; None: not pinned
    python: str = sys.executable


@dataclass(frozen=True)
class Turn:
    """What a competitor did in one round: tokens, FLOPs, … over all its processes."""

    rate: float  # a second
    per_processor_second: float  # barely touched by others who take processor time meanwhile
    others: float | None  # the share of the machine that others used, 0..1


@dataclass
class Running:
    """A competitor's processes, and what they have answered."""

    competitor: Competitor
    processes: list[subprocess.Popen]
    logs: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)
    ready_seconds: float = 0.0
    turns: list["Turn"] = field(default_factory=list)  # one a round
    more: dict[str, Any] = field(default_factory=dict)
    failed: str = ""


def start(competitor: Competitor, folder: Path) -> Running:
    env = dict(os.environ) | dict(competitor.env)
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
    running = Running(competitor, [], [])
    for number, core in enumerate(competitor.cores):
        safe = "".join(c if c.isalnum() else "-" for c in competitor.name)
        log = folder / f"{safe}-{number}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [competitor.python, "-m", "bench.child", competitor.kind],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        running.processes.append(process)
        running.logs.append(log)
        send(process, dict(competitor.task) | {"core": core, "number": number})
    return running


def send(process: subprocess.Popen, message: Mapping[str, Any]) -> None:
    try:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died: its answer will say so


def answers(running: Running) -> list[dict[str, Any]]:
    """One answer of each process; [] and `failed` when one has died."""
    lines = [process.stdout.readline() for process in running.processes]
    if all(lines):
        return [json.loads(line) for line in lines]
    dead = lines.index("")
    text = running.logs[dead].read_text(errors="replace").strip()
    running.failed = (text or "it ended without a word").splitlines()[-1][:300]
    stop(running)
    return []


def stop(running: Running) -> None:
    for process in running.processes:
        process.stdin.close()
        process.kill()
        process.stdout.close()
        process.wait()


def turn(running: Running, seconds: float, quiet: Quiet) -> None:
    """Have all processes of a competitor work at once; keeps the least disturbed of some tries."""
    tries: list[Turn] = []
    while len(tries) < TRIES:
        before = machine.look()
        for process in running.processes:
            send(process, {"seconds": seconds})
        replies = answers(running)
        if not replies:
            return
        share = machine.others_share(before, machine.look())
        done = sum(reply["units"] * reply["size"] for reply in replies)
        tries.append(
            Turn(
                rate=sum(reply["units"] * reply["size"] / reply["seconds"] for reply in replies),
                per_processor_second=done / max(1e-9, sum(reply["processor_seconds"] for reply in replies)),
                others=share,
            )
        )
        running.more = replies[0]["more"]
        if share is None or share <= quiet.bound or quiet.impatient():
            break
        quiet.wait()
    running.turns.append(min(tries, key=lambda turn: turn.others or 0.0))
    if running.turns[-1].others is not None:
        quiet.seen.append(running.turns[-1].others)


def race(
    competitors: Sequence[Competitor], rounds: int, seconds: float, quiet: Quiet, say=print
) -> list[Running]:
    """All competitors over so many rounds, each turn about `seconds` long (one unit at least)."""
    crew: list[Running] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            for competitor in competitors:  # one after another: compilers are hungry for memory
                running = start(competitor, Path(folder))
                crew.append(running)
                if ready := answers(running):
                    running.facts = ready[0]["facts"]
                    running.ready_seconds = max(reply["ready_seconds"] for reply in ready)
                say(
                    f"  {competitor.name}: {running.failed or 'ready'} ({running.ready_seconds:.1f} s)",
                    flush=True,
                )
            for number in range(rounds):
                quiet.wait()
                order = crew[number % len(crew) :] + crew[: number % len(crew)]
                for running in order:  # who begins changes: nobody always follows the same one
                    if not running.failed:
                        turn(running, seconds, quiet)
        finally:
            for running in crew:
                if not running.failed:
                    stop(running)
    return crew


def result(running: Running) -> dict[str, Any]:
    """A competitor's line of the results; `rate` is the median over rounds."""
    competitor = running.competitor
    line = {"name": competitor.name, "processes": len(competitor.cores), **competitor.task}
    line.pop("folder", None)  # where the user keeps a peer is no result
    if running.failed:
        return line | {"failed": running.failed}
    return line | {
        "rate": median(running, "rate"),
        "per_processor_second": median(running, "per_processor_second"),
        "ready_seconds": running.ready_seconds,
        **running.facts,
        **running.more,
        "turns": [asdict(turn) for turn in running.turns],
    }


def median(running: Running, name: str) -> float:
    return statistics.median(getattr(turn, name) for turn in running.turns)


def ratio(ours: Running, theirs: Running, name: str = "rate") -> dict[str, float]:
    """How many times as fast the first is: the median of the rounds' ratios, and their ends."""
    pairs = zip(ours.turns, theirs.turns, strict=True)
    ratios = [getattr(a, name) / getattr(b, name) for a, b in pairs]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
