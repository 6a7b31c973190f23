"""Does the rule that stops the losers of a sweep hold on sweeps that it has never seen?

Question: on a text, shapes, a recurrent model and an optimiser that no sweep before had, how many of the
          FLOPs of ten sweeps of six learning rates does the rule of `analysis losers` save, and how many
          winners does it keep (laptop); and the rule that those ten made, on ten others (again)?
Command:  python -m lab run experiments.sweeps   (:again)
Cost:     laptop: 60 runs, 1.2e12 FLOPs, about 2 minutes on two cores;
          again: 60 runs, 1.6e12 FLOPs, about 3 minutes
Answer:   expected: 35 to 48 % of the FLOPs saved (43 % of the twenty sweeps before), and at least nine
          winners of ten kept; one that is lost costs less than .5 % of the loss. Of the ten others:
          AdamW and Muon save 40 to 58 %, Lion, whose lower rates run on, 10 to 30, all together 32 to 48;
          nine winners and more

The rule's form was chosen with most of the twenty sweeps before in view (Shakespeare, two layers, AdamW and
Muon); its numbers and its form were left as they were before any run here. A manual in Markdown, as bytes;
Transformers of three layers and a GRU; AdamW and Lion; a cosine, and a constant rate with a cool-down. Rates
are 2 apart, about what both optimisers take at these sizes, so that the best should lie inside.

Refused: the winners. AdamW's five are all kept; of Lion's five four were stopped, at 8 to 28 % of their
steps, behind a higher rate that led early, and one of them cost 18 %. Lower rates of Lion are let
run since: chosen with these ten in view, so ten others are asked (film reviews; windows of 64; a
Transformer, one of four layers with GELU and learned positions, an LSTM and a gated linear recurrence;
AdamW, Muon and Lion).

Refused of those: Lion saves nothing, since its best rates lay high, and the rule lets all below them run.
Muon's one lost winner cost .84 %: it led from two fifths of the steps on, and was stopped at a fifth.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis.decisions import losers
from analysis.tables import table
from experiments.reports import tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.plan import tuning
from lab.store.store import Store

CORPORA = {"laptop": "flax-docs", "again": "movie-reviews"}
RATES = [2.0**power for power in range(-3, 3)]  # times an optimiser's own
BATCH_TOKENS = 512


def first() -> list[tuple[str, float, ModelConfig, int, dict]]:
    """(optimiser, its middle rate, model, tokens, schedule) of each sweep."""
    shape, tokens = {"vocab_size": 256, "seq_len": 32}, 204_800
    narrow, wide = (ModelConfig(n_layer=3, n_head=1, d_model=width, **shape) for width in (12, 20))
    gru = ModelConfig(kind="gru", n_layer=1, n_head=1, d_model=24, **shape)
    stable = {"schedule": "constant", "cooldown_fraction": 0.3}
    cells = [
        (narrow, tokens, {}),
        (wide, tokens, {}),
        (gru, tokens, {}),
        (narrow, 2 * tokens, {}),
        (wide, tokens, stable),
    ]
    return [(name, rate, *cell) for name, rate in {"adamw": 0.02, "lion": 0.003}.items() for cell in cells]


def again() -> list[tuple[str, float, ModelConfig, int, dict]]:
    """The same of the ten others."""
    shape, tokens = {"vocab_size": 256, "seq_len": 64, "n_head": 1}, 307_200
    plain = ModelConfig(n_layer=2, d_model=16, **shape)
    deep = ModelConfig(n_layer=4, d_model=16, activation="gelu", position="learned", **shape)
    lstm, hgrn = (ModelConfig(kind=kind, n_layer=1, d_model=24, **shape) for kind in ("lstm", "hgrn"))
    sweeps = {
        ("adamw", 0.03): (plain, deep, lstm, hgrn),
        ("muon", 0.04): (plain, deep, lstm),
        ("lion", 0.004): (plain, deep, hgrn),
    }
    return [(*optimizer, model, tokens, {}) for optimizer, models in sweeps.items() for model in models]


SIZES = {"laptop": first, "again": again}


def runs(size: str = "laptop") -> list[RunConfig]:
    corpus = corpora.prepare(CORPORA[size])
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=4)
    own = [
        RunConfig(
            model=model,
            optim=OptimConfig(optimizer=name, learning_rate=rate, **schedule),
            data=data,
            tokens=tokens,
            batch_tokens=BATCH_TOKENS,
        )
        for name, rate, model, tokens, schedule in SIZES[size]()
    ]
    placed = [replace(run, seed=place, data_seed=place) for place, run in enumerate(own)]
    return [tuning.at_rate(run, run.optim.learning_rate * times) for run in placed for times in RATES]


def answer(path: Path) -> list[str]:
    curves, rows = (
        path.with_name("curves.csv" if path.stem == "runs" else f"{path.stem}-curves.csv"),
        table.read(path),
    )
    every = losers.sweeps(table.read(curves, needs={"loss"}), rows, "learning_rate", None)
    now = [losers.replay(sweep) for sweep in every]
    before = CORPORA["laptop"] in rows.column("corpus")  # the rule that was asked let no rates of Lion run
    asked = [losers.replay(replace(sweep, falls=True)) for sweep in every] if before else now
    kept = losers.total(asked)[1]
    names = dict.fromkeys(map(str, rows.column("optimizer")))
    own = {name: [each for each in asked if f"optimizer {name}" in each.sweep.place] for name in names}
    words = ", ".join(f"{name} {' and '.join(counted(part))}" for name, part in own.items())
    costs = ", ".join(f"{100 * np.expm1(each.cost):.2g} %" for each in asked if not each.kept)
    return [
        f"{'yes' if kept >= 9 else 'NO'}: {said(asked)}; {words}",
        *[f"what is left is worse by {costs} where the winner was stopped"] * bool(costs),
        *[f"with lower rates of Lion let run, as this made it: {said(now)}"] * before,
    ]


def said(outcomes: list[losers.Outcome]) -> str:
    return "{} saved, {} winners kept".format(*counted(outcomes))


def counted(outcomes: list[losers.Outcome]) -> tuple[str, str]:
    saved, kept = losers.total(outcomes)
    return f"{100 * saved:.0f} %", f"{kept} of {len(outcomes)}"


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    name, grid_of = tables.name_of("sweeps", size), configs or partial(runs, size)
    path = tables.table_of(name, store, grid_of, out, (CORPORA[size],), changed=bool(configs))
    print("\n".join(answer(path)))
