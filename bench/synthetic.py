"""Run tables drawn from a known law with known noise."""

from collections.abc import Sequence

import numpy as np

from analysis.laws import Chinchilla
from analysis.tables import table
from analysis.tables.runs import Runs


def factorial(law: Chinchilla, params, tokens, noise: float = 0.0, seed: int = 0) -> Runs:
    """Every pairing of `params` and `tokens`; `noise` is the standard deviation of log loss."""
    n, d = (m.ravel() for m in np.meshgrid(params, tokens, indexing="ij"))
    log_noise = noise * np.random.default_rng(seed).standard_normal(n.size)
    loss = law.loss(n, d) * np.exp(log_noise)
    return table.from_columns("synthetic", params=n, tokens=d, flops=6 * n * d, loss=loss)


def isoflop(
    law: Chinchilla,
    budgets: Sequence[float],
    sizes: int = 6,
    span: float = 12.0,
    noise: float = 0.0,
    replicates: int = 0,
    k: float = 6.0,
    p: float = 1.0,
    centre: float = 1.0,
    seed: int = 0,
) -> Runs:
    """`sizes` models a budget, spread over a factor `span` around the law's optimum, where
    flops = k · params^p · tokens; `replicates` more seeds in the middle cell.

    `centre` moves the ladder off the optimum by that factor. `noise` is the standard deviation of
    log loss.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i, budget in enumerate(budgets):
        best, _ = law.optimum(budget, k, p)
        ladder = best * centre * np.geomspace(span**-0.5, span**0.5, sizes)
        for j, n in enumerate(ladder):
            middle = i == len(budgets) // 2 and j == sizes // 2
            rows += [(budget, n, budget / (k * n**p), s) for s in range(1 + replicates * middle)]
    budget, n, d, number = np.array(rows).T
    loss = law.loss(n, d) * np.exp(noise * rng.standard_normal(len(rows)))
    ids = np.array([f"{i:012x}" for i in rng.integers(0, 16**12, len(rows))], object)
    columns = {"run_id": ids, "budget": budget, "params": n, "tokens": d, "flops": budget, "loss": loss}
    return table.from_columns("synthetic", **columns, seed=number, epochs=d / 5e6)


def curves(
    law: Chinchilla,
    params: Sequence[float],
    ends: Sequence[float] = (),
    tokens: Sequence[float] = (),
    losses: int = 30,
    share: float = 1e-3,
    inflation: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Runs:
    """Training curves: a run of every size to each of `ends` (FLOPs at 6·N·D) and to each of
    `tokens`, with `losses` points from `share` of its tokens on, spread evenly in their logarithm.

    `inflation` is how far log loss lies above the law at the start of a run, falling in a straight
    line to nothing at its end, as under a learning rate that decays; `noise` is the standard
    deviation of log loss, drawn once a run.
    """
    rng = np.random.default_rng(seed)
    rows = []
    grid = [(n, d) for n in params for d in (*(end / (6 * n) for end in ends), *tokens)]
    for run, (n, last) in enumerate(grid):
        seen = np.geomspace(share, 1.0, losses)
        d = seen * last
        loss = law.loss(n, d) * np.exp(inflation * (1 - seen) + noise * rng.standard_normal())
        rows += zip([run] * losses, [n] * losses, d, 6 * n * d, loss, strict=True)
    run, n, d, flops, loss = np.array(rows).T
    ids = np.array([f"run{int(i):03d}" for i in run], object)
    return table.from_columns("synthetic", run_id=ids, params=n, tokens=d, flops=flops, loss=loss)
