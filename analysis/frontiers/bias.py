"""What approach 2 would return on noise-free data of the same design: the bias of its valleys.

A parabola through a valley that is lopsided, or centred off its optimum, has its bottom elsewhere.
The law fitted to the same rows (approach 3) says how lopsided the valleys are: its losses take the
place of the measured ones, and the same method is run on the same rows.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting.regression import Fit, fit
from analysis.frontiers.costs import Cost
from analysis.frontiers.isoflop import Isoflop, find_optima
from analysis.frontiers.lines import Line, fit_line
from analysis.laws import Array, Chinchilla


@dataclass(frozen=True, eq=False)
class BiasCheck:
    """Approach 2 on noise-free losses of a law, against the optimum of that law.

    `a_from_law` and `a_by_method` are exponents of params ∝ flops^a under the same cost;
    `params_ratio` is the method's optimal params over the law's at `flops`, the largest budget in
    the exponent. NaN, with a `status` other than ok and a `message`, where no check is possible.
    """

    status: str
    message: str
    a_from_law: float = np.nan
    a_by_method: float = np.nan
    params_ratio: float = np.nan
    flops: float = np.nan
    law: Chinchilla | None = None
    line: Line | None = None
    cost: Cost | None = None

    @property
    def shift(self) -> float:
        """The method's exponent minus the law's."""
        return self.a_by_method - self.a_from_law

    def at(self, flops: Array) -> Array:
        """The method's extrapolated params over the law's at budgets (K,); NaN without a check."""
        flops = np.asarray(flops, float)
        if self.line is None:
            return np.full(flops.shape, np.nan)
        return self.line.params(flops) / self.law.optimum(flops, self.cost.k, self.cost.p)[0]

    def __str__(self) -> str:
        if self.status != "ok":
            return f"not checked: {self.message}"
        off = 100 * (self.params_ratio - 1)
        return (
            f"on noise-free data of the fitted law this design and method give a = "
            f"{self.a_by_method:.3f}, the law a = {self.a_from_law:.3f} (shift {self.shift:+.3f}); "
            f"its best params lie {off:+.1f} % from the law's at {self.flops:.3g} FLOPs"
        )


def check_bias(iso: Isoflop, cost: Cost, fitted: Fit | None = None) -> BiasCheck:
    """The bias of an `Isoflop` under the Chinchilla law fitted to its rows.

    Args:
      iso: the optima: their rows, budgets, window and method are repeated on the law's losses. Of
        those in its exponent the ones that are inside their valley without noise too are compared.
      cost: what the law's optimum is taken under.
      fitted: the fit of Chinchilla's law to the same rows; made here when not given, or of another law.
    """
    try:
        if fitted is None or type(fitted.law).names() != Chinchilla.names():
            fitted = fit(Chinchilla, iso.runs)
    except ValueError as error:
        return BiasCheck("few", f"no Chinchilla law can be fitted ({error})")
    law = fitted.law
    if not fitted.regular or not min(law.A, law.B, law.alpha, law.beta) > 0:
        return BiasCheck(fitted.status, f"the Chinchilla fit is {fitted.status}: {fitted.message}")
    used = iso.runs.usable()
    exact = replace(used, columns={**used.columns, used.roles["loss"]: law.loss(used.params, used.tokens)})
    quiet = find_optima(exact, method=iso.method, window=iso.window, budgets=iso.budgets, draws=1)
    pairs = zip(quiet.valleys, iso.valleys, strict=True)
    kept = [valley for valley, seen in pairs if seen.inside and valley.status == "ok"]
    inside = sum(valley.inside for valley in iso.valleys)
    if len(kept) < 2:
        return BiasCheck(
            "few",
            f"on noise-free data of the fitted law {len(kept)} of {inside} "
            "budgets have their minimum inside; an exponent needs two",
        )
    last = kept[-1]
    line = fit_line(np.array([v.flops for v in kept]), np.array([v.params for v in kept]))
    return BiasCheck(
        status="ok",
        message=f"{len(kept)} of {inside} budgets; {iso.method}",
        a_from_law=float(law.exponents(cost.p)[0]),
        a_by_method=float(line.slopes[0]),
        params_ratio=float(last.params / law.optimum(last.flops, cost.k, cost.p)[0]),
        flops=float(last.flops),
        law=law,
        line=line,
        cost=cost,
    )
