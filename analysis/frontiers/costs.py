"""Training compute as a function of params and tokens: what a frontier minimises under."""

from dataclasses import dataclass

import numpy as np

from analysis.laws import Array
from analysis.tables.runs import Runs


@dataclass(frozen=True)
class Cost:
    """flops = k · params^p · tokens, and how far the table's own flops lie from it."""

    k: float
    p: float
    source: str  # where k and p come from
    deviation: float = 0.0  # largest |table's flops / this - 1|

    def tokens(self, params: Array, flops: Array) -> Array:
        with np.errstate(divide="ignore"):  # an interval may reach down to no params at all
            return np.asarray(flops, float) / (self.k * np.asarray(params, float) ** self.p)

    def flops(self, params: Array, tokens: Array) -> Array:
        return self.k * np.asarray(params, float) ** self.p * np.asarray(tokens, float)

    def __str__(self) -> str:
        power = "params" if self.p == 1 else f"params^{self.p:.4g}"
        off = f", largest deviation {100 * self.deviation:.2g} %" if self.deviation > 5e-4 else ""
        return f"flops = {self.k:.4g}·{power}·tokens ({self.source}{off})"


SIX = Cost(6.0, 1.0, "6·N·D as asked")


def fit_cost(runs: Runs, kind: str = "table") -> Cost:
    """The cost function of a table: `table` fits flops/tokens as a power of params; `6nd` is 6·N·D.

    A table whose flops are 6·N·D to 0.2 % gives exactly that, and so does one without flops.
    """
    if kind == "6nd":
        return SIX
    if kind != "table":
        raise ValueError(f"cost {kind!r} is not one of table, 6nd")
    used = runs.usable()
    if not len(used):
        raise ValueError(f"{runs.source}: every run is flagged, so there is no cost to fit")
    per_token = np.log(used.flops / used.tokens)
    log_n = np.log(used.params)
    if np.abs(np.exp(per_token - np.log(6) - log_n) - 1).max() < 2e-3:
        return Cost(6.0, 1.0, "6·N·D, which the table's flops are")
    if np.ptp(log_n) < 1e-9:
        k = float(np.exp((per_token - log_n).mean()))
        return Cost(k, 1.0, "the table's flops; it holds one size only")
    p, log_k = np.polyfit(log_n, per_token, 1)
    deviation = np.abs(np.expm1(per_token - log_k - p * log_n)).max()
    return Cost(float(np.exp(log_k)), float(p), "fitted to the table's flops", float(deviation))
