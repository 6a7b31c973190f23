"""Laws of a whole training curve: the loss after every update, from the learning rates of all up to it.

At given exponents both laws are linear in their coefficients, which `basis` is multiplied with.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws.jets import Array

MOST = 400  # parts that a falling rate is divided into


def fallen(rates: Array) -> Array:
    """How far the learning rate falls at each update (T,), from its highest on; before that it warms up."""
    drops = -np.diff(rates, prepend=rates[0])
    drops[: int(np.argmax(rates)) + 1] = 0.0
    return drops


@dataclass(frozen=True)
class Momentum:
    """L(s) = L0 + A S1^-alpha - C S2  (Tissue et al. 2024, arXiv 2408.11029): S1(s) is the sum of the
    rates up to update s, and S2(s) the sum of how far the rate has fallen, each fall felt with a momentum:
    m_i = decay · m_(i-1) + (rate_(i-1) - rate_i), S2 = Σ m_i."""

    L0: float  # nats/token left after unlimited updates
    A: float  # nats/token * rate^alpha
    C: float  # nats/token per unit of S2
    alpha: float
    decay: float = 0.999

    linear: ClassVar = ("L0", "A", "C")
    grid: ClassVar = {"alpha": (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5), "decay": (0.99, 0.999)}
    polished: ClassVar = ("alpha",)

    @classmethod
    def basis(cls, rates: Array, steps: Array, alpha: float, decay: float) -> Array:
        """(3, P) at updates `steps` (P,), 1 to T, of rates (T,)."""
        from scipy.signal import lfilter  # slow to import, and no other law needs it

        total = np.cumsum(rates)[steps - 1]
        felt = np.cumsum(lfilter([1.0], [1.0, -decay], fallen(rates)))[steps - 1]
        return np.stack([np.ones(len(steps)), total**-alpha, -felt])

    def loss(self, rates: Array, steps: Array) -> Array:
        return np.array([self.L0, self.A, self.C]) @ self.basis(rates, steps, self.alpha, self.decay)


@dataclass(frozen=True)
class MultiPower:
    """L(s) = L0 + A S1^-alpha - B Σ_k (rate_(k-1) - rate_k) · (1 - (1 + C rate_k^-gamma S_k)^-beta)  (the
    multi-power law of Luo et al. 2025, arXiv 2503.12811): S_k(s) is the sum of the rates of updates k to s,
    so that a fall of the rate gains its loss by and by."""

    L0: float  # nats/token left after unlimited updates
    A: float  # nats/token * rate^alpha
    B: float  # nats/token per unit of rate
    alpha: float
    beta: float
    gamma: float
    C: float  # rate^(gamma - 1)

    linear: ClassVar = ("L0", "A", "B")
    grid: ClassVar = {
        "alpha": (0.2, 0.35, 0.5, 0.75, 1.0),
        "beta": (0.3, 0.6),
        "gamma": (0.5,),
        "C": (0.3, 2.0, 10.0),
    }
    polished: ClassVar = ("alpha", "beta", "gamma", "C")

    @classmethod
    def basis(cls, rates: Array, steps: Array, alpha: float, beta: float, gamma: float, C: float) -> Array:
        """(3, P) at updates `steps` (P,), 1 to T, of rates (T,)."""
        total = np.cumsum(rates)
        where, drops = parts(fallen(rates))
        since = np.maximum(0.0, total[steps - 1][:, None] - (total - rates)[where])  # (P, K)
        since = np.where(steps[:, None] > where, since, 0.0)
        with np.errstate(divide="ignore"):  # a rate of zero gains nothing
            speed = np.where(rates[where] > 0, C * rates[where] ** -gamma, 0.0)
        gained = (1 - (1 + speed * since) ** -beta) @ drops
        return np.stack([np.ones(len(steps)), total[steps - 1] ** -alpha, -gained])

    def loss(self, rates: Array, steps: Array) -> Array:
        others = self.alpha, self.beta, self.gamma, self.C
        return np.array([self.L0, self.A, self.B]) @ self.basis(rates, steps, *others)


def parts(drops: Array) -> tuple[Array, Array]:
    """The updates (K,) at which the rate falls, and by how much (K,); neighbours joined where many."""
    where = np.flatnonzero(drops)
    if len(where) <= MOST:
        return where, drops[where]
    first = np.linspace(0, len(where), MOST, endpoint=False).astype(int)
    middle = (first + np.append(first[1:], len(where)) - 1) // 2
    return where[middle], np.add.reduceat(drops[where], first)


CURVE_LAWS: dict[str, type[Momentum] | type[MultiPower]] = {"momentum": Momentum, "multi-power": MultiPower}
