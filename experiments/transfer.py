"""Does the best learning rate stay put as the width grows, and how does it move with the batch?

Question: (1) the best peak rate of widths 64 to 512, with everything else equal, under the standard
          parameterization and under MUP; (2) the best rate at batches a factor 16 apart, at two
          sizes and two lengths; (3) whether activations keep their scale with width.
Command:  python -m lab run experiments.transfer   (:accelerator, :smoke)
Cost:     laptop: 110 runs, 9.4e13 FLOPs, 19 minutes on two cores as `lab plan` prices it, and about
          a minute for (3) in the report; accelerator: 112 runs, 3.3e16 FLOPs, about an hour, since
          small models do not fill one
Answer:   expected: under STANDARD the best rate falls by 4 or more from width 64 to 512, roughly as
          1/width; under MUP by less than 2. With 4 times the batch the best rate rises, by up to 2
          (Adam: the square root), less where there are few updates. Activations under STANDARD
          grow with width by more than 2 after a few updates, under MUP by less than 10 %.

At width 64 the two parameterizations are the same model, and both columns of the table must agree
there to the last digit. A best rate is the vertex of a parabola through the best point and its
neighbours in log rate; at an end of the rates tried it is only a bound and says so.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis.tables import table
from experiments.reports import coordinates, figures_rates, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.data import corpora
from lab.data.corpora import Corpus
from lab.store.store import Store


@dataclass(frozen=True)
class Size:
    """The two grids."""

    rates: dict[str, dict[int, tuple[float, ...]]]  # by parameterization, by width
    tokens: int
    batch_tokens: int
    seq_len: int
    shapes: tuple[tuple[int, int, int], ...]  # of the batch grid
    lengths: tuple[int, ...]  # tokens
    batches: tuple[int, ...]  # tokens an update
    batch_rates: tuple[float, ...]
    corpora: tuple[str, ...]
    updates: int  # of the coordinate check
    again: int = 0  # the widest that is trained by a second seed too


WIDTHS = (64, 128, 256, 512)


def doubling(first: float, count: int) -> tuple[float, ...]:
    return tuple(first * 2**i for i in range(count))


SIZES = {
    "laptop": Size(
        rates={
            "standard": {
                64: doubling(0.002, 5),
                128: doubling(0.001, 6),
                256: doubling(0.0005, 6),
                512: doubling(0.0005, 4),
            },
            "mup": dict.fromkeys(WIDTHS, doubling(0.002, 5)),
        },
        tokens=131_072,
        batch_tokens=512,
        seq_len=64,
        shapes=((2, 32, 2), (2, 64, 4)),
        lengths=(500_000, 1_500_000),
        batches=(512, 2048, 8192),
        batch_rates=doubling(0.004, 4),
        corpora=("shakespeare", "python-stdlib"),
        updates=4,
        again=128,
    ),
    "accelerator": Size(
        rates={
            "standard": dict.fromkeys(WIDTHS, doubling(0.00025, 7)),
            "mup": dict.fromkeys(WIDTHS, doubling(0.001, 6)),
        },
        tokens=30_000_000,
        batch_tokens=8192,
        seq_len=128,
        shapes=((2, 64, 4), (4, 128, 8)),
        lengths=(30_000_000, 100_000_000),
        batches=(4096, 16_384, 65_536),
        batch_rates=doubling(0.001, 5),
        corpora=("linux-6.1", "python-stdlib"),
        updates=8,
    ),
    "smoke": Size(
        rates=dict.fromkeys(("standard", "mup"), dict.fromkeys((64, 128), doubling(0.004, 3))),
        tokens=8_000,
        batch_tokens=256,
        seq_len=16,
        shapes=((1, 16, 1),),
        lengths=(8_000,),
        batches=(128, 256),
        batch_rates=doubling(0.004, 3),
        corpora=("python-stdlib",),
        updates=2,
    ),
}


def runs(size: str = "laptop") -> list[RunConfig]:
    setup = SIZES[size]
    corpus = corpora.prepare_first(list(setup.corpora))
    data = DataConfig(sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=4)
    return across_widths(setup, data) + across_batches(setup, data)


def across_widths(size: Size, data: DataConfig) -> list[RunConfig]:
    """Two layers, heads of one width, everything else equal; no clipping, which depends on width
    in another way than the rates."""
    cells = [
        RunConfig(
            model=ModelConfig(
                d_model=width,
                n_layer=2,
                n_head=width // coordinates.D_HEAD,
                vocab_size=256,
                seq_len=size.seq_len,
                parameterization=kind,
            ),
            optim=OptimConfig(learning_rate=rate, clip=0.0),
            data=data,
            tokens=size.tokens,
            batch_tokens=size.batch_tokens,
        )
        for kind, by_width in size.rates.items()
        for width, rates in by_width.items()
        for rate in rates
    ]
    narrow = [cell for cell in cells if cell.model.d_model <= size.again]
    return cells + [replace(cell, seed=1, data_seed=1) for cell in narrow]


def across_batches(size: Size, data: DataConfig) -> list[RunConfig]:
    return [
        RunConfig(
            model=ModelConfig(
                d_model=width, n_layer=n_layer, n_head=n_head, vocab_size=256, seq_len=size.seq_len
            ),
            optim=OptimConfig(learning_rate=rate),
            data=data,
            tokens=tokens,
            batch_tokens=batch,
        )
        for n_layer, width, n_head in size.shapes
        for tokens in size.lengths
        for batch in size.batches
        for rate in size.batch_rates
    ]


@dataclass(frozen=True)
class Best:
    """The best rate of one setting, from losses at several rates; `status` is ok, or edge where the
    best of them is the smallest or the largest (a run that diverged counts as a loss beyond)."""

    rates: np.ndarray  # rising
    losses: np.ndarray  # NaN: diverged
    rate: float
    status: str


def best(rates: list[float], losses: list[float]) -> Best:
    order = np.argsort(rates)
    x, y = np.log(np.array(rates)[order]), np.array(losses, float)[order]
    if not np.isfinite(y).any():
        return Best(np.exp(x), y, float("nan"), "failed")
    at = int(np.nanargmin(y))
    inside = 0 < at < len(x) - 1 and np.isfinite(y[at - 1])
    if not inside:
        return Best(np.exp(x), y, float(np.exp(x[at])), "edge")
    if not np.isfinite(y[at + 1]):
        return Best(np.exp(x), y, float(np.exp(x[at])), "ok")
    a, b, _ = np.polyfit(x[at - 1 : at + 2] - x[at], y[at - 1 : at + 2], 2)
    vertex = x[at] - b / (2 * a) if a > 0 else x[at]
    return Best(np.exp(x), y, float(np.exp(vertex)), "ok")


Key = tuple[str, float, float, float]  # see `settings`


def settings(path: Path, size: Size) -> tuple[dict[Key, Best], dict[Key, Best]]:
    """(parameterization, width, seed, 0) -> Best, and ("batch", params, tokens, batch) -> Best."""
    losses: dict[Key, list[tuple[float, float]]] = defaultdict(list)
    rows = table.read(path)
    names = "parameterization d_model params tokens batch_tokens learning_rate clip seed".split()
    columns = [rows.columns[name] for name in names]
    for kind, width, params, tokens, batch, rate, clip, seed, loss in zip(*columns, rows.loss, strict=True):
        wide = clip == 0
        length = float(f"{tokens:.2g}")  # whole updates of another batch end a little elsewhere
        key = (str(kind), width, seed, 0.0) if wide else ("batch", params, length, batch)
        losses[key].append((rate, loss))
    every = {key: best(*map(list, zip(*pairs, strict=True))) for key, pairs in losses.items()}
    widths = {key: value for key, value in every.items() if key[0] != "batch"}
    return widths, {key: value for key, value in every.items() if key[0] == "batch"}


def fall(widths: dict[Key, Best], kind: str) -> tuple[float, list[tuple[float, Best]]]:
    """How many times lower the best rate of the widest is than the narrowest's; and each width's."""
    own = sorted((key[1], value) for key, value in widths.items() if key[0] == kind and not key[2])
    return own[0][1].rate / own[-1][1].rate, own


def drift(widths: dict[Key, Best], kind: str) -> str:
    """How far the best rate moves from the narrowest width to the widest, in words."""
    times, own = fall(widths, kind)
    listed = ", ".join(
        f"{width:.0f}: {value.rate:.3g}" + " (edge)" * (value.status == "edge") for width, value in own
    )
    exponent = -np.log(times) / np.log(own[-1][0] / own[0][0]) if len(own) > 1 else np.nan
    bracketed = all(value.status == "ok" for _, value in own)
    return (
        f"{kind}: best rate by width {listed}; it falls {times:.3g} times, as width^{exponent:.2f}"
        + "; NOT bracketed: a best rate at an end of those tried is only a bound" * (not bracketed)
    )


def noise(widths: dict[Key, Best]) -> list[str]:
    """How far a second seed moves the best rate, in words; nothing where there is none."""
    moved = [
        f"{width:.0f} ({kind}): {value.rate / widths[kind, width, 0.0, 0.0].rate:.2f}"
        for (kind, width, seed, _), value in sorted(widths.items())
        if seed and (kind == "standard" or width > min(WIDTHS))  # the narrowest is one model
    ]
    return ["a second seed's best rate over the first's, by width: " + ", ".join(moved)] * bool(moved)


def answer(path: Path) -> list[str]:
    setup = SIZES["laptop"]
    widths, batches = settings(path, setup)
    falls = " and ".join(f"{fall(widths, kind)[0]:.3g} times ({kind})" for kind in setup.rates)
    first, last = min(setup.batches), max(setup.batches)
    cells = [(params, tokens) for _, params, tokens, batch in batches if batch == first]
    ends = [[batches["batch", *cell, batch] for batch in (first, last)] for cell in cells]
    risen = [high.rate / low.rate for low, high in ends]
    bounds = sum("edge" in (low.status, high.status) for low, high in ends)
    return [
        f"the best rate falls {falls} from width {min(WIDTHS)} to {max(WIDTHS)}",
        *(drift(widths, kind) for kind in setup.rates),
        *noise(widths),
        f"with {last // first} times the batch the best rate is {min(risen):.2g} to {max(risen):.2g} times "
        f"as high ({len(risen)} cells, {bounds} of them with an end of the rates tried as its best: only a "
        "bound)",
    ]


def report(store: Store, out: Path, size: str = "laptop", configs: list[RunConfig] | None = None) -> None:
    """runs.csv, widths.png, batches.png, coordinates.png, and what they say."""
    setup, name = SIZES[size], tables.name_of("transfer", size)
    grid_of = configs or partial(runs, size)
    path = tables.table_of(name, store, grid_of, out, setup.corpora, changed=bool(configs))
    widths, batches = settings(path, setup)
    for kind in setup.rates:
        if any(key[0] == kind for key in widths):
            print(drift(widths, kind))
    figures_rates.widths(widths).savefig(out / "widths.png")
    for (_, params, tokens, batch), value in sorted(batches.items()):
        print(
            f"N={params:,.0f}, D={tokens:,.0f}, batch {batch:,.0f}: best rate {value.rate:.3g} "
            f"[{value.status}], loss {np.nanmin(value.losses, initial=np.inf):.4f}"
        )
    if batches:
        figures_rates.batches(batches).savefig(out / "batches.png")
    if not (corpus := tables.corpus_of(path)):
        print(f"figures in {out}, coordinates.png left out: it is measured on the corpus")
        return
    checks = coordinate_checks(setup, corpus)
    for kind, check in checks.items():
        spread = check.spread()
        logits = spread.pop("logits")
        worst = max(spread, key=spread.get)
        print(
            f"{kind}: between widths, after {check.updates} updates, activations differ by at "
            f"most {spread[worst]:.3g} times ({worst}), logits by {logits:.3g}"
        )
    figures_rates.coordinates(checks).savefig(out / "coordinates.png")
    print(f"figures in {out}")


def coordinate_checks(size: Size, corpus: Corpus) -> dict[str, coordinates.Check]:
    return {
        kind: coordinates.check(corpus, kind, widths=tuple(by_width), updates=size.updates)
        for kind, by_width in size.rates.items()
    }
