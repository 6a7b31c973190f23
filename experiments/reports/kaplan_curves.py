"""What the learning curves and last weights of experiments/kaplan2020.py say: tokens to a loss, the
critical batch, the gradient noise scale, and L(N, S)."""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import fitting
from analysis.frontiers.minima import akima
from analysis.laws import BatchSteps, KaplanSteps
from analysis.tables import table
from experiments.reports import tables
from lab.models import counts
from lab.store.files import StoreError
from lab.store.store import Store
from lab.trained import noise, weights


def tokens_to(curves: table.Runs, run_id: str, level: float) -> float:
    """Tokens at which a run's curve first falls to a loss; NaN where it never does."""
    mine = curves.column("run_id") == run_id
    tokens, loss = curves.tokens[mine], curves.loss[mine]
    below = np.flatnonzero(loss <= level)
    if not len(below) or not below[0]:
        return float("nan")
    at = np.geomspace(tokens[below[0] - 1], tokens[below[0]], 200)
    read = np.exp(akima(np.log(tokens), np.log(loss), np.log(at)))
    return float(at[np.argmax(read <= level)])


@dataclass(frozen=True)
class Efficiency:
    """How many tokens each size needs to come down to some losses."""

    params: np.ndarray
    levels: tuple[float, ...]
    tokens: np.ndarray  # (levels, sizes), NaN where a size never gets there

    @property
    def lines(self) -> list[str]:
        lines = []
        for level, row in zip(self.levels, self.tokens, strict=True):
            there = np.isfinite(row)
            first, last = row[there][0], row[there][-1]
            lines.append(
                f"loss {level:.2f}: N={self.params[there][0]:,.0f} needs {first:,.0f} tokens, "
                f"N={self.params[there][-1]:,.0f} {last:,.0f} ({first / last:.2g} times fewer)"
            )
        return lines


def efficiency(rows: table.Runs, curves: table.Runs) -> Efficiency:
    """At the final losses of the three smallest sizes."""
    order = np.argsort(rows.params)
    names, params = rows.column("run_id")[order], rows.params[order]
    levels = tuple(float(loss) * 1.0001 for loss in rows.loss[order][:3])
    tokens = [[tokens_to(curves, name, level) for name in names] for level in levels]
    return Efficiency(params, levels, np.array(tokens))


LEVELS = (1.0, 1.05, 1.1, 1.15, 1.2, 1.3)  # times the least loss that every batch's run reached
EARLY = 0.1  # of its tokens: a curve's first tenth is still warming up
NOISE = (
    "run_id",
    "part",
    "params",
    "tokens",
    "batch_tokens",
    "loss",
    "noise_scale",
    "noise_low",
    "noise_high",
    "noise_tokens",
)


@dataclass(frozen=True)
class CriticalBatch:
    """Updates and tokens to one loss by batch, and the law through them."""

    loss: float  # nats per token
    batch: np.ndarray  # tokens an update
    steps: np.ndarray
    fitted: fitting.Fit

    @property
    def determined(self) -> bool:
        """Whether the runs bound the critical batch on both sides."""
        low, high = self.fitted.interval("B_crit")
        return self.fitted.status == "ok" and low > 0 and bool(np.isfinite(high))

    @property
    def summary(self) -> str:
        law = self.fitted.law
        low, high = self.fitted.interval("B_crit")
        start = f"critical batch at loss {self.loss:.2f}:"
        if not self.determined:
            return f"{start} NOT determined ({low:,.0f}, {high:,.0f}) [{self.fitted.status}]"
        return (
            f"{start} {law.B_crit:,.0f} tokens ({low:,.0f}, {high:,.0f}); at least {law.S_min:,.0f}"
            f" updates, or {law.S_min * law.B_crit:,.0f} tokens, each without end of the other"
        )


def critical_batches(rows: table.Runs, curves: table.Runs) -> list[CriticalBatch]:
    """To the least loss that every batch's run reached, and to some above it."""
    names, batch = rows.column("run_id"), rows.column("batch_tokens").astype(float)
    least = max(curves.loss[curves.column("run_id") == name].min() for name in names) * 1.0001
    return [at_level(level * least, names, batch, curves) for level in LEVELS]


def growth(batches: list[CriticalBatch]) -> str:
    """Between the highest and the lowest loss at which the critical batch is determined."""
    determined = [batch for batch in batches if batch.determined]
    if not determined:
        return "the critical batch is determined at no loss"
    ends = [
        f"{batch.fitted.law.B_crit:,.0f} tokens ({low:,.0f}, {high:,.0f}) at loss {batch.loss:.2f}"
        for batch in (determined[-1], determined[0])
        for low, high in [batch.fitted.interval("B_crit")]
    ]
    return "critical batch: " + ", ".join(dict.fromkeys(ends))


def at_level(level: float, names: np.ndarray, batch: np.ndarray, curves: table.Runs) -> CriticalBatch:
    tokens = np.array([tokens_to(curves, name, level) for name in names])
    there = np.isfinite(tokens)  # a large batch's first point may lie below a high loss
    batch, steps = batch[there], (tokens / batch)[there]
    points = table.from_columns(f"updates to {level:.3f}", batch_tokens=batch, steps=steps)
    fitted = fitting.fit(BatchSteps, points, objective="ls-log")
    return CriticalBatch(level, batch, steps, fitting.intervals(fitted))


def along_curves(rows: table.Runs, curves: table.Runs) -> fitting.Fit:
    """L(N, S) through the learning curves of the sizes, which share batch and number of updates:
    updates at that batch stand for the paper's S_min. Without each curve's first tenth."""
    params = dict(zip(rows.column("run_id"), rows.params, strict=True))
    length = dict(zip(rows.column("run_id"), rows.tokens, strict=True))
    names = curves.column("run_id")
    late = np.array(
        [
            name in length and tokens >= EARLY * length[name]
            for name, tokens in zip(names, curves.tokens, strict=True)
        ]
    )
    points = table.from_columns(
        "learning curves",
        run_id=names[late],
        loss=curves.loss[late],
        params=np.array([params[name] for name in names[late]]),
        steps=curves.column("step")[late].astype(float),
    )
    return fitting.intervals(fitting.fit(KaplanSteps, points))


def describe_law(fitted: fitting.Fit) -> str:
    (n_low, n_high), (s_low, s_high) = fitted.interval("alpha_N"), fitted.interval("alpha_S")
    return (
        f"L(N, S): alpha_N {fitted.law.alpha_N:.3f} ({n_low:.3f}, {n_high:.3f}), alpha_S "
        f"{fitted.law.alpha_S:.3f} ({s_low:.3f}, {s_high:.3f}), off by {100 * fitted.rmse:.1f} % "
        f"along {len(set(fitted.runs.column('run_id')))} curves [{fitted.status}]"
    )


@dataclass(frozen=True)
class Noise:
    """Gradient noise scales at the ends of runs, rising in loss, (R,) each; tokens."""

    parts: np.ndarray  # which part of the grid a run is of; only `batches` end at a full rate
    loss: np.ndarray
    tokens: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def summary(self) -> str:
        full = self.parts == "batches"
        if not len(self.loss):
            return "gradient noise scale: not measured"
        ranges = [
            f"{self.tokens[here].min():,.0f} to {self.tokens[here].max():,.0f} tokens {words} "
            f"({here.sum()} runs)"
            for here, words in ((full, "at a constant rate"), (~full, "after a cosine's decay"))
            if here.any()
        ]
        return "gradient noise scale: " + ", ".join(ranges)


def measure_noise(store: Store, rows: dict[str, table.Runs], path: Path, kept: Path) -> Noise:
    """Noise scales of a table's runs, by part, but for the shapes', into `path`. What stands there,
    or in the `kept` table, is not measured again; a run without weights is left out, and said."""
    known = {line["run_id"]: line for each in (kept, path) for line in tables.lines_of(each)}
    part_of = {run_id: part for part in rows if part != "shapes" for run_id in rows[part].column("run_id")}
    for run_id, part in part_of.items():
        if run_id not in known:
            known[run_id] = noise_of_run(store, run_id, part)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, NOISE, lineterminator="\n")
        writer.writeheader()
        writer.writerows(known[run_id] for run_id in part_of if known[run_id])
    return read_noise(path)


def noise_of_run(store: Store, run_id: str, part: str) -> dict:
    try:
        run = weights.read(store, run_id)
    except StoreError as error:
        print(f"noise scale left out: {error}", file=sys.stderr)
        return {}
    scale = noise.noise_scale(run.config, run.params, run.corpus())
    config, size = run.config, counts.count_params(run.config.model).params
    tokens = (round(value, 1) for value in (scale.tokens, scale.low, scale.high))
    values = (run_id, part, size, config.tokens, config.batch_tokens, run.record["loss"], *tokens)
    return dict(zip(NOISE, (*values, scale.used), strict=True))


def read_noise(path: Path) -> Noise:
    lines = sorted(tables.lines_of(path), key=lambda line: float(line["loss"]))
    column = lambda name: np.array([float(line[name]) for line in lines])  # noqa: E731
    return Noise(
        np.array([line["part"] for line in lines]),
        column("loss"),
        column("noise_scale"),
        column("noise_low"),
        column("noise_high"),
    )
