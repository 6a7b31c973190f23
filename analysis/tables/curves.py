"""Training curves as a table: which rows are one run, and what its run table says of it."""

from dataclasses import replace

import numpy as np

from analysis.tables.headers import RUN_IDS
from analysis.tables.runs import Runs

SAME = 1e-3  # how far the params of one curve may differ


def run_names(curves: Runs, column: str | None = None) -> np.ndarray:
    """Which run each row is of, as text (R,).

    Raises:
      ValueError: no column names the run.
    """
    name = column or next((name for name in RUN_IDS if curves.has(name)), None)
    if name is None or not curves.has(name):
        raise ValueError(
            f"{curves.source}: no column {name or 'that names the run'} (looked for "
            f"{', '.join(RUN_IDS)}); the columns are {', '.join(curves.columns)}; name it with "
            "--run-id COL"
        )
    return curves.labels(name)


def join_counts(curves: Runs, runs: Runs, column: str | None = None) -> Runs:
    """Curves with params, and flops per token, of each run as its run table counts them.

    A curve's rows are flagged when its run is, or is not in the table.

    Raises:
      ValueError: no run is in both, or the table holds a run twice.
    """
    ids, known = run_names(curves, column), run_names(runs, column)
    place = {name: i for i, name in enumerate(known)}
    if len(place) < len(known):
        twice = next(name for i, name in enumerate(known) if place[name] != i)
        raise ValueError(f"{runs.source}: run {twice} has more than one row; keep one of them with --where")
    at = np.array([place.get(name, -1) for name in ids])
    if (at < 0).all():
        raise ValueError(
            f"no run of {curves.source} is in {runs.source}: the first is {ids[0]} here and "
            f"{known[0]} there; both must name their runs alike"
        )
    flags = [f"its run is flagged in {runs.source}: {reason}" if reason else "" for reason in runs.reasons]
    flags = np.array([*flags, f"its run is not in {runs.source}"], object)[at]  # the last for -1
    about_counts = ("params =", "flops =", "flops/")
    kept = [note for note in curves.notes if not note.startswith(about_counts)]
    joined = replace(curves, reasons=np.where(curves.reasons == "", flags, curves.reasons), notes=tuple(kept))
    source = f"of each run in {runs.source}"
    joined = joined.with_column("params", runs.params[at], f"those {source}")
    per_token = (runs.flops / runs.tokens)[at]
    joined = joined.with_column("flops", curves.tokens * per_token, f"tokens · those per token {source}")
    further = [note for note in runs.notes if note.startswith(about_counts)]
    return replace(joined, notes=(*joined.notes, *further))


def check_sizes(curves: Runs, ids: np.ndarray) -> None:
    """Refuse a run whose rows hold several sizes: a curve is one model's."""
    for name in dict.fromkeys(ids):
        params = curves.params[ids == name]
        if params.max() > params.min() * (1 + SAME):
            raise ValueError(
                f"{curves.source}: run {name} has params from {params.min():.6g} to "
                f"{params.max():.6g}; a curve is one model's. Give its size in a column of its "
                "own, or a run table with --runs, as flops/(6·tokens) need not be one number"
            )
