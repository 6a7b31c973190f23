"""What `lab grow` asks of the table of its runs: what is known, what to add, what new runs will give."""

import argparse
import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.commands.asked import Refused, ask
from lab.config import RunConfig
from lab.plan import growth
from lab.store import export
from lab.store.seals import Rounds
from lab.store.store import Store

UNKNOWN = {"value": None, "half": None, "low": None, "high": None, "status": "", "verdict": ""}
NO_FORECAST = {"predicted": None, "low": None, "high": None}
COLUMNS = ("run_id", "round", "params", "tokens", "predicted", "low", "high", "loss", "inside")


@dataclass(frozen=True)
class Growth:
    """A grid's `cells`, what they grow toward, and where rounds, tables and page are kept."""

    options: argparse.Namespace
    store: Store
    cells: list[RunConfig]
    name: str
    out: Path

    @property
    def goal(self) -> growth.Goal:
        return self.options.until

    @cached_property
    def among(self) -> list[RunConfig]:
        return growth.candidates(self.cells)

    @cached_property
    def rounds(self) -> Rounds:
        """Of this grid, whatever is asked of it: a narrower goal goes on from what there is."""
        ids = ",".join(sorted(cell.run_id for cell in self.cells))
        return Rounds(
            self.store.root / "grown" / f"{self.name}-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"
        )


def write_table(grows: Growth, runs: list[RunConfig]) -> None:
    grows.out.mkdir(parents=True, exist_ok=True)
    export.write(export.rows(grows.store, runs, grows.name), grows.out / "runs.csv")


def answer(grows: Growth, command: str, *words) -> dict | list:
    """The JSON of an analysis of the runs so far."""
    path = grows.out / f"{command}.json"
    path.unlink(missing_ok=True)
    try:
        ask(command, grows.out / "runs.csv", *words, "--json", path)
    except Refused:
        if not path.exists():  # an audit that refuses writes why
            raise
    return json.loads(path.read_text())


def measure(grows: Growth) -> dict:
    """The asked number by Chinchilla's law, with its 95 % interval where the fit may be trusted, and the
    audit's verdict."""
    flops = grows.goal.flops
    try:
        verdict = answer(grows, "audit")["verdict"]
        front = answer(grows, "frontier", "--method", "fit", *(["--at", repr(flops)] if flops else []))
        band = front["params_exponent"]
        if flops:
            best = front["points"][0]
            (said,) = predicted(grows, [(best["params"], best["tokens"])])
            band = {"value": said["predicted"], "low": said["low"], "high": said["high"]}
    except Refused as error:
        return UNKNOWN | {"status": "failed", "message": str(error)}
    known = UNKNOWN | band | {"status": front["status"], "message": front["message"], "verdict": verdict}
    if front["status"] == "ok" and None not in band.values():
        known["half"] = (band["high"] - band["low"]) / 2 / (band["value"] if flops else 1)
    return known


def in_words(goal: growth.Goal, known: dict) -> str:
    if known["value"] is None:
        return f"{goal.name} not known: {known['status']}: {known.get('message', '')}"
    ends = (
        f" ({known['low']:.4g} to {known['high']:.4g})" if None not in (known["low"], known["high"]) else ""
    )
    width = goal.width(float("inf") if known["half"] is None else known["half"])
    return (
        f"{goal.name} {known['value']:.4g}{ends}, {width} (fit {known['status']}, audit {known['verdict']})"
    )


def suggested(grows: Growth, flops: float) -> dict:
    """The `runs` that narrow the asked number most for so many FLOPs, and the `gain`: the half width expected
    with them over that without."""
    cells = grows.out / "candidates.csv"
    places = sorted({growth.place(cell) for cell in grows.among})
    cells.write_text("params,tokens\n" + "".join(f"{n},{d}\n" for n, d in places))
    said = answer(grows, "suggest", "--for", grows.goal.name, "--flops", repr(float(flops)), "--among", cells)
    return said | {"gain": said["after"] / said["before"] if said["before"] else None}


def forecasts(grows: Growth, new: list[RunConfig]) -> list[dict]:
    """A forecast of each run's loss with the 95 % interval of one run; none of a run that is there already,
    nor where the law says nothing."""
    try:
        said = predicted(grows, [growth.place(run) for run in new])
    except Refused:
        return [dict(NO_FORECAST) for _ in new]
    ends = [{"predicted": row["predicted"], "low": row["run_low"], "high": row["run_high"]} for row in said]
    done = [grows.store.status(run.run_id) == "done" for run in new]
    return [
        dict(NO_FORECAST) if there or None in each.values() else each
        for there, each in zip(done, ends, strict=True)
    ]


def predicted(grows: Growth, places) -> list[dict]:
    at = ";".join(f"params={n!r},tokens={d!r}" for n, d in places)
    return answer(grows, "predict", "--law", "chinchilla", "--at", at)["rows"]


def outcome(store: Store, sealed: dict) -> dict:
    """A sealed forecast and what became of its run."""
    config = sealed["config"]
    record = store.status_and_record(config.run_id)[1] or {}
    params, tokens = growth.place(config)
    forecast = {"run_id": config.run_id, "params": params, "tokens": tokens}
    forecast |= {name: sealed[name] for name in NO_FORECAST}
    return growth.scored(forecast, record.get("loss"))


def write_forecasts(scores: list[dict], path: Path) -> None:
    """A row a run: what was sealed, and what it gave."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for score in scores:
            writer.writerows({**row, "round": score["round"]} for row in score["runs"])
