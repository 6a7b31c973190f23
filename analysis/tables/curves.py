"""Training curves as a table: which rows are one run, and what its run table says of it."""

from dataclasses import replace

import numpy as np

from analysis.tables.runs import Runs

RUN = ("run_id", "run", "run_name", "id")
SAME = 1e-3  # how far the params of one curve may differ


def run_names(curves: Runs, column: str | None = None) -> np.ndarray:
    """Which run each row is of, as text (R,).

    Raises:
      ValueError: no column names the run.
    """
    found = column or next((name for name in RUN if curves.has(name)), None)
    if found is None or not curves.has(found):
        raise ValueError(
            f"{curves.source}: no column {found or 'that names the run'} (looked for "
            f"{', '.join(RUN)}); the columns are {', '.join(curves.columns)}; name it with "
            "--run-id COL"
        )
    values = curves.column(found)
    if values.dtype != object:
        values = [f"{value:.15g}" for value in values]
    return np.array([str(value) for value in values], object)


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
    reasons = curves.reasons.copy()
    for i in range(len(ids)):
        if reasons[i] == "" and at[i] < 0:
            reasons[i] = f"its run is not in {runs.source}"
        elif reasons[i] == "" and runs.reasons[at[i]]:
            reasons[i] = f"its run is flagged in {runs.source}: {runs.reasons[at[i]]}"
    found = replace(
        curves,
        reasons=reasons,
        notes=tuple(note for note in curves.notes if not note.startswith(("params =", "flops =", "flops/"))),
    )
    there = np.where(at < 0, 0, at)
    source = f"of each run in {runs.source}"
    said = [note for note in runs.notes if note.startswith(("params =", "flops =", "flops/"))]
    found = found.with_column("params", runs.params[there], f"those {source}")
    per_token = (runs.flops / runs.tokens)[there]
    found = found.with_column("flops", found.tokens * per_token, f"tokens · those per token {source}")
    return replace(found, notes=(*found.notes, *said))


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
