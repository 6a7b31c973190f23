"""What a table's runs beside its grid say: cells under longer cosines, and at other learning rates."""

from dataclasses import dataclass

import numpy as np

from analysis import frontiers
from analysis.tables import table


@dataclass(frozen=True)
class Cosines:
    """Final losses of one cell by the length of its cosine over its own, and the noise (a standard
    deviation of log loss between seeds; NaN where unknown)."""

    times: tuple[float, ...]
    loss: tuple[float, ...]
    noise: float
    source: str
    lines: tuple[str, ...]  # in words


def longer_cosines(runs: table.Runs) -> Cosines:
    used = runs.usable()
    times = used.column("horizon_steps") / used.column("steps")
    longer = times > 1.001
    noise, source = float("nan"), ""
    cells = used.column("budget") > 0
    if cells.sum() > 5:
        iso = frontiers.find_optima(used.select(cells))
        noise, source = iso.noise.sigma, iso.noise.source
    if not longer.any():
        return Cosines((), (), noise, source, ("no run under a longer cosine is done yet",))
    like = used.select(longer)
    same = ~longer & (used.params == like.params[0]) & (used.tokens == like.tokens[0])
    same &= cells & (used.column("seed") == 0)
    pairs = sorted(zip(times[longer | same], used.loss[longer | same], strict=True))
    base = [loss for time, loss in pairs if time < 1.001]
    lines = [
        f"cosine {time:.3g} × the run: {loss:.4f} nats"
        + (f" ({100 * (loss / base[0] - 1):+.2f} %)" if base else "")
        for time, loss in pairs
    ]
    lines.append(f"noise between seeds: {100 * noise:.2g} % ({source})")
    found_times, losses = zip(*pairs, strict=True)
    return Cosines(tuple(map(float, found_times)), tuple(map(float, losses)), noise, source, tuple(lines))


def rates_tried(runs: table.Runs) -> list[str]:
    """The losses of each cell that was trained at other rates too, in words."""
    used = runs.usable()
    params, lengths, rate = used.params, used.tokens, used.column("learning_rate")
    plain = (used.column("seed") == 0) & (used.column("horizon_steps") == used.column("steps"))
    lines = []
    for n, d in sorted({(n, d) for n, d in zip(params, lengths, strict=True)}):
        cell = plain & (params == n) & (lengths == d)
        at, losses = rate[cell], used.loss[cell]
        rule = at[used.column("budget")[cell] > 0]
        if len(at) < 2 or not len(rule):
            continue
        best = at[np.argmin(losses)]
        tried = ", ".join(f"{r:.3g}: {y:.4f}" for r, y in sorted(zip(at, losses, strict=True)))
        lines.append(
            f"rates at N={n:,.0f}, D={d:,.0f}: {tried}; the rule's {rule[0]:.3g} is "
            f"{rule[0] / best:.2g} times the best of these"
        )
    return lines or ["no cell is done at other rates yet"]
