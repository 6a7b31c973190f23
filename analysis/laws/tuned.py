"""The law of runs that were not all tuned: the loss at any learning rate and batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws import jets
from analysis.laws.base import Law, Unit
from analysis.laws.jets import Array, Jet
from analysis.laws.joint import Joint

BATCHES = ("batch_tokens", "batch_size", "global_batch_size", "bsz", "bs", "batch")


@dataclass(frozen=True)
class Tuned(Law):
    """log L = log L(N, D) + h_r q(u, s_r) + h_b q(v, s_b): the loss at any learning rate and batch, where
    L(N, D) is `Joint`, v = log(batch / (b D^b_D)) and u = log(rate / (r N^r_N D^r_D e^(r_b v))).

    q(x, s) = 2 (e^(s x) - 1 - s x)/s² is x² about the best and steeper above it where s > 0. The best rate is
    that of Li et al. 2025 (arXiv 2503.04715), for a batch; the form of the loss about it is this project's.
    """

    E: float  # nats/token left when params and tokens are unlimited
    A: float  # (nats/token)^(1/gamma) * params^alpha
    B: float  # (nats/token)^(1/gamma) * tokens^beta
    alpha: float
    beta: float
    gamma: float
    r: float  # rate * params^-r_N * tokens^-r_D, at the best batch
    r_N: float
    r_D: float
    r_b: float  # of the batch over its best
    h_r: float  # log loss at a factor e of the rate
    s_r: float
    b: float  # the best batch * tokens^-b_D
    b_D: float
    h_b: float  # log loss at a factor e of the batch
    s_b: float

    inputs: ClassVar = ("params", "tokens", "learning_rate", "batch_tokens")
    headers: ClassVar = {"learning_rate": ("lr", "peak_lr", "max_lr"), "batch_tokens": BATCHES}
    grid: ClassVar = {
        **{name: Joint.grid[name] for name in ("E", "alpha", "beta", "gamma")},
        **{"r": (1.0,), "r_N": (-0.5,), "r_D": (0.3,), "r_b": (0.3,), "h_r": (0.01,), "s_r": (0.5,)},
        **{"b": (1.0,), "b_D": (0.5,), "h_b": (0.01,), "s_b": (0.5,)},
    }
    linear: ClassVar = ("A", "B")
    scales: ClassVar = ("E", "gamma", "r", "h_r", "b", "h_b")
    units: ClassVar[dict[str, Unit]] = {
        "A": ((0, 1, "alpha"),),
        "B": ((1, 1, "beta"),),
        "r": ((2, 1, None), (0, -1, "r_N"), (1, -1, "r_D")),
        "b": ((3, 1, None), (1, -1, "b_D")),
    }
    rising: ClassVar = True

    @classmethod
    def choices(cls, logs: Array, output: Array) -> dict[str, tuple[float, ...]]:
        return {**cls.grid, **Joint.choices(logs, output)}

    @classmethod
    def formula(cls, p, logs: Array) -> Jet:
        return Joint.formula(p, logs) + bowls(p, logs)

    @classmethod
    def basis(cls, values: dict[str, Array], logs: Array, output: Array) -> Array:
        """That of `Joint`, of what the output would be at the best rate and batch."""
        p = jets.parameters(cls.at(values), cls.names(), False, np.empty(0))
        return Joint.basis(values, logs, output * np.exp(-bowls(p, logs).value))


def bowls(p, logs: Array) -> Jet:
    """Log of the loss over that at the best rate and batch."""
    batch = logs[3] - p.b - p.b_D * logs[1]
    rate = logs[2] - p.r - p.r_N * logs[0] - p.r_D * logs[1] - p.r_b * batch
    return jets.exp(p.h_r) * bowl(rate, p.s_r) + jets.exp(p.h_b) * bowl(batch, p.s_b)


def bowl(x: Jet, skew: Jet) -> Jet:
    """x² about zero, steeper above it where `skew` is positive."""
    bent = skew * x
    return 2.0 * (jets.expm1(bent) - bent) / (skew * skew)
