"""What approach 2 would return on noise-free data of the same design: the bias of its valleys.

A parabola through a valley that is lopsided, or centred off its optimum, has its bottom elsewhere.
The law fitted to the same rows (approach 3) says how lopsided the valleys are: its losses take the
place of the measured ones, and the same method is run on the same rows.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.fitting import fit as fitting
from analysis.fitting.fit import Fit
from analysis.frontiers import lines
from analysis.frontiers.costs import Cost
from analysis.frontiers.isoflop import Isoflop, optima
from analysis.laws import Array, Chinchilla

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class BiasCheck:
    """Approach 2 on noise-free losses of a law, against the optimum of that law.

    `a_from_law` and `a_by_method` are exponents of params ∝ flops^a under the same cost;
    `params_ratio` is the method's optimal params over the law's at `flops`, the largest budget in
    the exponent. NaN, with a `status` other than ok and a `message`, where no check is possible.
    """

    a_from_law: float
    a_by_method: float
    params_ratio: float
    flops: float
    status: str
    message: str
    law: Chinchilla | None = None
    line: lines.Line | None = None
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


def check(iso: Isoflop, cost: Cost, used: Array, fitted: Fit | None = None) -> BiasCheck:
    """The bias of an `Isoflop` under the Chinchilla law fitted to its rows.

    Args:
      iso: the optima: their rows, budgets, window and method are repeated on the law's losses.
      cost: what the law's optimum is taken under.
      used: (budgets,), which optima are in the exponent; of these, the ones that are inside their
        valley on noise-free data too are compared.
      fitted: the fit of Chinchilla's law to the same rows; made here when not given.
    """
    try:
        fitted = fitted or fitting.fit(Chinchilla, iso.runs)
    except ValueError as error:
        return impossible("few", f"no Chinchilla law can be fitted ({error})")
    law = fitted.law
    if fitted.status in ("unidentified", "failed") or not min(law.A, law.B, law.alpha, law.beta) > 0:
        return impossible(fitted.status, f"the Chinchilla fit is {fitted.status}: {fitted.message}")
    quiet = optima(noise_free(iso, law), method=iso.method, window=iso.window, budgets=iso.budgets, draws=1)
    kept = [p for p, good in zip(quiet.profiles, used, strict=True) if good and p.status == "ok"]
    if len(kept) < 2:
        return impossible(
            "few",
            f"on noise-free data of the fitted law {len(kept)} of {sum(used)} "
            "budgets have their minimum inside; an exponent needs two",
        )
    flops = np.array([p.flops for p in kept])
    line = lines.through(flops, np.array([p.params for p in kept]))
    best = law.optimum(flops[-1], cost.k, cost.p)[0]
    return BiasCheck(
        a_from_law=float(law.exponents(cost.p)[0]),
        a_by_method=float(line.slope),
        params_ratio=float(kept[-1].params / best),
        flops=float(flops[-1]),
        status="ok",
        message=f"{len(kept)} of {sum(used)} budgets; {iso.method}",
        law=law,
        line=line,
        cost=cost,
    )


def noise_free(iso: Isoflop, law: Chinchilla):
    """The usable rows with the law's losses in place of the measured ones."""
    runs = iso.runs.usable()
    name = runs.roles["loss"]
    return replace(runs, columns={**runs.columns, name: law.loss(runs.params, runs.tokens)})


def impossible(status: str, message: str) -> BiasCheck:
    return BiasCheck(NAN, NAN, NAN, NAN, status, message)
