"""Figures 1, 4 and 9 of Kaplan et al. 2020, drawn from its published constants."""

import numpy as np

from analysis.figures.axes import log_axes, plain_axis, power_axis
from analysis.figures.style import DASHED, FAINT, INK, METHOD_COLOURS, sequence, sheet, styled
from analysis.figures.words import human
from analysis.figures.words import power as power_text
from analysis.laws.published import KAPLAN_CMIN, KAPLAN_D, KAPLAN_N, PF_DAY
from analysis.papers.kaplan_laws import JOINT, SEED, STEPS, critical_batch, frontier, power

LARGEST_SET = 22e9  # tokens up to which L(N, D) was measured, about all of WebText2
SIZES = np.array([1e5, 1e6, 1e7, 1e8, 1e9])


@styled
def laws():
    """Figure 1 of the paper: loss against compute, data and parameters, straight on log axes."""
    panels = (
        ("Compute (PF-days, non-embedding)", KAPLAN_CMIN, (1e-9, 1e1), "C_{\\min}"),
        ("Dataset size (tokens)", KAPLAN_D, (1e7, 1e11), "D"),
        ("Parameters (non-embedding)", KAPLAN_N, (1e3, 1e10), "N"),
    )
    caption = (
        "Published constants, no refit. Left: training curves of L(N, S) at the critical "
        "batch for sizes 1e5 to 1e9; orange: the frontier they touch by our minimisation. "
        "Middle: L(N, D) of the same sizes. Right, blue: L(N, D) at unlimited D. Dashed: the "
        "paper's power laws."
    )
    fig, axes = sheet(11.4, 3.6, caption, columns=3)
    tokens, steps, n = np.geomspace(1e7, 1e11, 100), np.geomspace(30, 1e11, 400), np.geomspace(1e3, 1e10, 50)
    for size, colour in zip(SIZES, sequence(len(SIZES)), strict=True):
        loss, style = STEPS.loss(size, steps), {"color": colour, "lw": 1, "alpha": 0.8}
        axes[0].plot(6 * size * steps * critical_batch(loss) / PF_DAY, loss, **style)
        axes[1].plot(tokens, JOINT.loss(size, tokens), label=human(size), **style)
    loss, compute = frontier(STEPS, np.geomspace(1e3, 1e10, 100))
    axes[0].plot(compute, loss, color="#d98324", lw=2.2)
    axes[2].plot(n, JOINT.loss(n, np.inf), color=METHOD_COLOURS[0], lw=1.6)
    for ax, (name, constants, span, letter) in zip(axes, panels, strict=True):
        ax.plot(span, power(constants).loss(np.array(span)), "--", color=INK, lw=1.3, zorder=5)
        scale, alpha = power_text(constants["c"].value).strip("$"), constants["alpha"].value
        text = f"$L = ({letter} / {scale})^{{-{alpha:.3f}}}$"
        ax.text(0.04, 0.06, text, transform=ax.transAxes, fontsize=10)
        log_axes(ax, power_axis, plain_axis, xlabel=name, xlim=span, ylim=(1.9, 8))
    axes[0].set_ylabel("test loss (nats per token)")
    axes[1].legend(title="parameters", loc="upper right", fontsize=7.5)
    return fig


@styled
def joint():
    """Figures 9 and 4 of the paper: overfitting of L(N, D), and the learning curves of L(N, S)."""
    caption = (
        "Published constants, no refit. Left: loss after training on D tokens until it stops "
        f"falling, D = {human(LARGEST_SET)} and parts of it; dashed: unlimited data. "
        "Middle: the excess depends on one ratio alone; dots: the law for the left panel's "
        f"data sets and 1e6 to 1e9 parameters; dashed: {100 * SEED:.0f} %, the spread of "
        "seeds. Right: L(N, S) at a batch far above the critical one."
    )
    fig, axes = sheet(11.4, 3.6, caption, columns=3, wspace=0.05)
    n, few, steps = np.geomspace(1e5, 2e9, 80), np.geomspace(1e6, 1e9, 7), np.geomspace(1e2, 1e6, 200)
    sets, exponent = LARGEST_SET / 2.0 ** np.array([10, 8, 6, 4, 0]), JOINT.alpha_N / JOINT.alpha_D
    for tokens, colour in zip(sets, sequence(len(sets)), strict=True):
        label = human(float(f"{tokens:.2g}"))
        axes[0].plot(n, JOINT.loss(n, tokens), color=colour, lw=1.4, label=label)
        excess = JOINT.loss(few, tokens) / JOINT.loss(few, np.inf) - 1
        axes[1].plot(few**exponent / tokens, excess, "o", color=colour, ms=4, zorder=4)
    axes[0].plot(n, JOINT.loss(n, np.inf), "--", color=INK, lw=1.1)
    x = np.geomspace(1e-6, 1, 100)
    axes[1].plot(x, (1 + x * JOINT.D_c / JOINT.N_c**exponent) ** JOINT.alpha_D - 1, color=FAINT, lw=1.2)
    axes[1].axhline(SEED, **DASHED | {"zorder": 2})
    for size, colour in zip(SIZES, sequence(len(SIZES)), strict=True):
        axes[2].plot(steps, STEPS.loss(size, steps), color=colour, lw=1.4, label=human(size))
    loss = "test loss (nats per token)"
    ends = {"xlim": (n[0], n[-1]), "ylim": (2.2, 5.2)}
    labels = {"xlabel": "parameters (non-embedding)", "ylabel": loss, "title": "Overfitting: L(N, D)"}
    log_axes(axes[0], power_axis, plain_axis, **labels, **ends)
    ends = {"xlim": (1e-6, 1), "ylim": (1e-4, 1)}
    labels = {"xlabel": "N$^{\\alpha_N/\\alpha_D}$ / D", "ylabel": "L(N, D) / L(N, ∞) - 1"}
    log_axes(axes[1], power_axis, power_axis, title="One curve for all", **labels, **ends)
    ends = {"xlim": (1e2, 1e6), "ylim": (2.2, 9.5)}
    labels = {"xlabel": "steps at an unlimited batch", "ylabel": loss, "title": "Learning curves: L(N, S)"}
    log_axes(axes[2], power_axis, plain_axis, **labels, **ends)
    for ax, title in ((axes[0], "tokens"), (axes[2], "parameters")):
        ax.legend(title=title, loc="upper right", fontsize=7.5, ncols=2)
    return fig
