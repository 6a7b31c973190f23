"""Runs that differ only in seed: what makes them alike, their mean, and the noise between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.laws import Array
from analysis.tables import headers
from analysis.tables.kinds import combined, earliest
from analysis.tables.roles import counts
from analysis.tables.runs import Runs
from analysis.tables.units import kind

# columns that may differ between replicates: seeds, what came out, and where it ran
OUTCOMES = (
    "run_id seed data_seed init_seed row status loss loss_se loss_ema loss_unit bits_per_byte perplexity "
    "train_loss held_out_tokens seconds wall_seconds io_seconds compile_seconds tokens_per_second "
    "flops_utilization devices device way host hostname python jax commit code version versions schema "
    "created started finished asked_for reason init_from flops_spent"
).split()
SEEDS = ("seed", "data_seed", "init_seed")
TWICE = 0.03  # in ln params: sizes closer than this are one size read twice


@dataclass(frozen=True)
class Noise:
    """Of log loss between runs that differ only in seed: its standard deviation (NaN where none is
    known), its degrees of freedom, where it is from, and in how many cells such runs were seen."""

    sigma: float
    freedom: int
    source: str
    cells: int = 0

    def doubt(self, rng: np.random.Generator, draws: int) -> Array | float:
        """(draws, 1) factors of a sigma that is itself known only as well as its runs allow: Student's t,
        shared by a draw."""
        return np.sqrt(self.freedom / rng.chisquare(self.freedom, (draws, 1))) if self.freedom else 1.0


@dataclass(frozen=True, eq=False)
class Sizes:
    """A budget's sizes, (n,) each, in rising order: log params, log loss, and the runs averaged."""

    log_params: Array
    log_loss: Array
    repeats: Array


def replicates(rows: Runs) -> tuple[Array, Array, Array, Array]:
    """(count, mean, sum of squares about it, first row), each (kinds,), of the log losses of rows
    that are equal but for their seed: in every column that is no outcome. Rows of one seed, as of one run
    under two versions of the code, count once, by their mean. Without a seed column each row is a kind."""
    seeds = headers.find_all(rows.columns, (*SEEDS, *headers.SEEDS))
    skip = {*OUTCOMES, *seeds, rows.roles.get("loss", "loss"), *losses_of_parts(rows), *measured(rows)}
    code, log_loss = np.arange(len(rows)), np.log(rows.loss)
    if seeds:
        code = combined((column for name, column in rows.columns.items() if name not in skip), len(rows))
        drawn = combined((code, *(rows.columns[name] for name in seeds)), len(rows))
        _, one, run = np.unique(earliest(drawn), return_index=True, return_inverse=True)
        log_loss, code = np.bincount(run, log_loss) / np.bincount(run), earliest(code)[one]
    else:
        one = np.arange(len(rows))
    _, first, kind = np.unique(code, return_index=True, return_inverse=True)
    first = one[first]
    count = np.bincount(kind)
    mean = np.bincount(kind, log_loss) / count
    squares = np.bincount(kind, (log_loss - mean[kind]) ** 2)
    return count, mean, squares, first


def measured(rows: Runs) -> set[str]:
    """The columns that name a run, say when or how fast it ran, or measure it, as another loss does."""
    found = set(headers.find_all(rows.columns, headers.RUN_IDS))
    for name, column in rows.columns.items():
        words = headers.parse(name).words
        measure = column.dtype != object and (counts("loss", name) or kind(words))
        if measure or words.endswith("_at") or words.rpartition("_")[2] in headers.WHEN:
            found.add(name)
    return found


def losses_of_parts(rows: Runs) -> set[str]:
    """The columns of a mixture's parts, as `lab export` writes them: loss_NAME beside loss_se_NAME."""
    errors = {name for name in rows.columns if name.startswith("loss_se_")}
    return errors | {name.replace("loss_se_", "loss_", 1) for name in errors}


def average_sizes(rows: Runs, notes: list[str]) -> Sizes:
    """One entry a size; `notes` gains what was done to get there.

    Rows equal but for their seed are averaged; of other rows of one size the best counts. Sizes
    within 3 % are one size read twice, and averaged: a curve through both would swing wildly.
    """
    log_params, size = np.unique(np.log(rows.params), return_inverse=True)
    count, mean, _, first = replicates(rows)
    order = np.lexsort((mean, size[first]))  # by size, the best kind first
    at, chosen = np.unique(size[first][order], return_index=True)
    if len(at) < len(order):
        notes.append("where runs of one size differ in more than their seed, the best counts")
    best = order[chosen]
    x, y, repeats = log_params[at], mean[best], count[best]
    label, start = np.zeros(len(x), int), x[0]
    for i in range(1, len(x)):
        new = x[i] - start > TWICE
        label[i] = label[i - 1] + new
        start = x[i] if new else start
    if label[-1] + 1 < len(x):
        notes.append("sizes within 3 % of each other are averaged")
    total = np.bincount(label, repeats)
    x, y = (np.bincount(label, repeats * values) / total for values in (x, y))
    return Sizes(x, y, total)


def seed_noise(budgets: Iterable[Runs]) -> Noise:
    """Of log loss between runs equal but for their seed."""
    squares, freedom, cells = 0.0, 0, 0
    for rows in budgets:
        count, _, within, _ = replicates(rows)
        squares += float(within[count > 1].sum())
        freedom += int((count - 1).sum())
        cells += int((count > 1).sum())
    sigma = float(np.sqrt(squares / freedom)) if freedom else np.nan
    where = f"{cells} cell{'s' * (cells > 1)}"
    return Noise(sigma, freedom, f"{freedom + cells} runs in {where} that differ only in seed", cells)


def estimate_noise(budgets: Iterable[Runs], sizes: Sequence[Sizes], window: float) -> Noise:
    """From replicate seeds; where there are none, from what each valley leaves about a cubic."""
    seeds = seed_noise(budgets)
    if seeds.freedom:
        return seeds
    squares, freedom = 0.0, 0
    for size in sizes:
        x, y = size.log_params, size.log_loss
        near = np.abs(x - x[np.argmin(y)]) <= 1.5 * window
        if near.sum() >= 5:
            u = x[near] - x[near].mean()
            gap = y[near] - np.polyval(np.polyfit(u, y[near], 3), u)
            squares += float(size.repeats[near] @ gap**2)
            freedom += int(near.sum()) - 4
    if freedom:
        sigma = float(np.sqrt(squares / freedom))
        return Noise(sigma, freedom, "residuals of cubics through the valleys")
    return Noise(float("nan"), 0, "no replicate seeds, and too few sizes to see noise: no interval")
