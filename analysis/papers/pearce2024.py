"""Pearce & Song 2024, "Reconciling Kaplan and Chinchilla Scaling Laws" (arXiv 2406.12907).

Chinchilla's law in total parameters, seen through Kaplan's glasses: with size and compute counted
without embeddings, at Kaplan's small sizes, its frontier has nearly Kaplan's exponent.
"""

import numpy as np

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


def exponent(law: Chinchilla, params: Array) -> float:
    """Slope of one line through log params against log compute, as Kaplan fitted his."""
    return float(np.polyfit(np.log(compute(law, params)), np.log(params), 1)[0])


def local(law: Chinchilla, params: Array) -> Array:
    """d log params / d log compute."""
    return 1 / np.gradient(np.log(compute(law, params)), np.log(params))


def reproduce(data: Data) -> Paper:
    paper = Paper("pearce2024")
    span = np.geomspace(*(end.value for end in published.PEARCE_RANGE), 20)
    for name, constants in LAWS.items():
        law = published.law(constants)
        paper.check(
            f"exponent without embeddings, {NAMES[name]}",
            published.PEARCE[name],
            lambda law=law: exponent(law, span),
            tolerance=0.01,
            why="printed to two digits; theirs is fitted to simulated curves, and our ends of the "
            "range of sizes are from memory",
        )
    law = published.law(LAWS["besiroglu"])
    paper.check(
        "at large sizes the exponent is Chinchilla's",
        published.HOFFMANN_EXPONENTS[1, "a"],
        lambda: local(law, np.geomspace(1e13, 1e14, 5))[2],
        tolerance=0.02,
        why="approach 1 is printed to two digits, and the refit's exponent is 0.51",
    )
    paper.figures = {"pearce2024_exponent": figure}
    return paper


def figure():
    """The local exponent along the frontier, from Kaplan's sizes to Chinchilla's."""
    from analysis.figures import style

    params = np.geomspace(1e2, 1e13, 300)
    low, high = (end.value for end in published.PEARCE_RANGE)

    def draw():
        caption = (
            "Chinchilla's law with total parameters N + omega·N^(1/3), omega = "
            f"{published.PEARCE_OMEGA.value:.0f}; its optimum in non-embedding size and compute. "
            "Shaded: the sizes Kaplan trained; thick: one line fitted over them."
        )
        fig, axes = style.sheet(9.6, 3.7, caption, columns=2)
        for name, colour in zip(LAWS, style.METHOD_COLOURS, strict=False):
            law = published.law(LAWS[name])
            inside = np.geomspace(low, high, 20)
            slope = exponent(law, inside)
            axes[0].plot(compute(law, params), params, color=colour, lw=1.3)
            line = np.polyfit(np.log(compute(law, inside)), np.log(inside), 1)
            c = compute(law, inside)
            axes[0].plot(
                c,
                np.exp(np.polyval(line, np.log(c))),
                color=colour,
                lw=3.2,
                alpha=0.55,
                label=f"{NAMES[name]}: {slope:.3f}",
            )
            axes[1].plot(params, local(law, params), color=colour, lw=1.6, label=NAMES[name])
            axes[1].plot([low, high], [slope] * 2, color=colour, lw=3.2, alpha=0.45)
        levels = (published.KAPLAN_OPT["N"].value, published.HOFFMANN_EXPONENTS[1, "a"].value)
        places = ((params[-1] / 2, "right"), (params[0] * 1.5, "left"))
        for level, text, (x, side) in zip(levels, ("Kaplan 2020", "Hoffmann 2022"), places, strict=True):
            axes[1].axhline(level, color=style.FAINT, lw=1, ls=(0, (5, 3)), zorder=1)
            axes[1].annotate(
                f"{text}  {level:.2f}",
                (x, level),
                (0, 3),
                ha=side,
                textcoords="offset points",
                fontsize=8,
                color="#666666",
            )
        axes[1].axvspan(low, high, color="#f0ead8", zorder=0)
        axes[0].axhspan(low, high, color="#f0ead8", zorder=0)
        axes[0].set(
            xscale="log",
            yscale="log",
            xlabel="non-embedding compute (FLOPs)",
            ylabel="optimal non-embedding parameters",
            title="The frontier bends",
            xlim=(1e8, 1e28),
            ylim=(params[0], params[-1]),
        )
        axes[1].set(
            xscale="log",
            xlabel="non-embedding parameters",
            xlim=(params[0], params[-1]),
            ylabel="local exponent of the optimal size",
            title="Its slope at each size",
            ylim=(0.4, 1.3),
        )
        style.power_axis(axes[0].xaxis, *axes[0].get_xlim())
        style.power_axis(axes[0].yaxis, *axes[0].get_ylim())
        style.power_axis(axes[1].xaxis, *axes[1].get_xlim())
        axes[0].legend(loc="upper left", title="exponent over Kaplan's sizes", alignment="left")
        axes[1].legend(loc="upper right")
        return fig

    return style.styled(draw)()
