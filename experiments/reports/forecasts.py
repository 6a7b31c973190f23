"""What predictions are sealed from: grids of small runs, and what their law says of one run far beyond."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import decisions, fitting, frontiers
from analysis.audit import audit_runs
from analysis.decisions.counted import middle
from analysis.decisions.plans import optimum
from analysis.laws.find import find_law
from analysis.tables import table
from experiments.reports.sealed import SealError
from lab.config import RunConfig
from lab.models import counts

DELTA = 1e-3  # of Huber's loss, in log loss
WITHIN = 0.02  # the error asked for, in loss; a table that cannot tell it is refused


@dataclass(frozen=True)
class Source:
    """A grid that predictions are made from."""

    name: str  # as rows of predictions.csv have it
    table: Path
    nearest: Callable[[float, float], RunConfig]  # (params, budget) -> the run of its ladder
    where: str = "budget > 0"  # the isoFLOP cells, without runs that ask something else
    beyond: float = 4.0  # times the table's largest budget
    objective: str = "huber-log"  # with delta 1e-3


@dataclass(frozen=True)
class Forecast:
    """A run to be trained and what the law says of it; losses in nats per token."""

    config: RunConfig
    fitted: fitting.Fit
    price: frontiers.Cost
    budget: float
    predicted: float
    low: float  # 95 % for one new run: the law's own doubt and the scatter of single runs
    high: float
    audited: str  # how well the table's own largest runs are forecast from the smaller ones
    refused: tuple[str, ...] = ()  # why it would not have been sealed, where it was asked for anyway


def forecast(
    source: Source, law: str = "chinchilla", within: float = WITHIN, anyway: bool = False
) -> Forecast:
    """The law of a table, the run nearest to its optimum at `beyond` times the largest budget, and
    the loss it should end at.

    Raises:
      SealError: the table cannot tell the loss there to `within`; another text; a known run.
    """
    if not source.beyond > 1:
        raise SealError(f"--beyond {source.beyond:g}: a prediction is for more than the table's compute")
    path, runs = source.table, table.read(source.table, where=source.where)
    fitted = fitting.fit(
        law if law == "auto" else find_law(law), runs, objective=source.objective, delta=DELTA
    )
    fitted = fitting.intervals(fitted, "auto")
    price = frontiers.fit_cost(runs)
    budget = source.beyond * float(np.max(runs.usable().budget))
    best = optimum(middle(fitted), price, np.array([budget])).params[0]
    config = source.nearest(float(best), budget)
    data = {str(sha256) for sha256 in runs.usable().column("data_sha256")}
    if data != {config.data.sha256}:
        raise SealError(
            f"{path} holds runs on data {', '.join(sha256[:12] for sha256 in sorted(data))}, and "
            f"{config.data.corpus!r} is here {config.data.sha256[:12]}: a law of one text says "
            "nothing of another"
        )
    if config.run_id in runs.column("run_id"):
        raise SealError(f"run {config.run_id} stands in {path}: its loss is known")
    tokens = config.steps * config.batch_tokens
    params = counts.count_params(config.model).params
    at = {"params": params, "tokens": tokens, "flops": counts.run_flops(config)}
    loss = fitting.predict(fitted, **{name: at[name] for name in type(fitted.law).inputs})
    refused = decisions.doubts(fitted, params, tokens, within)
    if refused and not anyway:
        raise SealError(
            f"{path}: not sealed, for {params:.3g} params on {tokens:.3g} tokens {'; and '.join(refused)}"
        )
    ends = (float(end[0]) for end in (loss.value, loss.run_low, loss.run_high))
    findings = audit_runs(runs, fitted=fitted, resamples=0).findings
    held = [f"{each.severity}: {each.message}" for each in findings if each.code == "hold-out"]
    audited = held[0] if held else f"none was forecast, the fit being {fitted.status}"
    return Forecast(config, fitted, price, budget, *ends, audited, tuple(refused))
