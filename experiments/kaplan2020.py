"""What do size, data, compute, shape and batch do to the loss?

Question: on the kernel's sources as bytes: L(N) with data enough, L(D) with a model large enough,
          L(C) along the frontier; do larger models need fewer tokens for a given loss; how much
          does shape matter at equal N; what is the critical batch size?
Command:  python -m lab run experiments.kaplan2020   (:smoke); L(C) is read off chinchilla2022's
          table
Cost:     laptop: 30 runs, 5.5e13 FLOPs, 11 minutes on two cores as `lab plan` prices it
Answer:   expected: straight lines in logarithms over the little that two cores reach, steeper than
          the paper's (alpha_N .076, alpha_D .095 at a thousand times the size): 0.1 to 0.2. Larger
          models need fewer tokens. Shape: within 3 % from 1 to 4 layers, worse at 8 layers of 32.
          The critical batch is a few thousand tokens at the loss these runs reach, and grows as the
          loss falls.

Parts, in the table's column `experiment`: sizes (one length, so that the largest is still short of
data), lengths (one model), shapes (one number of block weights, several layers, widths and heads;
one of them with more seeds), batches (one model at a constant rate; the rate as the square root of
the batch).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analysis import fitting, frontiers
from analysis.laws import PowerLaw
from analysis.tables import table
from experiments import chinchilla2022, plain
from experiments.reports import figures_kaplan, kaplan_curves, tables
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.models import counts
from lab.plan import grid
from lab.store.store import Store


@dataclass(frozen=True)
class Size:
    """The four parts; shapes are (layers, width, heads)."""

    text: str  # the size of chinchilla2022 whose text, context and batch these runs share
    ladder: tuple[tuple[int, int, int], ...]
    tokens: int  # of every size
    lengths: tuple[int, ...]  # of the ladder's largest model, besides `tokens`
    shapes: tuple[tuple[int, int, int], ...]
    shape_tokens: int
    seeds: int  # of the first shape
    batches: tuple[int, ...]  # tokens an update
    batch_model: tuple[int, int, int]
    batch_tokens: int  # trained on at each batch


SIZES = {
    "laptop": Size(
        "laptop",
        ((1, 16, 1), (1, 24, 1), (2, 24, 1), (2, 32, 1), (2, 48, 2), (2, 64, 2), (3, 80, 2)),
        5_000_000,
        (300_000, 600_000, 1_250_000, 2_500_000),
        (
            (2, 64, 2),
            (2, 64, 1),
            (2, 64, 4),
            (2, 64, 8),
            (1, 92, 2),
            (3, 52, 2),
            (4, 44, 2),
            (6, 36, 2),
            (8, 32, 2),
        ),
        2_000_000,
        4,
        (256, 512, 1024, 2048, 4096, 8192, 16_384),
        (2, 40, 1),
        4_000_000,
    ),
    "smoke": Size(
        "smoke",
        ((1, 8, 1), (1, 16, 1), (1, 24, 1), (1, 32, 1)),
        60_000,
        (10_000, 20_000, 30_000, 40_000),
        ((1, 32, 1), (1, 32, 2), (2, 24, 1)),
        30_000,
        2,
        (128, 256, 512, 1024),
        (1, 16, 1),
        60_000,
    ),
}


PARTS = ("sizes", "lengths", "shapes", "batches")


def parts(size: str = "laptop") -> dict[str, list[RunConfig]]:
    setup = SIZES[size]
    shared = chinchilla2022.SIZES[setup.text]
    data = chinchilla2022.text(shared)
    run = lambda shape, tokens, **more: run_of_shape(shared, data, shape, tokens, **more)  # noqa: E731
    seeds = [{"seed": seed, "data_seed": seed} for seed in range(1, setup.seeds)]
    return {
        "sizes": [run(shape, setup.tokens) for shape in setup.ladder],
        "lengths": [run(setup.ladder[-1], tokens) for tokens in (*setup.lengths, setup.tokens)],
        "shapes": [
            *(run(shape, setup.shape_tokens) for shape in setup.shapes),
            *(replace(run(setup.shapes[0], setup.shape_tokens), **seed) for seed in seeds),
        ],
        "batches": [
            run(setup.batch_model, setup.batch_tokens, batch_tokens=batch) for batch in setup.batches
        ],
    }


def run_of_shape(
    shared: chinchilla2022.Size,
    data: DataConfig,
    shape: tuple[int, int, int],
    tokens: int,
    batch_tokens: int = 0,
) -> RunConfig:
    """A run under a cosine of its own length, or, with a batch of its own, at a constant rate."""
    layers, width, heads = shape
    model = ModelConfig(n_layer=layers, d_model=width, n_head=heads, vocab_size=256, seq_len=shared.seq_len)
    rate = plain.rule(counts.count_params(model).params)
    optim = OptimConfig(learning_rate=rate)
    if batch_tokens:
        rate *= (batch_tokens / shared.batch_tokens) ** 0.5
        optim = OptimConfig(learning_rate=rate, schedule="constant")
    return RunConfig(
        model=model, optim=optim, data=data, tokens=tokens, batch_tokens=batch_tokens or shared.batch_tokens
    )


def runs(size: str = "laptop") -> list[RunConfig]:
    return grid.unique([config for part in parts(size).values() for config in part])


@dataclass(frozen=True)
class Power:
    """Loss against one quantity, and the two power laws through it: with a floor, and without."""

    name: str  # of the column
    at: np.ndarray
    loss: np.ndarray
    bare: fitting.Fit  # E = 0, as in the paper
    floored: fitting.Fit

    @property
    def summary(self) -> str:
        low, high = self.bare.interval("alpha")
        law, (least, most) = self.floored.law, self.floored.interval("alpha")
        return (
            f"L({self.name}) falls with exponent {self.bare.law.alpha:.3f} ({low:.3f}, {high:.3f}) "
            f"without a floor; with one, E = {law.E:.3f}, {law.alpha:.3f} ({least:.3f}, "
            f"{most:.3f}) [{self.floored.status}]"
        )


def power(name: str, at: np.ndarray, loss: np.ndarray) -> Power:
    points = table.from_columns(f"loss by {name}", x=np.asarray(at, float), y=np.asarray(loss, float))
    laws = (
        fitting.intervals(
            fitting.fit(PowerLaw, points, inputs=("x",), output="y", fixed=fixed, objective="ls-log")
        )
        for fixed in ({"E": 0.0}, None)
    )
    return Power(name, points.columns["x"], points.columns["y"], *laws)


@dataclass(frozen=True)
class Shapes:
    """Final losses by shape at one number of block weights, over that of the first shape."""

    names: tuple[str, ...]
    aspect: np.ndarray  # width over layers
    heads: np.ndarray
    gap: np.ndarray  # log(loss / mean of the first shape's seeds)
    hidden: np.ndarray  # block weights
    noise: float  # standard deviation of log loss between the first shape's seeds
    seeds: int

    @property
    def lines(self) -> list[str]:
        lines = [
            f"{name}: {100 * gap:+.2f} % ({hidden:,.0f} block weights)"
            for name, gap, hidden in zip(self.names, self.gap, self.hidden, strict=True)
        ]
        spread = 100 * (self.gap.max() - self.gap.min())
        return [
            *lines,
            f"shapes spread over {spread:.1f} % of loss; seeds of one shape have a "
            f"standard deviation of {100 * self.noise:.2f} % ({self.seeds} runs)",
        ]


def shapes(rows: table.Runs) -> Shapes:
    column = lambda name: rows.column(name).astype(float)  # noqa: E731
    kinds = np.stack([column("n_layer"), column("d_model"), column("n_head")], 1)
    log_loss, same = np.log(rows.loss), (kinds == kinds[0]).all(1)
    first = {tuple(kind): i for i, kind in reversed(list(enumerate(kinds)))}
    at = np.array(sorted(first.values()))
    gap = log_loss[at] - log_loss[same].mean()
    gap[0] = 0.0
    layers, width, heads = kinds[at].T
    names = tuple(f"{a:.0f} x {b:.0f}, {c:.0f} head{'s' if c > 1 else ''}" for a, b, c in kinds[at])
    noise = float(log_loss[same].std(ddof=1)) if same.sum() > 1 else float("nan")
    return Shapes(names, width / layers, heads, gap, column("params_hidden")[at], noise, int(same.sum()))


def answer(path: Path) -> list[str]:
    curves = table.read(tables.kept("kaplan2020-curves"))
    rows = {part: part_of(path, "kaplan2020", part) for part in PARTS}
    laws = powers(rows, tables.kept(chinchilla2022.named("laptop")))
    exponents = ", ".join(f"{law.name} {law.bare.law.alpha:.3f}" for law in laws)
    needed, shaped = kaplan_curves.efficiency(rows["sizes"], curves), shapes(rows["shapes"])
    return [
        f"loss falls, without a floor, with exponents {exponents}",
        *(law.summary for law in laws),
        kaplan_curves.describe_law(kaplan_curves.along_curves(rows["sizes"], curves)),
        needed.lines[-1],
        shaped.lines[-1],
        kaplan_curves.growth(kaplan_curves.critical_batches(rows["batches"], curves)),
        kaplan_curves.read_noise(tables.kept("kaplan2020-noise")).summary,
    ]


def powers(rows: dict[str, table.Runs], cells: Path) -> list[Power]:
    """L(N) and L(D), and L(C) where chinchilla2022's table is there."""
    laws = [
        power("N", rows["sizes"].params, rows["sizes"].loss),
        power("D", rows["lengths"].tokens, rows["lengths"].loss),
    ]
    return [*laws, along_the_frontier(cells)] if cells.exists() else laws


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, powers.png, efficiency.png, shapes.png, batches.png, and what they say."""
    name = tables.name_of("kaplan2020", size)
    corpora = chinchilla2022.SIZES[SIZES[size].text].corpora
    path = tables.table_of(name, store, partial(parts, size), out, corpora)
    curves = table.read(out / "curves.csv")
    rows = {part: part_of(path, name, part) for part in PARTS}
    laws = powers(rows, tables.kept(chinchilla2022.named(SIZES[size].text)))
    needed = kaplan_curves.efficiency(rows["sizes"], curves)
    along = kaplan_curves.along_curves(rows["sizes"], curves)
    shaped = shapes(rows["shapes"])
    batches = kaplan_curves.critical_batches(rows["batches"], curves)
    kept = tables.kept(f"{name}-noise")
    noise = kaplan_curves.measure_noise(store, rows, out / "noise.csv", kept)
    print("\n".join([*(law.summary for law in laws), kaplan_curves.describe_law(along), *needed.lines]))
    print("\n".join([*shaped.lines, *(batch.summary for batch in batches), noise.summary]))
    figures_kaplan.powers(laws).savefig(out / "powers.png")
    figures_kaplan.efficiency(rows["sizes"], curves, along).savefig(out / "efficiency.png")
    figures_kaplan.shapes(shaped).savefig(out / "shapes.png")
    figures_kaplan.critical_batch(batches, noise).savefig(out / "batches.png")
    print(f"figures in {out}")


def part_of(path: Path, name: str, part: str) -> table.Runs:
    return table.read(path, where=f"experiment == '{name}:{part}'").usable()


def along_the_frontier(path: Path) -> Power:
    """Loss of the best size by budget."""
    minima = frontiers.find_optima(table.read(path, where="budget > 0")).valleys
    inside = [minimum for minimum in minima if minimum.status in ("ok", "flat")]
    return power("C", [minimum.flops for minimum in inside], [minimum.loss for minimum in inside])
