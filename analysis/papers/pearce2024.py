"""Pearce & Song 2024, "Reconciling Kaplan and Chinchilla Scaling Laws" (arXiv 2406.12907).

Chinchilla's law in total parameters, seen through Kaplan's glasses: with size and compute counted
without embeddings, at Kaplan's small sizes, its frontier has nearly Kaplan's exponent.
"""

import numpy as np

from analysis.figures.axes import log_axes, power_axis
from analysis.figures.style import DASHED, METHOD_COLOURS, NOTE, sheet, styled
from analysis.laws import Array, Chinchilla, published
from analysis.papers.claims import Data, Paper

LAWS = {"besiroglu": published.BESIROGLU, "hoffmann": published.HOFFMANN}
NAMES = {"besiroglu": "Besiroglu's constants", "hoffmann": "Hoffmann's constants"}


def total(params: Array) -> tuple[Array, Array]:
    """Total parameters of non-embedding ones, N + omega·N^(1/3), and the derivative."""
    omega = published.PEARCE_OMEGA.value
    return params + omega * params ** (1 / 3), 1 + omega / 3 * params ** (-2 / 3)


def compute(law: Chinchilla, params: Array) -> Array:
    """Non-embedding FLOPs 6·N·D for which N non-embedding parameters are the best.

    Setting the derivative of E + A·N_total^-alpha + B·(C/6N)^-beta by N to zero gives
    (C/6)^beta = beta·B·N^(beta-1)·N_total^(alpha+1) / (alpha·A·N_total').
    """
    whole, slope = total(params)
    right = law.beta * law.B * params ** (law.beta - 1) * whole ** (law.alpha + 1)
    return 6 * (right / (law.alpha * law.A * slope)) ** (1 / law.beta)


def line(law: Chinchilla, params: Array) -> Array:
    """(slope, intercept) of one line through log params against log compute, as Kaplan fitted his."""
    return np.polyfit(np.log(compute(law, params)), np.log(params), 1)


def local_exponent(law: Chinchilla, params: Array) -> Array:
    """d log params / d log compute."""
    return 1 / np.gradient(np.log(compute(law, params)), np.log(params))


def kaplan_sizes() -> Array:
    return np.geomspace(*(end.value for end in published.PEARCE_RANGE), 20)


def reproduce(data: Data) -> Paper:
    paper = Paper("pearce2024")
    laws = {name: published.law(constants) for name, constants in LAWS.items()}
    why = (
        "printed to two digits; theirs is fitted to simulated curves, and our ends of the range of sizes "
        "are from memory"
    )
    for name, law in laws.items():
        claim, slope = f"exponent without embeddings, {NAMES[name]}", line(law, kaplan_sizes())[0]
        paper.check(claim, published.PEARCE[name], slope, 0.01, why)
    paper.check(
        "at large sizes the exponent is Chinchilla's",
        published.HOFFMANN_EXPONENTS[1, "a"],
        local_exponent(laws["besiroglu"], np.geomspace(1e13, 1e14, 5))[2],
        0.02,
        "approach 1 is printed to two digits, and the refit's exponent is 0.51",
    )
    paper.figures = {"pearce2024_exponent": plot_exponent}
    return paper


@styled
def plot_exponent():
    """The local exponent along the frontier, from Kaplan's sizes to Chinchilla's."""
    params, inside = np.geomspace(1e2, 1e13, 300), kaplan_sizes()
    low, high = (end.value for end in published.PEARCE_RANGE)
    caption = (
        "Chinchilla's law with total parameters N + omega·N^(1/3), omega = "
        f"{published.PEARCE_OMEGA.value:.0f}; its optimum in non-embedding size and compute. "
        "Shaded: the sizes Kaplan trained; thick: one line fitted over them."
    )
    fig, axes = sheet(9.6, 3.7, caption, columns=2)
    for name, colour in zip(LAWS, METHOD_COLOURS, strict=False):
        law = published.law(LAWS[name])
        fitted, flops = line(law, inside), compute(law, inside)
        axes[0].plot(compute(law, params), params, color=colour, lw=1.3)
        style = {"color": colour, "lw": 3.2, "alpha": 0.55, "label": f"{NAMES[name]}: {fitted[0]:.3f}"}
        axes[0].plot(flops, np.exp(np.polyval(fitted, np.log(flops))), **style)
        axes[1].plot(params, local_exponent(law, params), color=colour, lw=1.6, label=NAMES[name])
        axes[1].plot([low, high], [fitted[0]] * 2, color=colour, lw=3.2, alpha=0.45)
    places = ((params[-1] / 2, "right"), (params[0] * 1.5, "left"))
    for (name, level), (x, side) in zip(published.DISPUTED_EXPONENTS.items(), places, strict=True):
        axes[1].axhline(level, **DASHED)
        axes[1].annotate(f"{name}  {level:.2f}", (x, level), (0, 3), ha=side, **NOTE)
    axes[1].axvspan(low, high, color="#f0ead8", zorder=0)
    axes[0].axhspan(low, high, color="#f0ead8", zorder=0)
    ends = (params[0], params[-1])
    labels = {"xlabel": "non-embedding compute (FLOPs)", "ylabel": "optimal non-embedding parameters"}
    log_axes(
        axes[0], power_axis, power_axis, title="The frontier bends", xlim=(1e8, 1e28), ylim=ends, **labels
    )
    labels = {"xlabel": "non-embedding parameters", "ylabel": "local exponent of the optimal size"}
    log_axes(axes[1], power_axis, title="Its slope at each size", xlim=ends, ylim=(0.4, 1.3), **labels)
    axes[0].legend(loc="upper left", title="exponent over Kaplan's sizes", alignment="left")
    axes[1].legend(loc="upper right")
    return fig
