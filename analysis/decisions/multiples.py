"""Frontiers of two arms from the parameters of their common law: least losses, and what they are worth."""

import numpy as np

from analysis.decisions.arms import ArmsFit, ByCounts
from analysis.decisions.ladders import Ladders
from analysis.laws import Array

BEYOND = 1.5  # times beyond the sizes trained, from which a best size is extrapolated


def excess(model: ArmsFit, theta: Array, arm: int, ladders: Ladders, log_flops: Array):
    """(log of the least loss above the floor (S, K), its exponent (S, 1), log params and log tokens there,
    centred, (S, K)) of an arm under its own cost, at theta (S, P); and its parameters (S, 1) each."""
    p = {name: column[:, None] for name, column in zip(model.rows.law.names(), theta.T, strict=True)}
    own = {name: p[name] + arm * p[f"d{name}"] for name in model.rows.law.alone.names()}
    if model.rows.law is not ByCounts:
        c = log_flops - model.rows.centre[0]
        return own["A"] - own["alpha"] * c, own["alpha"], None, None, own
    cost, (n0, d0) = ladders.costs[arm], model.rows.centre
    c = log_flops - np.log(cost.k) - cost.p * n0 - d0
    alpha, beta = own["alpha"], own["beta"]
    with np.errstate(all="ignore"):
        total = alpha + cost.p * beta
        level = np.log(alpha / (cost.p * beta)) + own["A"] - own["B"]
        n = (level + beta * c) / total
        d = c - cost.p * n
        value = np.logaddexp(own["A"] - alpha * n, own["B"] - beta * d)
    return value, alpha * beta / total, n, d, own


def log_multiple_draws(model: ArmsFit, theta: Array, ladders: Ladders, flops: Array) -> Array:
    """log κ (S, K) at theta (S, P): infinite where the baseline never reaches the arm's loss."""
    log_flops = np.log(flops)[None]
    with np.errstate(all="ignore"):
        base, gamma, _, _, own = excess(model, theta, 0, ladders, log_flops)
        arm, _, _, _, other = excess(model, theta, 1, ladders, log_flops)
        room = np.exp(arm) + np.exp(other["E"]) - np.exp(own["E"])
        log_room = np.where(own["E"] == other["E"], arm, np.log(np.maximum(room, 0)))
        return np.where(gamma > 0, (base - log_room) / gamma, np.nan)


def log_multiple(model: ArmsFit, ladders: Ladders, flops: Array) -> Array:
    return log_multiple_draws(model, model.theta[None], ladders, flops)[0]


def frontier_loss(model: ArmsFit, ladders: Ladders, arm: int, flops: Array) -> Array:
    """The least loss (K,) of an arm at a compute."""
    value, *_, own = excess(model, model.theta[None], arm, ladders, np.log(flops)[None])
    return (np.exp(value) + np.exp(own["E"]))[0]


def sides(model: ArmsFit, theta: Array, ladders: Ladders, flops: Array) -> dict[str, Array]:
    """log multipliers (S, K) of tokens at the arm's best params, and of params at its best tokens: what the
    baseline needs of each alone for the arm's loss."""
    if model.rows.law is not ByCounts:
        return {}
    log_flops = np.log(flops)[None]
    with np.errstate(all="ignore"):
        *_, base = excess(model, theta, 0, ladders, log_flops)
        value, _, n, d, arm = excess(model, theta, 1, ladders, log_flops)
        loss = np.exp(value) + np.exp(arm["E"]) - np.exp(base["E"])
        left = {
            "tokens": (loss - np.exp(base["A"] - base["alpha"] * n), base["B"], base["beta"], d),
            "params": (loss - np.exp(base["B"] - base["beta"] * d), base["A"], base["alpha"], n),
        }
        return {
            name: np.where(exponent > 0, (scale - np.log(np.maximum(room, 0))) / exponent - at, np.nan)
            for name, (room, scale, exponent, at) in left.items()
        }


def outside(model: ArmsFit, ladders: Ladders, flops: Array) -> str:
    """That the best size at a compute is none of those trained, by half and more; or ""."""
    for arm, name in enumerate(ladders.names):
        _, _, n, _, _ = excess(model, model.theta[None], arm, ladders, np.log(flops)[None])
        if n is None or not np.isfinite(n).all():
            continue
        best, sizes = float(np.exp(n[0, 0] + model.rows.centre[0])), ladders.runs[arm].params
        if not sizes.min() / BEYOND < best < sizes.max() * BEYOND:
            return (
                f"the best size of {name} at {flops[0]:.3g} FLOPs is {best:.2g} params, and "
                f"{sizes.min():.2g} to {sizes.max():.2g} were trained: its least loss is extrapolated; add "
                "sizes on that side"
            )
    return ""
