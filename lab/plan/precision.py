"""How well a grid could tell the law of its runs, before any is trained: a design, not a forecast."""

import numpy as np

# Scatter of log losses about their law: .45 to .59 % in this project's grids of Transformers with token shift
# (quickstart, seeds), .76 to 1.2 % in those without (plain, chinchilla2022 on three texts).
WITH_SHIFT, WITHOUT = 0.005, 0.01
EXPONENT, FLOOR = 0.35, 0.5  # alpha = beta of a usual law; the floor's share of the loss at the middle run
LOOSE = 3.0  # standard deviation of a log factor or an exponent that no run has told anything about
LEAST = 10  # runs, below which no fit of five parameters is called ok


def exponent_half_width(params: np.ndarray, tokens: np.ndarray, noise: float = WITH_SHIFT) -> float:
    """Half of the 95 % interval of a in params ~ FLOPs^a that runs of `params` and `tokens` (R,) would give
    by E + A N^-alpha + B D^-beta (Hoffmann et al. 2022), were this a usual law whose optimum is at the middle
    run: 1.96 times what the information of their log losses leaves. NaN of too few runs.
    """
    if len(params) < LEAST or min(len(np.unique(params)), len(np.unique(tokens))) < 3:
        return np.nan
    logs = np.log([params, tokens])
    logs -= logs.mean(1, keepdims=True)
    parts = (1 - FLOOR) / 2 * np.exp(-EXPONENT * logs)  # what size and tokens cost each, (2, R)
    loss = FLOOR + parts.sum(0)
    slopes = np.stack([np.full_like(loss, FLOOR), *parts, *(-logs * parts)]) / loss  # of log loss, (5, R)
    information = slopes @ slopes.T / noise**2 + np.eye(5) / LOOSE**2
    asked = np.array([0, 0, 0, -1, 1]) / (4 * EXPONENT)  # of a = beta / (alpha + beta)
    return float(1.96 * np.sqrt(asked @ np.linalg.solve(information, asked)))
