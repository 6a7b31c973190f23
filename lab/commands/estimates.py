"""What the runs of `lab grow` tell so far: the number, which runs to add, what those will give."""

import argparse
import csv
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lab.commands.analysis import Refused, ask
from lab.config import RunConfig
from lab.plan import sequential
from lab.store import export
from lab.store.failures import trained_as
from lab.store.seals import Rounds
from lab.store.store import Store

UNKNOWN = {"value": None, "half": None, "low": None, "high": None, "status": "", "verdict": ""}
NO_FORECAST = {"predicted": None, "low": None, "high": None}
COLUMNS = ("run_id", "round", "params", "tokens", "predicted", "low", "high", "loss", "inside")


@dataclass(frozen=True)
class Study:
    """A grid that grows: its `cells`, the goal, and where rounds, tables and page are kept."""

    options: argparse.Namespace
    store: Store
    cells: list[RunConfig]
    name: str
    out: Path

    @property
    def goal(self) -> sequential.Goal:
        return self.options.until

    @cached_property
    def among(self) -> list[RunConfig]:
        return sequential.candidates(self.cells)

    @cached_property
    def rounds(self) -> Rounds:
        """Of this grid, whatever is asked of it: a narrower goal goes on from what there is."""
        ids = ",".join(sorted(cell.run_id for cell in self.cells))
        return Rounds(
            self.store.root / "grown" / f"{self.name}-{hashlib.sha256(ids.encode()).hexdigest()[:8]}"
        )


def write_table(study: Study, runs: list[RunConfig]) -> None:
    study.out.mkdir(parents=True, exist_ok=True)
    export.write(export.rows(study.store, without_budgets(runs), study.name), study.out / "runs.csv")


def without_budgets(runs: list[RunConfig]) -> list[RunConfig]:
    """The runs, of which those that a round added have no budget: then none has, as they are one design and
    its flops tell what valleys there are. A budget is a label, no part of a run_id."""
    if all(run.budget for run in runs):
        return runs
    return [replace(run, budget=0.0) for run in runs]


def answer(study: Study, command: str, *words) -> dict | list:
    """The JSON of an analysis of the runs so far."""
    path = study.out / f"{command}.json"
    path.unlink(missing_ok=True)
    try:
        ask(command, study.out / "runs.csv", *words, "--json", path)
    except Refused:
        if not path.exists():  # an audit that refuses writes why
            raise
    return json.loads(path.read_text())


def estimate(study: Study) -> dict:
    """The asked number by Chinchilla's law, with its 95 % interval where the fit may be trusted, and the
    audit's verdict."""
    flops = study.goal.flops
    try:
        verdict = answer(study, "audit")["verdict"]
        front = answer(study, "frontier", "--method", "fit", *(["--at", repr(flops)] if flops else []))
        band = front["params_exponent"]
        if flops:
            best = front["points"][0]
            (row,) = predict(study, [(best["params"], best["tokens"])])
            band = {"value": row["predicted"], "low": row["low"], "high": row["high"]}
    except Refused as error:
        return UNKNOWN | {"status": "failed", "message": str(error)}
    known = UNKNOWN | band | {"status": front["status"], "message": front["message"], "verdict": verdict}
    if front["status"] == "ok" and None not in band.values():
        known["half"] = (band["high"] - band["low"]) / 2 / (band["value"] if flops else 1)
    return known


def describe_number(goal: sequential.Goal, known: dict) -> str:
    if known["value"] is None:
        return f"{goal.name} not known: {known['status']}: {known.get('message', '')}"
    ends = (
        f" ({known['low']:.4g} to {known['high']:.4g})" if None not in (known["low"], known["high"]) else ""
    )
    width = goal.width(float("inf") if known["half"] is None else known["half"])
    return (
        f"{goal.name} {known['value']:.4g}{ends}, {width} (fit {known['status']}, audit {known['verdict']})"
    )


def suggest(study: Study, flops: float) -> dict:
    """The `runs` that narrow the asked number most for so many FLOPs, and the `gain`: the half width expected
    with them over that without."""
    cells = study.out / "candidates.csv"
    places = sorted({sequential.place(cell) for cell in study.among})
    cells.write_text("params,tokens\n" + "".join(f"{n},{d}\n" for n, d in places))
    words = "--for", study.goal.name, "--flops", repr(float(flops)), "--among", cells
    suggestion = answer(study, "suggest", *words)
    before, after = suggestion["before"], suggestion["after"]
    return suggestion | {"gain": after / before if before else None}


def forecasts(study: Study, new: list[RunConfig]) -> list[dict]:
    """A forecast of each run's loss with the 95 % interval of one run; none of a run that is there already,
    nor where the law says nothing."""
    try:
        rows = predict(study, [sequential.place(run) for run in new])
    except Refused:
        return [dict(NO_FORECAST) for _ in new]
    ends = [{"predicted": row["predicted"], "low": row["run_low"], "high": row["run_high"]} for row in rows]
    done = [study.store.status(run.run_id) == "done" for run in new]
    return [
        dict(NO_FORECAST) if there or None in each.values() else each
        for there, each in zip(done, ends, strict=True)
    ]


def predict(study: Study, places) -> list[dict]:
    at = ";".join(f"params={n!r},tokens={d!r}" for n, d in places)
    return answer(study, "predict", "--law", "chinchilla", "--at", at)["rows"]


def outcome(store: Store, sealed: dict) -> dict:
    """A sealed forecast and what became of its run."""
    config = sealed["config"]
    record = store.status_and_record(trained_as(store, config).run_id)[1] or {}
    params, tokens = sequential.place(config)
    forecast = {"run_id": config.run_id, "params": params, "tokens": tokens}
    forecast |= {name: sealed[name] for name in NO_FORECAST}
    return sequential.score(forecast, record.get("loss"))


def write_forecasts(scores: list[dict], path: Path) -> None:
    """A row a run: what was sealed, and what it gave."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for score in scores:
            writer.writerows({**row, "round": score["round"]} for row in score["runs"])
