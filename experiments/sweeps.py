"""Does the rule that stops the losers of a sweep hold on sweeps that it has never seen?

Question: on a text, shapes, a recurrent model and an optimiser that no sweep before had, how many of the
          FLOPs of ten sweeps of six learning rates does the rule of `analysis losers` save, and how many
          winners does it keep?
Command:  python -m lab run experiments.sweeps
Cost:     60 runs, 1.2e12 FLOPs, about 2 minutes on two cores
Answer:   expected: 35 to 48 % of the FLOPs saved (43 % of the twenty sweeps before), and at least nine
          winners of ten kept; one that is lost costs less than .5 % of the loss

The rule's form was chosen with most of the twenty sweeps before in view (Shakespeare, two layers, AdamW and
Muon); its numbers and its form were left as they were before any run here. A manual in Markdown, as bytes;
Transformers of three layers and a GRU; AdamW and Lion; a cosine, and a constant rate with a cool-down. Rates
are 2 apart, about what both optimisers take at these sizes, so that the best should lie inside.

Refused: the winners. AdamW's five are all kept; of Lion's five four were stopped, at 8 to 28 % of their
steps, behind a higher rate that led early, and one of them cost 18 %. Lower rates of Lion are let
run since: chosen with these ten in view, and asking for others.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.decisions import losers
from analysis.tables import table
from experiments.reports import tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.plan import tuning
from lab.store.store import Store

CORPUS = "flax-docs"
BASE = {"adamw": 0.02, "lion": 0.003}
RATES = [2.0**power for power in range(-3, 3)]  # times these
TOKENS, BATCH_TOKENS = 204_800, 512
SHAPE = {"vocab_size": 256, "seq_len": 32}


def cells() -> list[tuple[ModelConfig, int, dict]]:
    """(model, tokens, its schedule) of the sweeps of one optimiser."""
    narrow, wide = (ModelConfig(n_layer=3, n_head=1, d_model=width, **SHAPE) for width in (12, 20))
    gru = ModelConfig(kind="gru", n_layer=1, n_head=1, d_model=24, **SHAPE)
    stable = {"schedule": "constant", "cooldown_fraction": 0.3}
    return [
        (narrow, TOKENS, {}),
        (wide, TOKENS, {}),
        (gru, TOKENS, {}),
        (narrow, 2 * TOKENS, {}),
        (wide, TOKENS, stable),
    ]


def runs() -> list[RunConfig]:
    corpus = corpora.prepare(CORPUS)
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=4)
    own = [
        RunConfig(
            model=model,
            optim=OptimConfig(optimizer=name, learning_rate=rate, **schedule),
            data=data,
            tokens=tokens,
            batch_tokens=BATCH_TOKENS,
        )
        for name, rate in BASE.items()
        for model, tokens, schedule in cells()
    ]
    placed = [replace(run, seed=place, data_seed=place) for place, run in enumerate(own)]
    return [tuning.at_rate(run, run.optim.learning_rate * times) for run in placed for times in RATES]


def answer(path: Path) -> list[str]:
    curves = path.with_name("curves.csv" if path.stem == "runs" else f"{path.stem}-curves.csv")
    every = losers.sweeps(table.read(curves, needs={"loss"}), table.read(path), "learning_rate", None)
    then = [losers.replay(replace(sweep, falls=True)) for sweep in every]  # the rule that was asked
    now = [losers.replay(sweep) for sweep in every]
    kept = losers.total(then)[1]
    own = {name: [each for each in then if f"optimizer {name}" in each.sweep.place] for name in BASE}
    words = ", ".join(f"{name} {said(part)}" for name, part in own.items())
    costs = ", ".join(f"{100 * np.expm1(each.cost):.2g} %" for each in then if not each.kept)
    return [
        f"{'yes' if kept >= 9 else 'NO'}: {said(then)}; {words}",
        f"what is left is worse by {costs} where the winner was stopped",
        f"with lower rates of Lion let run, as this made it: {said(now)}",
    ]


def said(outcomes: list[losers.Outcome]) -> str:
    saved, kept = losers.total(outcomes)
    return f"{100 * saved:.0f} % saved, {kept} of {len(outcomes)} winners kept"


def report(store: Store, out: Path, configs: list[RunConfig] | None = None) -> None:
    path = tables.table_of("sweeps", store, configs or runs, out, (CORPUS,), changed=bool(configs))
    print("\n".join(answer(path)))
