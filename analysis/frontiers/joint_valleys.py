"""All valleys at once: one curve that moves with compute, instead of a minimum a budget.

log L = f_C + κ(C)/2 · z² + c · z³,  z = ln N - x₀ - a · ln C,  κ(C) = κ₀ · C^κ₁: where a valley is lowest
moves as a power of compute, its bend changes slowly, and all lean the same way. Every budget keeps its own
height f_C. Four budgets of six sizes give eight numbers and a bend's worth of each, where minima one by one
take three numbers from each budget's few points.

This form is this project's own; a cubic through one valley is in Hoffmann et al. 2022's spirit (section 3.2).
"""

from dataclasses import dataclass

import numpy as np

from analysis.frontiers.replicates import Noise, Sizes
from analysis.laws import Array

SHARED = 5  # x₀, a, ln κ₀, κ₁, c
FREE = 2  # degrees of freedom that must be left to see the noise
LEAST = 1e-6  # by which log losses of a budget differ where they depend on size at all
ROUNDS, FEWER = 60, 15  # from a grid of starts; from the best
STARTS = (0.2, 0.35, 0.5, 0.65, 0.8)  # of a


@dataclass(frozen=True, eq=False)
class JointValleys:
    """The fit: `theta` (1 + S, 5) of x₀, a, ln κ₀, κ₁, c and `heights` (1 + S, K) of f_C, the first row the
    best, the others of noisy repeats. `log_flops` (K,) are measured from `middle`."""

    middle: float
    log_flops: Array
    theta: Array
    heights: Array
    noise: Noise
    clear: float  # the bend over its standard error

    def minima(self) -> Array:
        """ln params (1 + S, K) of least loss at each budget."""
        return self.theta[:, :1] + self.theta[:, 1:2] * self.log_flops

    def inside(self, sizes: list[Sizes]) -> Array:
        """Which budgets (K,) have their minimum among their sizes."""
        pairs = zip(sizes, self.minima()[0], strict=True)
        return np.array([size.log_params[0] < place < size.log_params[-1] for size, place in pairs])

    def log_loss(self, budget: int, log_params: Array) -> Array:
        """The fitted curve of a budget."""
        at = np.full(np.shape(log_params), self.log_flops[budget])
        return self.heights[0, budget] + shape(self.theta[:1], log_params, at)[0][0]


def shape(theta: Array, x: Array, c: Array) -> tuple[Array, Array]:
    """What a curve adds to its height (S, n) at ln params x (n,) and ln flops c (n,), and its derivatives
    (S, n, 5)."""
    place, slope, bend, growth, cubic = (column[:, None] for column in theta.T)
    z = x - place - slope * c
    bent = np.exp(bend + growth * c)
    half, down = bent * z**2 / 2, -(bent * z + 3 * cubic * z**2)
    return half + cubic * z**3, np.stack([down, down * c, half, half * c, z**3], -1)


def minimise(
    theta: Array, x: Array, c: Array, y: Array, root: Array, mean: Array, rounds: int = ROUNDS
) -> tuple[Array, Array, Array]:
    """Levenberg-Marquardt from theta (S, 5) to y (S, n), heights of budgets projected out: (theta, sum of
    squares (S,), normal matrices (S, 5, 5)). `root` (n,) are roots of weights, `mean` (n, n) takes the mean
    of each row's budget."""

    def gaps(theta: Array) -> tuple[Array, Array]:
        values, slopes = shape(theta, x, c)
        gap, slopes = y - values, slopes.swapaxes(1, 2)
        return root * (gap - gap @ mean.T), root * (slopes - slopes @ mean.T)

    damping = np.full(len(theta), 1e-3)
    gap, slopes = gaps(theta)
    square = (gap**2).sum(1)
    for _ in range(rounds):
        normal = slopes @ slopes.swapaxes(1, 2)
        scale = np.einsum("sii->si", normal) + 1e-300
        damped = normal + (damping[:, None] * scale)[:, :, None] * np.eye(SHARED)
        step = np.linalg.solve(
            damped + 1e-12 * scale.max(1)[:, None, None] * np.eye(SHARED), slopes @ gap[:, :, None]
        )
        step = np.clip(step[..., 0], -1.0, 1.0)
        trial = theta + step
        trial_gap, trial_slopes = gaps(trial)
        trial_square = (trial_gap**2).sum(1)
        better = trial_square < square
        done = (square - trial_square)[better] <= 1e-12 * square[better]
        theta, square = np.where(better[:, None], trial, theta), np.where(better, trial_square, square)
        gap, slopes = (
            np.where(better[:, None], trial_gap, gap),
            np.where(better[:, None, None], trial_slopes, slopes),
        )
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-9, 1e9)
        if done.all() and (better.all() or (damping[~better] > 1e6).all()):
            break
    return theta, square, slopes @ slopes.swapaxes(1, 2)


def fit_jointly(
    sizes: list[Sizes],
    log_flops: Array,
    given: Noise | None,
    seeds: Noise,
    rng: np.random.Generator,
    draws: int,
    used: Array | None = None,
) -> JointValleys | None:
    """The `JointValleys` of budgets at ln flops (K,); None where too few points are there to fit it.

    The noise is what the points leave about the fit, not less than what seeds say: a form or shapes that do
    not fit widen the intervals. `given` is a noise known from elsewhere. Repeats are drawn about the fit. Of
    budgets that are not `used` (K,) only the heights are fitted.
    """
    x, y, repeats = (
        np.concatenate([getattr(size, name) for size in sizes])
        for name in ("log_params", "log_loss", "repeats")
    )
    label = np.repeat(np.arange(len(sizes)), [len(size.log_params) for size in sizes])
    used = np.ones(len(sizes), bool) if used is None else used
    freedom = int(used[label].sum() - used.sum()) - SHARED
    if used.sum() < 2 or freedom < FREE:
        return None
    middle = float(log_flops[used].mean())
    c, root = (log_flops - middle)[label], np.sqrt(repeats) * used[label]
    member = (label[:, None] == np.arange(len(sizes))).astype(float)
    budget_means = (member / (repeats @ member)).T * repeats  # (K, n)
    mean = member @ budget_means
    lowest = np.array([size.log_params[np.argmin(size.log_loss)] for size in sizes])[used].mean()
    start = np.array([[lowest + d, a, np.log(0.05), 0.0, 0.0] for a in STARTS for d in (-0.7, 0.0, 0.7)])
    found = minimise(start, x, c, np.tile(y, (len(start), 1)), root, mean)
    best = np.argmin(found[1])
    theta, square, information = (part[best] for part in found)
    noise = given or pooled(float(square), freedom, seeds)
    fitted = shape(theta[None], x, c)[0][0]
    height = budget_means @ (y - fitted)
    noisy = (
        height[label]
        + fitted
        + noise.sigma / np.sqrt(repeats) * noise.doubt(rng, draws) * rng.standard_normal((draws, len(x)))
    )
    thetas = minimise(np.tile(theta, (len(noisy), 1)), x, c, noisy, root, mean, FEWER)[0]
    heights = (noisy - shape(thetas, x, c)[0]) @ budget_means.T
    error = noise.sigma * np.sqrt(max(np.linalg.pinv(information)[2, 2], 0.0))
    return JointValleys(
        middle,
        log_flops - middle,
        np.vstack([theta, thetas]),
        np.vstack([height, heights]),
        noise,
        0.0 if np.abs(y - mean @ y)[used[label]].max() < LEAST else float(1 / error) if error > 0 else np.inf,
    )


def pooled(square: float, freedom: int, seeds: Noise) -> Noise:
    """The noise that the fit's residuals show; seeds are counted in where they show more."""
    left = np.sqrt(square / freedom)
    if seeds.freedom and seeds.sigma > left:
        total = freedom + seeds.freedom
        sigma = np.sqrt((square + seeds.freedom * seeds.sigma**2) / total)
        return Noise(float(sigma), total, f"residuals of the joint fit, and {seeds.source}")
    return Noise(float(left), freedom, "residuals of the joint fit")
