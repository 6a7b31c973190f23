"""How well does the character LSTM of 2015 write Shakespeare, beside a Transformer of today?

Question: an LSTM (2015: three layers of 512 units; Karpathy, The Unreasonable Effectiveness of
          Recurrent Neural Networks), a GRU and a Transformer of the same FLOPs a token, on the same
          characters: which foretells two plays it has not read better, and where in its context?
Command:  python -m lab run experiments.charrnn   (:accelerator has the 3 x 512; :smoke)
Cost:     laptop: 12 runs, 9.6e13 FLOPs, 20 minutes on two cores as `lab plan` prices it;
          accelerator: 12 runs, 7.5e15 FLOPs, about an hour
Answer:   expected: the three within 5 % in nats per character at the laptop's size; the Transformer
          ahead late in the window, and no worse than the LSTM at its first characters (Kaplan et
          al. 2020, figure 7, has LSTMs level off after some hundred tokens of context)

Widths are chosen so that FLOPs per token agree within 3 %; the rate is one for all three. The
original trained with RMSProp at 0.002, dropout and a state carried over from window to window; here
each window starts from zero, as a Transformer's does, and nothing is dropped.

Refused: the Transformer late in the window. The three lie within 5 %, but the GRU is ahead from the
third character on, by 4 %, which seeds do not do; the Transformer is at its end as far behind the LSTM
as seeds are apart. Sixty-four characters are few, and one rate is not the best of each: at its own best
rate the GRU is worth 1.4 times a Transformer's compute in such windows (experiments.architectures);
longer ones are asked by experiments.context.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments.reports import figures_context, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.plan import grid
from lab.store import contents
from lab.store.failures import trained_as
from lab.store.files import StoreError
from lab.store.store import Store


@dataclass(frozen=True)
class Size:
    """Three shapes of one price (kind, layers, width, heads), and how long they train."""

    shapes: tuple[tuple[str, int, int, int], ...]
    seq_len: int
    batch_tokens: int
    tokens: int
    learning_rate: float
    seeds: int = 3  # of runs of a tenth of these tokens, which tell how much a seed does
    corpora: tuple[str, ...] = ("shakespeare", "python-stdlib")


SIZES = {
    "laptop": Size(
        (("lstm", 2, 128, 1), ("gru", 2, 148, 1), ("transformer", 2, 102, 3)),
        seq_len=64,
        batch_tokens=2048,
        tokens=15_000_000,
        learning_rate=0.005,
    ),
    "accelerator": Size(
        (("lstm", 3, 512, 1), ("gru", 3, 592, 1), ("transformer", 6, 288, 6)),
        seq_len=128,
        batch_tokens=8192,
        tokens=50_000_000,
        learning_rate=0.002,
    ),
    "smoke": Size(
        (("lstm", 1, 16, 1), ("gru", 1, 18, 1), ("transformer", 1, 12, 1)),
        seq_len=16,
        batch_tokens=256,
        tokens=8_000,
        learning_rate=0.01,
        corpora=("python-stdlib",),
    ),
}
PROMPT = "\n"
SAMPLE_TOKENS = 500


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    corpus = corpora.prepare_first(list(setup.corpora), "chars")
    data = DataConfig(
        sha256=corpus.sha256,
        corpus=corpus.name,
        tokenizer="chars",
        train_tokens=corpus.n_train,
        max_epochs=12,
    )
    whole = [
        RunConfig(
            model=ModelConfig(
                kind=kind,
                n_layer=n_layer,
                d_model=width,
                n_head=n_head,
                vocab_size=corpus.vocab_size,
                seq_len=setup.seq_len,
            ),
            optim=OptimConfig(learning_rate=setup.learning_rate),
            data=data,
            tokens=setup.tokens,
            batch_tokens=setup.batch_tokens,
        )
        for kind, n_layer, width, n_head in setup.shapes
    ]
    short = [replace(config, tokens=setup.tokens // 10) for config in whole]
    return whole + [replace(config, seed=s, data_seed=s) for s in range(setup.seeds) for config in short]


def answer(path: Path) -> list[str]:
    rows = table.read(path)
    whole = rows.tokens == rows.tokens.max()
    names = ("kind", "n_layer", "d_model", "bits_per_byte")
    losses = [
        f"{kind} {n_layer:.0f} × {width:.0f} {bits:.3f}"
        for kind, n_layer, width, bits in zip(*(rows.column(name)[whole] for name in names), strict=True)
    ]
    said = ["bits per byte: " + ", ".join(losses)]
    by_kind = defaultdict(list)
    for kind, bits in zip(rows.column("kind")[~whole], rows.column("bits_per_byte")[~whole], strict=True):
        by_kind[kind].append(bits)
    apart = [f"{kind} {np.mean(bits):.3f} (seeds {np.ptp(bits):.3f} apart)" for kind, bits in by_kind.items()]
    return said + ["at a tenth of the tokens, by several seeds: " + ", ".join(apart)] * bool(apart)


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, positions.png (loss by position in the context), and a sample of each model."""
    from lab.trained import positions, sample, weights

    name = tables.name_of("charrnn", size)
    setup, grid_of = SIZES[size], configs or partial(runs, size)
    print(*answer(tables.table_of(name, store, grid_of, out, setup.corpora, changed=bool(configs))))
    by_kind = {}
    every = configs or (runs(size) if contents.learned_from(store, setup.corpora) else [])
    for config in (each for each in every if each.tokens == max(run.tokens for run in every)):
        try:
            run = weights.read(store, trained_as(store, config).run_id)
        except StoreError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        cfg, corpus = config.model, run.corpus()
        losses = positions.by_position(cfg, run.params, corpus)
        by_kind[f"{cfg.kind} {cfg.n_layer} x {cfg.d_model}"] = losses
        print(
            f"\n{grid.describe_model(cfg)}: "
            f"{run.record['loss']:.4f} ± {run.record['loss_se']:.4f} nats/character, "
            f"{run.record['bits_per_byte']:.4f} bits/byte; {by_doubling(losses.nats)}"
        )
        ids = corpus.tokenizer.encode_known(PROMPT)
        drawn = sample.sample(cfg, run.params, ids, SAMPLE_TOKENS, n_ids=corpus.tokenizer.n_text_ids)
        text = corpus.tokenizer.decode(list(drawn))
        print("\n".join(f"  | {line}" for line in text.split("\n")))
    if by_kind:
        figures_context.positions(by_kind).savefig(out / "positions.png")
        print(f"figure in {out}")


def by_doubling(nats: np.ndarray) -> str:
    """The loss at positions 1, 2, 4, ..., and the last, in words."""
    at = sorted({2**i for i in range(len(nats).bit_length())} | {len(nats)})
    return "at position " + ", ".join(f"{place}: {nats[place - 1]:.3f}" for place in at)
