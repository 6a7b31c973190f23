"""Numbers that carry their exact first and second derivatives by the parameters they depend on.

A law writes its log prediction once, in these, and the optimiser gets derivatives that are right to
rounding. Only derivatives that are not zero are held, by the parameter's index, so a term of two
parameters costs little in a law of seven.
"""

from types import SimpleNamespace

import numpy as np

Array = np.ndarray


class Jet:
    """value (S, R) with slope {i: (S, R)} and bend {(i, j), i <= j: (S, R)}, or shapes that
    broadcast to it; `bend` is None where second derivatives are not asked for."""

    __array_ufunc__ = None  # so that `array * jet` comes here
    __slots__ = ("bend", "slope", "value")

    def __init__(self, value: Array, slope: dict, bend: dict | None):
        self.value, self.slope, self.bend = value, slope, bend

    def __add__(self, other):
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.slope, self.bend)
        bend = None if self.bend is None else merge(self.bend, other.bend)
        return Jet(self.value + other.value, merge(self.slope, other.slope), bend)

    def __mul__(self, other):
        if not isinstance(other, Jet):
            return chain(self, self.value * other, other)
        a, b = self, other
        left = {i: g * b.value for i, g in a.slope.items()}
        slope = merge(left, {i: g * a.value for i, g in b.slope.items()})
        if a.bend is None:
            return Jet(a.value * b.value, slope, None)
        left = {key: h * b.value for key, h in a.bend.items()}
        bend = merge(left, {key: h * a.value for key, h in b.bend.items()})
        for i, g in a.slope.items():
            for j, h in b.slope.items():
                key = (min(i, j), max(i, j))
                bend[key] = bend.get(key, 0.0) + (2.0 if i == j else 1.0) * g * h
        return Jet(a.value * b.value, slope, bend)

    def __truediv__(self, other):
        return self * (reciprocal(other) if isinstance(other, Jet) else 1 / other)

    def __rtruediv__(self, other):
        return reciprocal(self) * other

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    __radd__, __rmul__ = __add__, __mul__


def parameters(theta: Array, names: tuple[str, ...], second: bool, free: Array) -> SimpleNamespace:
    """The columns of theta (S, P) as jets, by name; those not `free` are constants."""
    moving = {int(i) for i in free}
    return SimpleNamespace(
        **{
            name: Jet(theta[:, i, None], {i: 1.0} if i in moving else {}, {} if second else None)
            for i, name in enumerate(names)
        }
    )


def merge(a: dict, b: dict) -> dict:
    out = dict(a)
    for key, part in b.items():
        out[key] = out[key] + part if key in out else part
    return out


def chain(jet: Jet, value: Array, first, second=None) -> Jet:
    """f(jet) from f, f' and f'' (None: zero) at its value; the chain rule."""
    slope = {i: first * g for i, g in jet.slope.items()}
    if jet.bend is None:
        return Jet(value, slope, None)
    bend = {key: first * h for key, h in jet.bend.items()}
    if second is not None:
        for i, g in jet.slope.items():
            for j, h in jet.slope.items():
                if i <= j:
                    bend[i, j] = bend.get((i, j), 0.0) + second * g * h
    return Jet(value, slope, bend)


def reciprocal(jet: Jet) -> Jet:
    value = 1 / jet.value
    return chain(jet, value, -(value**2), 2 * value**3)


def exp(jet: Jet) -> Jet:
    value = np.exp(jet.value)
    return chain(jet, value, value, value)


def expm1(jet: Jet) -> Jet:
    value = np.exp(jet.value)
    return chain(jet, np.expm1(jet.value), value, value)


def log(jet: Jet) -> Jet:
    return chain(jet, np.log(jet.value), 1 / jet.value, -1 / jet.value**2)


def log1p(jet: Jet) -> Jet:
    slope = 1 / (1 + jet.value)
    return chain(jet, np.log1p(jet.value), slope, -(slope**2))


def softplus(jet: Jet) -> Jet:
    """log(1 + e^x)."""
    sigma = sigmoid(jet.value)
    return chain(jet, np.logaddexp(0, jet.value), sigma, sigma * (1 - sigma))


def sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def minimum(jet: Jet, bound: Array) -> Jet:
    """The smaller of a jet and a constant; where they meet, the constant's derivative."""
    under = jet.value < bound
    slope = {i: under * g for i, g in jet.slope.items()}
    bend = None if jet.bend is None else {key: under * h for key, h in jet.bend.items()}
    return Jet(np.where(under, jet.value, bound), slope, bend)


def log_sum(*parts) -> Jet:
    """log Σ exp(part) over jets and constant arrays."""
    values = [part.value if isinstance(part, Jet) else part for part in parts]
    top = np.maximum.reduce(np.broadcast_arrays(*values))
    sizes = [np.exp(value - top) for value in values]
    total = sum(sizes)
    jets = [(p, size / total) for p, size in zip(parts, sizes, strict=True) if isinstance(p, Jet)]
    slope: dict = {}
    for part, share in jets:
        slope = merge(slope, {i: share * g for i, g in part.slope.items()})
    value = top + np.log(total)
    if jets[0][0].bend is None:
        return Jet(value, slope, None)
    bend = {(i, j): -slope[i] * slope[j] for i in slope for j in slope if i <= j}
    for part, share in jets:
        bend = merge(bend, {key: share * h for key, h in part.bend.items()})
        for i, g in part.slope.items():
            weighed = share * g
            for j, h in part.slope.items():
                if i <= j:
                    bend[i, j] = bend[i, j] + weighed * h
    return Jet(value, slope, bend)
