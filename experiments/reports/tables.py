"""Where an experiment's report takes its table from: the store, else the one that was committed."""

import csv
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from analysis.tables import table
from lab.config import RunConfig
from lab.data.corpora import Corpus, CorpusError, open_corpus
from lab.plan.grid import unique
from lab.store import contents, export, lineage
from lab.store.store import Store

Grid = Sequence[RunConfig] | Mapping[str, Sequence[RunConfig]]
RESULTS = Path(__file__).parents[1] / "results"


def name_of(experiment: str, size: str) -> str:
    """What the table of an experiment's size is called."""
    return experiment if size == "laptop" else f"{experiment}-{size}"


def kept(name: str) -> Path:
    """Where the table of an experiment is committed."""
    return RESULTS / f"{name}.csv"


def lines_of(path: Path) -> list[dict[str, str]]:
    """The rows of a small table of an experiment's own, none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A small table of an experiment's own, that `lines_of` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def table_of(
    name: str,
    store: Store,
    runs: Callable[[], Grid] | Grid,
    out: Path,
    corpora: Sequence[str] = (),
    changed: bool = False,
) -> Path:
    """`out`/runs.csv and curves.csv: the finished runs of the store, or, where there are none,
    experiments/results/NAME.csv (and NAME-curves.csv where an experiment keeps its curves). It says
    which, and how many of the grid are missing. Of an experiment of several parts, given by name, a
    run's column `experiment` is NAME:PART, and a run of two parts has two rows.

    Args:
      runs: the experiment's grid, or its function that returns it.
      corpora: what the grid learns from, where its function would prepare that. It is not asked,
        and nothing prepared, while no run of the store learned from any of these.
      changed: whether `--set` changed the grid: then no committed table stands in for it.

    Raises:
      ValueError: neither is there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, committed = out / "runs.csv", kept(name)
    if callable(runs):
        runs = runs() if not corpora or contents.learned_from(store, corpora) else []
    configs = runs
    if isinstance(configs, Mapping):
        named = {f"{name}:{part}": own for part, own in configs.items()}
        configs = unique(config for own in configs.values() for config in own)
    else:
        configs = lineage.resolve_trunks(store, configs)  # without trunks that nothing needs any more
        named = {name: configs}
    rows = [row for part, own in named.items() for row in export.rows(store, own, part)]
    if rows:
        done = len({row["run_id"] for row in rows})
        export.write(rows, path)
        export.write_curves(store, configs, out / "curves.csv")
        left = f"; {len(configs) - done} are missing" if done < len(configs) else ""
        print(f"{name}: {done} of {len(configs)} runs, from the store {store.root}{left}")
    elif not changed and committed.exists():
        shutil.copyfile(committed, path)
        if kept(f"{name}-curves").exists():
            shutil.copyfile(kept(f"{name}-curves"), out / "curves.csv")
        print(f"{name}: the store {store.root} holds none of its runs; from {committed}, as committed")
    else:
        raise ValueError(
            f"{name}: the store {store.root} holds none of its runs"
            + (f" and there is no {committed}" if not changed else " as --set changes them")
            + f"; train them with `python -m lab run experiments.{name.replace('-', ':', 1)}`"
            + (" and the same --set" if changed else "")
        )
    return path


def corpus_of(path: Path) -> Corpus | None:
    """The prepared corpus that a table's runs learned from, exactly that one; None, and said on
    stderr, where it is not here: a table is drawn without."""
    runs = table.read(path)
    name, tokenizer, sha256 = (str(runs.column(key)[0]) for key in ("corpus", "tokenizer", "data_sha256"))
    try:
        return open_corpus(name, tokenizer, sha256)
    except CorpusError as error:
        print(f"note: what is measured on the corpus itself is left out: {error}", file=sys.stderr)
        return None


def baselines(path: Path) -> dict[str, float]:
    """Losses of a bigram and of gzip -9 on the held-out text of a table, nats per token; empty
    where its corpus is not here."""
    corpus = corpus_of(path)
    losses = corpus.baselines if corpus else {}
    keys = {"bigram": "bigram", "gzip -9": "gzip"}
    return {name: losses[key]["nats_per_token"] for name, key in keys.items() if key in losses}
