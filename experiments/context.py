"""What is more context worth to an LSTM, and what to a Transformer of the same size?

Question: Kaplan et al. 2020, figure 7: loss by the number of tokens a model sees, at equal N. Does
          the LSTM's level off where the Transformer's goes on falling?
Command:  python -m lab run experiments.context   (:smoke)
Cost:     laptop: 16 runs, 8.6e13 FLOPs, 18 minutes on two cores as `lab plan` prices it
Answer:   expected: the Transformer ahead at each of the three sizes. From 65-128 to 129-256 tokens
          seen it gains several hundredths of a nat, the more the larger it is; the LSTM less than
          half of that. As to flat, the paper's LSTMs level off within some hundred tokens

Equal N is equal weights in the layers, as in the paper: without embedding and readout, which are
larger in the LSTM since it is wider. On the kernel's sources in 1,024 byte-pair ids, in windows of
256. Each of 65 thousand held-out tokens is scored nine times, with 1, 2, 3 to 4, ..., 129 to 256
tokens before it in sight, so that nothing but the context differs. The rate follows the
plain grid's rule, times 1.5 for byte pairs and a batch of 2,048; half and twice that, on the
smallest pair in shorter runs, show what the choice costs either kind.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.tables import table
from experiments import plain
from experiments.reports import figures_context, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.models import counts
from lab.plan import grid
from lab.store.files import StoreError
from lab.store.store import Store
from lab.trained import positions, weights

SCORED = 2**16  # held-out tokens
BLOCKS = 64  # of neighbouring tokens, taken as independent of each other
RATE = 1.5  # over the plain grid's rule
RATES = (0.5, 2.0)  # over that, in the smallest pair's shorter runs


@dataclass(frozen=True)
class Size:
    """Pairs of equal layers' weights, rising: (layers, width, heads) and an LSTM's (layers,
    width)."""

    pairs: tuple[tuple[tuple[int, int, int], tuple[int, int]], ...]
    seq_len: int
    batch_tokens: int
    tokens: int
    rate_tokens: int  # of the runs that try other rates
    seeds: int  # of the smallest pair
    corpora: tuple[str, ...] = ("linux-6.1",)
    tokenizer: str = "bpe-1024"


SIZES = {
    "laptop": Size(
        (((2, 48, 2), (1, 83)), ((3, 72, 2), (2, 108)), ((4, 96, 2), (2, 166))),
        seq_len=256,
        batch_tokens=2048,
        tokens=5_000_000,
        rate_tokens=1_250_000,
        seeds=3,
    ),
    "smoke": Size(
        (((1, 16, 1), (1, 19)), ((1, 24, 1), (1, 29))),
        seq_len=32,
        batch_tokens=256,
        tokens=40_000,
        rate_tokens=10_000,
        seeds=2,
        corpora=("markov:24-2-4-0-100000",),
        tokenizer="bytes",
    ),
}


def parts(size: str = "laptop") -> dict[str, list[RunConfig]]:
    """`pairs`, a Transformer before its LSTM, then their seeds; and `rates`."""
    setup = SIZES[size]
    corpus = corpora.prepare_first(list(setup.corpora), setup.tokenizer)
    data = DataConfig(
        sha256=corpus.sha256, corpus=corpus.name, tokenizer=setup.tokenizer, train_tokens=corpus.n_train
    )

    def run(model: ModelConfig, tokens: int, factor: float = 1.0) -> RunConfig:
        rate = RATE * factor * plain.rule(counts.count_params(model).hidden)
        return RunConfig(
            model=model,
            optim=OptimConfig(learning_rate=rate),
            data=data,
            tokens=tokens,
            batch_tokens=setup.batch_tokens,
        )

    models = [model for pair in setup.pairs for model in shapes(pair, setup, corpus.vocab_size)]
    whole = [run(model, setup.tokens) for model in models]
    again = [
        replace(config, seed=seed, data_seed=seed) for seed in range(1, setup.seeds) for config in whole[:2]
    ]
    rates = [run(model, setup.rate_tokens, factor) for model in models[:2] for factor in (1.0, *RATES)]
    return {"pairs": [*whole, *again], "rates": rates}


def shapes(pair: tuple, size: Size, vocab_size: int) -> list[ModelConfig]:
    (layers, width, heads), (deep, wide) = pair
    shared = {"vocab_size": vocab_size, "seq_len": size.seq_len}
    return [
        ModelConfig(n_layer=layers, d_model=width, n_head=heads, **shared),
        ModelConfig(kind="lstm", n_layer=deep, d_model=wide, n_head=1, **shared),
    ]


def runs(size: str = "laptop") -> list[RunConfig]:
    return grid.unique([config for part in parts(size).values() for config in part])


def by_block(nats_TO: np.ndarray) -> np.ndarray:
    """Mean nats by block of neighbouring tokens, (blocks, octaves)."""
    return np.array([part.mean(0) for part in np.array_split(nats_TO, BLOCKS)])


@dataclass(frozen=True)
class Use:
    """How a run uses its context: loss by octave, (O,), nats/token, and its fall from the octave
    before, by block of text (B, O - 1) and with the half-width of its mean's 95 % interval."""

    kind: str
    hidden: int
    seed: int
    seen: np.ndarray
    nats: np.ndarray
    gain_BO: np.ndarray
    within: np.ndarray


def interval(values_BO: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over blocks and the half-width of its 95 % interval (Student's t)."""
    n = len(values_BO)
    return values_BO.mean(0), stats.t.ppf(0.975, n - 1) * values_BO.std(0, ddof=1) / n**0.5


def context_uses(rows: table.Runs, blocks: Path) -> list[Use]:
    """From the run table and the blocks of each run, in the table's order."""
    lines = tables.lines_of(blocks)
    seen = [name for name in lines[0] if name.startswith("seen_")]
    uses = []
    for i, run_id in enumerate(rows.column("run_id")):
        mine = [[float(line[name]) for name in seen] for line in lines if line["run_id"] == run_id]
        if mine:
            nats_BO = np.array(mine)
            gain_BO = nats_BO[:, :-1] - nats_BO[:, 1:]
            column = lambda name, i=i: rows.column(name)[i]  # noqa: E731
            uses.append(
                Use(
                    str(column("kind")),
                    int(column("params_hidden")),
                    int(column("seed")),
                    np.array([int(name[5:]) for name in seen]),
                    nats_BO.mean(0),
                    gain_BO,
                    interval(gain_BO)[1],
                )
            )
    return uses


def paired(uses: list[Use]) -> list[tuple[Use, Use]]:
    """Transformer and LSTM by rising size, of the first seed."""
    kinds = ([use for use in uses if use.kind == kind and not use.seed] for kind in ("transformer", "lstm"))
    return sorted(zip(*kinds, strict=False), key=lambda pair: pair[0].hidden)


def late(use: Use) -> np.ndarray:
    """The fall over the last two octaves, by block: from a quarter of the window to all of it."""
    return use.gain_BO[:, -2:].sum(1, keepdims=True)


def compare(pair: tuple[Use, Use]) -> str:
    """What the late context brings a Transformer and its LSTM, and their difference on the same text."""
    gains = [late(use) for use in pair]
    (more, _), (less, around), _ = means = [interval(g) for g in (*gains, gains[0] - gains[1])]
    transformer, lstm, difference = (
        f"{mean[0]:.4f} ({mean[0] - half[0]:.4f}, {mean[0] + half[0]:.4f})" for mean, half in means
    )
    share = "flat" if abs(less[0]) <= around[0] else f"{100 * less[0] / more[0]:.0f} % of that"
    return (
        f"{pair[0].hidden:,} weights in layers: from {octaves(pair[0])} tokens seen the Transformer gains "
        f"{transformer} nats/token, the LSTM {lstm}, {share}; difference {difference}"
    )


def octaves(use: Use) -> str:
    """The last octave but two, and the last."""
    eighth, quarter, half, whole = use.seen[-4:]
    return f"{eighth + 1}-{quarter} to {half + 1}-{whole}"


def answer(path: Path) -> list[str]:
    rows = table.read(path, where="experiment == 'context:pairs'")
    pairs = paired(context_uses(rows, tables.kept("context-blocks")))
    gains = [", ".join(f"{late(pair[i]).mean():.4f}" for pair in pairs) for i in (0, 1)]
    return [
        f"from {octaves(pairs[0][0])} tokens seen, by size, Transformers gain {gains[0]} nats/token, LSTMs "
        f"{gains[1]}",
        *(compare(pair) for pair in pairs),
    ]


def describe(path: Path, name: str, uses: list[Use]) -> list[str]:
    rows = table.read(path, where=f"experiment == '{name}:pairs'").usable()
    lines = [
        f"{kind} {layers:.0f} x {width:.0f}, {hidden:,.0f} weights in layers, seed {seed:.0f}: "
        f"{loss:.4f} nats/token"
        for kind, layers, width, hidden, seed, loss in zip(
            *(rows.column(key) for key in ("kind", "n_layer", "d_model", "params_hidden", "seed")),
            rows.loss,
            strict=True,
        )
    ]
    tried = table.read(path, where=f"experiment == '{name}:rates'").usable()
    for kind in ("transformer", "lstm"):
        own = tried.column("kind") == kind
        rates, loss = tried.column("learning_rate")[own].astype(float), tried.loss[own]
        listed = ", ".join(f"{rates[i]:.2g}: {loss[i]:.4f}" for i in np.argsort(rates))
        lines.append(f"the smallest {kind}, shorter, by rate: {listed}")
    return lines + [compare(pair) for pair in paired(uses)]


def write_blocks(store: Store, rows: table.Runs, path: Path, kept: Path) -> None:
    """The loss of each of a table's runs by block and octave: as committed, else by its weights. A
    run that has neither is left out, and said."""
    known = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    lines = known[:1]
    for run_id in rows.column("run_id"):
        mine = [line for line in known if line.startswith(f"{run_id},")]
        lines += mine or measure_blocks(store, run_id, lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure_blocks(store: Store, run_id: str, header: list[str]) -> list[str]:
    try:
        run = weights.read(store, run_id)
        corpus = run.corpus()
    except (StoreError, corpora.CorpusError) as error:
        print(f"left out: {error}", file=sys.stderr)
        return []
    cfg = run.config.model
    names = ["run_id", "block", *(f"seen_{end}" for end in positions.octaves(cfg.seq_len))]
    blocks = enumerate(by_block(positions.by_octave(cfg, run.params, corpus.held_out[:SCORED])))
    lines = [",".join([run_id, str(at), *(f"{nats:.6f}" for nats in row)]) for at, row in blocks]
    return lines if header else [",".join(names), *lines]


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, curves.csv, blocks.csv (loss by tokens seen), context.png, and what they say."""
    name = tables.name_of("context", size)
    path = tables.table_of(name, store, partial(parts, size), out, SIZES[size].corpora)
    rows = table.read(path, where=f"experiment == '{name}:pairs'").usable()
    write_blocks(store, rows, out / "blocks.csv", tables.kept(f"{name}-blocks"))
    uses = context_uses(rows, out / "blocks.csv")
    print("\n".join(describe(path, name, uses)))
    figures_context.context(uses, paired(uses)).savefig(out / "context.png")
    print(f"figure in {out}")
