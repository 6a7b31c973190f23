"""Fits scaling laws to any table of (params, tokens, loss). Never imports `lab` or jax.

In a notebook these names are all it takes (docs/python.md): `read`, `fit`, `intervals`, `predict`,
`find_optima`, `trace_envelope`, `frontier`, `figure`, `answer`, `plan`, `audit`, `compare`, and `LAWS`.
They are imported when first used, so that `import analysis` costs nothing.
"""

from importlib import import_module

HOMES = {
    "read": "notebook",
    "fit": "fitting",
    "intervals": "fitting",
    "predict": "fitting",
    "find_optima": "frontiers",
    "trace_envelope": "frontiers",
    "frontier": "notebook",
    "figure": "notebook",
    "answer": "notebook",
    "plan": "notebook",
    "compare": "notebook",
    "LAWS": "laws",
}


def __getattr__(name: str):
    if name == "audit":  # the package, which can be called
        return import_module("analysis.audit")
    if name in HOMES:
        return getattr(import_module(f"analysis.{HOMES[name]}"), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES, "audit"})
