"""Minima of curves through few points, for many noisy copies of the points at once."""

from functools import partial

import numpy as np

Array = np.ndarray
Minimum = tuple[Array, Array, Array]  # place (S,), height (S,), status (S,): ok | edge | few


def akima_slopes(x: Array, y: Array) -> Array:
    """Akima's (1970) slopes (S, n) at x (n,) of S curves y (S, n); n ≥ 3."""
    m = np.diff(y) / np.diff(x)
    left1, right1 = 2 * m[:, 0] - m[:, 1], 2 * m[:, -1] - m[:, -2]
    left2, right2 = 2 * left1 - m[:, 0], 2 * right1 - m[:, -1]
    m = np.concatenate([c[:, None] for c in (left2, left1)] + [m] + [c[:, None] for c in (right1, right2)], 1)
    after = np.abs(m[:, 3:] - m[:, 2:-1])
    before = np.abs(m[:, 1:-2] - m[:, :-3])
    total = after + before
    even = total < 1e-9 * max(float(total.max()), 1e-300)
    safe = np.where(even, 1.0, total)
    mean = (m[:, 1:-2] + m[:, 2:-1]) / 2
    return np.where(even, mean, (after * m[:, 1:-2] + before * m[:, 2:-1]) / safe)


def akima(x: Array, y: Array, at: Array) -> Array:
    """The Akima interpolant of (x, y), each (n,), at places (K,) inside x."""
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    h, slope = np.diff(x)[k], akima_slopes(x, y[None])[0]
    return _hermite((at - x[k]) / h, h, y[k], y[k + 1], slope[k], slope[k + 1])


def _hermite(t, h, y0, y1, d0, d1):
    rise = y1 - y0
    return y0 + t * (h * d0 + t * (3 * rise - h * (2 * d0 + d1) + t * (h * (d0 + d1) - 2 * rise)))


def interpolate(x: Array, y: Array, window: float) -> Minimum:
    """The lowest point of the Akima curve, exactly: ends and stationary points of each piece."""
    size = len(y)
    if len(x) < 4:
        return np.full(size, np.nan), np.full(size, np.nan), np.full(size, "few", object)
    slopes, h = akima_slopes(x, y), np.diff(x)
    y0, y1, d0, d1 = y[:, :-1], y[:, 1:], slopes[:, :-1], slopes[:, 1:]
    c1, c2 = h * d0, 3 * (y1 - y0) - h * (2 * d0 + d1)
    c3 = h * (d0 + d1) - 2 * (y1 - y0)
    places, heights = [np.broadcast_to(x, y.shape)], [y]
    with np.errstate(all="ignore"):
        root = np.sqrt(c2**2 - 3 * c3 * c1)
        for t in (c1 / (-c2 - root), c1 / (-c2 + root)):  # stable also where c3 is 0
            inside = (t >= 0) & (t <= 1)
            height = np.where(inside, _hermite(t, h, y0, y1, d0, d1), np.inf)
            places.append(x[:-1] + np.where(inside, t, 0) * h)
            heights.append(height)
    place, height = np.concatenate(places, 1), np.concatenate(heights, 1)
    best = np.argmin(height, 1)
    rows = np.arange(size)
    found = place[rows, best]
    edge = (found <= x[0] + 1e-9) | (found >= x[-1] - 1e-9)
    return found, height[rows, best], np.where(edge, "edge", "ok")


def polynomial(x: Array, y: Array, window: float, degree: int) -> Minimum:
    """The minimum of a polynomial through the points within `window` (cubic: 1.5 ×) of the lowest one."""
    reach = (window if degree == 2 else 1.5 * window) + 1e-9
    place, height = np.full(len(y), np.nan), np.full(len(y), np.nan)
    status = np.full(len(y), "few", object)
    lowest = np.argmin(y, 1)
    for best in np.unique(lowest):
        rows = np.flatnonzero(lowest == best)
        near = np.abs(x - x[best]) <= reach
        if near.sum() < degree + 1:
            continue
        u = x[near] - x[best]
        c = np.polyfit(u, y[rows][:, near].T, degree)  # (degree + 1, rows), highest power first
        with np.errstate(all="ignore"):
            if degree == 2:
                t, bend = -c[1] / (2 * c[0]), c[0]
            else:
                root = np.sqrt(c[1] ** 2 - 3 * c[0] * c[2])
                t, bend = -c[2] / (c[1] + root), root
        good = np.isfinite(t) & (bend > 0) & (t > u[0]) & (t < u[-1])
        t = np.where(good, t, 0.0)
        place[rows] = np.where(good, x[best] + t, x[best])
        fitted = sum(c[i] * t ** (degree - i) for i in range(degree + 1))
        height[rows] = np.where(good, fitted, y[rows, best])
        status[rows] = np.where(good, "ok", "edge")
    return place, height, status


LOWEST = {
    "interpolate": interpolate,
    "parabola": partial(polynomial, degree=2),
    "cubic": partial(polynomial, degree=3),
}
