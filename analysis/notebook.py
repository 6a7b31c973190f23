"""What a notebook needs beside fits and frontiers: tables from anywhere, and the figure of a result."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.decisions import Answer, ladders, least_compute, least_loss
from analysis.decisions.compare import Comparison
from analysis.decisions.compare import compare as multiples
from analysis.decisions.fairness import comparable
from analysis.fitting import Fit, intervals
from analysis.frontiers import (
    Cost,
    Envelope,
    Frontier,
    Isoflop,
    fit_cost,
    from_envelope,
    from_fit,
    from_isoflop,
)
from analysis.headline import Headline, choose
from analysis.tables import Runs, table
from analysis.tables.identity import final_rows


def read(source, *, where: str | None = None, **roles: str | None) -> Runs:
    """A table of runs from a file, or from columns in memory.

    Args:
      source: a path (csv, json, jsonl; docs/tables.md); or columns by name, (R,) each, in a dict or a
        data frame (pandas, polars: anything with `columns` and `[name]`).
      where: rows to use, as in "loss < 4 and tag == 'hot'".
      roles: which column holds params, tokens, flops (counts), loss (nats/token) or budget, where
        its name does not say so: read(frame, loss="eval/loss").

    Raises:
      ValueError: what was found where, and what to do.
    """
    if isinstance(source, str | Path):
        return table.read(source, where=where, **roles)
    names = source if isinstance(source, Mapping) else getattr(source, "columns", None)
    if names is None:
        raise ValueError(
            f"a {type(source).__name__} names no columns; give a path, a dict of columns or a frame"
        )
    return table.from_mapping({str(name): source[name] for name in names}, where=where, **roles)


def frontier(result: Fit | Isoflop | Envelope, cost: Cost | None = None) -> Frontier:
    """The compute-optimal frontier of a fit (approach 3 of Hoffmann et al. 2022), of isoFLOP valleys
    (`find_optima`, approach 2) or of an envelope (`trace_envelope`, approach 1).

    Args:
      result: what the frontier is made from.
      cost: flops of params and tokens; by default the table's own.

    Raises:
      ValueError: the fitted law lacks its optimum along a budget, or its exponents.
    """
    makers = {Fit: from_fit, Isoflop: from_isoflop, Envelope: from_envelope}
    return makers[kind_of(result, makers, "frontier")](result, cost)


def answer(*frontiers: Frontier) -> Headline | None:
    """The one answer of several frontiers of a table, as commands and page give it (docs/decisions.md); it
    prints with its interval, how sure it is, what would make it surer. None where none has an exponent."""
    return choose(frontiers)


def compare(
    baseline,
    arm,
    *,
    names: tuple[str, str] = ("baseline", "arm"),
    at: Sequence[float] = (),
    fixed: Mapping[str, float] | None = None,
    draws: int = 2000,
    seed: int = 0,
    anyway: bool = False,
) -> Comparison:
    """How many times the baseline's compute an arm is worth, as `analysis compare` says it (docs/compare.md).

    Args:
      baseline, arm: `Runs` with params, tokens, flops and loss of ladders at equal compute, or whatever
        `read` takes.
      names: what they are called.
      at: FLOPs at which it is told too, beyond the runs also.
      fixed: E, alpha or beta, held in both arms.
      draws, seed: behind the intervals.
      anyway: compare losses of different text too, with a caution.

    Raises:
      ValueError: too few runs, or losses that do not compare, and how to mend it.
    """
    tables = (each if isinstance(each, Runs) else read(each) for each in (baseline, arm))
    runs, notes = comparable(tuple(final_rows(each) for each in tables), names, anyway=anyway)
    joined = ladders.join(*runs, names)
    joined.notes.extend(notes)
    return multiples(joined, at=at, fixed=fixed, draws=draws, seed=seed)


def plan(
    fitted: Fit, *, budget: float | None = None, target_loss: float | None = None, serve: float = 0.0
) -> Answer:
    """What to train, as `analysis decide` says it, under the table's own cost.

    Args:
      fitted: of params and tokens; a fit without draws is resampled (pairs bootstrap).
      budget, target_loss: one of them; FLOPs, or a loss in the table's unit.
      serve: tokens served over the model's life.

    Raises:
      ValueError: not one of the two, or the fit's status is not ok, or what `decide` refuses.
    """
    if (budget is None) == (target_loss is None):
        raise ValueError("name budget or target_loss, and not both")
    if fitted.status != "ok":
        raise ValueError(
            f"the fit is {fitted.status}, not ok: {fitted.message}; a plan on it would be a guess"
        )
    fitted = intervals(fitted, "pairs") if fitted.draws is None else fitted
    cost = fit_cost(fitted.runs)
    if target_loss is not None:
        return least_compute(fitted, cost, target_loss, serve)
    return least_loss(fitted, cost, budget, serve)


def figure(result: Fit | Isoflop | Envelope | Frontier | Comparison):
    """The Matplotlib figure of a result: a law over its runs, valleys, curves, a frontier, a
    comparison, or what an `Audit` tried.

    Raises:
      ValueError: a result that has none.
    """
    from analysis import figures
    from analysis.audit import Audit
    from analysis.figures.compare import plot_comparison

    plots = {
        Fit: figures.plot_fit,
        Frontier: figures.plot_frontier,
        Isoflop: lambda found: figures.plot_isoflop(found, frontier(found)),
        Envelope: lambda found: figures.plot_envelope(found, frontier(found)),
        Audit: figures.plot_audit,
        Comparison: plot_comparison,
    }
    return plots[kind_of(result, plots, "figure")](result)


def kind_of(result, makers: Mapping[type, object], what: str) -> type:
    """The class of a result, which is one of those that there is a `what` of.

    Raises:
      ValueError: it is none of them.
    """
    if type(result) not in makers:
        known = ", ".join(each.__name__ for each in makers)
        raise ValueError(f"there is no {what} of a {type(result).__name__}: of {known}")
    return type(result)
