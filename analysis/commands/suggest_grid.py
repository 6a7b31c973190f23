"""Suggested runs as a file that `lab run` takes, with the settings of the table's runs."""

import math
from pathlib import Path

import numpy as np

from analysis.decisions.suggest import Suggestion
from analysis.tables import Runs
from analysis.tables.kinds import distinct

SHAPE = ("n_layer", "d_model", "n_head")
MODEL = "norm position activation tied parameterization dtype kind".split()
OPTIM = "optimizer weight_decay beta1 beta2 clip schedule".split()
OPTIM += "warmup_fraction cooldown_fraction final_fraction".split()
RATE = 0.01  # of a table that tells none, carried as size^-0.4
FILE = '''"""Runs that `analysis suggest` adds to {source}, for {asked}."""

from lab import corpora
from lab.config import ModelConfig, OptimConfig, RunConfig

CORPUS, TOKENIZER, EPOCHS = "{corpus}", "{tokenizer}", {epochs}{check}
MODEL = {model!r}
OPTIM = {optim!r}
BATCH_TOKENS = {batch}
CELLS = [  # layers, width, heads, tokens, learning rate, seed
{cells}
]


def runs():
    corpus = corpora.prepare(CORPUS, TOKENIZER)
    data, vocab = corpus.data(max_epochs=EPOCHS), corpus.vocab_size
    return [
        RunConfig(
            model=ModelConfig(n_layer=layers, d_model=width, n_head=heads, vocab_size=vocab, **MODEL),
            optim=OptimConfig(learning_rate=rate, **OPTIM),
            data=data,
            tokens=tokens,
            batch_tokens=BATCH_TOKENS,
            seed=seed,
            data_seed=seed,
        )
        for layers, width, heads, tokens, rate, seed in CELLS
    ]
'''


def grid_file(path: str, runs: Runs, suggestion: Suggestion) -> None:
    """Write the grid.

    Raises:
      ValueError: the name is of no Python file.
    """
    if not path.endswith(".py"):
        raise ValueError(f"-o {path}: a grid is a Python file; name it FILE.py")
    known = all(name in runs.columns for name in SHAPE) and not runs.has("kind_file")
    corpus, length = one(runs, "corpus") if known else None, one(runs, "seq_len")
    batch = int(one(runs, "batch_tokens") or 1024)
    model = {"seq_len": int(length or 64)} | constants(runs, MODEL)
    cells = [
        (*shape(runs, n), whole(d, batch), rate(runs, n, d), int(k) + first_seed(runs, n, d))
        for n, d, k in zip(suggestion.params, suggestion.tokens, suggestion.repeat, strict=True)
    ]
    text = FILE.format(
        source=Path(str(runs.source)).name,
        asked=suggestion.asked,
        corpus=str(corpus or "shakespeare"),
        tokenizer=str(one(runs, "tokenizer") or "bytes"),
        epochs=epochs(runs, suggestion),
        check="" if corpus else "  # the table names none: set yours",
        model=model,
        optim=constants(runs, OPTIM),
        batch=batch,
        cells="\n".join(f"    {cell!r}," for cell in sorted(set(cells))),
    )
    Path(path).write_text(text, encoding="utf-8")


def one(runs: Runs, name: str):
    """The one value of a column; None where it has several, or is not there."""
    if name not in runs.columns:
        return None
    column = runs.columns[name]
    return column[0] if len(distinct(column)) == 1 else None


def constants(runs: Runs, names: list[str]) -> dict:
    values = {name: one(runs, name) for name in names}
    plain = {name: plain_value(value) for name, value in values.items() if value is not None}
    return {name: value for name, value in plain.items() if value != ""}


def plain_value(value):
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else float(value)
    return {"True": True, "False": False}.get(str(value), str(value))


def shape(runs: Runs, params: float) -> tuple[int, int, int]:
    """(layers, width, heads) of the table's size nearest to `params`, or of a usual Transformer."""
    if all(name in runs.columns for name in SHAPE):
        near = int(np.abs(np.log(runs.params / params)).argmin())
        return tuple(int(runs.columns[name][near]) for name in SHAPE)
    layers = max(1, round(0.5 * params**0.17))
    width = max(8, 8 * round((params / 12 / layers) ** 0.5 / 8))
    return layers, width, max(1, next(h for h in range(max(1, width // 64), 0, -1) if width % (2 * h) == 0))


def rate(runs: Runs, params: float, tokens: float) -> float:
    """The learning rate of the table's run nearest in size, then in length."""
    name = next((name for name in ("learning_rate", "lr") if runs.has(name)), "")
    if not name or runs.column(name).dtype == object:
        return float(f"{RATE * (params / 1e4) ** -0.4:.4g}")
    size = np.round(np.abs(np.log(runs.params / params)), 3)
    order = np.lexsort((np.abs(np.log(runs.tokens / tokens)), size))
    return float(f"{runs.column(name)[order[0]]:.6g}")


def first_seed(runs: Runs, params: float, tokens: float) -> int:
    """The first seed that no run of this cell has."""
    if not runs.has("seed") or runs.column("seed").dtype == object:
        return 0
    gap = np.abs(np.log(runs.params / params)) + np.abs(np.log(runs.tokens / tokens))
    used = runs.column("seed")[gap < 0.02]
    return int(np.nanmax(used, initial=-1)) + 1


def whole(tokens: float, batch: int) -> int:
    return max(1, round(tokens / batch)) * batch


def epochs(runs: Runs, suggestion: Suggestion) -> float:
    """That hold the longest run, where the table counts unique tokens; else one."""
    unique = unique_tokens(runs)
    return float(max(1, math.ceil(suggestion.tokens.max() / unique))) if unique else 1.0


def unique_tokens(runs: Runs) -> float | None:
    """Tokens of the table's text, where it counts them."""
    unique = one(runs, "unique_tokens")
    if unique is None and runs.has("epochs"):
        unique = float(np.nanmedian(runs.tokens / runs.column("epochs")))
    return unique if isinstance(unique, float | np.floating) and unique > 0 else None
