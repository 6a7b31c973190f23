"""Do the three approaches of Hoffmann et al. 2022 agree on a grid trained here, on code?

Question: on the Linux kernel's sources as bytes, the exponents of N and D against C by the envelope
          of final points, by isoFLOP valleys and by the parametric law; and (their figure A1) what
          a cosine longer than the run costs.
Command:  python -m lab run experiments.chinchilla2022   (:accelerator, :smoke)
Cost:     laptop: 39 runs, 9.0e13 FLOPs, 19 minutes on two cores as `lab plan` prices it;
          accelerator: 39 runs, 2.0e17 FLOPs, about an hour at 6e13 FLOP/s
Answer:   expected: all three intervals hold one exponent between 0.45 and 0.6 (with N without the
          embedding and small models, nearer to 0.55); the envelope, of few sizes, the widest. A
          cosine of 1.1 times the run costs less than the noise between seeds, one of twice the run
          clearly more. Not expected: a sharp 0.50, over a factor 16 of compute.

Five budgets spaced by 2, six sizes each, sliding with the budget, so that most sizes are trained at
several lengths: the same cells serve all three approaches. Two more seeds of two cells measure the
noise. One cell again with its cosine 1.1 to 5 times as long as the run.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from analysis import envelope, isoflop, table
from analysis import frontier as frontiers
from experiments import figures, frontier, quickstart, tables
from lab import corpora, counts, grid
from lab.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from lab.store import Store

HORIZONS = (1.1, 1.25, 1.5, 2.0, 5.0)  # times the run's own length


@dataclass(frozen=True)
class Size:
    """One grid: which models, at which budgets."""

    shapes: tuple[tuple[int, int, int], ...]  # (layers, width, heads)
    budgets: tuple[float, ...]  # training FLOPs
    first: tuple[int, ...]  # the smallest size of each budget
    sizes: int  # a budget
    batch_tokens: int
    seq_len: int
    replicated: tuple[tuple[int, int], ...]  # (budget, size): trained with two more seeds each
    stretched: tuple[int, int]  # (budget, size): trained under longer cosines
    min_tokens: int
    corpora: tuple[str, ...] = ("linux-6.1", "python-stdlib")
    dtype: str = "float32"


SMALL = (
    (1, 16, 1), (1, 24, 1), (2, 24, 1), (2, 32, 1), (2, 40, 1), (2, 48, 2), (2, 64, 2), (3, 64, 2),
    (3, 80, 2), (4, 96, 3), (4, 112, 4), (5, 128, 4), (6, 144, 4), (7, 160, 5),
)  # fmt: skip
LARGE = (
    (4, 128, 2), (4, 160, 2), (5, 192, 3), (6, 224, 4), (6, 288, 4), (8, 320, 5), (8, 384, 6),
    (10, 448, 7), (11, 512, 8), (12, 640, 10), (14, 768, 12), (16, 896, 14),
)  # fmt: skip
SIZES = {
    "laptop": Size(
        SMALL, (4.5e11, 9e11, 1.8e12, 3.6e12, 7.2e12), (0, 1, 3, 4, 5), 6, 1024, 128,
        ((0, 2), (0, 3)), (1, 3), 900_000,
    ),
    "accelerator": Size(
        LARGE, (1e15, 2e15, 4e15, 8e15, 1.6e16), (0, 1, 2, 3, 4), 6, 32_768, 512,
        ((0, 2), (0, 3)), (1, 3), 10_000_000, dtype="bfloat16",
    ),
    "smoke": Size(
        ((1, 8, 1), (1, 16, 1), (1, 24, 1), (1, 32, 1), (1, 48, 1), (2, 48, 1), (2, 64, 2)),
        (4e9, 8e9, 1.6e10), (0, 1, 2), 4, 256, 32, ((0, 1),), (0, 2), 0, ("python-stdlib",),
    ),
}  # fmt: skip


def text(size: Size) -> DataConfig:
    corpus = corpora.prepare_first(list(size.corpora))
    return DataConfig(
        sha256=corpus.sha256, corpus=corpus.name, train_tokens=corpus.n_train, max_epochs=4
    )


def models(size: Size) -> list[ModelConfig]:
    return grid.ladder(size.shapes, vocab_size=256, seq_len=size.seq_len, dtype=size.dtype)


def optim(model: ModelConfig, tokens: int) -> OptimConfig:
    """The quickstart's rate by size (experiments/rates.py)."""
    return OptimConfig(learning_rate=quickstart.rule(counts.count_params(model).params))


def cells(size: Size) -> list[RunConfig]:
    """The isoFLOP grid itself."""
    ladder = models(size)
    budgets = {
        budget: ladder[start : start + size.sizes]
        for budget, start in zip(size.budgets, size.first, strict=True)
    }
    return grid.isoflop(
        budgets, data=text(size), optim=optim, batch_tokens=size.batch_tokens,
        min_tokens=size.min_tokens,
    )  # fmt: skip


def stretched(cell: RunConfig) -> list[RunConfig]:
    """A cell under cosines longer than itself. No budget: they are no points of a valley."""
    return [
        replace(
            cell, optim=replace(cell.optim, horizon_steps=round(times * cell.steps)), budget=0.0
        )
        for times in HORIZONS
    ]


def runs(size: str = "laptop") -> list[RunConfig]:
    grid_of = SIZES[size]
    all_cells = cells(grid_of)
    at = lambda place: all_cells[place[0] * grid_of.sizes + place[1]]  # noqa: E731
    repeated = [
        replace(at(place), seed=seed, data_seed=seed)
        for place in grid_of.replicated
        for seed in (1, 2)
    ]
    return all_cells + repeated + stretched(at(grid_of.stretched))


def nearest(params: float, budget: float, size: str = "laptop") -> RunConfig:
    """The run at a budget whose model is nearest to `params` on this size's ladder.

    Raises:
      ValueError: the ladder ends more than a factor 1.5 before it, or its data is used up.
    """
    grid_of = SIZES[size]
    ladder = models(grid_of)
    count = lambda model: counts.count_params(model).params  # noqa: E731
    model = min(ladder, key=lambda m: max(count(m) / params, params / count(m)))
    if not count(ladder[0]) / 1.5 < params < count(ladder[-1]) * 1.5:
        raise ValueError(
            f"the optimum at {budget:.3g} FLOPs is {params:.3g} params, and the ladder of "
            f"chinchilla2022:{size} goes from {count(ladder[0]):,} to {count(ladder[-1]):,}; give "
            "it more shapes, or a budget nearer to the table's"
        )
    return grid.isoflop(
        {budget: [model]}, data=text(grid_of), optim=optim, batch_tokens=grid_of.batch_tokens
    )[0]


def report(store: Store, out: Path, size: str = "laptop") -> None:
    """runs.csv, the figures and page of the valleys and the law, envelope.png, horizon.png, and in
    words whether the three approaches agree."""
    name = "chinchilla2022" if size == "laptop" else f"chinchilla2022-{size}"
    configs = runs(size)
    path = tables.table_of(name, store, configs, out)
    everything = table.read(path)
    cosines = longer_cosines(everything)
    for line in cosines.said:
        print(line)
    figures.horizon(cosines).savefig(out / "horizon.png")
    grid_runs = everything.where("budget > 0")
    if len(grid_runs.usable()) < 6:
        print("fewer than six cells are done: no law yet")
        return
    corpus = corpora.open_corpus(configs[0].data.corpus)
    nats = {key: found["nats_per_token"] for key, found in corpus.baselines.items()}
    frontier.write(
        out, f"Compute-optimal Transformers on {corpus.name} ({size})",
        {"bigram": nats["bigram"], "gzip -9": nats["gzip"]}, where="budget > 0",
        command=f"python -m lab run experiments.chinchilla2022:{size}",
    )  # fmt: skip
    three_approaches(grid_runs, out)


def three_approaches(runs: table.Runs, out: Path) -> None:
    """Approach 1 beside the other two: envelope.png, and each pair in words."""
    from analysis import figures_envelope

    found = frontier.analyse(runs)
    try:
        traced = envelope.trace(runs, points="final")
    except ValueError as error:
        print(f"approach 1 (envelope of final points) has no answer: {error}")
        return
    first = frontiers.from_envelope(traced, found.price)
    figures_envelope.envelope(traced, first).savefig(out / "envelope.png")
    print(f"{first.method:<29} N ~ C^{first.params_exponent}   D ~ C^{first.tokens_exponent}   "
          f"[{first.status}]")  # fmt: skip
    for said in frontiers.agreement([first, found.valley, found.parametric]):
        print(said)


@dataclass(frozen=True)
class Cosines:
    """Final losses of one cell by the length of its cosine over its own, and the noise (a standard
    deviation of log loss between seeds; NaN where unknown)."""

    times: tuple[float, ...]
    loss: tuple[float, ...]
    noise: float
    source: str
    said: tuple[str, ...]


def longer_cosines(runs: table.Runs) -> Cosines:
    used = runs.usable()
    times = used.column("horizon_steps") / used.column("steps")
    longer = times > 1.001
    noise, source = float("nan"), ""
    if (~longer).sum() > 5:
        iso = isoflop.optima(used.select(~longer))
        noise, source = iso.sigma, iso.sigma_source
    if not longer.any():
        return Cosines((), (), noise, source, ("no run under a longer cosine is done yet",))
    like = used.select(longer)
    same = ~longer & (used.params == like.params[0]) & (used.tokens == like.tokens[0])
    same &= used.column("seed") == 0
    pairs = sorted(zip(times[longer | same], used.loss[longer | same], strict=True))
    base = [loss for time, loss in pairs if time < 1.001]
    said = [f"cosine {time:.3g} × the run: {loss:.4f} nats"
            + (f" ({100 * (loss / base[0] - 1):+.2f} %)" if base else "")
            for time, loss in pairs]  # fmt: skip
    said.append(f"noise between seeds: {100 * noise:.2g} % ({source})")
    found_times, losses = zip(*pairs, strict=True)
    return Cosines(tuple(map(float, found_times)), tuple(map(float, losses)), noise, source,
                   tuple(said))  # fmt: skip
