"""The run table: one row a finished run, the public interface between `lab` and any analysis.

docs/results.md describes every column. Counts are computed from the config, so a table made later
counts the same; a value that is not known is empty, never 0.
"""

import csv
import io
import json
import platform
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.config import NEXT_TOKEN, DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.config.fields import columns_of
from lab.data import mixtures
from lab.models import counts
from lab.store import floors
from lab.store.code import digest
from lab.store.failures import trained_as
from lab.store.files import StoreError, replace_file
from lab.store.records import origin
from lab.store.store import Store

MEASURED = (  # read from the run's record
    *("loss_unit", "loss_se", "loss_ema", "bits_per_byte", "held_out_tokens", "seconds", "io_seconds"),
    "tokens_per_second",
    *("flops_utilization", "init_from", "device", "way", "devices", "host", "python", "jax", "commit"),
    *("code", "finished", "schema"),
)
LISTED = (
    *("run_id", "experiment", "status", "budget"),
    *("params_embed", "params_hidden", "params_readout", "params_idle", "params"),
    *("tokens", "unique_tokens", "epochs", "flops", "flops_spent", "loss"),
    *MEASURED[:5],
    *("batch_tokens", "steps"),
    *(name for part in (ModelConfig, OptimConfig, RunConfig, DataConfig) for name in columns_of(part)),
    *MEASURED,
    *("asked_for", "reason"),
)
COLUMNS = tuple(dict.fromkeys(LISTED))  # each in its first place


def row(config: RunConfig, record: dict[str, Any], experiment: str = "") -> dict[str, Any]:
    """One run's row. A diverged run has no loss; its tokens and FLOPs are the achieved ones, those
    of its trunk among them; `flops_spent` are without. The sum of these is what a grid cost."""
    size, steps = counts.count_params(config.model), record["steps"]
    before = (origin(record.get("init_from")) or ("", 0))[1]
    tokens, each = steps * config.batch_tokens, counts.flops_exact(config.model)
    available = config.data.available_tokens
    computed = {
        "run_id": config.run_id,
        "experiment": experiment,
        "status": "trunk" if config.trunk and record["status"] == "done" else record["status"],
        "budget": config.budget or None,
        "params_embed": size.embed,
        "params_hidden": size.hidden,
        "params_readout": size.readout,
        "params_idle": size.idle,
        "params": size.params,
        "tokens": tokens,
        "unique_tokens": unique_tokens(config, tokens, record.get("parts") or {}),
        "epochs": tokens / available if available else None,
        "flops": each * tokens,
        "flops_spent": each * max(0, steps - before) * config.batch_tokens,
        "loss": record["loss"],
        "steps": steps,
        "d_ff": config.model.ffn_width if config.model.has("d_ff") else None,
        "warmup_steps": config.warmup_steps,
        "horizon_steps": config.horizon_steps,
        "micro_batch": record.get("micro_batch", config.micro_batch or config.batch_size),
        **{name: record.get(name) for name in MEASURED},
    }
    if config.objective == NEXT_TOKEN:
        computed["loss_unit"] = "nats/token"  # records of before do not say it
    return dict.fromkeys(COLUMNS) | settings(config) | computed | by_part(record)


def unique_tokens(config: RunConfig, tokens: int, parts: dict[str, dict[str, float]]) -> int | None:
    """How many different ones are among a run's tokens, at most; None where that is not known. A mixture's
    `parts` repeat each on its own."""
    available = config.data.available_tokens
    if not available or tokens <= available or not config.data.corpus.startswith(mixtures.PREFIX):
        return min(tokens, available) if available else None
    shares = mixtures.shares(config.data.corpus)
    if shares.keys() != parts.keys():  # it is not done
        return None
    return round(sum(tokens * share / max(1, parts[name]["epochs"]) for name, share in shares.items()))


def by_part(record: dict[str, Any]) -> dict[str, float]:
    """Columns that only a run on a mixture has: loss_NAME, loss_se_NAME and epochs_NAME of each part."""
    parts = record.get("parts") or {}
    return {f"{word}_{part}": value for part, row in parts.items() for word, value in row.items()}


def settings(config: RunConfig) -> dict[str, Any]:
    """The columns that show a config's fields; those that its model or optimiser does not have are empty."""
    return {
        column: getattr(part, name) if not hasattr(part, "has") or part.has(name) else None
        for part in (config.model, config.optim, config.data, config)
        for column, name in columns_of(type(part)).items()
    }


def damaged_row(config: RunConfig, reason: str, experiment: str = "") -> dict[str, Any]:
    """The row of a run whose record can't be believed: what its config says, nothing measured."""
    nothing = {"status": "damaged", "steps": 0, "loss": None}
    unknown = ("tokens", "unique_tokens", "epochs", "flops", "flops_spent", "steps")
    return row(config, nothing, experiment) | dict.fromkeys(unknown) | {"reason": reason}


def rows(store: Store, configs: Iterable[RunConfig], experiment: str = "") -> list[dict[str, Any]]:
    """Rows of the grid's finished runs, in the grid's order; a damaged record is a row that says
    so and holds no measured number. One that was stopped as a loser has status `pruned` and no loss. Records
    without a checksum are used, and losses below a known entropy shown; both are said on stderr."""
    table, unsealed, low = [], 0, []
    for first in configs:
        config = trained_as(store, first)
        stands_for = {} if config == first else {"asked_for": first.run_id}
        try:
            record = store.record(config.run_id)
        except StoreError as error:
            table.append(damaged_row(config, str(error), experiment) | stands_for)
            continue
        if lost := None if record else store.pruned(config.run_id):
            stopped = {"status": "pruned", "steps": lost["step"], "loss": None}
            table.append(row(config, stopped, experiment) | {"reason": lost["why"]} | stands_for)
        if record:
            unsealed += "sha256" not in record
            table.append(row(config, record, experiment) | stands_for)
            low += filter(None, [floors.too_low(config, record)])
    if low:
        print(f"caution: {low[0]}{f' ({len(low)} runs do)' * (len(low) > 1)}", file=sys.stderr)
    if unsealed:
        print(
            f"note: {unsealed} of {len(table)} records have no checksum (an older version wrote "
            "them); they were used as they are",
            file=sys.stderr,
        )
    return table


def rows_so_far(store: Store, configs: Iterable[RunConfig], experiment: str = "") -> list[dict[str, Any]]:
    """`rows`, and one of each run that has a curve and no record yet, with status `running`: how far it is,
    and its last held-out loss."""
    configs = list(configs)
    table = rows(store, configs, experiment)
    known = {line["run_id"] for line in table}
    for config in (trained_as(store, first) for first in configs):
        if config.run_id not in known and (curve := store.curve(config.run_id)):
            now = {"status": "running", "steps": int(curve[-1]["step"]), "loss": float(curve[-1]["loss"])}
            table.append(row(config, now, experiment))
    return table


def check(path: Path) -> None:
    """Refuse a table's name that says no format, and a folder that cannot be made, before the table is."""
    if path.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"{path}: a run table is written as .csv or .jsonl; name it so")
    path.parent.mkdir(parents=True, exist_ok=True)


def write(table: list[dict[str, Any]], path: Path) -> None:
    """Write a run table as csv, or as jsonl when the name says so, whole or not at all."""
    check(path)
    if path.suffix == ".jsonl":
        replace_file(path, "".join(json.dumps(line) + "\n" for line in table))
        return
    text = io.StringIO()
    columns = dict.fromkeys((*COLUMNS, *(name for line in table for name in line)))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: harmless(cell) for name, cell in line.items()} for line in table)
    replace_file(path, text.getvalue())


def harmless(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula, with the ' before it that says it is none."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def write_curves(store: Store, configs: Iterable[RunConfig], path: Path, so_far: bool = False) -> None:
    """Every finished run's learning curve in one table (`so_far`: those of the others too), with run_id and
    params: what `envelope` reads. A branch's begins with its trunk's, and trunks have none of their own. A
    curve that does not match its record's checksum is left out, and said on stderr."""
    path.parent.mkdir(parents=True, exist_ok=True)
    configs = [trained_as(store, config) for config in configs if not config.trunk]
    columns = ["step", "tokens", "flops", "loss"] + ["loss_ema"] * any(c.optim.ema for c in configs)
    lines = [",".join(("run_id", "params", *columns))]
    for config in configs:
        try:
            record = store.record(config.run_id)
            curve = store.curve(config.run_id, record) if record or so_far else []
        except StoreError as error:
            print(f"warning: {error}", file=sys.stderr)
            continue
        params = counts.count_params(config.model).params
        lines += [
            f"{config.run_id},{params},{','.join(at.get(name, '') for name in columns)}" for at in curve
        ]
    replace_file(path, "\n".join(lines) + "\n")


def provenance(commit: str) -> dict[str, Any]:
    """Where and with what a run was made: the last columns of its row."""
    import jax

    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "commit": commit,
        "code": digest(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
