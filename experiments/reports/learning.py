"""Learning curves of two arms, a pair a width: how many times the drawings the one needs for what the other
reaches, without a form for either."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import interp1d


@dataclass(frozen=True)
class Curve:
    """Of one width: numbers of drawings, the seeds' logarithms of what a caption costs over the floor at
    each, and FLOPs a drawing."""

    drawings: np.ndarray
    over: list[np.ndarray]
    price: float

    @property
    def mean(self) -> np.ndarray:
        return np.array([seeds.mean() for seeds in self.over])

    def noisy(self, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Means that other seeds might have had, (draws, drawings)."""
        error = noise[:, None] / np.sqrt([len(seeds) for seeds in self.over])
        return self.mean + error * rng.normal(size=(len(noise), len(self.over)))


def curves(of: dict[str, np.ndarray], rows: np.ndarray) -> list[Curve]:
    """One a width, from the narrowest."""
    out, over = [], np.log(of["caption"] - of["caption_floor"])
    for width in np.unique(of["width"][rows]):
        at = rows & (of["width"] == width)
        drawings = np.unique(of["drawings"][at])
        seeds = [over[at & (of["drawings"] == n)] for n in drawings]
        out.append(Curve(drawings, seeds, float((of["flops"] / of["drawings"])[at][0])))
    return out


def crossings(
    of: dict[str, np.ndarray], rows: np.ndarray, arms: Sequence[str], draws: int = 2000
) -> list[np.ndarray]:
    """Points at which the second arm reaches what the first reaches, too: of each its width, the narrowest 0,
    its drawings, how many times as many the first needs, the logarithm of that by the noise between seeds,
    (draws, points), and FLOPs a drawing of the first over its own. Read off straight lines between
    neighbouring runs in logarithms; what noise leads beyond the runs goes on along the last line."""
    pairs = list(zip(*(curves(of, rows & (of["arm"] == arm)) for arm in arms), strict=True))
    seeds = [each for pair in pairs for curve in pair for each in curve.over]
    spare = sum(len(each) - 1 for each in seeds)
    squares = sum(((each - each.mean()) ** 2).sum() for each in seeds)
    rng = np.random.default_rng(0)
    noise = np.sqrt(squares / rng.chisquare(spare, draws))
    parts = []
    for rung, (first, second) in enumerate(pairs):
        at = (second.mean > first.mean.min()) & (second.mean < first.mean.max())
        own, along = np.log(second.drawings[at]), np.log(first.drawings)
        reach = lambda over, goal: interp1d(over, along, fill_value="extrapolate")(goal) - own  # noqa: E731, B023
        value = reach(first.mean, second.mean[at])
        noisy = zip(first.noisy(noise, rng), second.noisy(noise, rng)[:, at], strict=True)
        drawn = np.array([reach(*each) for each in noisy])
        same = np.ones(at.sum())
        parts.append(
            (rung * same, second.drawings[at], np.exp(value), drawn.T, first.price / second.price * same)
        )
    rung, drawings, times, drawn, dearer = map(np.concatenate, zip(*parts, strict=True))
    return [rung, drawings, times, drawn.T, dearer]
