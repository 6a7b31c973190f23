"""Which way of finding valleys a table's design and noise favour, and how far defensible ways differ.

The rule: every way is asked how far its exponent would be off on this very design. Its bias is what it
gives on noise-free losses of the law fitted to the rows, less that law's own exponent (`bias`); its noise the
standard deviation over noisy repeats. The way of least root of bias² + noise² is chosen; interpolation where
neither can be told. Ways of up to `DEFENSIBLE` times that error are defensible; the interval holds them all.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from analysis.fitting.band import Band
from analysis.fitting.regression import Fit, fit
from analysis.frontiers.costs import Cost
from analysis.frontiers.frontier import Frontier, from_isoflop
from analysis.frontiers.isoflop import Isoflop, find_optima
from analysis.frontiers.lines import Exponents, Extend
from analysis.laws import Array, Chinchilla
from analysis.tables.runs import Runs

WAYS = ("interpolate", "parabola", "joint")
DEFENSIBLE = 3.0


@dataclass(frozen=True, eq=False)
class Way:
    """One way's exponent, and how far it is expected to be off (NaN where that can't be told)."""

    method: str
    iso: Isoflop
    front: Frontier
    bias: float
    noise: float

    @property
    def error(self) -> float:
        return float(np.hypot(self.bias, self.noise))


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen way, those as defensible (itself among them), and a `frontier` whose intervals hold what
    they all say. `gap` is how far their exponents lie apart, `half` 1.96 times the noise of the noisiest."""

    chosen: Way
    ways: tuple[Way, ...]
    defensible: tuple[Way, ...]
    frontier: Frontier
    gap: float
    half: float
    reason: str

    @property
    def beyond_noise(self) -> bool:
        """Whether the ways differ by more than noise explains."""
        return bool(self.gap > self.half)

    def __str__(self) -> str:
        a = self.frontier.params_exponent
        values = ", ".join(f"{w.front.params_exponent.value:.3f} by {w.method}" for w in self.defensible)
        word = "MORE than" if self.beyond_noise else "within"
        others = f"; {values}: they differ by {self.gap:.3f}, {word} the noise (± {self.half:.3f})"
        return f"a = {a} by {self.chosen.method}, {self.reason}{others * (len(self.defensible) > 1)}"


def choose_valleys(
    runs: Runs,
    cost: Cost | None = None,
    fitted: Fit | None = None,
    *,
    known: Isoflop | None = None,
    **options,
) -> Choice:
    """The `Choice` of a table; `options` are those of `find_optima` but for its method.

    Args:
      runs, cost, fitted: as for `find_optima` and `from_isoflop`.
      known: optima that are there already, of one of the ways with the same options.

    Raises:
      ValueError: as `find_optima`, or no way has an exponent.
    """
    isos = {known.method: known} if known else {}
    isos |= {name: find_optima(runs, method=name, **options) for name in WAYS if name not in isos}
    try:
        fitted = fitted or fit(Chinchilla, runs)
    except ValueError:
        fitted = None  # no law, no bias: each way's check says so
    ways = []
    for name in WAYS:
        front = from_isoflop(isos[name], cost, fitted)
        bias = front.bias_check.shift if front.bias_check else np.nan
        ways.append(Way(name, isos[name], front, float(bias), front.exponents.noise))
    with_value = {way.method: way for way in ways if np.isfinite(way.front.params_exponent.value)}
    if not with_value:
        raise ValueError(f"{runs.source}: no way of finding valleys has an exponent: {ways[0].front.message}")
    name, names = favour({name: way.error for name, way in with_value.items()})
    chosen, defensible = with_value[name], [with_value[other] for other in names]
    reason = "as bias or noise can't be told of any"
    if np.isfinite(chosen.error):
        reason = f"least expected error (bias {chosen.bias:+.3f}, noise {chosen.noise:.3f})"
    gap = float(np.ptp([way.front.params_exponent.value for way in defensible]))
    half = 1.96 * max(way.noise for way in defensible)
    held = hold(chosen, defensible)
    return Choice(chosen, tuple(ways), tuple(defensible), held, gap, half, reason)


def favour(errors: dict[str, float]) -> tuple[str, list[str]]:
    """The way of least expected error, and those as defensible; of none that is known the first, and all."""
    known = {name: error for name, error in errors.items() if np.isfinite(error)}
    if not known:
        return next(iter(errors)), list(errors)
    chosen = min(known, key=known.get)
    return chosen, [name for name, error in known.items() if error <= DEFENSIBLE * known[chosen]]


def hold(chosen: Way, defensible: list[Way]) -> Frontier:
    """The chosen way's frontier, its intervals widened to hold the values of all that are defensible, and
    exponents' also what they would be without the way's bias."""
    fronts = [way.front for way in defensible]
    bias, p = np.nan_to_num(chosen.bias), chosen.front.cost.p
    own = chosen.front.exponents
    exponents = Exponents(
        widen(own.a, [front.exponents.a for front in fronts], bias),
        widen(own.b, [front.exponents.b for front in fronts], -p * bias),
        partial(extend, own.extend, [front.exponents.extend for front in fronts]),
        own.loss_note,
        own.noise,
    )
    return replace(chosen.front, exponents=exponents)


def widen(band: Band, others: list[Band], shift: float = 0.0) -> Band:
    values = [other.value for other in others] + [band.low - shift, band.high - shift]
    low, high = np.fmin.reduce([band.low, *values]), np.fmax.reduce([band.high, *values])
    known = np.isfinite(band.low)
    return Band.from_ends(band.value, np.where(known, low, np.nan)[()], np.where(known, high, np.nan)[()])


def extend(own: Extend, ways: list[Extend], flops: Array) -> tuple[Band, Band, Band]:
    bands = [way(flops) for way in ways]
    return tuple(widen(each, [band[i] for band in bands]) for i, each in enumerate(own(flops)))
