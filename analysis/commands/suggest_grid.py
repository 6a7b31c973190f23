"""Suggested runs as a file that `lab run` takes, with the settings of the table's runs."""

import math
from itertools import count
from pathlib import Path

import numpy as np

from analysis.decisions.suggest import Suggestion
from analysis.tables import Runs, headers
from analysis.tables.kinds import distinct

SHAPE = ("n_layer", "d_model", "n_head")
HEAD = 128  # width of a head, at most
MODEL = "norm position activation tied parameterization dtype kind".split()
OPTIM = "optimizer weight_decay beta1 beta2 clip schedule".split()
OPTIM += "warmup_fraction cooldown_fraction final_fraction".split()
RATE = 0.01  # of a table that tells none, carried as size^-0.4
SET = '  # SET THIS to your text, such as "text:books/*.txt": the table names none that `lab` knows'
FILE = '''"""Runs that `analysis suggest` adds to {source}, for {asked}."""

from lab import corpora
from lab.config import ModelConfig, OptimConfig, RunConfig

CORPUS = "{corpus}"{corpus_check}
TOKENIZER, EPOCHS = "{tokenizer}", {epochs}
MODEL = {model!r}
OPTIM = {optim!r}
BATCH_TOKENS = {batch}{batch_check}
CELLS = [  # layers, width, heads, tokens, learning rate{rate_check}, seed
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


def grid_file(path: str, runs: Runs, suggestion: Suggestion) -> bool:
    """Write the grid. Returns whether its corpus is the table's; else the file asks for one.

    Raises:
      ValueError: the name is of no Python file.
    """
    if not path.endswith(".py"):
        raise ValueError(f"-o {path}: a grid is a Python file; name it FILE.py")
    known = all(name in runs.columns for name in SHAPE) and not runs.has("kind_file")
    corpus = one(runs, "corpus") if known else None
    length = int(one(runs, headers.find(runs.columns, headers.CONTEXT) or "") or 64)
    batch = one(runs, "batch_tokens")
    batch_tokens = int(batch or length * max(1, 1024 // length))
    cells = [
        (*shape(runs, n), whole(d, batch_tokens), rate(runs, n, d), int(k) + first_seed(runs, n, d))
        for n, d, k in zip(suggestion.params, suggestion.tokens, suggestion.repeat, strict=True)
    ]
    text = FILE.format(
        source=Path(str(runs.source)).name,
        asked=suggestion.asked,
        corpus=str(corpus or "set-your-corpus"),
        corpus_check="" if corpus else SET,
        tokenizer=str(one(runs, "tokenizer") or "bytes"),
        epochs=epochs(runs, suggestion),
        model={"seq_len": length} | constants(runs, MODEL),
        optim=constants(runs, OPTIM),
        batch=batch_tokens,
        batch_check="" if batch else "  # the table names none: set yours",
        rate_check="" if len(rates(runs)) else " (the table names none: set yours)",
        cells="\n".join(f"    {cell!r}," for cell in sorted(set(cells))),
    )
    Path(path).write_text(text, encoding="utf-8")
    return bool(corpus)


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
    known = (headers.DEPTHS, headers.WIDTHS, headers.HEADS)
    columns = [numeric(runs, names) for names in known]
    if all(map(len, columns)):
        gap = np.abs(np.log(runs.params / params))
        whole_rows = np.isfinite(columns).all(0)
        if whole_rows.any():
            near = int(np.where(whole_rows, gap, np.inf).argmin())
            return tuple(int(column[near]) for column in columns)
    layers = max(1, round(0.5 * params**0.17))
    near = 8 * round((params / 12 / layers) ** 0.5 / 8)
    widths = (near + sign * 8 * step for step in count() for sign in (-1, 1))
    width = next(width for width in widths if width >= 8 and width <= HEAD * heads_of(width))
    return layers, width, heads_of(width)


def heads_of(width: int) -> int:
    """The most heads of 64 or wider, and of an even width, that a width splits into."""
    return next(h for h in range(max(1, width // 64), 0, -1) if width % (2 * h) == 0)


def numeric(runs: Runs, names) -> np.ndarray:
    """The column of numbers whose header is first among `names`, however a tracker writes it; empty where
    there is none."""
    found = (runs.column(name) for name in headers.find_all(runs.columns, names) if runs.has(name))
    return next((column for column in found if column.dtype != object), np.empty(0))


def rates(runs: Runs) -> np.ndarray:
    return numeric(runs, headers.ALL_RATES)


def rate(runs: Runs, params: float, tokens: float) -> float:
    """The learning rate of the table's run nearest in size, then in length, of those that tell theirs."""
    column = rates(runs)
    told = np.isfinite(column)
    if not told.any():
        return float(f"{RATE * (params / 1e4) ** -0.4:.4g}")
    size = np.round(np.abs(np.log(runs.params / params)), 3)
    order = np.lexsort((np.abs(np.log(runs.tokens / tokens)), size, ~told))
    return float(f"{column[order[0]]:.6g}")


def first_seed(runs: Runs, params: float, tokens: float) -> int:
    """The first seed that no run of this cell has."""
    seeds = numeric(runs, ["seed"])
    if not len(seeds):
        return 0
    gap = np.abs(np.log(runs.params / params)) + np.abs(np.log(runs.tokens / tokens))
    used = seeds[gap < 0.02]
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
