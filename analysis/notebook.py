"""What a notebook needs beside fits and frontiers: tables from anywhere, and the figure of a result."""

from collections.abc import Mapping
from pathlib import Path

from analysis.fitting import Fit
from analysis.frontiers import Cost, Envelope, Frontier, Isoflop, from_envelope, from_fit, from_isoflop
from analysis.tables import Runs, table


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
    names = list(source) if isinstance(source, Mapping) else list(source.columns)
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
    return makers[type(result)](result, cost)


def figure(result: Fit | Isoflop | Envelope | Frontier):
    """The Matplotlib figure of a result: a law over its runs, valleys, curves, or a frontier."""
    from analysis import figures

    if isinstance(result, Fit):
        return figures.plot_fit(result)
    if isinstance(result, Frontier):
        return figures.plot_frontier(result)
    plot = figures.plot_isoflop if isinstance(result, Isoflop) else figures.plot_envelope
    return plot(result, frontier(result))
