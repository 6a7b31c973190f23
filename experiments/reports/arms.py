"""Arms trained over one ladder, each rung at several rates: the grid, and what the table answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.decisions import ladders
from analysis.decisions.compare import Comparison, compare
from analysis.figures.compare import plot_comparison
from analysis.tables import table
from analysis.tables.identity import best_of
from analysis.tables.runs import Runs
from experiments.reports import figures, shakespeare, tables
from lab.config import ModelConfig, OptimConfig, RunConfig
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store

# a rung: (layers, width, heads), and the training FLOPs that either arm spends on it
LADDER = [((1, 16, 1), 1e10), ((1, 24, 1), 4.5e10), ((2, 32, 1), 2e11)]
Arm = tuple[dict, dict]  # the fields of its model and of its optimiser that make it


def runs(arms: Sequence[Arm], rates: Sequence[float], ladder=LADDER) -> list[RunConfig]:
    """Every arm on every rung at every rate, given as times the plain grid's rule for the dense model;
    all but the last rung with a second seed."""
    data, cells = shakespeare.text(), []
    for (n_layer, width, heads), budget in ladder:
        dense = ModelConfig(n_layer=n_layer, d_model=width, n_head=heads, vocab_size=256, seq_len=64)
        rule = shakespeare.rule(counts.count_params(dense).params)
        for model, optim in arms:
            # the feed-forward part as the dense model's, shared out where the arm says into how many
            own = dict(model)
            share = own.pop("share", 1)
            shape = replace(dense, **own, d_ff=dense.ffn_width // share if share > 1 else 0)
            for times in rates:
                rate = lambda model, tokens, o=optim, r=times * rule: OptimConfig(learning_rate=r, **o)  # noqa: E731
                cells += grid.isoflop(
                    {budget: [shape]}, data=data, optim=rate, batch_tokens=shakespeare.BATCH_TOKENS
                )
    last = ladder[-1][1]
    return cells + [replace(run, seed=1, data_seed=1) for run in cells if run.budget < last]


def comparisons(rows: Runs, column: str, baseline: str) -> list[Comparison]:
    """The arms of a table by a column, each at the best of the rates tried on a rung and each against the
    baseline, the one worth most first; by compute alone, since the rungs lie on one line of params and
    tokens. The intervals of m arms are of 1 - .05/m (Bonferroni)."""
    best = best_of(rows, f"{column},budget,seed").usable().by(column)
    arms = {n: table.from_columns(n, flops=runs.flops, loss=runs.loss) for n, runs in best.items()}
    return against(arms, baseline, 1 - 0.05 / (len(arms) - 1))


def against(arms: Mapping[str, Runs], baseline: str, level: float) -> list[Comparison]:
    """Each arm against the baseline, the one worth most first, with intervals of a level."""
    out = [
        compare(ladders.join(arms[baseline], arm, (baseline, name)), draws=2000, level=level)
        for name, arm in arms.items()
        if name != baseline
    ]
    return sorted(out, key=lambda each: -each.answer.compute.value)


def answer(rows: Runs, column: str, baseline: str, rates: Sequence[float]) -> list[str]:
    """What each change is worth, and on each rung the loss of every arm and the rate it took."""
    compared = comparisons(rows, column, baseline)
    lines, ends, told = [], 0, 0
    for budget in np.unique(rows.column("budget")):
        words = []
        for name, arm in rows.select(rows.column("budget") == budget).by(column).items():
            of_rate: dict[float, list[float]] = {}
            for rate, loss in zip(arm.column("learning_rate"), arm.loss, strict=True):
                of_rate.setdefault(float(rate), []).append(float(loss))
            mean = {rate: np.mean(losses) for rate, losses in of_rate.items()}
            best = min(mean, key=mean.get)
            edge = best in (min(mean), max(mean))
            ends, told = ends + edge, told + 1
            words.append(f"{name} {mean[best]:.4f} at rate {best:.3g}{' (edge)' * edge}")
        lines.append(f"{budget:.2g} FLOPs: {', '.join(words)}")
    if len(compared) == 1:
        head = [*compared[0].headline.split(". "), f"status {compared[0].status}: {compared[0].message}"]
    else:
        worth = [f"{each.arm} {each.answer.compute.value:.2g}" for each in compared]
        at = compared[0].answer.flops
        head = [f"times the compute of {baseline} at {at:.2g} FLOPs: {', '.join(worth)}"]
        head += [f"{each.headline} ({each.status})" for each in compared]
    return [
        *head,
        *lines,
        f"of {told} best rates {ends} lie at an end of the {len(rates)} tried: better may follow",
    ]


def report(
    name: str,
    store: Store,
    out: Path,
    configs: Callable | list[RunConfig],
    answer: Callable[[Path], list[str]],
    arms: tuple[str, str],
    changed: bool = False,
) -> None:
    """runs.csv, compare.png, and the answer on the screen."""
    path = tables.table_of(name, store, configs, out, shakespeare.CORPORA, changed=changed)
    print("\n".join(answer(path)))
    compared = comparisons(table.read(path), *arms)
    figure = plot_comparison(compared[0]) if len(compared) == 1 else figures.arms(compared)
    figure.savefig(out / "compare.png")
    print(f"figure in {out}")
