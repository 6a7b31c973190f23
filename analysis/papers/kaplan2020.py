"""Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (arXiv 2001.08361).

No runs were published, so these are identities: what the paper derives from its own constants, done
again. Its parameters leave embeddings out, its compute is in PF-days.
"""

from functools import cache

import numpy as np

from analysis.laws import Array, KaplanData, KaplanSteps, PowerLaw
from analysis.laws.published import (
    KAPLAN_BATCH,
    KAPLAN_C,
    KAPLAN_CMIN,
    KAPLAN_D,
    KAPLAN_N,
    KAPLAN_ND,
    KAPLAN_NS,
    KAPLAN_OPT,
    KAPLAN_SAID,
    PF_DAY,
    Published,
)
from analysis.papers.claims import Data, Paper

LARGEST_SET = 22e9  # tokens up to which L(N, D) was measured, about all of WebText2
BATCH = 2**19  # tokens a step in the paper's runs (section 2.2)
SEED = 0.02  # in log loss, how far runs that differ only in seed lie apart (section 3)


def power(constants: dict[str, Published]) -> PowerLaw:
    """(c/x)^alpha as E + A x^-alpha with E = 0."""
    alpha = constants["alpha"].value
    return PowerLaw(0.0, constants["c"].value ** alpha, alpha)


def tokens_within(law: KaplanData, params: Array, excess: float) -> Array:
    """Tokens that keep the loss within a share `excess` of its limit (eq. 4.4)."""
    size = (law.N_c / params) ** (law.alpha_N / law.alpha_D)
    return law.D_c / (((1 + excess) ** (1 / law.alpha_D) - 1) * size)


def frontier(law: KaplanSteps, params: Array, batch: float, alpha_B: float) -> tuple[Array, Array]:
    """(loss, PF-days) at the compute for which each size is the best (section 6, appendix B).

    C = 6·N·S·B/L^(1/alpha_B) at S steps far above the critical batch; the least loss at fixed C
    has S's term alpha_N/alpha_S times N's.
    """
    size = (law.N_c / params) ** law.alpha_N
    ratio = law.alpha_N / law.alpha_S
    loss = size * (1 + ratio)
    steps = law.S_c * (ratio * size) ** (-1 / law.alpha_S)
    return loss, 6 * params * steps * batch / loss ** (1 / alpha_B) / PF_DAY


def at_fixed_batch(law: KaplanSteps, flops: Array, batch: float, critical) -> Array:
    """Least loss for compute (PF-days) spent at one batch (tokens), by search over sizes.

    S steps at batch B make S/(1 + B_crit/B) steps worth counting  (eq. 5.4).
    """
    params, worth = np.geomspace(1e3, 1e11, 161)[:, None], np.geomspace(30, 1e7, 600)
    loss = law.loss(params, worth)
    spent = np.log(6 * params * worth * (batch + critical(loss)) / PF_DAY)
    curves = [np.interp(np.log(flops), c, y) for c, y in zip(spent, loss, strict=True)]
    return np.min(curves, axis=0)


def _values(constants: dict[str, Published]) -> dict[str, float]:
    return {name: entry.value for name, entry in constants.items()}


def reproduce(data: Data) -> Paper:
    paper = Paper("kaplan2020")
    allocation(paper)
    overfitting(paper)
    batch(paper)
    curves(paper)
    paper.figures = {"kaplan2020_laws": figure, "kaplan2020_joint": joint_figure}
    return paper


def allocation(paper: Paper) -> None:
    """How the efficient size, batch and steps grow follows from three fitted exponents."""
    power_of = {
        "N": KAPLAN_NS["alpha_N"].value,
        "B": KAPLAN_BATCH["alpha"].value,
        "S": KAPLAN_NS["alpha_S"].value,
    }
    alpha = 1 / sum(1 / value for value in power_of.values())
    why = "printed to two digits, and each exponent of the formula too"
    paper.check(
        "alpha_C predicted from alpha_N, alpha_S, alpha_B",
        KAPLAN_SAID["alpha_C"],
        lambda: alpha,
        tolerance=0.002,
        why=why,
    )
    paper.check(
        "alpha_C predicted, beside the one measured",
        KAPLAN_CMIN["alpha"],
        lambda: alpha,
        tolerance=0.005,
        why="5 % off by the paper's own account",
    )
    paper.check(
        "N exponent predicted",
        KAPLAN_SAID["N_predicted"],
        lambda: KAPLAN_SAID["alpha_C"].value / KAPLAN_N["alpha"].value,
        tolerance=0.01,
        why=why,
    )
    paper.check(
        "B exponent = alpha_C / alpha_B",
        KAPLAN_OPT["B"],
        lambda: KAPLAN_CMIN["alpha"].value / power_of["B"],
        tolerance=0.01,
        why=why,
    )
    paper.check(
        "N, B and S exponents sum to one, as C = 6NBS",
        Published(1.0, "C = 6NBS"),
        lambda: sum(KAPLAN_OPT[name].value for name in "NBS"),
        tolerance=0.015,
        why="three numbers rounded to 0.01",
    )
    paper.check(
        "D exponent = B + S exponents",
        KAPLAN_OPT["D"],
        lambda: KAPLAN_OPT["B"].value + KAPLAN_OPT["S"].value,
        tolerance=0.01,
        why="two numbers rounded to 0.01",
    )
    paper.check(
        "excess loss where efficient training stops, alpha_N / alpha_S",
        KAPLAN_SAID["excess"],
        lambda: power_of["N"] / power_of["S"],
        tolerance=0.005,
        why="printed as 10 %",
    )
    for name, entry in (("N", "N_for_10x"), ("D", "D_for_10x")):
        paper.check(
            f"growth of {name} for 10 × compute",
            KAPLAN_SAID[entry],
            lambda name=name: 10 ** KAPLAN_OPT[name].value,
            percent=4,
            why="another paper's rounding; 0.01 in the exponent is 2.3 %",
        )


def overfitting(paper: Paper) -> None:
    """Tokens that keep a size from overfitting, from L(N, D)."""
    law = KaplanData(**_values(KAPLAN_ND))
    sizes = np.array([1e6, 8e6])

    @cache
    def tokens() -> Array:
        return tokens_within(law, sizes, SEED)

    slope = np.log(tokens()[1] / tokens()[0]) / np.log(8)
    paper.check(
        "exponent of the tokens that avoid overfitting",
        KAPLAN_SAID["data_exponent"],
        lambda: slope,
        tolerance=0.005,
        why="printed to two digits",
    )
    paper.check(
        "factor of the tokens that avoid overfitting",
        KAPLAN_SAID["data_factor"],
        lambda: tokens()[0] / sizes[0] ** KAPLAN_SAID["data_exponent"].value,
        percent=10,
        why="printed to one digit",
    )
    paper.check(
        "growth of data for 8 × the parameters",
        KAPLAN_SAID["data_for_8x"],
        lambda: tokens()[1] / tokens()[0],
        tolerance=0.5,
        why="printed to one digit",
    )


def batch(paper: Paper) -> None:
    alpha = KAPLAN_BATCH["alpha"].value
    paper.check(
        "power of the loss in the critical batch",
        KAPLAN_SAID["batch_power"],
        lambda: 1 / alpha,
        tolerance=0.05,
        why="printed to one decimal",
    )
    paper.check(
        "fall of the loss that doubles the critical batch",
        KAPLAN_SAID["batch_doubling"],
        lambda: 1 - 2**-alpha,
        tolerance=0.006,
        why="printed as 13 %",
    )


def curves(paper: Paper) -> None:
    """Separate fits of the paper tell the same losses."""
    joint = KaplanData(**_values(KAPLAN_ND))
    steps = KaplanSteps(**_values(KAPLAN_NS))

    def gap(ours: Array, theirs: Array) -> float:
        return float(np.exp(np.abs(np.log(ours / theirs)).max()))

    params = np.geomspace(1e3, 1.5e9, 50)
    one = Published(1.0, "Kaplan 2020 eq. 1.1 against eq. 1.5", "768 to 1.5e9 parameters")
    paper.check(
        "largest ratio of L(N, D = infinity) and L(N)",
        one,
        lambda: gap(joint.loss(params, np.inf), power(KAPLAN_N).loss(params)),
        tolerance=2 * SEED,
        why="twice the spread of seeds, 2 %",
    )
    tokens = np.geomspace(2e7, 2.2e10, 50)
    one = Published(1.0, "Kaplan 2020 eq. 1.2 against eq. 1.5", "2e7 to 2.2e10 tokens")
    paper.check(
        "largest ratio of L(N = infinity, D) and L(D)",
        one,
        lambda: gap(joint.loss(np.inf, tokens), power(KAPLAN_D).loss(tokens)),
        tolerance=3 * SEED,
        why="three times the spread of seeds; L(D) was measured at a "
        "finite size, which lifts it at the far end",
    )
    loss, compute = frontier(
        steps, params[params > 1e4], KAPLAN_BATCH["B"].value, KAPLAN_BATCH["alpha"].value
    )
    seen = (compute > 1e-6) & (compute < 10)
    one = Published(1.0, "Kaplan 2020 eq. 1.3 against eq. 1.6", "1e-6 to 10 PF-days")
    paper.check(
        "largest ratio of the frontier of L(N, S) and L(C_min)",
        one,
        lambda: gap(loss[seen], power(KAPLAN_CMIN).loss(compute[seen])),
        tolerance=0.1,
        why="their exponents 0.052 and 0.050 part by 4 % over seven decades, and each "
        "carries the spread of seeds",
    )

    ends = np.array([1e-3, 10.0])
    alpha_B = KAPLAN_BATCH["alpha"].value

    def fixed() -> float:
        loss = at_fixed_batch(
            steps, ends, BATCH, lambda loss: KAPLAN_BATCH["B"].value / loss ** (1 / alpha_B)
        )
        return float(-np.log(loss[1] / loss[0]) / np.log(ends[1] / ends[0]))

    paper.check(
        "exponent of L(C) at a fixed batch, from L(N, S) and the batch law",
        KAPLAN_C["alpha"],
        fixed,
        tolerance=0.003,
        why="no pure power: it falls by 0.001 when the range starts at 1e-2 PF-days; at "
        "the critical batch it is 0.052",
    )


def figure():
    """Figure 1 of the paper: loss against compute, data and parameters, straight on log axes."""
    from analysis.figures import style

    joint = KaplanData(**_values(KAPLAN_ND))
    steps = KaplanSteps(**_values(KAPLAN_NS))
    sizes = np.array([1e5, 1e6, 1e7, 1e8, 1e9])
    panels = (
        ("Compute (PF-days, non-embedding)", KAPLAN_CMIN, (1e-9, 1e1), "C_{\\min}"),
        ("Dataset size (tokens)", KAPLAN_D, (1e7, 1e11), "D"),
        ("Parameters (non-embedding)", KAPLAN_N, (1e3, 1e10), "N"),
    )

    def draw():
        caption = (
            "Published constants, no refit. Left: training curves of L(N, S) at the critical "
            "batch for sizes 1e5 to 1e9; orange: the frontier they touch by our minimisation. "
            "Middle: L(N, D) of the same sizes. Right, blue: L(N, D) at unlimited D. Dashed: the "
            "paper's power laws."
        )
        fig, axes = style.sheet(11.4, 3.6, caption, columns=3)
        ramp = style.sequence(len(sizes))
        batch = (KAPLAN_BATCH["B"].value, KAPLAN_BATCH["alpha"].value)
        for size, colour in zip(sizes, ramp, strict=True):
            count = np.geomspace(30, 1e11, 400)
            loss = steps.loss(size, count)
            compute = 6 * size * count * batch[0] / loss ** (1 / batch[1]) / PF_DAY
            axes[0].plot(compute, loss, color=colour, lw=1, alpha=0.8)
            tokens = np.geomspace(1e7, 1e11, 100)
            axes[1].plot(
                tokens, joint.loss(size, tokens), color=colour, lw=1, alpha=0.8, label=style.human(size)
            )
        loss, compute = frontier(steps, np.geomspace(1e3, 1e10, 100), *batch)
        axes[0].plot(compute, loss, color="#d98324", lw=2.2)
        n = np.geomspace(1e3, 1e10, 50)
        axes[2].plot(n, joint.loss(n, np.inf), color=style.METHOD_COLOURS[0], lw=1.6)
        for ax, (name, constants, span, letter) in zip(axes, panels, strict=True):
            x = np.array(span)
            ax.plot(x, power(constants).loss(x), "--", color=style.INK, lw=1.3, zorder=5)
            scale, alpha = style.power(constants["c"].value).strip("$"), constants["alpha"].value
            ax.text(
                0.04,
                0.06,
                f"$L = ({letter} / {scale})^{{-{alpha:.3f}}}$",
                transform=ax.transAxes,
                fontsize=10,
            )
            ax.set(xscale="log", yscale="log", xlabel=name, xlim=span, ylim=(1.9, 8))
            style.power_axis(ax.xaxis, *span)
            style.plain_axis(ax.yaxis, 2, 8)
        axes[0].set_ylabel("test loss (nats per token)")
        axes[1].legend(title="parameters", loc="upper right", fontsize=7.5)
        return fig

    return style.styled(draw)()


def joint_figure():
    """Figures 9 and 4 of the paper: overfitting of L(N, D), and the learning curves of L(N, S)."""
    from analysis.figures import style

    joint = KaplanData(**_values(KAPLAN_ND))
    steps = KaplanSteps(**_values(KAPLAN_NS))
    sets = LARGEST_SET / 2.0 ** np.array([10, 8, 6, 4, 0])
    sizes = np.array([1e5, 1e6, 1e7, 1e8, 1e9])

    def draw():
        caption = (
            "Published constants, no refit. Left: loss after training on D tokens until it stops "
            f"falling, D = {style.human(LARGEST_SET)} and parts of it; dashed: unlimited data. "
            "Middle: the excess depends on one ratio alone; dots: the law for the left panel's "
            f"data sets and 1e6 to 1e9 parameters; dashed: {100 * SEED:.0f} %, the spread of "
            "seeds. Right: L(N, S) at a batch far above the critical one."
        )
        fig, axes = style.sheet(11.4, 3.6, caption, columns=3, wspace=0.05)
        n = np.geomspace(1e5, 2e9, 80)
        power_of = joint.alpha_N / joint.alpha_D
        for tokens, colour in zip(sets, style.sequence(len(sets)), strict=True):
            axes[0].plot(
                n, joint.loss(n, tokens), color=colour, lw=1.4, label=style.human(float(f"{tokens:.2g}"))
            )
            few = np.geomspace(1e6, 1e9, 7)
            excess = joint.loss(few, tokens) / joint.loss(few, np.inf) - 1
            axes[1].plot(few**power_of / tokens, excess, "o", color=colour, ms=4, zorder=4)
        axes[0].plot(n, joint.loss(n, np.inf), "--", color=style.INK, lw=1.1)
        x = np.geomspace(1e-6, 1, 100)
        curve = (1 + x * joint.D_c / joint.N_c**power_of) ** joint.alpha_D - 1
        axes[1].plot(x, curve, color=style.FAINT, lw=1.2)
        axes[1].axhline(SEED, color=style.FAINT, lw=1, ls=(0, (5, 3)))
        count = np.geomspace(1e2, 1e6, 200)
        for size, colour in zip(sizes, style.sequence(len(sizes)), strict=True):
            axes[2].plot(count, steps.loss(size, count), color=colour, lw=1.4, label=style.human(size))
        axes[0].set(
            xlabel="parameters (non-embedding)",
            title="Overfitting: L(N, D)",
            ylabel="test loss (nats per token)",
            xlim=(n[0], n[-1]),
            ylim=(2.2, 5.2),
        )
        axes[1].set(
            xlabel="N$^{\\alpha_N/\\alpha_D}$ / D",
            ylabel="L(N, D) / L(N, ∞) - 1",
            title="One curve for all",
            xlim=(1e-6, 1),
            ylim=(1e-4, 1),
        )
        axes[2].set(
            xlabel="steps at an unlimited batch",
            title="Learning curves: L(N, S)",
            ylabel="test loss (nats per token)",
            xlim=(1e2, 1e6),
            ylim=(2.2, 9.5),
        )
        for ax, title, place in ((axes[0], "tokens", "upper right"), (axes[2], "parameters", "upper right")):
            ax.legend(title=title, loc=place, fontsize=7.5, ncols=2)
        for ax in axes:
            ax.set(xscale="log", yscale="log")
            style.power_axis(ax.xaxis, *ax.get_xlim())
            style.plain_axis(ax.yaxis, *ax.get_ylim())
        style.power_axis(axes[1].yaxis, *axes[1].get_ylim())
        return fig

    return style.styled(draw)()
