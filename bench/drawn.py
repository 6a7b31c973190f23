"""Tables of a known law, as people have them: with rows that are no results, runs of another kind under an
invented name, units, sparse and training losses, shuffled headers, rows before the end of a run."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.laws import Chinchilla

Rng = np.random.Generator


@dataclass
class Table:
    """The columns of a table on its way to a file, and the law that its good rows follow."""

    law: Chinchilla
    columns: dict[str, np.ndarray]
    roles: dict[str, str]  # params, tokens, loss -> the header that it has by now
    defects: list[str] = field(default_factory=list)
    results: np.ndarray = field(init=False)  # which rows are; the columns that they had at first
    first: tuple[np.ndarray, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.results = np.ones(len(self), bool)
        self.first = tuple(self.columns[self.roles[role]].copy() for role in ("params", "tokens", "loss"))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rename(self, role: str, header: str) -> None:
        old, self.roles[role] = self.roles[role], header
        self.columns = {header if name == old else name: cells for name, cells in self.columns.items()}

    def scale(self, rows: np.ndarray, factor: float | np.ndarray) -> None:
        """Multiply the loss of some rows."""
        loss = self.columns[self.roles["loss"]]
        loss[rows] = loss[rows] * factor

    def add_rows(self, rows: np.ndarray) -> np.ndarray:
        """Copy rows to the end; which those are now."""
        self.columns = {name: np.concatenate([c, c[rows]]) for name, c in self.columns.items()}
        self.results = np.append(self.results, np.zeros(len(rows), bool))
        return np.arange(len(self) - len(rows), len(self))


def clean(rng: Rng) -> Table:
    """A grid or a ladder of 30 to 80 runs over about two decades of each input."""
    law = Chinchilla(
        rng.uniform(1.2, 2.2),
        10 ** rng.uniform(2, 2.8),
        10 ** rng.uniform(2.3, 3.2),
        rng.uniform(0.28, 0.4),
        rng.uniform(0.28, 0.4),
    )
    sizes = np.round(
        10 ** rng.uniform(6, 8) * np.geomspace(1, 10 ** rng.uniform(1.5, 2.2), rng.integers(6, 10)), -3
    )
    ratios = np.geomspace(rng.uniform(1.5, 5), rng.uniform(80, 300), rng.integers(5, 9))
    params, ratio = (grid.ravel() for grid in np.meshgrid(sizes, ratios))
    tokens = np.round(params * ratio, -5)
    loss = law.loss(params, tokens) * np.exp(rng.uniform(1e-3, 6e-3) * rng.standard_normal(params.size))
    columns = {"params": params, "tokens": tokens, "loss": loss, "seed": rng.integers(0, 9, params.size)}
    columns["learning_rate"] = np.round(0.3 * params**-0.25, 6)
    columns["run_name"] = np.array([f"run-{i:03}" for i in range(params.size)], object)
    return Table(law, columns, {"params": "params", "tokens": "tokens", "loss": "loss"})


def words(rng: Rng, *choices: str) -> str:
    return choices[rng.integers(len(choices))]


def states(table: Table, rng: Rng) -> None:
    """Runs that ended before their end, and say so."""
    bad = rng.random(len(table)) < rng.uniform(0.05, 0.3)
    table.scale(bad, np.exp(rng.uniform(0.03, 0.4, bad.sum())))
    ends = [
        ("finished", "crashed"),
        ("COMPLETE", "PRUNED"),
        ("COMPLETED", "TIMEOUT"),
        ("done", "killed"),
        ("SUCCEEDED", "FAILED"),
    ]
    table.results &= ~bad
    good, other = ends[rng.integers(len(ends))]
    header = words(rng, "State", "state", "Status", "run_state", "trial_state", "JobState")
    table.columns[header] = np.where(bad, other, good).astype(object)


def mixed(table: Table, rng: Rng) -> None:
    """Runs of another kind, whose losses lie elsewhere, under a name that nobody knows."""
    other = rng.random(len(table)) < rng.uniform(0.25, 0.75)
    table.scale(other, np.exp(rng.choice((-1, 1)) * rng.uniform(0.02, 0.12)))
    header = words(
        rng, "flavour", "variant", "recipe", "tag", "branch", "team", "wibble", "use_foo", "site", "v"
    )
    values = [("a", "b"), ("0", "1"), ("old", "new"), ("True", "False"), ("blue", "green")]
    table.columns[header] = np.where(other, *values[rng.integers(len(values))]).astype(object)


def units(table: Table, rng: Rng) -> None:
    """Params in millions, tokens in billions, in the header or in the cells."""
    params, tokens = (table.columns[table.roles[role]] for role in ("params", "tokens"))
    if rng.random() < 0.5:
        table.columns[table.roles["params"]] = params / 1e6
        table.rename(
            "params", words(rng, "params (M)", "Params in millions", "n_params_m", "model_size_millions")
        )
        table.columns[table.roles["tokens"]] = tokens / 1e9
        table.rename(
            "tokens", words(rng, "tokens (B)", "tokens_B", "Tokens in billions", "training_tokens_b")
        )
    else:
        table.columns[table.roles["params"]] = np.array([f"{n / 1e6:.6g}M" for n in params], object)
        table.columns[table.roles["tokens"]] = np.array([f"{d / 1e9:.8g}B" for d in tokens], object)


def headers(table: Table, rng: Rng) -> None:
    """As trackers write them; with the columns in any order."""
    table.rename(
        "params",
        words(rng, "N", "n_params", "config.n_params", "Model Size", "num_parameters", "params/n_params"),
    )
    table.rename(
        "tokens", words(rng, "D", "Training Tokens", "tokens_seen", "config.train_tokens", "num_tokens")
    )
    if table.roles["loss"] == "loss":
        table.rename(
            "loss",
            words(
                rng,
                "val_loss",
                "eval/loss",
                "Final Val Loss",
                "summary.val_loss",
                "metrics.eval_loss",
                "validation loss",
            ),
        )
    order = rng.permutation(list(table.columns))
    table.columns = {name: table.columns[name] for name in order}


def sparse(table: Table, rng: Rng) -> None:
    """A second loss, on other text, and sizes without embeddings, each with a few cells."""
    few = rng.permutation(len(table)) < rng.uniform(0.02, 0.06) * len(table)
    loss = table.columns[table.roles["loss"]].astype(float)
    table.columns[words(rng, "test_loss", "loss_ood", "final_loss")] = np.where(
        few, np.round(loss * 1.3, 4), np.nan
    )
    few = rng.permutation(len(table)) < rng.uniform(0.1, 0.4) * len(table)
    counts = np.array([parse(cell) for cell in table.columns[table.roles["params"]]])
    table.columns["non_embedding_params"] = np.where(few, np.round(0.7 * counts), np.nan)


def training(table: Table, rng: Rng) -> None:
    """A training loss beside the held-out one."""
    loss = table.columns[table.roles["loss"]].astype(float)
    if table.roles["loss"] == "loss":
        table.rename("loss", words(rng, "val_loss", "eval_loss", "heldout_loss"))
    low = np.exp(-rng.uniform(0.01, 0.3) * (np.arange(len(table)) % 7) / 7)
    table.columns[words(rng, "train_loss", "train/loss", "training_loss")] = loss * low


def perplexity(table: Table, rng: Rng) -> None:
    """Perplexity where a loss would be."""
    table.columns[table.roles["loss"]] = np.exp(table.columns[table.roles["loss"]].astype(float))
    table.rename("loss", words(rng, "perplexity", "val_ppl", "eval/perplexity", "ppl"))


def checkpoints(table: Table, rng: Rng) -> None:
    """Rows before the end of a run, of higher loss than a run of that length has."""
    end = 1000 * rng.integers(2, 9, len(table))
    table.columns["max_steps"], table.columns["step"] = end, end.copy()
    rows = np.flatnonzero(rng.random(len(table)) < rng.uniform(0.2, 0.8))
    new = table.add_rows(rows)
    part = rng.uniform(0.2, 0.8, len(new))
    table.columns["step"][new] = np.round(part * table.columns["step"][new])
    table.columns["tokens"][new] *= part
    table.scale(new, np.exp(rng.uniform(0.03, 0.2, len(new))))


def repeated(table: Table, rng: Rng) -> None:
    """Three rows of one run: the same run judged on other samples of the text."""
    own = np.exp(rng.uniform(3e-3, 8e-3) * rng.standard_normal(len(table)))
    table.scale(np.arange(len(table)), own)
    rows = np.arange(len(table))
    numbered = rng.random() < 0.5
    if numbered:
        table.columns["eval_batch"] = np.zeros(len(table), int)
    for number in (1, 2):
        new = table.add_rows(rows)
        if numbered:
            table.columns["eval_batch"][new] = number
    table.scale(np.arange(len(table)), np.exp(5e-4 * rng.standard_normal(len(table))))


def missing(table: Table, rng: Rng) -> None:
    """Losses that are empty or not finite."""
    bad = rng.random(len(table)) < 0.08
    loss = table.columns[table.roles["loss"]].astype(float).astype(object)
    table.results &= ~bad
    loss[bad] = [words(rng, "", "nan", "NaN", "inf", "NA") for _ in range(bad.sum())]
    table.columns[table.roles["loss"]] = loss


DEFECTS: dict[str, Callable[[Table, Rng], None]] = {
    fn.__name__: fn  # in the order in which they can be put on top of each other
    for fn in (states, mixed, checkpoints, repeated, perplexity, headers, training, units, sparse, missing)
}


def parse(cell: object) -> float:
    if not isinstance(cell, str):
        return float(cell)
    return float(cell[:-1]) * {"M": 1e6, "B": 1e9}[cell[-1]]


def write(table: Table, path: Path, rng: Rng) -> Path:
    """The table as a file of some format."""
    names, order = list(table.columns), rng.permutation(len(table))
    rows = [["" if is_nan(table.columns[n][i]) else table.columns[n][i] for n in names] for i in order]
    form = words(rng, "csv", "csv", "tsv", "md", "jsonl")
    path = path.with_suffix(f".{form}")
    if form == "jsonl":
        lines = [json.dumps(dict(zip(names, map(plain, row), strict=True))) for row in rows]
        path.write_text("\n".join(lines) + "\n")
    elif form == "md":
        body = [names, ["---"] * len(names), *rows]
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in body]
        path.write_text("# Our runs\n\nAll of them.\n\n" + "\n".join(lines) + "\n\nThat was it.\n")
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="," if form == "csv" else "\t")
            writer.writerows([names, *rows])
    return path


def is_nan(cell: object) -> bool:
    return isinstance(cell, float) and np.isnan(cell)


def plain(cell: object) -> object:
    return cell.item() if isinstance(cell, np.generic) else None if cell == "" else cell


def draw(rng: Rng, defects: list[str]) -> Table:
    table = clean(rng)
    for name in DEFECTS:
        if name in defects:
            DEFECTS[name](table, rng)
            table.defects.append(name)
    return table
