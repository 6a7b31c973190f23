"""Trains grids of small language models and keeps every run. Knows nothing of fitting.

`from lab import corpora, grid` is what an experiment needs, `lab.load(store)` what a notebook does: a table
of finished runs (docs/python.md). They are imported when first asked for.
"""

from importlib import import_module

HOMES = {"corpora": "lab.data.corpora", "grid": "lab.plan.grid"}


def __getattr__(name: str):
    if name == "load":
        return import_module("lab.store.table").load
    if name in HOMES:
        return import_module(HOMES[name])
    raise AttributeError(f"module 'lab' has no attribute {name!r}")
