"""Which code a run's numbers come from: a digest of the files that compute them and of their libraries.

A run_id names a config, not the code that trained it. Two runs of one id and of another digest may differ
in their numbers; the record keeps the digest, and a table that mixes several draws a caution.
"""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lab.config.userfile import essential

TRAIN = ("step", "objectives", "optimizers", "schedule", "parallel", "mesh", "layout", "evaluate")
DATA = ("batches", "mixtures")
NUMERIC = ("models/*.py", *(f"data/{name}.py" for name in DATA), *(f"train/{name}.py" for name in TRAIN))
APART = ("counts.py", "traced.py")  # count FLOPs and change no number of a run
LIBRARIES = ("jax", "jaxlib", "flax", "optax")


@cache
def digest(root: Path = Path(__file__).parents[1]) -> str:
    """First 12 hex digits of the SHA-256 of the numeric code, comments, docstrings and layout aside, and of
    versions of the libraries it calls."""
    paths = sorted(path for pattern in NUMERIC for path in root.glob(pattern) if path.name not in APART)
    parts = [f"{path.relative_to(root)}\n{essential(path.read_text())}" for path in paths]
    parts += [f"{library} {version(library)}" for library in LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
